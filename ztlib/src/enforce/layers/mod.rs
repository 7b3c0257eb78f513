//! Tower layers: the whole guard, and each kind of authentication alone.

mod guard;
#[cfg(feature = "peers")]
mod peer;
#[cfg(feature = "tokens")]
mod token;

pub use guard::{ZeroTrust, ZeroTrustLayer};
#[cfg(feature = "peers")]
pub use peer::{PeerIdentityLayer, PeerIdentityService};
#[cfg(feature = "tokens")]
pub use token::{TokenLayer, TokenService};

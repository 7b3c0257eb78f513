//! Tower layers: the whole guard, and each kind of authentication alone.

mod guard;
mod peer;
mod token;

pub use guard::{ZeroTrust, ZeroTrustLayer};
pub use peer::{PeerIdentityLayer, PeerIdentityService};
pub use token::{TokenLayer, TokenService};

//! Tower layers: the whole guard, and each kind of authentication alone.

mod guard;
#[cfg(feature = "peers")]
mod peer;
#[cfg(feature = "tokens")]
mod token;

pub use guard::{GuardLayer, Guarded};
#[cfg(feature = "peers")]
pub use peer::{AuthenticatePeer, AuthenticatePeerLayer};
#[cfg(feature = "tokens")]
pub use token::{AuthenticateToken, AuthenticateTokenLayer};

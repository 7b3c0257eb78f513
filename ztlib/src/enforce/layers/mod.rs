//! Tower layers: the whole guard, and each kind of authentication alone.

mod guard;
#[cfg(feature = "peers")]
mod peer;
#[cfg(feature = "tokens")]
mod token;

pub use guard::{Guarded, GuardLayer};
#[cfg(feature = "peers")]
pub use peer::{AuthenticatePeerLayer, AuthenticatePeer};
#[cfg(feature = "tokens")]
pub use token::{AuthenticateTokenLayer, AuthenticateToken};

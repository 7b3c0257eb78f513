#![doc = include_str!("../README.md")]

mod extract;
mod future;
mod guard;
mod question;
mod refusal;
mod serve;

pub use extract::{Claims, NotGuarded, PeerIdentity, Permit, Principal};
pub use future::GuardedFuture;
pub use guard::GuardedRouter;
pub use refusal::Refused;
pub use serve::serve;

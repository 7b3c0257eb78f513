#![doc = include_str!("../README.md")]

mod extract;
mod guard;
mod question;
mod refusal;
mod serve;

pub use extract::{Claims, NotGuarded, PeerIdentity, Permit, Principal};
pub use guard::GuardedRouter;
pub use refusal::Refused;
pub use serve::serve;

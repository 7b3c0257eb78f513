#![doc = include_str!("../README.md")]

mod deadline;
mod extract;
mod guard;
mod question;
mod refusal;
mod serve;

pub use extract::GuardedRequest;
pub use guard::GuardedRoutes;
pub use refusal::status;
pub use serve::serve;

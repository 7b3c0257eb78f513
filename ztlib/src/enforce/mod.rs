//! Let through or refuse. Only this folder can say yes: a [`Permit`] is made nowhere else.
//!
//! Order of reading: `builder` (what a service author chooses) → `guard` (with `ask`, a handler's
//! question) → `judgement` (the life of a request, in order) → `permit` or `refusal` (one table for
//! HTTP and gRPC). `layer`, `service` and `future` are the shell that makes a tower service of it;
//! `arrival` looks at the headers once, `caller` at the form in which to answer; `target` checks
//! path, host and method, `spelling` says which spellings of a path a verb lets pass; `obligations`
//! carries out what an allow obliges to.

mod arrival;
mod ask;
mod builder;
mod guard;
mod hints;
mod judgement;
mod layers;
mod matched;
mod obligations;
mod permit;
mod respond;

pub use ask::Ask;
pub use builder::{GuardBuilder, Ready, WantsPeers, WantsPolicies, WantsTokens};
pub use guard::{Guard, MAX_QUESTIONS};
#[cfg(feature = "peers")]
pub use layers::{PeerIdentityLayer, PeerIdentityService};
#[cfg(feature = "tokens")]
pub use layers::{TokenLayer, TokenService};
pub use layers::{ZeroTrust, ZeroTrustLayer};
pub use matched::MatchedRoute;
pub use permit::Permit;
pub use respond::{Cause, Protocol, Refusal, ResponseBody, ResponseFuture};
pub use ztlib_contract::PathSpelling;
pub use ztlib_contract::target::{MAX_PATH_BYTES, TargetError};

#[cfg(any(feature = "peers", feature = "tokens"))]
pub(crate) use guard::Established;

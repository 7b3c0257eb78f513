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
mod body;
mod builder;
mod caller;
mod future;
mod grpc_status;
mod guard;
mod hints;
mod judgement;
mod layer;
mod matched;
mod obligations;
mod permit;
mod refusal;
mod service;
mod spelling;
mod target;

pub use ask::Ask;
pub use body::ResponseBody;
pub use builder::{GuardBuilder, Ready, WantsPeers, WantsPolicies, WantsTokens};
pub use caller::Protocol;
pub use future::ResponseFuture;
pub use guard::{Guard, MAX_QUESTIONS};
pub use layer::ZeroTrustLayer;
pub use matched::MatchedRoute;
pub use permit::Permit;
pub use refusal::{Cause, Refusal};
pub use service::ZeroTrust;
pub use spelling::PathSpelling;
pub use target::{MAX_PATH_BYTES, TargetError};

pub(crate) use caller::Caller;
pub(crate) use guard::Established;
pub(crate) use target::{check_parameter, check_strictly as check_target};

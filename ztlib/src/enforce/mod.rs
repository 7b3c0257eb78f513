//! Let through or refuse. Only this folder can say yes: a [`Permit`] is made nowhere else.
//!
//! Order of reading: `builder` (what a service author chooses) → `guard` (with `ask`, a handler's question) → `judgement` (the life of a request, in order) → `permit`
//! or `refusal` (one table for HTTP and gRPC). `layer`, `service` and `future` are the shell that makes a tower service of it; `arrival` looks at
//! the headers once; `target` checks path, host and method; `obligations` carries out what an allow obliges to.

mod arrival;
mod ask;
mod body;
mod builder;
mod future;
mod grpc_status;
mod guard;
mod judgement;
mod layer;
mod matched;
mod obligations;
mod permit;
mod refusal;
mod service;
mod target;

pub use ask::Ask;
pub use body::ResponseBody;
pub use builder::{GuardBuilder, Ready, WantsPeers, WantsPolicies, WantsTokens};
pub use future::ResponseFuture;
pub use guard::{Guard, MAX_QUESTIONS};
pub use layer::ZeroTrustLayer;
pub use matched::MatchedRoute;
pub use permit::Permit;
pub use refusal::{Cause, Protocol, Refusal};
pub use service::ZeroTrust;
pub use target::{MAX_PATH_BYTES, TargetError};

pub(crate) use guard::Established;
pub(crate) use refusal::Caller;
pub(crate) use target::{check as check_target, check_parameter};

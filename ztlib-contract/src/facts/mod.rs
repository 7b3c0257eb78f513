//! What is known about a caller and a request: plain data that anybody can make.
//!
//! Facts prove nothing. Policies are asked about them, and tests, replays and the desk make them
//! up. What was *verified* is a type of its own in `ztlib` (`PeerIdentity`, `VerifiedClaims`) that
//! holds facts beside the proof, and only a proof ever becomes a permit.

mod caller;
mod claim_error;
mod claims;
mod described;
mod labels;
mod peer;
mod registered;
mod request;
mod spiffe_id;

pub use caller::Caller;
pub use claim_error::ClaimError;
pub use claims::{ClaimNames, Claims};
pub use described::{ClaimLimits, DescribedError};
pub use labels::Labels;
pub use peer::PeerFacts;
pub use registered::{ClaimFault, date};
pub use request::{Params, RequestFacts, SECRET_HEADERS, Target, readable};
pub use spiffe_id::{SpiffeId, SpiffeIdError, TrustDomain};

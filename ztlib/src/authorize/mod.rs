//! May they? A question in, a decision out; no socket, no runtime, no clock.
//!
//! Order of reading: `cache` (what was decided before, found by what was read) → `question` (what
//! may be asked about) → `reader` (the window that records each read in the `trace`) →
//! `policy` (who answers) → `outcome` (what one policy says) → `decision` (what the whole set says)
//! → `obligation` and `source` (what goes with an allow, settled for each request) and `until`
//! (when time alone would change it).

mod cache;
mod native;
mod observer;
#[cfg(all(test, feature = "wasm"))]
mod sandbox_tests;
mod set;

pub use cache::{CacheBounds, CacheStatus};
pub use native::NativePolicy;
pub use set::{Evaluation, Revision};
pub use ztlib_contract::facts::{Caller, Claims, Labels, PeerFacts};
pub use ztlib_contract::{
    Answer, Decision, Denial, Fault, FaultOrigin, Obligations, Outcome, OutcomeFault, OutcomeLimits, Read,
    ReadFault, ReadLimits, Reader, Reason, SignalError, SignalSource, StepUp, Trace, Value,
};

#[cfg(feature = "bench")]
pub(crate) use cache::Entry as Remembered;
pub(crate) use cache::{Decided, DecisionCache};
pub(crate) use native::Native;
pub(crate) use observer::{Observer, Observers, Seen};
pub(crate) use set::{Entry, PolicySet, RevisionName, SET_NAME};
pub(crate) use ztlib_contract::facts::{Params, RequestFacts, Target, readable};
pub(crate) use ztlib_contract::target::{check_parameter, check_strictly as check_target};
pub(crate) use ztlib_contract::{
    Asked, Documents, Has, HeaderChange, Obligation, Question, Settled, Signalled, View, next_change,
    same_spelling,
};

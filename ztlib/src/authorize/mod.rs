//! May they? A question in, a decision out; no socket, no runtime, no clock.
//!
//! Order of reading: `cache` (what was decided before, found by what was read) → `question` (what
//! may be asked about) → `reader` (the window that records each read in the `trace`) →
//! `policy` (who answers) → `outcome` (what one policy says) → `decision` (what the whole set says)
//! → `obligation` and `source` (what goes with an allow, settled for each request) and `until`
//! (when time alone would change it).

mod cache;
mod decision;
mod documents;
mod fact;
mod native;
pub(crate) mod obligation;
mod observer;
mod outcome;
mod outcome_fault;
mod pattern;
mod question;
mod read;
mod reader;
mod request;
mod set;
mod signals;
mod source;
pub(crate) mod spelling;
pub(crate) mod target;
mod trace;
mod until;

pub use cache::{CacheBounds, CacheStatus};
pub use decision::{Decision, Denial, Fault, FaultOrigin, Obligations};
pub use native::NativePolicy;
pub use outcome::{Answer, Outcome, OutcomeLimits, Reason, StepUp};
pub use outcome_fault::OutcomeFault;
pub use question::Labels;
pub use read::{Read, ReadFault, Value};
pub use reader::{ReadLimits, Reader};
pub use set::{Evaluation, Revision};
pub use signals::{SignalError, SignalSource};
pub use trace::Trace;

#[cfg(feature = "bench")]
pub(crate) use cache::Entry as Remembered;
pub(crate) use cache::{Decided, DecisionCache};
pub(crate) use documents::{Documents, check_pointer};
pub(crate) use native::Call;
pub(crate) use obligation::{HeaderChange, Obligation, Settled, same_spelling};
pub(crate) use observer::{Observer, Observers, Seen};
pub(crate) use question::{Asked, Has, Question, Signalled, View};
pub(crate) use request::{Params, RequestFacts, Target, readable};
pub(crate) use set::{Entry, Known, Policy, PolicySet, RevisionName, SET_NAME};
pub(crate) use target::{check_parameter, check_strictly as check_target};
pub(crate) use until::next_change;

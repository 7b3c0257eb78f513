//! May they? A question in, a decision out; no socket, no runtime, no clock.
//!
//! Order of reading: `cache` (what was decided before, found by what was read) → `question` (what may be asked about) → `reader` (the window that records each read in the `trace`) →
//! `policy` (who answers) → `outcome` (what one policy says) → `decision` (what the whole set says).

mod cache;
mod decision;
mod documents;
mod fact;
mod outcome;
mod pattern;
mod question;
mod read;
mod reader;
mod request;
mod signals;
mod trace;

pub mod policy;

pub use cache::CacheBounds;
pub use decision::{Decision, Denial, Fault, Obligations};
pub use outcome::{Answer, Outcome, OutcomeFault, OutcomeLimits, Reason, StepUp};
pub use question::Labels;
pub use read::{Read, ReadFault, Value};
pub use reader::{ReadLimits, Reader};
pub use signals::{SignalError, SignalSource};
pub use trace::Trace;

pub(crate) use cache::{Decided, DecisionCache};
pub(crate) use outcome::{HeaderChange, same_spelling};
pub(crate) use question::{Asked, Question};
pub(crate) use request::{Params, RequestFacts, Target};

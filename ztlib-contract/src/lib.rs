#![doc = include_str!("../README.md")]

// What is known about a caller and a request: plain data, never a proof.
pub mod facts;

// What stands behind the reads.
mod attribute;

// What answers: engines and their policies.
mod budget;
pub mod engine;

// Asking: a question, what is read of it, and what came back.
mod documents;
mod fact;
mod question;
mod read;
mod reader;
mod signals;
mod trace;
mod until;
mod view;

// Saying: what one policy says, and what the whole set decides.
mod decision;
mod obligation;
mod outcome;
mod outcome_fault;
mod source;

// Test cases of policies, as files say them.
#[cfg(feature = "cases")]
pub mod cases;

// What can be judged at all.
mod spelling;
pub mod target;

mod json;
mod printable;
mod time;

pub use attribute::{Attribute, Kind, UnknownAttribute, behind, is_usable};
pub use budget::Budget;
pub use decision::{Decision, Denial, Fault, FaultOrigin, Obligations};
pub use documents::{Documents, check_pointer};
pub use fact::Fact;
pub use json::canonical_text;
pub use obligation::{HeaderChange, Obligation, Settled, same_spelling};
pub use outcome::{Answer, Outcome, OutcomeLimits, Reason, StepUp};
pub use outcome_fault::OutcomeFault;
pub use printable::{escaped, printable, shown};
pub use question::{Asked, Has, Question, Signalled};
pub use read::{Read, ReadFault, Value};
pub use reader::{ReadLimits, Reader};
pub use signals::{SignalError, SignalSource};
pub use spelling::{AllowedSpellings, PathSpelling, Spellings};
pub use target::TargetError;
pub use time::{from_unix_seconds, unix_seconds};
pub use trace::Trace;
pub use until::next_change;
pub use view::View;

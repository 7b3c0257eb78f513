//! Test a policy natively: lay down the facts, ask, look at the verdict. No WebAssembly, no host.
//!
//! ```
//! use ztlib_policy::testing::{Facts, decide};
//! use ztlib_policy::{Answer, Policy, Question};
//!
//! struct Owner;
//! impl Policy for Owner {
//!     fn configure(_: &[u8]) -> Result<Self, String> { Ok(Owner) }
//!     fn decide(&self, question: &Question) -> Answer {
//!         let subject = question.subject();
//!         if subject.is_some() && subject == question.label("owner") {
//!             Answer::Allow
//!         } else {
//!             question.deny("not-the-owner")
//!         }
//!     }
//! }
//!
//! let facts = Facts::action("orders.cancel").label("owner", "alice");
//! let verdict = decide(&Owner, &facts.clone().token(r#"{"sub": "alice"}"#)).unwrap();
//! assert_eq!(verdict.answer, Answer::Allow);
//! assert_eq!(verdict.reads(), [r#"subject="alice""#, r#"label("owner")="alice""#]);
//!
//! let verdict = decide(&Owner, &facts.token(r#"{"sub": "mallory"}"#)).unwrap();
//! assert_eq!((verdict.answer, verdict.reason.as_deref()), (Answer::Deny, Some("not-the-owner")));
//! ```
//!
//! The harness answers as the host does, faults included: a malformed pattern, a document or signal
//! that was not laid down, a secret header, a claim of another type, a reason that is not a code
//! end the evaluation with a [`Fault`].
//!
//! Tests as data (`tests/*.toml`), which also run in the sandbox and as the gate at load, are run
//! natively by [`Cases`].

mod cases;
mod facts;
mod host;
mod sealed;
mod verdict;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use cases::{Cases, CasesError, Decide, Problem};
pub use facts::Facts;
pub(crate) use host::Host;
pub use sealed::Sealed;
pub use verdict::{Fault, HeaderChange, Read, StepUp, Verdict};

use crate::{Policy, Question};

/// What a policy says where these are the facts.
///
/// # Errors
/// A [`Fault`] where a read failed, the policy attached something unusable, or it panicked (in the
/// sandbox: trapped).
pub fn decide<P: Policy>(policy: &P, facts: &Facts) -> Result<Verdict, Fault> {
    let host = Host::new(facts);
    match run(&host, |question| policy.decide(question)) {
        Ok(answer) => host.verdict(answer),
        Err(fault) => Err(fault),
    }
}

/// What a part of a policy finds where these are the facts: for tests of helpers that take a
/// [`Question`].
///
/// # Errors
/// As [`decide`].
pub fn ask<T>(facts: &Facts, part: impl FnOnce(&Question<'_>) -> T) -> Result<T, Fault> {
    run(&Host::new(facts), part)
}

/// A fault unwinds to here, as in the sandbox it ends the instance: the policy never sees it.
fn run<'f, T>(host: &'f Host<'f>, part: impl FnOnce(&Question<'f>) -> T) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(|| part(&Question::new(host)))).map_err(|payload: Box<dyn Any + Send>| {
        match payload.downcast::<Fault>() {
            Ok(fault) => *fault,
            Err(_) => host.fault(ztlib_contract::Fault::new("trap", "the policy panicked")),
        }
    })
}

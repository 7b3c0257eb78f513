//! Who answers: policies and sets of them.
//!
//! A *policy* is a WebAssembly component of the world in `wit/policy.wit`, or (natively, without sandbox) a [`NativePolicy`].
//! A *policy set* is an ordered list of them, named by its [`Revision`]. [`Policies`] is the handle on the set that is in force:
//! load it from a manifest or build it in code, hand clones of it around, reload it while the service runs.
//!
//! **How a set decides.** Each policy is *required* (the default: it must allow) or *may abstain*. They are asked in order.
//! The first deny wins and ends the evaluation. The set allows where every required policy allows, at least one policy allows and none
//! denies; everything else is a deny. Whatever goes wrong on the way is a [`Fault`](super::Fault): the request is refused, and nobody
//! mistakes it for a denial.

mod blueprint;
mod builder;
mod digest;
mod error;
mod folder;
mod json;
mod manifest;
mod reload;
mod set;
mod toml_table;
mod wasm;
mod watch;

use std::time::UNIX_EPOCH;

use super::decision::Fault;
use super::outcome::{Answer, Outcome, OutcomeLimits};
use super::question::{Asked, Labels, Question, View};
use super::reader::{ReadLimits, Reader};
use crate::authenticate::Principal;

pub use builder::PolicySetBuilder;
pub use error::LoadError;
pub use reload::{ManifestLoader, Policies, Status};
pub use set::{Evaluation, Revision};
pub use wasm::{Allocator, Budget};

pub(crate) use digest::Digest;
pub(crate) use set::PolicySet;

/// What one evaluation of one policy is given and gives back: the sandbox holds it for as long as the policy runs.
pub(crate) struct Call {
    pub(crate) reader: Reader,
    pub(crate) outcome: Outcome,
}

impl Call {
    /// For starting a policy when there is no question: there is nothing to read.
    fn nobody_asks() -> Self {
        let question =
            Question::new(Principal::anonymous(), Asked::Action("".into()), Labels::new(), UNIX_EPOCH);
        let nothing = ReadLimits { calls: 0, bytes: 0 };
        Self {
            reader: Reader::new(Box::new(question), View::default(), nothing),
            outcome: Outcome::new(OutcomeLimits::default()),
        }
    }
}

/// A policy written in Rust and run natively, without sandbox: the seam for what cannot be a component.
///
/// It shares the process, its clocks and its globals. What it learns other than through the [`Reader`] stands in no trace:
/// so the decisions of a set that has one are not cached.
///
/// ```
/// use std::time::SystemTime;
/// use ztlib::authenticate::Principal;
/// use ztlib::authorize::policy::{NativePolicy, PolicySetBuilder};
/// use ztlib::authorize::{Answer, Decision, Fault, Labels, Outcome, Read, Reader, Value};
///
/// /// Only what is labelled "public" may pass.
/// struct PublicOnly;
/// impl NativePolicy for PublicOnly {
///     fn decide(&self, question: &mut Reader, outcome: &mut Outcome) -> Result<Answer, Fault> {
///         if question.read(Read::Label("classification".into()))? == Value::Text("public".into()) {
///             return Ok(Answer::Allow);
///         }
///         outcome.reason("not-public")?;
///         Ok(Answer::Deny)
///     }
/// }
///
/// let policies = PolicySetBuilder::new().native("public-only", PublicOnly).reasons(["not-public"]).load()?;
/// let ask = |class| {
///     let labels = Labels::new().with("classification", class);
///     policies.rehearse(Principal::anonymous(), "documents.read", labels, SystemTime::UNIX_EPOCH)
/// };
/// assert!(matches!(ask("public").result(), Ok(Decision::Allow(_))));
/// let evaluation = ask("secret");
/// let Ok(Decision::Deny(denial)) = evaluation.result() else { panic!() };
/// assert_eq!((denial.policy(), denial.reason().as_str()), ("public-only", "not-public"));
/// # Ok::<(), ztlib::authorize::policy::LoadError>(())
/// ```
pub trait NativePolicy: Send + Sync + 'static {
    /// Decides on one question.
    ///
    /// # Errors
    /// Where no decision can be reached, above all where a read fails: the request is then refused as a fault.
    fn decide(&self, question: &mut Reader, outcome: &mut Outcome) -> Result<Answer, Fault>;
}

//! Policies written in Rust, and what one evaluation of any policy works with.

use std::time::UNIX_EPOCH;

use super::Caller;
use super::Fault;
use super::{Answer, Outcome, OutcomeLimits};
use super::{Asked, Labels, Question, View};
use super::{ReadLimits, Reader};

/// What one evaluation of one policy is given and gives back: the sandbox holds it for as long as
/// the policy runs.
pub(crate) struct Call {
    pub(crate) reader: Reader,
    pub(crate) outcome: Outcome,
}

impl Call {
    /// For starting a policy when there is no question: there is nothing to read.
    pub(crate) fn nobody_asks() -> Self {
        let question = Question::new(Caller::default(), Asked::Action("".into()), Labels::new(), UNIX_EPOCH);
        let nothing = ReadLimits { calls: 0, bytes: 0 };
        Self {
            reader: Reader::new(Box::new(question), View::default(), nothing),
            outcome: Outcome::new(OutcomeLimits::default()),
        }
    }
}

/// A policy written in Rust and run natively, without sandbox: the seam for what cannot be a
/// component.
///
/// It shares the process, its clocks and its globals. What it learns other than through the
/// [`Reader`] stands in no trace: so the decisions of a set that has one are not cached.
///
/// ```
/// use std::time::SystemTime;
/// use ztlib::authenticate::Principal;
/// use ztlib::authorize::{Answer, Decision, Fault, Labels, NativePolicy, Outcome, Read, Reader, Value};
/// use ztlib::policies::PolicySetBuilder;
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
/// # Ok::<(), ztlib::policies::LoadError>(())
/// ```
pub trait NativePolicy: Send + Sync + 'static {
    /// Decides on one question.
    ///
    /// # Errors
    /// Where no decision can be reached, above all where a read fails: the request is then refused
    /// as a fault.
    fn decide(&self, question: &mut Reader, outcome: &mut Outcome) -> Result<Answer, Fault>;
}

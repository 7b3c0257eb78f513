//! Policies written in Rust.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ztlib_contract::engine::{Call, Evaluated, Policy};

use super::{Answer, Fault, Outcome, Reader};

/// A policy written in Rust that runs natively, without a sandbox. For what cannot be a component.
///
/// It shares the process, its clocks and its globals. Whatever it learns other than through the
/// [`Reader`] is in no trace, so the decisions of its set are not cached.
///
/// ```
/// use std::time::SystemTime;
/// use ztlib::authenticate::Principal;
/// use ztlib::authorize::{
///     Answer, Decision, Fault, Labels, NativePolicy, Outcome, Read, Reader, Value,
/// };
/// use ztlib::policies::PolicySetBuilder;
///
/// /// Allows only what is labelled "public".
/// struct PublicOnly;
/// impl NativePolicy for PublicOnly {
///     fn decide(&self, question: &mut Reader, outcome: &mut Outcome) -> Result<Answer, Fault> {
///         if question.read(Read::Label("classification".into()))? == Value::Text("public".into())
///         {
///             return Ok(Answer::Allow);
///         }
///         outcome.reason("not-public")?;
///         Ok(Answer::Deny)
///     }
/// }
///
/// let policies =
///     PolicySetBuilder::new().native("public-only", PublicOnly).reasons(["not-public"]).load()?;
/// let ask = |class| {
///     let labels = Labels::new().with("classification", class);
///     policies.simulate(Principal::anonymous(), "documents.read", labels, SystemTime::UNIX_EPOCH)
/// };
/// assert!(matches!(ask("public").result(), Ok(Decision::Allow(_))));
/// let evaluation = ask("secret");
/// let Ok(Decision::Deny(denial)) = evaluation.result() else { panic!() };
/// assert_eq!((denial.policy(), denial.reason().as_str()), ("public-only", "not-public"));
/// # Ok::<(), ztlib::policies::LoadError>(())
/// ```
pub trait NativePolicy: Send + Sync + 'static {
    /// Answers one question.
    ///
    /// # Errors
    /// If no decision can be reached, above all because a read fails. The request is then refused
    /// as a fault.
    fn decide(&self, question: &mut Reader, outcome: &mut Outcome) -> Result<Answer, Fault>;
}

/// A native policy as one of an engine's. What it depends on cannot be tracked.
pub(crate) struct Native<P>(pub(crate) P);

impl<P: NativePolicy> Policy for Native<P> {
    fn evaluate(&self, mut call: Box<Call>) -> Evaluated {
        // A panic of the application's own policy refuses this request and harms no other.
        let asked = catch_unwind(AssertUnwindSafe(|| self.0.decide(&mut call.reader, &mut call.outcome)));
        let result = asked.unwrap_or_else(|_| Err(Fault::new("panicked", "the native policy panicked")));
        Evaluated { call, result, fuel: 0 }
    }

    fn is_tracked(&self) -> bool {
        false
    }
}

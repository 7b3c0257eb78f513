//! The policy set: one immutable revision, and how the answers of its policies become one decision.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::Value as Json;

use super::Documents;
use super::OutcomeFault;
use super::Trace;
use super::{Answer, Outcome, OutcomeLimits, Reason};
use super::{Decision, Denial, Fault, Obligations};
use super::{Question, View};
use super::{ReadLimits, Reader};
use crate::digest::{Digest, Digester};
use crate::hex::hex;
use ztlib_contract::Budget;
use ztlib_contract::engine::{Call, Evaluated, Policy};

/// The name under which the set itself denies.
pub(crate) const SET_NAME: &str = "policy-set";

/// Identifies a loaded policy set: a digest of its modules, their configuration, budgets and
/// declared reasons, the documents and the rest of the manifest. Equal revisions decide alike.
///
/// It prints as a name of 12 hexadecimal digits, as used in audit events, the status, metrics,
/// recordings and the CLI. [`Revision::digest`] returns all 64 digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(Digest);

impl Revision {
    /// The whole digest (SHA-256) in hexadecimal digits. It starts with the name.
    pub fn digest(&self) -> String {
        self.0.to_string()
    }

    /// The name that it prints as.
    pub(crate) fn name(&self) -> RevisionName {
        RevisionName(self.0.as_bytes().first_chunk().copied().unwrap_or_default())
    }
}

/// The name of a revision, as used in audit events, the status, metrics and recordings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RevisionName([u8; 6]);

impl RevisionName {
    /// Reads 12 hexadecimal digits, or a whole digest.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() == 64 {
            return Digest::parse(text).map(|digest| Revision(digest).name());
        }
        let mut name = [0_u8; 6];
        let mut digits = text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
        for byte in &mut name {
            *byte = digits.next()?? << 4 | digits.next()??;
        }
        digits.next().is_none().then_some(Self(name))
    }
}

impl fmt::Display for RevisionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for RevisionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.name(), f)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One policy of a set.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) name: Arc<str>,
    pub(crate) may_abstain: bool,
    pub(crate) reasons: Arc<BTreeSet<Box<str>>>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) policy: Arc<dyn Policy>,
}

/// One revision: everything that a decision can depend on besides the question. It never changes.
pub(crate) struct PolicySet {
    pub(crate) revision: Revision,
    /// Identifies everything but the documents.
    root: Digest,
    entries: Vec<Entry>,
    is_pure: bool,
    pub(crate) view: View,
}

/// The result of evaluating a policy set once.
pub struct Evaluation {
    pub(crate) question: Box<Question>,
    pub(crate) result: Result<Decision, Fault>,
    pub(crate) trace: Trace,
    pub(crate) log: Vec<(Arc<str>, Box<str>)>,
    pub(crate) answers: Vec<(Arc<str>, Answer)>,
    pub(crate) fuel: u64,
    pub(crate) revision: Revision,
}

impl Evaluation {
    /// The decision, or why none was reached. A fault refuses.
    pub fn result(&self) -> &Result<Decision, Fault> {
        &self.result
    }

    /// The reads, each with its value.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The lines that policies logged, each with the policy's name.
    pub fn log(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.log.iter().map(|(policy, line)| (policy.as_ref(), line.as_ref()))
    }

    /// Each policy's answer, in order, up to the one that decided or failed.
    pub fn answers(&self) -> impl ExactSizeIterator<Item = (&str, Answer)> {
        self.answers.iter().map(|(policy, answer)| (policy.as_ref(), *answer))
    }

    /// The fuel that all policies used together. If a policy trapped, at least what it had used at
    /// its last call to the host.
    pub fn fuel(&self) -> u64 {
        self.fuel
    }

    /// The revision that decided.
    pub fn revision(&self) -> Revision {
        self.revision
    }
}

impl fmt::Debug for Evaluation {
    /// Leaves out the question, which holds the request with its credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluation")
            .field("revision", &self.revision)
            .field("result", &self.result)
            .field("answers", &self.answers)
            .field("reads", &self.trace.reads().len())
            .field("fuel", &self.fuel)
            .finish_non_exhaustive()
    }
}

impl PolicySet {
    /// `root` identifies everything but the documents.
    pub(crate) fn new(root: Digest, entries: Vec<Entry>, view: View) -> Self {
        let mut revision = Digester::new("ztlib revision 1");
        revision.part(root.as_bytes());
        for (name, document) in &view.documents.0 {
            revision.part(name.as_bytes());
            revision.part(document.to_string().as_bytes());
        }
        let is_pure = entries.iter().all(|entry| entry.policy.is_tracked());
        Self { revision: Revision(revision.finish()), root, entries, is_pure, view }
    }

    /// The same set with new content for one document. Nothing is compiled.
    pub(crate) fn with_document(&self, name: &str, document: Arc<Json>) -> Self {
        let mut documents = Documents::clone(&self.view.documents);
        documents.0.insert(name.into(), document);
        let view = View { documents: Arc::new(documents), ..self.view.clone() };
        Self::new(self.root, self.entries.clone(), view)
    }

    /// The same policies, or only one of them, with another view. For tests of policies: nothing is
    /// enforced with it.
    pub(crate) fn result(&self, alone: Option<&str>, view: View) -> Self {
        let entries = self.entries.iter().filter(|entry| alone.is_none_or(|name| *entry.name == *name));
        let entries = entries.cloned().collect();
        Self { revision: self.revision, root: self.root, entries, is_pure: self.is_pure, view }
    }

    /// The names of the policies, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_ref())
    }

    /// The same set with the content of these documents, where it declares a document of that name.
    /// Nothing is compiled.
    pub(crate) fn with_documents(&self, others: &Documents) -> Self {
        let mut documents = Documents::clone(&self.view.documents);
        for (name, document) in &mut documents.0 {
            if let Some(other) = others.0.get(name) {
                *document = other.clone();
            }
        }
        let view = View { documents: Arc::new(documents), ..self.view.clone() };
        Self::new(self.root, self.entries.clone(), view)
    }

    pub(crate) fn revision(&self) -> &Revision {
        &self.revision
    }

    /// Whether the trace holds every fact that a decision depends on. Otherwise it is not cached.
    pub(crate) fn is_pure(&self) -> bool {
        self.is_pure
    }

    /// Identifies everything but the documents, which are reads. The root of every trace (T6).
    pub(crate) fn root(&self) -> Digest {
        self.root
    }

    /// What the set adds to every question.
    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// Asks the policies in order.
    pub(crate) fn evaluate(&self, question: Box<Question>) -> Evaluation {
        let nothing = ReadLimits { calls: 0, bytes: 0 };
        let reader = Reader::new(question, self.view.clone(), nothing);
        let mut call = Box::new(Call { reader, outcome: Outcome::new(OutcomeLimits::default()) });
        let mut judgement = Judgement::default();
        let (mut log, mut answers, mut fuel) = (Vec::new(), Vec::with_capacity(self.entries.len()), 0_u64);
        let mut decided = None;
        for entry in &self.entries {
            let asked = entry.ask(call, &self.view);
            call = asked.call;
            fuel = fuel.saturating_add(asked.fuel);
            log.extend(call.outcome.log.drain(..).map(|line| (entry.name.clone(), line)));
            answers.extend(asked.result.as_ref().ok().map(|answer| (entry.name.clone(), *answer)));
            let answer = asked.result.map_err(|fault| call.reader.explain(fault));
            if answer == Ok(Answer::Allow) && call.reader.takes_any_issuers_word(&call.outcome) {
                judgement.obligations.on_any_issuers_word.get_or_insert_with(|| entry.name.clone());
            }
            if let ControlFlow::Break(result) = judgement.hear(entry, answer, &mut call.outcome) {
                decided = Some(result);
                break;
            }
        }
        let result = decided.unwrap_or_else(|| Ok(judgement.in_the_end()));
        let (question, trace) = call.reader.into_parts();
        let result = result.and_then(|decision| {
            decision.check_issuer(&question.caller)?;
            Ok(decision)
        });
        Evaluation { question, result, trace, log, answers, fuel, revision: self.revision }
    }
}

impl Entry {
    /// Asks one policy. It shares the reads of earlier ones and has its own budget.
    fn ask(&self, mut call: Box<Call>, view: &View) -> Evaluated {
        call.reader.begin(self.budget.reads);
        call.outcome = Outcome::new(self.budget.outcome).keeping(&view.secret_headers);
        self.policy.evaluate(call)
    }
}

/// The combined answers so far.
#[derive(Default)]
struct Judgement {
    allowed: bool,
    obligations: Obligations,
}

impl Judgement {
    /// Adds the answer of one policy. Breaks with the decision of the whole set as soon as no
    /// further policy can change it.
    fn hear(
        &mut self,
        entry: &Entry,
        answer: Result<Answer, Fault>,
        outcome: &mut Outcome,
    ) -> ControlFlow<Result<Decision, Fault>> {
        let heard = match answer {
            Ok(Answer::Allow) => match self.obligations.add(outcome) {
                Ok(()) => {
                    self.allowed = true;
                    return ControlFlow::Continue(());
                }
                Err(conflict) => Err(conflict.into()),
            },
            Ok(Answer::Deny) => denial(entry, outcome),
            Ok(Answer::Abstain) if entry.may_abstain => return ControlFlow::Continue(()),
            Ok(Answer::Abstain) => Ok(bare_denial(&entry.name, "abstained")),
            Err(fault) => Err(fault),
        };
        ControlFlow::Break(heard.map_err(|fault| fault.in_policy(&entry.name)))
    }

    /// The decision when every policy was asked and none denied. All required policies have
    /// allowed, or it would not get here.
    fn in_the_end(self) -> Decision {
        if self.allowed {
            Decision::Allow(self.obligations)
        } else {
            bare_denial(&SET_NAME.into(), "no-policy-allowed")
        }
    }
}

/// A policy's deny, with what it attached.
fn denial(entry: &Entry, outcome: &mut Outcome) -> Result<Decision, Fault> {
    let reason = match outcome.reason.take() {
        None => Reason::known("denied"),
        Some(reason) if entry.reasons.contains(reason.as_str()) => reason,
        Some(reason) => return Err(OutcomeFault::UndeclaredReason(reason).into()),
    };
    let (message, step_up) = (outcome.message.take(), outcome.step_up.take());
    Ok(Decision::Deny(Denial { policy: entry.name.clone(), reason, message, step_up }))
}

fn bare_denial(policy: &Arc<str>, reason: &'static str) -> Decision {
    Decision::Deny(Denial {
        policy: policy.clone(),
        reason: Reason::known(reason),
        message: None,
        step_up: None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;
    use crate::authenticate::Principal;
    use crate::authorize::NativePolicy;
    use crate::authorize::{Labels, Read};
    use crate::policies::PolicySetBuilder;

    /// What one policy of a generated set does.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Does {
        Allow,
        /// Allows, and sets the header `x-who` to this.
        AllowAs(u8),
        Deny,
        DenyDeclared,
        DenyUndeclared,
        Abstain,
        Fault,
        Panic,
    }

    struct Script(Does, Arc<Mutex<usize>>);
    impl NativePolicy for Script {
        fn decide(&self, _: &mut Reader, outcome: &mut Outcome) -> Result<Answer, Fault> {
            *self.1.lock().unwrap() += 1;
            outcome.log("asked")?;
            match self.0 {
                Does::Allow => Ok(Answer::Allow),
                Does::AllowAs(who) => {
                    outcome.set_request_header("x-who", &who.to_string())?;
                    Ok(Answer::Allow)
                }
                Does::Deny => {
                    // Obligations count only with an allow.
                    outcome.set_request_header("x-who", "nobody")?;
                    Ok(Answer::Deny)
                }
                Does::DenyDeclared => {
                    outcome.reason("declared")?;
                    Ok(Answer::Deny)
                }
                Does::DenyUndeclared => {
                    outcome.reason("undeclared")?;
                    Ok(Answer::Deny)
                }
                Does::Abstain => {
                    outcome.set_request_header("x-who", "nobody")?;
                    outcome.reason("undeclared")?;
                    Ok(Answer::Abstain)
                }
                Does::Fault => Err(Fault::new("scripted", "")),
                Does::Panic => panic!("scripted"),
            }
        }
    }

    /// The rules of a set in twenty lines. Returns the decision and how many policies were asked.
    fn model(policies: &[(Does, bool)]) -> (String, usize) {
        let mut who = None;
        let mut allowed = false;
        for (index, (does, may_abstain)) in policies.iter().enumerate() {
            let asked = index + 1;
            match does {
                Does::Allow => allowed = true,
                Does::AllowAs(new) => {
                    if who.is_some_and(|who| who != *new) {
                        return (format!("fault p{index} outcome-conflicting-header"), asked);
                    }
                    (who, allowed) = (Some(*new), true);
                }
                Does::Deny => return (format!("deny p{index} denied"), asked),
                Does::DenyDeclared => return (format!("deny p{index} declared"), asked),
                Does::DenyUndeclared => return (format!("fault p{index} outcome-undeclared-reason"), asked),
                Does::Abstain if *may_abstain => {}
                Does::Abstain => return (format!("deny p{index} abstained"), asked),
                Does::Fault => return (format!("fault p{index} scripted"), asked),
                Does::Panic => return (format!("fault p{index} panicked"), asked),
            }
        }
        let headers = who.map_or(0, |_| 1);
        (
            if allowed { format!("allow {headers}") } else { "deny policy-set no-policy-allowed".to_owned() },
            policies.len(),
        )
    }

    fn run(policies: &[(Does, bool)]) -> (String, usize, usize) {
        let asked = Arc::new(Mutex::new(0));
        let mut builder = PolicySetBuilder::new();
        for (index, (does, may_abstain)) in policies.iter().enumerate() {
            builder =
                builder.native(&format!("p{index}"), Script(*does, asked.clone())).reasons(["declared"]);
            if *may_abstain {
                builder = builder.may_abstain();
            }
        }
        let policies = builder.load().unwrap();
        let evaluation =
            policies.simulate(Principal::anonymous(), "a", Labels::new(), SystemTime::UNIX_EPOCH);
        let said = match evaluation.result() {
            Ok(Decision::Allow(obligations)) => format!("allow {}", obligations.request.len()),
            Ok(Decision::Deny(denial)) => format!("deny {} {}", denial.policy(), denial.reason()),
            Err(fault) => format!("fault {} {}", fault.policy().unwrap(), fault.code()),
        };
        let asked = *asked.lock().unwrap();
        (said, asked, evaluation.log().len())
    }

    fn does() -> impl Strategy<Value = Does> {
        prop_oneof![
            4 => Just(Does::Allow),
            3 => (0_u8..2).prop_map(Does::AllowAs),
            1 => Just(Does::Deny),
            1 => Just(Does::DenyDeclared),
            1 => Just(Does::DenyUndeclared),
            4 => Just(Does::Abstain),
            1 => Just(Does::Fault),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_set_decides_as_the_model_says(policies in prop::collection::vec((does(), any::<bool>()), 1..6)) {
            let (said, asked, logged) = run(&policies);
            prop_assert_eq!((said, asked), model(&policies));
            prop_assert_eq!(logged, asked);
        }
    }

    #[test]
    fn the_rules_of_a_set_one_by_one() {
        use Does::*;
        let (required, may_abstain) = (false, true);
        for (policies, said) in [
            (vec![(Allow, required)], "allow 0"),
            (vec![(Abstain, required)], "deny p0 abstained"),
            (vec![(Abstain, may_abstain)], "deny policy-set no-policy-allowed"),
            (vec![(Abstain, may_abstain), (Allow, required)], "allow 0"),
            (vec![(Allow, may_abstain), (Abstain, may_abstain)], "allow 0"),
            (vec![(Allow, required), (Deny, may_abstain)], "deny p1 denied"),
            (vec![(Deny, may_abstain), (Fault, required)], "deny p0 denied"),
            (vec![(Allow, required), (Fault, may_abstain)], "fault p1 scripted"),
            (vec![(AllowAs(1), required), (AllowAs(1), required)], "allow 1"),
            (vec![(AllowAs(1), required), (AllowAs(2), required)], "fault p1 outcome-conflicting-header"),
            (vec![(Abstain, may_abstain), (AllowAs(1), required)], "allow 1"),
        ] {
            assert_eq!(run(&policies).0, said, "{policies:?}");
            assert_eq!(model(&policies).0, said, "{policies:?}");
        }
    }

    #[test]
    fn a_panicking_native_policy_is_a_fault() {
        assert_eq!(run(&[(Does::Panic, false), (Does::Allow, false)]).0, "fault p0 panicked");
    }

    /// Makes this many reads, all different.
    struct Reads(u32);
    impl NativePolicy for Reads {
        fn decide(&self, question: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
            for number in 0..self.0 {
                question.read(Read::Label(number.to_string().into()))?;
            }
            Ok(Answer::Allow)
        }
    }

    #[test]
    fn each_policy_has_a_budget_of_its_own_for_reads() {
        let mut small = Budget::default();
        small.reads.calls = 10;
        let load = |second: u32| {
            let builder = PolicySetBuilder::new().native("one", Reads(200)).native("two", Reads(second));
            builder.budget(small.clone()).load().unwrap()
        };
        let ask = |policies: &crate::policies::PolicyStore| {
            policies.simulate(Principal::anonymous(), "a", Labels::new(), SystemTime::UNIX_EPOCH)
        };
        assert!(ask(&load(10)).result().is_ok());
        let evaluation = ask(&load(11));
        let fault = evaluation.result().clone().unwrap_err();
        assert_eq!((fault.policy(), fault.code()), (Some("two"), "read-budget"));
        assert_eq!(evaluation.trace().reads().len(), 200);
    }
}

//! The policy set: one immutable revision, and how its policies' answers become one decision.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value as Json;

use super::blueprint::Known;
use super::digest::{Digest, Digester};
use super::wasm::{Budget, Evaluated, WasmPolicy};
use super::{Call, NativePolicy};
use crate::authorize::decision::{Decision, Denial, Fault, Obligations};
use crate::authorize::documents::Documents;
use crate::authorize::outcome::{Answer, Outcome, OutcomeFault, OutcomeLimits, Reason};
use crate::authorize::question::{Question, View};
use crate::authorize::reader::{ReadLimits, Reader};
use crate::authorize::trace::Trace;

/// The name under which the set itself denies.
pub(super) const SET_NAME: &str = "policy-set";

/// The name of a loaded policy set: a digest over its modules, their configuration, budgets and declared reasons, the documents and the
/// rest of the manifest. Equal revisions decide alike.
///
/// It prints as 12 hexadecimal digits; [`Revision::digest`] gives all 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(Digest);

impl Revision {
    /// The whole digest (SHA-256) in hexadecimal digits.
    pub fn digest(&self) -> String {
        self.0.to_string()
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_string().get(..12).unwrap_or_default())
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
    pub(crate) policy: Policy,
}

/// Who answers.
#[derive(Clone)]
pub(crate) enum Policy {
    Wasm(WasmPolicy),
    Native(Arc<dyn NativePolicy>),
}

/// One revision. Everything that a decision can hang on besides the question is in here, and none of it changes.
pub(crate) struct PolicySet {
    pub(super) revision: Revision,
    /// What the revision names besides the documents.
    root: Digest,
    entries: Vec<Entry>,
    pub(super) view: View,
}

/// What came of asking a policy set one question.
#[derive(Debug)]
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
    /// The decision, or why there is none. A fault refuses.
    pub fn result(&self) -> &Result<Decision, Fault> {
        &self.result
    }

    /// What was read, with what came back.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The lines that policies logged, each with the policy's name.
    pub fn log(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.log.iter().map(|(policy, line)| (policy.as_ref(), line.as_ref()))
    }

    /// What each policy said, in order, up to the one that decided or stopped.
    pub fn answers(&self) -> impl ExactSizeIterator<Item = (&str, Answer)> {
        self.answers.iter().map(|(policy, answer)| (policy.as_ref(), *answer))
    }

    /// The fuel that all policies together used.
    pub fn fuel(&self) -> u64 {
        self.fuel
    }

    /// The revision that judged.
    pub fn revision(&self) -> Revision {
        self.revision
    }
}

impl PolicySet {
    /// `root` names everything but the documents.
    pub(super) fn new(root: Digest, entries: Vec<Entry>, view: View) -> Self {
        let mut revision = Digester::new("ztlib revision 1");
        revision.part(root.as_bytes());
        for (name, document) in &view.documents.0 {
            revision.part(name.as_bytes());
            revision.part(document.to_string().as_bytes());
        }
        Self { revision: Revision(revision.finish()), root, entries, view }
    }

    /// The same set with other contents of one document. Nothing is compiled.
    pub(super) fn with_document(&self, name: &str, document: Arc<Json>) -> Self {
        let mut documents = Documents::clone(&self.view.documents);
        documents.0.insert(name.into(), document);
        let view = View { documents: Arc::new(documents), ..self.view.clone() };
        Self::new(self.root, self.entries.clone(), view)
    }

    /// The modules that this set has compiled.
    pub(super) fn compiled(&self) -> Known {
        let policies = self.entries.iter().filter_map(|entry| match &entry.policy {
            Policy::Wasm(policy) => Some((policy.compiled().digest(), policy.compiled().clone())),
            Policy::Native(_) => None,
        });
        policies.collect()
    }

    /// The revision's name.
    pub(crate) fn revision(&self) -> &Revision {
        &self.revision
    }

    /// Whether every fact that a decision hangs on is in its trace. Otherwise it is not cached.
    pub(crate) fn is_pure(&self) -> bool {
        self.entries.iter().all(|entry| matches!(entry.policy, Policy::Wasm(_)))
    }

    /// What the revision names besides the documents: the root of every trace (T6). Documents are reads.
    pub(crate) fn root(&self) -> Digest {
        self.root
    }

    /// What the set brings to every question.
    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// An earlier evaluation's decision, for a question that it holds for. Nobody was asked: there are no answers, no log and no fuel.
    pub(crate) fn remembered(&self, question: Box<Question>, decision: Decision, trace: Trace) -> Evaluation {
        Evaluation {
            question,
            result: Ok(decision),
            trace,
            log: Vec::new(),
            answers: Vec::new(),
            fuel: 0,
            revision: self.revision,
        }
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
            let asked = entry.ask(call);
            call = asked.call;
            fuel = fuel.saturating_add(asked.fuel);
            log.extend(call.outcome.log.drain(..).map(|line| (entry.name.clone(), line)));
            answers.extend(asked.result.as_ref().ok().map(|answer| (entry.name.clone(), *answer)));
            if let ControlFlow::Break(result) = judgement.hear(entry, asked.result, &mut call.outcome) {
                decided = Some(result);
                break;
            }
        }
        let result = decided.unwrap_or_else(|| Ok(judgement.in_the_end()));
        let (question, trace) = call.reader.into_parts();
        Evaluation { question, result, trace, log, answers, fuel, revision: self.revision }
    }
}

impl Entry {
    /// Asks this policy, with what earlier ones read still known and a budget of its own.
    fn ask(&self, mut call: Box<Call>) -> Evaluated {
        call.reader.begin(self.budget.reads);
        call.outcome = Outcome::new(self.budget.outcome);
        match &self.policy {
            Policy::Wasm(policy) => policy.evaluate(call),
            Policy::Native(policy) => {
                // A panic of the application's own policy refuses this request and harms no other.
                let asked =
                    catch_unwind(AssertUnwindSafe(|| policy.decide(&mut call.reader, &mut call.outcome)));
                let result =
                    asked.unwrap_or_else(|_| Err(Fault::new("panicked", "the native policy panicked")));
                Evaluated { call, result, fuel: 0 }
            }
        }
    }
}

/// What the answers so far come to.
#[derive(Default)]
struct Judgement {
    allowed: bool,
    obligations: Obligations,
}

impl Judgement {
    /// Hears one policy; breaks with what the whole set says as soon as no other policy can change it.
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

    /// What the set says when all have been heard and none denied. Required policies have allowed, or it would not have come to this.
    fn in_the_end(self) -> Decision {
        if self.allowed {
            Decision::Allow(self.obligations)
        } else {
            bare_denial(&SET_NAME.into(), "no-policy-allowed")
        }
    }
}

/// A policy's deny with what it attached.
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

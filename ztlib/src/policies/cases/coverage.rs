//! Which answers, reasons and reads of a policy its cases have shown.

use std::collections::BTreeSet;

use super::draft::PolicyFacts;
use super::report::Report;
use crate::authorize::Answer;

/// What the cases have shown about one policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Coverage {
    /// The name of the policy.
    pub policy: String,
    /// The number of cases in which it allowed.
    pub allowed: usize,
    /// The number of cases in which it denied.
    pub denied: usize,
    /// The number of cases in which it abstained.
    pub abstained: usize,
    /// The number of cases in which it gave no answer.
    pub faults: usize,
    /// Each reason that the manifest declares, with the number of cases in which the policy gave
    /// it. 0 means a rule that never fired.
    pub reasons: Vec<(String, usize)>,
    /// The reads in the cases about this policy alone and about the whole set, each once, as the
    /// contract spells it.
    pub reads: BTreeSet<String>,
}

impl Coverage {
    pub(crate) fn of(policy: &PolicyFacts, report: &Report) -> Self {
        let mut coverage = Self { policy: policy.name.clone(), ..Self::default() };
        coverage.reasons = policy.reasons.iter().map(|reason| (reason.clone(), 0)).collect();
        let about = |name: Option<&str>| name.is_none_or(|name| name == policy.name);
        for result in report.results().filter(|result| about(result.policy())) {
            let evaluation = result.evaluation();
            coverage.reads.extend(evaluation.trace().reads().map(|(read, _)| read.to_string()));
            match evaluation.answers().find(|(name, _)| *name == policy.name) {
                Some((_, Answer::Allow)) => coverage.allowed += 1,
                Some((_, Answer::Deny)) => coverage.denied += 1,
                Some((_, Answer::Abstain)) => coverage.abstained += 1,
                None => {}
            }
            if result.decided_by() != Some(&policy.name) {
                continue;
            }
            coverage.faults += usize::from(result.verdict().is_no_decision());
            let given = coverage.reasons.iter_mut().find(|(reason, _)| result.reason() == Some(reason));
            if let Some((_, times)) = given {
                *times += 1;
            }
        }
        coverage
    }
}

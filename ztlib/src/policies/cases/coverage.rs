//! What cases have shown of a policy, and what they have not.

use std::collections::BTreeSet;

use super::draft::PolicyFacts;
use super::report::Report;
use crate::authorize::Answer;

/// What cases have shown of one policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Coverage {
    /// The policy.
    pub policy: String,
    /// In how many cases it allowed.
    pub allowed: usize,
    /// In how many it denied.
    pub denied: usize,
    /// In how many it abstained.
    pub abstained: usize,
    /// In how many it gave no answer.
    pub faults: usize,
    /// Each reason that the manifest declares, and in how many cases the policy gave it: 0 is a
    /// rule that never fired.
    pub reasons: Vec<(String, usize)>,
    /// What was read in the cases about this policy alone and in those about the whole set, each
    /// once, as the contract spells it.
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

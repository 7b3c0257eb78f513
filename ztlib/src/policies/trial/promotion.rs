//! When the results of a candidate are enough to promote it.

use std::time::Duration;

use super::differences::{Change, Differences};

/// When a candidate may replace the set in force: after it has judged this many questions, asked
/// over this much time, and would have changed nothing. Verbs allow certain changes all the same.
///
/// Whatever the verbs allow, a candidate fails if it reached no decision even once, or could not
/// judge one of the questions.
///
/// ```
/// use std::time::Duration;
/// use ztlib::policies::trial::PromotionRule;
///
/// // A stricter set: after an hour and 10 000 requests, if it would not have let any through that
/// // was refused.
/// let rule = PromotionRule::new(10_000, Duration::from_secs(3600))
///     .allow_tightening()
///     .allow_other_denials();
/// # let _ = rule;
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct PromotionRule {
    requests: u64,
    period: Duration,
    allowed: Vec<Change>,
}

impl PromotionRule {
    /// Requires at least this many questions (at least 1), and at least this much time between the
    /// first and the last, by the guard's clock. With a period of zero only the number counts. A
    /// rule that no trial can satisfy promotes nothing.
    pub fn new(requests: u64, period: Duration) -> Self {
        Self { requests: requests.max(1), period, allowed: Vec::new() }
    }

    /// Loosens: a refusal may become an allow.
    pub fn allow_loosening(self) -> Self {
        self.allow(Change::Loosened)
    }

    /// Loosens: an allow may become a denial, so that callers lose access.
    pub fn allow_tightening(self) -> Self {
        self.allow(Change::Tightened)
    }

    /// Loosens: a refusal may become a denial for another reason.
    pub fn allow_other_denials(self) -> Self {
        self.allow(Change::OtherDenial)
    }

    /// Loosens: an allow may have other obligations.
    pub fn allow_other_obligations(self) -> Self {
        self.allow(Change::OtherObligations)
    }

    fn allow(mut self, change: Change) -> Self {
        self.allowed.push(change);
        self
    }

    /// Checks whether the results are enough. [`Candidate::check`](super::Candidate::check) also
    /// checks that they were found against the policies in force.
    ///
    /// # Errors
    /// [`PromotionError::WouldFault`], [`PromotionError::WouldChange`],
    /// [`PromotionError::NotJudged`], [`PromotionError::TooLittleEvidence`].
    pub fn check(&self, found: &Differences) -> Result<(), PromotionError> {
        use Change::{Fault, Loosened, OtherDenial, OtherObligations, Tightened};
        if found.faults() > 0 {
            return Err(PromotionError::WouldFault(found.summary()));
        }
        let kinds = [Tightened, Loosened, OtherDenial, OtherObligations, Fault];
        if kinds.iter().any(|kind| !self.allowed.contains(kind) && found.changes(*kind) > 0) {
            return Err(PromotionError::WouldChange(found.summary()));
        }
        if found.not_judged() > 0 {
            return Err(PromotionError::NotJudged(found.summary()));
        }
        if found.judged() < self.requests || found.span() < self.period {
            return Err(PromotionError::TooLittleEvidence {
                judged: found.judged(),
                of: self.requests,
                period: found.span(),
                of_period: self.period,
            });
        }
        Ok(())
    }
}

/// Why a rule does not allow a candidate to be promoted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PromotionError {
    /// It would make a change that the rule does not allow.
    #[error("the candidate would change what the rule does not allow: {0}")]
    WouldChange(String),
    /// It reached no decision at least once.
    #[error("the candidate reaches no decision for some requests: {0}")]
    WouldFault(String),
    /// It could not judge some of the questions.
    #[error("the candidate could not judge all requests, because it reads what was not recorded: {0}")]
    NotJudged(String),
    /// It has not judged enough yet.
    #[error(
        "the candidate has judged {judged} of {of} requests over {} of {} seconds: continue the trial",
        period.as_secs(), of_period.as_secs()
    )]
    TooLittleEvidence {
        /// The number of questions that it has judged.
        judged: u64,
        /// The number that the rule requires.
        of: u64,
        /// The time from the first to the last of them.
        period: Duration,
        /// The time that the rule requires.
        of_period: Duration,
    },
    /// The results were found against other policies than those in force.
    #[error(
        "some of the requests were decided by other policies than those in force now: try the candidate against these"
    )]
    StaleEvidence,
    /// The results are about another candidate.
    #[error("the results are about another candidate: check the one that was tried")]
    OtherCandidate,
}

impl PromotionError {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WouldChange(_) => "would-change",
            Self::WouldFault(_) => "would-fault",
            Self::NotJudged(_) => "not-judged",
            Self::TooLittleEvidence { .. } => "too-little-evidence",
            Self::StaleEvidence => "stale-evidence",
            Self::OtherCandidate => "other-candidate",
        }
    }
}

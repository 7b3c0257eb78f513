//! When what was found of a candidate is enough to promote it.

use std::time::Duration;

use super::differences::{Change, Differences};

/// When a candidate may take the place of what is in force: after it has judged so many questions,
/// which were asked over so long, and would have changed nothing. What may change all the same is
/// said by a verb.
///
/// Whatever the verbs say, a candidate fails that reached no decision even once, or could not judge
/// one of the questions.
///
/// ```
/// use std::time::Duration;
/// use ztlib::policies::trial::PromotionRule;
///
/// // A stricter set: after an hour and 10 000 requests, if it would have let none through that
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
    /// After at least so many questions (at least 1), from the first of which to the last it took
    /// at least so long, by the guard's clock. With a period of nothing the number alone
    /// counts; what no trial can reach promotes nothing.
    pub fn new(requests: u64, period: Duration) -> Self {
        Self { requests: requests.max(1), period, allowed: Vec::new() }
    }

    /// Loosens: what was refused may be allowed.
    pub fn allow_loosening(self) -> Self {
        self.allow(Change::Loosened)
    }

    /// Loosens: what was allowed may be denied, so that callers lose what they have.
    pub fn allow_tightening(self) -> Self {
        self.allow(Change::Tightened)
    }

    /// Loosens: what was refused may be denied for another reason.
    pub fn allow_other_denials(self) -> Self {
        self.allow(Change::OtherDenial)
    }

    /// Loosens: what was allowed may be allowed with other obligations.
    pub fn allow_other_obligations(self) -> Self {
        self.allow(Change::OtherObligations)
    }

    fn allow(mut self, change: Change) -> Self {
        self.allowed.push(change);
        self
    }

    /// Whether what was found is enough. [`Candidate::check`](super::Candidate::check) also asks
    /// whether it was found against the policies that are in force.
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

/// Why a rule does not let a candidate be promoted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PromotionError {
    /// It would change what the rule does not allow to change.
    #[error("the candidate would change what the rule does not allow: {0}")]
    WouldChange(String),
    /// It reached no decision at least once.
    #[error("the candidate reaches no decision on some requests: {0}")]
    WouldFault(String),
    /// It could not judge some of the questions.
    #[error("the candidate could not judge all requests, because it reads what was not recorded: {0}")]
    NotJudged(String),
    /// It has not judged enough yet.
    #[error(
        "the candidate has judged {judged} of {of} requests over {} of {} seconds: go on trying it",
        period.as_secs(), of_period.as_secs()
    )]
    TooLittleEvidence {
        /// Questions that it has judged.
        judged: u64,
        /// How many the rule asks for.
        of: u64,
        /// From the first to the last of them.
        period: Duration,
        /// How long the rule asks for.
        of_period: Duration,
    },
    /// What was found was found against other policies than those in force.
    #[error(
        "other policies have come in force since, or had decided some of the requests: try the candidate against those in force"
    )]
    StaleEvidence,
    /// What was found is about another candidate.
    #[error("what was found is about another candidate")]
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

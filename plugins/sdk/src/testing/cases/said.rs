//! What was said to a case.

use super::error::shown;
use super::expectation::{StepUpWanted, Word};
use crate::Answer;
use crate::testing::{Fault, HeaderChange, Read, Verdict};

/// What was said to a case, in the form in which it is compared.
pub(super) struct Said {
    pub(super) word: Word,
    pub(super) policy: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
    pub(super) step_up: StepUpWanted,
    pub(super) request_headers: Vec<HeaderChange>,
    pub(super) response_headers: Vec<HeaderChange>,
    pub(super) reads: Vec<String>,
}

impl Said {
    /// `name` is the policy's, where it is known; `applied`: whether there is a request whose headers an allow changes.
    pub(super) fn of(result: Result<Verdict, Fault>, name: Option<&str>, applied: bool) -> Self {
        let reads = |trace: &[Read]| trace.iter().map(ToString::to_string).collect();
        let nothing = |word: Word, reads: Vec<String>| Self {
            word,
            policy: None,
            reason: None,
            message: None,
            step_up: StepUpWanted::default(),
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            reads,
        };
        let policy = name.map(str::to_owned);
        match result {
            Err(fault) => {
                let said = nothing(Word::Fault, reads(&fault.trace));
                Self { policy, reason: Some(fault.code.to_owned()), ..said }
            }
            Ok(verdict) => {
                let reads = reads(&verdict.trace);
                match verdict.answer {
                    Answer::Abstain => nothing(Word::Abstain, reads),
                    Answer::Allow if !applied => nothing(Word::Allow, reads),
                    Answer::Allow => Self {
                        request_headers: verdict.request_headers,
                        response_headers: verdict.response_headers,
                        ..nothing(Word::Allow, reads)
                    },
                    Answer::Deny => Self {
                        policy,
                        reason: Some(verdict.reason.unwrap_or_else(|| "denied".to_owned())),
                        message: verdict.message,
                        step_up: verdict
                            .step_up
                            .map(|asked| StepUpWanted { acr: asked.acr, max_age: asked.max_age })
                            .unwrap_or_default(),
                        ..nothing(Word::Deny, reads)
                    },
                }
            }
        }
    }

    /// "deny `no-role` by `rbac`", for people.
    pub(super) fn outcome(&self) -> String {
        let mut text = self.word.name().to_owned();
        if let Some(reason) = &self.reason {
            text.push_str(&format!(" `{}`", shown(reason)));
        }
        if let Some(policy) = &self.policy {
            text.push_str(&format!(" by `{}`", shown(policy)));
        }
        text
    }
}

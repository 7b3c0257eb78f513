//! What was said to a case.

use ztlib_contract::cases::{HeaderChange, Said, StepUp};

use crate::Answer;
use crate::testing::{self, Fault, Verdict};

/// What was said to a case, in the form in which it is compared. `name` is the policy's, where it
/// is known; `applied`: whether there is a request whose headers an allow changes.
pub(super) fn said(result: Result<Verdict, Fault>, name: Option<&str>, applied: bool) -> Said<String> {
    use ztlib_contract::cases::CaseVerdict::{Abstain, Allow, BadRequest, Deny, Fault};
    let policy = name.map(str::to_owned);
    let verdict = match result {
        Err(fault) => {
            let verdict = if fault.is_bad_request() { BadRequest } else { Fault };
            let (reason, detail) = (Some(fault.code.to_owned()), Some(fault.text));
            return Said { policy, reason, detail, ..Said::new(verdict) };
        }
        Ok(verdict) => verdict,
    };
    match verdict.answer {
        Answer::Abstain => Said::new(Abstain),
        Answer::Allow if !applied => Said::new(Allow),
        Answer::Allow => Said {
            request_headers: changes(verdict.request_headers),
            response_headers: changes(verdict.response_headers),
            ..Said::new(Allow)
        },
        Answer::Deny => Said {
            policy,
            reason: Some(verdict.reason.unwrap_or_else(|| "denied".to_owned())),
            message: verdict.message,
            step_up: verdict
                .step_up
                .map(|asked| StepUp { acr: asked.acr, max_age: asked.max_age })
                .unwrap_or_default(),
            ..Said::new(Deny)
        },
    }
}

fn changes(headers: Vec<testing::HeaderChange>) -> Vec<HeaderChange<String>> {
    headers.into_iter().map(|change| HeaderChange { name: change.name, value: change.value }).collect()
}

//! A conclusion: the result of a set, in a form to compare, print and keep.

use std::fmt;

use serde::Serialize;

use crate::authorize::Obligation;
use crate::authorize::{Decision, Fault, FaultOrigin};
use crate::digest::Digest;
use crate::policies::cases::CaseVerdict;

/// The result of a policy set for one question, a decision or a fault, in a form that can be
/// compared with another set's.
///
/// It prints as `allow`, `deny (rbac: no-role)`, `fault (rbac: trap)`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Conclusion {
    #[serde(serialize_with = "super::shown")]
    pub(crate) verdict: CaseVerdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Box<str>>,
    #[serde(rename = "step-up", skip_serializing_if = "Option::is_none")]
    pub(crate) step_up: Option<Box<str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) obligations: Vec<Box<str>>,
}

impl Conclusion {
    pub(crate) fn of(result: &Result<Decision, Fault>) -> Self {
        let bare =
            |verdict| Self { verdict, policy: None, reason: None, step_up: None, obligations: Vec::new() };
        match result {
            Ok(Decision::Allow(obligations)) => {
                let all = |of: &str, obligations: &[Obligation]| -> Vec<Box<str>> {
                    let digest = |value: &[u8]| Digest::of(value).to_string();
                    obligations.iter().map(|one| format!("{of} {}", one.describe(digest)).into()).collect()
                };
                let mut allow = bare(CaseVerdict::Allow);
                if !obligations.is_empty() {
                    allow.obligations = all("request", &obligations.request);
                    allow.obligations.extend(all("response", &obligations.response));
                    // The order of the policies' obligations does not matter.
                    allow.obligations.sort_unstable();
                }
                allow
            }
            Ok(Decision::Deny(denial)) => Self {
                policy: Some(denial.policy().into()),
                reason: Some(denial.reason().as_str().into()),
                step_up: denial.step_up().map(|step_up| {
                    let age = step_up.max_age().map(|age| format!("max-age={age}"));
                    let acr = step_up.acr().map(|acr| format!("acr={acr}"));
                    [acr, age].into_iter().flatten().collect::<Vec<_>>().join(" ").into()
                }),
                ..bare(CaseVerdict::Deny)
            },
            Err(fault) => Self {
                policy: fault.policy().map(Into::into),
                reason: Some(fault.code().into()),
                ..bare(match fault.origin() {
                    FaultOrigin::Request => CaseVerdict::BadRequest,
                    FaultOrigin::Service => CaseVerdict::Fault,
                })
            },
        }
    }

    /// The verdict: allow, deny, fault or bad-request.
    pub fn verdict(&self) -> CaseVerdict {
        self.verdict
    }

    /// The policy that denied or failed.
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// The reason of a denial, or the code of a fault.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The login that a denial asks for, such as `acr=urn:example:strong max-age=300`.
    pub fn step_up(&self) -> Option<&str> {
        self.step_up.as_deref()
    }

    /// The obligations of an allow, sorted: `request x-tenant := {claim:/tenant}`, `response x-old
    /// removed`. A value set by a policy is printed only as the beginning of its digest (`x-a =
    /// #3f5a…`), since the policy may have made it from something that must not be kept.
    pub fn obligations(&self) -> impl ExactSizeIterator<Item = &str> {
        self.obligations.iter().map(AsRef::as_ref)
    }

    /// The memory that it uses, in bytes.
    pub(crate) fn size(&self) -> usize {
        let texts = [&self.policy, &self.reason, &self.step_up].into_iter().flatten();
        texts.chain(&self.obligations).map(|text| text.len() + 16).sum()
    }
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verdict)?;
        match (self.policy(), self.reason()) {
            (Some(policy), Some(reason)) => write!(f, " ({policy}: {reason}")?,
            (None, Some(reason)) => write!(f, " ({reason}")?,
            _ if self.obligations.is_empty() => return Ok(()),
            _ => return write!(f, " ({})", self.obligations.join(", ")),
        }
        if let Some(step_up) = self.step_up() {
            write!(f, "; step-up {}", step_up.escape_debug())?;
        }
        f.write_str(")")
    }
}

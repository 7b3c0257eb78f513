//! What was said to a case, and how it differs from what the case expects.

use super::expectation::{HeaderWanted, Headers};
use super::{At, CaseVerdict, Expectation, StepUp, shown};

/// What was said to a case, in the form in which it is compared. `V` is a header's value, as the
/// side that asked has it.
///
/// ```
/// use ztlib_contract::cases::{CaseVerdict, Said};
///
/// let said: Said<String> =
///     Said { reason: Some("no-role".to_owned()), ..Said::new(CaseVerdict::Deny) };
/// assert_eq!(said.outcome(), "deny `no-role`");
/// ```
#[derive(Debug, Clone)]
pub struct Said<V> {
    /// What was said.
    pub verdict: CaseVerdict,
    /// Who denied or failed.
    pub policy: Option<String>,
    /// The reason of a denial, the code of a fault.
    pub reason: Option<String>,
    /// What is wrong, with a fault.
    pub detail: Option<String>,
    /// What the caller is told with a denial.
    pub message: Option<String>,
    /// What a denial asks for.
    pub step_up: StepUp,
    /// The headers of the request that an allow changes.
    pub request_headers: Vec<HeaderChange<V>>,
    /// The headers of the response that an allow changes.
    pub response_headers: Vec<HeaderChange<V>>,
}

/// A header that is changed.
#[derive(Debug, Clone)]
pub struct HeaderChange<V> {
    /// Its name, in lower case.
    pub name: String,
    /// Its value; none: it is removed.
    pub value: Option<V>,
}

impl<V> Said<V> {
    /// A verdict and nothing with it.
    pub fn new(verdict: CaseVerdict) -> Self {
        Self {
            verdict,
            policy: None,
            reason: None,
            detail: None,
            message: None,
            step_up: StepUp::default(),
            request_headers: Vec::new(),
            response_headers: Vec::new(),
        }
    }

    /// "deny `no-role` by `rbac`", for people; of a fault also what is wrong.
    pub fn outcome(&self) -> String {
        let mut text = self.verdict.to_string();
        if let Some(reason) = &self.reason {
            text.push_str(&format!(" `{}`", shown(reason)));
        }
        if let Some(policy) = &self.policy {
            text.push_str(&format!(" by `{}`", shown(policy)));
        }
        if let Some(detail) = &self.detail {
            text.push_str(&format!(": {}", shown(detail)));
        }
        text
    }
}

impl Expectation {
    /// Every difference, with the line in which something else is expected. `reads` is the whole
    /// trace, in order, as it prints.
    pub fn differences<V: AsRef<[u8]>>(
        &self,
        said: &Said<V>,
        reads: impl Iterator<Item = String>,
    ) -> Vec<(usize, String)> {
        let mut all = Vec::new();
        if let Some(At { line, value }) = &self.verdict
            && said.verdict != *value
        {
            all.push((*line, format!("expected {value}, got {}", said.outcome())));
            // What goes with another verdict differs as a matter of course.
            return all;
        }
        text(&mut all, "the reason", self.reason.as_ref(), said.reason.as_deref());
        text(&mut all, "the policy", self.policy.as_ref(), said.policy.as_deref());
        text(&mut all, "the message", self.message.as_ref(), said.message.as_deref());
        if let Some(At { line, value }) = &self.step_up
            && said.step_up != *value
        {
            all.push((*line, format!("expected the step-up {value}, got {}", said.step_up)));
        }
        headers(&mut all, "request", self.request_headers.as_ref(), &said.request_headers);
        headers(&mut all, "response", self.response_headers.as_ref(), &said.response_headers);
        if let Some(At { line, value }) = &self.reads {
            let got: Vec<String> = reads.collect();
            if *value != got {
                all.push((*line, first_difference(value, &got)));
            }
        }
        all
    }
}

fn text(all: &mut Vec<(usize, String)>, what: &str, wanted: Option<&At<String>>, got: Option<&str>) {
    let Some(At { line, value }) = wanted else { return };
    if got != Some(value) {
        let got = got.map_or_else(|| "none".to_owned(), |got| format!("`{}`", shown(got)));
        all.push((*line, format!("expected {what} `{}`, got {got}", shown(value))));
    }
}

fn headers<V: AsRef<[u8]>>(
    all: &mut Vec<(usize, String)>,
    of: &str,
    wanted: Option<&At<Headers>>,
    got: &[HeaderChange<V>],
) {
    let Some(At { line, value: wanted }) = wanted else { return };
    for (name, wanted) in wanted {
        let change = got.iter().find(|change| change.name == *name);
        let change = change.map(|change| change.value.as_ref().map(AsRef::as_ref));
        let meets = match (wanted, change) {
            (HeaderWanted::Removed, Some(None)) | (HeaderWanted::Set, Some(Some(_))) => true,
            (HeaderWanted::SetTo(value), Some(Some(got))) => got == value.as_bytes(),
            _ => false,
        };
        if !meets {
            let wanted = match wanted {
                HeaderWanted::Removed => "to be removed".to_owned(),
                HeaderWanted::Set => "to be set".to_owned(),
                HeaderWanted::SetTo(value) => format!("to be `{}`", shown(value)),
            };
            let got = match change {
                None => "it is left alone".to_owned(),
                Some(None) => "it is removed".to_owned(),
                Some(Some(value)) => format!("it is `{}`", shown(&String::from_utf8_lossy(value))),
            };
            all.push((*line, format!("expected the {of} header `{}` {wanted}, and {got}", shown(name))));
        }
    }
    for change in got.iter().filter(|change| !wanted.iter().any(|(name, _)| *name == change.name)) {
        all.push((*line, format!("the {of} header `{}` is changed, which is not expected", change.name)));
    }
}

fn first_difference(wanted: &[String], got: &[String]) -> String {
    let same = wanted.iter().zip(got).take_while(|(wanted, got)| wanted == got).count();
    let nth = |reads: &[String]| {
        reads.get(same).map_or_else(|| "nothing more".to_owned(), |read| format!("`{}`", shown(read)))
    };
    format!("expected {} as read {}, got {}", nth(wanted), same.saturating_add(1), nth(got))
}

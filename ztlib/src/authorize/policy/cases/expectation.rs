//! What a case expects, and how what was said differs from it.

use std::fmt;

use crate::authorize::obligation::{HeaderChange, Settled};
use crate::authorize::policy::error::shown;
use crate::authorize::trace::Trace;

/// What was said to a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// The request may pass.
    Allow,
    /// It is refused.
    Deny,
    /// The policy has nothing to say. A set never abstains.
    Abstain,
    /// No decision could be reached.
    Fault,
}

impl Verdict {
    /// The verdicts by name.
    pub(super) const NAMES: [&'static str; 4] = ["allow", "deny", "abstain", "fault"];

    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "allow" => Some(Self::Allow),
            "deny" => Some(Self::Deny),
            "abstain" => Some(Self::Abstain),
            "fault" => Some(Self::Fault),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Abstain => "abstain",
            Self::Fault => "fault",
        })
    }
}

/// A value and the line in which it is expected.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) line: usize,
    pub(super) value: T,
}

/// What a case expects. What it does not name may be anything.
#[derive(Debug, Clone, Default)]
pub(super) struct Expectation {
    pub(super) verdict: Option<At<Verdict>>,
    /// The reason of a denial, the code of a fault.
    pub(super) reason: Option<At<Box<str>>>,
    /// Who denied or failed.
    pub(super) policy: Option<At<Box<str>>>,
    pub(super) message: Option<At<Box<str>>>,
    pub(super) step_up: Option<At<StepUpWanted>>,
    pub(super) request_headers: Option<At<Headers>>,
    pub(super) response_headers: Option<At<Headers>>,
    /// The whole trace, in order, as it prints.
    pub(super) reads: Option<At<Vec<Box<str>>>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StepUpWanted {
    pub(super) acr: Option<Box<str>>,
    pub(super) max_age: Option<u32>,
}

/// All headers that are changed, sorted by name.
pub(super) type Headers = Vec<(Box<str>, HeaderWanted)>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HeaderWanted {
    Removed,
    /// To whatever value.
    Set,
    SetTo(Box<str>),
}

/// What was said to a case, in the form in which it is compared.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) verdict: Option<Verdict>,
    pub(super) policy: Option<Box<str>>,
    pub(super) reason: Option<Box<str>>,
    pub(super) message: Option<Box<str>>,
    pub(super) step_up: Option<StepUpWanted>,
    pub(super) settled: Settled,
}

impl Expectation {
    /// Every difference, with the line in which something else is expected.
    pub(super) fn differences(&self, said: &Said, trace: &Trace) -> Vec<(usize, String)> {
        let mut all = Vec::new();
        if let Some(At { line, value }) = &self.verdict
            && said.verdict != Some(*value)
        {
            all.push((*line, format!("expected {value}, got {}", said.outcome())));
            // What goes with another verdict differs as a matter of course.
            return all;
        }
        text(&mut all, "the reason", self.reason.as_ref(), said.reason.as_deref());
        text(&mut all, "the policy", self.policy.as_ref(), said.policy.as_deref());
        text(&mut all, "the message", self.message.as_ref(), said.message.as_deref());
        if let Some(At { line, value }) = &self.step_up {
            let got = said.step_up.clone().unwrap_or_default();
            if got != *value {
                all.push((*line, format!("expected the step-up {value}, got {got}")));
            }
        }
        headers(&mut all, "request", self.request_headers.as_ref(), &said.settled.request);
        headers(&mut all, "response", self.response_headers.as_ref(), &said.settled.response);
        if let Some(At { line, value }) = &self.reads {
            let got: Vec<String> = trace.reads().map(|(read, value)| format!("{read}={value}")).collect();
            if !value.iter().map(AsRef::as_ref).eq(got.iter().map(String::as_str)) {
                all.push((*line, first_difference(value, &got)));
            }
        }
        all
    }
}

impl Said {
    /// "deny `no-role` by `rbac`", for people.
    pub(super) fn outcome(&self) -> String {
        let mut text = self.verdict.map_or_else(|| "nothing".to_owned(), |verdict| verdict.to_string());
        if let Some(reason) = &self.reason {
            text.push_str(&format!(" `{}`", shown(reason)));
        }
        if let Some(policy) = &self.policy {
            text.push_str(&format!(" by `{}`", shown(policy)));
        }
        text
    }
}

impl fmt::Display for StepUpWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.acr, self.max_age) {
            (None, None) => f.write_str("none"),
            (Some(acr), None) => write!(f, "acr `{}`", shown(acr)),
            (None, Some(age)) => write!(f, "max-age {age}"),
            (Some(acr), Some(age)) => write!(f, "acr `{}`, max-age {age}", shown(acr)),
        }
    }
}

fn text(all: &mut Vec<(usize, String)>, what: &str, wanted: Option<&At<Box<str>>>, got: Option<&str>) {
    let Some(At { line, value }) = wanted else { return };
    if got != Some(value.as_ref()) {
        let got = got.map_or_else(|| "none".to_owned(), |got| format!("`{}`", shown(got)));
        all.push((*line, format!("expected {what} `{}`, got {got}", shown(value))));
    }
}

fn headers(all: &mut Vec<(usize, String)>, of: &str, wanted: Option<&At<Headers>>, got: &[HeaderChange]) {
    let Some(At { line, value: wanted }) = wanted else { return };
    for (name, wanted) in wanted {
        let change = got.iter().find(|change| change.name.as_str() == name.as_ref());
        let meets = match (wanted, change.map(|change| &change.value)) {
            (HeaderWanted::Removed, Some(None)) | (HeaderWanted::Set, Some(Some(_))) => true,
            (HeaderWanted::SetTo(value), Some(Some(got))) => got.as_bytes() == value.as_bytes(),
            _ => false,
        };
        if !meets {
            let wanted = match wanted {
                HeaderWanted::Removed => "to be removed".to_owned(),
                HeaderWanted::Set => "to be set".to_owned(),
                HeaderWanted::SetTo(value) => format!("to be `{}`", shown(value)),
            };
            let got = match change.map(|change| &change.value) {
                None => "it is left alone".to_owned(),
                Some(None) => "it is removed".to_owned(),
                Some(Some(value)) => format!("it is `{}`", shown(&String::from_utf8_lossy(value.as_bytes()))),
            };
            all.push((*line, format!("expected the {of} header `{}` {wanted}, and {got}", shown(name))));
        }
    }
    let unwanted =
        got.iter().filter(|change| !wanted.iter().any(|(name, _)| name.as_ref() == change.name.as_str()));
    for change in unwanted {
        all.push((*line, format!("the {of} header `{}` is changed, which is not expected", change.name)));
    }
}

fn first_difference(wanted: &[Box<str>], got: &[String]) -> String {
    let same = wanted.iter().zip(got).take_while(|(wanted, got)| wanted.as_ref() == got.as_str()).count();
    let nothing = || "nothing more".to_owned();
    let wanted = wanted.get(same).map_or_else(nothing, |read| format!("`{}`", shown(read)));
    let got = got.get(same).map_or_else(nothing, |read| format!("`{}`", shown(read)));
    format!("expected {wanted} as read {}, got {got}", same.saturating_add(1))
}

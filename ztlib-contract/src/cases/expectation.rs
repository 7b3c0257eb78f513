//! What a case expects.

use std::fmt;

use toml::de::DeValue;

use super::value::members;
use super::{Error, Table, closest, shown};

/// What was said to a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CaseVerdict {
    /// The request may pass.
    Allow,
    /// It is refused.
    Deny,
    /// The policy has nothing to say. A set never abstains.
    Abstain,
    /// No decision could be reached, for a fault of the service or its policies.
    Fault,
    /// No decision could be reached, because what the caller sent cannot be read as a policy asks
    /// for it.
    BadRequest,
}

/// Their names, in the order in which they are explained.
const NAMES: [(&str, CaseVerdict); 5] = [
    ("allow", CaseVerdict::Allow),
    ("deny", CaseVerdict::Deny),
    ("abstain", CaseVerdict::Abstain),
    ("fault", CaseVerdict::Fault),
    ("bad-request", CaseVerdict::BadRequest),
];

impl CaseVerdict {
    /// Whether no decision could be reached, whosever doing it is.
    pub fn is_no_decision(self) -> bool {
        matches!(self, Self::Fault | Self::BadRequest)
    }
}

impl fmt::Display for CaseVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.into_iter().find(|(_, verdict)| verdict == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

/// The verdict that prints so.
pub fn verdict_named(name: &str) -> Option<CaseVerdict> {
    NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, verdict)| verdict)
}

/// A value and the line in which it is expected, from 1.
#[derive(Debug, Clone)]
pub struct At<T> {
    /// The line.
    pub line: usize,
    /// The value.
    pub value: T,
}

/// What a case expects. What it does not name may be anything.
#[derive(Debug, Clone, Default)]
pub struct Expectation {
    /// There, but for a bare question.
    pub verdict: Option<At<CaseVerdict>>,
    /// The reason of a denial, the code of a fault.
    pub reason: Option<At<String>>,
    /// Who denied or failed.
    pub policy: Option<At<String>>,
    pub(crate) message: Option<At<String>>,
    pub(crate) step_up: Option<At<StepUp>>,
    pub(crate) request_headers: Option<At<Headers>>,
    pub(crate) response_headers: Option<At<Headers>>,
    /// The whole trace, in order, as it prints.
    pub(crate) reads: Option<At<Vec<String>>>,
}

/// A stronger or fresher login that a denial asks for; the default asks for none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepUp {
    /// The authentication context class.
    pub acr: Option<String>,
    /// The greatest age of the login, in seconds.
    pub max_age: Option<u32>,
}

/// All headers that are changed; names are in lower case.
pub(crate) type Headers = Vec<(String, HeaderWanted)>;

#[derive(Debug, Clone)]
pub(crate) enum HeaderWanted {
    Removed,
    /// To whatever value.
    Set,
    SetTo(String),
}

impl fmt::Display for StepUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.acr, self.max_age) {
            (None, None) => f.write_str("none"),
            (Some(acr), None) => write!(f, "acr `{}`", shown(acr)),
            (None, Some(age)) => write!(f, "max-age {age}"),
            (Some(acr), Some(age)) => write!(f, "acr `{}`, max-age {age}", shown(acr)),
        }
    }
}

impl Expectation {
    /// What a case's table expects; a `bare` one need expect nothing.
    pub(crate) fn read(table: &Table<'_>, bare: bool) -> Result<Self, Error> {
        let verdict = verdict(table, bare)?;
        belong(
            table,
            verdict,
            &["reason", "policy"],
            &[CaseVerdict::Deny, CaseVerdict::Fault, CaseVerdict::BadRequest],
        )?;
        belong(table, verdict, &["message", "step-up"], &[CaseVerdict::Deny])?;
        belong(table, verdict, &["request-headers", "response-headers"], &[CaseVerdict::Allow])?;
        let reason = reason(table, verdict)?;
        let step_up = table.table("step-up", &["acr", "max-age"])?;
        Ok(Self {
            verdict: verdict.map(|value| At { line: table.line("expect"), value }),
            reason,
            policy: text(table, "policy")?,
            message: text(table, "message")?,
            step_up: step_up.map(|wanted| self::step_up(table, &wanted)).transpose()?,
            request_headers: headers(table, "request-headers")?,
            response_headers: headers(table, "response-headers")?,
            reads: reads(table)?,
        })
    }
}

fn verdict(table: &Table<'_>, bare: bool) -> Result<Option<CaseVerdict>, Error> {
    let Some(name) = table.text("expect")? else {
        return if bare {
            Ok(None)
        } else {
            Err(table.missing("expect", "one of allow, deny, abstain, fault and bad-request"))
        };
    };
    let verdict = verdict_named(name).ok_or_else(|| {
        let names = NAMES.map(|(name, _)| name);
        let advice = closest(name, &names).map_or_else(
            || format!("it is one of {}", names.join(", ")),
            |close| format!("did you mean `{close}`?"),
        );
        table.error("expect", "unknown-verdict", format!("`{}` is not a verdict: {advice}", shown(name)))
    });
    verdict.map(Some)
}

/// Keys that go with some verdicts only.
fn belong(
    table: &Table<'_>,
    verdict: Option<CaseVerdict>,
    keys: &[&str],
    to: &[CaseVerdict],
) -> Result<(), Error> {
    let stray = verdict.is_some_and(|verdict| !to.contains(&verdict));
    match keys.iter().find(|key| stray && table.has(key)) {
        None => Ok(()),
        Some(key) => {
            let to: Vec<String> = to.iter().map(|verdict| format!("`expect = \"{verdict}\"`")).collect();
            Err(table.error(key, "wrong-expectation", format!("`{key}` goes with {}", to.join(" or "))))
        }
    }
}

fn text(table: &Table<'_>, key: &str) -> Result<Option<At<String>>, Error> {
    Ok(table.text(key)?.map(|value| At { line: table.line(key), value: value.to_owned() }))
}

fn reason(table: &Table<'_>, verdict: Option<CaseVerdict>) -> Result<Option<At<String>>, Error> {
    let reason = text(table, "reason")?;
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match &reason {
        Some(At { value, .. }) if !(1..=64).contains(&value.len()) || !value.bytes().all(letter) => {
            let text = format!("`{}` is not a code: 1 to 64 of `a-z`, `0-9` and `-`", shown(value));
            Err(table.error("reason", "bad-reason", text))
        }
        None if verdict == Some(CaseVerdict::Deny) => Err(table.missing(
            "reason",
            "a denial for the wrong reason is not a success (`denied` where the policy gives none)",
        )),
        _ => Ok(reason),
    }
}

fn step_up(table: &Table<'_>, wanted: &Table<'_>) -> Result<At<StepUp>, Error> {
    let max_age = wanted.integer("max-age")?.map(u32::try_from).transpose();
    let max_age = max_age.map_err(|_| wanted.error("max-age", "wrong-type", "the number is too large"))?;
    let value = StepUp { acr: wanted.text("acr")?.map(str::to_owned), max_age };
    Ok(At { line: table.line("step-up"), value })
}

fn reads(table: &Table<'_>) -> Result<Option<At<Vec<String>>>, Error> {
    let reads = table.texts("reads")?.into_iter().map(str::to_owned).collect();
    Ok(table.has("reads").then(|| At { line: table.line("reads"), value: reads }))
}

/// Header changes: a text, `true` for whatever value, `false` for a header that is removed.
fn headers(table: &Table<'_>, key: &str) -> Result<Option<At<Headers>>, Error> {
    let wanted = members(table, key)?.into_iter().map(|(name, value)| {
        let wanted = match value.get_ref() {
            DeValue::Boolean(true) => HeaderWanted::Set,
            DeValue::Boolean(false) => HeaderWanted::Removed,
            DeValue::String(text) => HeaderWanted::SetTo(text.as_ref().to_owned()),
            _ => {
                let text =
                    "a header must be a text, `true` where any value will do, or `false` where it is removed";
                return Err(table.wrong(value, text));
            }
        };
        Ok((name.to_ascii_lowercase(), wanted))
    });
    let value = wanted.collect::<Result<Headers, Error>>()?;
    Ok(table.has(key).then(|| At { line: table.line(key), value }))
}

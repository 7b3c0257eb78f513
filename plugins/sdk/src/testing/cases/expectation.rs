//! What a case expects, and how what was said differs from it.

use std::fmt;

use super::error::{Problem, shown};
use super::said::Said;
use super::table::{Table, closest};
use crate::testing::HeaderChange;

/// A value and the line in which it is expected.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) line: usize,
    pub(super) value: T,
}

/// What a case expects. What it does not name may be anything.
#[derive(Debug, Clone)]
pub(super) struct Expectation {
    pub(super) word: At<Word>,
    /// The reason of a denial, the code of a fault.
    pub(super) reason: Option<At<String>>,
    /// Who denied or failed.
    pub(super) policy: Option<At<String>>,
    message: Option<At<String>>,
    step_up: Option<At<StepUpWanted>>,
    request_headers: Option<At<Headers>>,
    response_headers: Option<At<Headers>>,
    /// The whole trace, in order, as it prints.
    reads: Option<At<Vec<String>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Allow,
    Deny,
    Abstain,
    Fault,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StepUpWanted {
    pub(super) acr: Option<String>,
    pub(super) max_age: Option<u32>,
}

/// All headers that are changed.
type Headers = Vec<(String, HeaderWanted)>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum HeaderWanted {
    Removed,
    /// To whatever value.
    Set,
    SetTo(String),
}

impl Word {
    const ALL: [Self; 4] = [Self::Allow, Self::Deny, Self::Abstain, Self::Fault];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Abstain => "abstain",
            Self::Fault => "fault",
        }
    }
}

/// Reads what a case expects.
pub(super) fn read(table: &Table<'_>) -> Result<Expectation, Problem> {
    let at = |key: &str| table.line(key);
    let text = |key: &str| {
        Ok::<_, Problem>(table.text(key)?.map(|value| At { line: at(key), value: value.to_owned() }))
    };
    let word = word(table)?;
    belongs(table, word, &["reason", "policy"], &[Word::Deny, Word::Fault])?;
    belongs(table, word, &["message", "step-up"], &[Word::Deny])?;
    belongs(table, word, &["request-headers", "response-headers"], &[Word::Allow])?;
    let reason = text("reason")?;
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match &reason {
        Some(At { value, .. }) if !(1..=64).contains(&value.len()) || !value.bytes().all(letter) => {
            let text = format!("`{}` is no code: 1 to 64 of `a-z`, `0-9` and `-`", shown(value));
            return Err(table.error("reason", "bad-reason", text));
        }
        None if word == Word::Deny => {
            return Err(table.missing(
                "reason",
                "a denial for the wrong reason is no success (`denied` where the policy gives none)",
            ));
        }
        _ => {}
    }
    let step_up = table.table("step-up", &["acr", "max-age"])?.map(|wanted| {
        let max_age = wanted.integer("max-age")?.map(u32::try_from).transpose();
        let max_age =
            max_age.map_err(|_| wanted.error("max-age", "wrong-type", "the number is too large"))?;
        let value = StepUpWanted { acr: wanted.text("acr")?.map(str::to_owned), max_age };
        Ok::<_, Problem>(At { line: at("step-up"), value })
    });
    let reads = table.raw("reads").map(|_| {
        let reads = table.texts("reads")?.into_iter().map(str::to_owned).collect();
        Ok::<_, Problem>(At { line: at("reads"), value: reads })
    });
    Ok(Expectation {
        word: At { line: at("expect"), value: word },
        reason,
        policy: text("policy")?,
        message: text("message")?,
        step_up: step_up.transpose()?,
        request_headers: headers(table, "request-headers")?,
        response_headers: headers(table, "response-headers")?,
        reads: reads.transpose()?,
    })
}

fn word(table: &Table<'_>) -> Result<Word, Problem> {
    let name = table.required_text("expect", "one of allow, deny, abstain and fault")?;
    Word::ALL.into_iter().find(|word| word.name() == name).ok_or_else(|| {
        let names = Word::ALL.map(Word::name);
        let advice = closest(name, &names).map_or_else(
            || format!("it is one of {}", names.join(", ")),
            |close| format!("did you mean `{close}`?"),
        );
        table.error("expect", "unknown-verdict", format!("`{}` is no verdict: {advice}", shown(name)))
    })
}

/// Keys that go with some verdicts only.
fn belongs(table: &Table<'_>, word: Word, keys: &[&str], to: &[Word]) -> Result<(), Problem> {
    match keys.iter().find(|key| table.raw(key).is_some() && !to.contains(&word)) {
        None => Ok(()),
        Some(key) => {
            let to: Vec<String> = to.iter().map(|word| format!("`expect = \"{}\"`", word.name())).collect();
            let text = format!("`{key}` goes with {}", to.join(" or "));
            Err(table.error(key, "wrong-expectation", text))
        }
    }
}

/// Header changes: a text, `true` for whatever value, `false` for a header that is removed.
fn headers(table: &Table<'_>, key: &str) -> Result<Option<At<Headers>>, Problem> {
    if table.raw(key).is_none() {
        return Ok(None);
    }
    let wanted = table.members(key)?.into_iter().map(|(name, value)| {
        use toml::de::DeValue::{Boolean, String};
        let wanted = match value.get_ref() {
            Boolean(true) => HeaderWanted::Set,
            Boolean(false) => HeaderWanted::Removed,
            String(text) => HeaderWanted::SetTo(text.as_ref().to_owned()),
            _ => {
                let text =
                    "a header is a text, `true` where any value will do, or `false` where it is removed";
                return Err(table.wrong(value, text));
            }
        };
        Ok((name.to_ascii_lowercase(), wanted))
    });
    let value = wanted.collect::<Result<Headers, Problem>>()?;
    Ok(Some(At { line: table.line(key), value }))
}

impl Expectation {
    /// Every difference, with the line in which something else is expected, in the host's words.
    pub(super) fn differences(&self, said: &Said) -> Vec<(usize, String)> {
        let mut all = Vec::new();
        let At { line, value: word } = &self.word;
        if said.word != *word {
            all.push((*line, format!("expected {}, got {}", word.name(), said.outcome())));
            // What goes with another verdict differs as a matter of course.
            return all;
        }
        differ(&mut all, "the reason", self.reason.as_ref(), said.reason.as_deref());
        differ(&mut all, "the policy", self.policy.as_ref(), said.policy.as_deref());
        differ(&mut all, "the message", self.message.as_ref(), said.message.as_deref());
        if let Some(At { line, value }) = &self.step_up
            && said.step_up != *value
        {
            all.push((*line, format!("expected the step-up {value}, got {}", said.step_up)));
        }
        differ_headers(&mut all, "request", self.request_headers.as_ref(), &said.request_headers);
        differ_headers(&mut all, "response", self.response_headers.as_ref(), &said.response_headers);
        if let Some(At { line, value }) = &self.reads
            && *value != said.reads
        {
            all.push((*line, first_difference(value, &said.reads)));
        }
        all
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

fn differ(all: &mut Vec<(usize, String)>, what: &str, wanted: Option<&At<String>>, got: Option<&str>) {
    let Some(At { line, value }) = wanted else { return };
    if got != Some(value) {
        let got = got.map_or_else(|| "none".to_owned(), |got| format!("`{}`", shown(got)));
        all.push((*line, format!("expected {what} `{}`, got {got}", shown(value))));
    }
}

fn differ_headers(
    all: &mut Vec<(usize, String)>,
    of: &str,
    wanted: Option<&At<Headers>>,
    got: &[HeaderChange],
) {
    let Some(At { line, value: wanted }) = wanted else { return };
    for (name, wanted) in wanted {
        let change = got.iter().find(|change| change.name == *name).map(|change| change.value.as_deref());
        let meets = match (wanted, change) {
            (HeaderWanted::Removed, Some(None)) | (HeaderWanted::Set, Some(Some(_))) => true,
            (HeaderWanted::SetTo(value), Some(Some(got))) => got == value,
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
                Some(Some(value)) => format!("it is `{}`", shown(value)),
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
    format!("expected {} as read {}, got {}", nth(wanted), same + 1, nth(got))
}

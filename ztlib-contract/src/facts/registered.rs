//! The claims that ztlib itself gives a meaning to, each of exactly the type that its definition
//! says.

use serde_json::{Map, Value};

use super::{ClaimError, ClaimNames};
use crate::printable::shown;
use crate::time::LATEST;

/// A claim that no verified token has in this form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimFault {
    /// A claim that every token has is not there.
    #[error("the claim `{name}` is missing")]
    Missing {
        /// Its name.
        name: Box<str>,
    },
    /// A claim is not of the form that its definition says.
    #[error("the claim `{name}` is not of the form that RFC 7519 defines")]
    Form {
        /// Its name, escaped and cut.
        name: Box<str>,
    },
}

/// The error of who asks for a claim that is not what it is defined to be.
fn odd(name: &str, expected: &'static str) -> ClaimError {
    ClaimError::WrongType { pointer: shown(&format!("/{name}")), expected }
}

/// The fault of a token that cannot be for such a claim.
fn form(name: &str) -> ClaimFault {
    ClaimFault::Form { name: shown(name) }
}

fn missing(name: &str) -> ClaimFault {
    ClaimFault::Missing { name: name.into() }
}

/// A string that is not empty.
pub(crate) fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Result<Option<&'c str>, ClaimFault> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(form(name)),
    }
}

/// A string that nobody may ask for. An empty one says nothing, as several issuers write it.
pub(crate) fn optional_text(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, ClaimError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty()).cloned()),
        Some(_) => Err(odd(name, "a string")),
    }
}

/// An array of strings that are not empty.
fn texts(claims: &Map<String, Value>, name: &str) -> Result<Option<Vec<String>>, ClaimFault> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Array(items)) => {
            let text = |item: &Value| item.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            items.iter().map(text).collect::<Option<_>>().map(Some).ok_or_else(|| form(name))
        }
        Some(_) => Err(form(name)),
    }
}

/// One string, or an array of at least one (RFC 7519 section 4.1.3), of `aud`; of what stands for
/// it where there is none and the issuer's terms name a claim that does. None at all only where
/// they allow that.
pub(crate) fn audiences(
    claims: &Map<String, Value>,
    names: ClaimNames<'_>,
) -> Result<Vec<String>, ClaimFault> {
    let name = match names.audience_from {
        Some(name) if !claims.contains_key("aud") => name,
        _ => "aud",
    };
    match claims.get(name) {
        None if names.missing_audience => Ok(Vec::new()),
        None => Err(missing(name)),
        Some(Value::String(_)) => Ok(text(claims, name)?.map(str::to_owned).into_iter().collect()),
        Some(_) => match texts(claims, name)? {
            Some(audiences) if !audiences.is_empty() => Ok(audiences),
            _ => Err(form(name)),
        },
    }
}

/// The scopes of these claims together, sorted, each once: in each one string with a space between
/// them (RFC 8693 section 4.2), or an array of strings, as several issuers write it. An empty
/// string, and an empty array, is not a scope.
pub(crate) fn scopes(claims: &Map<String, Value>, names: &[String]) -> Result<Vec<String>, ClaimError> {
    // The characters of a scope: RFC 6749 section 3.3.
    let is_scope =
        |text: &str| text.bytes().all(|byte| matches!(byte, b'!'..=b'~') && byte != b'"' && byte != b'\\');
    let mut scopes: Vec<String> = Vec::new();
    for name in names {
        let odd = || odd(name, "a string of scopes or an array of them");
        let mut add = |scope: &str| {
            scopes.push(scope.to_owned());
            if is_scope(scope) { Ok(()) } else { Err(odd()) }
        };
        match claims.get(name) {
            None => {}
            Some(Value::String(text)) => {
                text.split(' ').filter(|scope| !scope.is_empty()).try_for_each(&mut add)?;
            }
            Some(Value::Array(items)) => items.iter().try_for_each(|item| {
                add(item.as_str().filter(|scope| !scope.is_empty()).ok_or_else(odd)?)
            })?,
            Some(_) => return Err(odd()),
        }
    }
    scopes.sort_unstable();
    scopes.dedup();
    Ok(scopes)
}

/// A NumericDate (RFC 7519 section 2) in seconds since 1970: a number from 0 to the end of the year
/// 9999. `round` says to which side a fraction is rounded: to the strict one.
///
/// # Errors
/// [`ClaimFault::Form`] for anything else.
pub fn date(
    claims: &Map<String, Value>,
    name: &str,
    round: fn(f64) -> f64,
) -> Result<Option<u64>, ClaimFault> {
    let form = || form(name);
    let number = match claims.get(name) {
        None => return Ok(None),
        Some(Value::Number(number)) => number,
        Some(_) => return Err(form()),
    };
    if let Some(seconds) = number.as_u64() {
        return if seconds <= LATEST { Ok(Some(seconds)) } else { Err(form()) };
    }
    let seconds =
        number.as_f64().filter(|seconds| (0.0..=LATEST as f64).contains(seconds)).ok_or_else(form)?;
    // In range and whole after rounding: the conversion is exact.
    Ok(Some(round(seconds) as u64))
}

pub(crate) fn auth_time(claims: &Map<String, Value>) -> Result<Option<u64>, ClaimError> {
    date(claims, "auth_time", f64::floor).map_err(|_| odd("auth_time", "a date"))
}

pub(crate) fn methods(claims: &Map<String, Value>) -> Result<Vec<String>, ClaimError> {
    match texts(claims, "amr") {
        Ok(methods) => Ok(methods.unwrap_or_default()),
        Err(_) => Err(odd("amr", "an array of strings")),
    }
}

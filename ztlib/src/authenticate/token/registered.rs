//! The claims that ztlib itself gives a meaning to, each of exactly the type that its definition
//! says.
//!
//! What decides whether a token is believed, and whose it is (`iss`, `sub`, `aud`, `exp`, `nbf`,
//! `iat`), is a fault where it is of another type: to take it for absent is how `"exp": "never"`
//! becomes a token that lives for ever (CVE-2026-25537). `iat` bounds the lifetime, and `sub`
//! stands in each permit and audit event, so both are asked about always. All else is a fault only
//! for who asks for it: what nobody reads refuses nothing.

use serde_json::{Map, Value};

use super::error::{ClaimError, TokenError, shown};
use super::trusted::{LATEST_DATE, TrustedIssuer};

/// Registered claims; times in Unix seconds.
pub(super) struct Registered {
    pub(super) subject: Option<String>,
    pub(super) audiences: Vec<String>,
    pub(super) expires_at: u64,
    pub(super) not_before: Option<u64>,
    pub(super) issued_at: Option<u64>,
    pub(super) scopes: Result<Vec<String>, ClaimError>,
    pub(super) auth_time: Result<Option<u64>, ClaimError>,
    pub(super) token_id: Result<Option<String>, ClaimError>,
    pub(super) acr: Result<Option<String>, ClaimError>,
    pub(super) amr: Result<Vec<String>, ClaimError>,
}

/// The `iss` of claims that nobody has verified: it chooses whose keys to try, and nothing else.
pub(super) fn issuer_hint(claims: &Map<String, Value>) -> Result<&str, TokenError> {
    text(claims, "iss")?.ok_or_else(|| missing("iss"))
}

impl Registered {
    pub(super) fn read(claims: &Map<String, Value>, issuer: &TrustedIssuer) -> Result<Self, TokenError> {
        Ok(Self {
            subject: text(claims, "sub")?.map(str::to_owned),
            audiences: audiences(claims, issuer)?,
            expires_at: date(claims, "exp", f64::floor)?.ok_or_else(|| missing("exp"))?,
            not_before: date(claims, "nbf", f64::ceil)?,
            issued_at: date(claims, "iat", f64::ceil)?,
            scopes: scopes(claims, &issuer.scopes_from),
            auth_time: date(claims, "auth_time", f64::floor).map_err(|_| odd("auth_time", "a date")),
            token_id: optional_text(claims, "jti"),
            acr: optional_text(claims, "acr"),
            amr: match texts(claims, "amr") {
                Ok(methods) => Ok(methods.unwrap_or_default()),
                Err(_) => Err(odd("amr", "an array of strings")),
            },
        })
    }

    /// Everything about time that can change from one request to the next.
    pub(super) fn check_time(&self, issuer: &TrustedIssuer, now: u64) -> Result<(), TokenError> {
        if now >= self.expires_at.saturating_add(issuer.leeway) {
            return Err(TokenError::Expired);
        }
        let ahead = now.saturating_add(issuer.clock_skew);
        if self.not_before.is_some_and(|not_before| not_before > ahead) {
            return Err(TokenError::NotYetValid);
        }
        if self.issued_at.is_some_and(|issued_at| issued_at > ahead) {
            return Err(TokenError::IssuedInFuture);
        }
        if self.expires_at.saturating_sub(self.issued_at.unwrap_or(now)) > issuer.max_lifetime {
            return Err(TokenError::LifetimeTooLong);
        }
        if let Some(max_age) = issuer.max_age {
            let issued_at = self.issued_at.ok_or_else(|| missing("iat"))?;
            if now >= issued_at.saturating_add(max_age) {
                return Err(TokenError::TooOld);
            }
        }
        Ok(())
    }

    /// The second in which [`check_time`](Self::check_time) first refuses for good.
    pub(super) fn ends_at(&self, issuer: &TrustedIssuer) -> u64 {
        let expires = self.expires_at.saturating_add(issuer.leeway);
        let ages = issuer.max_age.zip(self.issued_at).map(|(age, issued_at)| issued_at.saturating_add(age));
        ages.map_or(expires, |ages| ages.min(expires))
    }
}

pub(super) fn missing(name: &str) -> TokenError {
    TokenError::MissingClaim { name: name.into() }
}

/// The error of who asks for a claim that is not what it is defined to be.
fn odd(name: &str, expected: &'static str) -> ClaimError {
    ClaimError::WrongType { pointer: shown(&format!("/{name}")), expected }
}

/// The error of a token that is not believed for such a claim.
fn form(name: &str) -> TokenError {
    TokenError::ClaimForm { name: shown(name) }
}

/// A string that is not empty.
fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Result<Option<&'c str>, TokenError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(form(name)),
    }
}

/// A string that nobody may ask for. An empty one says nothing, as several issuers write it.
fn optional_text(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, ClaimError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty()).cloned()),
        Some(_) => Err(odd(name, "a string")),
    }
}

/// An array of strings that are not empty.
fn texts(claims: &Map<String, Value>, name: &str) -> Result<Option<Vec<String>>, TokenError> {
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
fn audiences(claims: &Map<String, Value>, issuer: &TrustedIssuer) -> Result<Vec<String>, TokenError> {
    let name = match &issuer.audience_from {
        Some(name) if !claims.contains_key("aud") => name,
        _ => "aud",
    };
    match claims.get(name) {
        None if issuer.missing_audience => Ok(Vec::new()),
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
/// string, and an empty array, is no scope.
fn scopes(claims: &Map<String, Value>, names: &[String]) -> Result<Vec<String>, ClaimError> {
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

/// A NumericDate (RFC 7519 section 2): a number from 0 to the end of the year 9999. A fraction is
/// rounded to the strict side.
fn date(claims: &Map<String, Value>, name: &str, round: fn(f64) -> f64) -> Result<Option<u64>, TokenError> {
    let form = || form(name);
    let number = match claims.get(name) {
        None => return Ok(None),
        Some(Value::Number(number)) => number,
        Some(_) => return Err(form()),
    };
    if let Some(seconds) = number.as_u64() {
        return if seconds <= LATEST_DATE { Ok(Some(seconds)) } else { Err(form()) };
    }
    let seconds =
        number.as_f64().filter(|seconds| (0.0..=LATEST_DATE as f64).contains(seconds)).ok_or_else(form)?;
    // In range and whole after rounding: the conversion is exact.
    Ok(Some(round(seconds) as u64))
}

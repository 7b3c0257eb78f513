//! The claims that ztlib itself gives a meaning to, each of exactly the type that its definition says.
//!
//! A claim of another type is a fault. To take it for absent is how `"exp": "never"` becomes a token that lives for ever
//! (CVE-2026-25537).

use serde_json::{Map, Value};

use super::error::TokenError;
use super::trusted::{LATEST_DATE, TrustedIssuer};

/// Registered claims, checked for form; times in Unix seconds.
#[derive(Default)]
pub(super) struct Registered {
    pub(super) subject: Option<String>,
    pub(super) audiences: Vec<String>,
    pub(super) scopes: Vec<String>,
    pub(super) expires_at: u64,
    pub(super) not_before: Option<u64>,
    pub(super) issued_at: Option<u64>,
    pub(super) auth_time: Option<u64>,
    pub(super) token_id: Option<String>,
    pub(super) acr: Option<String>,
    pub(super) amr: Vec<String>,
}

/// The `iss` of claims that nobody has verified: it chooses whose keys to try, and nothing else.
pub(super) fn issuer_hint(claims: &Map<String, Value>) -> Result<&str, TokenError> {
    text(claims, "iss")?.ok_or_else(|| missing("iss"))
}

impl Registered {
    pub(super) fn read(claims: &Map<String, Value>) -> Result<Self, TokenError> {
        Ok(Self {
            subject: text(claims, "sub")?.map(str::to_owned),
            audiences: audiences(claims)?,
            scopes: scopes(claims)?,
            expires_at: date(claims, "exp", f64::floor)?.ok_or_else(|| missing("exp"))?,
            not_before: date(claims, "nbf", f64::ceil)?,
            issued_at: date(claims, "iat", f64::ceil)?,
            auth_time: date(claims, "auth_time", f64::floor)?,
            token_id: text(claims, "jti")?.map(str::to_owned),
            acr: text(claims, "acr")?.map(str::to_owned),
            amr: texts(claims, "amr")?.unwrap_or_default(),
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

/// A string that is not empty.
fn text<'c>(claims: &'c Map<String, Value>, name: &'static str) -> Result<Option<&'c str>, TokenError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(TokenError::ClaimForm { name }),
    }
}

/// An array of strings that are not empty.
fn texts(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Vec<String>>, TokenError> {
    let form = || TokenError::ClaimForm { name };
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Array(items)) => {
            let text = |item: &Value| item.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            items.iter().map(text).collect::<Option<_>>().map(Some).ok_or_else(form)
        }
        Some(_) => Err(form()),
    }
}

/// One string, or an array of at least one (RFC 7519 section 4.1.3).
fn audiences(claims: &Map<String, Value>) -> Result<Vec<String>, TokenError> {
    if let Some(Value::String(_)) = claims.get("aud") {
        return Ok(text(claims, "aud")?.map(str::to_owned).into_iter().collect());
    }
    let audiences = texts(claims, "aud")?.ok_or_else(|| missing("aud"))?;
    if audiences.is_empty() { Err(TokenError::ClaimForm { name: "aud" }) } else { Ok(audiences) }
}

/// One string of scopes with a space between them (RFC 8693 section 4.2), sorted, each once. An empty string is no scope.
fn scopes(claims: &Map<String, Value>) -> Result<Vec<String>, TokenError> {
    let form = || TokenError::ClaimForm { name: "scope" };
    let text = match claims.get("scope") {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) => text,
        Some(_) => return Err(form()),
    };
    // The characters of a scope: RFC 6749 section 3.3.
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
        return Err(form());
    }
    let mut scopes: Vec<String> =
        text.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
    scopes.sort_unstable();
    scopes.dedup();
    Ok(scopes)
}

/// A NumericDate (RFC 7519 section 2): a number from 0 to the end of the year 9999. A fraction is rounded to the strict side.
fn date(
    claims: &Map<String, Value>,
    name: &'static str,
    round: fn(f64) -> f64,
) -> Result<Option<u64>, TokenError> {
    let form = || TokenError::ClaimForm { name };
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

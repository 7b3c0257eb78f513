//! When a token is good.
//!
//! What decides whether a token is believed, and whose it is (`iss`, `sub`, `aud`, `exp`, `nbf`,
//! `iat`), is an error where it is of another type: to take it for absent is how `"exp": "never"`
//! becomes a token that lives for ever (CVE-2026-25537). `iat` bounds the lifetime, and `sub`
//! stands in each permit and audit event, so both are looked at always. All else is an error only
//! when it is asked for: what nobody reads refuses nothing (`ztlib_contract::facts::Claims`).

use serde_json::{Map, Value};
use ztlib_contract::facts::{ClaimFault, date};

use super::error::TokenError;
use super::shown::shown;
use super::trusted::TrustedIssuer;

/// `exp`, `nbf` and `iat`, in Unix seconds.
pub(super) struct Times {
    pub(super) expires_at: u64,
    pub(super) not_before: Option<u64>,
    pub(super) issued_at: Option<u64>,
}

/// The `iss` of claims that nobody has verified: it chooses whose keys to try, and nothing else.
pub(super) fn issuer_hint(claims: &Map<String, Value>) -> Result<&str, TokenError> {
    match claims.get("iss") {
        None => Err(missing("iss")),
        Some(Value::String(name)) if !name.is_empty() => Ok(name),
        Some(_) => Err(TokenError::ClaimForm { name: shown("iss") }),
    }
}

impl Times {
    pub(super) fn read(claims: &Map<String, Value>) -> Result<Self, TokenError> {
        Ok(Self {
            expires_at: date(claims, "exp", f64::floor)?.ok_or_else(|| missing("exp"))?,
            not_before: date(claims, "nbf", f64::ceil)?,
            issued_at: date(claims, "iat", f64::ceil)?,
        })
    }

    /// Everything about time that can change from one request to the next.
    pub(super) fn check(&self, issuer: &TrustedIssuer, now: u64) -> Result<(), TokenError> {
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

    /// The second in which [`check`](Self::check) first refuses for good.
    pub(super) fn ends_at(&self, issuer: &TrustedIssuer) -> u64 {
        let expires = self.expires_at.saturating_add(issuer.leeway);
        let ages = issuer.max_age.zip(self.issued_at).map(|(age, issued_at)| issued_at.saturating_add(age));
        ages.map_or(expires, |ages| ages.min(expires))
    }
}

pub(super) fn missing(name: &str) -> TokenError {
    TokenError::MissingClaim { name: name.into() }
}

impl From<ClaimFault> for TokenError {
    fn from(fault: ClaimFault) -> Self {
        match fault {
            ClaimFault::Missing { name } => Self::MissingClaim { name },
            ClaimFault::Form { name } => Self::ClaimForm { name },
            _ => Self::Malformed,
        }
    }
}

//! Claims for rehearsals: what a test case of a policy says that the caller's token says.
//!
//! Nobody has verified them. They are made so that they hold nowhere but in a rehearsal: they
//! expired in 1970 and their issuer has no keys. Whatever checks a token for a request refuses
//! them.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::claims::{Verified, VerifiedClaims, object};
use super::error::TokenError;
use super::json::{Limits, read_object};
use super::jws::MAX_TOKEN_BYTES;
use super::key::Key;
use super::keys::{KeySet, Keys};
use super::limits::TokenLimits;
use super::registered::Registered;
use super::trusted::{SCOPE, TrustedIssuer};

/// The issuer of a token of which a case does not say who issued it.
const SOMEBODY: &str = "https://issuer.test";
/// Whom such a token is for.
const SOME_SERVICE: &str = "service.test";
/// How long such a token has to live, in seconds.
const LIFE: u64 = 300;
/// What the claims of a case may hold. It is less than a token may: a file has many cases, and each
/// has its own copy.
const OF_A_CASE: TokenLimits =
    TokenLimits { bytes: 8 * 1024, json: Limits { depth: 32, members: 512, entries: None } };
/// What any token can hold, and as many members again: what was recorded of one is put together
/// from its parts, one at a time.
const OF_A_RECORD: TokenLimits =
    TokenLimits { bytes: MAX_TOKEN_BYTES, json: Limits { depth: 66, members: 32 * 1024, entries: None } };

impl VerifiedClaims {
    /// The claims of a token. One that was verified always has `iss`, `aud` and `exp`: where they
    /// are left out, they are put in.
    ///
    /// # Errors
    /// [`TokenError::ClaimForm`] for a registered claim that no verified token could have;
    /// [`TokenError::TooLong`] and [`TokenError::Json`] for more claims than one has room for.
    #[cfg(test)]
    pub(crate) fn rehearsed(claims: Map<String, Value>, now: u64) -> Result<Self, TokenError> {
        Self::rehearsed_of(claims, now, true)
    }

    /// The same, of the home issuer or of another one.
    pub(crate) fn rehearsed_of(
        claims: Map<String, Value>,
        now: u64,
        is_home: bool,
    ) -> Result<Self, TokenError> {
        Self::unverified(claims, now, is_home, OF_A_CASE)
    }

    /// The same of claims that were recorded of a token.
    ///
    /// # Errors
    /// As [`rehearsed_of`](Self::rehearsed_of).
    pub(crate) fn rebuilt(claims: Map<String, Value>, now: u64, is_home: bool) -> Result<Self, TokenError> {
        Self::unverified(claims, now, is_home, OF_A_RECORD)
    }

    fn unverified(
        mut claims: Map<String, Value>,
        now: u64,
        is_home: bool,
        limits: TokenLimits,
    ) -> Result<Self, TokenError> {
        claims.entry("iss").or_insert_with(|| SOMEBODY.into());
        claims.entry("aud").or_insert_with(|| SOME_SERVICE.into());
        claims.entry("exp").or_insert_with(|| now.saturating_add(LIFE).into());
        // Many cases may have one caller: what a few letters stand for must not be multiplied.
        let text = serde_json::to_string(&claims).unwrap_or_default();
        if text.len() > limits.bytes {
            return Err(TokenError::TooLong { limit: limits.bytes });
        }
        read_object(text.as_bytes(), limits.json)
            .map_err(|fault| TokenError::Json { part: "payload", fault })?;
        let issuer = super::registered::issuer_hint(&claims)?;
        let keys = Keys::new(KeySet::empty());
        let issuer = TrustedIssuer {
            name: issuer.to_owned(),
            // There is no verifier whose first issuer it could be: the case says so, or the record.
            is_home,
            audiences: Vec::new(),
            algorithms: Vec::new(),
            keys,
            types: None,
            missing_type: false,
            audience_from: None,
            missing_audience: false,
            scopes_from: vec![SCOPE.to_owned()],
            leeway: 0,
            clock_skew: 0,
            max_lifetime: 0,
            max_age: None,
            required: Vec::new(),
        };
        let mut registered = Registered::read(&claims, &issuer)?;
        registered.expires_at = 0;
        Ok(Self::new(Verified {
            generation: issuer.keys.generation(),
            issuer: Arc::new(issuer),
            key: Arc::new(Key::of_nobody()),
            algorithm: Algorithm::ES256,
            names_key: true,
            typ: None,
            registered,
            claims: object(claims),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn rehearsed_claims_hold_for_no_request() {
        let claims = serde_json::json!({"sub": "alice", "scope": "b a"});
        let claims = VerifiedClaims::rehearsed(claims.as_object().unwrap().clone(), 1_000).unwrap();
        assert_eq!((claims.subject(), claims.issuer()), (Some("alice"), "https://issuer.test"));
        assert_eq!(claims.has_scope("a"), Ok(true));
        assert_eq!(claims.claim_int("/exp"), Ok(Some(1_300)), "what a policy may read");
        for now in [0, 1, 1_000, 1_795_392_000] {
            let now = UNIX_EPOCH + Duration::from_secs(now);
            assert_eq!(claims.recheck(now), Err(TokenError::Expired));
        }
    }

    /// A directory puts hundreds of groups into a token; a case has no need of them.
    #[test]
    fn what_was_recorded_of_a_large_token_can_be_put_together_again() {
        let groups: Vec<String> = (0..300).map(|n| format!("00000000-0000-4000-8000-{n:012}")).collect();
        let claims = serde_json::json!({ "sub": "alice", "groups": groups });
        let claims = claims.as_object().unwrap();
        assert!(VerifiedClaims::rehearsed(claims.clone(), 0).is_err());
        let rebuilt = VerifiedClaims::rebuilt(claims.clone(), 0, true).unwrap();
        assert_eq!(rebuilt.claim_contains("/groups", &groups[299]), Ok(true));
    }

    #[test]
    fn claims_that_no_verified_token_has_are_refused() {
        let claims = serde_json::json!({"sub": 7});
        assert!(VerifiedClaims::rehearsed(claims.as_object().unwrap().clone(), 0).is_err());
    }
}

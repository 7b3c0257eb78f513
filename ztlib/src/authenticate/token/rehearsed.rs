//! Claims for rehearsals: what a test case of a policy says that the caller's token says.
//!
//! Nobody has verified them. They are made so that they hold nowhere but in a rehearsal: they expired in 1970 and their issuer has
//! no keys. Whatever checks a token for a request refuses them.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::claims::{Verified, VerifiedClaims, object};
use super::error::TokenError;
use super::json::{Limits, read_object};
use super::jws::MAX_TOKEN_BYTES;
use super::key::Key;
use super::keys::{KeySet, Keys};
use super::registered::Registered;
use super::trusted::TrustedIssuer;

/// The issuer of a token of which a case does not say who issued it.
const SOMEBODY: &str = "https://issuer.test";
/// Whom such a token is for.
const SOME_SERVICE: &str = "service.test";
/// How long such a token has to live, in seconds.
const LIFE: u64 = 300;
/// What a verified token can hold, and as many members again: what was recorded of one is put together from its parts.
const LIMITS: Limits = Limits { depth: 32, members: 512 };

impl VerifiedClaims {
    /// The claims of a token. One that was verified always has `iss`, `aud` and `exp`: where they are left out, they are put in.
    ///
    /// # Errors
    /// [`TokenError::ClaimForm`] for a registered claim that no verified token could have; [`TokenError::TooLong`] and [`TokenError::Json`] for more claims
    /// than one has room for.
    #[cfg(test)]
    pub(crate) fn rehearsed(claims: Map<String, Value>, now: u64) -> Result<Self, TokenError> {
        Self::rehearsed_of(claims, now, true)
    }

    /// The same, of the home issuer or of another one.
    pub(crate) fn rehearsed_of(
        mut claims: Map<String, Value>,
        now: u64,
        is_home: bool,
    ) -> Result<Self, TokenError> {
        claims.entry("iss").or_insert_with(|| SOMEBODY.into());
        claims.entry("aud").or_insert_with(|| SOME_SERVICE.into());
        claims.entry("exp").or_insert_with(|| now.saturating_add(LIFE).into());
        let mut registered = Registered::read(&claims)?;
        // Many cases may have one caller: what a few letters stand for must not be multiplied.
        let text = serde_json::to_string(&claims).unwrap_or_default();
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        read_object(text.as_bytes(), LIMITS).map_err(|fault| TokenError::Json { part: "payload", fault })?;
        registered.expires_at = 0;
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
            leeway: 0,
            clock_skew: 0,
            max_lifetime: 0,
            max_age: None,
            required: Vec::new(),
        };
        Ok(Self::new(Verified {
            generation: issuer.keys.generation(),
            issuer: Arc::new(issuer),
            key: Arc::new(Key::of_nobody()),
            algorithm: Algorithm::ES256,
            names_key: true,
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
        assert!(claims.has_scope("a"));
        assert_eq!(claims.claim_int("/exp"), Ok(Some(1_300)), "what a policy may read");
        for now in [0, 1, 1_000, 1_795_392_000] {
            let now = UNIX_EPOCH + Duration::from_secs(now);
            assert_eq!(claims.recheck(now), Err(TokenError::Expired));
        }
    }

    #[test]
    fn claims_that_no_verified_token_has_are_refused() {
        let claims = serde_json::json!({"sub": 7});
        assert!(VerifiedClaims::rehearsed(claims.as_object().unwrap().clone(), 0).is_err());
    }
}

//! What a verified token says.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use ztlib_contract::facts::Claims;

use super::algorithm::Algorithm;
use super::error::TokenError;
use super::jws::not_accepted;
use super::key::Key;
use super::keys::{KeySet, NoKey};
use super::shown::Shown;
use super::times::Times;
use super::trusted::TrustedIssuer;
use crate::clock::{from_unix_seconds, unix_seconds};
use crate::held;

/// The claims of a token whose signature, issuer, audience and times were right: a proof that only
/// a [`TokenVerifier`](super::TokenVerifier) makes. Cheap to clone.
///
/// Time goes on and keys are taken out after that, so each later use begins with
/// [`recheck`](Self::recheck).
///
/// Claims are read by JSON pointer (RFC 6901: `/tenant`, `/org/id`). What is absent is `None`; a
/// claim of another type, `null` included, is an error: a rule must not take "I do not understand
/// it" for "it is not there".
///
/// ```
/// # use std::time::{Duration, UNIX_EPOCH};
/// # use ztlib::authenticate::token::{Algorithm, BearerToken, Issuer, KeySet, TokenVerifier};
/// # use ztlib_testing::TokenIssuer;
/// # let now = UNIX_EPOCH + Duration::from_secs(1_767_225_600);
/// # let id = TokenIssuer::new("https://id.example");
/// # let issuer = Issuer::new(id.name()).audience("shop").algorithms([Algorithm::ES256]);
/// # let issuer = issuer.keys(KeySet::from_jwks(&id.jwks())?);
/// # let verifier = TokenVerifier::builder().issuer(issuer).build()?;
/// let token = id
///     .token_at(now)
///     .audience("shop")
///     .claim("groups", ["staff", "admin"])
///     .claim("level", 3)
///     .sign();
/// let claims = verifier.verify(&BearerToken::new(&token)?, now)?;
/// assert_eq!(claims.claim_int("/level"), Ok(Some(3)));
/// assert_eq!(claims.claim_contains("/groups", "admin"), Ok(true));
/// assert_eq!(claims.claim_string("/tenant"), Ok(None));
/// assert_eq!(claims.claim_string("/level").unwrap_err().code(), "claim-wrong-type");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct VerifiedClaims(Arc<Verified>);

pub(super) struct Verified {
    pub(super) issuer: Arc<TrustedIssuer>,
    pub(super) key: Arc<Key>,
    pub(super) algorithm: Algorithm,
    /// Whether the token named its key. Otherwise it was the only one that fits.
    pub(super) names_key: bool,
    /// The `typ` of the header.
    pub(super) typ: Option<Box<str>>,
    pub(super) generation: u64,
    pub(super) times: Times,
    pub(super) claims: Arc<Claims>,
}

/// What the token says, as facts.
impl Deref for VerifiedClaims {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        &self.0.claims
    }
}

impl VerifiedClaims {
    pub(super) fn new(verified: Verified) -> Self {
        Self(Arc::new(verified))
    }

    /// Whether they were verified on the terms of this very issuer, and not only of one of the same
    /// name.
    pub(super) fn is_on_terms_of(&self, issuer: &Arc<TrustedIssuer>) -> bool {
        Arc::ptr_eq(&self.0.issuer, issuer)
    }

    /// The same token on the terms of another verifier's issuer of the same name: only that the
    /// signature fits the key is taken as known. The key must be the one that this issuer's own
    /// keys would be asked for.
    pub(super) fn on_terms_of(
        &self,
        issuer: &Arc<TrustedIssuer>,
        now: SystemTime,
    ) -> Result<Self, TokenError> {
        let now = seconds(now)?;
        let Verified { algorithm, names_key, typ, claims, .. } = self.0.as_ref();
        if !issuer.algorithms.contains(algorithm) {
            return Err(not_accepted(*algorithm, &issuer.algorithms));
        }
        let (set, generation) = issuer.keys.now();
        let key = self.key_in(&set)?;
        let Value::Object(members) = claims.members() else { return Err(TokenError::Malformed) };
        let (claims, times) = issuer.accept(typ.as_deref(), members.clone(), now)?;
        Ok(Self::new(Verified {
            issuer: Arc::clone(issuer),
            key,
            algorithm: *algorithm,
            names_key: *names_key,
            typ: typ.clone(),
            generation,
            times,
            claims: Arc::new(claims),
        }))
    }

    /// The key of a set that the token means, where it is the key that signed it.
    fn key_in(&self, set: &KeySet) -> Result<Arc<Key>, TokenError> {
        let id = if self.0.names_key { self.0.key.id() } else { None };
        match set.select(id, self.0.algorithm) {
            Ok(key) if key.is_same(&self.0.key) => Ok(Arc::clone(key)),
            Err(NoKey::Ambiguous) => Err(NoKey::Ambiguous.of(self.issuer(), id, self.0.algorithm)),
            _ => Err(TokenError::KeyRetired),
        }
    }

    /// What the token says, without the proof that it does.
    pub(crate) fn facts(&self) -> &Arc<Claims> {
        &self.0.claims
    }

    /// When the token expires (`exp`, RFC 7519 section 4.1.4).
    pub fn expires_at(&self) -> SystemTime {
        from_unix_seconds(self.0.times.expires_at)
    }

    /// The moment from which [`recheck`](Self::recheck) refuses whatever happens: `exp` with the
    /// issuer's leeway, or its maximum age, whichever comes first.
    pub fn valid_until(&self) -> SystemTime {
        from_unix_seconds(self.0.times.ends_at(&self.0.issuer))
    }

    /// When the token was issued (`iat`, RFC 7519 section 4.1.6).
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.0.times.issued_at.map(from_unix_seconds)
    }

    /// From when the token is valid (`nbf`, RFC 7519 section 4.1.5).
    pub fn not_before(&self) -> Option<SystemTime> {
        self.0.times.not_before.map(from_unix_seconds)
    }

    /// The id of the key that signed the token, where it has one.
    pub fn key_id(&self) -> Option<&str> {
        self.0.key.id()
    }

    /// The algorithm of the signature.
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// The generation of the issuer's keys under which the token was verified; see
    /// [`KeyStore::generation`](super::KeyStore::generation).
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// Checks again what may have changed since the token was verified: time has gone on (or back),
    /// and the issuer's keys may have been replaced. It is what must be asked before a decision
    /// that is based on these claims.
    ///
    /// # Errors
    /// The [`TokenError`] of a time that has come or has not come yet, or
    /// [`TokenError::KeyRetired`]; [`TokenError::AmbiguousKey`] for a token that names no key,
    /// where several of the new ones would fit.
    pub fn recheck(&self, now: SystemTime) -> Result<(), TokenError> {
        let now = seconds(now)?;
        self.0.times.check(&self.0.issuer, now)?;
        if self.0.issuer.keys.generation() == self.0.generation {
            return Ok(());
        }
        self.key_in(&self.0.issuer.keys.now().0).map(drop)
    }

    /// Whether [`recheck`](Self::recheck) finds nothing wrong.
    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        self.recheck(now).is_ok()
    }

    /// About how many bytes the claims take, whatever their text was: the items of lists are not
    /// counted when a token is read.
    pub(super) fn held_bytes(&self) -> usize {
        // Some are held twice: as the claim, and as the parsed list.
        let lists = [self.scopes(), self.amr()].into_iter().filter_map(Result::ok);
        let again = lists.chain([self.audiences()]).flatten().map(|text| 2 * held::BLOCK + text.len());
        held::by(self.members()) + again.sum::<usize>()
    }
}

impl fmt::Debug for VerifiedClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedClaims")
            .field("issuer", &self.issuer())
            .field("subject", &self.subject().map(Shown))
            .field("expires_at", &self.0.times.expires_at)
            .finish_non_exhaustive()
    }
}

/// Whole seconds since 1970. A clock before that is broken, and nothing is believed by it.
pub(super) fn seconds(now: SystemTime) -> Result<u64, TokenError> {
    if now < UNIX_EPOCH { Err(TokenError::Clock) } else { Ok(unix_seconds(now)) }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::Duration;

    use ztlib_contract::facts::ClaimLimits;
    use ztlib_testing::TokenIssuer;

    use super::*;
    use crate::authenticate::token::{BearerToken, Issuer, TokenVerifier};

    /// A replay does not know which claims an issuer uses for scopes and audiences, so the record
    /// keeps them under the standard names.
    #[test]
    fn a_record_has_scopes_and_audiences_where_they_are_read() {
        let now = UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let id = TokenIssuer::new("https://id.example");
        let keys = KeySet::from_jwks(&id.jwks()).unwrap();
        let issuer = Issuer::new(id.name()).audience("shop").audience_from("client_id").scopes_from("scp");
        let issuer = issuer.algorithms([Algorithm::ES256]).keys(keys);
        let verifier = TokenVerifier::builder().issuer(issuer).build().unwrap();
        for (scp, has) in
            [(serde_json::json!("b a"), Ok(true)), (serde_json::json!(7), Err("claim-wrong-type"))]
        {
            let token = id.token_at(now).claim("client_id", "shop").claim("scp", scp).scope("admin").sign();
            let claims = verifier.verify(&BearerToken::new(&token).unwrap(), now).unwrap();
            let recorded = |pointer: &str| claims.recorded(pointer).unwrap().map(Cow::into_owned);
            let record = [("scope", "/scope"), ("aud", "/aud")]
                .into_iter()
                .filter_map(|(name, pointer)| Some((name.to_owned(), recorded(pointer)?)))
                .collect();
            let rebuilt = Claims::described(record, 0, true, ClaimLimits::RECORD).unwrap();
            assert_eq!(rebuilt.has_scope("a").map_err(|error| error.code()), has);
            assert_ne!(rebuilt.has_scope("admin"), Ok(true));
            assert!(rebuilt.has_audience("shop"));
            assert_eq!(recorded("/client_id"), Some("shop".into()));
            assert_eq!(recorded("/absent"), None);
        }
    }
}

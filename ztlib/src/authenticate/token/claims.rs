//! What a verified token says.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::error::{ClaimError, Shown, TokenError, shown};
use super::json::canonical_text;
use super::jws::not_accepted;
use super::key::Key;
use super::keys::{KeySet, NoKey};
use super::registered::Registered;
use super::trusted::{SCOPE, TrustedIssuer};
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
/// # let verifier = TokenVerifier::builder().issuer(issuer.keys(KeySet::from_jwks(&id.jwks())?)).build()?;
/// let token = id.token_at(now).audience("shop").claim("groups", ["staff", "admin"]).claim("level", 3).sign();
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
    pub(super) registered: Registered,
    /// An object.
    pub(super) claims: Value,
}

/// Which claims somebody had: while a mark is there, no others can come to lie where they lay.
pub(crate) struct ClaimsMark(Weak<Verified>);

impl ClaimsMark {
    /// Whether these are the claims that were marked.
    pub(crate) fn is_of(&self, claims: &VerifiedClaims) -> bool {
        self.0.as_ptr() == Arc::as_ptr(&claims.0)
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
        let Value::Object(members) = claims else { return Err(TokenError::Malformed) };
        let registered = issuer.accept(typ.as_deref(), members, now)?;
        Ok(Self::new(Verified {
            issuer: Arc::clone(issuer),
            key,
            algorithm: *algorithm,
            names_key: *names_key,
            typ: typ.clone(),
            generation,
            registered,
            claims: claims.clone(),
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

    /// The issuer (`iss`, RFC 7519 section 4.1.1), as configured.
    pub fn issuer(&self) -> &str {
        &self.0.issuer.name
    }

    /// Whether the issuer is the home issuer: the first that was given to
    /// [`TokenVerifierBuilder::issuer`](super::TokenVerifierBuilder::issuer). What a rule says of
    /// subjects, roles and scopes without naming an issuer is said of the home issuer's: the
    /// `admin` of another is another's.
    pub fn is_home_issuer(&self) -> bool {
        self.0.issuer.is_home
    }

    /// The subject (`sub`, RFC 7519 section 4.1.2), unique within the issuer. Never empty.
    pub fn subject(&self) -> Option<&str> {
        self.0.registered.subject.as_deref()
    }

    /// The audiences (`aud`, RFC 7519 section 4.1.3), as the token has them; where it has no `aud`,
    /// those of the claim that [`Issuer::audience_from`](super::Issuer::audience_from) names.
    /// At least one is this service; there are none only after
    /// [`Issuer::allow_missing_audience`](super::Issuer::allow_missing_audience).
    pub fn audiences(&self) -> &[String] {
        &self.0.registered.audiences
    }

    /// Whether the token names this audience.
    pub fn has_audience(&self, audience: &str) -> bool {
        self.audiences().iter().any(|one| one == audience)
    }

    /// The scopes (`scope`, RFC 8693 section 4.2, or what
    /// [`Issuer::scopes_from`](super::Issuer::scopes_from) names), sorted, each once; none
    /// where there is no such claim.
    ///
    /// # Errors
    /// [`ClaimError::WrongType`] where the claim is neither a string of scopes nor an array of
    /// them.
    pub fn scopes(&self) -> Result<&[String], ClaimError> {
        self.0.registered.scopes.as_deref().map_err(Clone::clone)
    }

    /// Whether the token has this scope. Letter case counts.
    ///
    /// # Errors
    /// As [`scopes`](Self::scopes).
    pub fn has_scope(&self, scope: &str) -> Result<bool, ClaimError> {
        Ok(self.scopes()?.binary_search_by(|one| one.as_str().cmp(scope)).is_ok())
    }

    /// When the token expires (`exp`, RFC 7519 section 4.1.4).
    pub fn expires_at(&self) -> SystemTime {
        from_unix_seconds(self.0.registered.expires_at)
    }

    /// The moment from which [`recheck`](Self::recheck) refuses whatever happens: `exp` with the
    /// issuer's leeway, or its maximum age, whichever comes first.
    pub fn valid_until(&self) -> SystemTime {
        from_unix_seconds(self.0.registered.ends_at(&self.0.issuer))
    }

    /// When the token was issued (`iat`, RFC 7519 section 4.1.6).
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.0.registered.issued_at.map(from_unix_seconds)
    }

    /// From when the token is valid (`nbf`, RFC 7519 section 4.1.5).
    pub fn not_before(&self) -> Option<SystemTime> {
        self.0.registered.not_before.map(from_unix_seconds)
    }

    /// When the user last logged in actively (`auth_time`, OpenID Connect Core section 2).
    ///
    /// # Errors
    /// [`ClaimError::WrongType`] where the claim is not a date.
    pub fn auth_time(&self) -> Result<Option<SystemTime>, ClaimError> {
        let time = self.0.registered.auth_time.as_ref().map_err(Clone::clone)?;
        Ok(time.map(from_unix_seconds))
    }

    /// The authentication context class of the login (`acr`, OpenID Connect Core section 2). An
    /// empty one is none.
    ///
    /// # Errors
    /// [`ClaimError::WrongType`] where the claim is not a string.
    pub fn acr(&self) -> Result<Option<&str>, ClaimError> {
        self.0.registered.acr.as_ref().map(Option::as_deref).map_err(Clone::clone)
    }

    /// The methods of the login (`amr`, RFC 8176), as the token has them; empty where it does not
    /// say.
    ///
    /// # Errors
    /// [`ClaimError::WrongType`] where the claim is not an array of strings that say something.
    pub fn amr(&self) -> Result<&[String], ClaimError> {
        self.0.registered.amr.as_deref().map_err(Clone::clone)
    }

    /// The token's id (`jti`, RFC 7519 section 4.1.7). An empty one is none.
    ///
    /// # Errors
    /// [`ClaimError::WrongType`] where the claim is not a string.
    pub fn token_id(&self) -> Result<Option<&str>, ClaimError> {
        self.0.registered.token_id.as_ref().map(Option::as_deref).map_err(Clone::clone)
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
    /// [`Keys::generation`](super::Keys::generation).
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// A claim that is a string.
    ///
    /// # Errors
    /// [`ClaimError`] where the pointer is malformed or the claim is of another type.
    pub fn claim_string(&self, pointer: &str) -> Result<Option<&str>, ClaimError> {
        self.typed(pointer, "a string", Value::as_str)
    }

    /// A claim that is an integer: a number without fraction or exponent that fits 64 bits with
    /// sign.
    ///
    /// # Errors
    /// As [`claim_string`](Self::claim_string).
    pub fn claim_int(&self, pointer: &str) -> Result<Option<i64>, ClaimError> {
        self.typed(pointer, "an integer", Value::as_i64)
    }

    /// A claim that is `true` or `false`.
    ///
    /// # Errors
    /// As [`claim_string`](Self::claim_string).
    pub fn claim_bool(&self, pointer: &str) -> Result<Option<bool>, ClaimError> {
        self.typed(pointer, "a boolean", Value::as_bool)
    }

    /// A claim of any type, as JSON text: members in the order of their names (by code point), no
    /// white space.
    ///
    /// # Errors
    /// [`ClaimError::MalformedPointer`].
    pub fn claim_json(&self, pointer: &str) -> Result<Option<String>, ClaimError> {
        Ok(self.value(pointer)?.map(canonical_text))
    }

    /// Whether a claim is this string, or an array with this string in it; `false` where there is
    /// no such claim.
    ///
    /// # Errors
    /// [`ClaimError`] where the pointer is malformed or the claim is neither a string nor an array.
    pub fn claim_contains(&self, pointer: &str, value: &str) -> Result<bool, ClaimError> {
        match self.value(pointer)? {
            None => Ok(false),
            Some(Value::String(text)) => Ok(text == value),
            Some(Value::Array(items)) => Ok(items.iter().any(|item| item == value)),
            Some(_) => {
                Err(ClaimError::WrongType { pointer: shown(pointer), expected: "a string or an array" })
            }
        }
    }

    /// All claims as a type of the application's.
    ///
    /// # Errors
    /// [`ClaimError::Shape`].
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, ClaimError> {
        T::deserialize(&self.0.claims).map_err(|_| ClaimError::Shape)
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
        self.0.registered.check_time(&self.0.issuer, now)?;
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
        // Some stand there twice: once more where they were read for good.
        let Registered { audiences, scopes, amr, .. } = &self.0.registered;
        let lists = [scopes, amr].into_iter().filter_map(|list| list.as_ref().ok());
        let again = lists.chain([audiences]).flatten().map(|text| 2 * held::BLOCK + text.len());
        held::by(&self.0.claims) + again.sum::<usize>()
    }

    /// Where it lies in memory: tells two of them apart for as long as both are there.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// These claims and no others, without keeping them.
    pub(crate) fn mark(&self) -> ClaimsMark {
        ClaimsMark(Arc::downgrade(&self.0))
    }

    /// The claim at a pointer.
    pub(crate) fn value(&self, pointer: &str) -> Result<Option<&Value>, ClaimError> {
        // By far the most pointers are one plain name, and `Value::pointer` copies each.
        let plain = |name: &&str| !name.bytes().any(|byte| matches!(byte, b'/' | b'~'));
        if let Some(name) = pointer.strip_prefix('/').filter(plain) {
            return Ok(self.0.claims.get(name));
        }
        check_pointer(pointer)?;
        Ok(self.0.claims.pointer(pointer))
    }

    /// What a record keeps of a claim, so that the same is read of it by whoever is not told the
    /// issuer's terms: the scopes as `scope` and the audience as `aud`, wherever they are.
    pub(crate) fn recorded(&self, pointer: &str) -> Result<Option<Cow<'_, Value>>, ClaimError> {
        let Registered { audiences, scopes, .. } = &self.0.registered;
        let texts = |texts: &[String]| Value::Array(texts.iter().map(|text| text.as_str().into()).collect());
        match pointer {
            "/scope" if self.0.issuer.scopes_from != [SCOPE] => {
                // Null is no scope to anybody, as what stands there is none.
                Ok(Some(Cow::Owned(scopes.as_deref().map_or(Value::Null, texts))))
            }
            "/aud" if self.0.claims.get("aud").is_none() && !audiences.is_empty() => {
                Ok(Some(Cow::Owned(texts(audiences))))
            }
            _ => Ok(self.value(pointer)?.map(Cow::Borrowed)),
        }
    }

    fn typed<'c, T>(
        &'c self,
        pointer: &str,
        expected: &'static str,
        read: impl Fn(&'c Value) -> Option<T>,
    ) -> Result<Option<T>, ClaimError> {
        let Some(value) = self.value(pointer)? else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| ClaimError::WrongType { pointer: shown(pointer), expected })
    }
}

impl fmt::Debug for VerifiedClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedClaims")
            .field("issuer", &self.issuer())
            .field("subject", &self.subject().map(Shown))
            .field("expires_at", &self.0.registered.expires_at)
            .finish_non_exhaustive()
    }
}

/// Whole seconds since 1970. A clock before that is broken, and nothing is believed by it.
pub(super) fn seconds(now: SystemTime) -> Result<u64, TokenError> {
    if now < UNIX_EPOCH { Err(TokenError::Clock) } else { Ok(unix_seconds(now)) }
}

/// RFC 6901 section 3: empty, or `/` before each token; `~` only as `~0` and `~1`.
fn check_pointer(pointer: &str) -> Result<(), ClaimError> {
    let begins = pointer.is_empty() || pointer.starts_with('/');
    let escapes = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if begins && escapes { Ok(()) } else { Err(ClaimError::MalformedPointer { pointer: shown(pointer) }) }
}

/// The claims as the value that they are read from.
pub(super) fn object(claims: Map<String, Value>) -> Value {
    Value::Object(claims)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ztlib_testing::TokenIssuer;

    use super::*;
    use crate::authenticate::token::{BearerToken, Issuer, TokenVerifier};

    /// Whoever replays a record is not told where an issuer has its scopes and audiences: the
    /// record has them where they are looked for.
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
            let rebuilt = VerifiedClaims::rebuilt(record, 0, true).unwrap();
            assert_eq!(rebuilt.has_scope("a").map_err(|error| error.code()), has);
            assert_ne!(rebuilt.has_scope("admin"), Ok(true));
            assert!(rebuilt.has_audience("shop"));
            assert_eq!(recorded("/client_id"), Some("shop".into()));
            assert_eq!(recorded("/absent"), None);
        }
    }
}

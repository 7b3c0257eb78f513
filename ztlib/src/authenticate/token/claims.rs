//! What a verified token says.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::error::{ClaimError, Shown, TokenError, shown};
use super::json::canonical_text;
use super::key::Key;
use super::registered::Registered;
use super::trusted::TrustedIssuer;
use crate::clock::{from_unix_seconds, unix_seconds};
use crate::held;

/// The claims of a token whose signature, issuer, audience and times were right: a proof that only a
/// [`TokenVerifier`](super::TokenVerifier) makes. Cheap to clone.
///
/// Time goes on and keys are taken out after that, so each later use begins with [`recheck`](Self::recheck).
///
/// Claims are read by JSON pointer (RFC 6901: `/tenant`, `/org/id`). What is absent is `None`; a claim of another type, `null`
/// included, is an error: a rule must not take "I do not understand it" for "it is not there".
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

    /// The issuer (`iss`, RFC 7519 section 4.1.1), as configured.
    pub fn issuer(&self) -> &str {
        &self.0.issuer.name
    }

    /// Whether the issuer is the home issuer: the first that was given to
    /// [`TokenVerifierBuilder::issuer`](super::TokenVerifierBuilder::issuer). What a rule says of subjects, roles and scopes without
    /// naming an issuer is said of the home issuer's: the `admin` of another is another's.
    pub fn is_home_issuer(&self) -> bool {
        self.0.issuer.is_home
    }

    /// The subject (`sub`, RFC 7519 section 4.1.2), unique within the issuer. Never empty.
    pub fn subject(&self) -> Option<&str> {
        self.0.registered.subject.as_deref()
    }

    /// The audiences (`aud`, RFC 7519 section 4.1.3), as the token has them. At least one is this service.
    pub fn audiences(&self) -> &[String] {
        &self.0.registered.audiences
    }

    /// Whether the token names this audience.
    pub fn has_audience(&self, audience: &str) -> bool {
        self.audiences().iter().any(|one| one == audience)
    }

    /// The scopes (`scope`, RFC 8693 section 4.2), sorted, each once.
    pub fn scopes(&self) -> &[String] {
        &self.0.registered.scopes
    }

    /// Whether the token has this scope. Letter case counts.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().binary_search_by(|one| one.as_str().cmp(scope)).is_ok()
    }

    /// When the token expires (`exp`, RFC 7519 section 4.1.4).
    pub fn expires_at(&self) -> SystemTime {
        from_unix_seconds(self.0.registered.expires_at)
    }

    /// The moment from which [`recheck`](Self::recheck) refuses whatever happens: `exp` with the issuer's leeway, or its maximum
    /// age, whichever comes first.
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
    pub fn auth_time(&self) -> Option<SystemTime> {
        self.0.registered.auth_time.map(from_unix_seconds)
    }

    /// The authentication context class of the login (`acr`, OpenID Connect Core section 2).
    pub fn acr(&self) -> Option<&str> {
        self.0.registered.acr.as_deref()
    }

    /// The methods of the login (`amr`, RFC 8176), as the token has them; empty where it does not say.
    pub fn amr(&self) -> &[String] {
        &self.0.registered.amr
    }

    /// The token's id (`jti`, RFC 7519 section 4.1.7).
    pub fn token_id(&self) -> Option<&str> {
        self.0.registered.token_id.as_deref()
    }

    /// The id of the key that signed the token, where it has one.
    pub fn key_id(&self) -> Option<&str> {
        self.0.key.id()
    }

    /// The algorithm of the signature.
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// The generation of the issuer's keys under which the token was verified; see [`Keys::generation`](super::Keys::generation).
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

    /// A claim that is an integer: a number without fraction or exponent that fits 64 bits with sign.
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

    /// A claim of any type, as JSON text: members in the order of their names (by code point), no white space.
    ///
    /// # Errors
    /// [`ClaimError::MalformedPointer`].
    pub fn claim_json(&self, pointer: &str) -> Result<Option<String>, ClaimError> {
        Ok(self.value(pointer)?.map(canonical_text))
    }

    /// Whether a claim is this string, or an array with this string in it; `false` where there is no such claim.
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

    /// Checks again what may have changed since the token was verified: time has gone on (or back), and the issuer's keys may
    /// have been replaced. It is what must be asked before a decision that is based on these claims.
    ///
    /// # Errors
    /// The [`TokenError`] of a time that has come or has not come yet, or [`TokenError::KeyRetired`]; [`TokenError::AmbiguousKey`] for a token
    /// that names no key, where several of the new ones would fit.
    pub fn recheck(&self, now: SystemTime) -> Result<(), TokenError> {
        let now = seconds(now)?;
        self.0.registered.check_time(&self.0.issuer, now)?;
        if self.0.issuer.keys.generation() == self.0.generation {
            return Ok(());
        }
        let (set, _) = self.0.issuer.keys.now();
        if !set.holds(&self.0.key) {
            return Err(TokenError::KeyRetired);
        }
        if self.0.names_key { Ok(()) } else { set.select(None, self.0.algorithm).map(drop) }
    }

    /// Whether [`recheck`](Self::recheck) finds nothing wrong.
    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        self.recheck(now).is_ok()
    }

    /// About how many bytes the claims take, whatever their text was: the items of lists are not counted when a token is read.
    pub(super) fn held_bytes(&self) -> usize {
        // Some stand there twice: once more where they were read for good.
        let Registered { audiences, scopes, amr, .. } = &self.0.registered;
        let again = [audiences, scopes, amr].into_iter().flatten().map(|text| 2 * held::BLOCK + text.len());
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

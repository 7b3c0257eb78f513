//! Facts about the claims of a token.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::ClaimError;
use super::registered::{self, ClaimFault};
use crate::json::canonical_text;
use crate::printable::shown;
use crate::time::from_unix_seconds;

/// Where scopes are, unless the issuer's terms say otherwise (RFC 8693 section 4.2).
const SCOPE: &str = "scope";

/// What a token is said to say: its claims, as the code that made this value gives them.
///
/// Claims are read by JSON pointer (RFC 6901: `/tenant`, `/org/id`). What is absent is `None`; a
/// claim of another type, `null` included, is an error: a rule must not take "I do not understand
/// it" for "it is not there".
pub struct Claims {
    issuer: Arc<str>,
    is_home: bool,
    subject: Option<String>,
    audiences: Vec<String>,
    scopes: Result<Vec<String>, ClaimError>,
    /// Whether the scopes are elsewhere than in `scope`.
    scopes_elsewhere: bool,
    auth_time: Result<Option<u64>, ClaimError>,
    token_id: Result<Option<String>, ClaimError>,
    acr: Result<Option<String>, ClaimError>,
    amr: Result<Vec<String>, ClaimError>,
    /// An object.
    value: Value,
}

/// Under which names an issuer has what ztlib gives a meaning to.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ClaimNames<'n> {
    /// The claims that hold scopes; none: `scope`.
    pub scopes_from: &'n [String],
    /// The claim that stands for `aud` where a token has none.
    pub audience_from: Option<&'n str>,
    /// Whether a token may have no audience at all.
    pub missing_audience: bool,
}

impl<'n> ClaimNames<'n> {
    /// The names of one issuer.
    pub fn new(scopes_from: &'n [String], audience_from: Option<&'n str>, missing_audience: bool) -> Self {
        Self { scopes_from, audience_from, missing_audience }
    }
}

impl Claims {
    /// Reads claims as those of one issuer's token.
    ///
    /// # Errors
    /// [`ClaimFault`] for a subject or an audience that no token can have. What else is odd is an
    /// error only when it is asked for: what nobody reads refuses nothing.
    pub fn read(
        issuer: Arc<str>,
        is_home: bool,
        names: ClaimNames<'_>,
        claims: Map<String, Value>,
    ) -> Result<Self, ClaimFault> {
        let scope = [SCOPE.to_owned()];
        let scopes_from = if names.scopes_from.is_empty() { &scope } else { names.scopes_from };
        Ok(Self {
            issuer,
            is_home,
            subject: registered::text(&claims, "sub")?.map(str::to_owned),
            audiences: registered::audiences(&claims, names)?,
            scopes: registered::scopes(&claims, scopes_from),
            scopes_elsewhere: scopes_from != scope,
            auth_time: registered::auth_time(&claims),
            token_id: registered::optional_text(&claims, "jti"),
            acr: registered::optional_text(&claims, "acr"),
            amr: registered::methods(&claims),
            value: Value::Object(claims),
        })
    }

    /// The issuer (`iss`, RFC 7519 section 4.1.1), as configured.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether the issuer is the home issuer: the first that the service trusts. What a rule says
    /// of subjects, roles and scopes without naming an issuer is said of the home issuer's: the
    /// `admin` of another is another's.
    pub fn is_home_issuer(&self) -> bool {
        self.is_home
    }

    /// All claims.
    pub fn members(&self) -> &Value {
        &self.value
    }

    /// The subject (`sub`, RFC 7519 section 4.1.2), unique within the issuer. Never empty.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The audiences (`aud`, RFC 7519 section 4.1.3), as the token has them; where it has no `aud`,
    /// those of the claim that [`ClaimNames::audience_from`] names.
    /// There are none only where the issuer's terms allow that.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Whether the token names this audience.
    pub fn has_audience(&self, audience: &str) -> bool {
        self.audiences().iter().any(|one| one == audience)
    }

    /// The scopes (`scope`, RFC 8693 section 4.2, or what
    /// [`ClaimNames::scopes_from`] names), sorted, each once; none
    /// where there is no such claim.
    ///
    /// # Errors
    /// [`ClaimError::WrongType`] where the claim is neither a string of scopes nor an array of
    /// them.
    pub fn scopes(&self) -> Result<&[String], ClaimError> {
        self.scopes.as_deref().map_err(Clone::clone)
    }

    /// Whether the token has this scope. Letter case counts.
    ///
    /// # Errors
    /// As [`scopes`](Self::scopes).
    pub fn has_scope(&self, scope: &str) -> Result<bool, ClaimError> {
        Ok(self.scopes()?.binary_search_by(|one| one.as_str().cmp(scope)).is_ok())
    }

    /// When the user last logged in actively (`auth_time`, OpenID Connect Core section 2).
    ///
    /// # Errors
    /// [`ClaimError::WrongType`] where the claim is not a date.
    pub fn auth_time(&self) -> Result<Option<SystemTime>, ClaimError> {
        let time = self.auth_time.as_ref().map_err(Clone::clone)?;
        Ok(time.map(from_unix_seconds))
    }

    /// The authentication context class of the login (`acr`, OpenID Connect Core section 2). An
    /// empty one is none.
    ///
    /// # Errors
    /// [`ClaimError::WrongType`] where the claim is not a string.
    pub fn acr(&self) -> Result<Option<&str>, ClaimError> {
        self.acr.as_ref().map(Option::as_deref).map_err(Clone::clone)
    }

    /// The methods of the login (`amr`, RFC 8176), as the token has them; empty where it does not
    /// say.
    ///
    /// # Errors
    /// [`ClaimError::WrongType`] where the claim is not an array of strings that say something.
    pub fn amr(&self) -> Result<&[String], ClaimError> {
        self.amr.as_deref().map_err(Clone::clone)
    }

    /// The token's id (`jti`, RFC 7519 section 4.1.7). An empty one is none.
    ///
    /// # Errors
    /// [`ClaimError::WrongType`] where the claim is not a string.
    pub fn token_id(&self) -> Result<Option<&str>, ClaimError> {
        self.token_id.as_ref().map(Option::as_deref).map_err(Clone::clone)
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
        T::deserialize(&self.value).map_err(|_| ClaimError::Shape)
    }

    /// The claim at a pointer.
    pub fn value(&self, pointer: &str) -> Result<Option<&Value>, ClaimError> {
        // By far the most pointers are one plain name, and `Value::pointer` copies each.
        let plain = |name: &&str| !name.bytes().any(|byte| matches!(byte, b'/' | b'~'));
        if let Some(name) = pointer.strip_prefix('/').filter(plain) {
            return Ok(self.value.get(name));
        }
        check_pointer(pointer)?;
        Ok(self.value.pointer(pointer))
    }

    /// What a record keeps of a claim, so that the same is read of it by whoever is not told the
    /// issuer's terms: the scopes as `scope` and the audience as `aud`, wherever they are.
    pub fn recorded(&self, pointer: &str) -> Result<Option<Cow<'_, Value>>, ClaimError> {
        let Self { audiences, scopes, .. } = self;
        let texts = |texts: &[String]| Value::Array(texts.iter().map(|text| text.as_str().into()).collect());
        match pointer {
            "/scope" if self.scopes_elsewhere => {
                // Null is not a scope to anybody, as what stands there is none.
                Ok(Some(Cow::Owned(scopes.as_deref().map_or(Value::Null, texts))))
            }
            "/aud" if self.value.get("aud").is_none() && !audiences.is_empty() => {
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

impl fmt::Debug for Claims {
    /// Without what is in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// RFC 6901 section 3: empty, or `/` before each token; `~` only as `~0` and `~1`.
fn check_pointer(pointer: &str) -> Result<(), ClaimError> {
    let begins = pointer.is_empty() || pointer.starts_with('/');
    let escapes = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if begins && escapes { Ok(()) } else { Err(ClaimError::MalformedPointer { pointer: shown(pointer) }) }
}

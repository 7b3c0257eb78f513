//! Who may vouch for callers, and under what terms.

use std::time::Duration;

use super::algorithm::{Algorithm, Family};
use super::keys::{KeySet, Keys};

/// The longest that [`leeway`](Issuer::leeway) and [`clock_skew`](Issuer::clock_skew) may be.
pub const MAX_LEEWAY: Duration = Duration::from_secs(5 * 60);

const DEFAULT_CLOCK_SKEW: Duration = Duration::from_secs(5);
const DEFAULT_MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The end of the year 9999 in Unix seconds: no date of a token is later.
pub(super) const LATEST_DATE: u64 = 253_402_300_799;

/// An issuer whose tokens are believed, and the terms. Part of a [`TokenVerifier`](super::TokenVerifier), whose `build` checks
/// it.
///
/// An audience, the algorithms and the keys have no default: an issuer without one of them is refused.
///
/// | setting | default |
/// |---|---|
/// | [`types`](Self::types) | `at+jwt`, `JWT` and absent |
/// | [`leeway`](Self::leeway) | none: a token is expired in the second that `exp` names |
/// | [`clock_skew`](Self::clock_skew) | 5 seconds, for `nbf` and `iat` |
/// | [`max_lifetime`](Self::max_lifetime) | 24 hours |
/// | [`max_age`](Self::max_age) | none |
/// | [`require_claim`](Self::require_claim) | `iss`, `aud` and `exp`, always |
///
/// ```
/// use std::time::Duration;
/// use ztlib::authenticate::token::{Algorithm, Issuer, KeySet, TokenVerifier};
/// # let jwks = ztlib_testing::TokenIssuer::new("https://id.example").jwks();
///
/// let issuer = Issuer::new("https://id.example")
///     .audience("shop")
///     .algorithms([Algorithm::ES256])
///     .keys(KeySet::from_jwks(&jwks)?)
///     .types(["at+jwt"])
///     .max_lifetime(Duration::from_secs(3600));
/// assert!(TokenVerifier::builder().issuer(issuer).build().is_ok());
///
/// // Without an audience, every service's tokens would pass here.
/// let careless = Issuer::new("https://id.example").algorithms([Algorithm::ES256]).keys(KeySet::from_jwks(&jwks)?);
/// assert_eq!(TokenVerifier::builder().issuer(careless).build().unwrap_err().code(), "token-config-no-audience");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Issuer {
    pub(super) name: String,
    pub(super) audiences: Vec<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) keys: Option<Keys>,
    /// The length of the secret given, where there is one: it is checked when the algorithms are known.
    pub(super) secret_len: Option<usize>,
    pub(super) several_families: bool,
    pub(super) types: Option<Vec<String>>,
    pub(super) leeway: Duration,
    pub(super) clock_skew: Duration,
    pub(super) max_lifetime: Duration,
    pub(super) max_age: Option<Duration>,
    pub(super) required: Vec<String>,
}

impl Issuer {
    /// An issuer of this name: the `iss` of its tokens, byte for byte (RFC 7519 section 4.1.1). A trailing slash or another
    /// letter case is another issuer.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            audiences: Vec::new(),
            algorithms: Vec::new(),
            keys: None,
            secret_len: None,
            several_families: false,
            types: None,
            leeway: Duration::ZERO,
            clock_skew: DEFAULT_CLOCK_SKEW,
            max_lifetime: DEFAULT_MAX_LIFETIME,
            max_age: None,
            required: Vec::new(),
        }
    }

    /// Accepts tokens that name this audience (RFC 7519 section 4.1.3). Given several times, one of them is enough. There must
    /// be at least one: a token for another service is no proof for this one.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// The algorithms that the issuer signs with. All must be of one family (EC, RSA, Ed25519, HMAC), save where
    /// [`allow_several_families`](Self::allow_several_families) says otherwise.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms.extend(algorithms);
        self
    }

    /// Lets the issuer use algorithms of several families of public keys, as while it changes from one to another. HMAC is
    /// never mixed with public keys: their text would be a secret that everybody knows (CVE-2016-10555).
    #[must_use]
    pub fn allow_several_families(mut self) -> Self {
        self.several_families = true;
        self
    }

    /// The keys that the issuer signs with: a [`KeySet`], or [`Keys`] that are replaced while the service runs.
    #[must_use]
    pub fn keys(mut self, keys: impl Into<Keys>) -> Self {
        self.keys = Some(keys.into());
        self.secret_len = None;
        self
    }

    /// The secret that the issuer shares with this service, for the algorithms `HS256` (at least 32 bytes), `HS384` (48) and
    /// `HS512` (64). Whoever holds it can make tokens: prefer public keys.
    ///
    /// Its tokens carry no `kid`. For secrets with ids, see [`KeySet::from_secret_jwks`].
    #[must_use]
    pub fn hmac_secret(mut self, secret: &[u8]) -> Self {
        self.keys = Some(Keys::new(KeySet::from_secret(secret).unwrap_or_else(KeySet::empty)));
        self.secret_len = Some(secret.len());
        self
    }

    /// How long after `exp` a token is still believed. Default: not at all. At most 5 minutes.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// How far the issuer's clock may be ahead: `nbf` and `iat` may be this much later than now. Default: 5 seconds. At most 5
    /// minutes. It lets nothing live longer.
    #[must_use]
    pub fn clock_skew(mut self, skew: Duration) -> Self {
        self.clock_skew = skew;
        self
    }

    /// The longest time from `iat` to `exp`; from now to `exp` in tokens without `iat`. Default: 24 hours.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = lifetime;
        self
    }

    /// How long after `iat` a token is believed, whatever its `exp`; `iat` is then required. Default: no such limit.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// The values of the header's `typ` that are accepted, instead of the default; a token without `typ` is then refused. They
    /// are compared without regard to letter case and to a leading `application/` (RFC 7515 section 4.1.9).
    ///
    /// The default takes `at+jwt` (RFC 9068), `JWT` and none, since most issuers do not mark their access tokens. It refuses
    /// what is marked as something else: `logout+jwt`, `secevent+jwt`, `dpop+jwt`. Where the issuer does mark them, say
    /// `.types(["at+jwt"])`: then an ID token never passes as an access token (RFC 8725 section 3.11).
    #[must_use]
    pub fn types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.types = Some(types.into_iter().map(Into::into).collect());
        self
    }

    /// Refuses tokens without this claim (a top-level member; `null` is as good as absent).
    #[must_use]
    pub fn require_claim(mut self, name: impl Into<String>) -> Self {
        self.required.push(name.into());
        self
    }
}

/// An [`Issuer`] that was checked.
pub(super) struct TrustedIssuer {
    pub(super) name: String,
    pub(super) audiences: Vec<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) keys: Keys,
    pub(super) types: Option<Vec<String>>,
    pub(super) leeway: u64,
    pub(super) clock_skew: u64,
    pub(super) max_lifetime: u64,
    pub(super) max_age: Option<u64>,
    pub(super) required: Vec<String>,
}

/// Why there is no [`TokenVerifier`](super::TokenVerifier), and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenConfigError {
    /// No issuer was given.
    #[error("no token issuer is configured: add one with `issuer`")]
    NoIssuer,
    /// Two issuers have one name.
    #[error("the issuer `{0}` is configured twice: give it all its keys and audiences at once")]
    DuplicateIssuer(String),
    /// The issuer's name is empty.
    #[error("an issuer has an empty name: give it the `iss` of its tokens")]
    EmptyIssuer,
    /// No audience, or an empty one.
    #[error("the issuer `{0}` has no audience: add the name of this service with `audience`")]
    NoAudience(String),
    /// No algorithm.
    #[error("the issuer `{0}` has no algorithm: name those that it signs with, with `algorithms`")]
    NoAlgorithm(String),
    /// Algorithms of several families.
    #[error(
        "the issuer `{0}` has algorithms of several families: choose one, or say `allow_several_families` (never with HMAC)"
    )]
    SeveralFamilies(String),
    /// No keys.
    #[error("the issuer `{0}` has no keys: add them with `keys` or `hmac_secret`")]
    NoKeys(String),
    /// None of the keys is for one of the algorithms.
    #[error("the issuer `{0}` has no key for its algorithms")]
    NoKeyForAlgorithms(String),
    /// An HMAC algorithm with public keys, or the other way round.
    #[error(
        "the issuer `{0}` mixes shared secrets and public keys: HMAC algorithms need `hmac_secret`, others need `keys`"
    )]
    SecretsAndPublicKeys(String),
    /// The secret is shorter than an algorithm needs.
    #[error("the secret of the issuer `{issuer}` is too short: {algorithm} needs at least {least} bytes")]
    ShortSecret {
        /// The issuer.
        issuer: String,
        /// The algorithm.
        algorithm: Algorithm,
        /// The least length in bytes.
        least: usize,
    },
    /// A leeway or clock skew over [`MAX_LEEWAY`].
    #[error("the leeway or clock skew of the issuer `{0}` is over 5 minutes")]
    LeewayTooLong(String),
    /// A lifetime or age under one second, or no type in the list of types.
    #[error("the issuer `{0}` would accept no token: its `{1}` is empty")]
    AcceptsNothing(String, &'static str),
    /// A name of a cookie that no cookie can have, or a prefix that no subprotocol can have.
    #[error(
        "`{0}` cannot be the name of a cookie or the prefix of a subprotocol: use letters, digits, `-`, `_` and `.`"
    )]
    BadPlace(String),
}

impl TokenConfigError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoIssuer => "token-config-no-issuer",
            Self::DuplicateIssuer(_) => "token-config-duplicate-issuer",
            Self::EmptyIssuer => "token-config-empty-issuer",
            Self::NoAudience(_) => "token-config-no-audience",
            Self::NoAlgorithm(_) => "token-config-no-algorithm",
            Self::SeveralFamilies(_) => "token-config-several-families",
            Self::NoKeys(_) => "token-config-no-keys",
            Self::NoKeyForAlgorithms(_) => "token-config-no-key-for-algorithms",
            Self::SecretsAndPublicKeys(_) => "token-config-secrets-and-public-keys",
            Self::ShortSecret { .. } => "token-config-short-secret",
            Self::LeewayTooLong(_) => "token-config-leeway",
            Self::AcceptsNothing(..) => "token-config-accepts-nothing",
            Self::BadPlace(_) => "token-config-place",
        }
    }
}

impl TrustedIssuer {
    pub(super) fn check(issuer: Issuer) -> Result<Self, TokenConfigError> {
        use TokenConfigError as Error;
        let Issuer { name, audiences, algorithms, .. } = issuer;
        if name.is_empty() {
            return Err(Error::EmptyIssuer);
        }
        if audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err(Error::NoAudience(name));
        }
        let Some(family) = algorithms.first().map(|algorithm| algorithm.family()) else {
            return Err(Error::NoAlgorithm(name));
        };
        let hmac = algorithms.iter().any(|algorithm| algorithm.family() == Family::Hmac);
        let several = algorithms.iter().any(|algorithm| algorithm.family() != family);
        if several && (hmac || !issuer.several_families) {
            return Err(Error::SeveralFamilies(name));
        }
        if let Some(len) = issuer.secret_len
            && let Some(&algorithm) =
                algorithms.iter().find(|algorithm| hmac && len < algorithm.least_secret())
        {
            return Err(Error::ShortSecret { issuer: name, algorithm, least: algorithm.least_secret() });
        }
        let Some(keys) = issuer.keys else { return Err(Error::NoKeys(name)) };
        let (set, _) = keys.now();
        if (issuer.secret_len.is_some() && !hmac) || (!set.is_empty() && set.has_secrets() != hmac) {
            return Err(Error::SecretsAndPublicKeys(name));
        }
        if !set.is_empty() && !set.has_key_for(&algorithms) {
            return Err(Error::NoKeyForAlgorithms(name));
        }
        if issuer.leeway > MAX_LEEWAY || issuer.clock_skew > MAX_LEEWAY {
            return Err(Error::LeewayTooLong(name));
        }
        if issuer.max_lifetime.as_secs() == 0 {
            return Err(Error::AcceptsNothing(name, "max_lifetime"));
        }
        if issuer.max_age.is_some_and(|age| age.as_secs() == 0) {
            return Err(Error::AcceptsNothing(name, "max_age"));
        }
        if issuer.types.as_ref().is_some_and(|types| types.is_empty() || types.iter().any(String::is_empty)) {
            return Err(Error::AcceptsNothing(name, "types"));
        }
        Ok(Self {
            name,
            audiences,
            algorithms,
            keys,
            types: issuer.types,
            leeway: issuer.leeway.as_secs(),
            clock_skew: issuer.clock_skew.as_secs(),
            max_lifetime: issuer.max_lifetime.as_secs().min(LATEST_DATE),
            max_age: issuer.max_age.map(|age| age.as_secs().min(LATEST_DATE)),
            required: issuer.required,
        })
    }

    /// Whether a header with this `typ` may belong to an access token of the issuer.
    pub(super) fn accepts_type(&self, typ: Option<&str>) -> bool {
        const DEFAULT: [&str; 2] = ["at+jwt", "JWT"];
        match (&self.types, typ) {
            (None, None) => true,
            (None, Some(typ)) => DEFAULT.iter().any(|accepted| same_type(accepted, typ)),
            (Some(_), None) => false,
            (Some(types), Some(typ)) => types.iter().any(|accepted| same_type(accepted, typ)),
        }
    }
}

fn same_type(one: &str, other: &str) -> bool {
    short_type(one).eq_ignore_ascii_case(short_type(other))
}

/// A media type without `application/`, as RFC 7515 section 4.1.9 lets it be written.
fn short_type(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
        _ => typ,
    }
}

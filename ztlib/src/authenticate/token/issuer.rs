//! Who may vouch for callers, and under what terms.

use std::time::Duration;

use super::algorithm::Algorithm;
use super::keys::{KeySet, KeyStore};

/// The longest that [`leeway`](Issuer::leeway) and [`clock_skew`](Issuer::clock_skew) may be.
pub const MAX_LEEWAY: Duration = Duration::from_secs(5 * 60);

const DEFAULT_CLOCK_SKEW: Duration = Duration::from_secs(5);
const DEFAULT_MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// An issuer whose tokens are believed, and the terms. Part of a
/// [`TokenVerifier`](super::TokenVerifier), whose `build` checks it.
///
/// An audience, the algorithms and the keys have no default: an issuer without one of them is
/// refused.
///
/// - [`types`](Self::types): `at+jwt`, `JWT` and absent
/// - [`scopes_from`](Self::scopes_from): `scope`: a string, or an array
/// - [`audience_from`](Self::audience_from),
///   [`allow_missing_audience`](Self::allow_missing_audience): `aud`, required
/// - [`leeway`](Self::leeway): none: a token is expired in the second that `exp` names
/// - [`clock_skew`](Self::clock_skew): 5 seconds, for `nbf` and `iat`
/// - [`max_lifetime`](Self::max_lifetime): 24 hours
/// - [`max_age`](Self::max_age): none
/// - [`require_claim`](Self::require_claim): `iss` and `exp`, always; `aud`
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
/// let careless = Issuer::new("https://id.example")
///     .algorithms([Algorithm::ES256])
///     .keys(KeySet::from_jwks(&jwks)?);
/// assert_eq!(
///     TokenVerifier::builder().issuer(careless).build().unwrap_err().code(),
///     "token-config-no-audience"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Issuer {
    pub(super) name: String,
    pub(super) audiences: Vec<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) keys: Option<KeyStore>,
    /// The length of the secret given, where there is one: it is checked when the algorithms are
    /// known.
    pub(super) secret_len: Option<usize>,
    pub(super) several_families: bool,
    pub(super) types: Option<Vec<String>>,
    pub(super) missing_type: bool,
    pub(super) audience_from: Option<String>,
    pub(super) missing_audience: bool,
    pub(super) scopes_from: Vec<String>,
    pub(super) leeway: Duration,
    pub(super) clock_skew: Duration,
    pub(super) max_lifetime: Duration,
    pub(super) max_age: Option<Duration>,
    pub(super) required: Vec<String>,
}

impl Issuer {
    /// An issuer of this name: the `iss` of its tokens, byte for byte (RFC 7519 section 4.1.1). A
    /// trailing slash or another letter case is another issuer.
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
            missing_type: false,
            audience_from: None,
            missing_audience: false,
            scopes_from: Vec::new(),
            leeway: Duration::ZERO,
            clock_skew: DEFAULT_CLOCK_SKEW,
            max_lifetime: DEFAULT_MAX_LIFETIME,
            max_age: None,
            required: Vec::new(),
        }
    }

    /// Accepts tokens that name this audience (RFC 7519 section 4.1.3). Given several times, one of
    /// them is enough. There must be at least one: a token for another service is not proof for
    /// this one.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Takes this claim for the audience of tokens that have no `aud`. It is a string or an array
    /// of strings, as `aud` is, and one of them must be an [`audience`](Self::audience) of this
    /// service; policies then read it as the audience. A token that has an `aud` is judged by
    /// that alone.
    ///
    /// Access tokens of Amazon Cognito name the client that they were issued to, in `client_id`,
    /// and no audience: for those, say `.audience("the id of your
    /// client").audience_from("client_id")`.
    ///
    /// ```
    /// use ztlib::authenticate::token::{Algorithm, BearerToken, Issuer, KeySet, TokenVerifier};
    /// # use ztlib::Clock as _;
    /// # let now = ztlib_testing::ManualClock::default().now();
    /// # let id = ztlib_testing::TokenIssuer::new("https://id.example");
    /// let issuer =
    ///     Issuer::new("https://id.example").audience("5example3936").audience_from("client_id");
    /// let issuer = issuer.algorithms([Algorithm::ES256]).keys(KeySet::from_jwks(&id.jwks())?);
    /// let verifier = TokenVerifier::builder().issuer(issuer).build()?;
    /// let token = id.token_at(now).claim("client_id", "5example3936").sign();
    /// assert!(verifier.verify(&BearerToken::new(&token)?, now)?.has_audience("5example3936"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn audience_from(mut self, claim: impl Into<String>) -> Self {
        self.audience_from = Some(claim.into());
        self
    }

    /// Loosens: a token without an audience is believed. It may have been issued for any service:
    /// anyone who gets hold of one can use it here. A token that names audiences must still
    /// name one of this service, and with this verb there need not be
    /// any [`audience`](Self::audience). Prefer [`audience_from`](Self::audience_from) where
    /// another claim says whom the token is for.
    #[must_use]
    pub fn allow_missing_audience(mut self) -> Self {
        self.missing_audience = true;
        self
    }

    /// Reads the scopes from this claim (a top-level member) instead of `scope`: `scp` for
    /// Microsoft Entra and Okta. Given several times, the scopes of all these claims count.
    /// Each is one string with spaces between the scopes, or an array of strings.
    ///
    /// ```
    /// use ztlib::authenticate::token::{Algorithm, BearerToken, Issuer, KeySet, TokenVerifier};
    /// # use ztlib::Clock as _;
    /// # let now = ztlib_testing::ManualClock::default().now();
    /// # let id = ztlib_testing::TokenIssuer::new("https://id.example");
    /// let issuer = Issuer::new("https://id.example").audience("shop").scopes_from("scp");
    /// let issuer = issuer.algorithms([Algorithm::ES256]).keys(KeySet::from_jwks(&id.jwks())?);
    /// let verifier = TokenVerifier::builder().issuer(issuer).build()?;
    /// let token =
    ///     id.token_at(now).audience("shop").claim("scp", "Orders.Read Orders.Write").sign();
    /// assert_eq!(
    ///     verifier.verify(&BearerToken::new(&token)?, now)?.has_scope("Orders.Read"),
    ///     Ok(true)
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn scopes_from(mut self, claim: impl Into<String>) -> Self {
        self.scopes_from.push(claim.into());
        self
    }

    /// The algorithms that the issuer signs with. All must be of one family (EC, RSA, Ed25519,
    /// HMAC), save where [`allow_several_families`](Self::allow_several_families) says
    /// otherwise.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms.extend(algorithms);
        self
    }

    /// Lets the issuer use algorithms of several families of public keys, as while it changes from
    /// one to another. HMAC is never mixed with public keys: their text would be a secret that
    /// everybody knows (CVE-2016-10555).
    #[must_use]
    pub fn allow_several_families(mut self) -> Self {
        self.several_families = true;
        self
    }

    /// The keys that the issuer signs with: a [`KeySet`], or [`KeyStore`] that are replaced while
    /// the service runs.
    #[must_use]
    pub fn keys(mut self, keys: impl Into<KeyStore>) -> Self {
        self.keys = Some(keys.into());
        self.secret_len = None;
        self
    }

    /// The secret that the issuer shares with this service, for the algorithms `HS256` (at least 32
    /// bytes), `HS384` (48) and `HS512` (64). Anyone who holds it can make tokens: prefer public
    /// keys.
    ///
    /// Its tokens carry no `kid`. For secrets with ids, see [`KeySet::from_secret_jwks`].
    #[must_use]
    pub fn hmac_secret(mut self, secret: &[u8]) -> Self {
        self.keys = Some(KeyStore::new(KeySet::from_secret(secret).unwrap_or_else(KeySet::empty)));
        self.secret_len = Some(secret.len());
        self
    }

    /// How long after `exp` a token is still believed. Default: not at all. At most 5 minutes.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// How far the issuer's clock may be ahead: `nbf` and `iat` may be this much later than now.
    /// Default: 5 seconds. At most 5 minutes. It lets nothing live longer.
    #[must_use]
    pub fn clock_skew(mut self, skew: Duration) -> Self {
        self.clock_skew = skew;
        self
    }

    /// The longest time from `iat` to `exp`; from now to `exp` in tokens without `iat`. Default:
    /// 24 hours. At least a second; `Duration::MAX` removes the limit.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = lifetime;
        self
    }

    /// How long after `iat` a token is believed, whatever its `exp`; `iat` is then required.
    /// Default: no such limit. At least a second; after `Duration::MAX` `iat` is required, and
    /// nothing else.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// The values of the header's `typ` that are accepted, instead of the default; a token without
    /// `typ` is then refused, save after [`allow_missing_type`](Self::allow_missing_type). They
    /// are compared without regard to letter case and to a leading `application/` (RFC 7515 section
    /// 4.1.9).
    ///
    /// The default takes `at+jwt` (RFC 9068), `JWT` and none, since most issuers do not mark their
    /// access tokens. It refuses what is marked as something else: `logout+jwt`,
    /// `secevent+jwt`, `dpop+jwt`. Where the issuer does mark them, say `.types(["at+jwt"])`:
    /// then an ID token never passes as an access token (RFC 8725 section 3.11).
    #[must_use]
    pub fn types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.types = Some(types.into_iter().map(Into::into).collect());
        self
    }

    /// Loosens: a token without `typ` is believed although [`types`](Self::types) names others, as
    /// JWT-SVID section 2.3 has it: `.types(["JWT", "JOSE"]).allow_missing_type()`. Without a
    /// list of types it changes nothing.
    #[must_use]
    pub fn allow_missing_type(mut self) -> Self {
        self.missing_type = true;
        self
    }

    /// Refuses tokens without this claim (a top-level member; `null` is as good as absent).
    #[must_use]
    pub fn require_claim(mut self, name: impl Into<String>) -> Self {
        self.required.push(name.into());
        self
    }
}

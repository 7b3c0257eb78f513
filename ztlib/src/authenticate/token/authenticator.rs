//! A request's headers → what its token says.

use std::time::SystemTime;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::bearer::BearerToken;
use super::cache::VerifiedTokens;
use super::claims::VerifiedClaims;
use super::config_error::TokenConfigError;
use super::error::TokenError;
use super::shown::shown;
use super::verifier::TokenVerifier;
use crate::authenticate::peer::PeerCertificates;

const DEFAULT_CACHE_BYTES: u64 = 16 << 20;

/// Finds the one token of a request and verifies it. Cheap to clone.
///
/// The token is expected in the `authorization` header. Other places are looked at only where a
/// verb names them; a request with a token in two places is refused (RFC 6750 section 2).
///
/// ```
/// use http::{HeaderMap, header::AUTHORIZATION};
/// use ztlib::Clock as _;
/// use ztlib::authenticate::token::{Algorithm, Issuer, KeySet, TokenAuthenticator, TokenVerifier};
/// # let clock = ztlib_testing::ManualClock::default();
/// # let id = ztlib_testing::TokenIssuer::new("https://id.example");
///
/// let issuer = Issuer::new(id.name()).audience("shop").algorithms([Algorithm::ES256]);
/// let issuer = issuer.keys(KeySet::from_jwks(&id.jwks())?);
/// let tokens = TokenAuthenticator::new(TokenVerifier::builder().issuer(issuer).build()?);
///
/// let request = |audience| -> Result<HeaderMap, http::Error> {
///     let token = id.token_at(clock.now()).subject("ann").audience(audience).sign();
///     Ok(HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {token}").parse()?)]))
/// };
/// let claims = tokens.authenticate(&request("shop")?, clock.now())?;
/// assert_eq!(claims.as_ref().and_then(|claims| claims.subject()), Some("ann"));
///
/// let error = tokens.authenticate(&request("bank")?, clock.now()).unwrap_err();
/// assert_eq!(error.code(), "token-audience");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct TokenAuthenticator {
    verifier: TokenVerifier,
    verified: Option<VerifiedTokens>,
    may_be_missing: bool,
    cookie: Option<String>,
    subprotocol: Option<String>,
}

/// Every request must bring a token that the verifier accepts.
impl From<TokenVerifier> for TokenAuthenticator {
    fn from(verifier: TokenVerifier) -> Self {
        Self::new(verifier)
    }
}

impl TokenAuthenticator {
    /// Requires a token in the `authorization` header.
    #[must_use]
    pub fn new(verifier: TokenVerifier) -> Self {
        let verified = Some(VerifiedTokens::new(DEFAULT_CACHE_BYTES));
        Self { verifier, verified, may_be_missing: false, cookie: None, subprotocol: None }
    }

    /// How many bytes of memory tokens that were verified before may take: 16 MiB unless set. With
    /// 0 every token is verified each time. Besides, each connection with a client certificate
    /// keeps the last two tokens that it sent, of at most 4 KiB each.
    ///
    /// Remembered is that the signature fits; a token's time and whether its key is still trusted
    /// are looked at on every request.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.verified = (bytes > 0).then(|| VerifiedTokens::new(bytes));
        self
    }

    /// Takes a request without a token for one of an anonymous caller, for policies to judge. A
    /// token that is there and is not believed is refused as ever, and so are credentials of
    /// another scheme.
    #[must_use]
    pub fn allow_missing_token(mut self) -> Self {
        self.may_be_missing = true;
        self
    }

    /// Looks for the token in the cookie of this name too. A browser sends cookies with requests
    /// that other sites cause: give the cookie `SameSite` and guard against cross-site
    /// requests.
    ///
    /// # Errors
    /// [`TokenConfigError::BadPlace`] where no cookie can have this name.
    pub fn or_cookie(mut self, name: impl Into<String>) -> Result<Self, TokenConfigError> {
        self.cookie = Some(checked_place(name.into())?);
        Ok(self)
    }

    /// Looks for the token in the entry of `sec-websocket-protocol` that begins with this prefix
    /// (`bearer.`) too: scripts in a browser cannot set other headers of a WebSocket request.
    /// The server must not choose that entry in its answer.
    ///
    /// # Errors
    /// [`TokenConfigError::BadPlace`] where no subprotocol can have this prefix.
    pub fn or_websocket_subprotocol(mut self, prefix: impl Into<String>) -> Result<Self, TokenConfigError> {
        self.subprotocol = Some(checked_place(prefix.into())?);
        Ok(self)
    }

    /// Finds the token and verifies it as of `now`. `None` is an anonymous caller, and comes only
    /// after [`allow_missing_token`](Self::allow_missing_token).
    ///
    /// # Errors
    /// The first [`TokenError`] found.
    pub fn authenticate(
        &self,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Result<Option<VerifiedClaims>, TokenError> {
        self.authenticate_on(None, headers, now)
    }

    /// The same, for a request of this connection.
    pub(crate) fn authenticate_on(
        &self,
        connection: Option<&PeerCertificates>,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Result<Option<VerifiedClaims>, TokenError> {
        let Some(token) = self.find(headers)? else {
            return if self.may_be_missing { Ok(None) } else { Err(TokenError::Missing) };
        };
        let Some(verified) = &self.verified else {
            return self.verifier.verify(&token, now).map(Some);
        };
        let claims = verified.verify(&self.verifier, &token, now)?;
        self.keep(verified, connection, headers, &claims);
        Ok(Some(claims))
    }

    /// What the token of a request says, where it was verified before and holds now. None where it
    /// is for [`authenticate_on`](Self::authenticate_on) to say.
    pub(crate) fn known(
        &self,
        headers: &HeaderMap,
        connection: Option<&PeerCertificates>,
        now: SystemTime,
    ) -> Option<VerifiedClaims> {
        let verified = self.verified.as_ref()?;
        if let (Some(connection), Some(header)) = (connection, self.only_header(headers))
            && let Some(claims) = connection.last_tokens().find(verified.number, header)
        {
            return claims.recheck(now).is_ok().then_some(claims);
        }
        let claims = verified.known(&self.find(headers).ok()??, now)?;
        self.keep(verified, connection, headers, &claims);
        Some(claims)
    }

    /// Whether claims that were verified before, here or by another verifier, would be believed
    /// here and now.
    pub(crate) fn recheck(
        &self,
        claims: &VerifiedClaims,
        now: SystemTime,
    ) -> Result<VerifiedClaims, TokenError> {
        self.verifier.recheck(claims, now)
    }

    fn keep(
        &self,
        verified: &VerifiedTokens,
        connection: Option<&PeerCertificates>,
        headers: &HeaderMap,
        claims: &VerifiedClaims,
    ) {
        if let (Some(connection), Some(header)) = (connection, self.only_header(headers)) {
            connection.last_tokens().keep(verified.number, header, claims);
        }
    }

    /// The one `authorization` header, where a token can be nowhere else.
    fn only_header<'r>(&self, headers: &'r HeaderMap) -> Option<&'r [u8]> {
        if self.cookie.is_some() || self.subprotocol.is_some() {
            return None;
        }
        let mut values = headers.get_all(AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Some(value.as_bytes()),
            _ => None,
        }
    }

    /// The one token of a request, wherever it is.
    ///
    /// # Errors
    /// A [`TokenError`] where there are several, or what is there cannot be a token.
    pub fn find<'r>(&self, headers: &'r HeaderMap) -> Result<Option<BearerToken<'r>>, TokenError> {
        let in_header = BearerToken::from_headers(headers)?;
        let cookie = self.cookie.as_deref();
        let in_cookie = cookie.map_or(Ok(None), |name| BearerToken::from_cookie(headers, name))?;
        let prefix = self.subprotocol.as_deref();
        let in_subprotocol =
            prefix.map_or(Ok(None), |prefix| BearerToken::from_subprotocol(headers, prefix))?;
        let mut found = [in_header, in_cookie, in_subprotocol].into_iter().flatten();
        match (found.next(), found.next()) {
            (token, None) => Ok(token),
            (_, Some(_)) => Err(TokenError::SeveralTokens),
        }
    }
}

/// A part of the `token` characters of RFC 9110 section 5.6.2 that need no quoting anywhere.
fn checked_place(name: String) -> Result<String, TokenConfigError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !name.is_empty() && name.len() <= 64 && name.bytes().all(allowed) {
        Ok(name)
    } else {
        Err(TokenConfigError::BadPlace(shown(&name).into()))
    }
}

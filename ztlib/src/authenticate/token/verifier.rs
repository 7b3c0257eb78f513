//! `BearerToken` → `VerifiedClaims`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

use super::bearer::BearerToken;
use super::claims::{Verified, VerifiedClaims, object, seconds};
use super::error::{TokenError, shown};
use super::issuer::Issuer;
use super::json::{TOKEN_LIMITS, read_object};
use super::jws::Jws;
use super::registered::{Registered, issuer_hint, missing};
use super::trusted::{TokenConfigError, TrustedIssuer};

/// Decides whether a token is to be believed. A pure function with configuration: no socket, no clock, no waiting. Cheap to
/// clone.
///
/// What it checks, in order, each step refusing with its own [`TokenError`]:
///
/// 1. the form: three parts of strict base64url, a header and claims that can be read in one way only, nothing in the
///    header that changes their meaning (`crit`, `b64`, `zip`, `cty`);
/// 2. the issuer named by `iss`. Nobody has vouched for it yet: it chooses whose keys are tried, and nothing else;
/// 3. the algorithm, which must be the issuer's *and* the key's, and the signature;
/// 4. `typ`, then the registered claims: each of exactly its type, for this audience, at this time.
///
/// Work before the signature is linear in the token, which has at most [`MAX_TOKEN_BYTES`](super::MAX_TOKEN_BYTES).
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use ztlib::authenticate::token::{Algorithm, BearerToken, Issuer, KeySet, TokenVerifier};
/// use ztlib_testing::TokenIssuer;
///
/// let now = UNIX_EPOCH + Duration::from_secs(1_767_225_600);
/// let id = TokenIssuer::new("https://id.example");
/// let verifier = TokenVerifier::builder()
///     .issuer(
///         Issuer::new("https://id.example")
///             .audience("shop")
///             .algorithms([Algorithm::ES256])
///             .keys(KeySet::from_jwks(&id.jwks())?),
///     )
///     .build()?;
///
/// let token = id.token_at(now).subject("u1").audience("shop").scope("orders:read").sign();
/// let claims = verifier.verify(&BearerToken::new(&token)?, now)?;
/// assert!(claims.has_scope("orders:read"));
///
/// // The same token, five minutes later.
/// let refused = verifier.verify(&BearerToken::new(&token)?, now + Duration::from_secs(300)).unwrap_err();
/// assert_eq!(refused.code(), "token-expired");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TokenVerifier {
    issuers: Arc<HashMap<String, Arc<TrustedIssuer>>>,
}

impl TokenVerifier {
    /// Begins without issuers.
    pub fn builder() -> TokenVerifierBuilder {
        TokenVerifierBuilder { issuers: Vec::new() }
    }

    /// Verifies a token as of `now`.
    ///
    /// # Errors
    /// The first [`TokenError`] found.
    pub fn verify(&self, token: &BearerToken<'_>, now: SystemTime) -> Result<VerifiedClaims, TokenError> {
        let now = seconds(now)?;
        let jws = Jws::parse(token.as_str())?;
        let fault = |fault| TokenError::Json { part: "payload", fault };
        let claims = read_object(&jws.payload, TOKEN_LIMITS).map_err(fault)?;
        let hint = issuer_hint(&claims)?;
        let issuer = self.issuers.get(hint).ok_or_else(|| TokenError::UnknownIssuer { hint: shown(hint) })?;
        let (keys, generation) = issuer.keys.now();
        let key = Arc::clone(jws.verify(&keys, &issuer.algorithms)?);

        // From here on the claims are the issuer's words.
        if !issuer.accepts_type(jws.header.typ.as_deref()) {
            return Err(TokenError::TypeNotAccepted);
        }
        let registered = Registered::read(&claims)?;
        if !registered.audiences.iter().any(|audience| issuer.audiences.contains(audience)) {
            return Err(TokenError::Audience);
        }
        registered.check_time(issuer, now)?;
        let present = |name: &String| claims.get(name).is_some_and(|claim| *claim != Value::Null);
        if let Some(name) = issuer.required.iter().find(|name| !present(name)) {
            return Err(missing(name));
        }
        Ok(VerifiedClaims::new(Verified {
            issuer: Arc::clone(issuer),
            key,
            algorithm: jws.header.algorithm,
            names_key: jws.header.key_id.is_some(),
            generation,
            registered,
            claims: object(claims),
        }))
    }
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut issuers: Vec<&String> = self.issuers.keys().collect();
        issuers.sort_unstable();
        f.debug_struct("TokenVerifier").field("issuers", &issuers).finish()
    }
}

/// Collects the issuers of a [`TokenVerifier`].
#[derive(Debug)]
#[must_use = "nothing is verified until it is built"]
pub struct TokenVerifierBuilder {
    issuers: Vec<Issuer>,
}

impl TokenVerifierBuilder {
    /// Trusts an issuer, on its terms. Issuers are kept apart: the keys and audiences of one say nothing about another.
    ///
    /// The first one is the *home issuer*: what policies say of subjects, roles and scopes without naming an issuer is said of its
    /// tokens alone (see [`VerifiedClaims::is_home_issuer`]). Give the issuer of your own users and services first, partners
    /// after it.
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// Checks the terms.
    ///
    /// # Errors
    /// [`TokenConfigError`] names the issuer and what to do.
    pub fn build(self) -> Result<TokenVerifier, TokenConfigError> {
        let mut issuers = HashMap::new();
        for (at, issuer) in self.issuers.into_iter().enumerate() {
            let issuer = TrustedIssuer::check(issuer, at == 0)?;
            match issuers.entry(issuer.name.clone()) {
                Entry::Occupied(taken) => return Err(TokenConfigError::DuplicateIssuer(taken.key().clone())),
                Entry::Vacant(free) => free.insert(Arc::new(issuer)),
            };
        }
        if issuers.is_empty() {
            return Err(TokenConfigError::NoIssuer);
        }
        Ok(TokenVerifier { issuers: Arc::new(issuers) })
    }
}

//! `BearerToken` → `VerifiedClaims`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::bearer::BearerToken;
use super::claims::{Verified, VerifiedClaims, seconds};
use super::config_error::TokenConfigError;
use super::error::TokenError;
use super::issuer::Issuer;
use super::json::read_object;
use super::jws::Jws;
use super::limits::TokenLimits;
use super::shown::shown;
use super::times::issuer_hint;
use super::trusted::TrustedIssuer;

/// Decides whether to accept a token. A pure function with configuration: no socket, no
/// clock, no waiting. Cheap to clone.
///
/// What it checks, in order, each step refusing with its own [`TokenError`]:
///
/// 1. the form: three parts of strict base64url, a header and claims that can be read in one way
///    only, nothing in the header that changes their meaning (`crit`, `b64`, `zip`, `cty`);
/// 2. the issuer named by `iss`. Nobody has vouched for it yet: it chooses whose keys are tried,
///    and nothing else;
/// 3. the algorithm, which must be the issuer's *and* the key's, and the signature;
/// 4. `typ`, then the registered claims: each of exactly its type, for this audience, at this time.
///
/// Work before the signature is linear in the token, whose size is bounded: 16 KiB, 1024 members
/// and 32 levels of nesting, unless the builder says otherwise.
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
/// assert_eq!(claims.has_scope("orders:read"), Ok(true));
///
/// // The same token, five minutes later.
/// let refused =
///     verifier.verify(&BearerToken::new(&token)?, now + Duration::from_secs(300)).unwrap_err();
/// assert_eq!(refused.code(), "token-expired");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TokenVerifier {
    issuers: Arc<HashMap<Arc<str>, Arc<TrustedIssuer>>>,
    limits: TokenLimits,
}

impl TokenVerifier {
    /// Begins without issuers.
    pub fn builder() -> TokenVerifierBuilder {
        TokenVerifierBuilder { issuers: Vec::new(), limits: TokenLimits::DEFAULT }
    }

    /// Verifies a token as of `now`.
    ///
    /// # Errors
    /// The first [`TokenError`] found.
    pub fn verify(&self, token: &BearerToken<'_>, now: SystemTime) -> Result<VerifiedClaims, TokenError> {
        let now = seconds(now)?;
        let jws = Jws::parse(token.as_str(), self.limits)?;
        let fault = |fault| TokenError::Json { part: "payload", fault };
        let claims = read_object(&jws.payload, self.limits.json).map_err(fault)?;
        let hint = issuer_hint(&claims)?;
        let issuer = self.trusted(hint)?;
        let (keys, generation) = issuer.keys.now();
        let key = jws.verify(&issuer.name, &keys, &issuer.algorithms).inspect_err(|error| {
            if matches!(error, TokenError::UnknownKey { unused: None, .. }) {
                issuer.keys.tell_missed();
            }
        })?;
        let key = Arc::clone(key);

        // From here on the claims are the issuer's words.
        let (claims, times) = issuer.accept(jws.header.typ.as_deref(), claims, now)?;
        Ok(VerifiedClaims::new(Verified {
            issuer: Arc::clone(issuer),
            key,
            algorithm: jws.header.algorithm,
            names_key: jws.header.key_id.is_some(),
            typ: jws.header.typ.map(Into::into),
            generation,
            times,
            claims: Arc::new(claims),
        }))
    }

    /// Whether claims that were verified before, here or by another verifier, are still valid here.
    /// Of another verifier's result only the signature check is reused: everything else is checked
    /// again on the terms of this verifier's issuer of that name.
    pub(crate) fn recheck(
        &self,
        claims: &VerifiedClaims,
        now: SystemTime,
    ) -> Result<VerifiedClaims, TokenError> {
        let issuer = self.trusted(claims.issuer())?;
        if claims.is_on_terms_of(issuer) {
            return claims.recheck(now).map(|()| claims.clone());
        }
        claims.on_terms_of(issuer, now)
    }

    fn trusted(&self, name: &str) -> Result<&Arc<TrustedIssuer>, TokenError> {
        self.issuers.get(name).ok_or_else(|| TokenError::UnknownIssuer { hint: shown(name) })
    }
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut issuers: Vec<&Arc<str>> = self.issuers.keys().collect();
        issuers.sort_unstable();
        f.debug_struct("TokenVerifier").field("issuers", &issuers).finish()
    }
}

/// Collects the issuers of a [`TokenVerifier`].
#[derive(Debug)]
#[must_use = "nothing is verified until it is built"]
pub struct TokenVerifierBuilder {
    issuers: Vec<Issuer>,
    limits: TokenLimits,
}

impl TokenVerifierBuilder {
    /// Trusts an issuer, on its terms. Issuers are kept apart: the keys and audiences of one say
    /// nothing about another.
    ///
    /// The first one is the *home issuer*: what policies say of subjects, roles and scopes without
    /// naming an issuer is said of its tokens alone (see `is_home_issuer`).
    /// Give the issuer of your own users and services first, partners after it.
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// The longest token that is looked at, in bytes: 16 KiB unless set, at least 1 KiB and at most
    /// [`MAX_TOKEN_BYTES`](super::MAX_TOKEN_BYTES). The server must take headers of that size too;
    /// see [`Server::max_header_bytes`](crate::tls::Server::max_header_bytes).
    pub fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// The most members that the claims of a token may have, in all their objects together: 1024
    /// unless set, from 16 to 16 384. The items of arrays are bounded by the token's bytes.
    pub fn max_claims(mut self, members: usize) -> Self {
        self.limits.json.members = members;
        self
    }

    /// How deep the claims of a token may be nested: 32 levels unless set, from 4 to 64. The claims
    /// themselves are the first.
    pub fn max_nesting(mut self, levels: usize) -> Self {
        self.limits.json.depth = levels;
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
                Entry::Occupied(taken) => {
                    return Err(TokenConfigError::DuplicateIssuer(taken.key().to_string()));
                }
                Entry::Vacant(free) => free.insert(Arc::new(issuer)),
            };
        }
        if issuers.is_empty() {
            return Err(TokenConfigError::NoIssuer);
        }
        Ok(TokenVerifier { issuers: Arc::new(issuers), limits: self.limits.check()? })
    }
}

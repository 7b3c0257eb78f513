//! The caller's bearer token (RFC 6750) → [`VerifiedClaims`], or a named [`TokenError`].
//!
//! 1. A request has at most one token, in one place ([`BearerSource`]); a second one is refused.
//! 2. The token is a signed JWT of three parts that can be read in one way only: strict base64url,
//!    no duplicate members, no `crit`, `b64`, `zip`, `cty` or `enc` in the header.
//! 3. `iss` names a configured [`Issuer`]; its keys and terms, and no others, are used.
//! 4. The algorithm is in the issuer's list and fits the key, and the signature verifies.
//!    Weak keys are left out when a [`KeySet`] is read.
//! 5. `typ`, `aud`, `exp`, `nbf`, `iat` and the required claims are what the issuer's terms say,
//!    each of exactly its type.
//!
//! jsonwebtoken on aws-lc checks the signature only. It accepts more than a service should, such as
//! claims of a wrong type, duplicate members and any `typ`, so ztlib checks the rest itself.
//!
//! ```
//! use http::HeaderMap;
//! use std::time::{Duration, UNIX_EPOCH};
//! use ztlib::authenticate::token::{
//!     Algorithm, Issuer, KeySet, TokenAuthenticator, TokenVerifier,
//! };
//! use ztlib_testing::TokenIssuer;
//!
//! let now = UNIX_EPOCH + Duration::from_secs(1_767_225_600);
//! let id = TokenIssuer::new("https://id.example"); // in a service: KeySet::from_file("jwks.json")
//! let issuer = Issuer::new("https://id.example")
//!     .audience("shop")
//!     .algorithms([Algorithm::ES256])
//!     .keys(KeySet::from_jwks(&id.jwks())?);
//! let authenticator = TokenAuthenticator::new(TokenVerifier::builder().issuer(issuer).build()?);
//!
//! let mut headers = HeaderMap::new();
//! let token = id.token_at(now).subject("u1").audience("shop").sign();
//! headers.insert("authorization", format!("Bearer {token}").parse()?);
//! let claims = authenticator.authenticate(&headers, now)?.ok_or("anonymous")?;
//! assert_eq!(claims.subject(), Some("u1"));
//!
//! // A second header: which of them would the next service believe?
//! headers.append("authorization", "Bearer x".parse()?);
//! assert_eq!(
//!     authenticator.authenticate(&headers, now).unwrap_err().code(),
//!     "token-several-headers"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Time and keys change
//!
//! Claims are verified once and used later: from a cache, on an open stream. Each use begins with
//! [`VerifiedClaims::recheck`], which compares the times with now and, where the issuer's
//! [`KeyStore`] were replaced, whether the key is still among them.
//!
//! # What a caller learns
//!
//! Whatever is wrong with a token itself, the answer is the same `invalid_token`. The
//! [`TokenError`] is for the operator.
//!
//! # Deployment caveat
//!
//! A bearer token works for anyone who has it: accept it over TLS only. Keys are given, not
//! fetched: call [`KeyStore::replace`] when the issuer changes its keys, or tokens by a key that it
//! has withdrawn are still accepted. The clock of the machine decides when a token expires.

mod algorithm;
mod authenticator;
mod bearer;
mod cache;
mod claims;
mod config_error;
mod error;
mod issuer;
mod json;
mod jws;
mod key;
mod key_error;
mod keys;
mod last;
mod limits;
mod shown;
mod times;
mod trusted;
#[cfg(test)]
mod vectors;
mod verifier;
mod weak;

pub use algorithm::Algorithm;
pub use authenticator::TokenAuthenticator;
pub use bearer::{BearerSource, BearerToken};
pub use claims::VerifiedClaims;
pub use config_error::TokenConfigError;
pub use error::{TokenError, TokenErrorKind};
pub use issuer::{Issuer, MAX_LEEWAY};
pub use json::JsonFault;
pub use key_error::{KeyRefusal, KeySetError, KeyWarning};
pub use keys::{KeySet, KeyStore, MAX_KEY_SET_BYTES};
pub use limits::MAX_TOKEN_BYTES;
pub use verifier::{TokenVerifier, TokenVerifierBuilder};
pub use ztlib_contract::facts::ClaimError;

pub(crate) use last::LastTokens;

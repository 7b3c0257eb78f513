//! The caller's bearer token (RFC 6750) → [`VerifiedClaims`], or a named [`TokenError`].
//!
//! | step | file | gives |
//! |---|---|---|
//! | find the one token of a request | `bearer`, `authenticator` | [`BearerToken`] |
//! | take it apart, refuse what can be read in two ways | `jws`, `json` | header and payload, not believed yet |
//! | choose the key, check the signature | `keys`, `key`, `key_error` | the issuer's words |
//! | check what they mean, here and now | `times`, `trusted`, `verifier` | [`VerifiedClaims`] |
//!
//! The signature itself is checked by jsonwebtoken on aws-lc. All else is checked here, since a
//! library for everybody accepts more than a service should: claims of a wrong type, unknown
//! critical extensions, duplicate members, weak keys, any `typ`.
//!
//! ```
//! use std::time::{Duration, UNIX_EPOCH};
//! use http::HeaderMap;
//! use ztlib::authenticate::token::{Algorithm, Issuer, KeySet, TokenAuthenticator, TokenVerifier};
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
//! assert_eq!(authenticator.authenticate(&headers, now).unwrap_err().code(), "token-several-headers");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Time and keys change
//!
//! Claims are verified once and used later: from a cache, on an open stream. Each use begins with
//! [`VerifiedClaims::recheck`], which compares the times with now and, where the issuer's [`Keys`]
//! were replaced, whether the key is still among them.
//!
//! # What a caller learns
//!
//! Whatever is wrong with a token, the answer is one and the same `invalid_token`. The
//! [`TokenError`] is for the operator.

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
pub use keys::{KeySet, Keys, MAX_KEY_SET_BYTES};
pub use limits::MAX_TOKEN_BYTES;
pub use verifier::{TokenVerifier, TokenVerifierBuilder};
pub use ztlib_contract::facts::ClaimError;

pub(crate) use last::LastTokens;

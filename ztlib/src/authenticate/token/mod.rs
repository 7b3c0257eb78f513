//! The caller's token.

mod algorithm;
mod authenticator;
mod bearer;
mod claims;
mod error;
mod issuer;
mod json;
mod jws;
mod key;
mod keys;
mod layer;
mod registered;
mod service;
#[cfg(test)]
mod vectors;
mod verifier;

pub use algorithm::Algorithm;
pub use authenticator::TokenAuthenticator;
pub use bearer::{BearerSource, BearerToken};
pub use claims::VerifiedClaims;
pub use error::{ClaimError, TokenError, TokenErrorKind};
pub use issuer::{Issuer, MAX_LEEWAY, TokenConfigError};
pub use json::JsonFault;
pub use jws::MAX_TOKEN_BYTES;
pub use key::KeyRefusal;
pub use keys::{KeySet, KeySetError, KeyWarning, Keys, MAX_KEY_SET_BYTES};
pub use layer::TokenLayer;
pub use service::TokenService;
pub use verifier::{TokenVerifier, TokenVerifierBuilder};

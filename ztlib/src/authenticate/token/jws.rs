//! A compact JWS (RFC 7515), split and decoded; nothing in it is verified yet.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::error::TokenError;
use super::json::read_object;
use super::key::Key;
use super::keys::{KeySet, NoKey};
use super::limits::{MAX_KEY_ID_BYTES, TokenLimits};
use super::shown::{listed, shown, shown_key};

/// The parts of a token whose header is acceptable. Nothing in it has been verified.
pub(super) struct Jws<'t> {
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
    signature: Vec<u8>,
    signed: &'t [u8],
}

/// The members of the header that are used. Those that point to keys (`jku`, `jwk`, `x5u`, `x5c`)
/// are never looked at.
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) typ: Option<String>,
}

impl<'t> Jws<'t> {
    pub(super) fn parse(token: &'t str, limits: TokenLimits) -> Result<Self, TokenError> {
        if token.len() > limits.bytes {
            return Err(TokenError::TooLong { limit: limits.bytes });
        }
        let mut parts = token.splitn(6, '.');
        let (header, payload, signature) = match std::array::from_fn(|_| parts.next()) {
            [Some(header), Some(payload), Some(signature), None, None, None] => (header, payload, signature),
            [_, _, _, Some(_), Some(_), None] => return Err(TokenError::Encrypted),
            _ => return Err(TokenError::Malformed),
        };
        if header.is_empty() || signature.is_empty() {
            return Err(TokenError::Malformed);
        }
        let fault = |fault| TokenError::Json { part: "header", fault };
        let members = read_object(&decode("header", header)?, limits.json).map_err(fault)?;
        let header = Header::check(&members)?;
        let (signed, _) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        Ok(Self {
            header,
            payload: decode("payload", payload)?,
            signature: decode("signature", signature)?,
            signed: signed.as_bytes(),
        })
    }

    /// The key of the set that made the signature.
    ///
    /// `algorithms` is the issuer's list; the key has its own besides, and the header's choice must
    /// be in both.
    pub(super) fn verify<'k>(
        &self,
        issuer: &str,
        keys: &'k KeySet,
        algorithms: &[Algorithm],
    ) -> Result<&'k Arc<Key>, TokenError> {
        let (algorithm, id) = (self.header.algorithm, self.header.key_id.as_deref());
        if !algorithms.contains(&algorithm) {
            return Err(not_accepted(algorithm, algorithms));
        }
        let key = keys.select(id, algorithm).map_err(|none| none.of(issuer, id, algorithm))?;
        if key.has_signed(algorithm, self.signed, &self.signature) {
            Ok(key)
        } else {
            Err(TokenError::Signature { issuer: shown(issuer), key: shown_key(id), algorithm })
        }
    }
}

/// The error of a token whose algorithm is not one of its issuer's.
pub(super) fn not_accepted(had: Algorithm, accepted: &[Algorithm]) -> TokenError {
    let wanted = listed(accepted.iter().map(|algorithm| algorithm.name()));
    TokenError::AlgorithmNotAccepted { had: format!("`{had}`").into(), wanted }
}

impl NoKey {
    /// This, as the error of a token of the issuer.
    pub(super) fn of(self, issuer: &str, id: Option<&str>, algorithm: Algorithm) -> TokenError {
        let (issuer, key) = (shown(issuer), shown_key(id));
        match self {
            Self::Unknown(unused) => {
                TokenError::UnknownKey { issuer, hint: shown(id.unwrap_or_default()), unused }
            }
            Self::Algorithm => TokenError::KeyAlgorithm { issuer, key, algorithm },
            Self::Ambiguous => TokenError::AmbiguousKey { issuer, key, algorithm },
        }
    }
}

impl Header {
    fn check(members: &Map<String, Value>) -> Result<Self, TokenError> {
        // An extension that must be understood may change what any other member means: it is looked
        // at first.
        if members.contains_key("crit") {
            return Err(TokenError::CriticalHeader);
        }
        // These would make the payload something other than the claims in plain text.
        for name in ["b64", "zip", "cty", "enc"] {
            if members.contains_key(name) {
                return Err(TokenError::UnsupportedHeader { name });
            }
        }
        let algorithm = text(members, "alg")?.ok_or(TokenError::HeaderForm { name: "alg" })?;
        let unknown = || TokenError::AlgorithmNotAccepted {
            had: format!("`{}`", shown(algorithm)).into(),
            wanted: "the algorithms that ztlib supports".into(),
        };
        let algorithm = Algorithm::from_name(algorithm).ok_or_else(unknown)?;
        let key_id = text(members, "kid")?;
        if key_id.is_some_and(|id| id.len() > MAX_KEY_ID_BYTES) {
            return Err(TokenError::KeyIdTooLong);
        }
        let typ = text(members, "typ")?;
        Ok(Self { algorithm, key_id: key_id.map(str::to_owned), typ: typ.map(str::to_owned) })
    }
}

/// A member that is a string and not empty, or absent.
fn text<'m>(members: &'m Map<String, Value>, name: &'static str) -> Result<Option<&'m str>, TokenError> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(TokenError::HeaderForm { name }),
    }
}

/// Base64url without padding, white space or stray bits in the last character: one text for one
/// sequence of bytes.
fn decode(part: &'static str, text: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Base64 { part })
}

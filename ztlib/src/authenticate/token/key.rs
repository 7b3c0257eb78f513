//! One JSON Web Key (RFC 7517) → one key that may check signatures, or the reason why it may not.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::{AlgorithmFamily, DecodingKey};
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::json::unreadable;
use super::key_error::KeyRefusal;
use super::limits::MAX_KEY_ID_BYTES;
use super::shown::Shown;
use super::weak::{has_roca_form, has_small_order};

/// A key that can check signatures of the algorithms it is for.
pub(super) struct Key {
    id: Option<String>,
    /// The algorithms that the key itself allows; the issuer's list narrows them.
    algorithms: Vec<Algorithm>,
    /// Tells whether two keys are the same without keeping what they are made of.
    fingerprint: [u8; 32],
    engine: DecodingKey,
}

impl Key {
    /// Reads an entry of a set of public keys.
    pub(super) fn from_public_jwk(jwk: &Map<String, Value>) -> Result<Self, KeyRefusal> {
        check_readable(jwk)?;
        let kty = required_text(jwk, "kty")?;
        check_purpose(jwk)?;
        if kty == "oct" {
            return Err(KeyRefusal::Secret);
        }
        if PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
            return Err(KeyRefusal::PrivateKey);
        }
        let key = match kty {
            "RSA" => rsa(&bytes(jwk, "n")?, &bytes(jwk, "e")?)?,
            "EC" => match required_text(jwk, "crv")? {
                "P-256" => ec(Algorithm::ES256, 32, &bytes(jwk, "x")?, &bytes(jwk, "y")?)?,
                "P-384" => ec(Algorithm::ES384, 48, &bytes(jwk, "x")?, &bytes(jwk, "y")?)?,
                _ => return Err(KeyRefusal::UnsupportedType),
            },
            "OKP" => match required_text(jwk, "crv")? {
                "Ed25519" => ed25519(&bytes(jwk, "x")?)?,
                _ => return Err(KeyRefusal::UnsupportedType),
            },
            _ => return Err(KeyRefusal::UnsupportedType),
        };
        key.named(jwk)
    }

    /// Reads an entry of a set of secrets.
    pub(super) fn from_secret_jwk(jwk: &Map<String, Value>) -> Result<Self, KeyRefusal> {
        check_readable(jwk)?;
        if required_text(jwk, "kty")? != "oct" {
            return Err(KeyRefusal::UnsupportedType);
        }
        check_purpose(jwk)?;
        let secret = zeroize::Zeroizing::new(bytes(jwk, "k")?);
        Self::from_secret(&secret).ok_or(KeyRefusal::ShortSecret)?.named(jwk)
    }

    /// A secret for those HMAC algorithms that it is long enough for; none where it is too short
    /// for all.
    pub(super) fn from_secret(secret: &[u8]) -> Option<Self> {
        let algorithms: Vec<Algorithm> = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512]
            .into_iter()
            .filter(|algorithm| secret.len() >= algorithm.least_secret())
            .collect();
        let engine = DecodingKey::from_secret(secret).ok()?;
        (!algorithms.is_empty()).then(|| Self {
            id: None,
            algorithms,
            fingerprint: fingerprint(&[b"oct", secret]),
            engine,
        })
    }

    /// Takes `kid` and `alg`, which narrows what the key is for.
    fn named(mut self, jwk: &Map<String, Value>) -> Result<Self, KeyRefusal> {
        self.id = text(jwk, "kid")?.map(str::to_owned);
        if self.id.as_ref().is_some_and(|id| id.len() > MAX_KEY_ID_BYTES) {
            return Err(KeyRefusal::Malformed("kid"));
        }
        if let Some(name) = text(jwk, "alg")? {
            let algorithm = Algorithm::from_name(name).ok_or(KeyRefusal::Algorithm)?;
            if !self.algorithms.contains(&algorithm) {
                let short = self.is_secret() && algorithm.family() == AlgorithmFamily::Hmac;
                return Err(if short { KeyRefusal::ShortSecret } else { KeyRefusal::Algorithm });
            }
            self.algorithms = vec![algorithm];
        }
        Ok(self)
    }

    /// Whether this is the same entry: the same key, under the same name and for the same
    /// algorithms.
    pub(super) fn repeats(&self, other: &Self) -> bool {
        self.is_same(other) && self.id == other.id && self.algorithms == other.algorithms
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(super) fn is_secret(&self) -> bool {
        self.engine.family() == AlgorithmFamily::Hmac
    }

    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether both are made of the same numbers, whatever they are called and for.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }

    /// Whether the signature of the message is by this key.
    #[allow(clippy::ptr_arg, reason = "the engine's trait wants the vector itself")]
    pub(super) fn has_signed(&self, algorithm: Algorithm, message: &[u8], signature: &Vec<u8>) -> bool {
        if !self.is_for(algorithm) {
            return false;
        }
        // The provider is named: the process-wide default can be replaced by any crate of the
        // build, and panics where two are compiled in.
        (aws_lc::DEFAULT_PROVIDER.verifier_factory)(&algorithm.engine(), &self.engine)
            .is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.as_deref().map(Shown);
        f.debug_struct("Key").field("id", &id).field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

/// Members of private keys (RFC 7518 sections 6.2.2 and 6.3.2, RFC 8037 section 2).
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/// Whether the reader found an entry that can be read in two ways, and left a mark in its place.
fn check_readable(jwk: &Map<String, Value>) -> Result<(), KeyRefusal> {
    unreadable(jwk).map_or(Ok(()), |fault| Err(KeyRefusal::Json(fault)))
}

/// `use` and `key_ops` (RFC 7517 sections 4.2 and 4.3): either may be absent; neither may say
/// something else. The keys of a SPIFFE bundle that sign JWT-SVIDs are `jwt-svid` there; its
/// `x509-svid` entries are authorities for certificates.
fn check_purpose(jwk: &Map<String, Value>) -> Result<(), KeyRefusal> {
    if text(jwk, "use")?.is_some_and(|purpose| !matches!(purpose, "sig" | "jwt-svid")) {
        return Err(KeyRefusal::NotForSignatures);
    }
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.iter().all(Value::is_string) => {
            let verify = operations.iter().any(|operation| operation == "verify");
            if verify { Ok(()) } else { Err(KeyRefusal::NotForSignatures) }
        }
        Some(_) => Err(KeyRefusal::Malformed("key_ops")),
    }
}

fn rsa(n: &[u8], e: &[u8]) -> Result<Key, KeyRefusal> {
    let (Some(&first), Some(&last)) = (n.first(), n.last()) else { return Err(KeyRefusal::Malformed("n")) };
    if first == 0 {
        return Err(KeyRefusal::Malformed("n"));
    }
    let bits = n.len().saturating_mul(8).saturating_sub(first.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) || last & 1 == 0 {
        return Err(KeyRefusal::WeakRsa);
    }
    if e.len() > 8 || e.first().is_none_or(|&first| first == 0) {
        return Err(KeyRefusal::Malformed("e"));
    }
    let exponent = e.iter().fold(0_u64, |sum, &byte| (sum << 8) | u64::from(byte));
    if exponent < 3 || exponent & 1 == 0 || exponent >= 1 << 33 {
        return Err(KeyRefusal::WeakRsa);
    }
    if has_roca_form(n) {
        return Err(KeyRefusal::Roca);
    }
    Ok(Key {
        id: None,
        algorithms: vec![
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        fingerprint: fingerprint(&[b"RSA", n, e]),
        engine: DecodingKey::from_rsa_raw_components(n, e),
    })
}

fn ec(algorithm: Algorithm, len: usize, x: &[u8], y: &[u8]) -> Result<Key, KeyRefusal> {
    if x.len() != len {
        return Err(KeyRefusal::Malformed("x"));
    }
    if y.len() != len {
        return Err(KeyRefusal::Malformed("y"));
    }
    let point = [&[4], x, y].concat();
    let curve =
        if algorithm == Algorithm::ES256 { &ECDSA_P256_SHA256_FIXED } else { &ECDSA_P384_SHA384_FIXED };
    ParsedPublicKey::new(curve, &point).map_err(|_| KeyRefusal::NotOnCurve)?;
    Ok(Key {
        id: None,
        algorithms: vec![algorithm],
        fingerprint: fingerprint(&[b"EC", &point]),
        engine: DecodingKey::from_ec_der(&point),
    })
}

fn ed25519(x: &[u8]) -> Result<Key, KeyRefusal> {
    if x.len() != 32 {
        return Err(KeyRefusal::Malformed("x"));
    }
    if has_small_order(x) {
        return Err(KeyRefusal::SmallOrder);
    }
    ParsedPublicKey::new(&ED25519, x).map_err(|_| KeyRefusal::NotOnCurve)?;
    Ok(Key {
        id: None,
        algorithms: vec![Algorithm::EdDSA],
        fingerprint: fingerprint(&[b"OKP", x]),
        engine: DecodingKey::from_ed_der(x),
    })
}

fn fingerprint(parts: &[&[u8]]) -> [u8; 32] {
    let mut text = zeroize::Zeroizing::new(Vec::new());
    for part in parts {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part);
    }
    let mut fingerprint = [0; 32];
    for (to, from) in fingerprint.iter_mut().zip(digest(&SHA256, &text).as_ref()) {
        *to = *from;
    }
    fingerprint
}

fn text<'j>(jwk: &'j Map<String, Value>, name: &'static str) -> Result<Option<&'j str>, KeyRefusal> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(KeyRefusal::Malformed(name)),
    }
}

fn required_text<'j>(jwk: &'j Map<String, Value>, name: &'static str) -> Result<&'j str, KeyRefusal> {
    text(jwk, name)?.ok_or(KeyRefusal::Malformed(name))
}

fn bytes(jwk: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, KeyRefusal> {
    URL_SAFE_NO_PAD.decode(required_text(jwk, name)?).map_err(|_| KeyRefusal::Malformed(name))
}

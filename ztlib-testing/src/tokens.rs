//! An issuer of tokens that exists for the length of a test, and tokens with any defect.

#![allow(clippy::expect_used, reason = "a test aid that cannot make its key stops the test")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaKeyPair, RsaPublicKeyComponents,
};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value, json};
use ztlib::authenticate::token::Algorithm;

/// An issuer with a key made on the spot.
///
/// ```
/// use std::time::Duration;
/// use ztlib::Clock as _;
/// use ztlib::authenticate::token::{Algorithm, BearerToken, Issuer, KeySet, TokenVerifier};
/// use ztlib_testing::{ManualClock, TokenIssuer};
///
/// let clock = ManualClock::default();
/// let id = TokenIssuer::new("https://id.example");
/// let verifier = TokenVerifier::builder()
///     .issuer(
///         Issuer::new(id.name())
///             .audience("shop")
///             .algorithms([Algorithm::ES256])
///             .keys(KeySet::from_jwks(&id.jwks())?),
///     )
///     .build()?;
///
/// let good = id.token_at(clock.now()).subject("u1").audience("shop").sign();
/// let claims = verifier.verify(&BearerToken::new(&good)?, clock.now())?;
/// assert_eq!(claims.subject(), Some("u1"));
///
/// let elsewhere = id.token_at(clock.now()).subject("u1").audience("bank").sign();
/// let refused = verifier.verify(&BearerToken::new(&elsewhere)?, clock.now()).unwrap_err();
/// assert_eq!(refused.code(), "token-audience");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TokenIssuer {
    name: String,
    algorithm: Algorithm,
    key_id: Option<String>,
    key: SigningKey,
}

enum SigningKey {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
    Secret(Vec<u8>),
}

impl TokenIssuer {
    /// An issuer of this name that signs with ES256.
    pub fn new(name: impl Into<String>) -> Self {
        Self::with_algorithm(name, Algorithm::ES256)
    }

    /// An issuer of this name that signs with this algorithm. An RSA key has 2048 bits and takes a
    /// moment to make. An issuer with a shared secret gives its tokens no `kid`.
    ///
    /// # Panics
    /// Where the machine gives no randomness.
    pub fn with_algorithm(name: impl Into<String>, algorithm: Algorithm) -> Self {
        let key = SigningKey::generate(algorithm);
        let key_id = (!matches!(key, SigningKey::Secret(_))).then(|| "test-key".to_owned());
        Self { name: name.into(), algorithm, key_id, key }
    }

    /// Gives the key this `kid`; "test-key" otherwise.
    #[must_use]
    pub fn key_id(mut self, id: impl Into<String>) -> Self {
        self.key_id = Some(id.into());
        self
    }

    /// Gives the key no `kid`.
    #[must_use]
    pub fn without_key_id(mut self) -> Self {
        self.key_id = None;
        self
    }

    /// The `iss` of its tokens.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The shared secret of an issuer with an HMAC algorithm.
    pub fn secret(&self) -> Option<&[u8]> {
        match &self.key {
            SigningKey::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    /// Its JWK set (RFC 7517), as JSON: the public key, or the secret of an HMAC algorithm.
    pub fn jwks(&self) -> Vec<u8> {
        Self::jwks_of(&[self])
    }

    /// One JWK set with the keys of several issuers, as while an issuer changes its key.
    pub fn jwks_of(issuers: &[&Self]) -> Vec<u8> {
        let keys: Vec<Value> = issuers.iter().map(|issuer| issuer.jwk()).collect();
        json!({ "keys": keys }).to_string().into_bytes()
    }

    /// A token as of the machine's clock; see [`token_at`](Self::token_at).
    #[allow(clippy::disallowed_methods, reason = "for services that run on the machine's clock")]
    pub fn token(&self) -> TokenDraft<'_> {
        self.token_at(SystemTime::now())
    }

    /// A token issued at this time, which expires 5 minutes later. It has `iss`, `iat`, `exp` and a
    /// `jti`; all else is to be said, the audience too.
    pub fn token_at(&self, now: SystemTime) -> TokenDraft<'_> {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut header = Map::new();
        header.insert("alg".to_owned(), json!(self.algorithm.name()));
        header.insert("typ".to_owned(), json!("JWT"));
        if let Some(id) = &self.key_id {
            header.insert("kid".to_owned(), json!(id));
        }
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), json!(self.name));
        claims.insert("iat".to_owned(), json!(now));
        claims.insert("exp".to_owned(), json!(now + 300));
        claims.insert("jti".to_owned(), json!(encode(&random(12))));
        TokenDraft {
            issuer: self,
            now,
            header,
            claims,
            raw_header: None,
            raw_claims: None,
            signature: Signature::Right,
        }
    }

    /// Signs any text: what a token is made of when even [`TokenDraft`] is too tidy.
    ///
    /// # Panics
    /// Where the machine gives no randomness.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key.sign(self.algorithm, message)
    }

    fn jwk(&self) -> Value {
        let mut jwk = match &self.key {
            SigningKey::Ec(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
                let curve = if self.algorithm == Algorithm::ES256 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
            }
            SigningKey::Ed(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().as_ref()) })
            }
            SigningKey::Rsa(key) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
                json!({ "kty": "RSA", "n": encode(&public.n), "e": encode(&public.e) })
            }
            SigningKey::Secret(secret) => json!({ "kty": "oct", "k": encode(secret) }),
        };
        if let Some(members) = jwk.as_object_mut() {
            members.insert("alg".to_owned(), json!(self.algorithm.name()));
            members.insert("use".to_owned(), json!("sig"));
            if let Some(id) = &self.key_id {
                members.insert("kid".to_owned(), json!(id));
            }
        }
        jwk
    }
}

impl std::fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenIssuer")
            .field("name", &self.name)
            .field("algorithm", &self.algorithm)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// A token that is not signed yet. What is said last holds.
#[derive(Debug, Clone)]
#[must_use = "a draft is not a token before it is signed"]
pub struct TokenDraft<'i> {
    issuer: &'i TokenIssuer,
    now: u64,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    raw_header: Option<String>,
    raw_claims: Option<String>,
    signature: Signature<'i>,
}

#[derive(Debug, Clone, Copy)]
enum Signature<'i> {
    Right,
    By(&'i TokenIssuer),
    Fresh,
    Empty,
}

impl<'i> TokenDraft<'i> {
    /// The subject.
    pub fn subject(self, subject: &str) -> Self {
        self.claim("sub", subject)
    }

    /// An audience; said again, one more.
    pub fn audience(mut self, audience: &str) -> Self {
        let audiences = match self.claims.remove("aud") {
            None => json!(audience),
            Some(Value::Array(mut several)) => {
                several.push(json!(audience));
                Value::Array(several)
            }
            Some(one) => json!([one, audience]),
        };
        self.claims.insert("aud".to_owned(), audiences);
        self
    }

    /// A scope, or several with spaces between them; said again, more.
    pub fn scope(mut self, scope: &str) -> Self {
        let scope = match self.claims.get("scope").and_then(Value::as_str) {
            Some(before) => format!("{before} {scope}"),
            None => scope.to_owned(),
        };
        self.claims.insert("scope".to_owned(), json!(scope));
        self
    }

    /// Any claim, of any type, right or wrong.
    ///
    /// # Panics
    /// Where the value cannot be JSON.
    pub fn claim(mut self, name: &str, value: impl Serialize) -> Self {
        self.claims.insert(name.to_owned(), serde_json::to_value(value).expect("a claim that is JSON"));
        self
    }

    /// Leaves a claim out.
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Expires this long after it was issued.
    pub fn expires_in(self, after: Duration) -> Self {
        let at = self.now + after.as_secs();
        self.claim("exp", at)
    }

    /// Is valid only from this long after it was issued.
    pub fn not_before_in(self, after: Duration) -> Self {
        let at = self.now + after.as_secs();
        self.claim("nbf", at)
    }

    /// The user logged in this long before it was issued.
    pub fn authenticated_ago(self, before: Duration) -> Self {
        let at = self.now.saturating_sub(before.as_secs());
        self.claim("auth_time", at)
    }

    /// The token's type; "JWT" otherwise.
    pub fn typ(self, typ: &str) -> Self {
        self.header("typ", typ)
    }

    /// Any member of the header, of any type, right or wrong.
    ///
    /// # Panics
    /// Where the value cannot be JSON.
    pub fn header(mut self, name: &str, value: impl Serialize) -> Self {
        self.header.insert(name.to_owned(), serde_json::to_value(value).expect("a member that is JSON"));
        self
    }

    /// Leaves a member of the header out.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Defect: this text is the header, whatever it is.
    pub fn raw_header(mut self, json: impl Into<String>) -> Self {
        self.raw_header = Some(json.into());
        self
    }

    /// Defect: this text is the claims, whatever it is.
    pub fn raw_claims(mut self, json: impl Into<String>) -> Self {
        self.raw_claims = Some(json.into());
        self
    }

    /// Defect: expired a second ago.
    pub fn expired(self) -> Self {
        let now = self.now;
        self.claim("iat", now.saturating_sub(300)).claim("exp", now.saturating_sub(1))
    }

    /// Defect: signed by a key of the same kind that nobody knows.
    pub fn signed_by_unknown_key(mut self) -> Self {
        self.signature = Signature::Fresh;
        self
    }

    /// Defect: signed with the key and algorithm of another issuer, while the header and claims
    /// stay.
    pub fn signed_by(mut self, other: &'i TokenIssuer) -> Self {
        self.signature = Signature::By(other);
        self
    }

    /// Defect: algorithm "none", without a signature (RFC 7519 section 6).
    pub fn unsigned(mut self) -> Self {
        self.signature = Signature::Empty;
        self.header("alg", "none")
    }

    /// Defect: an extension that must be understood (RFC 7515 section 4.1.11).
    pub fn critical(self, names: &[&str]) -> Self {
        self.header("crit", names)
    }

    /// The token, in compact serialization.
    ///
    /// # Panics
    /// Where the machine gives no randomness.
    pub fn sign(self) -> String {
        let header = self.raw_header.unwrap_or_else(|| Value::Object(self.header).to_string());
        let claims = self.raw_claims.unwrap_or_else(|| Value::Object(self.claims).to_string());
        let message = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let signature = match self.signature {
            Signature::Right => self.issuer.sign(message.as_bytes()),
            Signature::By(other) => other.sign(message.as_bytes()),
            Signature::Fresh => {
                let algorithm = self.issuer.algorithm;
                SigningKey::generate(algorithm).sign(algorithm, message.as_bytes())
            }
            Signature::Empty => Vec::new(),
        };
        format!("{message}.{}", encode(&signature))
    }
}

impl SigningKey {
    fn generate(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::ES256 => {
                Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a P-256 key"))
            }
            Algorithm::ES384 => {
                Self::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("a P-384 key"))
            }
            Algorithm::EdDSA => Self::Ed(Ed25519KeyPair::generate().expect("an Ed25519 key")),
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => Self::Secret(random(64)),
            _ => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key")),
        }
    }

    fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ec(key) => {
                key.sign(&SystemRandom::new(), message).expect("an ECDSA signature").as_ref().to_vec()
            }
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let padding: &dyn aws_lc_rs::signature::RsaEncoding = match algorithm {
                    Algorithm::RS384 => &RSA_PKCS1_SHA384,
                    Algorithm::RS512 => &RSA_PKCS1_SHA512,
                    Algorithm::PS256 => &RSA_PSS_SHA256,
                    Algorithm::PS384 => &RSA_PSS_SHA384,
                    Algorithm::PS512 => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &SystemRandom::new(), message, &mut signature).expect("an RSA signature");
                signature
            }
            Self::Secret(secret) => {
                let hash = match algorithm {
                    Algorithm::HS384 => hmac::HMAC_SHA384,
                    Algorithm::HS512 => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(hash, secret), message).as_ref().to_vec()
            }
        }
    }
}

fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rand::fill(&mut bytes).expect("randomness");
    bytes
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

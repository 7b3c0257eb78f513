//! The people of the scenarios, as they are described. What is made of them is in `cast`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ScenarioError, unknown};

/// Everybody, by name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct People {
    /// Who signs certificates.
    #[serde(rename = "authority")]
    pub authorities: BTreeMap<String, AuthorityPlan>,
    /// Who connects.
    #[serde(rename = "peer")]
    pub peers: BTreeMap<String, PeerPlan>,
    /// Who signs tokens.
    #[serde(rename = "issuer")]
    pub issuers: BTreeMap<String, IssuerPlan>,
    /// What callers present as a token.
    #[serde(rename = "token")]
    pub tokens: BTreeMap<String, TokenPlan>,
}

/// An authority. One that neither a trust domain nor a name is given for is trusted by nobody.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AuthorityPlan {
    /// The trust domain that it vouches for.
    pub trust_domain: Option<String>,
    /// The name under which it vouches for peers without a SPIFFE ID.
    pub named: Option<String>,
    /// The authority above it.
    pub below: Option<String>,
    /// A SPIFFE ID of its own.
    pub spiffe_id: Option<String>,
    /// When it is valid.
    pub lifetime: Option<Lifetime>,
}

/// From when until when, in seconds from the moment of the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lifetime {
    /// The first second.
    pub from: i64,
    /// The last second.
    pub until: i64,
}

/// A leaf certificate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PeerPlan {
    /// Who signed it.
    pub authority: String,
    /// URIs among its names, as they are.
    #[serde(default)]
    pub uris: Vec<String>,
    /// DNS names.
    #[serde(default)]
    pub dns: Vec<String>,
    /// E-mail addresses.
    #[serde(default)]
    pub mails: Vec<String>,
    /// The common name of its subject.
    pub common_name: Option<String>,
    /// When it is valid; from 2000 to 2100 otherwise.
    pub lifetime: Option<Lifetime>,
    /// Its key.
    #[serde(default)]
    pub key: Key,
    /// What is wrong with it: the code of the error that it is refused with, where the names and
    /// dates do not show it.
    pub defect: Option<String>,
}

/// A key of a leaf certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(clippy::exhaustive_enums, reason = "a stack must make all of them")]
pub enum Key {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA of 1024 bits: too short.
    Rsa1024,
}

/// An issuer of tokens, and the terms on which it is believed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IssuerPlan {
    /// The `iss` of its tokens.
    pub name: String,
    /// What it signs with: `ES256`, `EdDSA`, `HS256`.
    pub algorithm: String,
    /// The audiences that are accepted.
    pub audiences: Vec<String>,
    /// It is the home issuer of every service.
    #[serde(default)]
    pub home: bool,
    /// Nobody is told to trust it.
    #[serde(default)]
    pub untrusted: bool,
    /// The types that are accepted, where not the usual ones.
    pub types: Option<Vec<String>>,
    /// The longest lifetime in seconds, where not the usual one.
    pub max_lifetime: Option<u64>,
    /// The greatest age in seconds.
    pub max_age: Option<u64>,
    /// Seconds for which an expired token is believed.
    pub leeway: Option<u64>,
    /// Claims that must be there.
    #[serde(default)]
    pub required: Vec<String>,
}

/// What a caller presents. Without further words it is a token of the issuer, for its first
/// audience, issued now and for 5 minutes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenPlan {
    /// Who is named in `iss`; none where `credentials` hold no `{token}`.
    pub issuer: Option<String>,
    /// Claims in addition to, or instead of, the usual ones.
    #[serde(default)]
    pub claims: Map<String, Value>,
    /// Claims left out.
    #[serde(default)]
    pub without_claims: Vec<String>,
    /// Seconds from now until it expires.
    pub expires_in: Option<i64>,
    /// How many seconds ago it was issued.
    pub issued_ago: Option<i64>,
    /// Seconds from now until it becomes valid.
    pub not_before_in: Option<i64>,
    /// How many seconds ago the user logged in.
    pub authenticated_ago: Option<i64>,
    /// Members of the header in addition to, or instead of, the usual ones.
    #[serde(default)]
    pub header: Map<String, Value>,
    /// Members of the header left out.
    #[serde(default)]
    pub without_header: Vec<String>,
    /// The text of the header, whatever it is.
    pub raw_header: Option<String>,
    /// The text of the claims, whatever it is. `NOW+300` stands for a date.
    pub raw_claims: Option<String>,
    /// How it is signed.
    #[serde(default)]
    pub signature: Signature,
    /// The values of `authorization`; `{token}` is the token. `{long}` is more than a token may
    /// have.
    pub credentials: Option<Vec<String>>,
}

/// How a token is signed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(clippy::exhaustive_enums, reason = "a stack must make all of them")]
pub enum Signature {
    /// By the issuer's key.
    #[default]
    Right,
    /// By a key of the same kind that nobody knows.
    UnknownKey,
    /// Not at all: the part is empty.
    Empty,
    /// By the issuer's key, then changed.
    Changed,
    /// By the key of this other issuer.
    By(String),
}

impl People {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        for (name, authority) in &self.authorities {
            if let Some(above) = &authority.below {
                self.authorities.get(above).ok_or_else(|| unknown("authority", above).within(name))?;
            }
        }
        for (name, peer) in &self.peers {
            self.authorities
                .get(&peer.authority)
                .ok_or_else(|| unknown("authority", &peer.authority).within(name))?;
        }
        for (name, token) in &self.tokens {
            if token.issuer.is_none() && token.credentials.is_none() {
                return Err(ScenarioError(format!("token {name}: give an `issuer` or `credentials`")));
            }
            let by = match &token.signature {
                Signature::By(other) => Some(other),
                _ => None,
            };
            for issuer in token.issuer.iter().chain(by) {
                self.issuers.get(issuer).ok_or_else(|| unknown("issuer", issuer).within(name))?;
            }
        }
        Ok(())
    }
}

impl TokenPlan {
    /// The text of the header.
    pub fn header_text(&self, issuer: &IssuerPlan) -> String {
        if let Some(raw) = &self.raw_header {
            return raw.clone();
        }
        let mut header = Map::new();
        header.insert("alg".to_owned(), json!(issuer.algorithm));
        header.insert("typ".to_owned(), json!("JWT"));
        if !issuer.algorithm.starts_with("HS") {
            header.insert("kid".to_owned(), json!("test-key"));
        }
        header.extend(self.header.clone());
        header.retain(|name, _| !self.without_header.contains(name));
        Value::Object(header).to_string()
    }

    /// The text of the claims, at this second.
    pub fn claims_text(&self, issuer: &IssuerPlan, now: u64) -> String {
        if let Some(raw) = &self.raw_claims {
            return raw.replace("NOW+300", &(now + 300).to_string());
        }
        let at = |seconds: i64| json!(now.saturating_add_signed(seconds));
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), json!(issuer.name));
        claims.insert("aud".to_owned(), json!(issuer.audiences.first()));
        claims.insert("iat".to_owned(), at(-self.issued_ago.unwrap_or(0)));
        claims.insert("exp".to_owned(), at(self.expires_in.unwrap_or(300)));
        for (name, seconds) in
            [("nbf", self.not_before_in), ("auth_time", self.authenticated_ago.map(i64::wrapping_neg))]
        {
            if let Some(seconds) = seconds {
                claims.insert(name.to_owned(), at(seconds));
            }
        }
        claims.extend(self.claims.clone());
        claims.retain(|name, _| !self.without_claims.contains(name));
        Value::Object(claims).to_string()
    }

    /// The two parts that are signed, with the point between them.
    pub fn signed_text(&self, issuer: &IssuerPlan, now: u64) -> String {
        let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}", encode(self.header_text(issuer)), encode(self.claims_text(issuer, now)))
    }

    /// The values of `authorization` that carry this token.
    pub fn credentials(&self, token: &str) -> Vec<String> {
        let usual = || vec!["Bearer {token}".to_owned()];
        let fill =
            |value: String| value.replace("{token}", token).replace("{long}", &"a".repeat(16 * 1024 + 1));
        self.credentials.clone().unwrap_or_else(usual).into_iter().map(fill).collect()
    }
}

//! `desk token`: a token to try a service with, signed by the key that `desk keys` made.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use ztlib::{Clock as _, SystemClock};

use crate::Ended;
use crate::args::Token;
use crate::failure::{BROKEN, Failure, USAGE};
use crate::keys::{KEY_ID, TOKEN_KEY, remake};
use crate::show::Desk;

/// How long a token is good for. The command makes one for each call, so a minute would do.
pub(crate) const MINUTES: u64 = 15;

/// The claims that the command says itself: `--claims` has others.
const OWN: [&str; 7] = ["iss", "aud", "sub", "iat", "nbf", "exp", "jti"];

pub(crate) fn run(args: &Token, desk: &mut Desk<'_>) -> Result<Ended, Failure> {
    let claims = claims(args)?;
    let token = TokenKey::read(&args.keys)?.sign(claims, SystemClock.now())?;
    if desk.json {
        desk.value(&json!({ "token": token, "expires_in": MINUTES * 60 }))?;
    } else {
        desk.line(&token)?;
    }
    Ok(Ended::Well)
}

/// What the command line says of the caller.
fn claims(args: &Token) -> Result<Map<String, Value>, Failure> {
    let mut claims = match args.claims.as_deref().map(serde_json::from_str::<Value>) {
        None => Map::new(),
        Some(Ok(Value::Object(claims))) => claims,
        Some(Ok(_)) => {
            return Err(Failure::new(USAGE, "bad-claims", "`--claims` is a JSON object: {\"a\": 1}"));
        }
        Some(Err(error)) => {
            return Err(Failure::new(USAGE, "bad-claims", format!("`--claims` is not JSON: {error}")));
        }
    };
    if let Some(own) = OWN.iter().find(|own| claims.contains_key(**own)) {
        let text = format!("`--claims` cannot say `{own}`: the command and its key do");
        return Err(Failure::new(USAGE, "bad-claims", text));
    }
    if !args.roles.is_empty() && claims.insert("roles".to_owned(), json!(args.roles)).is_some() {
        return Err(Failure::new(
            USAGE,
            "bad-claims",
            "`--role` and `--claims` both say `roles`: leave one out",
        ));
    }
    claims.insert("sub".to_owned(), json!(args.subject));
    Ok(claims)
}

/// The key of a desk, and for whom it signs.
struct TokenKey {
    issuer: String,
    audience: String,
    /// In seconds since 1970.
    until: u64,
    key: EcdsaKeyPair,
    folder: String,
}

impl TokenKey {
    fn read(folder: &Path) -> Result<Self, Failure> {
        let file = folder.join(TOKEN_KEY);
        let unreadable = |why: &str| {
            let text = format!("{}: {why}: {}", file.display(), remake(folder));
            Failure::new(BROKEN, "no-token-key", text)
        };
        let bytes = fs::read(&file).map_err(|error| unreadable(&error.to_string()))?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| unreadable("it is not JSON"))?;
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let pkcs8 = text("pkcs8").and_then(|text| STANDARD.decode(text).ok());
        let key = pkcs8.and_then(|der| EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).ok());
        let until = value.get("until").and_then(Value::as_u64);
        match (text("issuer"), text("audience"), until, key) {
            (Some(issuer), Some(audience), Some(until), Some(key)) => Ok(Self {
                issuer: issuer.to_owned(),
                audience: audience.to_owned(),
                until,
                key,
                folder: folder.display().to_string(),
            }),
            _ => Err(unreadable("it is no key of `ztlib desk keys`")),
        }
    }

    /// A token of RFC 7519 with ES256 (RFC 7518 section 3.4).
    ///
    /// # Errors
    /// `keys-expired`: the certificates beside it are not good any more, so a token would be of no
    /// use.
    fn sign(&self, mut claims: Map<String, Value>, now: SystemTime) -> Result<String, Failure> {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if now >= self.until {
            let text =
                format!("the keys in `{}` are expired: {}", self.folder, remake(Path::new(&self.folder)));
            return Err(Failure::new(BROKEN, "keys-expired", text));
        }
        let failed =
            |_| Failure::new(BROKEN, "no-token", "the token cannot be signed: there is no randomness");
        let mut id = [0; 12];
        rand::fill(&mut id).map_err(failed)?;
        for (name, value) in [
            ("iss", json!(self.issuer)),
            ("aud", json!(self.audience)),
            ("iat", json!(now)),
            ("exp", json!(now.saturating_add(MINUTES * 60))),
            ("jti", json!(URL_SAFE_NO_PAD.encode(id))),
        ] {
            claims.insert(name.to_owned(), value);
        }
        let header = json!({ "alg": "ES256", "kid": KEY_ID, "typ": "JWT" });
        let [header, claims] =
            [header, Value::Object(claims)].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).map_err(failed)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn keys_that_are_expired_sign_nothing() {
        let key = |until| TokenKey {
            issuer: "https://id.shop.example".to_owned(),
            audience: "shop".to_owned(),
            until,
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            folder: "desk".to_owned(),
        };
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(key(1_000_001).sign(Map::new(), now).unwrap().split('.').count(), 3);
        let refused = key(1_000_000).sign(Map::new(), now).unwrap_err();
        assert_eq!(refused.json()["error"]["code"], "keys-expired");
        assert!(refused.text().contains("`rm -r desk; ztlib desk keys NAME`"), "{}", refused.text());
    }
}

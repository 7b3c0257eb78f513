//! What `jsonwebtoken::decode` accepts and ztlib refuses: the reason why only its signature check
//! is used.
//!
//! The first table fails when the library becomes as strict as ztlib in a row: then the check of
//! ztlib may be double. The second one is what version 12 refuses too.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::time::SystemTime;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};
use ztlib::Clock as _;
use ztlib::authenticate::token::{Algorithm, BearerToken, Issuer, KeySet, TokenVerifier};
use ztlib_testing::{ManualClock, TokenDraft, TokenIssuer};

struct Both {
    id: TokenIssuer,
    ours: TokenVerifier,
    theirs: DecodingKey,
    now: SystemTime,
}

impl Both {
    fn new() -> Self {
        let id = TokenIssuer::new("https://id.example");
        let issuer = Issuer::new(id.name()).audience("shop").algorithms([Algorithm::ES256]);
        let issuer = issuer.keys(KeySet::from_jwks(&id.jwks()).unwrap());
        let ours = TokenVerifier::builder().issuer(issuer).build().unwrap();
        let set: JwkSet = serde_json::from_slice(&id.jwks()).unwrap();
        let theirs = DecodingKey::from_jwk(set.keys.first().unwrap()).unwrap();
        Self { id, ours, theirs, now: ManualClock::default().now() }
    }

    fn token(&self) -> TokenDraft<'_> {
        self.id.token_at(self.now).subject("u1").audience("shop")
    }

    /// Whether the library accepts the token with all that it can be told to check except the time,
    /// for which it asks the clock of the machine; and the code of ztlib.
    fn judge(&self, draft: TokenDraft<'_>) -> (bool, &'static str) {
        let token = draft.sign();
        let mut validation = Validation::new(jsonwebtoken::Algorithm::ES256);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_audience(&["shop"]);
        validation.set_issuer(&[self.id.name()]);
        validation.validate_exp = false;
        let theirs = jsonwebtoken::decode::<Value>(&token, &self.theirs, &validation).is_ok();
        let ours = self.ours.verify(&BearerToken::new(&token).unwrap(), self.now);
        (theirs, ours.map_or_else(|error| error.code(), |_| "accepted"))
    }
}

#[test]
fn what_the_library_accepts_and_ztlib_refuses() {
    let both = Both::new();
    let token = || both.token();
    assert_eq!(both.judge(token()), (true, "accepted"));
    let claims = |more: &str| {
        let exp = both.now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 60;
        token().raw_claims(format!(r#"{{"iss":"https://id.example","aud":"shop","exp":{exp},{more}}}"#))
    };
    let b64 = |value: bool| token().header("crit", ["b64"]).header("b64", value);
    for (draft, code) in [
        (b64(true), "token-critical-header"),
        (token().header("b64", true), "token-unsupported-header"),
        (token().header("zip", "DEF"), "token-unsupported-header"),
        (token().header("cty", "JWT"), "token-unsupported-header"),
        (token().header("enc", "A128GCM"), "token-unsupported-header"),
        (token().typ("logout+jwt"), "token-type"),
        (token().raw_header(r#"{"alg":"ES256","kid":"test-key","x":1,"x":2}"#), "token-json"),
        (token().header("kid", ""), "token-header-form"),
        (claims(r#""role":"user","role":"admin""#), "token-json"),
        (token().claim("iss", ["https://id.example", "https://evil.example"]), "token-claim-form"),
        (token().claim("sub", json!(7)), "token-claim-form"),
        (token().subject(""), "token-claim-form"),
        (token().claim("iat", "never"), "token-claim-form"),
        (token().claim("exp", 1e18), "token-claim-form"),
        (token().claim("nbf", "never"), "token-claim-form"),
    ] {
        assert_eq!(both.judge(draft.clone()), (true, code), "{draft:?}");
    }
}

#[test]
fn what_both_refuse() {
    let both = Both::new();
    let token = || both.token();
    for (draft, code) in [
        (token().signed_by_unknown_key(), "token-signature"),
        (token().header("crit", ["exp"]), "token-critical-header"),
        (token().header("crit", Vec::<&str>::new()), "token-critical-header"),
        (token().header("crit", ["b64"]).header("b64", false), "token-critical-header"),
        (token().claim("iss", json!(7)), "token-claim-form"),
        (token().claim("aud", json!({})), "token-claim-form"),
        (token().without_claim("iss"), "token-missing-claim"),
        (token().without_claim("aud"), "token-missing-claim"),
    ] {
        assert_eq!(both.judge(draft.clone()), (false, code), "{draft:?}");
    }
}

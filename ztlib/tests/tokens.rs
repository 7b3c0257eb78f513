//! What a token may and may not do, through the public API, with issuers made on the spot and a
//! clock that stands still.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use proptest::prelude::*;
use ztlib::Clock as _;
use ztlib::authenticate::token::{
    Algorithm, BearerToken, Issuer, KeySet, KeyStore, MAX_TOKEN_BYTES, TokenAuthenticator, TokenError,
    TokenErrorKind, TokenVerifier, VerifiedClaims,
};
use ztlib_testing::{ManualClock, TokenDraft, TokenIssuer};

const ISSUER: &str = "https://id.example";

const PUBLIC_KEY_ALGORITHMS: [Algorithm; 9] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];
const HMAC_ALGORITHMS: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

/// An issuer and a service that trusts it.
struct Setup {
    id: TokenIssuer,
    keys: KeyStore,
    verifier: TokenVerifier,
    now: SystemTime,
}

impl Setup {
    fn new() -> Self {
        Self::with(Algorithm::ES256, |issuer| issuer)
    }

    fn with(algorithm: Algorithm, terms: impl FnOnce(Issuer) -> Issuer) -> Self {
        let id = TokenIssuer::with_algorithm(ISSUER, algorithm);
        let keys = KeyStore::new(KeySet::from_jwks(&id.jwks()).unwrap());
        let issuer = Issuer::new(ISSUER).audience("shop").algorithms([algorithm]).keys(keys.clone());
        let verifier = TokenVerifier::builder().issuer(terms(issuer)).build().unwrap();
        Self { id, keys, verifier, now: ManualClock::default().now() }
    }

    /// A token that is right in every way.
    fn token(&self) -> TokenDraft<'_> {
        self.id.token_at(self.now).subject("u1").audience("shop")
    }

    fn verify(&self, token: &str) -> Result<VerifiedClaims, TokenError> {
        self.verify_at(token, self.now)
    }

    fn verify_at(&self, token: &str, now: SystemTime) -> Result<VerifiedClaims, TokenError> {
        self.verifier.verify(&BearerToken::new(token)?, now)
    }

    #[track_caller]
    fn accepts(&self, draft: TokenDraft<'_>) -> VerifiedClaims {
        self.verify(&draft.sign()).unwrap()
    }

    #[track_caller]
    fn refuses(&self, draft: TokenDraft<'_>, code: &str) {
        assert_eq!(code_of(self.verify(&draft.sign())), code);
    }
}

/// The code of a refusal, or "accepted".
fn code_of<T>(verdict: Result<T, TokenError>) -> &'static str {
    verdict.map_or_else(|error| error.code(), |_| "accepted")
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn every_algorithm_verifies_its_own_tokens_and_refuses_another_key() {
    for algorithm in PUBLIC_KEY_ALGORITHMS {
        let setup = Setup::with(algorithm, |issuer| issuer);
        assert_eq!(setup.accepts(setup.token()).algorithm(), algorithm);
        let stranger = TokenIssuer::with_algorithm(ISSUER, algorithm);
        setup.refuses(setup.token().signed_by(&stranger), "token-signature");
    }
    for algorithm in HMAC_ALGORITHMS {
        let id = TokenIssuer::with_algorithm(ISSUER, algorithm);
        let issuer =
            Issuer::new(ISSUER).audience("shop").algorithms([algorithm]).hmac_secret(id.secret().unwrap());
        let verifier = TokenVerifier::builder().issuer(issuer).build().unwrap();
        let now = ManualClock::default().now();
        let good = id.token_at(now).audience("shop").sign();
        assert!(verifier.verify(&BearerToken::new(&good).unwrap(), now).is_ok());
        let bad = id.token_at(now).audience("shop").signed_by_unknown_key().sign();
        assert_eq!(code_of(verifier.verify(&BearerToken::new(&bad).unwrap(), now)), "token-signature");
    }
}

#[test]
fn claims_are_given_as_the_token_has_them() {
    let setup = Setup::new();
    let claims = setup.accepts(
        setup
            .token()
            .audience("billing")
            .scope("orders:write orders:read  orders:read")
            .not_before_in(seconds(0))
            .authenticated_ago(seconds(90))
            .claim("acr", "urn:gold")
            .claim("amr", ["pwd", "otp"])
            .claim("jti", "t-1"),
    );
    assert_eq!(claims.issuer(), ISSUER);
    assert_eq!(claims.subject(), Some("u1"));
    assert_eq!(claims.audiences(), ["shop", "billing"]);
    assert!(claims.has_audience("billing") && !claims.has_audience("Billing"));
    assert_eq!(claims.scopes().unwrap(), ["orders:read", "orders:write"]);
    assert_eq!((claims.has_scope("orders:read"), claims.has_scope("orders")), (Ok(true), Ok(false)));
    assert_eq!(claims.issued_at(), Some(setup.now));
    assert_eq!(claims.not_before(), Some(setup.now));
    assert_eq!(claims.expires_at(), setup.now + seconds(300));
    assert_eq!(claims.auth_time(), Ok(Some(setup.now - seconds(90))));
    assert_eq!(
        (claims.acr(), claims.token_id(), claims.key_id()),
        (Ok(Some("urn:gold")), Ok(Some("t-1")), Some("test-key"))
    );
    assert_eq!(claims.amr().unwrap(), ["pwd", "otp"]);
}

#[test]
fn a_claim_of_another_type_is_an_error_and_an_absent_one_is_not() {
    let setup = Setup::new();
    let claims = setup.accepts(setup.token().claim(
        "x",
        serde_json::json!({"s": "v", "i": -7, "f": 1.0, "b": true, "n": null, "l": ["a", 1], "a/b~c": "p", "big": u64::MAX}),
    ));
    assert_eq!(claims.claim_string("/x/s"), Ok(Some("v")));
    assert_eq!(claims.claim_int("/x/i"), Ok(Some(-7)));
    assert_eq!(claims.claim_bool("/x/b"), Ok(Some(true)));
    assert_eq!(claims.claim_string("/x/a~1b~0c"), Ok(Some("p")));
    assert_eq!(claims.claim_json("/x/l"), Ok(Some("[\"a\",1]".to_owned())));
    assert_eq!(claims.claim_contains("/x/l", "a"), Ok(true));
    assert_eq!(claims.claim_contains("/x/l", "1"), Ok(false));
    assert_eq!(claims.claim_contains("/x/s", "v"), Ok(true));
    assert_eq!(claims.claim_contains("/y", "v"), Ok(false));
    for absent in ["/y", "/x/l/2", "/x/s/deeper", "/x/l/-"] {
        assert_eq!(claims.claim_string(absent), Ok(None), "{absent}");
    }
    for (pointer, code) in
        [("/x/i", "claim-wrong-type"), ("/x/n", "claim-wrong-type"), ("x", "claim-malformed-pointer")]
    {
        assert_eq!(claims.claim_string(pointer).unwrap_err().code(), code);
    }
    for not_an_integer in ["/x/f", "/x/big", "/x/s"] {
        assert_eq!(claims.claim_int(not_an_integer).unwrap_err().code(), "claim-wrong-type");
    }
    assert_eq!(claims.claim_contains("/x/b", "true").unwrap_err().code(), "claim-wrong-type");
    assert_eq!(claims.claim_json("/x/~2").unwrap_err().code(), "claim-malformed-pointer");

    #[derive(serde::Deserialize)]
    struct Mine {
        sub: String,
    }
    assert_eq!(claims.deserialize::<Mine>().unwrap().sub, "u1");
    assert_eq!(claims.deserialize::<Vec<String>>().unwrap_err().code(), "claim-shape");
}

#[test]
fn debug_and_errors_show_no_claim_values_and_no_token() {
    let setup = Setup::new();
    let token = setup.token().claim("tenant", "s3cr3t-tenant").subject("line\nbreak").sign();
    let claims = setup.verify(&token).unwrap();
    let shown =
        format!("{claims:?} {:?} {:?} {:?}", BearerToken::new(&token).unwrap(), setup.verifier, setup.keys);
    assert!(!shown.contains("s3cr3t") && !shown.contains('\n'), "{shown}");
    assert!(token.split('.').all(|part| !shown.contains(part)), "{shown}");
    let secret = TokenIssuer::with_algorithm(ISSUER, Algorithm::HS256);
    let issuer = Issuer::new(ISSUER).hmac_secret(b"correct horse battery staple 32 b");
    assert!(!format!("{issuer:?} {secret:?}").contains("horse"));
}

// 20-22: algorithms

#[test]
fn alg_none_in_every_spelling_is_refused() {
    let setup = Setup::new();
    setup.refuses(setup.token().unsigned(), "token-malformed");
    for alg in ["none", "None", "NONE", "nOnE", "es256", "ES512", "ES256 ", "HS256"] {
        setup.refuses(setup.token().header("alg", alg), "token-algorithm");
    }
    setup.refuses(setup.token().without_header("alg"), "token-header-form");
    setup.refuses(setup.token().header("alg", ""), "token-header-form");
    setup.refuses(setup.token().header("alg", ["ES256"]), "token-header-form");
    setup.refuses(setup.token().header("alg", ()), "token-header-form");
}

#[test]
fn an_issuer_without_algorithms_does_not_build() {
    let id = TokenIssuer::new(ISSUER);
    let issuer = Issuer::new(ISSUER).audience("shop").keys(KeySet::from_jwks(&id.jwks()).unwrap());
    let error = TokenVerifier::builder().issuer(issuer).build().unwrap_err();
    assert_eq!(error.code(), "token-config-no-algorithm");
}

#[test]
fn a_public_key_is_never_a_secret() {
    let setup = Setup::with(Algorithm::RS256, |issuer| issuer);
    let jwks = setup.id.jwks();
    let set: serde_json::Value = serde_json::from_slice(&jwks).unwrap();
    let jwk = &set["keys"][0];
    let modulus = jwk["n"].as_str().unwrap().to_owned();
    let secrets = [jwks.clone(), jwk.to_string().into_bytes(), modulus.into_bytes()];
    let token = setup.token().header("alg", "HS256").sign();
    let (message, _) = token.rsplit_once('.').unwrap();
    for secret in secrets {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
        let forged =
            format!("{message}.{}", encode(aws_lc_rs::hmac::sign(&key, message.as_bytes()).as_ref()));
        assert_eq!(code_of(setup.verify(&forged)), "token-algorithm");
    }
}

#[test]
fn secrets_and_public_keys_are_never_mixed() {
    let id = TokenIssuer::with_algorithm(ISSUER, Algorithm::RS256);
    let public = || KeySet::from_jwks(&id.jwks()).unwrap();
    let issuer = || Issuer::new(ISSUER).audience("shop").allow_several_families();
    let build =
        |issuer| TokenVerifier::builder().issuer(issuer).build().map(drop).map_err(|error| error.code());
    assert_eq!(build(issuer().algorithms([Algorithm::RS256, Algorithm::PS256]).keys(public())), Ok(()));
    assert_eq!(build(issuer().algorithms([Algorithm::RS256, Algorithm::ES256]).keys(public())), Ok(()));
    let mixed = issuer().algorithms([Algorithm::RS256, Algorithm::HS256]).keys(public());
    assert_eq!(build(mixed), Err("token-config-several-families"));
    let hmac = issuer().algorithms([Algorithm::HS256]).keys(public());
    assert_eq!(build(hmac), Err("token-config-secrets-and-public-keys"));
    let secret = issuer().algorithms([Algorithm::RS256]).hmac_secret(&[7; 64]);
    assert_eq!(build(secret), Err("token-config-secrets-and-public-keys"));
    let strict =
        Issuer::new(ISSUER).audience("shop").algorithms([Algorithm::RS256, Algorithm::ES256]).keys(public());
    assert_eq!(build(strict), Err("token-config-several-families"));
}

#[test]
fn a_key_without_alg_is_used_for_the_issuers_algorithms_only() {
    let id = TokenIssuer::with_algorithm(ISSUER, Algorithm::RS256);
    let mut set: serde_json::Value = serde_json::from_slice(&id.jwks()).unwrap();
    set["keys"][0].as_object_mut().unwrap().remove("alg");
    let keys = KeySet::from_jwks(set.to_string().as_bytes()).unwrap();
    let now = ManualClock::default().now();
    let verdict = |algorithm| {
        let issuer = Issuer::new(ISSUER).audience("shop").algorithms([algorithm]).keys(keys.clone());
        let verifier = TokenVerifier::builder().issuer(issuer).build().unwrap();
        let token = id.token_at(now).audience("shop").sign();
        code_of(verifier.verify(&BearerToken::new(&token).unwrap(), now))
    };
    assert_eq!(verdict(Algorithm::RS256), "accepted");
    assert_eq!(verdict(Algorithm::PS256), "token-algorithm");
}

#[test]
fn a_key_is_used_for_its_own_alg_only() {
    let id = TokenIssuer::with_algorithm(ISSUER, Algorithm::RS256);
    let issuer = Issuer::new(ISSUER).audience("shop").algorithms([Algorithm::RS256, Algorithm::PS256]);
    let verifier =
        TokenVerifier::builder().issuer(issuer.keys(KeySet::from_jwks(&id.jwks()).unwrap())).build().unwrap();
    let now = ManualClock::default().now();
    let verdict = |alg: &str| {
        let token = id.token_at(now).audience("shop").header("alg", alg).sign();
        code_of(verifier.verify(&BearerToken::new(&token).unwrap(), now))
    };
    assert_eq!(verdict("RS256"), "accepted");
    assert_eq!(verdict("PS256"), "token-key-algorithm");
}

#[test]
fn secrets_in_a_set_of_public_keys_are_ignored() {
    let public = TokenIssuer::new(ISSUER);
    let secret = TokenIssuer::with_algorithm(ISSUER, Algorithm::HS256).key_id("hmac");
    let keys = KeySet::from_jwks(&TokenIssuer::jwks_of(&[&public, &secret])).unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys.warnings()[0].refusal().code(), "key-secret");
    let mixed = KeySet::from_secret_jwks(&TokenIssuer::jwks_of(&[&public, &secret])).unwrap_err();
    assert_eq!(mixed.code(), "key-set-mixed-types");
}

// 25, 26, 28, 30: the form

#[test]
fn empty_and_all_zero_signatures_are_refused() {
    let setup = Setup::new();
    let token = setup.token().sign();
    let (message, _) = token.rsplit_once('.').unwrap();
    assert_eq!(code_of(setup.verify(&format!("{message}."))), "token-malformed");
    assert_eq!(code_of(setup.verify(message)), "token-malformed");
    for signature in [vec![0; 64], vec![0; 63], vec![0; 65], vec![255; 64], vec![0; 1]] {
        assert_eq!(code_of(setup.verify(&format!("{message}.{}", encode(&signature)))), "token-signature");
    }
}

/// The signature library compares the length itself, for each algorithm.
#[test]
fn a_signature_of_another_length_is_refused_for_every_algorithm() {
    for algorithm in [PUBLIC_KEY_ALGORITHMS.as_slice(), HMAC_ALGORITHMS.as_slice()].concat() {
        let id = TokenIssuer::with_algorithm(ISSUER, algorithm);
        let issuer = Issuer::new(ISSUER).audience("shop").algorithms([algorithm]);
        let issuer = match id.secret() {
            Some(secret) => issuer.hmac_secret(secret),
            None => issuer.keys(KeySet::from_jwks(&id.jwks()).unwrap()),
        };
        let verifier = TokenVerifier::builder().issuer(issuer).build().unwrap();
        let now = ManualClock::default().now();
        let token = id.token_at(now).audience("shop").sign();
        let verdict = |token: &str| code_of(verifier.verify(&BearerToken::new(token).unwrap(), now));
        assert_eq!(verdict(&token), "accepted", "{algorithm}");
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = decode(signature);
        let others = [
            signature[1..].to_vec(),
            signature[..signature.len() - 1].to_vec(),
            [&[0], &signature[..]].concat(),
            [&signature[..], &[0]].concat(),
            signature.repeat(2),
        ];
        for other in others {
            let token = format!("{message}.{}", encode(&other));
            assert_eq!(verdict(&token), "token-signature", "{algorithm}, {} bytes", other.len());
        }
    }
}

#[test]
fn encrypted_nested_and_json_serialized_tokens_are_refused() {
    let setup = Setup::new();
    let token = setup.token().sign();
    assert_eq!(code_of(setup.verify("a.b.c.d.e")), "token-encrypted");
    assert_eq!(code_of(setup.verify(&format!("{token}.a"))), "token-malformed");
    let parts: Vec<&str> = token.split('.').collect();
    let json =
        serde_json::json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]}).to_string();
    assert_eq!(code_of(setup.verify(&json)), "token-malformed-credentials");
    setup.refuses(setup.token().header("cty", "JWT"), "token-unsupported-header");
    setup.refuses(setup.token().header("enc", "A256GCM"), "token-unsupported-header");
    let nested = encode(token.as_bytes());
    assert_eq!(code_of(setup.verify(&format!("{}.{nested}.{}", parts[0], parts[2]))), "token-json");
}

#[test]
fn lax_base64_is_refused() {
    let setup = Setup::new();
    let token = setup.token().sign();
    let parts: Vec<&str> = token.split('.').collect();
    let verdict = |at: usize, part: String| {
        let mut parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        parts[at] = part;
        code_of(setup.verify(&parts.join(".")))
    };
    for (at, part) in parts.iter().enumerate() {
        assert_eq!(verdict(at, format!("{part}=")), "token-base64");
        assert_eq!(verdict(at, format!("{part}==")), "token-base64");
        assert_eq!(verdict(at, format!("{part}+")), "token-base64");
        assert_eq!(verdict(at, format!("{part} ")), "token-malformed-credentials");
        assert_eq!(verdict(at, format!("{part}\n")), "token-malformed-credentials");
    }
    // 64 bytes leave four bits of the last character unused: 15 more texts for one signature.
    let signature = parts[2];
    let (head, last) = signature.split_at(signature.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let accepted =
        alphabet.chars().filter(|c| verdict(2, format!("{head}{c}")) == "accepted").collect::<String>();
    assert_eq!(accepted, last);
}

#[test]
fn what_is_too_long_or_all_dots_is_refused_before_it_is_read() {
    let setup = Setup::new();
    let filler = "x".repeat(MAX_TOKEN_BYTES);
    setup.refuses(setup.token().claim("filler", filler), "token-too-long");
    assert_eq!(code_of(setup.verify(&".".repeat(1 << 20))), "token-too-long");
    assert_eq!(code_of(setup.verify(&".".repeat(MAX_TOKEN_BYTES))), "token-too-long");
    assert_eq!(code_of(setup.verify(&".".repeat(16 * 1024 + 1))), "token-too-long");
    assert_eq!(code_of(setup.verify(&".".repeat(16 * 1024))), "token-malformed");
    assert_eq!(code_of(setup.verify(&".".repeat(4))), "token-encrypted");
    setup.refuses(setup.token().header("zip", "DEF"), "token-unsupported-header");
    setup.refuses(setup.token().header("b64", false), "token-unsupported-header");
}

// 31: JSON

#[test]
fn claims_and_headers_that_can_be_read_in_two_ways_are_refused() {
    let setup = Setup::new();
    let now = unix(setup.now);
    let claims =
        |more: &str| format!(r#"{{"iss":"{ISSUER}","aud":"shop","exp":{},"sub":"u1"{more}}}"#, now + 60);
    setup.accepts(setup.token().raw_claims(claims("")));
    for more in [
        r#","sub":"admin""#,
        r#","role":"user","role":"admin""#,
        r#","x":{"role":"user","role":"admin"}"#,
        r#","x":"\ud800""#,
        r#","x":"\u0000""#,
        r#","x":1e999"#,
    ] {
        setup.refuses(setup.token().raw_claims(claims(more)), "token-json");
    }
    setup.refuses(setup.token().raw_claims(format!("\u{feff}{}", claims(""))), "token-json");
    setup.refuses(setup.token().raw_claims(format!("[{}]", claims(""))), "token-json");
    let deep = format!(",\"x\":{}{}", "[".repeat(40), "]".repeat(40));
    setup.refuses(setup.token().raw_claims(claims(&deep)), "token-json");
    let wide: String = (0..1021).map(|n| format!(",\"m{n}\":0")).collect();
    setup.refuses(setup.token().raw_claims(claims(&wide)), "token-json");

    setup.accepts(setup.token().raw_header(r#"{"alg":"ES256","kid":"test-key"}"#));
    for header in [
        r#"{"alg":"ES256","kid":"test-key","kid":"test-key"}"#,
        r#"{"alg":"ES256","kid":"test-key","x":1,"x":2}"#,
        r#"{"alg":"none","alg":"ES256","kid":"test-key"}"#,
        r#"["ES256"]"#,
        "",
    ] {
        let expected = if header.is_empty() { "token-malformed" } else { "token-json" };
        setup.refuses(setup.token().raw_header(header), expected);
    }
}

#[test]
fn an_issuer_is_compared_as_bytes() {
    let setup = Setup::new();
    for other in
        ["https://id.example/", "https://ID.example", "https://id.example\u{200b}", " https://id.example"]
    {
        setup.refuses(setup.token().claim("iss", other), "token-unknown-issuer");
    }
    setup.refuses(setup.token().claim("iss", [ISSUER]), "token-claim-form");
    setup.refuses(setup.token().claim("iss", [ISSUER, "https://evil.example"]), "token-claim-form");
    setup.refuses(setup.token().without_claim("iss"), "token-missing-claim");
}

// 32: types

#[test]
fn claims_of_another_json_type_are_refused() {
    const VALUES: [&str; 13] = [
        "null",
        "\"1\"",
        "[]",
        "{}",
        "true",
        "-1",
        "1e18",
        "1e300",
        "1e999",
        "9007199254740993",
        "1.5",
        "\"\"",
        "[\"1\", 1]",
    ];
    // The cells that are not `token-claim-form`; a number beyond a double is not JSON at all.
    let documented = |claim: &str, value: &str| match (claim, value) {
        (_, "1e999") => "token-json",
        ("exp", "1.5") => "token-expired",
        ("nbf", "1.5") => "accepted",
        ("iat", "1.5") => "token-lifetime",
        ("iss", "\"1\"") => "token-unknown-issuer",
        ("aud", "\"1\"") => "token-audience",
        ("sub", "\"1\"") => "accepted",
        // Nothing about the token depends on these: they are a fault for who asks for them.
        ("jti" | "acr" | "amr" | "scope" | "auth_time", _) => "accepted",
        _ => "token-claim-form",
    };
    let setup = Setup::new();
    let now = unix(setup.now);
    for claim in ["exp", "nbf", "iat", "iss", "aud", "sub", "jti", "acr", "amr", "scope", "auth_time"] {
        for value in VALUES {
            let mut members = vec![format!("\"{claim}\":{value}")];
            for (name, right) in [
                ("iss", format!("\"{ISSUER}\"")),
                ("aud", "\"shop\"".into()),
                ("exp", (now + 60).to_string()),
            ] {
                if name != claim {
                    members.push(format!("\"{name}\":{right}"));
                }
            }
            let token = setup.token().raw_claims(format!("{{{}}}", members.join(","))).sign();
            assert_eq!(code_of(setup.verify(&token)), documented(claim, value), "{claim} = {value}");
        }
    }
}

#[test]
fn an_odd_claim_refuses_nothing_and_is_an_error_for_who_asks_for_it() {
    use serde_json::json;
    let setup = Setup::new();
    let odd =
        [json!(null), json!(7), json!(true), json!({}), json!([1]), json!([[]]), json!([""]), json!([null])];
    let bad = "claim-wrong-type";
    for value in odd {
        let mut token = setup.token();
        for name in ["jti", "acr", "amr", "scope", "azp", "sid", "groups", "nonce", "scp", "client_id"] {
            token = token.claim(name, &value);
        }
        let claims = setup.accepts(token.claim("auth_time", "yesterday"));
        assert_eq!(claims.token_id().unwrap_err().code(), bad, "{value}");
        assert_eq!(claims.acr().unwrap_err().code(), bad, "{value}");
        assert_eq!(claims.amr().unwrap_err().code(), bad, "{value}");
        assert_eq!(claims.scopes().unwrap_err().code(), bad, "{value}");
        assert_eq!(claims.auth_time().unwrap_err().code(), bad);
        let error = claims.has_scope("a").unwrap_err();
        assert_eq!(error.to_string(), "the claim `/scope` is not a string of scopes or an array of them");
        assert!(claims.is_valid_at(setup.now));
    }
    for scope in [json!("a \u{e9}"), json!("a\tb"), json!(["a b"]), json!(["a", "\""]), json!("a\\b")] {
        assert_eq!(
            setup.accepts(setup.token().claim("scope", &scope)).has_scope("a").unwrap_err().code(),
            bad
        );
    }
    let empty = setup.accepts(setup.token().claim("acr", "").claim("jti", "").claim("amr", json!([])));
    assert_eq!((empty.acr(), empty.token_id(), empty.amr()), (Ok(None), Ok(None), Ok(&[][..])));
    assert_eq!(setup.accepts(setup.token().claim("amr", "pwd")).amr().unwrap_err().code(), bad);
    assert_eq!(setup.accepts(setup.token().claim("auth_time", -1)).auth_time().unwrap_err().code(), bad);
}

#[test]
fn scopes_are_where_the_issuer_is_told_they_are() {
    use serde_json::json;
    let scopes = |setup: &Setup, token: TokenDraft<'_>| setup.accepts(token).scopes().map(<[String]>::to_vec);
    let plain = Setup::new();
    for scope in [json!("b a"), json!(["a", "b"]), json!(["b", "a", "a"]), json!(" a  b ")] {
        assert_eq!(scopes(&plain, plain.token().claim("scope", scope)).unwrap(), ["a", "b"]);
    }
    for none in [json!(""), json!([])] {
        assert_eq!(scopes(&plain, plain.token().claim("scope", none)), Ok(vec![]));
    }
    assert_eq!(scopes(&plain, plain.token().claim("scp", "a")), Ok(vec![]));
    let entra = Setup::with(Algorithm::ES256, |issuer| issuer.scopes_from("scp"));
    for scp in [json!("b a"), json!(["a", "b"])] {
        assert_eq!(scopes(&entra, entra.token().claim("scp", scp).scope("admin")).unwrap(), ["a", "b"]);
    }
    // What stands elsewhere is nobody's concern.
    assert_eq!(scopes(&entra, entra.token().claim("scope", 7)), Ok(vec![]));
    assert!(scopes(&entra, entra.token().claim("scp", 7)).is_err());
    let both = Setup::with(Algorithm::ES256, |issuer| issuer.scopes_from("scope").scopes_from("scp"));
    assert_eq!(scopes(&both, both.token().claim("scp", ["b"]).scope("a b")).unwrap(), ["a", "b"]);
}

#[test]
fn a_token_without_audience_passes_only_where_the_terms_say_what_stands_for_it() {
    let cognito = Setup::with(Algorithm::ES256, |issuer| issuer.audience_from("client_id"));
    fn bare(setup: &Setup) -> TokenDraft<'_> {
        setup.id.token_at(setup.now)
    }
    let setup = &cognito;
    let bare_token = || setup.id.token_at(setup.now);
    let claims = setup.accepts(bare_token().claim("client_id", "shop"));
    assert_eq!(claims.audiences(), ["shop"]);
    setup.accepts(bare_token().claim("client_id", ["bank", "shop"]));
    setup.refuses(bare_token().claim("client_id", "bank"), "token-audience");
    setup.refuses(bare_token(), "token-missing-claim");
    for odd in [serde_json::json!(null), 7.into(), "".into(), serde_json::json!([])] {
        setup.refuses(bare_token().claim("client_id", odd), "token-claim-form");
    }
    // An `aud` that is there is the audience, and no other claim makes up for it.
    setup.refuses(bare_token().audience("bank").claim("client_id", "shop"), "token-audience");
    setup.refuses(bare_token().claim("aud", ()).claim("client_id", "shop"), "token-claim-form");
    setup.accepts(bare_token().audience("shop").claim("client_id", 7));

    let lax = Setup::with(Algorithm::ES256, |issuer| issuer.allow_missing_audience());
    assert!(lax.accepts(bare(&lax)).audiences().is_empty());
    lax.accepts(bare(&lax).audience("shop"));
    lax.refuses(bare(&lax).audience("bank"), "token-audience");
    for odd in [serde_json::json!(null), "".into(), serde_json::json!([])] {
        lax.refuses(bare(&lax).claim("aud", odd), "token-claim-form");
    }
    let plain = Setup::new();
    plain.refuses(bare(&plain).claim("client_id", "shop"), "token-missing-claim");
    // Without any audience of its own, a service takes tokens that are for nobody in particular,
    // and no others.
    let keys = KeySet::from_jwks(&plain.id.jwks()).unwrap();
    let issuer = || Issuer::new(ISSUER).algorithms([Algorithm::ES256]).keys(keys.clone());
    let verifier = TokenVerifier::builder().issuer(issuer().allow_missing_audience()).build().unwrap();
    let verdict = |draft: TokenDraft<'_>| {
        code_of(verifier.verify(&BearerToken::new(&draft.sign()).unwrap(), plain.now))
    };
    assert_eq!(verdict(bare(&plain)), "accepted");
    assert_eq!(verdict(bare(&plain).audience("shop")), "token-audience");
    let code = |issuer| TokenVerifier::builder().issuer(issuer).build().unwrap_err().code();
    assert_eq!(code(issuer().audience_from("client_id")), "token-config-no-audience");
    assert_eq!(code(issuer().audience("shop").audience_from("")), "token-config-claim-name");
    assert_eq!(code(issuer().audience("shop").scopes_from("")), "token-config-claim-name");
}

#[test]
fn the_limits_of_a_token_can_be_set_within_bounds() {
    let id = TokenIssuer::new(ISSUER);
    let now = ManualClock::default().now();
    let builder = || {
        let keys = KeySet::from_jwks(&id.jwks()).unwrap();
        let issuer = Issuer::new(ISSUER).audience("shop").algorithms([Algorithm::ES256]).keys(keys);
        TokenVerifier::builder().issuer(issuer)
    };
    let verdict = |verifier: &TokenVerifier, draft: TokenDraft<'_>| {
        code_of(BearerToken::new(&draft.sign()).and_then(|token| verifier.verify(&token, now)))
    };
    let good = || id.token_at(now).audience("shop");
    let filler = |bytes: usize| good().claim("filler", "x".repeat(bytes));
    let wide = |members: usize| {
        let members: serde_json::Map<_, _> = (0..members).map(|n| (format!("m{n}"), 0.into())).collect();
        good().claim("wide", members)
    };
    let deep = |levels: usize| {
        let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        good().claim("deep", serde_json::from_str::<serde_json::Value>(&deep).unwrap())
    };
    let usual = builder().build().unwrap();
    assert_eq!(verdict(&usual, filler(11_000)), "accepted");
    assert_eq!(verdict(&usual, filler(12_500)), "token-too-long");
    assert_eq!(verdict(&usual, wide(1_000)), "accepted");
    assert_eq!(verdict(&usual, wide(1_100)), "token-json");
    assert_eq!(verdict(&usual, deep(31)), "accepted");
    assert_eq!(verdict(&usual, deep(32)), "token-json");
    let large = builder().max_token_bytes(MAX_TOKEN_BYTES).max_claims(16 * 1024).max_nesting(64);
    let large = large.build().unwrap();
    assert_eq!(verdict(&large, filler(48_000)), "accepted");
    assert_eq!(verdict(&large, filler(49_000)), "token-too-long");
    assert_eq!(verdict(&large, wide(4_000)), "accepted");
    assert_eq!(verdict(&large, deep(63)), "accepted");
    assert_eq!(verdict(&large, deep(64)), "token-json");
    let small = builder().max_token_bytes(1024).max_claims(16).max_nesting(4).build().unwrap();
    assert_eq!(verdict(&small, good()), "accepted");
    assert_eq!(verdict(&small, filler(1_000)), "token-too-long");
    assert_eq!(verdict(&small, wide(16)), "token-json");
    assert_eq!(verdict(&small, deep(4)), "token-json");
    for refused in [
        builder().max_token_bytes(MAX_TOKEN_BYTES + 1),
        builder().max_token_bytes(0),
        builder().max_claims(0),
        builder().max_claims(usize::MAX),
        builder().max_nesting(0),
        builder().max_nesting(65),
    ] {
        assert_eq!(refused.build().unwrap_err().code(), "token-config-limit");
    }
}

/// The operator is told what the token had and what was wanted, escaped and cut; never the token,
/// its signature or other claims.
#[test]
fn an_error_says_what_the_token_had_and_what_was_wanted() {
    let setup = Setup::with(Algorithm::ES256, |issuer| issuer.audience("https://shop.example"));
    let draft = || setup.id.token_at(setup.now).subject("s3cr3t").claim("tenant", "s3cr3t");
    let told = |draft: TokenDraft<'_>| {
        let token = draft.sign();
        let text = setup.verify(&token).unwrap_err().to_string();
        assert!(text.chars().all(|c| c.is_ascii_graphic() || c == ' ' || c == '\u{2026}'), "{text}");
        assert!(!text.contains("s3cr3t") && token.split('.').all(|part| !text.contains(part)), "{text}");
        assert!(text.len() < 700, "{text}");
        text
    };
    assert_eq!(
        told(draft().audience("bank")),
        "the token is for `bank`; accepted from the issuer `https://id.example`: tokens for `shop`, `https://shop.example`"
    );
    let many: Vec<String> = (0..50).map(|n| format!("aud\n{n}{}", "x".repeat(200))).collect();
    assert!(told(draft().claim("aud", many)).contains("46 more"));
    let good = || draft().audience("shop");
    let type_told = told(good().typ("logout+jwt"));
    assert!(
        type_told.contains("`logout+jwt`") && type_told.contains("`at+jwt`, `JWT` or none"),
        "{type_told}"
    );
    assert!(told(good().header("alg", "ES512")).contains("`ES512`"));
    let algorithm = told(good().header("alg", "RS256"));
    assert!(algorithm.contains("`RS256`") && algorithm.contains("`ES256`"), "{algorithm}");
    let key = told(good().header("kid", "next\r\n"));
    assert!(key.contains("https://id.example") && key.contains("next"), "{key}");
    let signature = told(good().signed_by_unknown_key());
    assert!(signature.contains("https://id.example") && signature.contains("`test-key`"), "{signature}");
    assert!(told(good().signed_by_unknown_key().without_header("kid")).contains("no key id"));
}

// 34: optional tokens

#[test]
fn an_optional_token_that_is_bad_is_refused_and_never_anonymous() {
    let setup = Setup::new();
    let required = TokenAuthenticator::new(setup.verifier.clone());
    let optional = required.clone().allow_missing_token();
    let verdict = |authenticator: &TokenAuthenticator, value: Option<String>| {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        match authenticator.authenticate(&headers, setup.now) {
            Ok(Some(_)) => "known",
            Ok(None) => "anonymous",
            Err(error) => error.code(),
        }
    };
    assert_eq!(verdict(&required, None), "token-missing");
    assert_eq!(verdict(&optional, None), "anonymous");
    let cases = [
        (format!("Bearer {}", setup.token().sign()), "known"),
        (format!("Bearer {}", setup.token().expired().sign()), "token-expired"),
        (
            format!("Bearer {}", setup.token().claim("iss", "https://evil.example").sign()),
            "token-unknown-issuer",
        ),
        ("Bearer ".into(), "token-malformed-credentials"),
        ("Bearer".into(), "token-malformed-credentials"),
        ("Bearer x".into(), "token-malformed"),
        ("Basic dTpw".into(), "token-not-bearer"),
        (String::new(), "token-not-bearer"),
    ];
    for (value, expected) in cases {
        assert_eq!(verdict(&required, Some(value.clone())), expected, "{value}");
        assert_eq!(verdict(&optional, Some(value)), expected);
    }
}

#[test]
fn a_token_in_two_places_is_refused() {
    let setup = Setup::new();
    let token = setup.token().sign();
    let header_only = TokenAuthenticator::new(setup.verifier.clone());
    let everywhere =
        header_only.clone().or_cookie("session").unwrap().or_websocket_subprotocol("bearer.").unwrap();
    let verdict = |authenticator: &TokenAuthenticator, pairs: &[(&'static str, String)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        code_of(authenticator.authenticate(&headers, setup.now))
    };
    let header = ("authorization", format!("Bearer {token}"));
    let cookie = ("cookie", format!("theme=dark; session={token}"));
    let protocol = ("sec-websocket-protocol", format!("chat, bearer.{token}"));
    for one in [&header, &cookie, &protocol] {
        assert_eq!(verdict(&everywhere, std::slice::from_ref(one)), "accepted");
    }
    assert_eq!(verdict(&header_only, std::slice::from_ref(&cookie)), "token-missing");
    assert_eq!(verdict(&everywhere, &[header.clone(), cookie.clone()]), "token-several");
    assert_eq!(verdict(&everywhere, &[cookie.clone(), protocol.clone()]), "token-several");
    assert_eq!(verdict(&everywhere, &[header.clone(), ("cookie", "session=x".into())]), "token-several");
    assert_eq!(verdict(&header_only, &[header, cookie, protocol]), "accepted");
    for name in ["", "a b", "a=b", "a;b", "a,b", "\u{e9}"] {
        assert_eq!(header_only.clone().or_cookie(name).unwrap_err().code(), "token-config-place");
        assert_eq!(
            header_only.clone().or_websocket_subprotocol(name).unwrap_err().code(),
            "token-config-place"
        );
    }
}

// 35: audience

#[test]
fn a_token_for_another_audience_is_refused() {
    let setup = Setup::with(Algorithm::ES256, |issuer| issuer.audience("https://shop.example"));
    let bare = || setup.id.token_at(setup.now);
    setup.accepts(bare().audience("https://shop.example"));
    setup.accepts(bare().audience("bank").audience("shop"));
    setup.refuses(bare(), "token-missing-claim");
    for other in ["bank", "Shop", "shop/", "https://shop.example/"] {
        setup.refuses(bare().audience(other), "token-audience");
    }
    setup.refuses(bare().claim("aud", ["", "shop"]), "token-claim-form");
    setup.refuses(bare().claim("aud", [["shop"]]), "token-claim-form");
    setup.refuses(bare().claim("aud", (0, "shop")), "token-claim-form");
}

#[test]
fn an_issuer_without_an_audience_does_not_build() {
    let id = TokenIssuer::new(ISSUER);
    let issuer =
        || Issuer::new(ISSUER).algorithms([Algorithm::ES256]).keys(KeySet::from_jwks(&id.jwks()).unwrap());
    for issuer in [issuer(), issuer().audience("")] {
        let error = TokenVerifier::builder().issuer(issuer).build().unwrap_err();
        assert_eq!(error.code(), "token-config-no-audience");
    }
}

// 36-38: header members

#[test]
fn a_key_id_is_a_name_in_a_map_and_nothing_else() {
    let setup = Setup::new();
    for id in ["../../etc/passwd", "' OR 1=1 --", "test-key\n", "TEST-KEY", "| curl evil.example"] {
        setup.refuses(setup.token().header("kid", id), "token-unknown-key");
    }
    let shown = setup.verify(&setup.token().header("kid", "a\r\nb\u{1b}[0m").sign()).unwrap_err().to_string();
    assert!(shown.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{shown}");
    setup.refuses(setup.token().header("kid", "k".repeat(257)), "token-key-id-too-long");
    setup.refuses(setup.token().header("kid", "nul\0"), "token-json");
    setup.refuses(setup.token().header("kid", 1), "token-header-form");
    setup.refuses(setup.token().header("kid", ""), "token-header-form");
    setup.accepts(setup.token().without_header("kid"));
}

#[test]
fn a_token_without_a_key_id_needs_the_issuer_to_have_one_key_only() {
    let one = TokenIssuer::new(ISSUER).key_id("1");
    let two = TokenIssuer::new(ISSUER).key_id("2");
    let setup = Setup::new();
    setup.keys.replace(KeySet::from_jwks(&TokenIssuer::jwks_of(&[&one, &two])).unwrap());
    let token = |issuer: &TokenIssuer| issuer.token_at(setup.now).audience("shop").sign();
    assert_eq!(code_of(setup.verify(&token(&two))), "accepted");
    let bare = two.token_at(setup.now).audience("shop").without_header("kid").sign();
    assert_eq!(code_of(setup.verify(&bare)), "token-ambiguous-key");
}

#[test]
fn two_keys_of_one_id_refuse_only_the_tokens_that_mean_two() {
    let one = TokenIssuer::with_algorithm(ISSUER, Algorithm::RS256);
    let (ec, namesake) = (TokenIssuer::new(ISSUER), TokenIssuer::with_algorithm(ISSUER, Algorithm::RS256));
    let keys = |ids: &[&TokenIssuer]| KeySet::from_jwks(&TokenIssuer::jwks_of(ids)).unwrap();
    let setup = Setup::with(Algorithm::RS256, |issuer| {
        let several = issuer.algorithms([Algorithm::ES256]).allow_several_families();
        several.keys(keys(&[&one, &ec, &one]))
    });
    let verdict = |id: &TokenIssuer, verifier: &TokenVerifier| {
        let token = id.token_at(setup.now).audience("shop").sign();
        code_of(verifier.verify(&BearerToken::new(&token).unwrap(), setup.now))
    };
    assert_eq!(verdict(&one, &setup.verifier), "accepted");
    assert_eq!(verdict(&ec, &setup.verifier), "accepted");
    assert_eq!(verdict(&namesake, &setup.verifier), "token-signature");
    let handle = KeyStore::new(keys(&[&one, &ec]));
    let issuer = Issuer::new(ISSUER).audience("shop").algorithms([Algorithm::RS256, Algorithm::ES256]);
    let issuer = issuer.allow_several_families().keys(handle.clone());
    let verifier = TokenVerifier::builder().issuer(issuer).build().unwrap();
    let token = one.token_at(setup.now).audience("shop").sign();
    let claims = verifier.verify(&BearerToken::new(&token).unwrap(), setup.now).unwrap();
    // Claims that were verified before mean no more than a token that comes now.
    handle.replace(keys(&[&one, &ec, &namesake]));
    assert_eq!(code_of(claims.recheck(setup.now)), "token-ambiguous-key");
    for id in [&one, &namesake] {
        assert_eq!(verdict(id, &verifier), "token-ambiguous-key");
    }
    assert_eq!(verdict(&ec, &verifier), "accepted");
    handle.replace(keys(&[&one]));
    assert!(claims.is_valid_at(setup.now));
}

/// The `iss` chooses the keys: under one `kid`, the keys of one issuer check no token of another.
#[test]
fn a_key_of_one_issuer_checks_no_token_of_another_under_the_same_id() {
    let (a, b) = (TokenIssuer::new("https://a.example"), TokenIssuer::new("https://b.example"));
    let issuer = |id: &TokenIssuer| {
        let keys = KeySet::from_jwks(&id.jwks()).unwrap();
        Issuer::new(id.name()).audience("shop").algorithms([Algorithm::ES256]).keys(keys)
    };
    let verifier = TokenVerifier::builder().issuer(issuer(&a)).issuer(issuer(&b)).build().unwrap();
    let now = ManualClock::default().now();
    for (signer, iss, expected) in [
        (&a, a.name(), "accepted"),
        (&b, b.name(), "accepted"),
        (&a, b.name(), "token-signature"),
        (&b, a.name(), "token-signature"),
    ] {
        for named in [true, false] {
            let token = signer.token_at(now).audience("shop").claim("iss", iss);
            let token = if named { token } else { token.without_header("kid") }.sign();
            assert_eq!(code_of(verifier.verify(&BearerToken::new(&token).unwrap(), now)), expected);
        }
    }
}

#[test]
fn a_key_id_whose_entry_is_not_used_says_why() {
    let setup = Setup::new();
    let mut set: serde_json::Value = serde_json::from_slice(&setup.id.jwks()).unwrap();
    let mut private = set["keys"][0].clone();
    (private["kid"], private["d"]) = ("other".into(), "AA".into());
    set["keys"].as_array_mut().unwrap().push(private);
    setup.keys.replace(KeySet::from_jwks(set.to_string().as_bytes()).unwrap());
    let error = setup.verify(&setup.token().header("kid", "other").sign()).unwrap_err();
    assert_eq!(error.code(), "token-unknown-key");
    assert!(error.to_string().contains("private key"), "{error}");
    setup.accepts(setup.token());
}

#[test]
fn keys_in_the_header_are_never_used() {
    let setup = Setup::new();
    let stranger = TokenIssuer::new(ISSUER);
    let set: serde_json::Value = serde_json::from_slice(&stranger.jwks()).unwrap();
    let forged = || setup.token().signed_by(&stranger);
    setup.refuses(forged().header("jwk", &set["keys"][0]), "token-signature");
    // Nothing here could open a connection: the verifier has no I/O.
    setup.refuses(forged().header("jku", "http://127.0.0.1:9/jwks"), "token-signature");
    setup.refuses(forged().header("x5u", "http://127.0.0.1:9/chain"), "token-signature");
    setup.refuses(forged().header("x5c", ["AAAA"]), "token-signature");
    setup.accepts(setup.token().header("jku", "https://id.example/jwks").header("x5t", "abc"));
}

#[test]
fn critical_extensions_are_refused_before_the_key_is_looked_up() {
    let setup = Setup::new();
    for critical in [&["exp"][..], &[], &["b64"], &["x", "x"], &["urn:unknown"]] {
        setup.refuses(setup.token().critical(critical).header("kid", "unknown"), "token-critical-header");
    }
    setup.refuses(setup.token().header("crit", "exp"), "token-critical-header");
    setup.refuses(setup.token().header("crit", ()), "token-critical-header");
}

// 39, 40: kinds of tokens

#[test]
fn a_token_of_another_kind_is_refused() {
    let setup = Setup::new();
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt", "APPLICATION/AT+JWT"] {
        setup.accepts(setup.token().typ(typ));
    }
    setup.accepts(setup.token().without_header("typ"));
    for typ in ["logout+jwt", "secevent+jwt", "dpop+jwt", "JOSE", "at+jwt ", "application/"] {
        setup.refuses(setup.token().typ(typ), "token-type");
    }
    setup.refuses(setup.token().header("typ", ["JWT"]), "token-header-form");

    let strict = Setup::with(Algorithm::ES256, |issuer| issuer.types(["at+jwt"]));
    strict.accepts(strict.token().typ("at+jwt"));
    strict.refuses(strict.token(), "token-type");
    strict.refuses(strict.token().without_header("typ"), "token-type");
    // JWT-SVID section 2.3.
    let svid = Setup::with(Algorithm::ES256, |issuer| issuer.types(["JWT", "JOSE"]).allow_missing_type());
    for token in [svid.token(), svid.token().typ("JOSE"), svid.token().without_header("typ")] {
        svid.accepts(token);
    }
    for token in [svid.token().typ("at+jwt"), svid.token().typ("logout+jwt")] {
        svid.refuses(token, "token-type");
    }
    svid.refuses(svid.token().header("typ", ()), "token-header-form");
    let usual = Setup::with(Algorithm::ES256, |issuer| issuer.allow_missing_type());
    usual.refuses(usual.token().typ("logout+jwt"), "token-type");
}

#[test]
fn a_token_of_one_issuer_never_passes_as_anothers_with_the_same_keys() {
    let id = TokenIssuer::new("https://a.example");
    let keys = KeySet::from_jwks(&id.jwks()).unwrap();
    let issuer = |name: &str, audience: &str, typ: &str| {
        Issuer::new(name).audience(audience).algorithms([Algorithm::ES256]).types([typ]).keys(keys.clone())
    };
    let verifier = TokenVerifier::builder()
        .issuer(issuer("https://a.example", "shop", "at+jwt"))
        .issuer(issuer("https://b.example", "bank", "JWT"))
        .build()
        .unwrap();
    let now = ManualClock::default().now();
    let verdict = |name: &str, audience: &str, typ: &str| {
        let token = id.token_at(now).claim("iss", name).audience(audience).typ(typ).sign();
        code_of(verifier.verify(&BearerToken::new(&token).unwrap(), now))
    };
    assert_eq!(verdict("https://a.example", "shop", "at+jwt"), "accepted");
    assert_eq!(verdict("https://b.example", "bank", "JWT"), "accepted");
    assert_eq!(verdict("https://a.example", "bank", "at+jwt"), "token-audience");
    assert_eq!(verdict("https://b.example", "shop", "JWT"), "token-audience");
    assert_eq!(verdict("https://a.example", "shop", "JWT"), "token-type");
}

#[test]
fn an_issuers_key_signs_for_that_issuer_only() {
    let a = TokenIssuer::new("https://a.example");
    let b = TokenIssuer::new("https://b.example");
    let issuer = |id: &TokenIssuer| {
        Issuer::new(id.name())
            .audience("shop")
            .algorithms([Algorithm::ES256])
            .keys(KeySet::from_jwks(&id.jwks()).unwrap())
    };
    let verifier = TokenVerifier::builder().issuer(issuer(&a)).issuer(issuer(&b)).build().unwrap();
    let now = ManualClock::default().now();
    let cross = a.token_at(now).audience("shop").signed_by(&b).sign();
    assert_eq!(code_of(verifier.verify(&BearerToken::new(&cross).unwrap(), now)), "token-signature");
    let twice = TokenVerifier::builder().issuer(issuer(&a)).issuer(issuer(&a)).build().unwrap_err();
    assert_eq!(twice.code(), "token-config-duplicate-issuer");
}

#[test]
fn the_first_issuer_of_a_verifier_is_the_home_issuer_and_no_other() {
    let (a, b) = (TokenIssuer::new("https://a.example"), TokenIssuer::new("https://b.example"));
    let issuer = |id: &TokenIssuer| {
        let keys = KeySet::from_jwks(&id.jwks()).unwrap();
        Issuer::new(id.name()).audience("shop").algorithms([Algorithm::ES256]).keys(keys)
    };
    let now = ManualClock::default().now();
    for (first, second) in [(&a, &b), (&b, &a)] {
        let verifier = TokenVerifier::builder().issuer(issuer(first)).issuer(issuer(second)).build().unwrap();
        for (id, home) in [(first, true), (second, false)] {
            let token = id.token_at(now).audience("shop").sign();
            let claims = verifier.verify(&BearerToken::new(&token).unwrap(), now).unwrap();
            assert_eq!((claims.issuer(), claims.is_home_issuer()), (id.name(), home));
        }
    }
}

// 41: time

#[test]
fn a_token_is_valid_from_nbf_until_exp_and_not_a_second_longer() {
    let setup = Setup::new();
    let token = setup.token().not_before_in(seconds(20)).expires_in(seconds(60)).sign();
    let at = |offset| code_of(setup.verify_at(&token, setup.now + seconds(offset)));
    assert_eq!(at(14), "token-not-yet-valid");
    assert_eq!(at(15), "accepted");
    assert_eq!(at(59), "accepted");
    assert_eq!(at(60), "token-expired");
    assert_eq!(at(1 << 40), "token-expired");
    let just_before = setup.now + seconds(59) + Duration::from_millis(999);
    assert_eq!(code_of(setup.verify_at(&token, just_before)), "accepted");
    setup.refuses(setup.token().without_claim("exp"), "token-missing-claim");
    setup.refuses(setup.token().expired(), "token-expired");
}

#[test]
fn a_token_from_the_future_is_refused_beyond_the_clock_skew() {
    let setup = Setup::new();
    let now = unix(setup.now);
    setup.accepts(setup.token().claim("iat", now + 5));
    setup.refuses(setup.token().claim("iat", now + 6), "token-issued-in-future");
    let exact = Setup::with(Algorithm::ES256, |issuer| issuer.clock_skew(Duration::ZERO));
    exact.refuses(exact.token().claim("iat", now + 1), "token-issued-in-future");
    exact.refuses(exact.token().claim("nbf", now + 1), "token-not-yet-valid");
}

#[test]
fn a_fraction_of_a_second_is_rounded_to_the_strict_side() {
    let setup = Setup::new();
    let now = unix(setup.now);
    let at = |offset: f64| now as f64 + offset;
    let token = setup.token().claim("exp", at(59.9)).sign();
    assert_eq!(code_of(setup.verify_at(&token, setup.now + seconds(58))), "accepted");
    assert_eq!(code_of(setup.verify_at(&token, setup.now + seconds(59))), "token-expired");
    setup.accepts(setup.token().claim("nbf", at(4.5)).claim("iat", at(4.5)));
    setup.refuses(setup.token().claim("nbf", at(5.1)), "token-not-yet-valid");
    setup.refuses(setup.token().claim("iat", at(5.1)), "token-issued-in-future");
}

#[test]
fn lifetime_and_age_are_bounded() {
    let setup = Setup::new();
    let day = 24 * 60 * 60;
    setup.accepts(setup.token().expires_in(seconds(day)));
    setup.refuses(setup.token().expires_in(seconds(day + 1)), "token-lifetime");
    setup.refuses(setup.token().without_claim("iat").expires_in(seconds(day + 1)), "token-lifetime");
    setup.refuses(setup.token().claim("exp", 253_402_300_799_u64), "token-lifetime");
    setup.refuses(setup.token().claim("exp", u64::MAX), "token-claim-form");
    let aging = Setup::with(Algorithm::ES256, |issuer| issuer.max_age(seconds(30)));
    let token = aging.token().sign();
    assert_eq!(code_of(aging.verify_at(&token, aging.now + seconds(29))), "accepted");
    assert_eq!(code_of(aging.verify_at(&token, aging.now + seconds(30))), "token-too-old");
    assert_eq!(aging.verify(&token).unwrap().valid_until(), aging.now + seconds(30));
    aging.refuses(aging.token().without_claim("iat"), "token-missing-claim");
}

#[test]
fn leeway_is_added_only_where_it_is_asked_for_and_is_bounded() {
    let lenient = Setup::with(Algorithm::ES256, |issuer| issuer.leeway(seconds(10)));
    let token = lenient.token().expires_in(seconds(60)).sign();
    assert_eq!(code_of(lenient.verify_at(&token, lenient.now + seconds(69))), "accepted");
    assert_eq!(code_of(lenient.verify_at(&token, lenient.now + seconds(70))), "token-expired");
    let build = |issuer: Issuer| {
        let issuer = issuer.audience("shop").algorithms([Algorithm::HS256]).hmac_secret(&[7; 32]);
        TokenVerifier::builder().issuer(issuer).build().map(drop).map_err(|error| error.code())
    };
    assert_eq!(build(Issuer::new(ISSUER).leeway(seconds(300)).clock_skew(seconds(300))), Ok(()));
    assert_eq!(build(Issuer::new(ISSUER).leeway(seconds(301))), Err("token-config-leeway"));
    assert_eq!(build(Issuer::new(ISSUER).clock_skew(Duration::MAX)), Err("token-config-leeway"));
    assert_eq!(build(Issuer::new(ISSUER).max_lifetime(Duration::ZERO)), Err("token-config-accepts-nothing"));
    assert_eq!(build(Issuer::new(ISSUER).max_lifetime(Duration::MAX).max_age(Duration::MAX)), Ok(()));
}

#[test]
fn a_clock_that_steps_back_or_is_broken_lets_nothing_in() {
    let setup = Setup::new();
    let token = setup.token().sign();
    let claims = setup.verify(&token).unwrap();
    assert!(claims.is_valid_at(setup.now));
    assert_eq!(code_of(claims.recheck(setup.now - seconds(6))), "token-issued-in-future");
    assert_eq!(code_of(setup.verify_at(&token, UNIX_EPOCH)), "token-issued-in-future");
    assert_eq!(code_of(setup.verify_at(&token, UNIX_EPOCH - seconds(1))), "token-clock");
    assert_eq!(code_of(claims.recheck(UNIX_EPOCH - seconds(1))), "token-clock");
}

#[test]
fn verified_claims_expire() {
    let setup = Setup::new();
    let claims = setup.accepts(setup.token());
    assert!(claims.is_valid_at(setup.now + seconds(299)));
    assert_eq!(code_of(claims.recheck(setup.now + seconds(300))), "token-expired");
}

#[test]
fn required_claims_must_be_there_and_not_null() {
    let setup = Setup::with(Algorithm::ES256, |issuer| issuer.require_claim("tenant"));
    setup.accepts(setup.token().claim("tenant", "acme"));
    setup.refuses(setup.token(), "token-missing-claim");
    setup.refuses(setup.token().claim("tenant", ()), "token-missing-claim");
}

// 44: rotation

#[tokio::test]
async fn a_key_that_is_not_there_is_told_to_who_fetches_keys() {
    let setup = Setup::new();
    let next = TokenIssuer::new(ISSUER).key_id("next");
    let new_token = next.token_at(setup.now).audience("shop").sign();
    let mut waits = tokio_test::task::spawn(setup.keys.missed(0));
    // Tokens that are good, that are bad in another way, and that are of another issuer.
    setup.accepts(setup.token());
    setup.refuses(setup.token().claim("nbf", unix(setup.now) + 3600), "token-not-yet-valid");
    let other = TokenIssuer::new("https://other.example").key_id("next");
    assert_eq!(code_of(setup.verify(&other.token_at(setup.now).sign())), "token-unknown-issuer");
    assert!(waits.poll().is_pending());

    for _ in 0..3 {
        assert_eq!(code_of(setup.verify(&new_token)), "token-unknown-key");
    }
    assert!(waits.is_woken());
    assert_eq!(waits.await, 3);
    let pending = |since| tokio_test::task::spawn(setup.keys.missed(since)).poll().is_pending();
    assert!(pending(3), "it is told once");

    // Whoever waits for keys learns of the new ones.
    let (generation, _) = tokio::join!(setup.keys.changed(1), async {
        setup.keys.replace(KeySet::from_jwks(&next.jwks()).unwrap())
    });
    assert_eq!(generation, 2);
    assert_eq!(code_of(setup.verify(&new_token)), "accepted");
    assert!(pending(3));
}

#[test]
fn a_key_that_was_taken_out_is_refused_at_once_and_one_that_stays_is_not() {
    let setup = Setup::new();
    let next = TokenIssuer::new(ISSUER).key_id("next");
    let old_token = setup.token().sign();
    let new_token = next.token_at(setup.now).audience("shop").sign();
    let old = setup.verify(&old_token).unwrap();
    assert_eq!(code_of(setup.verify(&new_token)), "token-unknown-key");
    assert_eq!(old.generation(), 1);

    let both = KeySet::from_jwks(&TokenIssuer::jwks_of(&[&setup.id, &next])).unwrap();
    assert_eq!(setup.keys.replace(both), 2);
    let new = setup.verify(&new_token).unwrap();
    assert_eq!(code_of(setup.verify(&old_token)), "accepted");
    assert!(old.is_valid_at(setup.now));
    assert_eq!(new.generation(), setup.keys.generation());

    setup.keys.replace(KeySet::from_jwks(&next.jwks()).unwrap());
    assert_eq!(code_of(setup.verify(&old_token)), "token-unknown-key");
    assert_eq!(code_of(old.recheck(setup.now)), "token-key-retired");
    assert!(new.is_valid_at(setup.now));

    setup.keys.replace(KeySet::empty());
    assert_eq!(code_of(setup.verify(&new_token)), "token-unknown-key");
    assert_eq!(code_of(new.recheck(setup.now)), "token-key-retired");
}

#[test]
fn another_key_under_the_same_id_does_not_keep_old_claims_alive() {
    let setup = Setup::new();
    let claims = setup.accepts(setup.token());
    let successor = TokenIssuer::new(ISSUER);
    setup.keys.replace(KeySet::from_jwks(&successor.jwks()).unwrap());
    assert_eq!(code_of(claims.recheck(setup.now)), "token-key-retired");
}

/// The key is there, and the token could not be verified by it any more.
#[test]
fn a_remembered_token_goes_when_its_key_is_given_another_name_or_another_algorithm() {
    let setup =
        Setup::with(Algorithm::RS256, |issuer| issuer.algorithms([Algorithm::RS256, Algorithm::PS256]));
    let token = setup.token().sign();
    let authenticator = TokenAuthenticator::new(setup.verifier.clone());
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    let remembered = || authenticator.authenticate(&headers, setup.now).map(Option::unwrap);
    for (member, other, code) in
        [("kid", "another", "token-unknown-key"), ("alg", "PS256", "token-key-algorithm")]
    {
        setup.keys.replace(KeySet::from_jwks(&setup.id.jwks()).unwrap());
        assert!(remembered().is_ok());
        let mut set: serde_json::Value = serde_json::from_slice(&setup.id.jwks()).unwrap();
        *set.pointer_mut("/keys/0").and_then(|key| key.get_mut(member)).unwrap() = other.into();
        setup.keys.replace(KeySet::from_jwks(set.to_string().as_bytes()).unwrap());
        assert_eq!(code_of(setup.verify(&token)), code, "afresh");
        assert_eq!(code_of(remembered()), code);
    }
}

// 29: secrets

#[test]
fn short_secrets_are_refused_by_configuration() {
    for (algorithm, least) in [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)] {
        let build = |len: usize| {
            let issuer =
                Issuer::new(ISSUER).audience("shop").algorithms([algorithm]).hmac_secret(&vec![7; len]);
            TokenVerifier::builder().issuer(issuer).build().map(drop).map_err(|error| error.code())
        };
        assert_eq!(build(least), Ok(()));
        assert_eq!(build(least - 1), Err("token-config-short-secret"));
        assert_eq!(build(0), Err("token-config-short-secret"));
    }
}

// 27: nothing unverified decides

#[test]
fn no_claim_of_an_unverified_token_changes_the_refusal() {
    let setup = Setup::new();
    let stranger = TokenIssuer::new(ISSUER);
    let drafts: [fn(TokenDraft<'_>) -> TokenDraft<'_>; 8] = [
        |token| token,
        |token| token.expired(),
        |token| token.claim("aud", "bank"),
        |token| token.claim("exp", "never"),
        |token| token.claim("sub", 1),
        |token| token.without_claim("aud"),
        |token| token.claim("nbf", u64::MAX),
        |token| token.typ("logout+jwt"),
    ];
    let first = setup.verify(&setup.token().signed_by(&stranger).sign()).unwrap_err().to_string();
    for draft in drafts {
        let error = setup.verify(&draft(setup.token()).signed_by(&stranger).sign()).unwrap_err();
        assert_eq!((error.code(), error.to_string()), ("token-signature", first.clone()));
    }
}

// 45: what the caller can tell apart

#[test]
fn faults_of_a_token_are_one_kind_to_the_caller() {
    let setup = Setup::new();
    let faults = [
        setup.token().signed_by_unknown_key(),
        setup.token().header("kid", "unknown"),
        setup.token().claim("aud", "bank"),
        setup.token().expired(),
        setup.token().claim("iss", "https://evil.example"),
        setup.token().critical(&["x"]),
    ];
    for fault in faults {
        assert_eq!(setup.verify(&fault.sign()).unwrap_err().kind(), TokenErrorKind::InvalidToken);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any change of one byte is noticed, and whatever is sent, nothing panics.
    #[test]
    fn a_changed_token_is_refused(at in any::<proptest::sample::Index>(), byte in 0x21_u8..0x7f) {
        let setup = Setup::new();
        let token = setup.token().sign();
        let mut changed = token.clone().into_bytes();
        let at = at.index(changed.len());
        prop_assume!(changed[at] != byte);
        changed[at] = byte;
        let changed = String::from_utf8(changed).unwrap();
        prop_assert_ne!(code_of(setup.verify(&changed)), "accepted");
    }

    #[test]
    fn no_text_panics(text in r"[A-Za-z0-9_.=-]{0,200}", claims in r#"[{}\[\]:",a-z0-9\\ ]{0,60}"#) {
        let setup = Setup::new();
        prop_assert_ne!(code_of(setup.verify(&text)), "accepted");
        prop_assert_ne!(code_of(setup.verify(&setup.token().raw_claims(claims).sign())), "accepted");
    }
}

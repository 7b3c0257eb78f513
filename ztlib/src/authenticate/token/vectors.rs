//! Wycheproof's JOSE vectors: every case as its authors expect, or on the list of exceptions with a
//! reason.
//!
//! They are no tokens (their payload is "foo"), so what is run is the part below the claims: the
//! form, the choice of the key, the signature. `ZTLIB_VECTORS` names the folder that holds `jose/`;
//! with it set, a missing file is a failure.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::algorithm::Algorithm;
use super::jws::Jws;
use super::keys::KeySet;
use super::limits::TokenLimits;

/// Where ztlib and the file differ, and why. A case that agrees again must leave the list.
const EXCEPTIONS: [(&str, u64, &str); 9] = [
    (
        "json_web_signature_test.json",
        346,
        "the key says PS256 and the token PS384: a key is for its own `alg` alone",
    ),
    (
        "json_web_signature_test.json",
        350,
        "the key says PS256 and the token PS384: a key is for its own `alg` alone",
    ),
    ("json_web_signature_test.json", 347, "ES512 is not supported"),
    ("json_web_signature_test.json", 351, "ES512 is not supported"),
    (
        "json_web_signature_test.json",
        370,
        "the text of this case is a right token: its payload is canonical base64url without padding",
    ),
    ("json_web_signature_test.json", 372, "a character outside of base64url is refused, not skipped"),
    ("json_web_signature_test.json", 373, "a character outside of base64url is refused, not skipped"),
    ("json_web_crypto_test.json", 50, "encrypted tokens are refused"),
    ("json_web_crypto_test.json", 67, "encrypted tokens are refused"),
];

/// What an issuer might be configured with, HMAC apart: those keys come from `from_secret_jwks`.
const PUBLIC: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
const SECRET: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

#[test]
fn wycheproof_keys_agree_without_exception() {
    assert_eq!(run("json_web_key_test.json"), Some(26).filter(|_| folder().is_some()));
}

#[test]
fn wycheproof_signatures_agree_save_for_the_exceptions() {
    assert_eq!(run("json_web_signature_test.json"), Some(255).filter(|_| folder().is_some()));
}

#[test]
fn wycheproof_crypto_agrees_save_for_encrypted_tokens() {
    assert_eq!(run("json_web_crypto_test.json"), Some(54).filter(|_| folder().is_some()));
}

fn folder() -> Option<PathBuf> {
    std::env::var_os("ZTLIB_VECTORS").map(PathBuf::from)
}

/// Runs a file and returns the number of its cases.
fn run(file: &str) -> Option<usize> {
    let Some(folder) = folder() else {
        println!("skipped: ZTLIB_VECTORS does not name the folder of the vectors");
        return None;
    };
    let text =
        std::fs::read(folder.join("jose").join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let vectors: Value = serde_json::from_slice(&text).unwrap();
    let mut cases = 0;
    let mut wrong = Vec::new();
    for group in vectors["testGroups"].as_array().unwrap() {
        for case in group["tests"].as_array().unwrap() {
            cases += 1;
            let id = case["tcId"].as_u64().unwrap();
            let expected = case["result"] == "valid";
            let verdict = judge(group, case);
            let exception = EXCEPTIONS.iter().find(|(of, number, _)| *of == file && *number == id);
            match (verdict.is_ok() == expected, exception) {
                (true, None) | (false, Some(_)) => {}
                (true, Some((_, _, reason))) => {
                    wrong.push(format!("{id} agrees now, yet is listed: {reason}"))
                }
                (false, None) => wrong.push(format!("{id} {}: {verdict:?}", case["comment"])),
            }
        }
    }
    assert!(wrong.is_empty(), "{file}:\n{}", wrong.join("\n"));
    Some(cases)
}

fn judge(group: &Value, case: &Value) -> Result<(), &'static str> {
    let key = [&group["public"], &group["private"]].into_iter().find(|key| !key.is_null()).unwrap();
    let key = key.as_str().map_or_else(|| key.clone(), |text| serde_json::from_str(text).unwrap());
    let set = if key.get("keys").is_some() { key } else { json!({ "keys": [key] }) };
    let has_secrets = set["keys"].as_array().unwrap().iter().any(|key| key["kty"] == "oct");
    let text = set.to_string();
    let keys = if has_secrets {
        KeySet::from_secret_jwks(text.as_bytes())
    } else {
        KeySet::from_jwks(text.as_bytes())
    };
    let keys = keys.map_err(|error| error.code())?;
    let algorithms = if has_secrets { &SECRET[..] } else { &PUBLIC[..] };
    let token = [&case["jws"], &case["jwe"]].into_iter().find(|token| !token.is_null()).unwrap();
    let token = token.as_str().map_or_else(|| token.to_string(), str::to_owned);
    let jws = Jws::parse(&token, TokenLimits::DEFAULT).map_err(|error| error.code())?;
    jws.verify("issuer", &keys, algorithms).map(drop).map_err(|error| error.code())
}

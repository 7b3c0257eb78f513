//! Tokens and key sets as public bug reports describe them, each as it should be judged. The folder
//! comes from `ZTLIB_VECTORS`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test"
)]

mod support;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value as Json;
use ztlib::authenticate::Principal;
use ztlib::authenticate::token::{Algorithm, BearerToken, Issuer, KeySet, TokenVerifier, VerifiedClaims};
use ztlib::authorize::{Answer, Labels, Read, Value};
use ztlib::enforce::Guard;
use ztlib_testing::ManualClock;

use support::deciding;

/// `None` where the variable is not set: the cases are not part of the repository.
fn cases() -> Option<Vec<Json>> {
    let Some(folder) = std::env::var_os("ZTLIB_VECTORS") else {
        eprintln!("SKIPPED: ZTLIB_VECTORS is not set");
        return None;
    };
    let path = PathBuf::from(folder).join("field").join("cases.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let cases: Vec<Json> = serde_json::from_str(&text).unwrap();
    Some(cases.into_iter().filter(|case| case["kind"] == "token").collect())
}

fn algorithm(name: &str) -> Algorithm {
    let all = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];
    all.into_iter().find(|algorithm| algorithm.name() == name).unwrap()
}

struct Case<'c> {
    json: &'c Json,
    now: SystemTime,
}

impl<'c> Case<'c> {
    fn new(json: &'c Json) -> Self {
        let now = UNIX_EPOCH + Duration::from_secs(json["now"].as_u64().unwrap());
        Self { json, now }
    }

    fn texts(&self, name: &str) -> Vec<&'c str> {
        self.json[name].as_array().into_iter().flatten().map(|text| text.as_str().unwrap()).collect()
    }

    /// The issuer as the case has it, without any setting.
    fn issuer(&self) -> Issuer {
        let keys = KeySet::from_jwks(self.json["jwks"].as_str().unwrap().as_bytes()).unwrap();
        let algorithms = self.texts("algs").into_iter().map(algorithm);
        let issuer = Issuer::new(self.json["issuer"].as_str().unwrap()).algorithms(algorithms).keys(keys);
        self.texts("audience").into_iter().fold(issuer, Issuer::audience)
    }

    fn verifier(&self, terms: impl FnOnce(Issuer) -> Issuer) -> TokenVerifier {
        TokenVerifier::builder().issuer(terms(self.issuer())).build().unwrap()
    }

    fn judge(&self, terms: impl FnOnce(Issuer) -> Issuer) -> Result<VerifiedClaims, &'static str> {
        let token = BearerToken::new(self.json["token"].as_str().unwrap()).map_err(|error| error.code())?;
        self.verifier(terms).verify(&token, self.now).map_err(|error| error.code())
    }

    /// What a policy is told that asks this about the caller: yes, no, or the code of the fault.
    fn asked(&self, terms: fn(Issuer) -> Issuer, claims: &VerifiedClaims, read: Read) -> String {
        let policies = deciding(move |question, outcome| {
            if question.read(read.clone())? == Value::Bool(true) {
                return Ok(Answer::Allow);
            }
            outcome.reason("no-role")?;
            Ok(Answer::Deny)
        });
        let guard = Guard::builder().allow_unauthenticated_peers();
        let guard = guard.tokens(ztlib::authenticate::token::TokenAuthenticator::new(self.verifier(terms)));
        let guard = guard.policies(policies).clock(ManualClock::new(self.now)).build();
        match guard.ask(&Principal::new(None, Some(claims.clone())), "read", Labels::new()) {
            Ok(_) => "yes".to_owned(),
            Err(refusal) if refusal.cause().code() == "no-role" => "no".to_owned(),
            Err(refusal) => refusal.cause().code().to_owned(),
        }
    }
}

#[test]
fn every_token_of_the_field_is_judged_as_it_should_be() {
    let Some(cases) = cases() else { return };
    assert!(cases.len() >= 13, "{} cases", cases.len());
    for json in &cases {
        let (case, name) = (Case::new(json), json["name"].as_str().unwrap());
        let terms: fn(Issuer) -> Issuer = match name.split(' ').next().unwrap() {
            "T2a" | "T2b" => |issuer| issuer.scopes_from("scp"),
            "T3" => {
                assert_eq!(case.judge(|issuer| issuer).map(drop), Err("token-missing-claim"), "{name}");
                |issuer| issuer.audience_from("client_id")
            }
            _ => |issuer| issuer,
        };
        let claims = case.judge(terms).unwrap_or_else(|code| panic!("{name}: {code}"));
        for scope in case.texts("ask_scopes") {
            assert_eq!(claims.has_scope(scope), Ok(true), "{name}");
            assert_eq!(case.asked(terms, &claims, Read::HasScope(scope.into())), "yes", "{name}");
            let other = Read::HasScope(format!("{scope}x").into());
            assert_eq!(case.asked(terms, &claims, other), "no", "{name}");
        }
        match name.split(' ').next().unwrap() {
            "T4c" => {
                assert_eq!(case.asked(terms, &claims, Read::AcrIs("1".into())), "read-wrong-type");
            }
            "T4d" => {
                assert_eq!(claims.acr(), Ok(None));
                assert_eq!(case.asked(terms, &claims, Read::AcrIs("1".into())), "no");
            }
            _ => {}
        }
    }
}

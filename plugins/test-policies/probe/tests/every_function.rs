//! The configuration of `compat/` calls every function of the contract, and what each gives is known.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use ztlib_policy::testing::{Facts, StepUp, decide};
use ztlib_policy::{Answer, Policy};
use ztlib_probe::Probe;

const CONFIG: &str = include_str!("../../../compat/every-function.json");
const LOG: &str = include_str!("../../../compat/every-function.log");
const WIT: &str = include_str!("../../../sdk/wit/policy.wit");

fn facts() -> Facts {
    Facts::request("GET", "/orders/7")
        .host("shop.test")
        .route("/orders/{id}")
        .param("id", "7")
        .header("accept", "text/html")
        .header("x-tag", "a")
        .header("x-tag", "b")
        .query("page", "2")
        .label("owner", "alice")
        .peer("spiffe://shop.example/ns/prod/sa/web")
        .token(
            r#"{"iss": "https://issuer.test", "sub": "alice", "aud": "shop", "scope": "orders:write orders:read",
                "roles": ["clerk"], "level": 3, "staff": true, "auth_time": 1795391900, "amr": ["mfa"], "acr": "gold",
                "until": 1795392001}"#,
        )
        .remote_ip("10.1.2.3")
        .now(1_795_392_000)
        .signal("risk", "3")
        .document("roles", r#"{"users": {"alice": ["clerk"]}, "name": "shop"}"#)
}

#[test]
fn every_function_of_the_contract_is_called() {
    let in_contract: BTreeSet<&str> = WIT
        .lines()
        .filter_map(|line| line.trim().split_once(": func("))
        .map(|(name, _)| name.trim_start_matches('%'))
        // Constants are not facts: they are the SDK's own affair.
        .filter(|name| !["configure", "decide", "put", "seal", "get"].contains(name))
        .collect();
    let called: BTreeSet<&str> =
        CONFIG.split("\"call\": \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(called, in_contract);
}

#[test]
fn each_gives_what_the_log_says() {
    let verdict = decide(&Probe::configure(CONFIG.as_bytes()).unwrap(), &facts()).unwrap();
    assert_eq!(verdict.log.join("\n") + "\n", LOG);
    assert_eq!((verdict.answer, verdict.reason.as_deref()), (Answer::Deny, Some("probed")));
    assert_eq!(verdict.step_up, Some(StepUp { acr: Some("gold".to_owned()), max_age: Some(60) }));
}

#[test]
fn a_configuration_that_could_be_misread_is_refused() {
    for (config, wanted) in [
        (r#"{"decide": {}}"#, "a step has `answer`, or `if`, `then` and `else`"),
        (r#"{"decide": {"answer": "yes"}}"#, "`yes` is not an answer"),
        (r#"{"decide": {"do": [{"call": "time"}], "answer": "allow"}}"#, "`time` is not in the contract"),
        (
            r#"{"decide": {"do": [{"call": "has-scope"}], "answer": "allow"}}"#,
            "`has-scope` takes 1 arguments, not 0",
        ),
    ] {
        assert_eq!(Probe::configure(config.as_bytes()).unwrap_err(), wanted);
    }
}

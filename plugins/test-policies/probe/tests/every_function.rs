//! The configuration of `compat/` calls every function of the contract, and what each gives is
//! known.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use ztlib_policy::testing::{Facts, HeaderChange, StepUp, decide};
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

/// What the contract has had since 0.1.1, with arguments that are good in these facts.
const SINCE_0_1_1: [(&str, [&str; 2]); 4] = [
    ("copy-to-request-header", ["x-order", "{param:id}"]),
    ("copy-to-request-header-or-remove", ["x-tenant", "{claim:/tenant}"]),
    ("copy-to-response-header", ["x-peer", "{peer}"]),
    ("copy-to-response-header-or-remove", ["x-user", "{subject}"]),
];

/// What it has had since 0.1.2.
const SINCE_0_1_2: [&str; 1] = ["from-home-issuer"];

#[test]
fn the_functions_since_0_1_2_give_what_they_should() {
    let config = r#"{ "decide": { "if": { "call": "from-home-issuer" }, "then": { "answer": "allow" }, "else": { "answer": "deny" } } }"#;
    let probe = Probe::configure(config.as_bytes()).unwrap();
    assert_eq!(decide(&probe, &facts()).unwrap().answer, Answer::Allow);
    assert_eq!(decide(&probe, &facts().of_another_issuer()).unwrap().answer, Answer::Deny);
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
    let of_0_1_0 = CONFIG.split("\"call\": \"").skip(1).filter_map(|rest| rest.split('"').next());
    let since = SINCE_0_1_1.map(|(name, _)| name).into_iter().chain(SINCE_0_1_2);
    let called: BTreeSet<&str> = of_0_1_0.chain(since).collect();
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
fn the_functions_since_0_1_1_copy_what_their_sources_stand_for() {
    let calls = SINCE_0_1_1.map(|(name, [header, source])| {
        format!(r#"{{ "call": "{name}", "with": ["{header}", "{source}"] }}"#)
    });
    let config = format!(r#"{{ "decide": {{ "do": [{}], "answer": "allow" }} }}"#, calls.join(", "));
    let verdict = decide(&Probe::configure(config.as_bytes()).unwrap(), &facts()).unwrap();
    let values = |headers: &[HeaderChange]| -> Vec<Option<String>> {
        headers.iter().map(|header| header.value.clone()).collect()
    };
    assert_eq!(values(&verdict.request_headers), [Some("7".to_owned()), None]);
    assert_eq!(
        values(&verdict.response_headers),
        [Some("spiffe://shop.example/ns/prod/sa/web".to_owned()), Some("alice".to_owned())]
    );
    assert!(verdict.trace.is_empty());
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

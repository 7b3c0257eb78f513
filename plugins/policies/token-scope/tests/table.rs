//! The policy, natively: tables of questions and what is said to them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use ztlib_policy::Answer;
use ztlib_policy::testing::{Cases, CasesError, Facts, Fault, Sealed, Verdict};
use ztlib_token_scope::{MISSING_SCOPE, NO_RULE, TokenScope};

const SAMPLE: &str = include_str!("../sample.yaml");

fn decide(policy: &Sealed<TokenScope>, facts: &Facts) -> Result<Verdict, Fault> {
    policy.decide(facts)
}

/// As the host does it: YAML is made into JSON, and JSON is what the policy gets.
fn configure(yaml: &str) -> Result<Sealed<TokenScope>, String> {
    let value: serde_json::Value = serde_norway::from_str(yaml).unwrap();
    Sealed::<TokenScope>::configure(&serde_json::to_vec(&value).unwrap())
}

fn say(method: &str, route: &str, scopes: &str) -> Result<(), String> {
    let facts = Facts::request(method, "/any").route(route).token(&format!(r#"{{"scope": "{scopes}"}}"#));
    let verdict = decide(&configure(SAMPLE).unwrap(), &facts.reasons(&[NO_RULE, MISSING_SCOPE])).unwrap();
    if verdict.answer == Answer::Allow { Ok(()) } else { Err(verdict.reason.unwrap()) }
}

fn missing() -> Result<(), String> {
    Err(MISSING_SCOPE.to_owned())
}

fn no_rule() -> Result<(), String> {
    Err(NO_RULE.to_owned())
}

#[test]
fn a_route_needs_its_scopes() {
    assert_eq!(say("GET", "/orders", "orders:read"), Ok(()));
    assert_eq!(say("GET", "/orders", "x orders:read y"), Ok(()));
    assert_eq!(say("GET", "/orders", ""), missing());
    assert_eq!(say("GET", "/orders", "orders:write"), missing());
    assert_eq!(say("GET", "/orders", "orders:reader Orders:read orders"), missing());
    assert_eq!(say("POST", "/shop.Inventory/Reserve", "inventory"), Ok(()));
    assert_eq!(say("POST", "/shop.Inventory/Reserve", "orders:write"), missing());
}

#[test]
fn every_rule_that_covers_the_question_must_be_met() {
    assert_eq!(say("PUT", "/orders/{id}", "orders:write"), Ok(()));
    assert_eq!(say("DELETE", "/orders/{id}", "orders:write"), missing());
    assert_eq!(say("DELETE", "/orders/{id}", "admin"), missing());
    assert_eq!(say("DELETE", "/orders/{id}", "orders:write admin"), Ok(()));
    assert_eq!(say("DELETE", "/orders/{id}", "orders:write orders:admin"), Ok(()));
}

#[test]
fn what_no_rule_covers_is_denied() {
    assert_eq!(say("PATCH", "/orders/{id}", "orders:write orders:read"), no_rule());
    assert_eq!(say("HEAD", "/orders", "orders:read"), no_rule());
    assert_eq!(say("GET", "/", "orders:read"), no_rule());
    let facts = Facts::request("GET", "/orders").token(r#"{"scope": "orders:read"}"#);
    let verdict = decide(&configure(SAMPLE).unwrap(), &facts).unwrap();
    assert_eq!(verdict.reason.as_deref(), Some(NO_RULE), "no route matched");
}

#[test]
fn a_route_is_open_only_where_a_rule_says_so() {
    let sample = configure(SAMPLE).unwrap();
    let facts = Facts::request("GET", "/any").route("/catalogue/{id}");
    assert_eq!(decide(&sample, &facts).unwrap().answer, Answer::Allow);
    let facts = Facts::request("GET", "/any").route("/orders");
    let verdict = decide(&sample, &facts).unwrap();
    assert_eq!((verdict.answer, verdict.reason.as_deref()), (Answer::Deny, Some(MISSING_SCOPE)));
    assert_eq!(verdict.message.as_deref(), Some("the scope orders:read is needed"));
}

#[test]
fn an_action_needs_its_scopes() {
    let sample = configure(SAMPLE).unwrap();
    let ask = |scope: &str| {
        decide(&sample, &Facts::action("orders.refund").token(&format!(r#"{{"scope": "{scope}"}}"#))).unwrap()
    };
    assert_eq!(ask("orders:write orders:refund").answer, Answer::Allow);
    assert_eq!(ask("orders:write").reason.as_deref(), Some(MISSING_SCOPE));
}

/// Findings E1: a scope of another issuer is another scope.
#[test]
fn scopes_are_those_of_the_issuers_that_a_rule_names_or_of_the_home_issuer() {
    let policy = configure(
        r#"
rules:
  - {methods: [GET], routes: [/own], scopes: [read]}
  - {methods: [GET], routes: [/any], any-scope: [read, write]}
  - {methods: [GET], routes: [/both], scopes: [read], issuers: ["https://id.example", "https://partner.example"]}
  - {methods: [GET], routes: [/open], without-scope: true}
"#,
    )
    .unwrap();
    let ask = |home: bool, issuer: &str, route: &str| {
        let claims = format!(r#"{{"iss": "{issuer}", "scope": "read write"}}"#);
        let facts = Facts::request("GET", "/x").route(route).token(&claims);
        let facts = if home { facts } else { facts.of_another_issuer() };
        decide(&policy, &facts).unwrap().reason
    };
    let missing = Some(MISSING_SCOPE.to_owned());
    for (route, own, partner, other) in [
        ("/own", None, missing.clone(), missing.clone()),
        ("/any", None, missing.clone(), missing.clone()),
        ("/both", None, None, missing),
        ("/open", None, None, None),
    ] {
        assert_eq!(ask(true, "https://id.example", route), own, "{route}");
        assert_eq!(ask(false, "https://partner.example", route), partner, "{route}");
        assert_eq!(ask(false, "https://other.example", route), other, "{route}");
    }
}

#[test]
fn it_reads_only_the_scopes_that_a_rule_names() {
    let facts = Facts::request("GET", "/any").route("/orders").token(r#"{"scope": "a b orders:read"}"#);
    assert_eq!(
        decide(&configure(SAMPLE).unwrap(), &facts).unwrap().reads(),
        [
            "action=absent",
            r#"route="/orders""#,
            r#"method="GET""#,
            "from-home-issuer=yes",
            r#"has-scope("orders:read")=yes"#,
        ]
    );
}

#[test]
fn a_configuration_that_could_be_misread_is_refused_by_name() {
    let rule = |members: &str| format!("rules: [{{methods: [GET], routes: [/], {members}}}]");
    let verb = "rules[0]: give `scopes`, `any-scope` or both; `without-scope: true` alone opens the route";
    for (yaml, wanted) in [
        ("rules: []".to_owned(), "rules: the list is empty"),
        ("{}".to_owned(), "the member `rules` is missing"),
        (rule(""), verb),
        (rule("without-scope: false"), verb),
        (rule("without-scope: true, scopes: [a]"), verb),
        (rule("scopes: []"), "rules[0].scopes: the list is empty"),
        (rule("scopes: ['a b']"), "rules[0].scopes[0]: `a b` is not one scope"),
        (rule("scopes: [a, b, a]"), "rules[0].scopes: `a` is there twice"),
        (rule("any-scope: [a, a]"), "rules[0].any-scope: `a` is there twice"),
        (
            rule("scope: [a]"),
            "rules[0]: unknown member `scope`; known are: methods, routes, actions, scopes, any-scope, without-scope, issuers",
        ),
    ] {
        assert_eq!(configure(&yaml).unwrap_err(), wanted, "{yaml}");
    }
}

/// The same file is a gate in the sandbox where a manifest names it.
#[test]
fn the_cases_of_the_sample_hold() -> Result<(), CasesError> {
    let cases = Cases::read("tests/sample.toml")?.about("token-scope").reasons(&[NO_RULE, MISSING_SCOPE]);
    cases.check(&configure(SAMPLE).unwrap())
}

//! The policy, natively: tables of questions and what is said to them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use ztlib_policy::Answer;
use ztlib_policy::testing::{Cases, CasesError, Facts, Fault, Sealed, StepUp as Challenge, Verdict};
use ztlib_step_up::{STEP_UP_REQUIRED, StepUp};

const SAMPLE: &str = include_str!("../sample.yaml");

fn decide(policy: &Sealed<StepUp>, facts: &Facts) -> Result<Verdict, Fault> {
    policy.decide(facts)
}

/// As the host does it: YAML is made into JSON, and JSON is what the policy gets.
fn configure(yaml: &str) -> Result<Sealed<StepUp>, String> {
    let value: serde_json::Value = serde_norway::from_str(yaml).unwrap();
    Sealed::<StepUp>::configure(&serde_json::to_vec(&value).unwrap())
}

const NOW: u64 = 1_795_392_000;

fn say(facts: Facts) -> Verdict {
    decide(&configure(SAMPLE).unwrap(), &facts.now(NOW).reasons(&[STEP_UP_REQUIRED])).unwrap()
}

fn ask(method: &str, route: &str) -> Facts {
    Facts::request(method, "/any").route(route)
}

fn challenge(acr: Option<&str>, max_age: Option<u32>) -> (Answer, Option<Challenge>) {
    (Answer::Deny, Some(Challenge { acr: acr.map(str::to_owned), max_age }))
}

#[test]
fn a_login_that_is_strong_and_fresh_is_allowed() {
    let token = |acr: &str, age: u64| format!(r#"{{"acr": "{acr}", "auth_time": {}}}"#, NOW - age);
    let transfer = |claims: &str| {
        let verdict = say(ask("POST", "/transfers/{id}").token(claims));
        (verdict.answer, verdict.step_up)
    };
    let gold = challenge(Some("urn:shop:gold"), Some(300));
    assert_eq!(transfer(&token("urn:shop:gold", 0)), (Answer::Allow, None));
    assert_eq!(transfer(&token("urn:shop:gold", 300)), (Answer::Allow, None));
    assert_eq!(transfer(&token("urn:shop:gold", 301)), gold);
    assert_eq!(transfer(&token("urn:shop:silver", 0)), gold);
    assert_eq!(transfer(r#"{"acr": "urn:shop:gold"}"#), gold, "the token does not say when");
    assert_eq!(transfer(&format!(r#"{{"auth_time": {NOW}}}"#)), gold, "the token does not say how");
    assert_eq!(
        transfer(&format!(r#"{{"acr": "urn:shop:gold", "auth_time": {}}}"#, NOW + 60)),
        gold,
        "in the future"
    );
}

#[test]
fn a_caller_without_a_token_is_challenged() {
    let verdict = say(ask("POST", "/transfers/{id}").peer("spiffe://shop.example/web"));
    assert_eq!((verdict.answer, verdict.reason.as_deref()), (Answer::Deny, Some(STEP_UP_REQUIRED)));
}

#[test]
fn one_of_the_methods_is_enough_and_a_class_is_asked_for() {
    let admin = |amr: &str| {
        let verdict = say(ask("GET", "/admin").token(&format!(r#"{{"amr": {amr}}}"#)));
        (verdict.answer, verdict.step_up)
    };
    assert_eq!(admin(r#"["pwd", "hwk"]"#), (Answer::Allow, None));
    assert_eq!(admin(r#"["mfa"]"#), (Answer::Allow, None));
    assert_eq!(admin(r#"["pwd"]"#), challenge(Some("urn:shop:gold"), None));
    assert_eq!(admin("[]"), challenge(Some("urn:shop:gold"), None));
}

#[test]
fn it_abstains_where_it_has_no_rule() {
    for facts in [
        ask("GET", "/transfers/{id}"),
        ask("POST", "/orders"),
        Facts::request("POST", "/transfers/7"),
        Facts::action("x"),
    ] {
        let verdict = say(facts.token("{}"));
        assert_eq!((verdict.answer, verdict.step_up), (Answer::Abstain, None));
    }
}

#[test]
fn an_action_can_need_a_fresh_login() {
    let close =
        |age: u64| say(Facts::action("account.close").token(&format!(r#"{{"auth_time": {}}}"#, NOW - age)));
    assert_eq!(close(60).answer, Answer::Allow);
    let verdict = close(61);
    assert_eq!((verdict.answer, verdict.step_up), challenge(None, Some(60)));
}

#[test]
fn a_configuration_that_could_be_misread_is_refused_by_name() {
    let rule = |members: &str| format!("rules: [{{methods: [GET], routes: [/], {members}}}]");
    for (yaml, wanted) in [
        ("rules: []".to_owned(), "rules: the list is empty"),
        (rule(""), "rules[0]: give at least one of `amr`, `acr` and `max-age`"),
        (rule("challenge-acr: gold"), "rules[0]: give at least one of `amr`, `acr` and `max-age`"),
        (
            rule("amr: [mfa]"),
            "rules[0]: `amr` needs `challenge-acr` (or `acr`): the class to ask the caller for",
        ),
        (rule("max-age: 5m"), "rules[0].max-age: a whole number is expected"),
        (
            rule("max_age: 5"),
            "rules[0]: unknown member `max_age`; known are: methods, routes, actions, amr, acr, max-age, challenge-acr, issuers",
        ),
    ] {
        assert_eq!(configure(&yaml).unwrap_err(), wanted, "{yaml}");
    }
}

/// Findings E1: how another issuer says that its users log in is its own affair.
#[test]
fn logins_are_those_of_the_issuers_that_a_rule_names_or_of_the_home_issuer() {
    let policy = configure(
        r#"
rules:
  - {methods: [GET], routes: [/own], acr: [gold]}
  - {methods: [GET], routes: [/both], acr: [gold], issuers: ["https://id.example", "https://partner.example"]}
"#,
    )
    .unwrap();
    for (home, route, answer) in
        [(true, "/own", Answer::Allow), (false, "/own", Answer::Deny), (false, "/both", Answer::Allow)]
    {
        let claims = r#"{"iss": "https://partner.example", "acr": "gold"}"#;
        let facts = Facts::request("GET", "/x").route(route).token(claims);
        let facts = if home { facts } else { facts.of_another_issuer() };
        assert_eq!(decide(&policy, &facts).unwrap().answer, answer, "{home} {route}");
    }
}

/// The same file is a gate in the sandbox where a manifest names it.
#[test]
fn the_cases_of_the_sample_hold() -> Result<(), CasesError> {
    let cases = Cases::read("tests/sample.toml")?.about("step-up").reasons(&[STEP_UP_REQUIRED]);
    cases.check(&configure(SAMPLE).unwrap())
}

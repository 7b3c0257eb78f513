//! The policy, natively: tables of questions and what is said to them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use ztlib_peer_allow_list::{PEER_NOT_ALLOWED, PeerAllowList};
use ztlib_policy::Answer;
use ztlib_policy::testing::{Cases, CasesError, Facts, Fault, Sealed, Verdict};

const SAMPLE: &str = include_str!("../sample.yaml");

fn decide(policy: &Sealed<PeerAllowList>, facts: &Facts) -> Result<Verdict, Fault> {
    policy.decide(facts)
}

/// As the host does it: YAML is made into JSON, and JSON is what the policy gets.
fn configure(yaml: &str) -> Result<Sealed<PeerAllowList>, String> {
    let value: serde_json::Value = serde_norway::from_str(yaml).unwrap();
    Sealed::<PeerAllowList>::configure(&serde_json::to_vec(&value).unwrap())
}

fn allowed(facts: Facts) -> bool {
    let verdict = decide(&configure(SAMPLE).unwrap(), &facts.reasons(&[PEER_NOT_ALLOWED])).unwrap();
    match verdict.answer {
        Answer::Allow => true,
        Answer::Deny => {
            assert_eq!(verdict.reason.as_deref(), Some(PEER_NOT_ALLOWED));
            false
        }
        Answer::Abstain => panic!("it always decides"),
    }
}

fn ask(method: &str, route: &str) -> Facts {
    Facts::request(method, "/any").route(route)
}

#[test]
fn a_peer_may_call_what_a_rule_that_names_it_covers() {
    const WEB: &str = "spiffe://shop.example/ns/prod/sa/web";
    assert!(allowed(ask("GET", "/orders/{id}").peer(WEB)));
    assert!(allowed(ask("POST", "/orders").peer("spiffe://shop.example/ns/prod/sa/mobile")));
    assert!(!allowed(ask("DELETE", "/orders/{id}").peer(WEB)), "another method");
    assert!(!allowed(ask("POST", "/shop.Inventory/Reserve").peer(WEB)), "another route");
    assert!(!allowed(Facts::request("GET", "/orders").peer(WEB)), "no route matched");
    assert!(allowed(
        ask("POST", "/shop.Inventory/Reserve").peer("spiffe://shop.example/ns/batch/sa/nightly")
    ));
}

#[test]
fn nobody_and_the_wrong_peer_are_denied() {
    assert!(!allowed(ask("GET", "/orders")));
    assert!(!allowed(ask("GET", "/orders").token(r#"{"sub": "spiffe://shop.example/ns/prod/sa/web"}"#)));
    for peer in [
        "spiffe://shop.example/ns/prod/sa/webx",
        "spiffe://shop.example/ns/prod/sa/web/x",
        "spiffe://shop.example/ns/prod/sa",
        "spiffe://shop.example.evil/ns/prod/sa/web",
        "spiffe://evil/ns/prod/sa/web",
    ] {
        assert!(!allowed(ask("GET", "/orders").peer(peer)), "{peer}");
    }
}

#[test]
fn a_named_peer_goes_with_its_authority() {
    let order = || ask("GET", "/orders/{id}");
    assert!(allowed(order().named_peer("partners", &["a.example", "ERP.partner.example"])));
    assert!(!allowed(order().named_peer("printers", &["erp.partner.example"])));
    assert!(!allowed(order().named_peer("partners", &["evil-erp.partner.example"])));
    assert!(!allowed(order().named_peer("partners", &["*.partner.example"])));
}

#[test]
fn an_action_is_allowed_to_the_peers_that_a_rule_names() {
    assert!(allowed(Facts::action("orders.export").peer("spiffe://shop.example/ns/prod/sa/web")));
    assert!(!allowed(Facts::action("orders.export").peer("spiffe://shop.example/ns/prod/sa/mobile")));
    assert!(!allowed(Facts::action("orders.import").peer("spiffe://shop.example/ns/prod/sa/web")));
}

#[test]
fn it_asks_about_patterns_and_never_for_the_id() {
    let facts = ask("GET", "/orders").peer("spiffe://shop.example/ns/prod/sa/mobile");
    assert_eq!(
        decide(&configure(SAMPLE).unwrap(), &facts).unwrap().reads(),
        [
            "action=absent",
            r#"route="/orders""#,
            r#"method="GET""#,
            r#"peer-matches("spiffe://shop.example/ns/prod/sa/web")=no"#,
            r#"peer-matches("spiffe://shop.example/ns/prod/sa/mobile")=yes"#,
        ]
    );
}

#[test]
fn a_configuration_that_could_be_misread_is_refused_by_name() {
    let rule = |members: &str| format!("rules: [{{methods: [GET], routes: [/], {members}}}]");
    for (yaml, wanted) in [
        ("rules: []".to_owned(), "rules: the list is empty"),
        (rule(""), "rules[0]: give `peers`, `named-peers` or both"),
        (
            rule("named-peers: [{dns-name: a.example}]"),
            "rules[0].named-peers[0]: the member `authority` is missing",
        ),
        (
            rule("peers: [web]"),
            "rules[0].peers[0]: `web` is not a pattern of SPIFFE IDs, as in `spiffe://example.org/shop/*`; `*` is a whole segment, `**` the last one",
        ),
        (
            rule("peers: ['spiffe://td/a', 'spiffe://td/b', 'spiffe://td/a']"),
            "rules[0].peers: `spiffe://td/a` is there twice",
        ),
        (
            rule("named-peers: [{authority: a, dns-name: x.example}, {authority: a, dns-name: x.example}]"),
            "rules[0]: named-peers: `x.example` is there twice",
        ),
        (
            rule("peer: [a]"),
            "rules[0]: unknown member `peer`; known are: methods, routes, actions, peers, named-peers",
        ),
    ] {
        assert_eq!(configure(&yaml).unwrap_err(), wanted, "{yaml}");
    }
}

/// The same file is a gate in the sandbox where a manifest names it.
#[test]
fn the_cases_of_the_sample_hold() -> Result<(), CasesError> {
    let cases = Cases::read("tests/sample.toml")?.about("peer-allow-list").reasons(&[PEER_NOT_ALLOWED]);
    cases.check(&configure(SAMPLE).unwrap())
}

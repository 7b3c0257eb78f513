//! The policy, natively: tables of questions and what is said to them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use ztlib_policy::Answer;
use ztlib_policy::testing::{Cases, CasesError, Facts, Fault, Sealed, Verdict};
use ztlib_rbac::{NO_ROLE, NO_RULE, Rbac};

const SAMPLE: &str = include_str!("../sample.yaml");

fn decide(policy: &Sealed<Rbac>, facts: &Facts) -> Result<Verdict, Fault> {
    policy.decide(facts)
}

/// As the host does it: YAML is made into JSON, and JSON is what the policy gets.
fn configure(yaml: &str) -> Result<Sealed<Rbac>, String> {
    let value: serde_json::Value = serde_norway::from_str(yaml).unwrap();
    Sealed::<Rbac>::configure(&serde_json::to_vec(&value).unwrap())
}

/// `Ok` for an allow, the reason of a denial otherwise.
fn say(facts: &Facts) -> Result<(), String> {
    let facts = facts.clone().reasons(&[NO_RULE, NO_ROLE]);
    let facts = facts.document("roles", r#"{"users": {"dora": ["auditor"], "dan": {"clerk": true}}}"#);
    let verdict = decide(&configure(SAMPLE).unwrap(), &facts).unwrap();
    match verdict.answer {
        Answer::Allow => Ok(()),
        Answer::Deny => Err(verdict.reason.unwrap()),
        Answer::Abstain => panic!("rbac always decides"),
    }
}

fn get(route: &str) -> Facts {
    Facts::request("GET", "/any").route(route)
}

fn reason(code: &str) -> Result<(), String> {
    Err(code.to_owned())
}

#[test]
fn each_source_gives_its_roles_and_no_others() {
    let nobody = get("/orders");
    let clerks = [
        nobody.clone().token(r#"{"sub": "a", "roles": ["clerk"]}"#),
        nobody.clone().token(r#"{"sub": "a", "roles": "clerk"}"#),
        nobody.clone().token(r#"{"sub": "a", "groups": ["x", "warehouse"]}"#),
        nobody.clone().token(r#"{"sub": "dan"}"#),
        nobody.clone().peer("spiffe://shop.example/ns/batch/sa/nightly"),
    ];
    for facts in &clerks {
        assert_eq!(say(facts), Ok(()), "{facts:?}");
    }
    let others = [
        nobody.clone(),
        nobody.clone().token(r#"{"sub": "a", "roles": ["Clerk", "clerk "]}"#),
        nobody.clone().token(r#"{"sub": "a", "roles": ["warehouse"]}"#),
        nobody.clone().token(r#"{"sub": "a", "groups": ["clerk", "warehouses"]}"#),
        nobody.clone().token(r#"{"sub": "a", "realm": {"roles": ["clerk"]}}"#),
        nobody.clone().token(r#"{"sub": "clerk"}"#),
        nobody.clone().peer("spiffe://shop.example/ns/batch/sa/nightly/extra"),
        nobody.clone().peer("spiffe://shop.example.evil/ns/batch/sa/nightly"),
        nobody.clone().peer("spiffe://shop.example/ns/prod/sa/web"),
        nobody.clone().named_peer("partners", &["shop.example"]),
    ];
    for facts in &others {
        assert_eq!(say(facts), reason(NO_ROLE), "{facts:?}");
    }
}

#[test]
fn a_role_may_do_what_its_permissions_cover_and_no_more() {
    let clerk = |method: &str, route: &str| {
        say(&Facts::request(method, "/any").route(route).token(r#"{"roles": ["clerk"]}"#))
    };
    assert_eq!(clerk("GET", "/orders"), Ok(()));
    assert_eq!(clerk("GET", "/orders/{id}"), Ok(()));
    assert_eq!(clerk("GET", "/orders/{id}/items/{item}/notes"), Ok(()));
    assert_eq!(clerk("POST", "/shop.Inventory/Reserve"), Ok(()));
    // The admin's and the auditor's permissions cover these: a rule, but not the clerk's.
    assert_eq!(clerk("DELETE", "/orders/{id}"), reason(NO_ROLE));
    assert_eq!(clerk("HEAD", "/orders"), reason(NO_ROLE));
    assert_eq!(clerk("POST", "/shop.InventoryAdmin/Reserve"), reason(NO_ROLE));
    assert_eq!(clerk("GET", "/ordersx"), reason(NO_ROLE));
    let admin = |method: &str, route: &str| {
        say(&Facts::request(method, "/any").route(route).token(r#"{"roles": ["admin"]}"#))
    };
    assert_eq!(admin("PURGE", "/anything/at/all"), Ok(()));
}

#[test]
fn without_a_route_nobody_may_do_anything() {
    let facts = Facts::request("GET", "/orders").token(r#"{"roles": ["admin"]}"#);
    assert_eq!(say(&facts), reason(NO_RULE));
}

#[test]
fn an_action_is_permitted_by_name() {
    let ask =
        |action: &str, role: &str| say(&Facts::action(action).token(&format!(r#"{{"roles": ["{role}"]}}"#)));
    assert_eq!(ask("orders.cancel", "admin"), Ok(()));
    assert_eq!(ask("orders.cancel", "auditor"), reason(NO_ROLE));
    assert_eq!(ask("orders.destroy", "admin"), reason(NO_RULE));
}

#[test]
fn it_asks_narrow_questions_and_only_until_one_says_yes() {
    let rbac = configure(SAMPLE).unwrap();
    let reads = |claims: &str| {
        let facts = get("/orders").token(claims).document("roles", "{}");
        decide(&rbac, &facts).unwrap().reads().split_off(3)
    };
    // The roles that have a permission here, in the order of the configuration as JSON: by name.
    assert_eq!(
        reads(r#"{"roles": ["clerk", "admin"]}"#),
        ["from-home-issuer=yes", r#"claim-contains("/roles", "admin")=yes"#]
    );
    assert_eq!(
        reads(r#"{"groups": ["management"]}"#),
        [
            "from-home-issuer=yes",
            r#"claim-contains("/roles", "admin")=no"#,
            r#"data-contains("roles", "/users/{subject}", "admin")=no"#,
            r#"claim-contains("/roles", "auditor")=no"#,
            r#"claim-contains("/groups", "management")=yes"#,
        ]
    );
}

/// Findings E1: the roles, groups and subjects of another issuer are other ones, however they are
/// called.
#[test]
fn a_source_that_names_no_issuer_is_the_home_issuers() {
    let rbac = configure(SAMPLE).unwrap();
    let roles = r#"{"users": {"alice": ["admin"]}}"#;
    for claims in [
        r#"{"iss": "https://partner.example", "sub": "mallory", "roles": ["admin"]}"#,
        r#"{"iss": "https://partner.example", "sub": "mallory", "groups": ["management"]}"#,
        r#"{"iss": "https://partner.example", "sub": "alice"}"#,
    ] {
        let facts = get("/orders").token(claims).document("roles", roles);
        assert_eq!(decide(&rbac, &facts).unwrap().answer, Answer::Allow, "{claims}");
        let verdict = decide(&rbac, &facts.of_another_issuer()).unwrap();
        assert_eq!(verdict.reason.as_deref(), Some("no-role"), "{claims}");
        let reads = verdict.reads();
        let of_token = |read: &String| read.starts_with("claim-") || read.starts_with("data-");
        assert!(!reads.iter().any(of_token), "nothing that it says is read: {reads:?}");
    }
}

#[test]
fn a_source_counts_for_the_issuers_that_it_names() {
    let rbac = configure(
        r#"
roles:
  claims: [/roles, {claim: /realm/roles, issuers: ["https://partner.example"]}]
  groups:
    - {claim: /groups, roles: {staff: [clerk]}}
    - {claim: /groups, issuers: ["https://partner.example", "https://other.example"], roles: {buyers: [clerk]}}
  document:
    - {name: roles, pointer: "/users/{subject}"}
    - {name: roles, pointer: "/of/{issuer}/{subject}"}
    - {name: roles, pointer: "/everybody"}
permissions:
  clerk: [{methods: [GET], routes: [/orders]}]
"#,
    )
    .unwrap();
    let roles = r#"{"users": {"alice": "clerk"}, "of": {"https://partner.example": {"bob": ["clerk"]}}, "everybody": []}"#;
    let may = |home: bool, claims: &str| {
        let facts = get("/orders").token(claims).document("roles", roles);
        let facts = if home { facts } else { facts.of_another_issuer() };
        decide(&rbac, &facts).unwrap().answer == Answer::Allow
    };
    for (home, issuer, claims, allowed) in [
        (true, "https://id.example", r#""roles": "clerk""#, true),
        (false, "https://partner.example", r#""roles": "clerk""#, false),
        (false, "https://partner.example", r#""realm": {"roles": ["clerk"]}"#, true),
        (true, "https://id.example", r#""realm": {"roles": ["clerk"]}"#, false),
        (false, "https://partner.example", r#""groups": ["staff"]"#, false),
        (false, "https://partner.example", r#""groups": ["buyers"]"#, true),
        (false, "https://other.example", r#""groups": ["buyers"]"#, true),
        (false, "https://third.example", r#""groups": ["buyers"]"#, false),
        (true, "https://id.example", r#""groups": ["buyers"]"#, false),
        (true, "https://id.example", r#""sub": "alice""#, true),
        (false, "https://partner.example", r#""sub": "alice""#, false),
        (false, "https://partner.example", r#""sub": "bob""#, true),
        (false, "https://other.example", r#""sub": "bob""#, false),
        (true, "https://id.example", r#""sub": "bob""#, false),
    ] {
        let token = format!(r#"{{"iss": "{issuer}", {claims}}}"#);
        assert_eq!(may(home, &token), allowed, "{home} {token}");
    }
}

#[test]
fn what_is_not_known_is_a_fault_and_not_a_denial() {
    let rbac = configure(SAMPLE).unwrap();
    let fault = |facts: &Facts| decide(&rbac, facts).unwrap_err().code;
    assert_eq!(fault(&get("/orders").token(r#"{"sub": "alice"}"#)), "read-undeclared-document");
    assert_eq!(fault(&get("/orders").token(r#"{"roles": {"clerk": true}}"#)), "read-wrong-type");
}

#[test]
fn a_configuration_that_could_be_misread_is_refused_by_name() {
    let sources = "roles: {claims: [/roles]}\n";
    for (yaml, wanted) in [
        ("permissions: {}", "the member `roles` is missing"),
        (
            "roles: {}\npermissions: {}",
            "roles: nobody has a role; give `claims`, `groups`, `peers` or `document`",
        ),
        (
            "roles: {claims: [roles]}\npermissions: {}",
            "roles.claims[0]: `roles` is not a JSON pointer, as in `/roles`",
        ),
        (
            "roles: {claim: /roles}\npermissions: {}",
            "roles: unknown member `claim`; known are: claims, groups, peers, document",
        ),
        (&format!("{sources}permissions: {{a: []}}"), "permissions.a: the list is empty"),
        (
            &format!("{sources}permissions: {{a: [{{}}]}}"),
            "permissions.a[0]: give `methods` and `routes`, or `actions`",
        ),
        (
            &format!("{sources}permissions: {{a: [{{routes: [/]}}]}}"),
            "permissions.a[0]: `routes` needs `methods`; write `[\"*\"]` for any",
        ),
        (
            &format!("{sources}permissions: {{a: [{{methods: [get], routes: [/]}}]}}"),
            "permissions.a[0]: `get` is not a method: they are upper case, as in `GET`; `*` stands for any",
        ),
        (
            &format!("{sources}permissions: {{a: [{{methods: [GET], routes: [x]}}]}}"),
            "permissions.a[0]: the route `x` does not begin with `/`",
        ),
        (
            &format!("{sources}permissions: {{a: [{{methods: [GET], routes: []}}]}}"),
            "permissions.a[0].routes: the list is empty",
        ),
        (
            &format!("{sources}permissions: {{a: [{{methods: [GET], routes: [/x, /x]}}]}}"),
            "permissions.a[0].routes: `/x` is there twice",
        ),
        (
            &format!("{sources}permissions: {{a: [{{methods: [GET, GET], routes: [/x]}}]}}"),
            "permissions.a[0].methods: `GET` is there twice",
        ),
        (
            "roles: {claims: [/roles, /roles]}\npermissions: {a: [{actions: [x]}]}",
            "roles.claims: `/roles` is there twice",
        ),
        (
            "roles: {groups: {claim: /g, roles: {ops: [a, a]}}}\npermissions: {a: [{actions: [x]}]}",
            "roles.groups.roles.ops: `a` is there twice",
        ),
        (
            "roles: {peers: [{match: 'spiffe://td/a', roles: [b]}]}\npermissions: {a: [{actions: [x]}]}",
            "roles.peers[0].roles: the role `b` has no permissions",
        ),
        (
            "roles: {groups: {claim: /g, roles: {ops: [a, b]}}}\npermissions: {a: [{actions: [x]}]}",
            "roles.groups.roles.ops: the role `b` has no permissions",
        ),
    ] {
        assert_eq!(configure(yaml).unwrap_err(), wanted, "{yaml}");
    }
    assert!(Sealed::<Rbac>::configure(b"").unwrap_err().contains("needs a configuration"));
}

/// The same task as in the benches: the matching rule is the last but nine of many.
#[test]
fn two_thousand_permissions_are_told_apart() {
    let permissions: Vec<_> = (0..2000)
        .map(|n| serde_json::json!({"methods": ["GET"], "routes": [format!("/api/v{}/users/{{id}}/items/{n}", n % 7)]}))
        .collect();
    let config = serde_json::json!({"roles": {"claims": ["/roles"]}, "permissions": {"user": permissions}});
    let rbac = Sealed::<Rbac>::configure(config.to_string().as_bytes()).unwrap();
    let facts = get("/api/v3/users/{id}/items/1991").token(r#"{"roles": ["user"]}"#);
    assert_eq!(decide(&rbac, &facts).unwrap().answer, Answer::Allow);
    let facts = get("/api/v4/users/{id}/items/1991").token(r#"{"roles": ["user"]}"#);
    assert_eq!(decide(&rbac, &facts).unwrap().reason.as_deref(), Some(NO_RULE));
}

/// The same file is a gate in the sandbox where a manifest names it.
#[test]
fn the_cases_of_the_sample_hold() -> Result<(), CasesError> {
    let cases = Cases::read("tests/sample.toml")?.about("rbac").reasons(&[NO_RULE, NO_ROLE]);
    cases.document("roles", "{}").check(&configure(SAMPLE).unwrap())
}

use std::path::Path;

use serde_json::{Value as Json, json};

use super::*;

/// A recording with these records: method, route, attributes, verdict.
fn recording(records: &[(&str, &str, Json, &str)]) -> Recording {
    let mut text = String::from("{\"format\":1,\"kind\":\"ztlib-recording\",\"hidden\":[]}\n");
    for (n, (method, route, attributes, verdict)) in records.iter().enumerate() {
        let has_token = attributes.as_object().unwrap().keys().any(|key| key.starts_with("claim:"));
        let mut decision = json!({ "verdict": verdict });
        if *verdict == "deny" {
            decision = json!({ "verdict": "deny", "policy": "rbac", "reason": "no-role" });
        }
        let line = json!({
            "id": format!("{n:032x}"), "time": 1_767_225_600_000_u64, "method": method, "route": route,
            "token": has_token, "attributes": attributes, "judged-by": "0".repeat(64),
            "decision": decision, "reads": [],
        });
        text.push_str(&format!("{line}\n"));
    }
    Recording::parse(Path::new("traffic.jsonl"), text.as_bytes()).unwrap()
}

fn web(roles: &[&str]) -> Json {
    json!({ "peer": { "spiffe-id": "spiffe://shop.example/web" }, "claim:/roles": [roles] })
}

#[test]
fn the_fewest_roles_that_cover_the_callers_are_suggested_and_no_route_is_widened() {
    let suggestion = SuggestionRules::new()
        .suggest(&recording(&[
            ("GET", "/orders/{id}", web(&["clerk", "staff"]), "allow"),
            ("GET", "/orders/{id}", web(&["admin", "staff"]), "allow"),
            ("DELETE", "/orders/{id}", web(&["admin", "staff"]), "allow"),
            ("GET", "/reports", web(&["staff", "auditor"]), "allow"),
        ]))
        .unwrap();
    let roles = suggestion.roles.unwrap().config;
    // One role covers both readers; the one that deletes is told apart by the rarer of its roles.
    assert!(roles.contains("\"staff\": # 2 requests"), "{roles}");
    assert!(roles.contains("{ methods: [\"GET\"], routes: [\"/orders/{id}\"] }"), "{roles}");
    assert!(roles.contains("\"admin\": # 1 requests"), "{roles}");
    assert!(roles.contains("\"auditor\""), "{roles}");
    let peers = suggestion.peers.unwrap().config;
    assert!(peers.contains("peers: [\"spiffe://shop.example/web\"], methods: [\"DELETE\", \"GET\"], routes: [\"/orders/{id}\"]"), "{peers}");
    assert!(peers.contains("methods: [\"GET\"], routes: [\"/reports\"]"), "{peers}");
    assert_eq!((suggestion.covered, suggestion.scopes.is_none()), (4, true));
}

#[test]
fn scopes_that_everybody_has_tell_nobody_apart() {
    let with = |scope: &str| json!({ "claim:/scope": [scope] });
    let suggestion = SuggestionRules::new()
        .suggest(&recording(&[
            ("GET", "/orders", with("openid orders:read"), "allow"),
            ("GET", "/orders", with("openid orders:read orders:write"), "allow"),
            ("POST", "/orders", with("openid orders:write"), "allow"),
        ]))
        .unwrap();
    let scopes = suggestion.scopes.unwrap().config;
    assert!(scopes.contains("scopes: [\"orders:read\"] } # 2 requests"), "{scopes}");
    assert!(scopes.contains("scopes: [\"orders:write\"] } # 1 requests"), "{scopes}");
    assert!(!scopes.contains("openid"), "{scopes}");
    assert!(suggestion.peers.is_none());
    assert!(suggestion.notes.iter().any(|note| note.contains("without a client certificate")));
}

/// What cannot be told from callers that were not seen is left out aloud, and so is what was
/// denied, came without a route, or would be a pattern.
#[test]
fn what_cannot_be_told_apart_is_left_out_aloud() {
    let records = [
        ("GET", "/orders", web(&["clerk"]), "allow"),
        ("GET", "/open", web(&[]), "allow"),
        ("GET", "/secret", web(&["clerk"]), "deny"),
        ("POST", "/shop.Inventory/*", web(&["clerk"]), "allow"),
        ("POST", "/broken", web(&["clerk"]), "fault"),
    ];
    let suggestion = SuggestionRules::new().suggest(&recording(&records)).unwrap();
    let all = format!("{:?} {:?}", suggestion.roles, suggestion.peers);
    for left_out in ["/open", "/secret", "/shop.Inventory/*", "/broken"] {
        assert!(!all.contains(left_out), "{left_out}: {all}");
    }
    let notes = suggestion.notes.join("\n");
    for said in [
        "`GET /open` is left out and will be denied (1 requests): a caller without any role",
        "no rule can name their route or method alone",
        "1 requests are left out: the policies denied them",
        "no decision could be reached",
    ] {
        assert!(notes.contains(said), "{said}: {notes}");
    }

    // A guard that only observed denied what its first policies did not know.
    let all = SuggestionRules::new().allow_denied().suggest(&recording(&records)).unwrap();
    assert!(all.roles.unwrap().config.contains("/secret"));
}

#[test]
fn nothing_is_suggested_of_nothing() {
    let error = |records: &[(&str, &str, Json, &str)]| {
        let error = SuggestionRules::new().suggest(&recording(records)).unwrap_err();
        assert_eq!(error.code(), "nothing-to-suggest");
        error.to_string()
    };
    assert!(error(&[]).contains("no request was recorded"));
    assert!(error(&[("GET", "/orders", web(&["clerk"]), "deny")]).contains("--allow-denied"));
}

/// Roles that a token holds in nested claims, and texts that would be more than a text in YAML.
#[test]
fn texts_of_callers_stay_texts() {
    let odd = "a: [b]\n- c\u{202e}";
    let attributes = json!({ "claim:/realm_access": [{ "roles": [odd] }] });
    let suggestion = SuggestionRules::new()
        .role_claims(["/realm_access/roles"])
        .suggest(&recording(&[("GET", "/orders", attributes, "allow")]))
        .unwrap();
    let rbac = suggestion.roles.unwrap();
    let roles = rbac.config;
    assert!(roles.contains("\"a: [b]\\u000a- c\\u202e\": #"), "{roles}");
    assert!(!roles.contains("\n- c"), "{roles}");
    assert!(roles.contains("claims: [\"/realm_access/roles\"]"), "{roles}");
    let claims = r#"{ "realm_access" = { "roles" = ["a: [b]\u000a- c\u202e"] } }"#;
    assert!(rbac.cases.contains(claims), "{}", rbac.cases);
}

/// A caller chooses the method, and the route of a gRPC call: nothing that a rule would read as
/// more than it is gets into one.
#[test]
fn no_text_of_a_caller_becomes_a_pattern() {
    let clerk = || web(&["clerk"]);
    let odd = [
        ("*", "/orders"),
        ("get", "/orders"),
        ("GET", "/**"),
        ("POST", "/shop.Inventory/*"),
        ("POST", "/shop.*/Reserve"),
        ("POST", "/shop.Inventory/:id"),
        ("POST", "/shop.Inventory/{id"),
    ];
    let mut records: Vec<_> = odd.iter().map(|(method, route)| (*method, *route, clerk(), "allow")).collect();
    records.push(("GET", "/files/{*path}", clerk(), "allow"));
    let suggestion = SuggestionRules::new().suggest(&recording(&records)).unwrap();
    assert_eq!(suggestion.covered, 1);
    let roles = suggestion.roles.unwrap().config;
    assert!(roles.contains("{ methods: [\"GET\"], routes: [\"/files/{*path}\"] }"), "{roles}");
    assert_eq!(roles.matches("routes: [").count(), 1, "{roles}");
    let notes = suggestion.notes.join("\n");
    assert!(notes.contains("7 requests are left out: no rule can name"), "{notes}");
}

#[test]
fn a_group_is_no_role_of_the_same_name() {
    let records = [
        ("GET", "/reports", json!({ "claim:/roles": [[]], "claim:/groups": [["admin"]] }), "allow"),
        ("DELETE", "/orders", json!({ "claim:/roles": [["admin"]], "claim:/groups": [[]] }), "allow"),
    ];
    let roles = SuggestionRules::new().suggest(&recording(&records)).unwrap().roles.unwrap().config;
    for line in [
        "  claims: [\"/roles\"]\n",
        "    - { claim: \"/groups\", roles: { \"admin\": [\"/groups:admin\"] } }\n",
        "  \"/groups:admin\": # 1 requests",
        "  \"admin\": # 1 requests",
    ] {
        assert!(roles.contains(line), "{line}: {roles}");
    }
}

/// One request without credentials, or one of which nobody recorded the roles, spoils nothing for
/// the others.
#[test]
fn what_says_nothing_of_its_caller_is_left_out_alone() {
    let suggestion = SuggestionRules::new()
        .suggest(&recording(&[
            ("GET", "/orders", web(&["clerk"]), "allow"),
            ("GET", "/orders", json!({ "peer": null }), "allow"),
            ("GET", "/orders", json!({ "claim:/tenant": ["acme"] }), "allow"),
        ]))
        .unwrap();
    assert_eq!(suggestion.covered, 1);
    assert!(suggestion.peers.is_some() && suggestion.roles.is_some());
    let notes = suggestion.notes.join("\n");
    assert!(notes.contains("without a certificate and without a token"), "{notes}");
    assert!(notes.contains("`RecordingRules::also_callers`"), "{notes}");
}

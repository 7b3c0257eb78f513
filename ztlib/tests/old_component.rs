//! A component that was built against the contract as it was first published goes on working:
//! `plugins/compat` keeps it for ever, and nobody rebuilds it.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use ztlib::authenticate::Principal;
use ztlib::authorize::{Decision, Labels, SignalError, SignalSource};
use ztlib::policies::{PolicyStore, PolicySetBuilder};

const V0_1_0: &[u8] = include_bytes!("../../plugins/compat/v0_1_0.wasm");

/// A configuration that calls every function of the contract 0.1.0.
const EVERY_FUNCTION: &str = include_str!("../../plugins/compat/every-function.json");

/// `rbac` of the contract 0.1.1: the first that puts constants aside.
const V0_1_1: &[u8] = include_bytes!("../../plugins/compat/v0_1_1_rbac.wasm");

/// Of the contract 0.1.2, the first that knows of the home issuer: the probe, which imports every
/// function, and `rbac`, which asks.
const V0_1_2: &[u8] = include_bytes!("../../plugins/compat/v0_1_2_probe.wasm");
const V0_1_2_RBAC: &[u8] = include_bytes!("../../plugins/compat/v0_1_2_rbac.wasm");

struct Risk;

impl SignalSource for Risk {
    fn signal(&self, _name: &str, _about: &ztlib::authorize::Caller) -> Result<Option<String>, SignalError> {
        Ok(Some("3".to_owned()))
    }
}

fn load(config: &Value) -> PolicyStore {
    PolicySetBuilder::new()
        .component("old", V0_1_0)
        .reasons(["probed"])
        .config(config)
        .document("roles", json!({"name": "shop", "users": {"alice": ["clerk"]}}))
        .signal("risk")
        .signals(Risk)
        .load()
        .unwrap()
}

/// Every function is linked with the types that it had; those that an application's own question
/// can be asked are also called. (Where there is no request, reading one is a fault.)
#[test]
fn a_component_of_the_contract_0_1_0_goes_on_working() {
    let mut config: Value = serde_json::from_str(EVERY_FUNCTION).unwrap();
    let of_a_request =
        ["method", "host", "path", "path-matches", "header", "header-values", "header-names", "query"];
    config["decide"]["do"]
        .as_array_mut()
        .unwrap()
        .retain(|call| !of_a_request.contains(&call["call"].as_str().unwrap()));
    let policies = load(&config);

    let monday = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_392_000);
    let labels = Labels::new().with("owner", "alice");
    let evaluation = policies.simulate(Principal::anonymous(), "orders.cancel", labels, monday);

    let Ok(Decision::Deny(denial)) = evaluation.result() else { panic!("{:?}", evaluation.result()) };
    assert_eq!(denial.reason().as_str(), "probed");
    let log: Vec<&str> = evaluation.log().map(|(_, line)| line).collect();
    assert_eq!(
        log,
        [
            "action=orders.cancel",
            "route=absent",
            "param=absent",
            "label=alice",
            "has-peer=no",
            "peer-spiffe-id=absent",
            "peer-trust-domain=absent",
            "peer-authority=absent",
            "peer-dns-names=",
            "peer-matches=no",
            "peer-has-dns-name=no",
            "has-token=no",
            "issuer=absent",
            "subject=absent",
            "has-scope=no",
            "scopes=",
            "has-audience=no",
            "claim-string=absent",
            "claim-int=absent",
            "claim-bool=absent",
            "claim-json=absent",
            "claim-contains=no",
            "authenticated-within=no",
            "uses-method=no",
            "acr-is=no",
            "remote-ip=absent",
            "remote-ip-in=no",
            "before=yes",
            "before-claim=no",
            "in-window=yes",
            "now=1795392000",
            "signal=3",
            "signal-at-least=no",
            "data-string=shop",
            "data-json=absent",
            "data-contains=no",
            "the end",
        ]
    );
}

#[test]
fn its_reads_of_a_request_are_still_faults_where_there_is_none() {
    let policies = load(&json!({"decide": {"do": [{"call": "method"}], "answer": "allow"}}));
    let evaluation = policies.simulate(Principal::anonymous(), "a", Labels::new(), SystemTime::UNIX_EPOCH);
    assert!(evaluation.result().is_err(), "{:?}", evaluation.result());
}

/// It is linked with every function of that version, and the one that is new in it is called.
#[test]
fn a_component_of_the_contract_0_1_2_goes_on_working() {
    let config = json!({"log": true, "decide": {
        "if": {"call": "from-home-issuer"}, "then": {"answer": "allow"}, "else": {
            "do": [{"call": "copy-to-request-header-or-remove", "with": ["x-user", "{subject}"]}, {"call": "label", "with": ["owner"]}],
            "answer": "allow",
        },
    }});
    let policies = PolicySetBuilder::new().component("old", V0_1_2).config(config).load().unwrap();
    let labels = Labels::new().with("owner", "alice");
    let evaluation = policies.simulate(Principal::anonymous(), "a", labels, SystemTime::UNIX_EPOCH);
    assert!(matches!(evaluation.result(), Ok(Decision::Allow(_))), "{:?}", evaluation.result());
    let reads: Vec<String> =
        evaluation.trace().reads().map(|(read, value)| format!("{read}={value}")).collect();
    assert_eq!(reads, ["from-home-issuer=no", r#"label("owner")="alice""#]);
}

#[test]
fn a_component_that_sealed_constants_goes_on_working() {
    for rbac in [V0_1_1, V0_1_2_RBAC] {
        it_decides_by_its_constants(rbac);
    }
}

fn it_decides_by_its_constants(rbac: &[u8]) {
    let config = json!({
        "roles": {"document": {"name": "roles", "pointer": "/everybody"}},
        "permissions": {
            "clerk": [{"actions": ["orders.read"]}, {"methods": ["GET"], "routes": ["/orders/**"]}],
            "admin": [{"actions": ["orders.cancel"]}],
        },
    });
    let policies = PolicySetBuilder::new()
        .component("old", rbac)
        .reasons(["no-rule", "no-role"])
        .config(config)
        .document("roles", json!({"everybody": ["clerk"]}))
        .load()
        .unwrap();
    for (action, reason) in
        [("orders.read", None), ("orders.cancel", Some("no-role")), ("orders.destroy", Some("no-rule"))]
    {
        let evaluation =
            policies.simulate(Principal::anonymous(), action, Labels::new(), SystemTime::UNIX_EPOCH);
        let denied = match evaluation.result().as_ref().unwrap() {
            Decision::Allow(_) => None,
            Decision::Deny(denial) => Some(denial.reason().as_str().to_owned()),
        };
        assert_eq!(denied.as_deref(), reason, "{action}");
    }
}

/// Findings E7: under 0.1.0 and 0.1.1 a value was a template. What an old policy hands on of a
/// caller's text is never syntax any more: where it could be, there is no answer, since nobody
/// knows which of the two the policy meant.
#[test]
fn a_value_is_no_template_for_an_old_component_either() {
    let asks = |value: &str| {
        let config = json!({"log": true, "decide": {"do": [
            {"call": "data-contains", "with": ["roles", "/owners", value]},
        ], "answer": "allow"}});
        let policies = PolicySetBuilder::new()
            .component("old", V0_1_0)
            .config(config)
            .document("roles", json!({"owners": ["{label:owner}", "alice", "a/b"]}))
            .load()
            .unwrap();
        let labels = Labels::new().with("owner", "alice");
        let evaluation = policies.simulate(Principal::anonymous(), "a", labels, SystemTime::UNIX_EPOCH);
        match evaluation.result() {
            Ok(_) => evaluation.log().map(|(_, line)| line.to_owned()).next().unwrap(),
            Err(fault) => fault.code().to_owned(),
        }
    };
    for (value, said) in [
        ("alice", "data-contains=yes"),
        ("a/b", "data-contains=yes"),
        ("bob", "data-contains=no"),
        ("{label:owner}", "read-malformed-argument"),
        ("{subject}", "read-malformed-argument"),
        ("{", "read-malformed-argument"),
        ("a~1b", "read-malformed-argument"),
    ] {
        assert_eq!(asks(value), said, "{value}");
    }
}

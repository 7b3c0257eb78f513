//! Tests of the sandbox, used as a service uses it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::SystemTime;

use crate::authenticate::Principal;
use serde_json::json;

use crate::authorize::{Evaluation, ReadLimits};

use crate::authorize::{Asked, Question};
use crate::authorize::{Decision, Labels, SignalError, SignalSource};
use crate::authorize::{Params, RequestFacts, Target};
use crate::policies::Budget;
use crate::policies::PolicySetBuilder;

const PROBE: &[u8] = include_bytes!("../../../plugins/artifacts/probe.wasm");

struct Risk;
impl SignalSource for Risk {
    fn signal(&self, name: &str, _: &crate::authorize::Caller) -> Result<Option<String>, SignalError> {
        assert_eq!(name, "risk", "a bug in the source itself");
        Ok(Some("7".to_owned()))
    }
}

/// Asks one policy about `DELETE https://shop.test/orders/7?q=1`.
fn ask(bytes: &[u8], budget: Budget) -> Evaluation {
    ask_with_signal(bytes, budget, "risk")
}

fn ask_with_signal(bytes: &[u8], budget: Budget, signal: &str) -> Evaluation {
    let request = http::Request::delete("https://shop.test/orders/7?q=1")
        .header("x-a", "one")
        .header("x-b", "two")
        .header("x-b", "three")
        .header("authorization", "Bearer secret");
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let mut params = Params::default();
    params.push("id", "7");
    let facts = RequestFacts {
        parts: Box::new(parts),
        target: Target::new("shop.test", "/orders/7"),
        route: Some("/orders/{id}".into()),
        params,
    };
    let principal = Principal::anonymous().from_address(Some([10, 1, 2, 3].into()));
    let labels = Labels::new().with("owner", "alice");
    let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000);
    let policies = PolicySetBuilder::new()
        .component("policy", bytes)
        .budget(budget)
        .signal(signal)
        .signals(Risk)
        .document("roles", serde_json::json!({"alice": "admin", "users": ["alice"]}))
        .load()
        .unwrap();
    policies.current().evaluate(Box::new(Question::new(
        principal.facts(),
        Asked::Request(facts),
        labels,
        now,
    )))
}

macro_rules! guest {
    ($name:literal) => {
        include_bytes!(concat!("../../../plugins/artifacts/", $name, ".wasm"))
    };
}

#[test]
fn a_policy_that_was_compiled_against_0_1_0_goes_on_working() {
    let evaluation = ask(include_bytes!("../../tests/contract/0.1.0.wasm"), Budget::default());
    let Ok(Decision::Allow(obligations)) = evaluation.result() else { panic!("{:?}", evaluation.result()) };
    assert_eq!((obligations.request.len(), obligations.response.len()), (2, 2));
    assert_eq!(evaluation.log().collect::<Vec<_>>(), [("policy", "all was read")]);
    assert_eq!(reads_of(&evaluation), expected_reads());
}

/// It also stores a constant and copies headers by symbol.
#[test]
fn a_policy_that_was_compiled_against_0_1_1_goes_on_working() {
    let evaluation = ask(include_bytes!("../../tests/contract/0.1.1.wasm"), Budget::default());
    let Ok(Decision::Allow(obligations)) = evaluation.result() else { panic!("{:?}", evaluation.result()) };
    assert_eq!((obligations.request.len(), obligations.response.len()), (4, 4));
    let log: Vec<_> = evaluation.log().collect();
    assert_eq!(log, [("policy", "all was read"), ("policy", "what was kept")]);
    assert_eq!(reads_of(&evaluation), expected_reads(), "neither a constant nor a copy is a read");
}

fn reads_of(evaluation: &Evaluation) -> Vec<String> {
    evaluation.trace().reads().map(|(read, value)| format!("{read} = {value}")).collect()
}

fn expected_reads() -> Vec<&'static str> {
    EVERY_READ.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

/// What both guests in `tests/contract` read, in their order.
const EVERY_READ: &str = r#"
        action = absent
        method = "DELETE"
        host = "shop.test"
        path = "/orders/7"
        route = "/orders/{id}"
        param("id") = "7"
        path-matches("/orders/*") = yes
        header("x-a") = "one"
        header-values("x-b") = ["two", "three"]
        header-names = ["authorization", "x-a", "x-b"]
        query("q") = "1"
        label("owner") = "alice"
        has-peer = no
        peer-spiffe-id = absent
        peer-trust-domain = absent
        peer-authority = absent
        peer-dns-names = []
        peer-matches("spiffe://td/*") = no
        peer-has-dns-name("a.test") = no
        has-token = no
        issuer = absent
        subject = absent
        has-scope("orders:write") = no
        scopes = []
        has-audience("shop") = no
        claim-string("/tenant") = absent
        claim-int("/n") = absent
        claim-bool("/b") = absent
        claim-json("/org") = absent
        claim-contains("/groups", "admin") = no
        authenticated-within(300) = no
        uses-method("mfa") = no
        acr-is("urn:mfa") = no
        remote-ip = "10.1.2.3"
        remote-ip-in("10.0.0.0/8") = yes
        before(4102444800) = yes
        before-claim("/until") = no
        in-window("mon-sun 00:00-24:00") = yes
        now = 1800000000
        signal("risk") = "7"
        signal-at-least("risk", 3) = yes
        data-string("roles", "/alice") = "admin"
        data-json("roles", "") = "{\"alice\":\"admin\",\"users\":[\"alice\"]}"
        data-contains("roles", "/users", "alice") = yes
    "#;

#[test]
fn reads_of_a_request_that_fail_are_faults() {
    for (guest, code) in [
        (guest!("secret-header").as_slice(), "read-secret"),
        (guest!("bad-pattern"), "read-malformed-argument"),
        (guest!("undeclared-document"), "read-undeclared-document"),
        (guest!("undeclared-signal"), "read-undeclared-signal"),
    ] {
        let evaluation = ask(guest, Budget::default());
        assert_eq!(evaluation.result().clone().unwrap_err().code(), code);
        assert_eq!(evaluation.trace().reads().len(), 0, "a failed read has no value");
    }
}

#[test]
fn a_source_of_signals_that_panics_is_a_fault_and_the_question_comes_back() {
    let evaluation = ask_with_signal(guest!("undeclared-signal"), Budget::default(), "never-declared");
    assert_eq!(evaluation.result().clone().unwrap_err().code(), "panicked");
    assert_eq!(evaluation.question.request().unwrap().target.host(), "shop.test");
}

#[test]
fn no_credential_is_in_the_debug_form_of_an_evaluation() {
    let evaluation = ask(guest!("trap"), Budget::default());
    assert!(!format!("{evaluation:?}").contains("secret"));
}

#[test]
fn memory_for_an_answer_that_cannot_be_used_is_a_fault() {
    for (guest, code) in [
        (guest!("realloc-misaligned").as_slice(), "bad-argument"),
        (guest!("realloc-out-of-range"), "bad-argument"),
        (guest!("endless-realloc"), "fuel-spent"),
        (guest!("read-during-realloc"), "trap"),
    ] {
        let fault = ask(guest, Budget::default()).result().clone().unwrap_err();
        assert_eq!(fault.code(), code);
    }
}

#[test]
fn host_calls_and_what_they_carry_cost_fuel() {
    let bytes = include_bytes!("../../tests/contract/0.1.0.wasm");
    let used = ask(bytes, Budget::default()).fuel();
    // 52 calls of at least 200 each.
    assert!((10_400..40_000).contains(&used), "{used}");
    let mut budget = Budget::default();
    budget.fuel = 5_000;
    let fault = ask(bytes, budget).result().clone().unwrap_err();
    assert_eq!(fault.code(), "fuel-spent");
}

#[test]
fn the_question_comes_back_after_a_fault() {
    let evaluation = ask(guest!("trap"), Budget::default());
    assert_eq!(evaluation.result().clone().unwrap_err().code(), "trap");
    assert_eq!(evaluation.question.request().unwrap().target.host(), "shop.test");
}

#[test]
fn values_larger_than_the_arena_grow_the_memory_up_to_the_budget() {
    // `probe` has an arena of 256 KiB.
    let call = |document: &str| json!({ "call": "data-json", "with": [document, ""] });
    let decide = json!({
        "do": [call("large"), call("small"), call("large")], "answer": "deny"
    });
    let ask = |memory_bytes| {
        let mut budget = Budget::default();
        budget.memory_bytes = memory_bytes;
        budget.reads = ReadLimits { calls: 10, bytes: 2 << 20 };
        budget.wall_clock = std::time::Duration::from_secs(10);
        let policies = PolicySetBuilder::new()
            .component("probe", PROBE)
            .budget(budget)
            .config(json!({ "decide": decide }))
            .document("large", "x".repeat(300 << 10))
            .document("small", "y")
            .load()
            .unwrap();
        let now = std::time::SystemTime::UNIX_EPOCH;
        policies.simulate(Principal::anonymous(), "orders.read", Labels::new(), now)
    };
    let evaluation = ask(8 << 20);
    assert!(matches!(evaluation.result(), Ok(Decision::Deny(_))), "{:?}", evaluation.result());
    assert_eq!(evaluation.trace().reads().len(), 2, "each document counts once");
    assert_eq!(ask(512 << 10).result().clone().unwrap_err().code(), "memory-limit");
}

//! What a policy can do with the constants that it puts aside when it is loaded: nothing but get
//! them back. The guests are in `plugins/hostile`.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::time::SystemTime;

use serde_json::{Value, json};
use ztlib::authenticate::Principal;
use ztlib::authorize::Evaluation;
use ztlib::authorize::{Decision, Labels};
use ztlib::policies::{Budget, LoadError, PolicySetBuilder, PolicyStore};

macro_rules! guest {
    ($name:literal) => {
        include_bytes!(concat!("../../plugins/artifacts/", $name, ".wasm")).as_slice()
    };
}

fn load_with(bytes: &[u8], budget: Budget) -> Result<PolicyStore, LoadError> {
    PolicySetBuilder::new().component("guest", bytes).budget(budget).load()
}

/// The default in all but the wall clock, which is the one limit that depends on how busy the
/// machine is.
fn patient() -> Budget {
    let mut budget = Budget::default();
    budget.wall_clock = Budget::maximum().wall_clock;
    budget
}

fn load(bytes: &[u8]) -> Result<PolicyStore, LoadError> {
    load_with(bytes, patient())
}

fn ask(policies: &PolicyStore) -> Evaluation {
    policies.simulate(Principal::anonymous(), "test", Labels::new(), SystemTime::UNIX_EPOCH)
}

fn allows(policies: &PolicyStore) -> bool {
    matches!(ask(policies).result().as_ref().unwrap(), Decision::Allow(_))
}

fn refusal(bytes: &[u8]) -> (&'static str, String) {
    let error = load(bytes).unwrap_err();
    (error.code(), error.to_string())
}

fn fault(bytes: &[u8]) -> &'static str {
    ask(&load(bytes).unwrap()).result().clone().unwrap_err().code()
}

/// `rbac` with one permission, and whoever it is for.
fn rbac(budget: Budget) -> Result<PolicyStore, LoadError> {
    let permissions = json!({"admin": [{"methods": ["GET"], "routes": ["/a"], "actions": ["test"]}]});
    let config = json!({"roles": {"claims": ["/roles"]}, "permissions": permissions});
    PolicySetBuilder::new()
        .component("rbac", guest!("rbac"))
        .reasons(["no-rule", "no-role"])
        .config(config)
        .budget(budget)
        .load()
}

// When constants are put and got (T13).

#[test]
fn constants_are_put_aside_only_in_the_configure_at_load() {
    assert_eq!(fault(guest!("put-outside-configure")), "constant-outside-configure");
    assert_eq!(fault(guest!("seal-outside-configure")), "constant-outside-configure");
    let (code, text) = refusal(guest!("seal-during-start"));
    assert_eq!(code, "constant-outside-configure");
    assert!(text.contains("`seal`") && text.contains("in `configure`"), "{text}");
}

#[test]
fn getting_a_constant_before_decide_is_a_load_error() {
    let (code, text) = refusal(guest!("get-during-configure"));
    assert_eq!(code, "read-outside-decide");
    assert!(text.contains("`get`"), "{text}");
}

#[test]
fn what_was_put_aside_is_sealed_once_and_each_key_is_put_once() {
    for (bytes, code, advice) in [
        (guest!("put-after-seal"), "constants-sealed", "call `seal` once everything is put aside"),
        (guest!("put-twice"), "constant-put-twice", "a key of its own"),
        (guest!("put-without-seal"), "constants-not-sealed", "call `seal` at the end of `configure`"),
        (guest!("constant-key-not-utf8"), "bad-argument", "not UTF-8"),
    ] {
        let (refused, text) = refusal(bytes);
        assert_eq!(refused, code, "{text}");
        assert!(text.contains(advice), "{text}");
    }
    assert_eq!(fault(guest!("get-not-utf8")), "bad-argument");
}

// Each evaluation is the first (T1), though `configure` is not called in it.

#[test]
fn what_configure_left_in_memory_is_not_seen_by_a_sealed_policy() {
    let policies = load(guest!("sealed-keeps-state")).unwrap();
    for _ in 0..50 {
        assert!(!allows(&policies));
    }
}

#[test]
fn a_policy_finds_no_constants_but_its_own() {
    // One module, compiled once, under two configurations.
    let with = |config: &Value| {
        PolicySetBuilder::new().component("guest", guest!("seeks-a-constant")).config(config).load().unwrap()
    };
    let (own, other) = (with(&json!("secret")), with(&json!("another")));
    for _ in 0..20 {
        assert!(allows(&own));
        assert!(!allows(&other));
    }
    let both = PolicySetBuilder::new()
        .component("own", guest!("seeks-a-constant"))
        .config(json!("secret"))
        .component("other", guest!("seeks-a-constant"))
        .config(json!("another"));
    assert!(!allows(&both.load().unwrap()));
    let both = PolicySetBuilder::new()
        .component("own", guest!("seeks-a-constant"))
        .config(json!("secret"))
        .component("the-same", guest!("seeks-a-constant"))
        .config(json!("secret"));
    assert!(allows(&both.load().unwrap()));
}

#[test]
fn a_new_configuration_has_constants_of_its_own_from_the_next_question_on() {
    let with = |config: &Value| {
        PolicySetBuilder::new().component("guest", guest!("seeks-a-constant")).config(config)
    };
    let policies = with(&json!("secret")).load().unwrap();
    let first = ask(&policies);
    assert!(matches!(first.result(), Ok(Decision::Allow(_))));
    policies.replace(with(&json!("another"))).unwrap();
    let second = ask(&policies);
    assert!(matches!(second.result(), Ok(Decision::Deny(_))));
    assert_ne!(first.revision(), second.revision(), "the root of the trace (T6)");
    assert_eq!(first.trace().reads().len(), 0, "a constant is not a read");
}

#[test]
fn many_threads_get_constants_at_once() {
    let policies = load(guest!("sealed-keeps-state")).unwrap();
    let own = PolicySetBuilder::new()
        .component("guest", guest!("seeks-a-constant"))
        .config(json!("secret"))
        .load()
        .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert!(!allows(&policies));
                    assert!(allows(&own));
                }
            });
        }
    });
}

// Limits (P5, P7).

#[test]
fn constants_are_bounded_in_number_bytes_and_keys() {
    for (bytes, budget) in [
        (guest!("flood-of-constants"), "`constants`"),
        (guest!("flood-of-constant-bytes"), "`constant-bytes`"),
        (guest!("huge-constant"), "`constant-bytes`"),
        (guest!("huge-constant-key"), "`constant-key-bytes`"),
    ] {
        let (code, text) = refusal(bytes);
        assert_eq!(code, "constant-budget", "{text}");
        assert!(text.contains(budget) && text.contains("raise that budget in the manifest"), "{text}");
    }
    let tight = |change: fn(&mut Budget)| {
        let mut budget = Budget::default();
        change(&mut budget);
        rbac(budget).map(drop).map_err(|error| error.code())
    };
    // The policy, one route, one action.
    assert_eq!(tight(|budget| budget.constants = 3), Ok(()));
    assert_eq!(tight(|budget| budget.constants = 2), Err("constant-budget"));
    assert_eq!(tight(|budget| budget.constant_bytes = 20), Err("constant-budget"));
    assert_eq!(tight(|budget| budget.constant_bytes = 64 << 20), Err("budget-too-large"));
}

#[test]
fn putting_and_getting_cost_fuel() {
    assert_eq!(fault(guest!("flood-of-gets")), "fuel-spent");
    let mut budget = Budget::default();
    budget.config_fuel = 100_000;
    assert_eq!(load_with(guest!("flood-of-constants"), budget).unwrap_err().code(), "fuel-spent");
}

#[test]
fn a_sealed_policy_costs_no_configure_and_the_same_each_time() {
    let policies = rbac(Budget::default()).unwrap();
    let (first, again) = (ask(&policies), ask(&policies));
    assert!(matches!(first.result(), Ok(Decision::Deny(denial)) if denial.reason().as_str() == "no-role"));
    assert_eq!((first.fuel(), first.trace()), (again.fuel(), again.trace()));
    let mut little = Budget::default();
    little.fuel = 1;
    let starting = rbac(little).map(drop).unwrap_err().to_string();
    let starting = starting.split(' ').find_map(|word| word.parse::<u64>().ok()).unwrap();
    // Reading that configuration alone costs over ten thousand.
    assert!(first.fuel() - starting < 10_000, "{} of which {starting} to start", first.fuel());
}

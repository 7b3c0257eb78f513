//! What a policy can do to its host: nothing. One test a behaviour; the guests are in
//! `plugins/hostile`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set itself up has failed"
)]

#[path = "support/guest.rs"]
mod guest;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use guest::{ONE_PAGE, guest, guest_with, text};

use proptest::prelude::*;
use ztlib::authenticate::Principal;
use ztlib::authorize::Evaluation;
use ztlib::authorize::{Decision, Labels};
use ztlib::policies::{Budget, LoadError, PolicySetBuilder, PolicyStore};

const ALLOW_ALL: &[u8] = include_bytes!("../../plugins/artifacts/allow-all.wasm");
const DENY_ALL: &[u8] = include_bytes!("../../plugins/artifacts/deny-all.wasm");

macro_rules! hostile {
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

fn refusal(bytes: &[u8]) -> &'static str {
    load(bytes).unwrap_err().code()
}

/// The code of the fault that ends an evaluation; and that the host is as good as before.
fn fault_with(bytes: &[u8], budget: Budget) -> &'static str {
    let policies = load_with(bytes, budget).unwrap();
    let evaluation = ask(&policies);
    let fault = evaluation.result().clone().unwrap_err();
    assert_eq!(fault.policy(), Some("guest"));
    assert!(matches!(ask(&load(ALLOW_ALL).unwrap()).result(), Ok(Decision::Allow(_))));
    fault.code()
}

fn fault(bytes: &[u8]) -> &'static str {
    fault_with(bytes, patient())
}

fn component(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap()
}

#[test]
fn a_component_is_loaded_and_asked() {
    assert!(matches!(ask(&load(ALLOW_ALL).unwrap()).result(), Ok(Decision::Allow(_))));
    assert!(matches!(ask(&load(DENY_ALL).unwrap()).result(), Ok(Decision::Deny(_))));
}

// What a policy may import (T2).

#[test]
fn an_import_of_wasi_is_refused_by_name() {
    let error = load(hostile!("forbidden-import")).unwrap_err();
    assert_eq!(error.code(), "forbidden-import");
    assert!(error.to_string().contains("`wasi:clocks/monotonic-clock@0.2.0`"), "{error}");
    assert!(error.to_string().contains("without WASI"), "{error}");
}

#[test]
fn any_other_import_is_refused_by_name() {
    for (import, code) in [
        (r#"(import "env" (func))"#, "forbidden-import"),
        (r#"(import "ztlib:policy/request" (instance))"#, "forbidden-import"),
        (r#"(import "ztlib:policy/secrets@0.1.0" (instance))"#, "forbidden-import"),
        (r#"(import "ztlib:policy/guard@0.1.0" (instance))"#, "forbidden-import"),
        (r#"(import "a" (core module))"#, "forbidden-import"),
        (r#"(import "ztlib:policy/request@0.2.0" (instance))"#, "wrong-contract"),
        (r#"(import "ztlib:policy/request@0.1.0" (instance (export "fly" (func))))"#, "wrong-contract"),
        (
            r#"(import "ztlib:policy/request@0.1.0" (instance (export "method" (func (result u32)))))"#,
            "wrong-contract",
        ),
    ] {
        let error = load(&component(&format!("(component {import})"))).unwrap_err();
        assert_eq!(error.code(), code, "{import}: {error}");
        let name = import.split('"').nth(1).unwrap();
        assert!(error.to_string().contains(&format!("`{name}`")), "{import}: {error}");
    }
    let fly = r#"(component (import "ztlib:policy/request@0.1.0" (instance (export "fly" (func)))))"#;
    let error = load(&component(fly)).unwrap_err();
    assert!(error.to_string().contains("`fly`"), "{error}");
}

#[test]
fn a_contract_of_another_version_is_refused_by_name() {
    let error = load(hostile!("future-contract")).unwrap_err();
    assert_eq!(error.code(), "wrong-contract");
    assert!(error.to_string().contains("9.9.0"), "{error}");
}

#[test]
fn what_exports_no_guard_is_refused() {
    assert_eq!(refusal(hostile!("no-guard")), "missing-export");
    assert_eq!(
        refusal(&component(
            "(component (instance $guard) (export \"ztlib:policy/guard@0.2.0\" (instance $guard)))"
        )),
        "missing-export"
    );
}

// What is loaded (threats 73, 74).

#[test]
fn what_is_no_component_is_refused() {
    assert_eq!(refusal(b""), "not-a-component");
    assert_eq!(refusal(b"(component)"), "not-a-component");
    assert_eq!(refusal(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"), "not-a-component");
    let error = load(&component("(module)")).unwrap_err();
    assert_eq!(error.code(), "not-a-component");
    assert!(error.to_string().contains("core module"), "{error}");
}

#[test]
fn a_truncated_component_is_refused_wherever_it_is_cut() {
    for end in (0..ALLOW_ALL.len()).step_by(61) {
        assert!(load(&ALLOW_ALL[..end]).is_err(), "{end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Nothing but "it does not load", or a policy inside of its limits, comes of any bytes.
    #[test]
    fn a_damaged_component_harms_nobody(at in 0..hostile!("flip-flop").len(), with: u8) {
        let mut bytes = hostile!("flip-flop").to_vec();
        bytes[at] ^= with;
        if let Ok(policies) = load(&bytes) {
            let _ = ask(&policies);
        }
        prop_assert!(ask(&load(DENY_ALL).unwrap()).result().is_ok());
    }
}

#[test]
fn what_would_cost_too_much_to_compile_is_refused() {
    let with = |change: fn(&mut Budget)| {
        let mut budget = Budget::default();
        change(&mut budget);
        load_with(ALLOW_ALL, budget).unwrap_err().code()
    };
    assert_eq!(with(|budget| budget.module_bytes = 1024), "module-too-large");
    assert_eq!(with(|budget| budget.functions = 1), "too-many-functions");
    assert_eq!(with(|budget| budget.function_bytes = 8), "function-too-large");
    assert!(load(ALLOW_ALL).is_ok());
}

#[test]
fn nondeterministic_features_are_refused() {
    assert_eq!(refusal(hostile!("relaxed-simd")), "not-compilable");
    assert_eq!(refusal(hostile!("shared-memory")), "not-compilable");
    assert_eq!(refusal(&component("(component (core module (memory i64 1)))")), "not-compilable");
    assert_eq!(refusal(&component("(component (core module (memory 1 2 shared)))")), "not-compilable");
}

#[test]
fn a_component_of_many_instances_is_refused() {
    let instances = "(core instance (instantiate $m))".repeat(40);
    let wat = format!("(component (core module $m (memory 1)) {instances})");
    assert!(["not-compilable", "missing-export"].contains(&refusal(&component(&wat))));
}

#[test]
fn a_component_that_is_linked_of_forty_instances_runs_and_one_of_seventy_is_refused() {
    let of = |number: usize| {
        let instances = "(core instance (instantiate $empty))".repeat(number);
        guest_with("", "i32.const 0", &format!("(core module $empty) {instances}"))
    };
    assert!(matches!(ask(&load(&of(40)).unwrap()).result(), Ok(Decision::Allow(_))));
    assert_eq!(refusal(&of(70)), "too-many-instances");
}

#[test]
fn a_guest_that_is_larger_than_its_budget_is_refused_with_what_to_raise() {
    let large = "(memory (export \"memory\") 160) (table 15000 funcref)";
    let large = component(&text("", "i32.const 0", "").replace(ONE_PAGE, large));
    let mut budget = Budget::default();
    let refused = |budget: &Budget| {
        let error = load_with(&large, budget.clone()).unwrap_err();
        (error.code(), error.to_string())
    };
    budget.module_bytes = 100;
    let (code, text) = refused(&budget);
    assert!(code == "module-too-large" && text.contains("`module-bytes` is 100: raise it"), "{text}");
    budget.module_bytes = 4 << 20;
    let (code, text) = refused(&budget);
    assert!(code == "memory-limit" && text.contains("raise `memory-bytes`"), "{text}");
    budget.memory_bytes = 16 << 20;
    let (code, text) = refused(&budget);
    assert!(code == "table-limit" && text.contains("raise `table-elements`"), "{text}");
    budget.table_elements = 15_000;
    assert!(matches!(ask(&load_with(&large, budget).unwrap()).result(), Ok(Decision::Allow(_))));
    let error = load(hostile!("endless-configure")).unwrap_err();
    assert!(error.to_string().contains("raise `config-fuel`"), "{error}");
}

#[test]
fn memory_or_tables_beyond_the_engine_are_refused_when_loaded() {
    assert_eq!(refusal(hostile!("huge-memory")), "memory-limit");
    assert_eq!(refusal(hostile!("huge-table")), "table-limit");
}

// Starting and configuring (T13).

#[test]
fn reading_or_saying_anything_before_decide_is_a_load_error() {
    for (bytes, function) in [
        (hostile!("read-during-start"), "`has-token`"),
        (hostile!("read-during-configure"), "`has-token`"),
        (hostile!("log-during-configure"), "`log`"),
    ] {
        let error = load(bytes).unwrap_err();
        assert_eq!(error.code(), "read-outside-decide");
        assert!(error.to_string().contains(function), "{error}");
    }
    assert_eq!(refusal(hostile!("read-during-post-return")), "trap");
}

#[test]
fn a_policy_that_never_finishes_starting_is_refused() {
    for bytes in [hostile!("endless-start"), hostile!("endless-configure"), hostile!("endless-post-return")] {
        assert_eq!(refusal(bytes), "fuel-spent");
    }
    assert_eq!(refusal(hostile!("trap-in-configure")), "trap");
}

#[test]
fn a_result_of_configure_that_fits_no_type_is_refused() {
    assert_eq!(refusal(hostile!("result-out-of-range")), "bad-answer");
    assert_eq!(refusal(hostile!("unknown-result")), "bad-answer");
}

#[test]
fn an_error_text_of_a_policy_is_bounded() {
    let error = load(hostile!("huge-configure-error")).unwrap_err();
    assert!(["bad-answer", "configure-refused"].contains(&error.code()), "{error}");
    assert!(error.to_string().len() < 2048, "{}", error.to_string().len());
    let mut budget = Budget::default();
    budget.argument_bytes = 1 << 20;
    let error = load_with(hostile!("huge-configure-error"), budget).unwrap_err();
    assert_eq!(error.code(), "configure-refused");
    assert!(error.to_string().len() < 2048, "{}", error.to_string().len());
}

// Budgets that nothing else watches.

#[test]
fn what_a_read_returns_costs_fuel() {
    let probe = include_bytes!("../../plugins/artifacts/probe.wasm");
    let fuel = |bytes: usize| {
        let call = serde_json::json!({ "call": "data-json", "with": ["text", ""] });
        let decide = serde_json::json!({ "do": [call], "answer": "deny" });
        let mut budget = patient();
        budget.reads.bytes = 1 << 20;
        let policies = PolicySetBuilder::new()
            .component("probe", probe)
            .budget(budget)
            .config(serde_json::json!({ "decide": decide }))
            .document("text", "x".repeat(bytes))
            .load()
            .unwrap();
        let evaluation = ask(&policies);
        assert!(matches!(evaluation.result(), Ok(Decision::Deny(_))), "{:?}", evaluation.result());
        evaluation.fuel()
    };
    assert!(fuel(100_010) >= fuel(10) + 100_000, "{} {}", fuel(10), fuel(100_010));
}

#[test]
fn several_memories_share_one_budget() {
    let grown = "(core module $n (memory 1) (func $s i32.const 5 memory.grow drop) (start $s))";
    let outside = format!("{grown} {}", "(core instance (instantiate $n))".repeat(2));
    let bytes = guest_with("", "i32.const 0", &outside);
    let load = |pages: usize| {
        let mut budget = patient();
        budget.memory_bytes = pages << 16;
        load_with(&bytes, budget)
    };
    // One page, and twice six.
    assert_eq!(load(12).unwrap_err().code(), "memory-limit");
    assert!(matches!(ask(&load(13).unwrap()).result(), Ok(Decision::Allow(_))));
}

#[test]
fn code_that_was_compiled_under_a_larger_budget_is_held_to_the_smaller_one() {
    let mut small = Budget::default();
    small.functions = 1;
    let both = |second: Budget| {
        let set = PolicySetBuilder::new().component("large", ALLOW_ALL).budget(Budget::default());
        set.component("small", ALLOW_ALL).budget(second).load()
    };
    let error = both(small).unwrap_err();
    assert_eq!((error.code(), error.policy()), ("too-many-functions", Some("small")));
    assert!(both(Budget::default()).is_ok());
}

// Each evaluation is the first (T1, threat 80).

#[test]
fn no_state_survives_from_one_evaluation_to_the_next() {
    let policies = load(hostile!("keeps-state")).unwrap();
    for _ in 0..50 {
        assert!(matches!(ask(&policies).result(), Ok(Decision::Deny(_))));
    }
}

#[test]
fn no_memory_of_another_instance_is_seen() {
    let (one, other) = (load(hostile!("leaves-a-secret")).unwrap(), load(hostile!("keeps-state")).unwrap());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert!(matches!(ask(&one).result(), Ok(Decision::Deny(_))));
                    assert!(matches!(ask(&other).result(), Ok(Decision::Deny(_))));
                }
            });
        }
    });
}

#[test]
fn a_fault_poisons_nothing() {
    let (bad, good) = (load(hostile!("trap")).unwrap(), load(DENY_ALL).unwrap());
    for _ in 0..100 {
        assert_eq!(ask(&bad).result().clone().unwrap_err().code(), "trap");
        assert!(matches!(ask(&good).result(), Ok(Decision::Deny(_))));
    }
}

// Limits (threats 75 to 78).

#[test]
fn an_endless_loop_ends_with_its_fuel() {
    assert_eq!(fault(hostile!("endless-loop")), "fuel-spent");
    let mut budget = Budget::default();
    budget.fuel = 1000;
    assert_eq!(fault_with(hostile!("endless-loop"), budget), "fuel-spent");
}

#[test]
fn the_wall_clock_stops_what_fuel_does_not() {
    let mut budget = Budget::maximum();
    budget.wall_clock = Duration::from_millis(20);
    assert_eq!(fault_with(hostile!("endless-loop"), budget), "deadline-passed");
}

#[test]
fn memory_that_cannot_grow_traps_and_never_tells() {
    assert_eq!(fault(hostile!("memory-bomb")), "memory-limit");
    let mut budget = Budget::maximum();
    // Asking for four gigabytes at once costs fuel for each page, or it is refused: never a −1.
    assert!(["memory-limit", "fuel-spent"].contains(&fault(hostile!("memory-grow-failing"))));
    budget.wall_clock = Duration::from_secs(5);
    assert_eq!(fault_with(hostile!("memory-grow-failing"), budget), "memory-limit");
}

#[test]
fn tables_that_cannot_grow_trap_and_never_tell() {
    assert_eq!(fault(hostile!("table-bomb")), "table-limit");
    assert_eq!(fault_with(hostile!("table-grow-failing"), Budget::maximum()), "table-limit");
}

#[test]
fn a_memory_that_declares_its_own_maximum_traps_too() {
    let decide =
        "(if (i32.eq (memory.grow (i32.const 5)) (i32.const -1)) (then (return (i32.const 0)))) i32.const 1";
    let wat = text("", decide, "").replace(ONE_PAGE, "(memory (export \"memory\") 1 2)");
    assert_eq!(fault(&component(&wat)), "memory-limit");
}

#[test]
fn filling_memory_over_and_over_costs_fuel() {
    let decide =
        "(loop $again (memory.fill (i32.const 0) (i32.const 7) (i32.const 60000)) (br $again)) i32.const 0";
    assert_eq!(fault(&guest("", decide)), "fuel-spent");
}

#[test]
fn deep_recursion_is_a_fault() {
    assert_eq!(fault(hostile!("deep-recursion")), "stack-overflow");
}

#[test]
fn a_flood_of_reads_is_a_fault() {
    assert_eq!(fault(hostile!("flood-of-reads")), "read-budget");
    assert_eq!(fault(hostile!("flood-of-distinct-reads")), "read-budget");
    let mut budget = Budget::default();
    budget.reads.bytes = 100;
    assert_eq!(fault_with(hostile!("flood-of-distinct-reads"), budget), "read-budget");
}

#[test]
fn what_a_policy_hands_over_is_capped_before_it_is_copied() {
    for bytes in [
        hostile!("huge-argument"),
        hostile!("huge-reason"),
        hostile!("huge-message"),
        hostile!("huge-header"),
        hostile!("huge-log"),
    ] {
        assert_eq!(fault(bytes), "bad-argument");
    }
}

#[test]
fn a_flood_of_headers_or_log_lines_is_a_fault() {
    assert_eq!(fault(hostile!("flood-of-headers")), "fuel-spent");
    assert_eq!(fault(hostile!("flood-of-logs")), "outcome-budget");
}

#[test]
fn a_budget_beyond_the_engine_is_refused() {
    let mut budget = Budget::default();
    budget.fuel = u64::MAX;
    assert_eq!(load_with(ALLOW_ALL, budget).unwrap_err().code(), "budget-too-large");
}

// Values that are none (threats 81, 85).

#[test]
fn texts_out_of_range_or_not_utf8_are_faults() {
    assert_eq!(fault(hostile!("argument-out-of-range")), "bad-argument");
    assert_eq!(fault(hostile!("invalid-utf8")), "bad-argument");
}

#[test]
fn an_answer_that_is_none_is_a_fault() {
    assert_eq!(fault(hostile!("unknown-answer")), "bad-answer");
}

#[test]
fn what_cannot_go_with_an_answer_is_a_fault() {
    for (bytes, code) in [
        (hostile!("crlf-in-header"), "outcome-malformed-header"),
        (hostile!("crlf-in-header-name"), "outcome-malformed-header"),
        (hostile!("reserved-header"), "outcome-reserved-header"),
        (hostile!("malformed-source"), "outcome-malformed-source"),
        (hostile!("secret-source"), "outcome-secret-source"),
        (hostile!("control-in-message"), "outcome-malformed-message"),
        (hostile!("malformed-reason"), "outcome-malformed-reason"),
        (hostile!("undeclared-reason"), "outcome-undeclared-reason"),
        (hostile!("empty-step-up"), "outcome-malformed-step-up"),
        (hostile!("undeclared-document"), "read-undeclared-document"),
        (hostile!("undeclared-signal"), "read-undeclared-signal"),
    ] {
        assert_eq!(fault(bytes), code);
    }
}

// Determinism (T3, threat 84).

#[test]
fn the_same_question_costs_and_reads_and_answers_the_same() {
    let policies = load(hostile!("flip-flop")).unwrap();
    let first = ask(&policies);
    for _ in 0..20 {
        let again = ask(&policies);
        assert_eq!(
            (again.fuel(), again.trace(), again.result()),
            (first.fuel(), first.trace(), first.result())
        );
    }
    assert!(matches!(ask(&load(hostile!("float-nan")).unwrap()).result(), Ok(Decision::Allow(_))));
}

#[test]
fn a_read_gives_the_same_however_often_it_is_made() {
    let policies =
        PolicySetBuilder::new().component("twice", hostile!("reads-twice")).may_abstain().load().unwrap();
    let evaluation = ask(&policies);
    assert!(
        matches!(evaluation.result(), Ok(Decision::Deny(denial)) if denial.reason().as_str() == "no-policy-allowed")
    );
    assert_eq!(evaluation.trace().reads().len(), 1);
}

#[test]
fn many_evaluations_at_once_all_find_a_place() {
    let policies = Arc::new(load(hostile!("leaves-a-secret")).unwrap());
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let policies = policies.clone();
            std::thread::spawn(move || (0..100).all(|_| ask(&policies).result().is_ok()))
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}

/// Without a stack of its own for the policy, the smaller ones end the whole process.
#[test]
fn deep_recursion_is_a_fault_however_small_the_threads_stack() {
    for stack in [64 << 10, 256 << 10, 768 << 10, 1 << 20, 2 << 20] {
        let (deep, good) = (load(hostile!("deep-recursion")).unwrap(), load(ALLOW_ALL).unwrap());
        let on_it = move || (ask(&deep), ask(&good));
        let thread = std::thread::Builder::new().stack_size(stack).spawn(on_it).unwrap();
        let (deep, good) = thread.join().unwrap();
        assert_eq!(deep.result().clone().unwrap_err().code(), "stack-overflow", "on {stack} bytes");
        assert!(matches!(good.result(), Ok(Decision::Allow(_))), "on {stack} bytes");
    }
}

/// Locals that are used in the innermost of nested loops are parameters of every one of them once
/// they are compiled.
#[test]
fn a_function_whose_loops_and_locals_would_take_long_to_compile_is_refused() {
    let guest = |loops: usize, locals: usize| {
        let mut decide = "(local".to_owned();
        decide.push_str(&" i64".repeat(locals));
        decide.push(')');
        decide.push_str(&" loop".repeat(loops));
        for local in 0..locals {
            decide.push_str(&format!(" local.get {local} i64.const 1 i64.add local.set {local}"));
        }
        decide.push_str(&" end".repeat(loops));
        decide.push_str(" i32.const 0");
        self::guest::guest("", &decide)
    };
    // It would take twenty seconds and 370 MB.
    let long = guest(1000, 3000);
    assert!(long.len() < 32_000, "{}", long.len());
    assert_eq!(refusal(&long), "function-too-deep");
    assert!(matches!(ask(&load(&guest(100, 300)).unwrap()).result(), Ok(Decision::Allow(_))));
}

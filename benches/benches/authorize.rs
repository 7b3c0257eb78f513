//! Stage 2: one evaluation in a fresh sandbox. Nothing is decided from the cache here.

#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::time::SystemTime;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use ztlib::authenticate::Principal;
use ztlib::authenticate::token::{Algorithm, BearerToken};
use ztlib::authorize::{Decision, Labels};
use ztlib::policies::{Budget, PolicyStore, PolicySetBuilder};
use ztlib_benches::{ALLOW_ALL, Caller, RBAC};

/// rbac that goes through its rules one by one.
const RBAC_LINEAR: &[u8] = include_bytes!("../../plugins/artifacts/rbac-linear.wasm");
/// rbac as `wit-component` puts it together, with a table between it and its imports.
const RBAC_THROUGH_A_TABLE: &[u8] = include_bytes!("../../plugins/compat/v0_1_1_rbac.wasm");
/// rbac that is configured in every evaluation, as policies of the contract 0.1.0 are.
const PROBE: &[u8] = include_bytes!("../../plugins/artifacts/probe.wasm");

fn fresh(c: &mut Criterion) {
    let mut group = c.benchmark_group("authorize/fresh");
    let bench = Bench::new();
    bench.run(&mut group, "allow-all", &many(1, ALLOW_ALL, &Value::Null));
    for rules in [20, 200, 2_000, 10_000] {
        bench.run(&mut group, &format!("rbac, {rules} rules"), &many(1, RBAC, &rbac(rules)));
    }
    bench.run(&mut group, "rbac, 200 rules, through a table", &many(1, RBAC_THROUGH_A_TABLE, &rbac(200)));
    bench.run(&mut group, "rbac-linear, 20 rules", &many(1, RBAC_LINEAR, &rbac(20)));
    bench.run(&mut group, "rbac-linear, 200 rules", &many(1, RBAC_LINEAR, &rbac(200)));
    let reads = json!({ "decide": { "do": [{ "call": "action" }], "answer": "allow" } });
    bench.run(&mut group, "probe, configured each time", &many(1, PROBE, &reads));
    group.finish();
}

fn sets(c: &mut Criterion) {
    let mut group = c.benchmark_group("authorize/set");
    let bench = Bench::new();
    for policies in [1, 2, 5, 10] {
        bench.run(&mut group, &format!("{policies} × allow-all"), &many(policies, ALLOW_ALL, &Value::Null));
        bench.run(&mut group, &format!("{policies} × rbac, 200 rules"), &many(policies, RBAC, &rbac(200)));
    }
    group.finish();
}

/// What a change of policies costs before it is in force: the modules are compiled already, the
/// policy is configured.
fn reload(c: &mut Criterion) {
    let mut group = c.benchmark_group("authorize/configure");
    group.sample_size(10);
    for rules in [200, 2_000] {
        let config = rbac(rules);
        let policies = many(1, RBAC, &config);
        group.bench_function(format!("rbac, {rules} rules"), |b| {
            b.iter(|| policies.replace(set(1, RBAC, black_box(&config))).unwrap());
        });
    }
    group.finish();
}

struct Bench {
    principal: Principal,
    now: SystemTime,
}

impl Bench {
    fn new() -> Self {
        let caller = Caller::new(Algorithm::ES256);
        let now = SystemTime::now();
        let claims = caller.verifier().verify(&BearerToken::new(&caller.token).unwrap(), now).unwrap();
        Self { principal: Principal::new(None, Some(claims)), now }
    }

    fn run(&self, group: &mut BenchmarkGroup<'_, WallTime>, name: &str, policies: &PolicyStore) {
        group.bench_function(name, |b| {
            b.iter(|| {
                let evaluation = policies.simulate(
                    self.principal.clone(),
                    black_box("orders.read"),
                    Labels::new(),
                    self.now,
                );
                assert!(matches!(evaluation.result(), Ok(Decision::Allow(_))), "{:?}", evaluation.result());
            });
        });
    }
}

fn many(policies: usize, component: &[u8], config: &Value) -> PolicyStore {
    set(policies, component, config).load().unwrap()
}

fn set(policies: usize, component: &[u8], config: &Value) -> PolicySetBuilder {
    // Ten thousand rules are more than the default budget is for.
    let mut budget = Budget::default();
    (budget.config_bytes, budget.config_fuel) = (4 << 20, 1_000_000_000);
    (budget.memory_bytes, budget.wall_clock) = (64 << 20, std::time::Duration::from_secs(5));
    (budget.constants, budget.constant_bytes) = (65_536, 16 << 20);
    (0..policies).fold(PolicySetBuilder::new(), |set, number| {
        let set = set.component(&format!("policy-{number}"), component).budget(budget.clone());
        let set = set.reasons(["no-rule", "no-role"]);
        if config.is_null() { set } else { set.config(config) }
    })
}

/// So many permissions of one role, of which the last covers the question.
fn rbac(rules: usize) -> Value {
    let rule = |n: usize| match n == rules {
        true => json!({ "methods": ["GET"], "routes": ["/orders/{id}"], "actions": ["orders.read"] }),
        false => json!({
            "methods": ["GET"], "routes": [format!("/api/v{n}/users/{{id}}")], "actions": [format!("v{n}.read")]
        }),
    };
    let rules: Vec<Value> = (1..=rules).map(rule).collect();
    json!({ "roles": { "claims": ["/roles"] }, "permissions": { "admin": rules } })
}

criterion_group!(benches, fresh, sets, reload);
criterion_main!(benches);

//! Stage 2: one evaluation in a fresh sandbox.

#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::time::SystemTime;

use criterion::{Criterion, criterion_group, criterion_main};
use ztlib::authenticate::Principal;
use ztlib::authenticate::token::{Algorithm, BearerToken};
use ztlib::authorize::{Decision, Labels};
use ztlib_benches::{Caller, allow_all, rbac};

fn fresh(c: &mut Criterion) {
    let caller = Caller::new(Algorithm::ES256);
    let now = SystemTime::now();
    let claims = caller.verifier().verify(&BearerToken::new(&caller.token).unwrap(), now).unwrap();
    let principal = Principal::new(None, Some(claims));
    let mut group = c.benchmark_group("authorize/fresh");
    let sets = [
        ("allow-all", allow_all()),
        ("rbac, 20 rules", rbac(20)),
        ("rbac, 200 rules", rbac(200)),
        ("rbac, 2000 rules", rbac(2000)),
    ];
    for (name, policies) in sets {
        group.bench_function(name, |b| {
            b.iter(|| {
                let evaluation =
                    policies.rehearse(principal.clone(), black_box("orders.read"), Labels::new(), now);
                assert!(matches!(evaluation.result(), Ok(Decision::Allow(_))), "{:?}", evaluation.result());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, fresh);
criterion_main!(benches);

//! The scenarios of `conformance/` against a guarded axum router over mTLS on a real socket,
//! compared with the reference model.

use std::future::pending;
use std::io::Write as _;
use std::path::Path;

use axum::Router;
use axum::routing::any;
use ztlib_axum::{GuardedRouter, Permit, serve};
use ztlib_conformance::scenario::{Cast, Scenarios};
use ztlib_conformance::stack::{HTTP_ROUTES, SocketStack, run};

/// Every route of the scenarios; those under `/v1` in a nested router.
fn router() -> Router {
    let reached = |template: &'static str| any(move |_: Permit| async move { [("x-reached", template)] });
    let (mut router, mut v1) = (Router::new(), Router::new());
    for template in HTTP_ROUTES.iter().copied() {
        match template.strip_prefix("/v1") {
            Some(below) => v1 = v1.route(below, reached(template)),
            None => router = router.route(template, reached(template)),
        }
    }
    router.nest("/v1", v1).fallback(|_: Permit| async { [("x-reached", "fallback")] })
}

#[test]
fn axum_over_sockets_and_the_model_agree_on_every_http_scenario() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance"));
    let scenarios = Scenarios::read(folder).unwrap_or_else(|error| panic!("{error}"));
    let cast = Cast::new(&scenarios).unwrap_or_else(|error| panic!("{error}"));
    let mut stack = SocketStack::new("axum", false, |server, guard| {
        let guarded = GuardedRouter::new(guard, router());
        Box::pin(async move {
            serve(server, guarded, pending()).await;
        })
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let report = run(&cast, &mut stack).unwrap_or_else(|error| panic!("{error}"));
    // Not `println!`: how many cases ran is to be seen where the test passes too.
    let _ = writeln!(std::io::stderr(), "{}", report.summary());
    report.verdict(150).unwrap_or_else(|disagreements| panic!("{disagreements}"));
}

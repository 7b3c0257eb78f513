//! What is told of a service whose layers stand in the wrong order, over the real router. The log
//! is that of the process, so it is one test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test"
)]

#[path = "../../ztlib/tests/support/mod.rs"]
mod support;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Extensions, Request};
use tower::ServiceExt as _;
use tower_http::cors::CorsLayer;
use tower_http::normalize_path::NormalizePathLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use ztlib_axum::GuardedRouter;
use ztlib_testing::Log;

use support::{World, allow};

/// A request of alice through the frontend, with these headers.
fn request(world: &World, peer: &Extensions, method: &str, path: &str, headers: &[&str]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("host", "shop.test");
    request = request.header("authorization", format!("Bearer {}", world.token().sign()));
    for name in headers {
        request = request.header(*name, "https://shop.example");
    }
    let mut request = request.body(Body::empty()).unwrap();
    *request.extensions_mut() = peer.clone();
    request
}

#[tokio::test]
async fn a_layer_in_the_wrong_place_is_told_of_at_the_first_request_that_shows_it_and_once() {
    let log = Log::of_this_process().expect("nobody else listens");
    let world = World::new();
    let peer = world.frontend().await;
    let orders = || Router::new().route("/orders/{id}", get(async || "an order"));
    let guard = || world.guard(allow()).build();
    // What is told while three such requests are sent.
    let told = async |service: GuardedRouter, method: &str, path: &str, headers: &[&str]| {
        log.take();
        for _ in 0..3 {
            let request = request(&world, &peer, method, path, headers);
            let _ = service.clone().oneshot(request).await.unwrap();
        }
        let warnings = log.take().into_iter().filter(|line| line.starts_with("ztlib::guard"));
        warnings.collect::<Vec<_>>()
    };
    let once_of = |told: Vec<String>, words: &[&str]| {
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(words.iter().all(|words| told[0].contains(words)), "{told:?}");
    };
    let none = Vec::<String>::new();
    let cors = CorsLayer::permissive;
    let (set, propagate) =
        (|| SetRequestIdLayer::x_request_id(MakeRequestUuid), PropagateRequestIdLayer::x_request_id);
    let trim = NormalizePathLayer::trim_trailing_slash;

    // CORS: a request of another origin shows it before the first preflight is refused.
    let inside = GuardedRouter::new(guard(), orders().layer(cors()));
    once_of(told(inside, "GET", "/orders/7", &["origin"]).await, &["CORS", "layer_outside"]);
    let outside = GuardedRouter::new(guard(), orders()).layer_outside(cors());
    assert_eq!(told(outside, "GET", "/orders/7", &["origin"]).await, none);

    // Request ids.
    let inside = GuardedRouter::new(guard(), orders().layer(propagate()).layer(set()));
    once_of(told(inside, "GET", "/orders/7", &[]).await, &["x-request-id", "layer_outside"]);
    let outside = GuardedRouter::new(guard(), orders()).layer_outside(propagate()).layer_outside(set());
    assert_eq!(told(outside, "GET", "/orders/7", &[]).await, none);

    // A path that is changed too late.
    let before = GuardedRouter::new(guard(), orders()).layer_before_routing(trim());
    assert_eq!(told(before, "GET", "/orders/7/", &[]).await, none);
    let nested = Router::new().nest("/shop", orders());
    let nested = GuardedRouter::new(guard(), nested);
    assert_eq!(told(nested, "GET", "/shop/orders/7", &[]).await, none);
    // Inside of another router the prefix is gone, and nothing is wrong.
    let outer = Router::new().nest_service("/shop", GuardedRouter::new(guard(), orders()));
    log.take();
    let inside = request(&world, &peer, "GET", "/shop/orders/7", &[]);
    assert_eq!(outer.oneshot(inside).await.unwrap().status(), 200);
    assert!(log.take().iter().all(|line| !line.starts_with("ztlib::guard")));
    let outside = GuardedRouter::new(guard(), orders()).layer_outside(trim());
    once_of(told(outside, "GET", "/orders/7/", &[]).await, &["layer_before_routing"]);

    // A guard that requires peers, behind a server that knows none.
    let bare = GuardedRouter::new(guard(), orders());
    let request = |peer: &Extensions| request(&world, peer, "GET", "/orders/7", &[]);
    log.take();
    for peer in [&Extensions::new(), &peer, &Extensions::new()] {
        let _ = bare.clone().oneshot(request(peer)).await.unwrap();
    }
    let warnings: Vec<_> = log.take().into_iter().filter(|line| line.starts_with("ztlib::guard")).collect();
    once_of(warnings, &["without a client certificate", "allow_unauthenticated_peers"]);
}

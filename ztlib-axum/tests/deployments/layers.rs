//! tower-http's layers, each where it works.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderValue, StatusCode, Version};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::normalize_path::NormalizePathLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use ztlib::enforce::Guard;
use ztlib::tls::Server;
use ztlib_axum::GuardedRouter;
use ztlib_testing::Events;

use crate::{House, VERSIONS, empty, listener, told};

// page: from here
fn layered(guard: Guard, router: Router, cors: CorsLayer, at_most: Duration) -> GuardedRouter {
    // Inside: what has to do with the handler's answer alone. The last is the outermost.
    let router = router
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, at_most))
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::new());
    // Outside: what must see preflights and refusals, too.
    GuardedRouter::new(guard, router)
        .layer_outside(cors)
        .layer_outside(TraceLayer::new_for_http())
        .layer_outside(PropagateRequestIdLayer::x_request_id())
        .layer_outside(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer_outside(SetSensitiveRequestHeadersLayer::new([AUTHORIZATION, COOKIE]))
        // Before the router looks at the path: what changes it.
        .layer_before_routing(NormalizePathLayer::trim_trailing_slash())
}
// page: to here

const FRONT: &str = "https://shop.example";

#[tokio::test]
async fn in_this_order_each_layer_does_its_work_and_none_hides_a_decision() {
    let house = House::new();
    let events = Events::new();
    let guard = Guard::builder().peers(house.trust()).tokens(house.tokens()).policies(house.policies());
    let guard = guard.audit(events.clone()).build();
    let acceptor = guard.acceptor(&house.identity()).build().unwrap();
    let router = Router::new()
        .route("/orders/{id}", get(async || "an order, ".repeat(100)))
        .route(
            "/panic",
            get(async || {
                if true {
                    panic!("a bug in a handler")
                }
            }),
        )
        .route("/slow", get(std::future::pending::<()>));
    let cors = CorsLayer::new().allow_origin([HeaderValue::from_static(FRONT)]);
    let shop = layered(guard, router, cors, Duration::from_millis(50));
    let (listener, address) = listener();
    let server = Server::from_listener(listener, acceptor).unwrap();
    tokio::spawn(ztlib_axum::serve(server, shop, std::future::pending()));
    let frontend = house.client(Some(&house.frontend()));

    for version in VERSIONS {
        let send = async |path: &str, subject, more: &[(&str, &str)]| {
            let mut request = house.get(version, path, subject).header("origin", FRONT);
            for (name, value) in more {
                request = request.header(*name, *value);
            }
            frontend.send(address, empty(request)).await.unwrap()
        };
        // A trailing slash is gone before the routing: handler, policy and audit event agree.
        let answer = send("/orders/7/", Some("alice"), &[("accept-encoding", "gzip")]).await;
        assert_eq!(answer.status(), 200, "{version:?}");
        assert_eq!(answer.headers()["content-encoding"], "gzip");
        assert!(answer.body().len() < 200);
        let event = events.take().remove(0);
        assert_eq!((event.path(), event.route()), (Some("/orders/7"), Some("/orders/{id}")));
        // One id in the answer, the refusal and the audit event, given or made up.
        let id = |answer: &http::Response<_>| answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(event.request_id(), Some(id(&answer).as_str()));
        let answer = send("/orders/7", Some("bob"), &[("x-request-id", "front-7")]).await;
        assert_eq!((told(&answer), id(&answer)), ((403, "no-role".to_owned()), "front-7".to_owned()));
        assert_eq!(answer.headers()["access-control-allow-origin"], FRONT);
        assert_eq!(events.take()[0].request_id(), Some("front-7"));
        // What goes wrong in a handler is an answer; it was decided all the same.
        for (path, status) in [("/panic", 500), ("/slow", 504)] {
            let answer = send(path, Some("alice"), &[]).await;
            assert_eq!(answer.status(), status, "{path}");
            assert_eq!(answer.headers()["access-control-allow-origin"], FRONT);
            assert_eq!(events.take()[0].request_id(), Some(id(&answer).as_str()));
        }
        // Paths that cannot be judged are refused as ever, in the spelling that is routed.
        let answer = send("/orders//7/", Some("alice"), &[]).await;
        assert_eq!(told(&answer), (400, "path-empty-segment".to_owned()));
        assert_eq!(events.take()[0].path(), Some("/orders//7"));
        let answer = send("/orders/7", None, &[]).await;
        assert_eq!(told(&answer), (401, "unauthenticated".to_owned()));
        events.take();
    }
    // A preflight is nobody's to judge.
    let preflight = house.get(Version::HTTP_11, "/orders/7", None).method("OPTIONS");
    let preflight = preflight.header("origin", FRONT).header("access-control-request-method", "GET");
    let answer = frontend.send(address, empty(preflight)).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key("x-request-id")), (200, true));
    assert!(events.take().is_empty());
}

//! No way around: every kind of route that axum has, through the real guard.

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

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use http_body_util::{BodyExt as _, Full};
use proptest::prelude::*;
use tower::{ServiceExt as _, service_fn};
use ztlib::authorize::{Answer, Read};
use ztlib::enforce::{Guard, Refusal};
use ztlib::observe::Verdict;
use ztlib::policies::PolicyStore;
use ztlib_axum::GuardedRouter;

use support::{World, deciding, deny, text};

/// How often any handler ran.
#[derive(Clone, Default)]
struct Runs(Arc<AtomicUsize>);

impl Runs {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn handler(&self) -> impl Fn() -> std::future::Ready<&'static str> + Clone + Send + Sync + 'static {
        let runs = self.0.clone();
        move || {
            runs.fetch_add(1, Ordering::SeqCst);
            std::future::ready("handled")
        }
    }
}

/// Every kind of route that axum knows.
fn everything(runs: &Runs) -> Router {
    let handler = || runs.handler();
    let service = || {
        let handler = runs.handler();
        service_fn(move |_: Request| {
            let handled = handler();
            async { Ok::<_, Infallible>(handled.await.into_response()) }
        })
    };
    let users = Router::new().route("/", get(handler())).route("/{user}", get(handler()));
    let admin = Router::new()
        .route("/", get(handler()))
        .nest("/users", users)
        .route("/{*rest}", post(handler()))
        .fallback(handler());
    let bare = Router::new().route("/x", get(handler()));
    Router::new()
        .route("/", get(handler()))
        .route("/orders/{id}", get(handler()).post(handler()))
        .route("/any", any(handler()))
        .route_service("/service", service())
        .merge(Router::new().route("/merged/{id}", get(handler())))
        .nest("/admin", admin)
        .nest("/bare", bare)
        .nest_service("/assets", service())
        .nest_service("/inner", Router::new().route("/deep/{id}", get(handler())).fallback(handler()))
        .fallback(handler())
        .method_not_allowed_fallback(handler())
}

/// Method, path as sent, and the route that a policy sees.
const REQUESTS: &[(&str, &str, Option<&str>)] = &[
    ("GET", "/", Some("/")),
    ("GET", "/orders/7", Some("/orders/{id}")),
    ("POST", "/orders/7", Some("/orders/{id}")),
    ("HEAD", "/orders/7", Some("/orders/{id}")),
    ("OPTIONS", "/orders/7", Some("/orders/{id}")),
    ("DELETE", "/orders/7", Some("/orders/{id}")),
    ("BREW", "/orders/7", Some("/orders/{id}")),
    ("get", "/orders/7", Some("/orders/{id}")),
    ("GET", "/orders/", None),
    ("GET", "/orders/7/", None),
    ("GET", "/ORDERS/7", None),
    ("GET", "/orders/7;x=1", Some("/orders/{id}")),
    ("GET", "/orders;x=1/7", None),
    ("GET", "/orders/7?role=admin", Some("/orders/{id}")),
    ("BREW", "/any", Some("/any")),
    ("get", "/any", Some("/any")),
    ("GET", "/service", Some("/service")),
    ("GET", "/merged/7", Some("/merged/{id}")),
    ("GET", "/admin", Some("/admin")),
    ("GET", "/admin/users", Some("/admin/users")),
    ("GET", "/admin/users/bob", Some("/admin/users/{user}")),
    ("DELETE", "/admin/users/bob", Some("/admin/users/{user}")),
    ("POST", "/admin/a/b/c", Some("/admin/{*rest}")),
    ("GET", "/admin/a/b/c", Some("/admin/{*rest}")),
    ("GET", "/admin/", None),
    ("GET", "/bare/x", Some("/bare/x")),
    ("GET", "/bare/nothing", None),
    ("GET", "/assets/logo.png", None),
    ("GET", "/assets/a/b", None),
    ("GET", "/inner/deep/7", None),
    ("GET", "/inner/nothing", None),
    ("GET", "/nothing", None),
    ("OPTIONS", "/nothing", None),
    ("OPTIONS", "*", None),
];

fn request(world: &World, peer: &http::Extensions, method: &str, path: &str) -> http::Request<Body> {
    let mut request = world.request_of(peer).map(Body::new);
    request.extensions_mut().remove::<ztlib::enforce::MatchedRoute>();
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
    *request.uri_mut() = path.parse().unwrap();
    request
}

fn reason(response: &Response) -> &str {
    response.extensions().get::<Refusal>().map_or("passed", |refusal| refusal.cause().code())
}

fn seeing_everything() -> PolicyStore {
    deciding(|question, outcome| {
        for read in [Read::Path, Read::Route, Read::Method] {
            outcome.log(&text(question, read)?.unwrap_or_else(|| "absent".to_owned()))?;
        }
        Ok(Answer::Allow)
    })
}

#[tokio::test]
async fn every_route_of_every_kind_leaves_exactly_one_decision() {
    let world = World::new();
    let peer = world.frontend().await;
    let runs = Runs::default();
    let denying = GuardedRouter::new(world.guard(deny()).build(), everything(&runs));
    for (method, path, route) in REQUESTS {
        let response = denying.clone().oneshot(request(&world, &peer, method, path)).await.unwrap();
        assert_eq!((response.status().as_u16(), reason(&response)), (403, "no-role"), "{method} {path}");
        let event = world.events.one();
        assert_eq!((event.verdict(), event.route()), (Verdict::Deny, *route), "{method} {path}");
    }
    assert_eq!(runs.count(), 0, "a handler ran in spite of the guard");

    let allowing = GuardedRouter::new(world.guard(seeing_everything()).build(), everything(&runs));
    for (method, path, route) in REQUESTS {
        let response = allowing.clone().oneshot(request(&world, &peer, method, path)).await.unwrap();
        assert_eq!(reason(&response), "passed", "{method} {path}");
        let event = world.events.one();
        let sent = path.split('?').next().unwrap();
        assert_eq!(event.path(), Some(sent), "the whole path, as sent");
        let seen: Vec<_> = event.log().into_iter().map(|(_, line)| line).collect();
        assert_eq!(seen, [sent, route.unwrap_or("absent"), method], "{method} {path}");
    }
    assert!(runs.count() > 20, "{}", runs.count());
}

#[tokio::test]
async fn without_credentials_every_route_is_a_401_with_one_decision() {
    let world = World::new();
    let runs = Runs::default();
    let guarded = GuardedRouter::new(world.guard(seeing_everything()).build(), everything(&runs));
    for (method, path, _) in REQUESTS {
        let response =
            guarded.clone().oneshot(request(&world, &http::Extensions::new(), method, path)).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), reason(&response)),
            (401, "missing-certificate"),
            "{method} {path}"
        );
        assert_eq!(world.events.one().verdict(), Verdict::Unauthenticated);
    }
    assert_eq!(runs.count(), 0);
}

#[tokio::test]
async fn a_router_that_was_empty_or_stateful_is_guarded_too() {
    let world = World::new();
    let peer = world.frontend().await;
    for router in
        [Router::new(), Router::new().with_state(()), Router::new().fallback(|| async { "fallback" })]
    {
        let guarded = GuardedRouter::new(world.guard(deny()).build(), router);
        let response = guarded.oneshot(request(&world, &peer, "GET", "/anything")).await.unwrap();
        assert_eq!(reason(&response), "no-role");
        world.events.one();
    }
}

#[tokio::test]
async fn a_guarded_router_inside_of_another_router_sees_the_whole_path() {
    let world = World::new();
    let peer = world.frontend().await;
    let runs = Runs::default();
    let guarded = GuardedRouter::new(world.guard(seeing_everything()).build(), everything(&runs));
    let outer = Router::new().nest_service("/api", guarded);
    let response = outer.clone().oneshot(request(&world, &peer, "GET", "/api/orders/7")).await.unwrap();
    assert_eq!(reason(&response), "passed");
    let event = world.events.one();
    assert_eq!((event.path(), event.route()), (Some("/api/orders/7"), Some("/api/orders/{id}")));
    let response = outer.clone().oneshot(request(&world, &peer, "GET", "/api")).await.unwrap();
    assert_eq!(reason(&response), "passed");
    assert_eq!(world.events.one().path(), Some("/api"));
    // What is in front of the prefix is checked as well.
    let response = outer.oneshot(request(&world, &peer, "GET", "/api/orders/..")).await.unwrap();
    assert_eq!(reason(&response), "path-dot-segment");
}

#[tokio::test]
async fn a_template_of_a_router_outside_is_no_route_of_the_guarded_one() {
    let world = World::new();
    let peer = world.frontend().await;
    let runs = Runs::default();
    let guarded = GuardedRouter::new(world.guard(seeing_everything()).build(), everything(&runs));
    let outer = Router::new().route_service("/{*rest}", guarded);
    for (method, path, route) in REQUESTS.iter().filter(|(_, path, _)| path.len() > 1 && *path != "*") {
        let response = outer.clone().oneshot(request(&world, &peer, method, path)).await.unwrap();
        assert_eq!(reason(&response), "passed", "{method} {path}");
        assert_eq!(world.events.one().route(), *route, "{method} {path}");
    }
}

#[tokio::test]
async fn a_rewrite_between_two_routers_does_not_hide_the_path_that_is_routed() {
    let world = World::new();
    let peer = world.frontend().await;
    let runs = Runs::default();
    let router = Router::new().route("/admin", get(runs.handler())).route("/", get(runs.handler()));
    let guarded = GuardedRouter::new(world.guard(seeing_everything()).build(), router);
    for rewritten in ["/admin", "/"] {
        let guarded = guarded.clone();
        let outer = Router::new().fallback_service(service_fn(move |mut request: Request| {
            *request.uri_mut() = rewritten.parse().unwrap();
            guarded.clone().oneshot(request)
        }));
        outer.oneshot(request(&world, &peer, "GET", "/open")).await.unwrap();
        let event = world.events.one();
        assert_eq!((event.path(), event.route()), (Some(rewritten), Some(rewritten)));
    }
    assert_eq!(runs.count(), 2);
}

#[tokio::test]
async fn a_path_that_is_written_otherwise_never_reaches_the_route() {
    let world = World::new();
    let peer = world.frontend().await;
    let runs = Runs::default();
    // The rule of a careless policy: everything but what is under /admin.
    let guard = world.guard(deciding(|question, _| {
        let path = text(question, Read::Path)?.unwrap_or_default();
        Ok(if path.starts_with("/admin") { Answer::Deny } else { Answer::Allow })
    }));
    let admin =
        Router::new().route("/admin", get(runs.handler())).route("/admin/{*rest}", get(runs.handler()));
    let guarded = GuardedRouter::new(guard.build(), admin);
    for (path, expected) in [
        ("/admin", "denied"),
        ("/admin?x", "denied"),
        ("/admin#x", "denied"),
        ("/admin/", "denied"),
        ("/admin;x=1", "denied"),
        ("//admin", "path-empty-segment"),
        ("///admin", "path-empty-segment"),
        ("//a@b/admin", "path-empty-segment"),
        ("/./admin", "path-dot-segment"),
        ("/x/../admin", "path-dot-segment"),
        ("/x/%2e%2e/admin", "path-dot-segment"),
        ("/x/..%2Fadmin", "path-encoded-slash"),
        ("/%61dmin", "path-needless-escape"),
        ("/admin%2f", "path-needless-escape"),
        ("/%2Fadmin", "path-encoded-slash"),
        ("/%5Cadmin", "path-unsafe-escape"),
        ("/admin%00", "path-unsafe-escape"),
        ("/admin%", "path-malformed-escape"),
        // Other names, and so no such route: 404 by axum.
        ("/ADMIN", "passed"),
        ("/x/%252e%252e/admin", "path-needless-escape"),
        ("/admin%3Fx", "denied"),
        ("/admin%23x", "denied"),
    ] {
        let response = guarded.clone().oneshot(request(&world, &peer, "GET", path)).await.unwrap();
        let allowed = expected == "passed";
        let expected = if path.contains("%252e") { "passed" } else { expected };
        assert_eq!(reason(&response), expected, "{path}");
        assert!(!allowed || response.status() == StatusCode::NOT_FOUND);
    }
    assert_eq!(runs.count(), 0);
}

// What stands outside.

/// Answers a true preflight (Fetch standard, "CORS-preflight request"), and nothing else.
async fn cors(request: Request, next: Next) -> Response {
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key("origin")
        && request.headers().contains_key("access-control-request-method");
    if preflight {
        return (StatusCode::NO_CONTENT, [("access-control-allow-origin", "https://shop.example")])
            .into_response();
    }
    next.run(request).await
}

#[tokio::test]
async fn a_true_preflight_is_answered_outside_and_any_other_options_is_judged() {
    let world = World::new();
    let runs = Runs::default();
    let guarded =
        GuardedRouter::new(world.guard(deny()).build(), everything(&runs)).layer_outside(from_fn(cors));
    let nobody = http::Extensions::new();
    for path in ["/orders/7", "/nothing", "/admin/users/bob", "/assets/x"] {
        let mut preflight = request(&world, &nobody, "OPTIONS", path);
        preflight.headers_mut().remove("authorization");
        preflight.headers_mut().insert("origin", HeaderValue::from_static("https://shop.example"));
        let response = guarded.clone().oneshot(preflight_without_method(&preflight)).await.unwrap();
        assert_eq!((response.status().as_u16(), reason(&response)), (401, "missing-certificate"), "{path}");
        assert_eq!(world.events.one().verdict(), Verdict::Unauthenticated);

        preflight.headers_mut().insert("access-control-request-method", HeaderValue::from_static("DELETE"));
        let response = guarded.clone().oneshot(preflight).await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{path}");
        assert!(world.events.take().is_empty(), "nothing was decided, and nothing ran");
    }
    assert_eq!(runs.count(), 0);
}

fn preflight_without_method(request: &http::Request<Body>) -> http::Request<Body> {
    let mut copy =
        http::Request::builder().method(request.method()).uri(request.uri()).body(Body::empty()).unwrap();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// As tower-http's `NormalizePath` does: takes a slash off the end.
fn trim_slash<B>(mut request: http::Request<B>) -> http::Request<B> {
    let trimmed = request.uri().path().trim_end_matches('/').to_owned();
    *request.uri_mut() = if trimmed.is_empty() { "/".parse().unwrap() } else { trimmed.parse().unwrap() };
    request
}

#[tokio::test]
async fn a_layer_that_trims_slashes_does_not_part_guard_and_router() {
    let world = World::new();
    let peer = world.frontend().await;
    let runs = Runs::default();
    let router = || {
        Router::new().route("/orders/{id}", get(runs.handler())).route("/orders/{id}/", post(runs.handler()))
    };
    let guard = || world.guard(seeing_everything()).build();
    let seen = |world: &World| {
        let event = world.events.one();
        (event.path().unwrap().to_string(), event.route().map(|route| route.to_string()))
    };

    // As a layer outside it runs after the routing, so it changes neither what is routed nor what is
    // judged.
    let trim = from_fn(async |request: Request, next: Next| next.run(trim_slash(request)).await);
    let layered = GuardedRouter::new(guard(), router()).layer_outside(trim);
    for (path, route) in
        [("/orders/7", Some("/orders/{id}")), ("/orders/7/", Some("/orders/{id}/")), ("/orders/", None)]
    {
        layered.clone().oneshot(request(&world, &peer, "GET", path)).await.unwrap();
        assert_eq!(seen(&world), (path.to_owned(), route.map(str::to_owned)));
    }
    // Around the whole it runs before the routing: both see the path that it made.
    let around = GuardedRouter::new(guard(), router());
    around.oneshot(trim_slash(request(&world, &peer, "GET", "/orders/7/"))).await.unwrap();
    assert_eq!(seen(&world), ("/orders/7".to_owned(), Some("/orders/{id}".to_owned())));
}

#[tokio::test]
async fn a_layer_inside_that_rewrites_the_path_does_not_reach_another_route() {
    let world = World::new();
    let peer = world.frontend().await;
    let runs = Runs::default();
    let rewrite = from_fn(async |mut request: Request, next: Next| {
        *request.uri_mut() = "/admin".parse().unwrap();
        next.run(request).await
    });
    let other = Runs::default();
    let router = Router::new()
        .route("/open", get(other.handler()))
        .route("/admin", get(runs.handler()))
        .layer(rewrite);
    let guarded = GuardedRouter::new(world.guard(seeing_everything()).build(), router);
    guarded.oneshot(request(&world, &peer, "GET", "/open")).await.unwrap();
    assert_eq!((runs.count(), other.count()), (0, 1));
    assert_eq!(world.events.one().route(), Some("/open"));
}

#[tokio::test]
async fn a_refusal_leaves_through_the_outer_layers_with_its_reason() {
    let world = World::new();
    let peer = world.frontend().await;
    let outside = from_fn(async |request: Request, next: Next| {
        assert!(request.extensions().get::<ztlib::enforce::Permit>().is_none());
        let mut response = next.run(request).await;
        let code =
            response.extensions().get::<Refusal>().map(|refusal| refusal.cause().code().to_owned()).unwrap();
        response.headers_mut().insert("x-seen-outside", code.parse().unwrap());
        response
    });
    let guarded = GuardedRouter::new(world.guard(deny()).build(), Router::new()).layer_outside(outside);
    let response = guarded.oneshot(request(&world, &peer, "GET", "/x")).await.unwrap();
    assert_eq!(response.headers()["x-seen-outside"], "no-role");
    let id = world.events.one().id();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["id"], id.to_string());
}

// Parameters.

/// Escapes what RFC 3986 does not let stand in a segment, and nothing else: the normal form.
fn segment(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn logging_params(names: &'static [&'static str]) -> PolicyStore {
    deciding(move |question, outcome| {
        for name in names {
            outcome
                .log(&text(question, Read::Param((*name).into()))?.unwrap_or_else(|| "absent".to_owned()))?;
        }
        Ok(Answer::Allow)
    })
}

fn guarding(world: &World, policies: PolicyStore, router: Router) -> GuardedRouter {
    let guard: Guard = world.guard(policies).allow_encoded_slash("/files/{name}").build();
    GuardedRouter::new(guard, router)
}

#[test]
fn a_policy_sees_each_parameter_byte_for_byte_as_the_handler_does() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = World::new();
    let peer = runtime.block_on(world.frontend());
    let separated = |(a, b): (String, String)| format!("{a}\u{1f}{b}");
    let inner = Router::new()
        .route("/{b}/end", get(move |Path(both): Path<(String, String)>| async move { separated(both) }));
    let router = Router::new()
        .route("/one/{a}", get(|Path(a): Path<String>| async move { a }))
        .route("/files/{name}", get(|Path(name): Path<String>| async move { name }))
        .route("/rest/{*a}", get(|Path(a): Path<String>| async move { a }))
        .nest("/two/{a}", inner);
    let guarded = guarding(&world, logging_params(&["a", "b", "name"]), router);
    let call = |path: String| {
        let response =
            runtime.block_on(guarded.clone().oneshot(request(&world, &peer, "GET", &path))).unwrap();
        let (status, why) = (response.status().as_u16(), reason(&response).to_owned());
        let body = runtime.block_on(response.into_body().collect()).unwrap().to_bytes();
        let log: Vec<String> = world.events.one().log().iter().map(|(_, line)| line.to_string()).collect();
        (status, why, String::from_utf8(body.to_vec()).unwrap(), log)
    };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let values = prop_oneof!["[ -~]{1,12}", "\\PC{1,6}", "(%|%25|%2F|\\.|/|\\+| |;|=|,){1,6}"];
    runner
        .run(&(values.clone(), values), |(a, b)| {
            let (one, two) = (segment(&a), segment(&b));
            for path in [
                format!("/one/{one}"),
                format!("/files/{one}"),
                format!("/rest/{one}/{two}"),
                format!("/two/{one}/{two}/end"),
            ] {
                let (status, why, body, log) = call(path.clone());
                if status == 200 {
                    let seen: Vec<_> = log.iter().filter(|value| *value != "absent").cloned().collect();
                    prop_assert_eq!(seen.join("\u{1f}"), body.clone(), "{}", path);
                    if path.starts_with("/one") {
                        prop_assert_eq!(&body, &a, "decoded once, not twice");
                    }
                } else {
                    // Refused for what it holds, never misread.
                    let dotted = |text: &str| text.split('/').any(|piece| piece == "." || piece == "..");
                    let strange =
                        dotted(&a) || dotted(&b) || a.contains(['/', '\\']) || b.contains(['/', '\\']);
                    prop_assert!(
                        status == 400 && why.starts_with("pa") && strange,
                        "{} {} {}",
                        path,
                        status,
                        why
                    );
                }
            }
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn an_encoded_slash_reaches_the_handler_only_where_the_verb_names_the_route() {
    let world = World::new();
    let peer = world.frontend().await;
    let echo = || get(|Path(name): Path<String>| async move { name });
    let router = Router::new()
        .route("/files/{name}", echo())
        .route("/item/{name}", echo())
        .route("/tree/{*name}", echo());
    let guarded = guarding(&world, logging_params(&["name"]), router);
    for (path, expected, body) in [
        ("/files/a%2Fb", "passed", "a/b"),
        ("/files/..%2F..%2Fetc", "parameter-dot-segment", ""),
        ("/files/%252F", "passed", "%2F"),
        ("/item/a%2Fb", "path-encoded-slash", ""),
        ("/item/..", "path-dot-segment", ""),
        ("/item/%2E%2E", "path-dot-segment", ""),
        ("/item/%00", "path-unsafe-escape", ""),
        ("/item/%FF", "path-unsafe-escape", ""),
        ("/tree/a/b", "passed", "a/b"),
        ("/tree/a%2Fb", "path-encoded-slash", ""),
    ] {
        let response = guarded.clone().oneshot(request(&world, &peer, "GET", path)).await.unwrap();
        assert_eq!(reason(&response), expected, "{path}");
        let event = world.events.one();
        if expected == "passed" {
            let answered = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!((&answered[..], event.log()[0].1), (body.as_bytes(), body), "{path}");
        } else {
            assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        }
    }
}

/// The bodies that the guard takes are not only axum's.
#[tokio::test]
async fn any_body_of_bytes_is_taken() {
    let world = World::new();
    let peer = world.frontend().await;
    let guarded = GuardedRouter::new(world.guard(deny()).build(), Router::new());
    let mut call: http::Request<Full<bytes::Bytes>> = world.request_of(&peer);
    *call.uri_mut() = "/x".parse().unwrap();
    assert_eq!(reason(&guarded.oneshot(call).await.unwrap()), "no-role");
}

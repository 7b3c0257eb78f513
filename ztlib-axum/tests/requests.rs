//! What a policy sees of a request is what its handler sees, and who is refused is refused in the
//! form that their request allows.

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

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Request};
use axum::http::{HeaderValue, Method, Version};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use http_body_util::BodyExt as _;
use tower::{ServiceExt as _, service_fn};
use tower_http::cors::CorsLayer;
use tower_http::trace::TraceLayer;
use ztlib::RemoteAddr;
use ztlib::authorize::{Answer, Read, Value};
use ztlib::enforce::{PathSpelling, Refusal};
use ztlib::policies::PolicyStore;
use ztlib_axum::GuardedRouter;

use support::{World, deciding, deny, text};

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

async fn body(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Reads this parameter, says what it is, and allows.
fn reading(name: &'static str) -> PolicyStore {
    deciding(move |question, outcome| {
        outcome.log(&text(question, Read::Param(name.into()))?.unwrap_or_else(|| "absent".to_owned()))?;
        Ok(Answer::Allow)
    })
}

/// However a handler takes its parameters, what a policy reads is what it gets; where the name
/// stands twice in the template, one way gives the first and another the last, so nobody is told
/// one of them.
#[tokio::test]
async fn a_policy_sees_a_parameter_as_every_extractor_gives_it_or_not_at_all() {
    let world = World::new();
    let peer = world.frontend().await;
    let last = || get(|Path(all): Path<HashMap<String, String>>| async move { all["id"].clone() });
    let one = || get(|Path(id): Path<String>| async move { id });
    let pair = || get(|Path((a, b)): Path<(String, String)>| async move { format!("{a} {b}") });
    let router = || {
        Router::new()
            .route("/one/{id}", one())
            .route("/map/{id}", last())
            .route("/rest/{*id}", one())
            .route("/other/{tenant}/{id}", last())
            .nest("/nested/{tenant}", Router::new().route("/{id}", last()))
            .nest("/deep/{a}", Router::new().nest("/{b}", Router::new().route("/{*id}", last())))
            .route("/same/{id}/{id}", pair())
            .nest("/tenants/{id}", Router::new().route("/orders/{id}", last()).route("/pair/{id}", pair()))
            .nest("/wild/{id}", Router::new().route("/{*id}", last()))
            .nest("/far/{id}", Router::new().nest("/{x}", Router::new().route("/{id}", last())))
    };
    let guarded = GuardedRouter::new(world.guard(reading("id")).build(), router());
    for (path, expected) in [
        ("/one/7", Some("7")),
        ("/one/a%20b", Some("a b")),
        ("/one/%C3%A9", Some("é")),
        ("/one/100%25", Some("100%")),
        ("/one/a+b", Some("a+b")),
        ("/one/%252B", Some("%2B")),
        ("/map/%E2%82%AC", Some("€")),
        ("/rest/a/b%20c/d", Some("a/b c/d")),
        ("/other/acme/7", Some("7")),
        ("/nested/acme/7", Some("7")),
        ("/deep/1/2/3/4", Some("3/4")),
        ("/same/1/2", None),
        ("/same/1/1", None),
        ("/tenants/mine/orders/theirs", None),
        ("/tenants/mine/pair/theirs", None),
        ("/wild/mine/a/b", None),
        ("/far/mine/x/theirs", None),
    ] {
        let response = guarded.clone().oneshot(request(&world, &peer, "GET", path)).await.unwrap();
        let event = world.events.one();
        match expected {
            Some(value) => {
                assert_eq!((reason(&response), event.log()[0].1), ("passed", value), "{path}");
                assert_eq!(body(response).await, value, "{path}");
            }
            None => {
                assert_eq!(
                    (response.status().as_u16(), reason(&response)),
                    (400, "read-several-values"),
                    "{path}"
                );
            }
        }
    }
    // Who does not read it is not kept from anything, and another name is read as ever.
    let guarded = GuardedRouter::new(world.guard(reading("x")).build(), router());
    let response = guarded.oneshot(request(&world, &peer, "GET", "/far/mine/x/theirs")).await.unwrap();
    assert_eq!((reason(&response), world.events.one().log()[0].1), ("passed", "x"));
}

/// The router outside has its own parameters, which the handler's extractors give as well.
#[tokio::test]
async fn a_parameter_of_a_router_outside_counts_too() {
    let world = World::new();
    let peer = world.frontend().await;
    let echo = get(|Path(all): Path<HashMap<String, String>>| async move { all["id"].clone() });
    let guarded = GuardedRouter::new(
        world.guard(reading("id")).build(),
        Router::new().route("/orders/{id}", echo.clone()),
    );
    for (outer, expected) in [("/tenants/{id}", "read-several-values"), ("/tenants/{tenant}", "passed")] {
        let outer = Router::new().nest_service(outer, guarded.clone());
        let response = outer.oneshot(request(&world, &peer, "GET", "/tenants/mine/orders/7")).await.unwrap();
        assert_eq!(reason(&response), expected);
        let event = world.events.one();
        assert!(expected != "passed" || event.log()[0].1 == "7");
    }
}

/// A refused HEAD on every kind of route, over both versions: the length of its GET, and no
/// content.
#[tokio::test]
async fn a_refused_head_has_no_content_on_any_kind_of_route() {
    let world = World::new();
    let peer = world.frontend().await;
    let service = || service_fn(async |_: Request| Ok::<_, Infallible>("handled".into_response()));
    let router = || {
        Router::new()
            .route("/get", get(async || "handled"))
            .route("/any", any(async || "handled"))
            .route_service("/service", service())
            .nest_service("/assets", service())
            .nest("/nested", Router::new().route("/x", any(async || "handled")))
            .fallback_service(service())
    };
    let guarded = GuardedRouter::new(world.guard(deny()).build(), router());
    let open = GuardedRouter::new(world.guard(support::allow()).build(), router());
    for path in ["/get", "/any", "/service", "/assets/x", "/nested/x", "/nested/nothing", "/nothing"] {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let ask = async |router: &GuardedRouter, method: &str| {
                let mut request = request(&world, &peer, method, path);
                *request.version_mut() = version;
                router.clone().oneshot(request).await.unwrap()
            };
            let length = |response: &Response| {
                response.headers().get("content-length").map(|length| length.to_str().unwrap().to_owned())
            };
            let head = ask(&guarded, "HEAD").await;
            assert_eq!((head.status().as_u16(), reason(&head)), (403, "no-role"), "{path}");
            let (told, head) = (length(&head), body(head).await);
            let get = body(ask(&guarded, "GET").await).await;
            assert_eq!((told, head.len()), (Some(get.len().to_string()), 0), "{path} {version:?}");
            // What passes has none over HTTP/2 either: over HTTP/1.1 the server leaves it out.
            if version == Version::HTTP_2 {
                assert_eq!(body(ask(&open, "HEAD").await).await, "", "{path}");
                assert_eq!(body(ask(&open, "GET").await).await, "handled", "{path}");
            }
        }
    }
}

#[tokio::test]
async fn a_path_without_a_route_is_refused_for_that_and_a_wrong_method_is_not() {
    let world = World::new();
    let peer = world.frontend().await;
    let by_route = deciding(|question, outcome| {
        if question.read(Read::Route)? == Value::Text("/orders/{id}".into())
            && question.read(Read::Method)? == Value::Text("GET".into())
        {
            return Ok(Answer::Allow);
        }
        outcome.reason("no-role")?;
        Ok(Answer::Deny)
    });
    let router = Router::new()
        .route("/orders/{id}", get(async || "an order"))
        .nest("/admin", Router::new().route("/users", get(async || "users")))
        .nest_service("/assets", service_fn(async |_: Request| Ok::<_, Infallible>("x".into_response())));
    let guarded = GuardedRouter::new(world.guard(by_route).build(), router);
    for (method, path, expected) in [
        ("GET", "/orders/7", "passed"),
        ("GET", "/orders", "no-route"),
        ("GET", "/nothing", "no-route"),
        ("OPTIONS", "*", "no-route"),
        ("GET", "/admin/nothing", "no-route"),
        ("GET", "/assets/logo.png", "no-route"),
        // The route is there: what is refused is the method, by the policy, and no 405 tells of
        // others.
        ("DELETE", "/orders/7", "no-role"),
        ("BREW", "/orders/7", "no-role"),
        ("GET", "/admin/users", "no-role"),
    ] {
        let response = guarded.clone().oneshot(request(&world, &peer, method, path)).await.unwrap();
        assert_eq!(reason(&response), expected, "{method} {path}");
        assert_eq!(world.events.one().reason(), (expected != "passed").then_some(expected));
        if expected != "passed" {
            assert_eq!(response.status().as_u16(), 403, "{method} {path}");
            assert!(!response.headers().contains_key("allow"), "{method} {path}");
            let told: serde_json::Value = serde_json::from_str(&body(response).await).unwrap();
            assert_eq!((told["code"].as_str(), told.get("detail")), (Some(expected), None));
        }
    }
}

/// axum tells of the methods that a route has, where it does not have this one: to whom it answers
/// itself, and to nobody who is refused.
#[tokio::test]
async fn who_is_refused_is_not_told_which_methods_a_route_has() {
    let world = World::new();
    let peer = world.frontend().await;
    let router = || Router::new().route("/orders/{id}", get(async || "an order"));
    let guarded = GuardedRouter::new(world.guard(deny()).build(), router());
    for (peer, status) in [(&peer, 403), (&http::Extensions::new(), 401)] {
        let response = guarded.clone().oneshot(request(&world, peer, "DELETE", "/orders/7")).await.unwrap();
        assert_eq!((response.status().as_u16(), response.headers().get("allow")), (status, None));
    }
    let open = GuardedRouter::new(world.guard(support::allow()).build(), router());
    let response = open.oneshot(request(&world, &peer, "DELETE", "/orders/7")).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (405, &HeaderValue::from_static("GET,HEAD"))
    );
}

/// C6: behind another server axum's own `ConnectInfo` has the address; what ztlib's acceptor left
/// comes first.
#[tokio::test]
async fn the_address_of_the_caller_comes_from_connect_info_where_another_server_accepted() {
    let world = World::new();
    let peer = world.frontend().await;
    let policies = deciding(|question, outcome| {
        outcome.log(&text(question, Read::RemoteIp)?.unwrap_or_else(|| "absent".to_owned()))?;
        Ok(Answer::Allow)
    });
    let guarded = GuardedRouter::new(world.guard(policies).build(), Router::new());
    let address: SocketAddr = "192.0.2.7:1234".parse().unwrap();
    let ours: SocketAddr = "198.51.100.1:1".parse().unwrap();
    for (info, acceptor, seen) in [
        (Some(address), None, "192.0.2.7"),
        (Some(address), Some(ours), "198.51.100.1"),
        (None, None, "absent"),
    ] {
        let mut call = request(&world, &peer, "GET", "/x");
        call.extensions_mut().remove::<RemoteAddr>();
        if let Some(info) = info {
            call.extensions_mut().insert(ConnectInfo(info));
        }
        if let Some(ours) = acceptor {
            call.extensions_mut().insert(RemoteAddr(ours));
        }
        call.headers_mut().insert("x-forwarded-for", HeaderValue::from_static("203.0.113.9"));
        guarded.clone().oneshot(call).await.unwrap();
        assert_eq!(world.events.one().log()[0].1, seen);
    }
}

/// The same through axum's own server.
#[tokio::test]
async fn behind_axums_server_the_address_reaches_policies() {
    let world = World::new();
    let policies = deciding(|question, outcome| {
        let local = question.read(Read::RemoteIpIn("127.0.0.0/8".into()))?;
        outcome.reason("no-role")?;
        Ok(if local == Value::Bool(true) { Answer::Allow } else { Answer::Deny })
    });
    let guard = ztlib::enforce::Guard::builder()
        .allow_unauthenticated_peers()
        .allow_requests_without_token()
        .policies(policies)
        .audit(world.events.clone())
        .build();
    let guarded = GuardedRouter::new(guard, Router::new().route("/x", get(async || "handled")));
    let app = Router::new().fallback_service(guarded);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
    });
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /x HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    serving.abort();
}

/// C9: by its verb a spelling passes, and whatever the spelling, the parameter is the same to
/// policy and handler.
#[tokio::test]
async fn two_spellings_of_a_parameter_are_one_value_and_two_paths() {
    let world = World::new();
    let peer = world.frontend().await;
    let policies = deciding(|question, outcome| {
        for read in [Read::Path, Read::Route, Read::Param("name".into())] {
            outcome.log(&text(question, read)?.unwrap_or_else(|| "absent".to_owned()))?;
        }
        let exact = question.read(Read::PathMatches("/caf/%C3%A9".into()))?;
        outcome.log(if exact == Value::Bool(true) { "matches" } else { "differs" })?;
        Ok(Answer::Allow)
    });
    let guard = world
        .guard(policies)
        .allow_path_spelling(PathSpelling::LowercaseEscapes)
        .allow_path_spelling_on("/caf/{name}", PathSpelling::NeedlessEscapes)
        .allow_path_spelling_on("/caf/{name}", PathSpelling::RawBracketsAndBars);
    let echo = || get(|Path(name): Path<String>| async move { name });
    let router = Router::new().route("/caf/{name}", echo()).route("/admin", get(async || "admin"));
    let guarded = GuardedRouter::new(guard.build(), router);
    for (path, name, matches) in [
        ("/caf/%C3%A9", "é", "matches"),
        ("/caf/%c3%a9", "é", "differs"),
        ("/caf/%C3%a9", "é", "differs"),
        ("/caf/%7Euser", "~user", "differs"),
        ("/caf/%7euser", "~user", "differs"),
        ("/caf/a[0]|b", "a[0]|b", "differs"),
        ("/caf/%61dmin", "admin", "differs"),
    ] {
        let response = guarded.clone().oneshot(request(&world, &peer, "GET", path)).await.unwrap();
        assert_eq!(reason(&response), "passed", "{path}");
        let event = world.events.one();
        let log: Vec<_> = event.log().into_iter().map(|(_, line)| line).collect();
        assert_eq!(log, [path, "/caf/{name}", name, matches], "{path}");
        assert_eq!(body(response).await, name, "{path}");
    }
    // On no route and on others the verbs of one route do not hold, and no spelling reaches another
    // route.
    for (path, expected) in [
        ("/%61dmin", "path-needless-escape"),
        ("/caf/%2e%2e", "path-dot-segment"),
        ("/caf/%2E", "path-dot-segment"),
        ("/caf/a%2fb", "path-encoded-slash"),
        ("/caf/%5c", "path-unsafe-escape"),
        ("/x[0]", "path-illegal-character"),
    ] {
        let response = guarded.clone().oneshot(request(&world, &peer, "GET", path)).await.unwrap();
        assert_eq!((response.status().as_u16(), reason(&response)), (400, expected), "{path}");
        world.events.one();
    }
}

/// C11, with the layers that services use: what stands outside sees preflights and refusals, what
/// stands inside sees neither.
#[tokio::test]
async fn cors_and_trace_stand_outside_to_see_preflights_and_refusals() {
    let world = World::new();
    let peer = world.frontend().await;
    let traced = Arc::new(AtomicUsize::new(0));
    let trace = || {
        let traced = traced.clone();
        TraceLayer::new_for_http().on_response(
            move |_: &Response, _: std::time::Duration, _: &tracing::Span| {
                traced.fetch_add(1, Ordering::SeqCst);
            },
        )
    };
    let router = || Router::new().route("/orders/{id}", get(async || "an order"));
    let guard = || world.guard(deny()).build();
    let preflight = || {
        let mut preflight = request(&world, &http::Extensions::new(), "OPTIONS", "/orders/7");
        preflight.headers_mut().remove("authorization");
        preflight.headers_mut().insert("origin", HeaderValue::from_static("https://shop.example"));
        preflight.headers_mut().insert("access-control-request-method", HeaderValue::from_static("GET"));
        preflight
    };
    let denied = || {
        let mut denied = request(&world, &peer, "GET", "/orders/7");
        denied.headers_mut().insert("origin", HeaderValue::from_static("https://shop.example"));
        denied
    };
    let cors_headers = |response: &Response| response.headers().contains_key("access-control-allow-origin");

    let outside =
        GuardedRouter::new(guard(), router()).layer_outside(CorsLayer::permissive()).layer_outside(trace());
    let response = outside.clone().oneshot(preflight()).await.unwrap();
    assert_eq!((response.status().as_u16(), cors_headers(&response)), (200, true));
    let response = outside.oneshot(denied()).await.unwrap();
    assert_eq!((response.status().as_u16(), cors_headers(&response)), (403, true), "a browser can read it");
    assert_eq!(traced.swap(0, Ordering::SeqCst), 2);

    let inside = GuardedRouter::new(guard(), router().layer(CorsLayer::permissive()).layer(trace()));
    for call in [preflight(), denied()] {
        let response = inside.clone().oneshot(call).await.unwrap();
        assert!(response.status().is_client_error() && !cors_headers(&response));
    }
    assert_eq!(traced.load(Ordering::SeqCst), 0, "no layer inside has seen anything, and a warning says so");
}

//! What handlers ask for, and what happens where the guard did not establish it.

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

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use tower::ServiceExt as _;
use ztlib::authorize::{Answer, Labels, Read};
use ztlib::enforce::{Ask, Guard, Refusal};
use ztlib::observe::Verdict;
use ztlib_axum::{Claims, GuardedRouter, PeerIdentity, Permit, Principal, Refused};

use support::{FRONTEND, World, allow, deciding, over_grpc, text};

#[derive(Deserialize)]
struct Tenant {
    tenant: String,
}

fn handlers() -> Router {
    Router::new()
        .route("/permit", get(async |permit: Permit| format!("{} {}", permit.enforced(), permit.id())))
        .route(
            "/principal",
            get(async |caller: Principal| {
                format!(
                    "{:?} {:?}",
                    caller.peer().map(ToString::to_string),
                    caller.claims().and_then(|claims| claims.subject())
                )
            }),
        )
        .route("/peer", get(async |peer: PeerIdentity| peer.to_string()))
        .route("/claims", get(async |Claims(tenant): Claims<Tenant>| tenant.tenant))
        .route("/json", get(async |Claims(claims): Claims<serde_json::Value>| Json(claims)))
        .route("/open", get(async || "open"))
}

async fn body(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

fn get_of(
    world: &World,
    peer: &http::Extensions,
    path: &str,
    claim: Option<serde_json::Value>,
) -> http::Request<Body> {
    let mut request = world.request_of(peer).map(Body::new);
    let mut token = world.token();
    if let Some(claim) = claim {
        token = token.claim("tenant", claim);
    }
    request.headers_mut().insert("authorization", format!("Bearer {}", token.sign()).parse().unwrap());
    *request.uri_mut() = path.parse().unwrap();
    request
}

#[tokio::test]
async fn handlers_get_what_the_guard_established() {
    let world = World::new();
    let peer = world.frontend().await;
    let guarded = GuardedRouter::new(world.guard(allow()).build(), handlers());
    let ask = |path: &str| guarded.clone().oneshot(get_of(&world, &peer, path, Some("acme".into())));
    let (status, permit) = body(ask("/permit").await.unwrap()).await;
    assert_eq!((status, permit), (200, format!("true {}", world.events.one().id())));
    assert_eq!(
        body(ask("/principal").await.unwrap()).await,
        (200, format!("Some({FRONTEND:?}) Some(\"alice\")"))
    );
    assert_eq!(body(ask("/peer").await.unwrap()).await, (200, FRONTEND.to_owned()));
    assert_eq!(body(ask("/claims").await.unwrap()).await, (200, "acme".to_owned()));
    assert!(body(ask("/json").await.unwrap()).await.1.contains("\"tenant\":\"acme\""));
}

#[tokio::test]
async fn outside_of_a_guard_no_handler_that_asks_for_it_runs() {
    let world = World::new();
    let peer = world.frontend().await;
    for path in ["/permit", "/principal", "/peer", "/claims"] {
        let response = handlers().oneshot(get_of(&world, &peer, path, Some("acme".into()))).await.unwrap();
        // The caller learns nothing.
        assert_eq!(body(response).await, (500, String::new()), "{path}");
    }
    assert_eq!(
        body(handlers().oneshot(get_of(&world, &peer, "/open", None)).await.unwrap()).await,
        (200, "open".to_owned())
    );
}

#[tokio::test]
async fn a_public_route_has_a_permit_and_nobody_in_it() {
    let world = World::new();
    let guard = world
        .guard(allow())
        .allow_public_route("/permit")
        .allow_public_route("/principal")
        .allow_public_route("/peer");
    let guarded = GuardedRouter::new(guard.allow_public_route("/claims").build(), handlers());
    // Credentials that nobody checked are not handed on.
    let peer = world.frontend().await;
    for (path, status) in [("/permit", 200), ("/principal", 200), ("/peer", 500), ("/claims", 500)] {
        let response =
            guarded.clone().oneshot(get_of(&world, &peer, path, Some("acme".into()))).await.unwrap();
        let (got, text) = body(response).await;
        assert_eq!(got, status, "{path}");
        assert!(path != "/principal" || text == "None None", "{text}");
        assert_eq!(world.events.one().verdict(), Verdict::Public);
    }
    let response = guarded.oneshot(get_of(&world, &http::Extensions::new(), "/open", None)).await.unwrap();
    assert_eq!(response.extensions().get::<Refusal>().unwrap().cause().code(), "missing-certificate");
}

#[tokio::test]
async fn claims_of_another_shape_do_not_reach_the_handler() {
    let world = World::new();
    let peer = world.frontend().await;
    let guarded = GuardedRouter::new(world.guard(allow()).build(), handlers());
    for claim in
        [None, Some(serde_json::json!(7)), Some(serde_json::json!(["acme"])), Some(serde_json::json!(null))]
    {
        let response =
            guarded.clone().oneshot(get_of(&world, &peer, "/claims", claim.clone())).await.unwrap();
        assert_eq!(body(response).await, (500, String::new()), "{claim:?}");
    }
}

#[tokio::test]
async fn a_caller_without_certificate_or_token_has_none_to_extract() {
    let world = World::new();
    let guard = Guard::builder()
        .peers(world.peers().allow_unauthenticated())
        .tokens(world.tokens().allow_missing_token());
    let guard = guard.policies(allow()).clock(world.clock.clone()).build();
    let guarded = GuardedRouter::new(guard, handlers());
    for (path, status) in [("/permit", 200), ("/principal", 200), ("/peer", 500), ("/claims", 500)] {
        let mut request = get_of(&world, &http::Extensions::new(), path, None);
        request.headers_mut().remove("authorization");
        assert_eq!(body(guarded.clone().oneshot(request).await.unwrap()).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn a_handler_refuses_in_the_words_of_the_guard() {
    let world = World::new();
    let peer = world.frontend().await;
    let guard = world.guard(deciding(|question, outcome| {
        let owner = text(question, Read::Label("owner".into()))?;
        if text(question, Read::Action)?.is_none() || owner == text(question, Read::Subject)? {
            return Ok(Answer::Allow);
        }
        outcome.reason("not-yours")?;
        outcome.message("this order is not yours")?;
        Ok(Answer::Deny)
    }));
    let guard = guard.build();
    async fn order(
        State(guard): State<Guard>,
        caller: Principal,
        Path(owner): Path<String>,
    ) -> Result<&'static str, Refused> {
        let labels = Labels::new().with("owner", owner.as_str());
        guard.ask_about(&caller, Ask::new("orders.read").object("order", owner).labels(labels))?;
        Ok("an order")
    }
    let router = Router::new().route("/orders/{owner}", get(order)).with_state(guard.clone());
    let guarded = GuardedRouter::new(guard, router);
    let response = guarded.clone().oneshot(get_of(&world, &peer, "/orders/alice", None)).await.unwrap();
    assert_eq!(body(response).await, (200, "an order".to_owned()));
    assert_eq!(world.events.take().len(), 2, "one for the request, one for the question");

    let response = guarded.oneshot(get_of(&world, &peer, "/orders/bob", None)).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let refusal = response.extensions().get::<Refusal>().unwrap().clone();
    let (status, text) = body(response).await;
    let problem: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (status, &problem["code"], &problem["detail"]),
        (403, &"not-yours".into(), &"this order is not yours".into())
    );
    let events = world.events.take();
    assert_eq!(
        events.iter().map(|event| event.verdict()).collect::<Vec<_>>(),
        [Verdict::Allow, Verdict::Deny]
    );
    // The extractor's principal knows the request that it comes from.
    let (request, question) = (&events[0], &events[1]);
    assert_eq!((question.parent(), question.object()), (Some(request.id()), Some(("order", "bob"))));
    assert_eq!((question.route(), request.parent()), (Some("/orders/{owner}"), None));
    assert_eq!((problem["id"].as_str(), refusal.id()), (Some(&*events[1].id().to_string()), events[1].id()));
}

#[tokio::test]
async fn a_grpc_caller_of_an_axum_service_is_refused_in_http() {
    let world = World::new();
    let peer = world.frontend().await;
    let guarded = GuardedRouter::new(world.guard(support::deny()).build(), handlers());
    let mut request = over_grpc(world.request_of(&peer));
    *request.uri_mut() = "/open".parse().unwrap();
    let response = guarded.oneshot(request).await.unwrap();
    // What it serves is HTTP: a client of gRPC takes a 403 for PERMISSION_DENIED too.
    assert_eq!((response.status().as_u16(), response.headers().get("grpc-status")), (403, None));
}

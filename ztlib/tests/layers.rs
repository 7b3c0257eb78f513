//! Each stage as a layer of its own, and stacked: the same result as the whole guard.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test"
)]

mod support;

use std::time::Duration;

use tower::{Layer as _, ServiceBuilder};
use ztlib::authorize::{Answer, Labels, Read, Value};
use ztlib::enforce::AuthenticatePeerLayer;
use ztlib::enforce::AuthenticateTokenLayer;
use ztlib::enforce::{Guard, GuardLayer};
use ztlib::policies::PolicyStore;
use ztlib_testing::peer_extensions;

use support::{World, allow, deciding, deny, over_grpc};

/// Only alice through the frontend.
fn only_alice() -> PolicyStore {
    deciding(|question, outcome| {
        let peer = question.read(Read::PeerMatches("spiffe://example.org/frontend".into()))?;
        let subject = question.read(Read::Subject)?;
        if peer == Value::Bool(true) && subject == Value::Text("alice".into()) {
            return Ok(Answer::Allow);
        }
        outcome.reason("no-role")?;
        Ok(Answer::Deny)
    })
}

fn from_layers(world: &World, policies: PolicyStore) -> Guard {
    let builder = Guard::builder().peers_from_layer().tokens_from_layer().policies(policies);
    builder.clock(world.clock.clone()).audit(world.events.clone()).build()
}

#[tokio::test]
async fn stacked_layers_decide_as_the_whole_guard() {
    let world = World::new();
    let whole = GuardLayer::new(world.guard(only_alice()).build());
    let stacked = ServiceBuilder::new()
        .layer(AuthenticatePeerLayer::new(world.peers()).clock(world.clock.clone()).serves_grpc())
        .layer(AuthenticateTokenLayer::new(world.tokens()).clock(world.clock.clone()).serves_grpc())
        .layer(GuardLayer::new(from_layers(&world, only_alice())));
    let frontend = world.frontend().await;
    let stranger = world.mesh.issue_spiffe("spiffe://example.org/stranger");
    let stranger = peer_extensions(&world.trust, Some(&stranger), world.clock.clone()).await.unwrap();
    let nobody = http::Extensions::new();
    let tokens = [
        Some(world.token().sign()),
        Some(world.token().subject("bob").sign()),
        Some(world.token().expired().sign()),
        Some(world.token().signed_by_unknown_key().sign()),
        Some("nonsense".to_owned()),
        None,
    ];
    let mut reasons = std::collections::BTreeSet::new();
    for peer in [&frontend, &stranger, &nobody] {
        for token in &tokens {
            let request = || {
                let mut request = world.request_of(peer);
                request.headers_mut().remove("authorization");
                if let Some(token) = token {
                    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
                }
                request
            };
            let one = world.through(&whole, request()).await;
            let other = world.through(&stacked, request()).await;
            assert_eq!((one.status, one.reason()), (other.status, other.reason()));
            assert_eq!(one.header("www-authenticate").is_some(), other.header("www-authenticate").is_some());
            reasons.insert(one.reason().to_owned());
            let (one, other) = (
                world.through(&whole, over_grpc(request())).await,
                world.through(&stacked, over_grpc(request())).await,
            );
            assert_eq!(one.header("grpc-status"), other.header("grpc-status"));
        }
    }
    let expected = [
        "missing-certificate",
        "no-role",
        "passed",
        "token-expired",
        "token-malformed",
        "token-missing",
        "token-signature",
    ];
    assert_eq!(reasons.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_layer_that_did_not_run_is_a_fault_and_not_an_anonymous_caller() {
    let world = World::new();
    let peers = AuthenticatePeerLayer::new(world.peers()).clock(world.clock.clone());
    let tokens = AuthenticateTokenLayer::new(world.tokens()).clock(world.clock.clone());
    let guard = GuardLayer::new(from_layers(&world, allow()));
    let request = world.request().await;
    for (name, answer) in [
        ("neither", world.through(&guard, request.clone()).await),
        (
            "peers only",
            world
                .through(&ServiceBuilder::new().layer(peers.clone()).layer(guard.clone()), request.clone())
                .await,
        ),
        (
            "tokens only",
            world
                .through(&ServiceBuilder::new().layer(tokens.clone()).layer(guard.clone()), request.clone())
                .await,
        ),
        // Inside of the guard a layer is too late.
        (
            "inside",
            world
                .through(
                    &ServiceBuilder::new().layer(guard.clone()).layer(peers.clone()).layer(tokens.clone()),
                    request.clone(),
                )
                .await,
        ),
    ] {
        assert_eq!((answer.status, answer.reason()), (503, "stage-missing"), "{name}");
    }
    assert!(world.events.take().iter().all(|event| event.verdict().as_str() == "fault"));
    assert_eq!(world.handler.calls(), 0);
    let both = ServiceBuilder::new().layer(peers).layer(tokens).layer(guard);
    assert_eq!(world.through(&both, request).await.reason(), "passed");
}

#[tokio::test]
async fn what_a_layer_found_expires_for_the_guard_too() {
    let world = World::new();
    // A layer whose clock stands still, as one does that verified a while ago.
    let earlier = world.clock.clone();
    let frozen = ztlib_testing::ManualClock::new(ztlib::Clock::now(&earlier));
    let stacked = ServiceBuilder::new()
        .layer(AuthenticatePeerLayer::new(world.peers()).clock(frozen.clone()))
        .layer(AuthenticateTokenLayer::new(world.tokens()).clock(frozen))
        .layer(GuardLayer::new(from_layers(&world, allow())));
    let request = world.request().await;
    assert_eq!(world.through(&stacked, request.clone()).await.reason(), "passed");
    world.clock.advance(Duration::from_secs(301));
    assert_eq!(world.through(&stacked, request).await.reason(), "token-expired");
    assert_eq!(world.handler.calls(), 1);
}

#[tokio::test]
async fn a_peer_that_a_layer_found_expires_for_the_guard_too_and_when_a_handler_asks() {
    let world = World::new();
    let now = ztlib::Clock::now(&world.clock);
    let leaf = world.mesh.leaf().spiffe("spiffe://example.org/frontend");
    let leaf = leaf.valid_between(now - Duration::from_secs(60), now + Duration::from_secs(60)).issue();
    let peer = peer_extensions(&world.trust, Some(&leaf), world.clock.clone()).await.unwrap();
    let builder = Guard::builder().peers_from_layer().allow_requests_without_token().policies(allow());
    let guard = builder.clock(world.clock.clone()).audit(world.events.clone()).build();
    // A layer whose clock stands still, as one does that verified a while ago.
    let frozen = ztlib_testing::ManualClock::new(now);
    let stacked = ServiceBuilder::new()
        .layer(AuthenticatePeerLayer::new(world.peers()).clock(frozen))
        .layer(GuardLayer::new(guard.clone()));
    assert_eq!(world.through(&stacked, world.request_of(&peer)).await.reason(), "passed");
    let principal = world.events.one().principal().clone();
    assert!(guard.ask(&principal, "orders.list", Labels::new()).is_ok());
    world.clock.advance(Duration::from_secs(61));
    world.events.take();
    assert_eq!(world.through(&stacked, world.request_of(&peer)).await.reason(), "expired");
    assert_eq!(
        world.events.one().reason(),
        Some("expired"),
        "by the guard: the layer would have left no event"
    );
    assert!(guard.ask(&principal, "orders.list", Labels::new()).is_err());
    assert_eq!(world.events.one().reason(), Some("expired"));
}

#[tokio::test]
async fn a_guard_that_takes_no_tokens_or_no_peers_says_so_in_its_challenge() {
    let world = World::new();
    let only_peers = Guard::builder().peers(world.peers()).allow_requests_without_token().policies(allow());
    let only_peers = only_peers.clock(world.clock.clone()).build();
    let answer = world
        .send(
            &only_peers,
            http::Request::builder().header("host", "a.test").body(Default::default()).unwrap(),
        )
        .await;
    assert_eq!(
        (answer.reason(), answer.header("www-authenticate")),
        ("missing-certificate", Some("Client-Certificate"))
    );
    // A token that is sent means nothing: the policy does not see it.
    let world = World::new();
    let seen = deciding(|question, _| {
        let token = question.read(Read::HasToken)? == Value::Bool(true)
            || question.read(Read::Subject)? != Value::Absent;
        Ok(if token { Answer::Deny } else { Answer::Allow })
    });
    let guard = Guard::builder()
        .peers(world.peers())
        .allow_requests_without_token()
        .policies(seen)
        .clock(world.clock.clone())
        .build();
    assert_eq!(world.send(&guard, world.request().await).await.reason(), "passed");

    let seen = deciding(|question, _| {
        Ok(if question.read(Read::HasPeer)? == Value::Bool(true) { Answer::Deny } else { Answer::Allow })
    });
    let guard = Guard::builder()
        .allow_unauthenticated_peers()
        .tokens(world.tokens())
        .policies(seen)
        .clock(world.clock.clone())
        .build();
    assert_eq!(world.send(&guard, world.request().await).await.reason(), "passed");
}

#[tokio::test]
async fn a_guard_inside_of_a_guard_refuses_by_itself() {
    let world = World::new();
    let outer = GuardLayer::new(world.guard(allow()).build());
    let inner = GuardLayer::new(world.guard(deny()).build());
    let both =
        ServiceBuilder::new().layer(tower::layer::layer_fn(|service| outer.layer(service))).layer(inner);
    let answer = world.through(&both, world.request().await).await;
    assert_eq!((answer.status, answer.reason()), (403, "no-role"));
    assert_eq!(world.events.take().len(), 2);
    assert_eq!(world.handler.calls(), 0);
}

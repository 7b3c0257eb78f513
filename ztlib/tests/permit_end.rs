//! When a permit ends (T5): each request's own, to the second, no matter who filled the cache
//! entry.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{Extensions, Request};
use serde_json::json;
use ztlib::Clock as _;
use ztlib::authenticate::Principal;
use ztlib::authenticate::peer::{PeerAuthenticator, Trust};
use ztlib::authenticate::token::{Algorithm, Issuer, KeySet, TokenAuthenticator, TokenVerifier};
use ztlib::authorize::Labels;
use ztlib::enforce::{Guard, MatchedRoute, Permit};
use ztlib::policies::{PolicySetBuilder, PolicyStore};
use ztlib_testing::{TokenDraft, peer_extensions};

use support::{FRONTEND, World};

const PROBE: &[u8] = include_bytes!("../../plugins/artifacts/probe.wasm");

type Body = http_body_util::Full<bytes::Bytes>;

/// A policy that allows where this is so.
fn allowing_if(function: &str, argument: &str) -> PolicyStore {
    let decide = json!({
        "if": { "call": function, "with": [argument] },
        "then": { "answer": "allow" },
        "else": { "answer": "deny" },
    });
    PolicySetBuilder::new().component("time", PROBE).config(json!({ "decide": decide })).load().unwrap()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn with_token(mut request: Request<Body>, token: TokenDraft<'_>) -> Request<Body> {
    let bearer = format!("Bearer {}", token.sign());
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    request
}

/// Sends a request that passes; its permit, and whether the decision came from the cache.
async fn passes(world: &World, guard: &Guard, request: Request<Body>) -> (Permit, bool) {
    assert_eq!(world.send(guard, request).await.reason(), "passed");
    let permit = world.handler.seen().extensions.get::<Permit>().unwrap().clone();
    (permit, world.events.one().cached())
}

async fn peer_for(world: &World, lifetime: Duration) -> Extensions {
    let leaf = world
        .mesh
        .leaf()
        .spiffe(FRONTEND)
        .valid_between(world.clock.now(), world.clock.now() + lifetime)
        .issue();
    peer_extensions(&world.trust, Some(&leaf), world.clock.clone()).await.unwrap()
}

/// Proof (d) of T5: warm, the answer flips at the very second, and flips back where the clock is
/// set back.
#[tokio::test]
async fn an_answer_that_hung_on_before_flips_exactly_then_warm_with_the_clock_stepped_both_ways() {
    let world = World::new();
    let peer = world.frontend().await;
    let moment = world.clock.now() + Duration::from_secs(100);
    let guard = world.guard(allowing_if("before", &seconds(moment).to_string())).build();
    let request = with_token(world.request_of(&peer), world.token().expires_in(Duration::from_secs(600)));
    let (permit, cached) = passes(&world, &guard, request.clone()).await;
    assert_eq!((permit.valid_until(), cached), (Some(moment), false));

    let tick = Duration::from_millis(1);
    for (step, (at, allowed, cached)) in [
        (moment - Duration::from_secs(1), true, true),
        (moment - tick, true, true),
        (moment, false, false),
        (moment + tick, false, true),
        (moment + Duration::from_secs(60), false, true),
        // Back: what was true is true again, and nothing was lost.
        (moment - tick, true, true),
        (moment, false, true),
        (moment - Duration::from_secs(99), true, true),
    ]
    .into_iter()
    .enumerate()
    {
        world.clock.set(at);
        let answer = world.send(&guard, request.clone()).await;
        assert_eq!(answer.status, if allowed { 200 } else { 403 }, "step {step}");
        assert_eq!(world.events.one().cached(), cached, "step {step}");
        if allowed {
            let permit = world.handler.seen().extensions.get::<Permit>().unwrap().clone();
            assert_eq!(permit.valid_until(), Some(moment), "step {step}");
        }
    }
}

#[tokio::test]
async fn two_callers_who_share_an_entry_have_ends_of_their_own() {
    let world = World::new();
    let peer = world.frontend().await;
    let guard = world.guard(allowing_if("has-scope", "read")).build();
    let now = world.clock.now();
    let token = |subject: &str, lives: u64| {
        let token = world.token().subject(subject).scope("read").expires_in(Duration::from_secs(lives));
        with_token(world.request_of(&peer), token)
    };
    let (short, long) = (token("alice", 60), token("bob", 300));
    let ends = |seconds: u64| Some(now + Duration::from_secs(seconds));
    let (permit, cached) = passes(&world, &guard, long.clone()).await;
    assert_eq!((permit.valid_until(), cached), (ends(300), false));
    let (permit, cached) = passes(&world, &guard, short.clone()).await;
    assert_eq!(
        (permit.valid_until(), cached),
        (ends(60), true),
        "not that of the request that filled the entry"
    );
    let (permit, cached) = passes(&world, &guard, long.clone()).await;
    assert_eq!((permit.valid_until(), cached), (ends(300), true));

    // And the end is one: a second before it the request passes, then no more.
    world.clock.set(now + Duration::from_secs(59));
    let (permit, _) = passes(&world, &guard, short.clone()).await;
    assert_eq!(permit.valid_until(), ends(60));
    world.clock.set(now + Duration::from_secs(60));
    assert_eq!(world.send(&guard, short).await.reason(), "token-expired");
    assert_eq!(world.send(&guard, long).await.reason(), "passed");
}

/// The claim's moment is each caller's own too, though they are told the same and share the entry.
#[tokio::test]
async fn the_moment_of_a_claim_ends_the_permit_of_its_bearer() {
    let world = World::new();
    let peer = world.frontend().await;
    let guard = world.guard(allowing_if("before-claim", "/until")).build();
    let now = world.clock.now();
    for (turn, until) in [40_u64, 20, 30].into_iter().enumerate() {
        let token = world.token().claim("until", seconds(now) + until);
        let (permit, cached) = passes(&world, &guard, with_token(world.request_of(&peer), token)).await;
        assert_eq!(permit.valid_until(), Some(now + Duration::from_secs(until)));
        assert_eq!(cached, turn > 0);
    }
}

/// The permit's end is the first of all; each is tried by going to it: a second before it passes,
/// at it something else is said.
#[tokio::test]
async fn of_token_certificate_and_reads_the_first_ends_the_permit_and_then_the_answer_is_another() {
    const ALWAYS: (&str, &str) = ("in-window", "mon-sun 00:00-24:00");
    // (the read and its argument, the life of the certificate, the token's life, the login's age) →
    // the end
    let cases = [
        (ALWAYS, 1000, 300, 0, 300, "token-expired"),
        (ALWAYS, 200, 300, 0, 201, "expired"),
        (("authenticated-within", "60"), 1000, 300, 10, 51, "denied"),
        // 2026-01-01T00:00:00Z was a Thursday.
        (("in-window", "thu 00:00-00:02; thu 00:02-00:04"), 1000, 300, 0, 240, "denied"),
        (("before", "1767225601"), 1000, 300, 0, 1, "denied"),
    ];
    for ((function, argument), certificate, token, login, end, reason) in cases {
        let world = World::new();
        let now = world.clock.now();
        let peer = peer_for(&world, Duration::from_secs(certificate)).await;
        let guard = world.guard(allowing_if(function, argument)).build();
        let token = world
            .token()
            .expires_in(Duration::from_secs(token))
            .authenticated_ago(Duration::from_secs(login));
        let request = with_token(world.request_of(&peer), token);
        for cached in [false, true] {
            let (permit, from_cache) = passes(&world, &guard, request.clone()).await;
            assert_eq!(permit.valid_until(), Some(now + Duration::from_secs(end)), "{function}");
            assert_eq!(from_cache, cached);
        }
        world.clock.set(now + Duration::from_secs(end - 1));
        passes(&world, &guard, request.clone()).await;
        world.clock.set(now + Duration::from_secs(end));
        assert_eq!(world.send(&guard, request).await.reason(), reason, "{function}");
    }
}

/// From no to yes counts too: a policy may take something back then.
#[tokio::test]
async fn an_end_is_where_a_read_becomes_true_too_and_where_the_time_itself_was_read_the_next_second() {
    let world = World::new();
    let peer = world.frontend().await;
    let now = world.clock.now();
    for (calls, end) in [
        (json!([{ "call": "in-window", "with": ["thu 00:03-00:04"] }]), 180),
        (json!([{ "call": "now" }]), 1),
        (json!([{ "call": "now" }, { "call": "before", "with": ["1"] }]), 1),
    ] {
        let decide = json!({ "decide": { "do": calls, "answer": "allow" } });
        let set = PolicySetBuilder::new().component("time", PROBE).config(decide).load().unwrap();
        let guard = world.guard(set).build();
        let (permit, _) = passes(&world, &guard, world.request_of(&peer)).await;
        assert_eq!(permit.valid_until(), Some(now + Duration::from_secs(end)));
    }
}

#[tokio::test]
async fn a_permit_that_time_does_not_end_has_no_end() {
    let world = World::new();
    let nothing = PolicySetBuilder::new().component("time", PROBE);
    let nothing = nothing.config(json!({ "decide": { "answer": "allow" } })).load().unwrap();
    let guard = Guard::builder().allow_unauthenticated_peers().allow_requests_without_token();
    let guard = guard.policies(nothing).clock(world.clock.clone()).audit(world.events.clone());
    let guard = guard.allow_public_route("/healthz").build();
    let (permit, _) = passes(&world, &guard, world.request().await).await;
    assert_eq!(permit.valid_until(), None);
    let mut public = world.request().await;
    public.extensions_mut().insert(MatchedRoute::new("/healthz"));
    assert_eq!(passes(&world, &guard, public).await.0.valid_until(), None);
    let asked = guard.ask(&Principal::anonymous(), "orders.list", Labels::new()).unwrap();
    assert_eq!(asked.valid_until(), None);
}

/// As long as the token is believed, so long the permit: with the issuer's leeway, and no longer
/// than its maximum age.
#[tokio::test]
async fn the_leeway_and_the_maximum_age_of_the_issuer_count() {
    let world = World::new();
    let now = world.clock.now();
    let peer = world.frontend().await;
    let issuer = || Issuer::new(world.id.name()).audience("shop").algorithms([Algorithm::ES256]);
    let (leeway, age) = (Duration::from_secs(30), Duration::from_secs(120));
    for (issuer, end, reason) in [
        (issuer(), 300, "token-expired"),
        (issuer().leeway(leeway), 330, "token-expired"),
        (issuer().leeway(leeway).max_age(age), 120, "token-too-old"),
    ] {
        world.clock.set(now);
        let keys = KeySet::from_jwks(&world.id.jwks()).unwrap();
        let tokens = TokenVerifier::builder().issuer(issuer.keys(keys)).build().unwrap();
        let policies = allowing_if("before", "4102444800");
        let guard =
            Guard::builder().peers(world.peers()).tokens(TokenAuthenticator::new(tokens)).policies(policies);
        let guard = guard.clock(world.clock.clone()).audit(world.events.clone()).build();
        let request = world.request_of(&peer);
        for step in [0, 1, end - 1] {
            world.clock.set(now + Duration::from_secs(step));
            let (permit, _) = passes(&world, &guard, request.clone()).await;
            assert_eq!(permit.valid_until(), Some(now + Duration::from_secs(end)));
        }
        world.clock.set(now + Duration::from_secs(end));
        assert_eq!(world.send(&guard, request).await.reason(), reason);
        world.events.take();
    }
}

/// The roots that vouch now count, not those of the handshake: they came with a list that has to be
/// renewed sooner.
#[tokio::test]
async fn after_new_roots_the_end_is_as_they_say() {
    let world = World::new();
    let now = world.clock.now();
    let later = |seconds| now + Duration::from_secs(seconds);
    let peer = peer_for(&world, Duration::from_secs(500)).await;
    let guard = world.guard(allowing_if("in-window", "mon-sun 00:00-24:00")).build();
    let request = with_token(world.request_of(&peer), world.token().expires_in(Duration::from_secs(3000)));
    let (permit, _) = passes(&world, &guard, request.clone()).await;
    assert_eq!(permit.valid_until(), Some(later(501)));

    let list = world.mesh.revocation_list(&[], now - Duration::from_secs(60), later(400));
    let builder = Trust::builder().trust("example.org".parse().unwrap(), [world.mesh.certificate()]).unwrap();
    world.trust.replace(
        builder.trust_revocations(&"example.org".parse().unwrap(), [list]).unwrap().build().unwrap(),
    );
    let (permit, _) = passes(&world, &guard, request.clone()).await;
    assert_eq!(permit.valid_until(), Some(later(401)));
    world.clock.set(later(400));
    passes(&world, &guard, request.clone()).await;
    world.clock.set(later(401));
    assert_eq!(world.send(&guard, request).await.reason(), "revocation-list-stale");
}

/// A question of the application's own, asked for a principal that outlived its request.
#[tokio::test]
async fn the_permit_of_a_question_ends_with_its_own_reads_and_credentials() {
    let world = World::new();
    let peer = world.frontend().await;
    let now = world.clock.now();
    let moment = seconds(now) + 30;
    let guard = world.guard(allowing_if("before", &moment.to_string())).build();
    let request = with_token(world.request_of(&peer), world.token().expires_in(Duration::from_secs(20)));
    let (permit, _) = passes(&world, &guard, request).await;
    let ask = |principal: &Principal| guard.ask(principal, "orders.cancel", Labels::new()).unwrap();
    assert_eq!(ask(permit.principal()).valid_until(), Some(now + Duration::from_secs(20)));
    assert_eq!(ask(&Principal::anonymous()).valid_until(), Some(now + Duration::from_secs(30)));
}

/// Two guards with roots of their own in one service; a handler of the first asks the second.
#[tokio::test]
async fn what_another_guards_roots_say_does_not_lengthen_a_permit() {
    let world = World::new();
    let now = world.clock.now();
    let later = |seconds| now + Duration::from_secs(seconds);
    let roots = || {
        let domain = "example.org".parse().unwrap();
        Trust::builder().trust(domain, [world.mesh.certificate()]).unwrap()
    };
    let list = world.mesh.revocation_list(&[], now - Duration::from_secs(60), later(100));
    let strict = roots().trust_revocations(&"example.org".parse().unwrap(), [list]).unwrap().build().unwrap();
    world.trust.replace(strict);
    let everybody = || {
        let all = include_bytes!("../../plugins/artifacts/allow-all.wasm").as_slice();
        PolicySetBuilder::new().component("all", all).load().unwrap()
    };
    let guard = world.guard(everybody()).build();
    let peer = peer_for(&world, Duration::from_secs(3600)).await;
    let request = with_token(world.request_of(&peer), world.token().expires_in(Duration::from_secs(600)));
    let (permit, _) = passes(&world, &guard, request.clone()).await;
    assert_eq!(permit.valid_until(), Some(later(101)), "the end of the revocation list");
    let lenient = Guard::builder()
        .peers(PeerAuthenticator::new(roots().build().unwrap()))
        .tokens(world.tokens())
        .policies(everybody())
        .clock(world.clock.clone())
        .build();
    lenient.ask(permit.principal(), "orders.cancel", Labels::new()).unwrap();
    assert_eq!(permit.valid_until(), Some(later(101)));
    let (permit, _) = passes(&world, &guard, request).await;
    assert_eq!(permit.valid_until(), Some(later(101)), "of the next request on this connection, too");
}

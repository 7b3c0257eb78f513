//! A proof that one guard has checked, carried to another: it holds there only on the other's own
//! terms.

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

use tower::ServiceBuilder;
use ztlib::authenticate::Principal;
use ztlib::authenticate::peer::{PeerAuthenticator, PeerCertificates, Trust};
use ztlib::authenticate::token::{Algorithm, Issuer, KeySet, KeyStore, TokenAuthenticator, TokenVerifier};
use ztlib::authorize::{Answer, Labels, Read, Value};
use ztlib::enforce::AuthenticatePeerLayer;
use ztlib::enforce::AuthenticateTokenLayer;
use ztlib::enforce::{Guard, Permit, GuardLayer};
use ztlib::policies::PolicyStore;
use ztlib_testing::{Authority, TokenIssuer};

use support::{FRONTEND, World, allow, deciding};

/// What a guard says to a question about this principal, alone and in a batch.
fn asked(guard: &Guard, principal: &Principal) -> String {
    let told = |answer: Result<Permit, ztlib::enforce::Refusal>| {
        answer.map_or_else(|refusal| refusal.cause().code().to_owned(), |_| "allowed".to_owned())
    };
    let one = told(guard.ask(principal, "orders.read", Labels::new()));
    let batch = guard.ask_all(principal, [("a", Labels::new()), ("b", Labels::new())]);
    assert!(batch.into_iter().all(|answer| told(answer) == one));
    one
}

/// Whom the world's own guard lets in: alice through the frontend.
async fn alice(world: &World) -> Principal {
    let guard = world.guard(allow()).build();
    assert_eq!(world.send(&guard, world.request().await).await.status, 200);
    world.handler.seen().extensions.get::<Permit>().unwrap().principal().clone()
}

/// An issuer as the world's own guard trusts it.
fn shop(id: &TokenIssuer) -> Issuer {
    let keys = KeySet::from_jwks(&id.jwks()).unwrap();
    Issuer::new(id.name()).audience("shop").algorithms([Algorithm::ES256]).keys(keys)
}

fn trusting(issuer: Issuer) -> TokenAuthenticator {
    TokenAuthenticator::new(TokenVerifier::builder().issuer(issuer).build().unwrap())
}

fn guard(world: &World, tokens: TokenAuthenticator, policies: PolicyStore) -> Guard {
    let builder = Guard::builder().peers(world.peers()).tokens(tokens).policies(policies);
    builder.clock(world.clock.clone()).audit(world.events.clone()).build()
}

#[tokio::test]
async fn a_token_of_an_issuer_that_this_guard_does_not_trust_is_refused_when_a_handler_asks() {
    let world = World::new();
    let alice = alice(&world).await;
    let stranger = TokenIssuer::new("https://other.example");
    assert_eq!(asked(&guard(&world, trusting(shop(&stranger)), allow()), &alice), "token-unknown-issuer");
    // Of the same name, with keys of its own.
    let namesake = TokenIssuer::new(world.id.name());
    assert_eq!(asked(&guard(&world, trusting(shop(&namesake)), allow()), &alice), "token-key-retired");
    // One that trusts the same issuer on the same terms, by another verifier.
    assert_eq!(asked(&guard(&world, trusting(shop(&world.id)), allow()), &alice), "allowed");
}

#[tokio::test]
async fn a_token_holds_for_another_guard_on_that_guards_terms_alone() {
    let world = World::new();
    let alice = alice(&world).await;
    let keys = || KeySet::from_jwks(&world.id.jwks()).unwrap();
    let bare = || Issuer::new(world.id.name()).keys(keys());
    let es = [Algorithm::ES256];
    let terms = [
        ("token-audience", bare().audience("bank").algorithms(es)),
        ("token-type", shop(&world.id).types(["at+jwt"])),
        ("token-missing-claim", shop(&world.id).require_claim("tenant")),
        ("token-lifetime", shop(&world.id).max_lifetime(Duration::from_secs(60))),
        ("allowed", shop(&world.id).max_age(Duration::from_secs(60))),
        ("allowed", bare().audience("bank").audience("shop").algorithms(es).types(["JWT"])),
    ];
    for (expected, issuer) in terms {
        assert_eq!(asked(&guard(&world, trusting(issuer), allow()), &alice), expected);
    }
    let aging = guard(&world, trusting(shop(&world.id).max_age(Duration::from_secs(60))), allow());
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(asked(&aging, &alice), "token-too-old");
    assert_eq!(asked(&guard(&world, trusting(shop(&world.id)), allow()), &alice), "allowed");
    world.clock.advance(Duration::from_secs(240));
    assert_eq!(asked(&guard(&world, trusting(shop(&world.id)), allow()), &alice), "token-expired");
}

#[tokio::test]
async fn the_algorithm_and_the_keys_of_now_of_the_asked_guard_count() {
    let world = World::new();
    let id = TokenIssuer::with_algorithm(world.id.name(), Algorithm::RS256);
    let mut jwks: serde_json::Value = serde_json::from_slice(&id.jwks()).unwrap();
    jwks["keys"][0].as_object_mut().unwrap().remove("alg");
    let any = KeySet::from_jwks(jwks.to_string().as_bytes()).unwrap();
    let issuer =
        |algorithm, keys: KeyStore| Issuer::new(id.name()).audience("shop").algorithms([algorithm]).keys(keys);
    let first = guard(&world, trusting(issuer(Algorithm::RS256, any.clone().into())), allow());
    let mut request = world.request().await;
    let token = id.token_at(ztlib::Clock::now(&world.clock)).subject("alice").audience("shop").sign();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    assert_eq!(world.send(&first, request).await.reason(), "passed");
    let alice = world.handler.seen().extensions.get::<Permit>().unwrap().principal().clone();
    let pss = guard(&world, trusting(issuer(Algorithm::PS256, any.clone().into())), allow());
    assert_eq!(asked(&pss, &alice), "token-algorithm");

    let handle = KeyStore::new(any.clone());
    let other = guard(&world, trusting(issuer(Algorithm::RS256, handle.clone())), allow());
    assert_eq!(asked(&other, &alice), "allowed");
    handle.replace(KeySet::empty());
    assert_eq!(asked(&other, &alice), "token-key-retired");
    assert_eq!(asked(&first, &alice), "allowed");
    handle.replace(any);
    assert_eq!(asked(&other, &alice), "allowed");
}

#[tokio::test]
async fn who_is_at_home_is_for_the_asked_guard_to_say() {
    let world = World::new();
    let partner = TokenIssuer::new("https://partner.example");
    let verifier = |first, second| {
        let builder = TokenVerifier::builder().issuer(shop(first)).issuer(shop(second));
        TokenAuthenticator::new(builder.build().unwrap())
    };
    let first = guard(&world, verifier(&world.id, &partner), allow());
    let second = guard(&world, verifier(&partner, &world.id), allow());
    assert_eq!(world.send(&first, world.request().await).await.reason(), "passed");
    let alice = world.handler.seen().extensions.get::<Permit>().unwrap().principal().clone();
    let at_home = |guard: &Guard| {
        let permit = guard.ask(&alice, "orders.read", Labels::new()).unwrap();
        permit.principal().claims().unwrap().is_home_issuer()
    };
    assert!(at_home(&first) && !at_home(&second));
}

#[tokio::test]
async fn what_a_guard_does_not_take_it_shows_to_no_policy() {
    let world = World::new();
    let alice = alice(&world).await;
    world.events.take();
    let sees = |read: Read| {
        deciding(move |question, _| {
            let seen = question.read(read.clone())? == Value::Bool(true);
            Ok(if seen { Answer::Deny } else { Answer::Allow })
        })
    };
    let builder = Guard::builder().peers(world.peers()).allow_requests_without_token();
    let no_tokens = builder.policies(sees(Read::HasToken)).clock(world.clock.clone());
    let no_tokens = no_tokens.audit(world.events.clone()).build();
    assert_eq!(asked(&no_tokens, &alice), "allowed");
    assert!(world.events.take().iter().all(|event| event.principal().claims().is_none()));
    let builder = Guard::builder().allow_unauthenticated_peers().tokens(world.tokens());
    let no_peers = builder.policies(sees(Read::HasPeer)).clock(world.clock.clone());
    let no_peers = no_peers.audit(world.events.clone()).build();
    assert_eq!(asked(&no_peers, &alice), "allowed");
    assert!(world.events.take().iter().all(|event| event.principal().peer().is_none()));
    // Also where they would not hold any more: as in a request, nobody looks at them.
    world.clock.advance(Duration::from_secs(301));
    assert_eq!(asked(&no_tokens, &alice), "allowed");
    assert_eq!(asked(&no_peers, &alice), "token-expired");
}

#[tokio::test]
async fn a_peer_of_other_roots_or_of_a_foreign_acceptor_is_refused_when_a_handler_asks() {
    let world = World::new();
    let alice = alice(&world).await;
    let with_peers = |peers: PeerAuthenticator| {
        let builder = Guard::builder().peers(peers).tokens(world.tokens()).policies(allow());
        builder.clock(world.clock.clone()).audit(world.events.clone()).build()
    };
    let roots = |authority: &Authority| {
        let domain = "example.org".parse().unwrap();
        Trust::builder().trust(domain, [authority.certificate()]).unwrap().build().unwrap()
    };
    let strange = with_peers(PeerAuthenticator::new(roots(&Authority::new("another root"))));
    assert_eq!(asked(&strange, &alice), "untrusted-issuer");
    assert_eq!(asked(&with_peers(PeerAuthenticator::new(roots(&world.mesh))), &alice), "allowed");

    // One guard believes a proxy that nobody asked the other guard to believe, with the very same roots
    // and with others.
    let leaf = world.mesh.issue_spiffe(FRONTEND);
    let mut request = world.request().await;
    request.extensions_mut().insert(PeerCertificates::foreign(leaf.chain()));
    let believing = with_peers(world.peers().trust_foreign_acceptor());
    assert_eq!(world.send(&believing, request.clone()).await.reason(), "passed");
    let carried = world.handler.seen().extensions.get::<Permit>().unwrap().principal().clone();
    assert_eq!(asked(&believing, &carried), "allowed");
    for strict in [world.peers(), PeerAuthenticator::new(roots(&world.mesh))] {
        let strict = with_peers(strict);
        assert_eq!(world.send(&strict, request.clone()).await.reason(), "foreign-acceptor");
        assert_eq!(asked(&strict, &carried), "foreign-acceptor");
    }
    // What was vouched for again by other roots is still a foreign acceptor's.
    let again = with_peers(PeerAuthenticator::new(roots(&world.mesh)).trust_foreign_acceptor());
    let permit = again.ask(&carried, "orders.read", Labels::new()).unwrap();
    assert_eq!(asked(&with_peers(world.peers()), permit.principal()), "foreign-acceptor");
}

#[tokio::test]
async fn a_guard_behind_a_layer_takes_the_word_of_that_layer_and_no_others() {
    let world = World::new();
    let carried = alice(&world).await;
    let (peers, tokens) = (world.peers(), world.tokens());
    let from_layers = || {
        let builder = Guard::builder().peers_from_layer().tokens_from_layer().policies(allow());
        builder.clock(world.clock.clone()).audit(world.events.clone()).build()
    };
    let (one, other) = (from_layers(), from_layers());
    let stacked = |guard: &Guard| {
        ServiceBuilder::new()
            .layer(AuthenticatePeerLayer::new(peers.clone()).clock(world.clock.clone()))
            .layer(AuthenticateTokenLayer::new(tokens.clone()).clock(world.clock.clone()))
            .layer(GuardLayer::new(guard.clone()))
    };
    assert_eq!(world.through(&stacked(&one), world.request().await).await.reason(), "passed");
    let own = world.handler.seen().extensions.get::<Permit>().unwrap().principal().clone();
    assert_eq!(asked(&one, &own), "allowed");
    // Of a permit that came of such a question, and from another address, it is the same.
    let permit = one.ask(&own, "orders.read", Labels::new()).unwrap();
    assert_eq!(asked(&one, &permit.principal().clone().from_address(None)), "allowed");
    assert_eq!(asked(&other, &own), "stage-foreign");
    assert_eq!(asked(&one, &carried), "stage-foreign");
    let put_together = Principal::new(own.peer().cloned(), own.claims().cloned());
    assert_eq!(asked(&one, &put_together), "stage-foreign");
    assert_eq!(asked(&one, &Principal::new(None, own.claims().cloned())), "stage-foreign");
    assert_eq!(asked(&one, &Principal::new(own.peer().cloned(), None)), "stage-foreign");
    // A guard that verifies by itself takes what came through a layer, since it looks at all of it
    // again.
    assert_eq!(asked(&world.guard(allow()).build(), &own), "allowed");
}

/// Two guards on one connection share what it remembers: its certificates and the tokens that it
/// sent last.
#[tokio::test]
async fn what_a_connection_remembers_for_one_guard_is_not_believed_by_another() {
    let world = World::new();
    let one = world.guard(allow()).build();
    let other = guard(&world, trusting(shop(&TokenIssuer::new("https://other.example"))), allow());
    let domain = "example.org".parse().unwrap();
    let strange = Trust::builder().trust(domain, [Authority::new("another root").certificate()]).unwrap();
    let strange = Guard::builder().peers(PeerAuthenticator::new(strange.build().unwrap()));
    let strange = strange.tokens(world.tokens()).policies(allow()).clock(world.clock.clone()).build();
    let connection = world.frontend().await;
    let request = world.request_of(&connection);
    for _ in 0..3 {
        assert_eq!(world.send(&one, request.clone()).await.reason(), "passed");
        assert_eq!(world.send(&other, request.clone()).await.reason(), "token-unknown-issuer");
        assert_eq!(world.send(&strange, request.clone()).await.reason(), "untrusted-issuer");
    }
}

//! T7: the credentials' own life is looked at on every request, before the cache is asked. What is
//! remembered helps nobody whose token or certificate is not good any more.

use std::time::{Duration, UNIX_EPOCH};

use ztlib::authenticate::peer::{PeerAuthenticator, PeerCertificates};
use ztlib::authenticate::token::{Issuer, KeySet, TokenAuthenticator, TokenVerifier};
use ztlib::enforce::Guard;
use ztlib_testing::{Authority, TokenIssuer};

use crate::stage::{
    Ask, START, Stage, allow_after, allow_if, ask_of, at, audited, call, fresh, probe, remembered, roots,
    told,
};

/// A set whose answer depends on nothing of the caller: only the check before the cache can refuse.
fn stage() -> Stage {
    Stage::new(probe(&allow_after(&[call("method", &[])])))
}

#[test]
fn an_expired_token_is_refused_though_its_decision_is_remembered() {
    let stage = stage();
    let ask = Ask::get("/").token(stage.world.token("alice").expires_in(Duration::from_secs(60)).sign());
    assert_eq!(stage.told(ask.clone()), fresh("allow"));
    stage.world.clock.set(at(START + 59));
    assert_eq!(stage.told(ask.clone()), remembered("allow"));
    stage.world.clock.set(at(START + 60));
    assert_eq!(stage.told(ask.clone()), fresh("token-expired"));
    stage.world.clock.set(at(START + 59));
    assert_eq!(stage.told(ask), remembered("allow"));
}

#[test]
fn a_token_whose_key_was_removed_is_refused_though_its_decision_is_remembered() {
    let stage = stage();
    let ask = Ask::get("/").token(stage.world.token("alice").sign());
    assert_eq!(stage.told(ask.clone()), fresh("allow"));
    assert_eq!(stage.told(ask.clone()), remembered("allow"));
    let next = TokenIssuer::with_algorithm(stage.world.id.name(), stage.world.id.algorithm()).key_id("next");
    stage.world.keys.replace(KeySet::from_jwks(&TokenIssuer::jwks_of(&[&stage.world.id, &next])).unwrap());
    assert_eq!(stage.told(ask.clone()), remembered("allow"), "its key is still there");
    stage.world.keys.replace(KeySet::from_jwks(&next.jwks()).unwrap());
    assert_eq!(stage.told(ask), fresh("token-unknown-key"));
    let good = next.token_at(at(START)).subject("alice").audience("shop").sign();
    assert_eq!(stage.told(Ask::get("/").token(good)), remembered("allow"));
}

#[test]
fn a_peer_that_is_not_trusted_any_more_is_refused_though_its_decision_is_remembered() {
    let stage = stage();
    let until = at(START + 60);
    let leaf =
        stage.world.workloads.leaf().spiffe("spiffe://td/web").valid_between(UNIX_EPOCH, until).issue();
    let mut ask = Ask::get("/");
    ask.peer = Some(PeerCertificates::foreign(leaf.chain()));
    assert_eq!(stage.told(ask.clone()), fresh("allow"));
    assert_eq!(stage.told(ask.clone()), remembered("allow"));
    stage.world.clock.set(at(START + 61));
    assert_eq!(stage.told(ask.clone()), fresh("expired"));
    stage.world.clock.set(at(START));
    assert_eq!(stage.told(ask.clone()), remembered("allow"));
    stage.world.trust.replace(roots(&Authority::new("another")));
    assert_eq!(stage.told(ask.clone()), fresh("untrusted-issuer"));
    stage.world.trust.replace(roots(&stage.world.workloads));
    assert_eq!(stage.told(ask), remembered("allow"));
}

#[test]
fn a_revoked_peer_is_refused_though_its_decision_is_remembered() {
    let stage = stage();
    let leaf = stage.world.workloads.issue_spiffe("spiffe://td/web");
    let mut ask = Ask::get("/");
    ask.peer = Some(PeerCertificates::foreign(leaf.chain()));
    assert_eq!(stage.told(ask.clone()), fresh("allow"));
    assert_eq!(stage.told(ask.clone()), remembered("allow"));
    let list = stage.world.workloads.revocation_list(&[leaf.certificate()], at(START - 60), at(START + 3600));
    let domain = "td".parse().unwrap();
    let trust = ztlib::authenticate::peer::Trust::builder();
    let trust = trust.trust("td".parse().unwrap(), [stage.world.workloads.certificate()]).unwrap();
    stage.world.trust.replace(trust.trust_revocations(&domain, [list]).unwrap().build().unwrap());
    assert_eq!(stage.told(ask), fresh("revoked"));
}

#[test]
fn a_peer_that_comes_to_lie_where_another_lay_is_read_anew() {
    // T7, T8. A thread does not read again what depends on the caller alone while the caller is the
    // very same one: told apart by where it lies in memory, which is given to others as soon as it
    // is free.
    let stage = Stage::new(probe(&allow_if(call("peer-matches", &["spiffe://td/web"]))));
    let chains = ["spiffe://td/web", "spiffe://td/db"]
        .map(|id| stage.world.workloads.leaf().spiffe(id).issue().chain());
    for round in 0..4 {
        for (chain, word) in chains.iter().zip(["allow", "deny"]) {
            // Many at once, so that places are found again when they are free.
            let peers: Vec<_> = (0..100).map(|_| PeerCertificates::foreign(chain.clone())).collect();
            for peer in &peers {
                let mut ask = Ask::get("/");
                ask.peer = Some(peer.clone());
                assert_eq!(stage.told(ask).0, word, "round {round}");
            }
        }
    }
}

/// A service may have a guard of its own for some of its routes: what one of them found out about a
/// connection, the other does not believe.
#[test]
fn two_guards_of_one_connection_believe_nothing_of_each_other() {
    let stage = stage();
    let world = &stage.world;
    let peer = PeerCertificates::foreign(world.workloads.issue_spiffe("spiffe://td/web").chain());
    let mut ask = Ask::get("/").token(world.token("alice").sign());
    ask.peer = Some(peer);
    for expected in [fresh("allow"), remembered("allow")] {
        assert_eq!(stage.told(ask.clone()), expected);
    }
    let lax = || PeerAuthenticator::new(world.trust.clone()).trust_foreign_acceptor();
    let tokens_for = |audience| {
        let issuer = Issuer::new(world.id.name()).audience(audience).algorithms([world.id.algorithm()]);
        TokenAuthenticator::new(
            TokenVerifier::builder().issuer(issuer.keys(world.keys.clone())).build().unwrap(),
        )
    };
    let guard = |peers: PeerAuthenticator, tokens: TokenAuthenticator| {
        let guard = Guard::builder().peers(peers).tokens(tokens).policies(stage.policies.clone());
        audited(guard.clock(world.clock.clone()))
    };
    let strict = guard(PeerAuthenticator::new(world.trust.clone()), tokens_for("shop"));
    let elsewhere = guard(lax(), tokens_for("billing"));
    let stranger = guard(
        PeerAuthenticator::new(roots(&Authority::new("another"))).trust_foreign_acceptor(),
        tokens_for("shop"),
    );
    let like = guard(lax(), tokens_for("shop"));
    for _ in 0..2 {
        for (guard, word) in
            [(&strict, "foreign-acceptor"), (&elsewhere, "token-audience"), (&stranger, "untrusted-issuer")]
        {
            assert_eq!(told(&ask_of(guard, ask.clone())), fresh(word));
        }
        assert_eq!(told(&ask_of(&like, ask.clone())).0, "allow");
        assert_eq!(stage.told(ask.clone()), remembered("allow"));
    }
}

/// A token that this connection sent before is found by its header alone, and everything else about
/// the request is still looked at.
#[test]
fn a_token_that_a_connection_sent_last_is_not_taken_from_among_several() {
    let stage = stage();
    let world = &stage.world;
    let peer = PeerCertificates::foreign(world.workloads.issue_spiffe("spiffe://td/web").chain());
    let (token, other) = (world.token("alice").sign(), world.token("bob").sign());
    let mut ask = Ask::get("/").token(&token);
    ask.peer = Some(peer);
    let issuer = Issuer::new(world.id.name()).audience("shop").algorithms([world.id.algorithm()]);
    let verifier = TokenVerifier::builder().issuer(issuer.keys(world.keys.clone())).build().unwrap();
    let tokens = TokenAuthenticator::new(verifier).or_cookie("token").unwrap();
    let tokens = tokens.or_websocket_subprotocol("bearer.").unwrap();
    let peers = PeerAuthenticator::new(world.trust.clone()).trust_foreign_acceptor();
    let guard = Guard::builder().peers(peers).tokens(tokens).policies(stage.policies.clone());
    let anywhere = audited(guard.clock(world.clock.clone()));
    for _ in 0..2 {
        for (guard, name, value, code) in [
            (&stage.guard, "authorization", format!("Bearer {other}"), "token-several-headers"),
            (&stage.guard, "authorization", format!("Bearer {token}"), "token-several-headers"),
            (&anywhere, "cookie", format!("token={other}"), "token-several"),
            (&anywhere, "sec-websocket-protocol", format!("bearer.{other}"), "token-several"),
        ] {
            assert_eq!(told(&ask_of(guard, ask.clone())).0, "allow");
            assert_eq!(told(&ask_of(guard, ask.clone())), remembered("allow"));
            assert_eq!(told(&ask_of(guard, ask.clone().header(name, value))), fresh(code));
        }
    }
}

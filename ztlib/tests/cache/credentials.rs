//! T7: the credentials' own life is looked at on every request, before the cache is asked. What is remembered helps nobody whose token or
//! certificate is not good any more.

use std::time::{Duration, UNIX_EPOCH};

use ztlib::authenticate::peer::PeerCertificates;
use ztlib::authenticate::token::KeySet;
use ztlib_testing::{Authority, TokenIssuer};

use crate::stage::{Ask, START, Stage, allow_after, allow_if, at, call, fresh, probe, remembered, roots};

/// A set whose answer hangs on nothing of the caller: only the check before the cache can refuse.
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
    // T7, T8. A thread does not read again what hangs on the caller alone while the caller is the very same one: told apart by where
    // it lies in memory, which is given to others as soon as it is free.
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

//! Stage 1: the peer of an open connection, and a token beside `jsonwebtoken::decode` of the same
//! token.

#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::time::SystemTime;

use criterion::{Criterion, criterion_group, criterion_main};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode};
use ztlib::authenticate::peer::PeerAuthenticator;
use ztlib::authenticate::token::{Algorithm, BearerToken, TokenAuthenticator};
use ztlib_benches::Caller;

fn peer(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let caller = Caller::new(Algorithm::ES256);
    let trust = caller.trust();
    let extensions = runtime.block_on(caller.extensions(&trust));
    let peers = PeerAuthenticator::new(trust);
    let now = SystemTime::now();
    c.bench_function("authenticate/peer, known connection", |b| {
        b.iter(|| peers.authenticate(black_box(&extensions), now).unwrap());
    });
}

fn token(c: &mut Criterion) {
    let algorithms = [
        (Algorithm::ES256, jsonwebtoken::Algorithm::ES256),
        (Algorithm::EdDSA, jsonwebtoken::Algorithm::EdDSA),
        (Algorithm::RS256, jsonwebtoken::Algorithm::RS256),
    ];
    for (ours, theirs) in algorithms {
        let caller = Caller::new(ours);
        let verifier = caller.verifier();
        let now = SystemTime::now();
        let mut group = c.benchmark_group(format!("authenticate/token {ours:?}"));
        group.bench_function("ztlib", |b| {
            b.iter(|| verifier.verify(&BearerToken::new(black_box(&caller.token)).unwrap(), now).unwrap());
        });
        let tokens = TokenAuthenticator::new(caller.verifier());
        let bearer = HeaderValue::try_from(format!("Bearer {}", caller.token)).unwrap();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
        group.bench_function("ztlib, verified before", |b| {
            b.iter(|| tokens.authenticate(black_box(&headers), now).unwrap());
        });
        let set: JwkSet = serde_json::from_slice(&caller.issuer.jwks()).unwrap();
        let key = DecodingKey::from_jwk(set.keys.first().unwrap()).unwrap();
        let mut validation = Validation::new(theirs);
        validation.set_audience(&["shop"]);
        validation.set_issuer(&[caller.issuer.name()]);
        group.bench_function("jsonwebtoken::decode", |b| {
            b.iter(|| decode::<serde_json::Value>(black_box(&caller.token), &key, &validation).unwrap());
        });
        group.finish();
    }
}

criterion_group!(benches, peer, token);
criterion_main!(benches);

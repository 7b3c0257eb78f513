//! Stage 3: what each stage adds to a request to an axum router, without sockets.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::convert::Infallible;
use std::num::NonZeroU32;

use axum::body::Body;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use tower::{Service, ServiceExt};
use ztlib::authenticate::peer::PeerAuthenticator;
use ztlib::authenticate::token::{Algorithm, TokenAuthenticator};
use ztlib::enforce::Guard;
use ztlib::enforce::AuthenticatePeerLayer;
use ztlib::enforce::AuthenticateTokenLayer;
use ztlib::observe::JsonLinesSink;
use ztlib::policies::PolicySetBuilder;
use ztlib::policies::trial::{RecordingRules, Share};
use ztlib_axum::GuardedRouter;
use ztlib_benches::{ALLOW_ALL, Caller, allow_all, guard, rbac, request, router};

async fn answer<S, R>(service: &mut S, request: Request<Body>) -> Response<R>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible>,
{
    service.ready().await.unwrap().call(request).await.unwrap()
}

fn stages(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let caller = Caller::new(Algorithm::ES256);
    let trust = caller.trust();
    let extensions = runtime.block_on(caller.extensions(&trust));
    let mut group = c.benchmark_group("enforce/request");
    macro_rules! bench {
        ($name:expr, $service:expr, $token:expr) => {{
            let mut service = $service;
            group.bench_function($name, |b| {
                b.iter_batched(
                    || request(&extensions, $token),
                    |request| {
                        let response = runtime.block_on(answer(&mut service, request));
                        assert_eq!(response.status(), 200);
                        response
                    },
                    criterion::BatchSize::SmallInput,
                );
            });
        }};
    }
    let token = Some(caller.token.as_str());
    let authorize_only = || {
        let builder = Guard::builder().allow_unauthenticated_peers().allow_requests_without_token();
        builder.policies(allow_all()).build()
    };
    bench!("bare router", router().into_service(), None);
    bench!(
        "peer",
        router().layer(AuthenticatePeerLayer::new(PeerAuthenticator::new(trust.clone()))).into_service(),
        None
    );
    bench!(
        "token",
        router().layer(AuthenticateTokenLayer::new(TokenAuthenticator::new(caller.verifier()))).into_service(),
        token
    );
    bench!("authorize, allow-all", GuardedRouter::new(authorize_only(), router()), None);
    bench!("all stages, allow-all", GuardedRouter::new(guard(&caller, &trust, allow_all()), router()), token);
    bench!(
        "all stages, rbac 200 rules",
        GuardedRouter::new(guard(&caller, &trust, rbac(200)), router()),
        token
    );
    // Written to nowhere, but written: the writer's thread is part of the machine's work.
    let audited = Guard::builder()
        .peers(PeerAuthenticator::new(trust.clone()))
        .tokens(TokenAuthenticator::new(caller.verifier()))
        .policies(rbac(200))
        .audit(JsonLinesSink::new(std::io::sink(), 65_536))
        .build();
    bench!("all stages, rbac 200 rules, audit log", GuardedRouter::new(audited, router()), token);
    let policies = rbac(200);
    let recorder = policies.record(RecordingRules::new()).unwrap();
    bench!(
        "all stages, rbac 200 rules, recorded",
        GuardedRouter::new(guard(&caller, &trust, policies.clone()), router()),
        token
    );
    drop(recorder);
    let candidate = policies.candidate(PolicySetBuilder::new().component("allow-all", ALLOW_ALL)).unwrap();
    let one_in_hundred = Share::one_in(NonZeroU32::new(100).unwrap());
    for (name, share) in [("one in 100", one_in_hundred), ("all", Share::ALL)] {
        // What the candidate's thread needs of the machine is part of it.
        let _shadow = policies.shadow(&candidate, share).unwrap();
        let name = format!("all stages, rbac 200 rules, shadow of {name}");
        bench!(name, GuardedRouter::new(guard(&caller, &trust, policies.clone()), router()), token);
    }
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);

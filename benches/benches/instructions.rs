//! What `benches/instructions.sh` runs under callgrind: one path, so many times. Only what
//! `measured` calls is counted, and only on its thread: setting up, starting and ending are not.

#![allow(missing_docs, clippy::panic, clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Request};
use tower::Service;
use ztlib::Clock as _;
use ztlib::authenticate::peer::PeerAuthenticator;
use ztlib::authenticate::token::{Algorithm, TokenAuthenticator};
use ztlib::enforce::Guard;
use ztlib::observe::{AuditEvent, AuditSink};
use ztlib_axum::GuardedRouter;
use ztlib_benches::{Caller, rbac, request, router};

/// The paths: what the script asks for by name.
const PATHS: [&str; 4] = ["bare-request", "warm-request", "fresh-request", "token-seen-before"];

/// An event is built, handed over and dropped; writing it is another thread's work, and would be
/// counted here.
struct Dropped;

impl AuditSink for Dropped {
    fn record(&self, event: AuditEvent) {
        drop(event);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [path, times] = arguments.as_slice() else {
        // `cargo bench` runs every bench; this one is nothing without callgrind.
        println!("{}", PATHS.join("\n"));
        return;
    };
    let times: u64 = times.parse().unwrap();
    let caller = Caller::new(Algorithm::EdDSA);
    let trust = caller.trust();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let extensions = runtime.block_on(caller.extensions(&trust));
    let token = Some(caller.token.as_str());
    let guard = || {
        Guard::builder()
            .peers(PeerAuthenticator::new(trust.clone()))
            .tokens(TokenAuthenticator::new(caller.verifier()))
            .policies(rbac(200))
            .audit(Dropped)
    };
    match path.as_str() {
        "bare-request" => {
            let mut service = router().into_service();
            repeat(times, || call(&mut service, request(&extensions, token)));
        }
        "warm-request" => {
            let mut service = GuardedRouter::new(guard().build(), router());
            repeat(times, || call(&mut service, request(&extensions, token)));
        }
        "fresh-request" => {
            let mut service = GuardedRouter::new(guard().without_decision_cache().build(), router());
            repeat(times, || call(&mut service, request(&extensions, token)));
        }
        "token-seen-before" => {
            let tokens = TokenAuthenticator::new(caller.verifier());
            let bearer = HeaderValue::try_from(format!("Bearer {}", caller.token)).unwrap();
            let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, bearer)]);
            let now = ztlib::SystemClock.now();
            repeat(times, || assert!(tokens.authenticate(&headers, now).is_ok()));
        }
        other => panic!("no path `{other}`"),
    }
}

/// First what fills caches and grows buffers, uncounted.
fn repeat(times: u64, mut path: impl FnMut()) {
    for _ in 0..times / 10 {
        path();
    }
    measured(times, &mut path);
}

/// The script names this function to callgrind. Nothing else may have its name.
#[inline(never)]
fn measured(times: u64, path: &mut dyn FnMut()) {
    for _ in 0..times {
        path();
    }
}

fn call<S>(service: &mut S, request: Request<Body>)
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
{
    let future = pin!(service.call(request));
    let Poll::Ready(Ok(response)) = future.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it had to wait");
    };
    assert_eq!(response.status(), 200);
}

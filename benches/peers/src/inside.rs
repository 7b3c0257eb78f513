//! What a service author cannot reach: one decision, one look-up. **The one place to switch**: as long as ztlib offers no way in for
//! benchmarks, each of these is the difference of two things that can be reached, and says so; with a way in, `run` becomes the call itself
//! and `floor` nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};
use tower::{Layer as _, Service as _};
use ztlib::authenticate::token::{TokenAuthenticator, TokenLayer};
use ztlib::authorize::policy::Policies;
use ztlib::enforce::Guard;
use ztlib::observe::{AuditEvent, AuditSink};

use crate::Failure;
use crate::measure::{in_turn, now};
use crate::ours::{Caching, Judge, Nothing, Wire, allow_all};
use crate::task::Asked;

/// Nanoseconds of one decision in a fresh sandbox.
///
/// A guard without its cache, less the same guard with a native policy that allows.
///
/// # Errors
/// The floor cannot be set up.
pub fn fresh_decision(
    time: Duration,
    wire: &Wire,
    policies: &Policies,
    asked: &Asked,
) -> Result<f64, Failure> {
    difference(time, wire, Judge::new(wire, policies.clone(), Caching::Off), asked)
}

/// Nanoseconds of one decision that is remembered, by moka.
///
/// A guard with its cache, less one without whose native policy allows. The native policy's own few nanoseconds are lost.
///
/// # Errors
/// The floor cannot be set up.
pub fn remembered_decision(
    time: Duration,
    wire: &Wire,
    policies: &Policies,
    asked: &Asked,
) -> Result<f64, Failure> {
    difference(time, wire, Judge::new(wire, policies.clone(), Caching::On), asked)
}

/// Nanoseconds of one decision that the small front before moka remembers; none while nothing can tell the two apart.
pub fn front_decision(_: Duration, _: &Wire, _: &Policies, _: &Asked) -> Option<f64> {
    None
}

fn difference(time: Duration, wire: &Wire, mut judge: Judge<'_>, asked: &Asked) -> Result<f64, Failure> {
    let mut floor = Judge::new(wire, allow_all()?, Caching::Off);
    let medians = in_turn(time, &mut [&mut |n| judge.run(asked, n), &mut |n| floor.run(asked, n)]);
    Ok(medians[0] - medians[1])
}

/// Nanoseconds of verifying a token that was verified before.
pub fn token_in_cache(wire: &Wire) -> impl FnMut(u64) {
    let (tokens, headers, when) = (wire.tokens(), headers_of(wire), SystemTime::now());
    move |times| {
        for _ in 0..times {
            assert!(std::hint::black_box(tokens.authenticate(&headers, when)).is_ok());
        }
    }
}

/// Nanoseconds of verifying the token that this connection sent last.
///
/// A token layer around nothing, for requests of one connection, less the service that does nothing: the layer's own work is in it.
pub fn token_of_connection(time: Duration, wire: &Wire) -> f64 {
    let mut layered = TokenLayer::new(TokenAuthenticator::new(wire.caller.verifier())).layer(Nothing);
    let medians = in_turn(
        time,
        &mut [
            &mut |n| {
                for _ in 0..n {
                    let answer = now(layered.call(wire.request("GET", "/")));
                    assert!(answer.is_ok_and(|answer| answer.status() == StatusCode::OK));
                }
            },
            &mut |n| {
                for _ in 0..n {
                    let answer = now(Nothing.call(wire.request("GET", "/")));
                    assert!(answer.is_ok_and(|answer| answer.status() == StatusCode::OK));
                }
            },
        ],
    );
    medians[0] - medians[1]
}

fn headers_of(wire: &Wire) -> HeaderMap {
    let bearer = HeaderValue::try_from(format!("Bearer {}", wire.token));
    bearer.map(|bearer| HeaderMap::from_iter([(http::header::AUTHORIZATION, bearer)])).unwrap_or_default()
}

/// How many reads keyed the answer to this question.
///
/// # Errors
/// It is not allowed.
pub fn reads(wire: &Wire, policies: &Policies, asked: &Asked) -> Result<usize, Failure> {
    struct Count(Arc<AtomicUsize>);
    impl AuditSink for Count {
        fn record(&self, event: AuditEvent) {
            self.0.store(event.reads().len(), Ordering::Relaxed);
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    let guard = Guard::builder().allow_unauthenticated_peers().tokens(wire.tokens());
    let guard = guard.policies(policies.clone()).audit(Count(count.clone())).build();
    Judge::with_guard(wire, guard).run(asked, 1);
    Ok(count.load(Ordering::Relaxed))
}

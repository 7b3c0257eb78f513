//! What a service author cannot reach, by `ztlib::bench`: one decision, one look-up.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue};
use ztlib::bench::{Decisions, From, token_is_known};
use ztlib::policies::PolicyStore;

use crate::Failure;
use crate::measure::in_turn;
use crate::ours::Wire;
use crate::task::Asked;

/// Nanoseconds of one decision in a fresh sandbox.
///
/// # Errors
/// The question is not decided as expected.
pub fn fresh_decision(
    time: Duration,
    wire: &Wire,
    policies: &PolicyStore,
    asked: &Asked,
) -> Result<f64, Failure> {
    decision(time, wire, policies, asked, From::Fresh)
}

/// Nanoseconds of one decision that the cache of all threads remembers.
///
/// # Errors
/// The question is not decided as expected.
pub fn remembered_decision(
    time: Duration,
    wire: &Wire,
    policies: &PolicyStore,
    asked: &Asked,
) -> Result<f64, Failure> {
    decision(time, wire, policies, asked, From::Shared)
}

/// Nanoseconds of one decision that this thread has found before.
///
/// # Errors
/// The question is not decided as expected.
pub fn front_decision(
    time: Duration,
    wire: &Wire,
    policies: &PolicyStore,
    asked: &Asked,
) -> Result<f64, Failure> {
    decision(time, wire, policies, asked, From::Front)
}

fn decision(
    time: Duration,
    wire: &Wire,
    policies: &PolicyStore,
    asked: &Asked,
    from: From,
) -> Result<f64, Failure> {
    let mut decisions = decisions(wire, policies, asked)?;
    // Twice: the list of reads is complete after the first, and the answer stored under it after
    // the second.
    decisions.decide(From::Front);
    decisions.decide(From::Front);
    let expected = (asked.allowed, true);
    if decisions.decide(from) != expected {
        return Err(
            format!("{} {}: not decided as expected, from {from:?}", asked.method, asked.route).into()
        );
    }
    let medians = in_turn(
        time,
        &mut [&mut |n| {
            for _ in 0..n {
                assert_eq!(std::hint::black_box(decisions.decide(from)), expected);
            }
        }],
    );
    Ok(medians[0])
}

fn decisions(wire: &Wire, policies: &PolicyStore, asked: &Asked) -> Result<Decisions, Failure> {
    let mut request = http::Request::new(());
    *request.method_mut() = http::Method::from_bytes(asked.method.as_bytes())?;
    *request.uri_mut() = http::Uri::from_static(crate::ours::PATH);
    let principal = wire.principal(asked.roles, 0)?;
    let params = [("id", "4711"), ("item", "9")];
    Ok(Decisions::new(policies, principal, request, &asked.route, &params, SystemTime::now()))
}

/// Looks up a token that was verified before in the cache that all connections share.
pub fn token_in_cache(wire: &Wire) -> impl FnMut(u64) {
    let (tokens, headers, when) = (wire.tokens(), headers_of(wire), SystemTime::now());
    assert!(tokens.authenticate(&headers, when).is_ok());
    move |times| {
        for _ in 0..times {
            assert!(std::hint::black_box(token_is_known(&tokens, &headers, None, when)));
        }
    }
}

/// Nanoseconds of finding out that this connection sent this token last, its life included.
pub fn token_of_connection(time: Duration, wire: &Wire) -> f64 {
    let (tokens, headers, when) = (wire.tokens(), headers_of(wire), SystemTime::now());
    assert!(tokens.authenticate(&headers, when).is_ok());
    let mut known = |times| {
        for _ in 0..times {
            assert!(std::hint::black_box(token_is_known(&tokens, &headers, Some(&wire.extensions), when)));
        }
    };
    // The first finds it in the cache of all, and leaves it with the connection.
    known(1);
    in_turn(time, &mut [&mut known])[0]
}

fn headers_of(wire: &Wire) -> HeaderMap {
    let bearer = HeaderValue::try_from(format!("Bearer {}", wire.token));
    bearer.map(|bearer| HeaderMap::from_iter([(http::header::AUTHORIZATION, bearer)])).unwrap_or_default()
}

/// How many reads the answer to this question depends on.
///
/// # Errors
/// The question cannot be asked.
pub fn reads(wire: &Wire, policies: &PolicyStore, asked: &Asked) -> Result<usize, Failure> {
    Ok(decisions(wire, policies, asked)?.reads())
}

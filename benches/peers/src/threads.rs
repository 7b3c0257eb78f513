//! One thread and two, each with a connection, a user and a service of its own around the same
//! guard.

use std::sync::Barrier;
use std::time::Instant;

use http::StatusCode;
use tower::{Layer as _, Service as _};
use ztlib::enforce::{Guard, MatchedRoute, GuardLayer};

use crate::Failure;
use crate::measure::{median, now};
use crate::ours::{AuditLog, Nothing, Wire};
use crate::task::Asked;

/// Judgements a second: by one thread, and by two.
///
/// # Errors
/// A connection cannot be made.
///
/// # Panics
/// A request is not allowed.
pub fn threads(
    wire: &Wire,
    guard: &Guard,
    asked: &Asked,
    log: Option<&AuditLog>,
) -> Result<[f64; 2], Failure> {
    const CALLS: u64 = 20_000;
    let wires = [wire.another(1)?, wire.another(2)?];
    let mut samples = [Vec::new(), Vec::new()];
    let mut judged = 0;
    for round in 0..9 {
        for (samples, count) in samples.iter_mut().zip([1, 2]) {
            let barrier = Barrier::new(count);
            let took = std::thread::scope(|scope| {
                let one = |wire: &Wire| {
                    let template = MatchedRoute::new(asked.route.as_str());
                    let mut service = GuardLayer::new(guard.clone()).layer(Nothing);
                    barrier.wait();
                    let start = Instant::now();
                    for _ in 0..CALLS {
                        let mut request = wire.request(asked.method, "/");
                        request.extensions_mut().insert(template.clone());
                        let answer = now(service.call(request));
                        assert!(answer.is_ok_and(|answer| answer.status() == StatusCode::OK));
                    }
                    start.elapsed()
                };
                let threads: Vec<_> =
                    wires.iter().take(count).map(|wire| scope.spawn(move || one(wire))).collect();
                // The slower of them: both work until the end.
                threads
                    .into_iter()
                    .map(|thread| thread.join().expect("each request is allowed"))
                    .max()
                    .unwrap_or_default()
            });
            judged += CALLS * count as u64;
            if let Some(log) = log {
                log.wait_for(judged);
            }
            if round > 0 {
                samples.push((CALLS * count as u64) as f64 / took.as_secs_f64());
            }
        }
    }
    Ok(samples.map(|mut samples| median(&mut samples)))
}

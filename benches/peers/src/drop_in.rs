//! A policy is dropped into the folder while requests arrive.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Response, StatusCode};
use tower::Service as _;
use ztlib::authenticate::peer::PeerAuthenticator;
use ztlib::policies::PolicyStore;
use ztlib::enforce::Guard;
use ztlib::observe::{AuditEvent, AuditSink};
use ztlib_axum::GuardedRouter;
use ztlib_benches::ALLOW_ALL;

use crate::measure::now;
use crate::ours::{PATH, Wire, router};
use crate::{Failure, ballast};

/// A request is due this often.
const PACE: Duration = Duration::from_micros(250);

/// One that is answered later than this after it was due was delayed.
pub const DELAY: Duration = Duration::from_millis(5);

/// What happened.
#[derive(Debug, Clone, Default)]
pub struct Dropped {
    /// The component's size in bytes.
    pub bytes: usize,
    /// Seconds from the manifest's rename to the first request that the new revision judged.
    pub enforced_after: f64,
    /// Requests while it was taken in.
    pub requests: usize,
    /// Of them, not answered with a 200. Both revisions allow.
    pub refused: usize,
    /// Of them, answered more than [`DELAY`] after they were due.
    pub delayed: usize,
    /// The longest of them, in milliseconds.
    pub longest: f64,
    /// Requests that were delayed in as much time before, when nothing changed.
    pub delayed_before: usize,
    /// The longest of those, in milliseconds.
    pub longest_before: f64,
    /// Requests that an older revision judged after a newer one.
    pub out_of_order: usize,
}

/// The revisions that judged, in order.
#[derive(Default)]
struct Revisions {
    seen: Vec<String>,
    first_of_new: Option<Instant>,
    out_of_order: usize,
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Revisions>>);

impl AuditSink for Sink {
    fn record(&self, event: AuditEvent) {
        let Some(revision) = event.revision() else { return };
        let digest = revision.digest();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.seen.iter().position(|seen| *seen == digest) {
            None => {
                if !all.seen.is_empty() {
                    all.first_of_new = Some(Instant::now());
                }
                all.seen.push(digest);
            }
            Some(at) if at + 1 < all.seen.len() => all.out_of_order += 1,
            Some(_) => {}
        }
    }
}

/// Drops in a component of this size.
///
/// # Errors
/// The set does not load, or the new one is not in force after five seconds.
pub fn measure(wire: &Wire, bytes: usize) -> Result<Dropped, Failure> {
    let folder = std::env::temp_dir().join(format!("ztlib-drop-in-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let result = measure_in(wire, bytes, &folder);
    fs::remove_dir_all(&folder)?;
    result
}

fn measure_in(wire: &Wire, bytes: usize, folder: &std::path::Path) -> Result<Dropped, Failure> {
    let next = ballast::component(bytes)?;
    let manifest = folder.join("policies.toml");
    let write = |name: &str, component: &[u8]| -> Result<(), Failure> {
        fs::write(folder.join(name), component)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, component);
        let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let text =
            format!("format = 1\n[[policy]]\nname = \"guard\"\nmodule = \"{name}\"\nsha256 = \"{digest}\"\n");
        fs::write(folder.join("policies.toml.next"), text)?;
        fs::rename(folder.join("policies.toml.next"), &manifest)?;
        Ok(())
    };
    write("first.wasm", ALLOW_ALL)?;
    let policies = PolicyStore::from_manifest(&manifest).allow_unsigned().load()?;
    policies.watch()?;
    let sink = Sink::default();
    let guard = Guard::builder()
        .peers(PeerAuthenticator::new(wire.trust.clone()))
        .tokens(wire.tokens())
        .policies(policies)
        .audit(sink.clone())
        .build();
    let mut service = GuardedRouter::new(guard, router());
    let mut call = || {
        let answer: Result<Response<Body>, _> = now(service.call(wire.request("GET", PATH)));
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    };
    let time = Duration::from_millis(1500);
    let (before, refused_before) = paced(time, &mut call, || false);
    if refused_before > 0 {
        return Err("requests were refused before anything changed".into());
    }
    let dropped = Instant::now();
    write("next.wasm", &next)?;
    let revisions = || sink.0.lock().unwrap_or_else(PoisonError::into_inner);
    let (during, refused) = paced(Duration::from_secs(5), &mut call, || {
        let new = revisions().first_of_new;
        // As long as before, however soon it is in force.
        new.is_some_and(|new| new.elapsed() > Duration::from_millis(100)) && dropped.elapsed() >= time
    });
    let all = revisions();
    let first = all.first_of_new.ok_or("the new set was not in force after five seconds")?;
    let late = |all: &[Duration]| all.iter().filter(|took| **took > DELAY).count();
    let longest = |all: &[Duration]| all.iter().max().map_or(0.0, |took| took.as_secs_f64() * 1000.0);
    Ok(Dropped {
        bytes: next.len(),
        enforced_after: first.duration_since(dropped).as_secs_f64(),
        requests: during.len(),
        refused,
        delayed: late(&during),
        longest: longest(&during),
        delayed_before: late(&before),
        longest_before: longest(&before),
        out_of_order: all.out_of_order,
    })
}

/// Calls at a steady pace until `time` is over or `done`: how long after it was due each was
/// answered, and how many were refused. One that comes late because the one before it did counts
/// too.
fn paced(time: Duration, call: &mut dyn FnMut() -> bool, done: impl Fn() -> bool) -> (Vec<Duration>, usize) {
    let (began, mut took, mut refused) = (Instant::now(), Vec::new(), 0);
    let mut due = began;
    while began.elapsed() < time && !done() {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        refused += usize::from(!call());
        took.push(due.elapsed());
        due += PACE;
    }
    (took, refused)
}

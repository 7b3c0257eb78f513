//! What remembered decisions cost in memory, measured in a process of its own: resident memory of
//! one that does nothing else.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use ztlib::authenticate::Principal;
use ztlib::authenticate::token::Algorithm;
use ztlib::policies::{PolicyStore, PolicySetBuilder};
use ztlib::authorize::{CacheLimits, Labels};
use ztlib::enforce::Guard;
use ztlib::observe::{AuditEvent, AuditSink};

use crate::Failure;
use crate::measure::resident;
use crate::ours::{Wire, patient};

/// The committed policy that does what its configuration says.
pub const PROBE: &[u8] = include_bytes!("../../../plugins/artifacts/probe.wasm");

/// The first argument of the process that measures.
pub const CHILD: &str = "measure-memory";

/// Calls of the contract with their arguments.
pub type Reads<'r> = &'r [(&'r str, &'r [&'r str])];

/// A policy that allows where all of these reads are true or there, made in this order.
///
/// # Errors
/// It does not load.
pub fn reading(reads: Reads<'_>) -> Result<PolicyStore, Failure> {
    let deny = json!({ "answer": "deny" });
    let step = reads.iter().rev().fold(
        json!({ "answer": "allow" }),
        |then, (call, with)| json!({ "if": { "call": call, "with": with }, "then": then, "else": deny }),
    );
    let builder =
        PolicySetBuilder::new().component("probe", PROBE).config(json!({ "decide": step })).budget(patient());
    Ok(builder.load()?)
}

/// Five reads, of which one is another in each question.
fn five_reads() -> Result<PolicyStore, Failure> {
    reading(&[
        ("label", &["object"]),
        ("label", &["class"]),
        ("has-scope", &["orders:read"]),
        ("claim-contains", &["/roles", "admin"]),
        ("issuer", &[]),
    ])
}

#[derive(Default)]
struct Cached(AtomicU64);

struct Sink(Arc<Cached>);

impl AuditSink for Sink {
    fn record(&self, event: AuditEvent) {
        self.0.0.fetch_add(u64::from(event.cached()), Ordering::Relaxed);
    }
}

/// A guard with one caller, whose questions differ in one label.
struct Asker {
    guard: Guard,
    principal: Principal,
    cached: Arc<Cached>,
}

impl Asker {
    fn new(bounds: CacheLimits) -> Result<Self, Failure> {
        let wire = Wire::new(Algorithm::ES256)?;
        let principal = wire.principal(crate::task::ROLES, 0)?;
        let cached = Arc::new(Cached::default());
        let guard = Guard::builder().allow_unauthenticated_peers().tokens(wire.tokens());
        let guard = guard.policies(five_reads()?).cache_limits(bounds).audit(Sink(cached.clone())).build();
        Ok(Self { guard, principal, cached })
    }

    fn ask(&self, number: u64) {
        let labels = Labels::new().with("object", format!("order-{number:010}")).with("class", "internal");
        let answer = self.guard.ask(&self.principal, "orders.read", labels);
        assert!(
            answer.is_ok(),
            "{}",
            answer.map_or_else(|refusal| refusal.cause().to_string(), |_| String::new())
        );
    }
}

/// What the child found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Bytes by which the process grew: at several points, with how many questions had been asked.
    pub growth: Vec<(u64, u64)>,
    /// The share of questions that were found again, asked for in steps after all of them were
    /// asked once.
    pub found_again: f64,
    /// The bound of the cache in bytes.
    pub bound: u64,
}

/// Asks this many distinct questions in a process of its own, with a cache of so many bytes.
///
/// # Errors
/// It did not run, or did not finish.
pub fn grow(questions: u64, bound: u64) -> Result<Found, Failure> {
    let output = Command::new(std::env::current_exe()?)
        .args([CHILD, &questions.to_string(), &bound.to_string()])
        .output()?;
    if !output.status.success() {
        return Err(
            format!("the process that measures memory: {}", String::from_utf8_lossy(&output.stderr)).into()
        );
    }
    let found: Value = serde_json::from_slice(&output.stdout)?;
    let point = |point: &Value| Some((point.get(0)?.as_u64()?, point.get(1)?.as_u64()?));
    let growth = found["growth"].as_array().into_iter().flatten().filter_map(point).collect();
    let found_again = found["found_again"].as_f64().ok_or("no share")?;
    Ok(Found { growth, found_again, bound })
}

/// Where this process is to measure memory: does so and says true. The binaries call it first.
///
/// # Errors
/// It cannot.
pub fn is_child() -> Result<bool, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [first, questions, bound] = arguments.as_slice() else { return Ok(false) };
    if first != CHILD {
        return Ok(false);
    }
    let (questions, bytes): (u64, u64) = (questions.parse()?, bound.parse()?);
    let asker = Asker::new(CacheLimits { bytes, ..CacheLimits::default() })?;
    // What is set up once is not an entry's.
    for number in 0..2_000 {
        asker.ask(u64::MAX - number);
    }
    let before = resident();
    let (mut growth, step) = (Vec::new(), (questions / 20).max(1));
    for number in 0..questions {
        asker.ask(number);
        if (number + 1) % step == 0 {
            growth.push((number + 1, resident().saturating_sub(before)));
        }
    }
    let (sample, before) = ((questions / 5_000).max(1), asker.cached.0.load(Ordering::Relaxed));
    let again: Vec<u64> = (0..questions).step_by(usize::try_from(sample)?).collect();
    again.iter().for_each(|number| asker.ask(*number));
    let found = asker.cached.0.load(Ordering::Relaxed) - before;
    let found_again = found as f64 / again.len() as f64;
    println!("{}", json!({ "growth": growth, "found_again": found_again }));
    Ok(true)
}

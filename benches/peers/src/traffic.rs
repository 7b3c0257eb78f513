//! Traffic as a service has it: few callers and routes make most of it, roles change now and then,
//! time passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use ztlib::authenticate::Principal;
use ztlib::authenticate::token::Algorithm;
use ztlib::authorize::{CacheLimits, Labels};
use ztlib::enforce::Guard;
use ztlib::observe::{AuditEvent, AuditSink};
use ztlib::policies::PolicyStore;
use ztlib_testing::ManualClock;

use crate::Failure;
use crate::memory::{Reads, reading};
use crate::ours::Wire;

/// Random numbers that are the same in each run (xorshift64*).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The same numbers each time.
    pub fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// The next one.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 up to and without 1.
    pub fn unit(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}

/// Numbers below a bound, each as likely as Zipf's law says: the n-th 1/n times as often as the
/// first.
#[derive(Debug, Clone)]
pub struct Zipf(Vec<f64>);

impl Zipf {
    /// Numbers below this.
    pub fn below(count: usize) -> Self {
        let mut sum = 0.0;
        let mut sums: Vec<f64> = (1..=count)
            .map(|n| {
                sum += 1.0 / n as f64;
                sum
            })
            .collect();
        sums.iter_mut().for_each(|part| *part /= sum);
        Self(sums)
    }

    /// One of them.
    pub fn pick(&self, random: &mut Random) -> usize {
        let unit = random.unit();
        self.0.partition_point(|part| *part < unit).min(self.0.len() - 1)
    }
}

/// What a policy reads of the caller: from the question that it has, to everything.
pub const GRANULARITIES: [(&str, Reads<'static>); 4] = [
    (
        "has-scope",
        &[("action", &[]), ("has-scope", &["orders:read"]), ("claim-contains", &["/roles", "clerk"])],
    ),
    ("claim-json, all roles", &[("action", &[]), ("claim-json", &["/roles"])]),
    ("now, in seconds", &[("action", &[]), ("claim-contains", &["/roles", "clerk"]), ("now", &[])]),
    ("token id", &[("action", &[]), ("claim-string", &["/jti"])]),
];

const USERS: usize = 1000;
const ROUTES: usize = 50;

/// Counts what was remembered.
#[derive(Debug, Clone, Default)]
pub struct Remembered(Arc<AtomicU64>);

impl Remembered {
    /// How many decisions were.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl AuditSink for Remembered {
    fn record(&self, event: AuditEvent) {
        self.0.fetch_add(u64::from(event.cached()), Ordering::Relaxed);
    }
}

/// The share of remembered decisions among the last tenth of so many requests, at several points: 1
/// 000 users and 50 routes by Zipf's law, a request a millisecond, of which one in a hundred comes
/// with a new token with other roles. Also, how many percent of all.
///
/// # Errors
/// The policy does not load, or a request is refused as a fault.
pub fn hit_rates(requests: u64, reads: Reads<'_>) -> Result<(Vec<(f64, f64)>, f64), Failure> {
    let wire = Wire::new(Algorithm::ES256)?;
    let clock = ManualClock::new(SystemTime::now());
    let remembered = Remembered::default();
    let guard =
        Guard::builder().allow_unauthenticated_peers().tokens(wire.tokens()).policies(reading(reads)?);
    let guard = guard.clock(clock.clone()).audit(remembered.clone()).build();
    let mut random = Random::new();
    let roles = |random: &mut Random| -> Vec<&str> {
        // Every caller may do what is asked; what else they are varies.
        let others = ["buyer", "auditor", "admin", "support", "night-shift"];
        let chosen = random.number();
        let others =
            others.into_iter().enumerate().filter(|(n, _)| chosen >> n & 1 == 1).map(|(_, role)| role);
        ["clerk"].into_iter().chain(others).collect()
    };
    let mut users = Vec::new();
    for user in 0..USERS {
        users.push(wire.principal(&roles(&mut random), user)?);
    }
    let routes: Vec<String> = (0..ROUTES).map(|n| format!("GET /routes/{n}")).collect();
    let (by_user, by_route) = (Zipf::below(USERS), Zipf::below(ROUTES));
    let (mut points, mut before, mut since) = (Vec::new(), 0, 0);
    let mut next_point = 100;
    for number in 1..=requests {
        clock.advance(Duration::from_millis(1));
        let user = by_user.pick(&mut random);
        if random.number().is_multiple_of(100) {
            users[user] = wire.principal(&roles(&mut random), user)?;
        }
        let answer = guard.ask(&users[user], &routes[by_route.pick(&mut random)], Labels::new());
        answer.map_err(|refusal| format!("refused: {}", refusal.cause()))?;
        if number == next_point || number == requests {
            let count = remembered.count();
            points.push((number as f64, 100.0 * (count - before) as f64 / (number - since) as f64));
            (before, since) = (count, number);
            next_point = number * 2;
        }
    }
    Ok((points, 100.0 * remembered.count() as f64 / requests as f64))
}

/// The outcome of asking about so many distinct objects.
#[derive(Debug, Clone, Copy)]
pub struct WorkingSet {
    /// Distinct questions.
    pub distinct: u64,
    /// The share that was remembered, in percent.
    pub remembered: f64,
    /// Nanoseconds a question, on average.
    pub nanoseconds: f64,
}

/// Asks at random among so many distinct questions, after a warm-up of as many, under the default
/// bound of the cache.
///
/// # Errors
/// The policy does not load.
pub fn working_set(distinct: u64, asked: u64) -> Result<WorkingSet, Failure> {
    let wire = Wire::new(Algorithm::ES256)?;
    let (principal, remembered) = (wire.principal(crate::task::ROLES, 0)?, Remembered::default());
    let policies = object_policy()?;
    let guard = Guard::builder().allow_unauthenticated_peers().tokens(wire.tokens()).policies(policies);
    let guard = guard.cache_limits(CacheLimits::default()).audit(remembered.clone()).build();
    let mut random = Random::new();
    let mut ask = |principal: &Principal| {
        let object = format!("order-{:010}", random.number() % distinct);
        let answer = guard.ask(principal, "orders.read", Labels::new().with("object", object));
        answer.map_err(|refusal| format!("refused: {}", refusal.cause()))
    };
    for _ in 0..asked {
        ask(&principal)?;
    }
    let (before, start) = (remembered.count(), Instant::now());
    for _ in 0..asked {
        ask(&principal)?;
    }
    let took = start.elapsed();
    Ok(WorkingSet {
        distinct,
        remembered: 100.0 * (remembered.count() - before) as f64 / asked as f64,
        nanoseconds: took.as_nanos() as f64 / asked as f64,
    })
}

fn object_policy() -> Result<PolicyStore, Failure> {
    reading(&[
        ("label", &["object"]),
        ("has-scope", &["orders:read"]),
        ("claim-contains", &["/roles", "admin"]),
    ])
}

//! What a flood of distinct requests, tokens and routes does to the memory of a guarded service:
//!
//! ```text
//! cargo run --release --example flood            # a million of each
//! cargo run --release --example flood 100000
//! ```
//!
//! It prints the resident memory (`VmRSS` of `/proc/self/status`) over the flood and ends with 1
//! where that grew by more than the configured bounds and a slack. Linux only.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement that cannot be set up ends"
)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use serde_json::json;
use ztlib::authenticate::token::{Algorithm, Issuer, TokenAuthenticator, TokenVerifier};
use ztlib::authorize::CacheLimits;
use ztlib::enforce::{Guard, MatchedRoute};
use ztlib::policies::{Budget, PolicySetBuilder};
use ztlib_conformance::stack::ask_matched;
use ztlib_testing::{ManualClock, TokenIssuer};

const MIB: u64 = 1 << 20;
/// What the two caches may hold.
const DECISIONS: u64 = 32 * MIB;
const TOKENS: u64 = 16 * MIB;
/// For what is not counted to the byte: the allocator's own rounding and free lists, the caches'
/// counters, the pages of the sandbox's pool that have been touched once.
const SLACK: u64 = 16 * MIB;
const THREADS: usize = 2;

/// A request, and what the router found for it.
type Sent = (Request<Full<Bytes>>, MatchedRoute);

/// One kind of flood: what is sent as the nth request, and what must come back.
struct Flood {
    name: &'static str,
    request: fn(&Setup, usize) -> Sent,
    status: u16,
}

const FLOODS: [Flood; 5] = [
    Flood { name: "distinct paths and header values", request: distinct_request, status: 200 },
    Flood { name: "distinct routes and methods", request: distinct_route, status: 200 },
    Flood { name: "distinct good tokens", request: good_token, status: 200 },
    Flood { name: "distinct tokens with a bad signature", request: bad_token, status: 401 },
    Flood { name: "the first again, after all that", request: distinct_request, status: 200 },
];

struct Setup {
    guard: Guard,
    id: TokenIssuer,
    one_token: String,
}

fn main() -> ExitCode {
    let count: usize =
        std::env::args().nth(1).map_or(1_000_000, |text| text.parse().expect("a number of requests"));
    let setup = Setup::new();
    // What is paid once: pages of the pool, the engine, the first allocations of each thread.
    for flood in &FLOODS {
        setup.run(flood, 0..200);
    }
    let before = resident();
    let allowed = DECISIONS + TOKENS + SLACK;
    println!(
        "decision cache {} MiB, verified tokens {} MiB, slack {} MiB",
        DECISIONS / MIB,
        TOKENS / MIB,
        SLACK / MIB
    );
    println!("at the start: {:.1} MiB resident", mib(before));
    let mut most = before;
    for flood in &FLOODS {
        println!("\n{count} requests: {}", flood.name);
        let step = (count / 10).max(1);
        let mut from = 200;
        while from < count {
            let until = (from + step).min(count);
            let next = AtomicUsize::new(from);
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        loop {
                            let from = next.fetch_add(1000, Ordering::Relaxed);
                            if from >= until {
                                break;
                            }
                            setup.run(flood, from..(from + 1000).min(until));
                        }
                    });
                }
            });
            from = until;
            let now = resident();
            most = most.max(now);
            println!("{until:>9}  {:>7.1} MiB  {:>+7.1}", mib(now), mib(now) - mib(before));
        }
    }
    let grown = most.saturating_sub(before);
    let verdict = if grown <= allowed { "inside" } else { "OUTSIDE" };
    println!("\ngrew by {:.1} MiB at most: {verdict} of {:.1} MiB", mib(grown), mib(allowed));
    if grown <= allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Setup {
    fn new() -> Self {
        // It reads the path, a header, the method and the subject: every request of a flood has a
        // key of its own.
        let call = |name: &str, with: &[&str]| json!({ "call": name, "with": with });
        let calls = [call("path", &[]), call("header", &["x-a"]), call("method", &[]), call("subject", &[])];
        // On a busy machine the wall clock would stop one evaluation in a million.
        let mut patient = Budget::default();
        patient.wall_clock = Budget::maximum().wall_clock;
        let policies = PolicySetBuilder::new()
            .component("probe", include_bytes!("../../plugins/artifacts/probe.wasm"))
            .config(json!({ "decide": { "do": calls, "answer": "allow" } }))
            .budget(patient)
            .load()
            .expect("the policy loads");
        let id = TokenIssuer::with_algorithm("https://id.example", Algorithm::HS256);
        let issuer = Issuer::new(id.name()).audience("shop").algorithms([Algorithm::HS256]);
        let issuer = issuer.hmac_secret(id.secret().expect("a secret"));
        let verifier = TokenVerifier::builder().issuer(issuer).build().expect("an issuer");
        let tokens = TokenAuthenticator::new(verifier).cache_bytes(TOKENS);
        let guard = Guard::builder().allow_unauthenticated_peers().tokens(tokens).policies(policies);
        let guard = guard.cache_limits(CacheLimits { bytes: DECISIONS, ..CacheLimits::default() });
        let guard = guard.clock(ManualClock::new(UNIX_EPOCH + Duration::from_secs(1_767_225_600))).build();
        let mut setup = Self { guard, id, one_token: String::new() };
        setup.one_token = setup.token(0);
        setup
    }

    fn token(&self, n: usize) -> String {
        let now = UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        self.id.token_at(now).audience("shop").subject(&format!("user-{n}")).sign()
    }

    fn run(&self, flood: &Flood, numbers: std::ops::Range<usize>) {
        for n in numbers {
            let (request, matched) = (flood.request)(self, n);
            let answer: Response<Bytes> = ask_matched(&self.guard, request, matched).expect("an answer");
            assert_eq!(answer.status(), flood.status, "{} {n}", flood.name);
        }
    }
}

fn request(method: Method, path: &str, token: &str, header: &str) -> Request<Full<Bytes>> {
    let request =
        Request::builder().method(method).uri(path).header("host", "shop.example").header("x-a", header);
    request.header("authorization", format!("Bearer {token}")).body(Full::default()).expect("a request")
}

fn distinct_request(setup: &Setup, n: usize) -> Sent {
    let request = request(Method::GET, &format!("/orders/{n}"), &setup.one_token, &format!("value {n}"));
    (request, MatchedRoute::new("/orders/{id}").with_param("id", n.to_string()))
}

fn distinct_route(setup: &Setup, n: usize) -> Sent {
    // Of a known gRPC service a caller makes up the methods; every third request has a method of
    // its own, too.
    let path = format!("/shop.Orders/Method{n}");
    let method = if n.is_multiple_of(3) { format!("M{n}") } else { "POST".to_owned() };
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    (request(method, &path, &setup.one_token, "same"), MatchedRoute::new(path))
}

fn good_token(setup: &Setup, n: usize) -> Sent {
    (request(Method::GET, "/orders/7", &setup.token(n), "same"), MatchedRoute::new("/orders/{id}"))
}

fn bad_token(setup: &Setup, n: usize) -> Sent {
    let token = setup.token(n);
    let (signed, _) = token.rsplit_once('.').expect("three parts");
    let forged = format!("{signed}.{}", "A".repeat(43));
    (request(Method::GET, "/orders/7", &forged, "same"), MatchedRoute::new("/orders/{id}"))
}

/// Resident memory in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kib * 1024
}

#[allow(clippy::cast_precision_loss, reason = "for printing")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

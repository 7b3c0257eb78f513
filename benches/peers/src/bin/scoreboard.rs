//! Every promise of speed in one table, in under four minutes.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml --bin scoreboard [-- --json FILE]
//! ```
//!
//! The exit code is 0 where a row misses its target, and not 0 where somebody's answer to a
//! question differs.

use std::hint::black_box;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Body;
use http::{HeaderValue, StatusCode};
use ztlib::authenticate::token::{Algorithm, BearerToken};
use ztlib::enforce::AuthenticateTokenLayer;
use ztlib::enforce::Guard;
use ztlib_axum::GuardedRouter;
use ztlib_peers::crowd::{CALLERS, Crowd, Draw};
use ztlib_peers::end_to_end::{Protocol, Servers};
use ztlib_peers::engines::{self, Engine};
use ztlib_peers::measure::{in_turn, in_turn_settling, process_cpu_in_turn};
use ztlib_peers::ours::{
    Caching, Judge, Wire, call_router, rbac, rbac_like, rbac_linear, record_metrics, router, whole_guard,
};
use ztlib_peers::table::{Row, Table, Target};
use ztlib_peers::task::{Asked, checked, rules, rules_with_five_reads, timed};
use ztlib_peers::threads::threads;
use ztlib_peers::tokens::{Decoder, Old};
use ztlib_peers::{Failure, drop_in, inside, memory};

/// How long the lanes of a row run, unless said otherwise.
const TIME: Duration = Duration::from_millis(1200);

/// Rounds and runs of a round where the CPU of the whole process is counted; a round's events fit
/// the audit writer's queue.
const CPU_ROUNDS: usize = 15;
const CPU_BATCH: u64 = 20_000;

/// What the audit writer's thread may add to the CPU of a request, in microseconds: its target of 1
/// 600 instructions at four a nanosecond.
const WRITER: f64 = 0.4;

/// Sizes of the rule set.
const RULES: [usize; 3] = [20, 200, 2000];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("scoreboard: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    if memory::is_child()? {
        return Ok(());
    }
    let json = json_file()?;
    let began = Instant::now();
    let wires = [Wire::new(Algorithm::ES256)?, Wire::new(Algorithm::EdDSA)?, Wire::new(Algorithm::RS256)?];
    let [es256, _, rs256] = &wires;

    answers_are_equal(es256)?;
    eprintln!("all answers are equal; timing begins");
    record_metrics()?;

    let mut table = Table::default();
    warm_requests(&mut table, es256, rs256)?;
    end_to_end(&mut table, es256)?;
    remembered_decisions(&mut table, es256)?;
    fresh_decisions(&mut table, es256)?;
    tokens(&mut table, &wires)?;
    two_threads(&mut table, es256)?;
    memory_rows(&mut table)?;
    policy_dropped_in(&mut table, es256)?;

    println!("{table}");
    println!(
        "{:.0} s; times are medians of batches, ours and the peer's in turn",
        began.elapsed().as_secs_f64()
    );
    if let Some(file) = json {
        std::fs::write(file, serde_json::to_vec_pretty(&table.to_json())?)?;
    }
    Ok(())
}

fn json_file() -> Result<Option<PathBuf>, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => Ok(None),
        [flag, file] if flag == "--json" => Ok(Some(file.into())),
        _ => Err("usage: scoreboard [--json FILE]".into()),
    }
}

/// Nothing is timed before everybody says the same: ztlib warm and cold, by index and rule by rule,
/// and every peer.
fn answers_are_equal(wire: &Wire) -> Result<(), Failure> {
    for count in RULES {
        let rules = rules(count);
        let mut judges = vec![
            ("ztlib, fresh", Judge::new(wire, rbac(&rules)?, Caching::Off)),
            ("ztlib, remembered", Judge::new(wire, rbac(&rules)?, Caching::On)),
        ];
        if let Some(linear) = rbac_linear() {
            judges.push(("ztlib, rule by rule", Judge::new(wire, rbac_like(&linear, &rules)?, Caching::Off)));
        }
        let mut engines = engines::all(&rules)?;
        // Twice: what is remembered must be asked again.
        for asked in checked(count).iter().chain(&checked(count)) {
            let expected = if asked.allowed { StatusCode::OK } else { StatusCode::FORBIDDEN };
            for (name, judge) in &mut judges {
                let answer = judge.judge(judge.request(asked));
                if answer != expected {
                    return Err(format!("{name}, {count} rules: {answer} for {asked:?}").into());
                }
            }
            for engine in &mut engines {
                if engine.decide(asked)? != asked.allowed {
                    return Err(format!("{}, {count} rules: differs on {asked:?}", engine.name()).into());
                }
            }
        }
    }
    token_answers_are_equal(wire)
}

/// A good token, one that has expired (longer ago than the minute that some allow), one by an
/// unknown key, one for another audience.
fn token_answers_are_equal(wire: &Wire) -> Result<(), Failure> {
    let caller = &wire.caller;
    let draft = || caller.issuer.token().subject("user-0").audience("shop");
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let expired = caller.issuer.token_at(an_hour_ago).subject("user-0").audience("shop");
    let asked = [
        ("good", draft().sign(), true),
        ("expired", expired.sign(), false),
        ("of an unknown key", draft().signed_by_unknown_key().sign(), false),
        ("for others", caller.issuer.token().subject("user-0").audience("others").sign(), false),
    ];
    let mut theirs = Old::guarded(caller, &wire.token)?;
    let (decoder, verifier) = (Decoder::new(caller)?, caller.verifier());
    for (name, token, good) in asked {
        let bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
        let ours =
            BearerToken::new(&token).is_ok_and(|token| verifier.verify(&token, SystemTime::now()).is_ok());
        let answers = [
            ("ztlib", ours),
            ("jwt-authorizer", theirs.status(Some(bearer)) == StatusCode::OK),
            ("jsonwebtoken", decoder.decode(&token)),
        ];
        for (who, answer) in answers {
            if answer != good {
                return Err(format!("{who}: differs on a token that is {name}").into());
            }
        }
    }
    Ok(())
}

/// All four stages in front of an axum router, with an audit log and a metrics recorder, and
/// jwt-authorizer in front of its own.
fn warm_requests(table: &mut Table, wire: &Wire, rs256: &Wire) -> Result<(), Failure> {
    let (guard, log) = whole_guard(wire, rbac(&rules(200))?)?;
    let mut bare = router().into_service::<Body>();
    let mut guarded = GuardedRouter::new(guard, router());
    let (mut old_bare, mut old_guarded) =
        (Old::bare(&rs256.token)?, Old::guarded(&rs256.caller, &rs256.token)?);
    let asked = AtomicU64::new(0);
    let medians = in_turn_settling(
        TIME * 4,
        &mut [
            &mut |n| call_router(&mut bare, wire, n),
            &mut |n| {
                asked.fetch_add(n, Ordering::Relaxed);
                call_router(&mut guarded, wire, n);
            },
            &mut |n| old_bare.run(n),
            &mut |n| old_guarded.run(n),
        ],
        &mut || log.wait_for(asked.load(Ordering::Relaxed)),
    );
    let [plain, judged, old_bare, old_guarded] = medians[..] else { return Err("a lane is missing".into()) };
    let (ours, theirs) = ((judged - plain) / 1000.0, (old_guarded - old_bare) / 1000.0);
    table.push(Row::new(
        "warm request, all stages: added to a bare router, µs (peer: jwt-authorizer, token alone)",
        Some(ours),
        Some(theirs),
        Target::AtMost(0.45),
    ));
    table.push(Row::new(
        "warm request, all stages: in all, µs (floor: the bare router)",
        Some(judged / 1000.0),
        Some(plain / 1000.0),
        Target::AtMostOverPeer(0.45),
    ));
    let cpu = process_cpu_in_turn(
        CPU_ROUNDS,
        CPU_BATCH,
        &mut [&mut |n| call_router(&mut bare, wire, n), &mut |n| {
            asked.fetch_add(n, Ordering::Relaxed);
            call_router(&mut guarded, wire, n);
        }],
        &mut || log.wait_for(asked.load(Ordering::Relaxed)),
    );
    table.push(Row::new(
        "warm request, all stages: CPU of the whole process, µs (floor: the bare router)",
        Some(cpu[1] / 1000.0),
        Some(cpu[0] / 1000.0),
        Target::AtMostOverPeer(0.45 + WRITER),
    ));
    crowd(table, wire)?;
    token_layer_alone(table, wire, theirs);
    Ok(())
}

/// The same with many callers and routes at random: what one caller of one route hides, caches of
/// the processor and ours, is in it.
fn crowd(table: &mut Table, wire: &Wire) -> Result<(), Failure> {
    let crowd = Crowd::new(wire, CALLERS)?;
    let (guard, log) = whole_guard(wire, rbac(&rules(200))?)?;
    let mut bare = ztlib_peers::crowd::router().into_service::<Body>();
    let mut guarded = GuardedRouter::new(guard, ztlib_peers::crowd::router());
    crowd.warm_up(&mut bare);
    // Twice: the lists of reads are complete after the first, and the answers stored under them
    // after the second.
    let warmed = crowd.warm_up(&mut guarded) + crowd.warm_up(&mut guarded);
    let asked = AtomicU64::new(warmed);
    log.wait_for(warmed);
    let (mut first, mut second) = (Draw::default(), Draw::default());
    let medians = in_turn_settling(
        TIME * 2,
        &mut [&mut |n| crowd.call(&mut bare, &mut first, n), &mut |n| {
            asked.fetch_add(n, Ordering::Relaxed);
            crowd.call(&mut guarded, &mut second, n);
        }],
        &mut || log.wait_for(asked.load(Ordering::Relaxed)),
    );
    table.push(Row::new(
        format!("warm request, {CALLERS} callers, 8 routes at random: in all, µs (floor: the bare router)"),
        Some(medians[1] / 1000.0),
        Some(medians[0] / 1000.0),
        Target::AtMostOverPeer(0.6),
    ));
    let cpu = process_cpu_in_turn(
        CPU_ROUNDS,
        CPU_BATCH,
        &mut [&mut |n| crowd.call(&mut bare, &mut first, n), &mut |n| {
            asked.fetch_add(n, Ordering::Relaxed);
            crowd.call(&mut guarded, &mut second, n);
        }],
        &mut || log.wait_for(asked.load(Ordering::Relaxed)),
    );
    table.push(Row::new(
        format!("warm request, {CALLERS} callers, 8 routes at random: CPU of the whole process, µs (floor: the bare router)"),
        Some(cpu[1] / 1000.0),
        Some(cpu[0] / 1000.0),
        Target::AtMostOverPeer(0.6 + WRITER),
    ));
    Ok(())
}

fn token_layer_alone(table: &mut Table, wire: &Wire, theirs: f64) {
    let mut bare = router().into_service::<Body>();
    let mut layered = router().layer(AuthenticateTokenLayer::new(wire.tokens())).into_service::<Body>();
    let medians = in_turn(
        TIME,
        &mut [&mut |n| call_router(&mut bare, wire, n), &mut |n| call_router(&mut layered, wire, n)],
    );
    table.push(Row::new(
        "token layer alone, seen before: added to a bare router, µs (peer: jwt-authorizer)",
        Some((medians[1] - medians[0]) / 1000.0),
        Some(theirs),
        Target::RatioAtMost(1.0),
    ));
}

fn end_to_end(table: &mut Table, wire: &Wire) -> Result<(), Failure> {
    let servers = Servers::start(wire)?;
    for (name, protocol, requests) in
        [("HTTP/2", Protocol::Http2, 25_000), ("HTTP/1.1", Protocol::Http1, 20_000)]
    {
        let [plain, bare, guarded] = servers.measure(protocol, 8, requests)?;
        let least = if protocol == Protocol::Http2 { 0.92 } else { 0.9 };
        let row = |what: &str, ours: f64, floor: f64, target: Target| {
            Row::new(format!("end to end, mTLS, {name}: {what}"), Some(ours), Some(floor), target)
        };
        table.push(row(
            "requests/s (floor: the same server unguarded)",
            guarded.per_second,
            bare.per_second,
            Target::RatioAtLeast(least),
        ));
        // The client needs as much CPU as the server: where it is what limits, the throughput says
        // little about the server.
        table.push(row(
            "µs of CPU of the server's thread (floor: unguarded)",
            guarded.cpu,
            bare.cpu,
            Target::RatioAtMost(1.0 / least),
        ));
        table.push(row(
            "µs of CPU of the whole process, client and writer included (floor: unguarded)",
            guarded.process,
            bare.process,
            Target::RatioAtMost(1.0 / least),
        ));
        table.push(row(
            "our server unguarded, requests/s (floor: plain hyper and tokio-rustls)",
            bare.per_second,
            plain.per_second,
            Target::RatioAtLeast(0.95),
        ));
        table.push(row(
            "our server unguarded, µs of CPU of its thread (floor: plain hyper and tokio-rustls)",
            bare.cpu,
            plain.cpu,
            Target::RatioAtMost(1.0 / 0.95),
        ));
        table.push(row(
            "guarded, requests/s (floor: plain hyper and tokio-rustls, unguarded)",
            guarded.per_second,
            plain.per_second,
            Target::RatioAtLeast(0.95 * least),
        ));
    }
    Ok(())
}

fn remembered_decisions(table: &mut Table, wire: &Wire) -> Result<(), Failure> {
    let mut by_size = Vec::new();
    for count in [10, 200, 10_000] {
        match rbac(&rules_with_five_reads(count)) {
            Ok(policies) => {
                let asked = timed(count);
                let reads = inside::reads(wire, &policies, &asked)?;
                let took = inside::remembered_decision(TIME, wire, &policies, &asked)?;
                by_size.push((
                    count,
                    reads,
                    Some(took),
                    Some(inside::front_decision(TIME, wire, &policies, &asked)?),
                ));
            }
            Err(failure) => {
                eprintln!("{count} rules do not load: {failure}");
                by_size.push((count, 0, None, None));
            }
        }
    }
    let [small, middle, large] = by_size[..] else { return Err("a size is missing".into()) };
    let floor = cache_look_up();
    table.push(Row::new(
        format!("decision from the cache, {} reads, 200 rules: ns (floor: a bare cache look-up)", middle.1),
        middle.2,
        Some(floor),
        Target::AtMost(250.0),
    ));
    table.push(Row::new(
        "decision from the front: ns (floor: a bare cache look-up)",
        middle.3,
        Some(floor),
        Target::AtMost(40.0),
    ));
    table.push(Row::new(
        "decision from the cache, 10 000 rules: ns (floor: with 10 rules)",
        large.2,
        small.2,
        Target::RatioAtMost(1.15),
    ));
    Ok(())
}

/// One look-up of a 100-byte key in a cache of the same library that holds 1 000 entries, as a
/// decision of five reads would have it, by the hashes that ztlib's cache has.
fn cache_look_up() -> f64 {
    let hasher = foldhash::quality::FixedState::with_seed(7);
    let cache: quick_cache::sync::Cache<Box<[u8]>, Arc<u64>, _, _> = quick_cache::sync::Cache::with(
        100_000,
        100_000,
        quick_cache::UnitWeighter,
        hasher,
        Default::default(),
    );
    let key = |n: u64| -> Box<[u8]> {
        let mut key = vec![7; 92];
        key.extend_from_slice(&n.to_le_bytes());
        key.into()
    };
    for n in 0..1000 {
        cache.insert(key(n), Arc::new(n));
    }
    let key = key(500);
    in_turn(TIME / 2, &mut [&mut |n| (0..n).for_each(|_| drop(black_box(cache.get(black_box(&key)))))])[0]
}

fn fresh_decisions(table: &mut Table, wire: &Wire) -> Result<(), Failure> {
    let linear = rbac_linear();
    for count in RULES {
        let (rules, asked) = (rules(count), timed(count));
        let mut peers = Vec::new();
        for mut engine in engines::all(&rules)? {
            peers.push((engine.name(), time_engine(engine.as_mut(), &asked)));
        }
        let best = peers.iter().map(|(_, took)| *took).fold(f64::INFINITY, f64::min);
        let fresh = inside::fresh_decision(TIME, wire, &rbac(&rules)?, &asked)? / 1000.0;
        // What isolation may cost beside the fastest engine that has none.
        let target = Target::RatioAtMost(1.3);
        table.push(Row::new(
            format!(
                "fresh sandbox, by index, {count} rules: µs (peer: the fastest below, which has no sandbox)"
            ),
            Some(fresh),
            Some(best),
            target,
        ));
        let by_rule = match &linear {
            Some(component) => {
                let policies = rbac_like(component, &rules)?;
                Some(inside::fresh_decision(TIME, wire, &policies, &asked)? / 1000.0)
            }
            None => None,
        };
        let target = if count == 200 { Target::AtMost(10.0) } else { Target::RatioAtMost(1.0) };
        let built = if linear.is_some() { "" } else { " NOT BUILT" };
        table.push(Row::new(
            format!("fresh sandbox, rule by rule, {count} rules: µs{built} (peer: the same)"),
            by_rule,
            Some(best),
            target,
        ));
        let warm = inside::remembered_decision(TIME, wire, &rbac(&rules)?, &asked)? / 1000.0;
        table.push(Row::new(
            format!("decision remembered, {count} rules: µs (peer: the same)"),
            Some(warm),
            Some(best),
            Target::RatioAtMost(1.0),
        ));
        for (name, took) in peers {
            table.push(Row::new(
                format!("fresh sandbox, by index, {count} rules: µs (peer: {name})"),
                Some(fresh),
                Some(took),
                Target::RatioAtMost(1.0),
            ));
        }
    }
    Ok(())
}

/// Microseconds a decision.
fn time_engine(engine: &mut dyn Engine, asked: &Asked) -> f64 {
    let mut run = |times| {
        for _ in 0..times {
            assert!(black_box(engine.decide(black_box(asked))).is_ok_and(|allowed| allowed));
        }
    };
    in_turn(TIME / 3, &mut [&mut run])[0] / 1000.0
}

fn tokens(table: &mut Table, wires: &[Wire; 3]) -> Result<(), Failure> {
    for wire in wires {
        let name = wire.caller.issuer.algorithm().name();
        let (decoder, verifier, when) =
            (Decoder::new(&wire.caller)?, wire.caller.verifier(), SystemTime::now());
        let mut remembered = inside::token_in_cache(wire);
        let medians = in_turn(
            TIME,
            &mut [
                &mut |n| (0..n).for_each(|_| assert!(decoder.decode(black_box(&wire.token)))),
                &mut |n| {
                    for _ in 0..n {
                        let token = BearerToken::new(black_box(&wire.token));
                        assert!(token.is_ok_and(|token| verifier.verify(&token, when).is_ok()));
                    }
                },
                &mut remembered,
            ],
        );
        table.push(Row::new(
            format!("token seen first, {name}: µs (floor: jsonwebtoken::decode)"),
            Some(medians[1] / 1000.0),
            Some(medians[0] / 1000.0),
            Target::AtMostOverPeer(3.0),
        ));
        table.push(Row::new(
            format!("token verified before, {name}: ns (peer: jsonwebtoken::decode)"),
            Some(medians[2]),
            Some(medians[0]),
            Target::AtMost(600.0),
        ));
    }
    let [es256, ..] = wires;
    table.push(Row::new(
        "token that this connection sent last, ES256: ns",
        Some(inside::token_of_connection(TIME, es256)),
        None,
        Target::AtMost(50.0),
    ));
    Ok(())
}

/// Judgements a second by one thread and by two, each with a service of its own around the same
/// guard.
fn two_threads(table: &mut Table, wire: &Wire) -> Result<(), Failure> {
    let policies = rbac(&rules(200))?;
    let silent = Guard::builder()
        .peers(ztlib::authenticate::peer::PeerAuthenticator::new(wire.trust.clone()))
        .tokens(wire.tokens())
        .policies(policies.clone())
        .build();
    let [one, two] = threads(wire, &silent, &timed(200), None)?;
    table.push(Row::new(
        "two threads, warm, metrics, no audit log: judgements/s (floor: one thread)",
        Some(two),
        Some(one),
        Target::RatioAtLeast(1.85),
    ));
    let (guard, log) = whole_guard(wire, policies)?;
    let [one, two] = threads(wire, &guard, &timed(200), Some(&log))?;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    table.push(Row::new(
        format!("two threads, the same and the audit log's writer on {cores} cores: judgements/s (floor: one thread)"),
        Some(two),
        Some(one),
        Target::RatioAtLeast(1.85),
    ));
    Ok(())
}

fn memory_rows(table: &mut Table) -> Result<(), Failure> {
    let found = memory::grow(100_000, 1 << 30)?;
    let last = found.growth.last().map_or(0, |point| point.1);
    if found.found_again < 0.99 {
        eprintln!("only {:.1} % of the decisions were remembered", found.found_again * 100.0);
    }
    table.push(Row::new(
        "memory of a remembered decision, 5 reads: bytes resident, over 100 000 of them",
        Some(last as f64 / (100_000.0 * found.found_again.max(0.01))),
        None,
        Target::AtMost(700.0),
    ));
    let bound = ztlib::authorize::CacheLimits::default().bytes;
    let flood = memory::grow(300_000, bound)?;
    let most = flood.growth.iter().map(|point| point.1).max().unwrap_or(0);
    let mebibytes = |bytes: u64| Some(bytes as f64 / f64::from(1 << 20));
    table.push(Row::new(
        "flood of 300 000 distinct questions: growth, MiB (floor: the bound of the cache)",
        mebibytes(most),
        mebibytes(bound),
        Target::RatioAtMost(1.0),
    ));
    Ok(())
}

fn policy_dropped_in(table: &mut Table, wire: &Wire) -> Result<(), Failure> {
    let dropped = drop_in::measure(wire, 250 * 1000)?;
    eprintln!("{dropped:?}");
    let size = format!("a policy of {} KB dropped in", dropped.bytes / 1000);
    let row = |what: &str, ours: f64, peer: Option<f64>, most: f64| {
        Row::new(format!("{size}: {what}"), Some(ours), peer, Target::AtMost(most))
    };
    table.push(row("enforced after, s", dropped.enforced_after, None, 1.0));
    table.push(row("requests refused", dropped.refused as f64, None, 0.0));
    let (delayed, before) = (dropped.delayed as f64, dropped.delayed_before as f64);
    table.push(row("requests delayed by over 5 ms (floor: with no change)", delayed, Some(before), 0.0));
    table.push(row(
        "longest delay, ms (floor: the same)",
        dropped.longest,
        Some(dropped.longest_before),
        5.0,
    ));
    table.push(row(
        "requests judged by an older revision after a newer",
        dropped.out_of_order as f64,
        None,
        0.0,
    ));
    Ok(())
}

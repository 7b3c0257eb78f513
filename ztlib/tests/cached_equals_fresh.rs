//! Cached equals fresh (T1 to T13 together): whatever is asked and whatever changes in between, the
//! decision cache answers what a fresh evaluation says.
//!
//! `ZTLIB_CACHE_CASES` asks for more than the default, `ZTLIB_CACHE_SEED` for others.
//! CONTRIBUTING.md has the command for ten million.

#![allow(clippy::print_stderr, clippy::disallowed_methods, reason = "a long run says how far it is")]
#![allow(clippy::panic, clippy::expect_used, reason = "a difference ends the test")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

#[allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a property that does not hold panics: that is how a fuzzer is told"
)]
#[path = "../../fuzz/src/history.rs"]
mod history;

use history::Tally;

/// What `cargo test` asks at least.
const CASES: u64 = 100_000;
/// Of one history: some hundreds of questions, so that loading policies is the smaller part.
const BYTES: usize = 8192;
/// Between two lines about how far it is.
const STEP: u64 = 500_000;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// The bytes of one history: xorshift64*, the same on every machine.
fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
    };
    (0..BYTES).map(|_| next()).collect()
}

/// Plays histories until so many questions have been compared.
fn play(cases: u64, seed: u64, threads: u64) -> Tally {
    let (next, done) = (AtomicU64::new(seed), AtomicU64::new(0));
    let one_thread = || {
        let mut tally = Tally::default();
        while done.load(Ordering::Relaxed) < cases {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let data = bytes(seed);
            let played = std::panic::catch_unwind(|| history::play(&data));
            let played = played.unwrap_or_else(|_| {
                panic!("play it again: ZTLIB_CACHE_SEED={seed} ZTLIB_CACHE_CASES=1");
            });
            tally.add(&played);
            let before = done.fetch_add(played.cases, Ordering::Relaxed);
            if before / STEP != (before + played.cases) / STEP {
                eprintln!("{} of {cases} cases", before + played.cases);
            }
        }
        tally
    };
    let mut all = Tally::default();
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one_thread)).collect();
        for thread in running {
            all.add(&thread.join().expect("each history as evaluated afresh"));
        }
    });
    all
}

#[test]
fn cached_equals_fresh_for_random_policies_and_changes() {
    let cases = number("ZTLIB_CACHE_CASES", CASES);
    let seed = number("ZTLIB_CACHE_SEED", 1);
    let threads = number("ZTLIB_CACHE_THREADS", 1).max(1);
    let began = std::time::Instant::now();
    let tally = play(cases, seed, threads);
    eprintln!("{tally:#?}\n{} cases compared in {:.0?}, seeds from {seed}", tally.cases, began.elapsed());
    assert!(tally.cases >= cases);
    // Enough of everything, or it shows nothing.
    let share = |count: u64| tally.cases / count.max(1);
    if cases >= CASES {
        assert!(share(tally.hits) <= 4, "one question in {} was answered from memory", share(tally.hits));
        assert!(share(tally.allowed_hits) <= 12, "one in {} allowed from memory", share(tally.allowed_hits));
        for count in [tally.allowed, tally.denied, tally.faults, tally.unauthenticated] {
            assert!(share(count) <= 50, "{tally:?}");
        }
        for count in [tally.clock, tally.documents, tally.reloads, tally.strangers] {
            assert!(share(count) <= 100, "{tally:?}");
        }
    }
}

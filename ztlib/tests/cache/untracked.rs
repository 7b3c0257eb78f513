//! Ways in which a policy could keep something, or learn something that stands in no trace, beyond
//! those of `plugins/hostile` (`ztlib/tests/sandbox.rs`). `plugins/hostile/README.md` lists all
//! that were tried.

use ztlib::policies::{Budget, PolicySetBuilder};

use crate::guest::{guest, guest_with};
use crate::stage::{Ask, Stage, fresh, remembered};

fn set(bytes: &[u8]) -> PolicySetBuilder {
    let mut patient = Budget::default();
    patient.wall_clock = Budget::maximum().wall_clock;
    PolicySetBuilder::new().component("guest", bytes).budget(patient)
}

#[test]
fn two_policies_of_one_component_share_nothing() {
    // The first of all calls abstains, every other one allows.
    let counts = guest(
        "(global $calls (mut i32) (i32.const 0))",
        "(if (global.get $calls) (then (return (i32.const 0)))) (global.set $calls (i32.const 1)) i32.const 2",
    );
    let mut builder = set(&counts).may_abstain();
    for name in ["second", "third"] {
        builder = builder.component(name, &counts).may_abstain();
    }
    let stage = Stage::new(builder);
    assert_eq!(stage.told(Ask::get("/")), fresh("deny"), "one of them saw that another was asked before");
    assert_eq!(stage.told(Ask::get("/")), remembered("deny"));
}

#[test]
fn a_start_function_runs_for_each_instance_and_leaves_nothing_to_the_next() {
    let counts = guest(
        "(global $started (mut i32) (i32.const 0))
         (func $start (global.set $started (i32.add (global.get $started) (i32.const 1)))
           (i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (i32.const 1))))
         (start $start)",
        "(i32.eqz (i32.and (i32.eq (global.get $started) (i32.const 1)) (i32.eq (i32.load (i32.const 64)) (i32.const 1))))",
    );
    let stage = Stage::new(set(&counts));
    for n in 0..5 {
        let mut ask = Ask::get("/");
        ask.route = Some(format!("/route-{n}"));
        // On a thread of its own: what reads nothing is remembered for each route, and what a
        // thread found last answers others too.
        let told = std::thread::scope(|scope| scope.spawn(|| stage.told(ask)).join().unwrap());
        assert_eq!(told, fresh("allow"), "started exactly once");
    }
}

#[test]
fn a_trap_tells_the_next_evaluation_nothing() {
    // Marks its memory and traps; would allow where it finds the mark.
    let tries_again = guest(
        "",
        "(if (i32.load (i32.const 64)) (then (return (i32.const 0)))) (i32.store (i32.const 64) (i32.const 1)) unreachable",
    );
    let stage = Stage::new(set(&tries_again));
    for _ in 0..5 {
        assert_eq!(stage.told(Ask::get("/")), fresh("trap"));
    }
}

#[test]
fn how_much_fuel_is_left_cannot_be_told() {
    // With the least fuel that does, and with a thousand times more, it says the same; with less it
    // is a fault, and not a third answer.
    let works = guest(
        "",
        "(local $n i32) (loop $again (local.set $n (i32.add (local.get $n) (i32.const 1)))
           (br_if $again (i32.lt_u (local.get $n) (i32.const 1000)))) i32.const 0",
    );
    let word = |fuel: u64| {
        let mut budget = Budget::default();
        (budget.fuel, budget.wall_clock) = (fuel, Budget::maximum().wall_clock);
        Stage::new(PolicySetBuilder::new().component("guest", &works).budget(budget)).told(Ask::get("/"))
    };
    let words: Vec<_> = [300, 1_000, 4_000, 20_000, 100_000, 10_000_000].into_iter().map(word).collect();
    assert_eq!(words.first(), Some(&fresh("fuel-spent")));
    assert_eq!(words.last(), Some(&fresh("allow")));
    assert!(words.iter().all(|word| [fresh("fuel-spent"), fresh("allow")].contains(word)), "{words:?}");
}

#[test]
fn the_bits_of_vectors_of_nan_are_the_same_on_every_machine() {
    // 0/0, ∞−∞ and the root of −1, in lanes of four and two: the sign and the payload are the
    // processor's to choose.
    let canonical = "(v128.any_true (v128.xor (f32x4.div (v128.const f32x4 0 0 0 0) (v128.const f32x4 0 0 0 0))
           (v128.const i32x4 0x7fc00000 0x7fc00000 0x7fc00000 0x7fc00000)))
         (v128.any_true (v128.xor (f32x4.sub (v128.const f32x4 inf inf inf inf) (v128.const f32x4 inf inf inf inf))
           (v128.const i32x4 0x7fc00000 0x7fc00000 0x7fc00000 0x7fc00000)))
         (v128.any_true (v128.xor (f64x2.sqrt (v128.const f64x2 -1 -1))
           (v128.const i64x2 0x7ff8000000000000 0x7ff8000000000000)))
         (i64.ne (i64.reinterpret_f64 (f64.sqrt (f64.const -1))) (i64.const 0x7ff8000000000000))
         i32.or i32.or i32.or";
    let stage = Stage::new(set(&guest("", canonical)));
    assert_eq!(stage.told(Ask::get("/")), fresh("allow"));
}

#[test]
fn features_that_could_catch_a_trap_keep_state_or_wait_are_refused_when_loaded() {
    let catches = "(tag $t) (func $f (block $caught (try_table (catch_all $caught) unreachable)))";
    let cases = [
        ("exceptions", guest(catches, "i32.const 0")),
        ("atomics", guest("", "(i32.atomic.load (i32.const 64))")),
        ("a shared memory", guest("(memory $shared 1 1 shared)", "i32.const 0")),
        ("garbage collection", guest("(type $s (struct (field i32)))", "i32.const 0")),
        ("several memories", guest("(memory $other 1)", "i32.const 0")),
        ("memories of 64 bits", guest("(memory $other i64 1)", "i32.const 0")),
        (
            "relaxed vectors",
            guest("", "(i32x4.extract_lane 0 (i32x4.relaxed_trunc_f32x4_s (v128.const f32x4 nan 0 0 0)))"),
        ),
        ("tasks", guest_with("", "i32.const 0", "(core func $inc (canon backpressure.inc))")),
        ("context of a task", guest_with("", "i32.const 0", "(core func $get (canon context.get i32 0))")),
        ("waiting", guest_with("", "i32.const 0", "(core func $new (canon waitable-set.new))")),
        ("yielding", guest_with("", "i32.const 0", "(core func $yield (canon thread.yield))")),
    ];
    for (what, bytes) in cases {
        let error = set(&bytes).load().map(drop).expect_err(what);
        assert_eq!(error.code(), "not-compilable", "{what}: {error}");
    }
    assert!(set(&guest("", "i32.const 0")).load().is_ok());
}

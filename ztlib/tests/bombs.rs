//! Files that are small and would cost much: each is refused by the name of what it has too much
//! of, before a compiler sees it; and what is just small enough is loaded within a stated time and
//! memory. Each load is a process of its own, whose peak is measured.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a test that cannot set itself up has failed"
)]

#[path = "support/guest.rs"]
mod guest;

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use guest::text;
use ztlib::authenticate::Principal;
use ztlib::authorize::{Decision, Labels};
use ztlib::policies::{Budget, Module, PolicySetBuilder, PolicyStore};

const FILE: &str = "ZTLIB_TEST_LOADS";

/// The outcome of a load, and the most that it took.
#[derive(Debug)]
struct Load {
    code: String,
    took: Duration,
    peak_mib: u64,
}

/// Loads in a process of its own.
fn load(name: &str, bytes: &[u8]) -> Load {
    let file = std::env::temp_dir().join(format!("ztlib-bomb-{}-{name}", std::process::id()));
    std::fs::write(&file, bytes).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_loads", "--nocapture", "--test-threads=1"])
        .env(FILE, &file)
        .output()
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let line = told.lines().find_map(|line| line.split_once("LOADED ")).map(|(_, line)| line.to_owned());
    let line = line.unwrap_or_else(|| panic!("{name}: it ended: {:?} {told}", output.status));
    let mut words = line.split(' ');
    let code = words.next().unwrap().to_owned();
    let millis = words.next().unwrap().parse().unwrap();
    let peak_mib = words.next().unwrap().parse::<u64>().unwrap() >> 10;
    let load = Load { code, took: Duration::from_millis(millis), peak_mib };
    println!("{name}: {} bytes: {load:?}", bytes.len());
    load
}

#[test]
fn the_process_that_loads() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let bytes = std::fs::read(&file).unwrap();
    let begun = Instant::now();
    let loaded = if file.to_string_lossy().contains("document") {
        let manifest = std::path::Path::new(std::str::from_utf8(&bytes).unwrap()).to_owned();
        let loaded = PolicyStore::from_manifest(manifest).allow_unsigned().load();
        loaded.err()
    } else {
        let mut budget = Budget::default();
        budget.wall_clock = Budget::maximum().wall_clock;
        PolicySetBuilder::new().component("guest", bytes.as_slice()).budget(budget).load().err()
    };
    let code = loaded.map_or("loads", |error| error.code());
    let took = begun.elapsed().as_millis();
    println!("LOADED {code} {took} {}", peak_kib());
}

/// The most memory that this process has had, where the system says so.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// A policy with further fields in its module, or parts beside it.
fn policy(fields: &str, outside: &str) -> Vec<u8> {
    wat::parse_str(text(fields, "i32.const 1", outside)).unwrap()
}

fn many(count: usize, of: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut all, index| {
        write!(all, "{} ", of(index)).unwrap();
        all
    })
}

/// A function that calls one with a thousand results and drops nothing.
fn calls(functions: usize, each: usize) -> Vec<u8> {
    let results = "i32 ".repeat(1000);
    let callers = many(functions, |_| format!("(func {} unreachable)", "call $f ".repeat(each)));
    policy(&format!("(func $f (result {results}) unreachable) {callers}"), "")
}

/// Paths that part at one place and join in as many as there are blocks, with locals that differ by
/// path.
fn ladder(locals: usize, blocks: usize) -> Vec<u8> {
    let sets = many(locals, |n| format!("local.get 0 local.set {n}"));
    let opens = "block ".repeat(blocks);
    let targets = many(blocks, |n| n.to_string());
    let ends = many(blocks, |_| "end local.get 1 local.set 0".to_owned());
    let gets = many(locals, |n| format!("local.get {n} drop"));
    let body = format!("{opens} {sets} local.get 0 br_table {targets} {ends} {gets}");
    policy(&format!("(func (local {}) {body})", "i32 ".repeat(locals)), "")
}

/// Values that wait on the stack while the control flow parts and joins.
fn waiting(values: usize, blocks: usize) -> Vec<u8> {
    let loads = "i32.const 0 i32.load ".repeat(values);
    let flow = "block i32.const 0 i32.load br_if 0 end ".repeat(blocks);
    let drops = "i32.add ".repeat(values.saturating_sub(1));
    policy(&format!("(func (result i32) {loads} {flow} {drops})"), "")
}

#[test]
fn what_would_cost_far_more_than_its_size_is_refused_by_name_at_once() {
    let nested = |depth: usize, twice: &str| {
        let mut all = "(component $c0)".to_owned();
        for n in 1..depth {
            let one = format!("(instance (instantiate $o)) {twice}");
            write!(all, "(component $c{n} (alias outer 1 $c{} (component $o)) {one})", n - 1).unwrap();
        }
        all
    };
    let doubled = |count: usize| {
        let mut all = "(instance $i0)".to_owned();
        for n in 1..count {
            let last = n - 1;
            write!(
                all,
                r#"(instance $i{n} (export "a" (instance $i{last})) (export "b" (instance $i{last})))"#
            )
            .unwrap();
        }
        all
    };
    let types = |count: usize| {
        let mut all = "(type $t0 (tuple u8 u8))".to_owned();
        (1..count).for_each(|n| write!(all, "(type $t{n} (tuple $t{0} $t{0}))", n - 1).unwrap());
        all
    };
    let images = many(100, |_| {
        "(core module (memory 128) (data (i32.const 0) \"a\") (data (i32.const 8000000) \"a\"))".to_owned()
    });
    let wide = "i32 ".repeat(1000);
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        ("calls-in-one-function", "too-many-values", calls(1, 2_000)),
        ("calls-in-many-functions", "too-many-values", calls(40, 60)),
        (
            "blocks-of-many-values",
            "too-many-values",
            policy(
                &format!(
                    "(type $b (func (result {wide}))) (func {} unreachable)",
                    "block (type $b) unreachable end br 0 ".repeat(500)
                ),
                "",
            ),
        ),
        (
            "branches-with-many-values",
            "too-many-values",
            policy(&format!("(func (result {wide}) {} unreachable)", "return ".repeat(500)), ""),
        ),
        (
            "table-of-branches-with-many-values",
            "too-many-values",
            policy(&format!("(func (result {wide}) unreachable br_table {})", "0 ".repeat(500)), ""),
        ),
        (
            "functions-of-many-parameters",
            "too-many-values",
            policy(&format!("(type $w (func (param {wide}))) {}", "(func (type $w))".repeat(2_000)), ""),
        ),
        (
            "locals",
            "too-many-locals",
            policy(&format!("(func (local {}))", "i32 ".repeat(50_000)).repeat(30), ""),
        ),
        ("ladder", "function-too-deep", ladder(8_000, 4_000)),
        ("waiting", "function-too-deep", waiting(10_000, 4_000)),
        (
            "instances-of-components",
            "component-too-complex",
            policy("", &nested(25, "(instance (instantiate $o))")),
        ),
        ("instances-in-instances", "component-too-complex", policy("", &doubled(40))),
        ("types-of-types", "component-too-complex", policy("", &types(40))),
        ("images-of-memory", "memory-limit", policy("", &images)),
        (
            "tables",
            "table-limit",
            policy("", &"(core module (table 1000000 funcref) (elem (i32.const 999999) func) )".repeat(20)),
        ),
        (
            "core-instances",
            "too-many-instances",
            policy("", &format!("(core module $e) {}", "(core instance (instantiate $e))".repeat(100))),
        ),
        ("core-modules", "too-many-instances", policy("", &"(core module)".repeat(500))),
        (
            "components-in-components",
            "nested-too-deep",
            policy("", &format!("{}{}", "(component ".repeat(50), ")".repeat(50))),
        ),
        ("globals", "too-many-definitions", policy(&"(global i32 (i32.const 0))".repeat(250_000), "")),
    ];
    let mut wrong = Vec::new();
    for (name, code, bytes) in cases {
        let load = load(name, &bytes);
        if load.code != code || load.took > Duration::from_secs(5) || load.peak_mib > 150 {
            wrong.push(format!("{name}: not {code}: {load:?}"));
        }
        // The desk looks at it, too.
        assert!(bytes.len() < 1 << 20 || name == "globals", "{name}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A type in a type in a type: the parser calls itself for each, and would come to the end of the
/// thread's stack.
#[test]
fn types_that_lie_deep_in_each_other_do_not_end_the_process() {
    for depth in [101, 200_000] {
        let mut ty = Vec::new();
        for _ in 0..depth {
            ty.extend([0x42, 0x01, 0x01]);
        }
        ty.extend([0x42, 0x00]);
        let mut section = vec![1];
        section.extend(&ty);
        let mut bytes = b"\0asm\x0d\0\x01\0\x07".to_vec();
        let mut length = section.len();
        while length > 127 {
            bytes.push((length & 127) as u8 | 128);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend(&section);
        assert_eq!(load("deep-types", &bytes).code, "nested-too-deep");
        assert!(Module::inspect(&bytes).is_ok_and(|module| module.functions == 0));
    }
}

/// The most that a default budget lets through, of each kind.
#[test]
fn what_is_just_small_enough_loads_within_the_stated_time_and_memory() {
    let straight = format!("(func (result i32) i32.const 0 {})", "i32.const 7 i32.add ".repeat(170_000));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", policy("", "")),
        ("largest-values", calls(1, 60)),
        ("largest-values-in-all", calls(8, 60)),
        ("largest-ladder", ladder(1_000, 1_000)),
        ("wide-ladder", ladder(10_000, 100)),
        ("largest-waiting", waiting(1_300, 1_000)),
        ("largest-straight", policy(&straight, "")),
        ("largest-locals", policy(&format!("(func (local {}))", "i32 ".repeat(50_000)).repeat(20), "")),
    ];
    let mut cases = cases;
    // It takes half a minute: asked for by name.
    if std::env::var_os("LARGEST").is_some() {
        cases.push(("largest-module", policy(&straight.repeat(8), "")));
        cases.push(("largest-flow", ladder(2_000, 2_500)));
        cases.push(("largest-waiting-flow", waiting(5_000, 1_000)));
    }
    for (name, bytes) in cases {
        let load = load(name, &bytes);
        assert!(load.code == "loads" && load.peak_mib < 1_500, "{name}: {load:?}");
    }
}

/// Starting is paid for: by what lies in a module, and by what it runs before anything was asked.
#[test]
fn what_starts_slowly_costs_fuel_before_it_starts() {
    let data = format!("(data (i32.const 2048) \"{}\")", "a".repeat(60_000));
    let elements =
        format!("(table 5000 funcref) (func $e) (elem (i32.const 0) func {})", "$e ".repeat(5_000));
    let start = "(func $s (local i32) (loop $l (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (br_if $l (i32.lt_u (i32.const 9000))))) (start $s)";
    let start = start.replace("(br_if $l (i32.lt_u (i32.const 9000)))", "i32.const 9000 i32.lt_u br_if $l");
    for (what, fields) in [("data", data), ("elements", elements), ("start", start)] {
        let bytes = policy(&fields, "");
        let load = |fuel| {
            let mut budget = Budget::default();
            budget.fuel = fuel;
            PolicySetBuilder::new().component("guest", bytes.as_slice()).budget(budget).load()
        };
        let error = load(5_000).unwrap_err();
        assert_eq!(error.code(), "fuel-spent", "{what}: {error}");
        assert!(error.to_string().contains("raise"), "{what}: {error}");
        let policies = load(1_000_000).unwrap();
        let asked = policies.simulate(Principal::anonymous(), "test", Labels::new(), SystemTime::UNIX_EPOCH);
        assert!(matches!(asked.result(), Ok(Decision::Deny(_))), "{what}");
        assert!(asked.fuel() > 5_000, "{what}: {}", asked.fuel());
    }
    // Nine units pay for nothing.
    let mut budget = Budget::default();
    budget.fuel = 9;
    let error = PolicySetBuilder::new().component("guest", policy("", "")).budget(budget).load().unwrap_err();
    assert_eq!(error.code(), "fuel-spent", "{error}");
}

/// A document of the largest size: what is too much is refused while it is read, and what is not
/// takes a stated peak.
#[test]
fn the_largest_documents_are_read_within_the_stated_memory() {
    let folder = std::env::temp_dir().join(format!("ztlib-documents-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let fill = |unit: &str, bytes: usize| unit.repeat(bytes / unit.len());
    let most = 16 << 20;
    let written = 2 << 20;
    let cases = [
        ("lists.json", format!("[{}1]", fill("[1],", most - 16)), "malformed-file"),
        ("tables.json", format!("[{}1]", fill("{\"a\":0},", most / 2)), "malformed-file"),
        ("texts.json", format!("[{}1]", fill("\"\",", most - 16)), "malformed-file"),
        ("numbers.json", format!("[{}1]", fill("1,", 2 << 20)), "no-policies"),
        ("text.json", format!("\"{}\"", fill("a", most - 16)), "no-policies"),
        (
            "roles.json",
            format!(
                "{{{}\"z\":1}}",
                (0..150_000).map(|n| format!("\"user-{n}\":[\"admin\"],")).collect::<String>()
            ),
            "no-policies",
        ),
        ("lists.yaml", format!("[{}1]", fill("[],", written - 64)), "no-policies"),
        ("flow.yaml", format!("[{}1]", fill("a,", written - 64)), "no-policies"),
        ("block.yaml", fill("- a\n", written - 64), "no-policies"),
        ("nested.yaml", fill("- ", written - 64), "malformed-file"),
        ("keys.yaml", fill("? ", written - 64), "malformed-file"),
        ("large.yaml", fill("- a\n", written + 64), "malformed-file"),
        ("lists.toml", format!("a = [{}1]", fill("[],", written - 64)), "no-policies"),
        ("large.toml", format!("a = [{}1]", fill("1,", written + 64)), "malformed-file"),
    ];
    for (name, text, code) in cases {
        std::fs::write(folder.join(name), &text).unwrap();
        let manifest = folder.join(format!("{name}.manifest.toml"));
        std::fs::write(&manifest, format!("format = 1\n[[document]]\nname = 'd'\nfile = '{name}'\n"))
            .unwrap();
        let load = load(&format!("document-{name}"), manifest.to_str().unwrap().as_bytes());
        assert_eq!(load.code, code, "{name}: {load:?}");
        assert!(load.peak_mib < 400, "{name}: {load:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

//! T1 to T13 of SECURITY.md, one by one: what is remembered is served where a fresh evaluation
//! would say the same, and nowhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use ztlib::authorize::NativePolicy;
use ztlib::authorize::{Answer, Fault, Labels, Outcome, Reader, SignalError, SignalSource};
use ztlib::policies::{Budget, PolicySetBuilder};

use crate::stage::{
    Ask, Feed, PROBE, START, Stage, allow_after, allow_if, at, call, deny_if, fresh, probe, remembered,
};

macro_rules! hostile {
    ($name:literal) => {
        include_bytes!(concat!("../../../plugins/artifacts/", $name, ".wasm")).as_slice()
    };
}

#[test]
fn a_policy_that_keeps_state_says_the_same_whether_it_is_asked_or_remembered() {
    // T1. It would allow from its second call on, if anything of its first were left.
    let mut patient = Budget::default();
    patient.wall_clock = Budget::maximum().wall_clock;
    let guest = PolicySetBuilder::new().component("guest", hostile!("keeps-state"));
    let stage = Stage::new(guest.budget(patient));
    assert_eq!(stage.told(Ask::get("/")), fresh("deny"));
    assert_eq!(stage.told(Ask::get("/")), remembered("deny"));
    for n in 0..20 {
        let mut ask = Ask::get("/");
        ask.route = Some(format!("/route-{n}"));
        // What depends on nothing may be remembered from anywhere.
        assert_eq!(stage.told(ask).0, "deny", "call {n} of another site");
    }
}

#[test]
fn what_was_cut_off_is_never_remembered() {
    // T3: fuel, memory, stack and the wall clock. The policy before it has decided, and its answer
    // is not kept either.
    for (guest, budget, reason) in [
        (hostile!("endless-loop"), Budget::default(), "fuel-spent"),
        (hostile!("memory-bomb"), Budget::default(), "memory-limit"),
        (hostile!("table-grow-failing"), Budget::maximum(), "table-limit"),
        (hostile!("deep-recursion"), Budget::default(), "stack-overflow"),
        (hostile!("flood-of-distinct-reads"), Budget::default(), "read-budget"),
        (hostile!("endless-loop"), Budget::maximum(), "deadline-passed"),
    ] {
        let mut budget = budget;
        let soon = reason == "deadline-passed";
        budget.wall_clock = if soon { Duration::from_millis(20) } else { Budget::maximum().wall_clock };
        let set = probe(&allow_after(&[call("method", &[])])).component("guest", guest).budget(budget);
        let stage = Stage::new(set);
        for _ in 0..3 {
            assert_eq!(stage.told(Ask::get("/")), fresh(reason));
        }
    }
}

#[test]
fn absence_is_a_read_and_what_appears_is_noticed() {
    // T4
    let cases = [
        (call("header", &["x-a"]), Ask::get("/"), Ask::get("/").header("x-a", "1")),
        (call("header", &["x-a"]), Ask::get("/"), Ask::get("/").header("x-a", "")),
        (call("header-values", &["x-a"]), Ask::get("/"), Ask::get("/").header("x-a", "1")),
        (call("query", &["q"]), Ask::get("/"), Ask::get("/?q=1")),
        (call("route", &[]), Ask::get("/"), Ask::order(7)),
        (call("param", &["id"]), Ask::get("/"), Ask::order(7)),
    ];
    for (read, without, with) in cases {
        // The route is a part of the site: two questions to one site tell more.
        let (without, mut with) = (without, with);
        if read["call"] != "route" && read["call"] != "param" {
            with.route.clone_from(&without.route);
        }
        let stage = Stage::new(probe(&deny_if(read.clone())));
        assert_eq!(stage.told(without.clone()), fresh("allow"), "{read}");
        assert_eq!(stage.told(without.clone()), remembered("allow"), "{read}");
        assert_eq!(stage.told(with.clone()), fresh("deny"), "{read}: it appeared");
        assert_eq!(stage.told(with), remembered("deny"), "{read}");
        assert_eq!(stage.told(without), remembered("allow"), "{read}: and went away");
    }
    let stage = Stage::new(probe(&allow_after(&[call("header-names", &[])])));
    assert_eq!(stage.told(Ask::get("/")), fresh("allow"));
    assert_eq!(stage.told(Ask::get("/").header("x-new", "1")), fresh("allow"), "one name more in the list");
    assert_eq!(stage.told(Ask::get("/").header("x-new", "2")), remembered("allow"), "values were not read");
}

#[test]
fn an_answer_that_hangs_on_time_changes_exactly_then_warm_and_both_ways() {
    // T5
    let until = START + 100;
    let before = until.to_string();
    let stage = Stage::new(probe(&allow_if(call("before", &[&before]))));
    let ask = |seconds: u64| {
        stage.world.clock.set(at(seconds));
        stage.told(Ask::get("/"))
    };
    assert_eq!(ask(until - 100), fresh("allow"));
    assert_eq!(ask(until - 1), remembered("allow"));
    stage.world.clock.advance(Duration::from_millis(999));
    assert_eq!(stage.told(Ask::get("/")), remembered("allow"));
    assert_eq!(ask(until), fresh("deny"), "the moment itself is no longer before it");
    assert_eq!(ask(until - 1), remembered("allow"), "a clock that steps back");
    assert_eq!(ask(until), remembered("deny"));
    assert_eq!(ask(until + 1_000_000), remembered("deny"));
    assert_eq!(ask(until - 50_000), remembered("allow"));
}

#[test]
fn windows_logins_and_claims_hang_on_time_too() {
    // T5
    let token = |stage: &Stage| {
        let draft = stage.world.token("alice").expires_in(Duration::from_secs(3600));
        draft.claim("auth_time", START).claim("until", START + 60).sign()
    };
    for (read, last) in [
        (call("authenticated-within", &["60"]), 60),
        (call("before-claim", &["/until"]), 59),
        (call("in-window", &["thu 00:00-00:01"]), 59),
    ] {
        let stage = Stage::new(probe(&allow_if(read.clone())));
        let ask = Ask::get("/").token(token(&stage));
        assert_eq!(stage.told(ask.clone()), fresh("allow"), "{read}");
        stage.world.clock.set(at(START + last));
        assert_eq!(stage.told(ask.clone()), remembered("allow"), "{read}");
        stage.world.clock.set(at(START + last + 1));
        assert_eq!(stage.told(ask.clone()), fresh("deny"), "{read}");
        stage.world.clock.set(at(START + last));
        assert_eq!(stage.told(ask), remembered("allow"), "{read}");
    }
    let stage = Stage::new(probe(&allow_after(&[call("now", &[])])));
    assert_eq!(stage.told(Ask::get("/")), fresh("allow"));
    assert_eq!(stage.told(Ask::get("/")), remembered("allow"));
    stage.world.clock.advance(Duration::from_secs(1));
    assert_eq!(stage.told(Ask::get("/")), fresh("allow"), "the raw time keys the entry");
}

#[test]
fn a_set_that_differs_in_anything_shares_no_entry_with_another() {
    // T6: by module, configuration, budget, reasons and order; the reads are the same in all of
    // them: none.
    let allow = json!({ "answer": "allow" });
    let deny = json!({ "do": [call("reason", &["no-role"])], "answer": "deny" });
    let stage = Stage::new(probe(&allow));
    let others = [
        (probe(&deny).reasons(["no-role"]), "deny"),
        (probe(&deny), "outcome-undeclared-reason"),
        (PolicySetBuilder::new().component("probe", hostile!("keeps-state")), "deny"),
        (probe(&json!({ "answer": "abstain" })).may_abstain(), "deny"),
        (
            probe(&allow).component("second", PROBE).config(json!({ "decide": deny })).reasons(["no-role"]),
            "deny",
        ),
    ];
    assert_eq!(stage.told(Ask::get("/")), fresh("allow"));
    assert_eq!(stage.told(Ask::get("/")), remembered("allow"));
    for (other, word) in others {
        stage.policies.replace(other).unwrap();
        assert_eq!(stage.told(Ask::get("/")), fresh(word));
        stage.policies.replace(probe(&allow)).unwrap();
        assert_eq!(stage.told(Ask::get("/")).0, "allow");
    }
}

#[test]
fn documents_labels_and_signals_are_reads() {
    // T6
    let feed = Feed::default();
    feed.set("risk", Some("1"));
    let program = allow_after(&[
        call("data-string", &["d", "/a"]),
        call("label", &["class"]),
        call("signal", &["risk"]),
    ]);
    let stage = Stage::new(
        probe(&program).document("d", json!({ "a": "1", "b": "1" })).signal("risk").signals(feed.clone()),
    );
    let labelled = |class: &str| {
        let mut ask = Ask::get("/");
        ask.labels = Labels::new().with("class", class).with("other", "x");
        ask
    };
    assert_eq!(stage.told(labelled("a")), fresh("allow"));
    assert_eq!(stage.told(labelled("a")), remembered("allow"));
    assert_eq!(stage.told(labelled("b")), fresh("allow"), "another label");
    feed.set("risk", Some("2"));
    assert_eq!(stage.told(labelled("a")), fresh("allow"), "another signal");
    feed.set("risk", Some("1"));
    stage.policies.set_document("d", json!({ "a": "2", "b": "1" })).unwrap();
    assert_eq!(stage.told(labelled("a")), fresh("allow"), "another value in the document");
    stage.policies.set_document("d", json!({ "a": "1", "b": "2" })).unwrap();
    assert_eq!(
        stage.told(labelled("a")),
        remembered("allow"),
        "what was not read changed, and the rest is as before"
    );
}

#[test]
fn values_that_are_equal_when_put_together_are_not_equal() {
    // T8
    let program = json!({ "do": [call("header", &["x-a"]), call("header", &["x-b"])], "answer": "allow" });
    let stage = Stage::new(probe(&program));
    for (a, b) in [("1", "23"), ("12", "3"), ("123", ""), ("", "123")] {
        let ask = Ask::get("/").header("x-a", a).header("x-b", b);
        assert_eq!(stage.told(ask.clone()), fresh("allow"), "{a:?} {b:?}");
        assert_eq!(stage.told(ask), remembered("allow"), "{a:?} {b:?}");
    }
    assert_eq!(stage.told(Ask::get("/").header("x-a", "123")), fresh("allow"), "absent is not empty");
    assert_eq!(stage.told(Ask::get("/").header("x-b", "123")), fresh("allow"));
    assert_eq!(stage.told(Ask::get("/")), fresh("allow"));

    let program = json!({ "do": [call("header-values", &["x-a"]), call("header-values", &["x-b"])], "answer": "allow" });
    let stage = Stage::new(probe(&program));
    let lists: [(&[&str], &[&str]); 7] = [
        (&["ab"], &[]),
        (&["a", "b"], &[]),
        (&["b", "a"], &[]),
        (&["a"], &["b"]),
        (&["", "ab"], &[]),
        (&["ab", ""], &[]),
        (&[], &["ab"]),
    ];
    for (a, b) in lists {
        let ask = a.iter().fold(Ask::get("/"), |ask, value| ask.header("x-a", *value));
        let ask = b.iter().fold(ask, |ask, value| ask.header("x-b", *value));
        assert_eq!(stage.told(ask.clone()), fresh("allow"), "{a:?} {b:?}");
        assert_eq!(stage.told(ask), remembered("allow"), "{a:?} {b:?}");
    }
}

#[test]
fn a_fault_is_never_remembered_and_a_failed_read_is_no_absence() {
    // T9
    let feed = Feed::default();
    let set = probe(&deny_if(call("signal", &["risk"]))).signal("risk").signals(feed.clone());
    let stage = Stage::new(set);
    for _ in 0..3 {
        assert_eq!(stage.told(Ask::get("/")), fresh("read-signal-failed"));
    }
    feed.set("risk", None);
    assert_eq!(stage.told(Ask::get("/")), fresh("allow"), "known to be absent");
    assert_eq!(stage.told(Ask::get("/")), remembered("allow"));
    feed.fail("risk");
    assert_eq!(stage.told(Ask::get("/")), fresh("read-signal-failed"), "after the same question was allowed");
    feed.set("risk", Some("high"));
    assert_eq!(stage.told(Ask::get("/")), fresh("deny"));
    feed.set("risk", None);
    assert_eq!(stage.told(Ask::get("/")), remembered("allow"));

    for (read, ask, reason) in [
        (
            call("header", &["x-a"]),
            Ask::get("/").header("x-a", "1").header("x-a", "2"),
            "read-several-values",
        ),
        (call("header", &["cookie"]), Ask::get("/"), "read-secret"),
        (call("query", &["q"]), Ask::get("/?q=%zz"), "read-malformed-query"),
        (call("path-matches", &["orders"]), Ask::get("/"), "read-malformed-argument"),
        (call("data-json", &["other", ""]), Ask::get("/"), "read-undeclared-document"),
        (call("signal", &["risk"]), Ask::get("/"), "read-undeclared-signal"),
    ] {
        let stage = Stage::new(probe(&deny_if(read.clone())));
        for _ in 0..3 {
            assert_eq!(stage.told(ask.clone()), fresh(reason));
        }
        // Which one it was: the trace holds those that succeeded.
        let detail = stage.ask(ask).detail().unwrap().to_owned();
        let name = read["call"].as_str().unwrap();
        assert!(detail.starts_with(&format!("policy `probe`: {name}(")), "{detail}");
    }
}

#[test]
fn questions_that_differ_only_in_what_a_symbol_stands_for_share_an_entry() {
    // T11: neither the argument nor the answer varies with the caller, where the question does not.
    let users: serde_json::Map<_, _> = (0..50).map(|n| (format!("user-{n}"), json!(["clerk"]))).collect();
    let program = allow_if(call("data-contains", &["roles", "/users/{subject}", "clerk"]));
    let stage = Stage::new(probe(&program).document("roles", json!({ "users": users })));
    for n in 0..50 {
        let expected = if n == 0 { fresh("allow") } else { remembered("allow") };
        let token = stage.world.token(&format!("user-{n}")).sign();
        assert_eq!(stage.told(Ask::get("/").token(token)), expected);
    }
    let stranger = stage.world.token("stranger").sign();
    assert_eq!(stage.told(Ask::get("/").token(stranger)), fresh("deny"));
    assert_eq!(
        stage.told(Ask::get("/")),
        remembered("deny"),
        "nobody is as good as a stranger to this question"
    );

    let stage = Stage::new(probe(&allow_if(call("path-matches", &["/orders/*"]))));
    assert_eq!(stage.told(Ask::order(0)), fresh("allow"));
    assert!(
        (1..50).all(|n| stage.told(Ask::order(n)) == remembered("allow")),
        "patterns are asked, not paths"
    );
}

/// Says something else each time it is asked.
#[derive(Clone, Default)]
struct Fickle(Arc<AtomicUsize>);

impl SignalSource for Fickle {
    fn signal(&self, _: &str, _: &ztlib::authorize::Caller) -> Result<Option<String>, SignalError> {
        Ok(Some(self.0.fetch_add(1, Ordering::SeqCst).to_string()))
    }
}

#[test]
fn a_signal_is_asked_once_a_question_by_look_up_evaluation_and_storing_together() {
    // T12
    let source = Fickle::default();
    let program = json!({ "do": [call("signal", &["n"])], "if": call("signal-at-least", &["n", "5"]),
        "then": { "answer": "deny" }, "else": { "answer": "allow" } });
    let stage = Stage::new(probe(&program).signal("n").signals(source.clone()));
    for n in 0..12 {
        let event = stage.ask(Ask::get("/"));
        assert_eq!(source.0.load(Ordering::SeqCst), n + 1, "asked once more for one more question");
        assert_eq!(event.verdict().as_str(), if n < 5 { "allow" } else { "deny" });
        assert!(!event.cached(), "each value is new");
        assert!(event.reads().iter().any(|read| read.to_string().starts_with("signal-at-least")));
    }
}

#[test]
fn a_question_that_is_remembered_asks_each_source_of_its_reads_once() {
    let feed = Feed::default();
    feed.set("risk", Some("3"));
    let calls = [
        call("signal", &["risk"]),
        call("signal-at-least", &["risk", "2"]),
        call("signal-at-least", &["risk", "9"]),
    ];
    let stage = Stage::new(probe(&allow_after(&calls)).signal("risk").signals(feed.clone()));
    assert_eq!(stage.told(Ask::get("/")), fresh("allow"));
    assert_eq!(feed.asked(), 1);
    assert_eq!(stage.told(Ask::get("/")), remembered("allow"));
    assert_eq!(feed.asked(), 1);
}

#[test]
fn a_reload_is_in_force_for_the_next_request_and_nothing_older_is_served() {
    // T12
    let (allow, deny) = (json!({ "answer": "allow" }), json!({ "answer": "deny" }));
    let stage = Stage::new(probe(&allow));
    for round in 0..10 {
        let (word, other) = if round % 2 == 0 { ("allow", &deny) } else { ("deny", &allow) };
        assert_eq!(stage.told(Ask::get("/")).0, word);
        assert_eq!(stage.told(Ask::get("/")), remembered(word));
        let revision = stage.policies.replace(probe(other)).unwrap();
        let event = stage.ask(Ask::get("/"));
        assert_eq!(
            (event.verdict().as_str(), event.revision()),
            (if word == "allow" { "deny" } else { "allow" }, Some(revision))
        );
    }
}

/// What it says depends on what no trace holds.
struct Counts(AtomicUsize);

impl NativePolicy for Counts {
    fn decide(&self, _: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
        let before = self.0.fetch_add(1, Ordering::SeqCst);
        Ok(if before.is_multiple_of(2) { Answer::Allow } else { Answer::Deny })
    }
}

#[test]
fn a_set_with_a_native_policy_is_asked_each_time() {
    // T13
    let set = probe(&allow_after(&[call("method", &[])])).native("counts", Counts(AtomicUsize::new(0)));
    let stage = Stage::new(set);
    for n in 0..6 {
        assert_eq!(stage.told(Ask::get("/")), fresh(if n % 2 == 0 { "allow" } else { "deny" }));
    }
}

//! What happens at the same time: a reload, a new document, another question or an eviction while
//! an evaluation or a look-up is under way. A source of signals that waits holds a question inside
//! of its evaluation; nothing here sleeps.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use serde_json::{Value as Json, json};
use ztlib::authorize::Revision;
use ztlib::authorize::{CacheLimits, SignalError, SignalSource};
use ztlib::policies::PolicySetBuilder;

use crate::stage::{Ask, Stage, allow_after, call, deny_if, fresh, probe, remembered, told};

/// Holds whoever asks first after it was armed, until the test lets them go.
#[derive(Clone)]
struct Gate(Arc<(AtomicBool, Barrier)>);

impl Gate {
    fn new() -> Self {
        Self(Arc::new((AtomicBool::new(false), Barrier::new(2))))
    }

    fn arm(&self) {
        self.0.0.store(true, Ordering::SeqCst);
    }

    /// Waits until somebody is held. They go on when what this gives is dropped, also where the
    /// test fails: it must not hang then.
    fn meet(&self) -> Held<'_> {
        self.0.1.wait();
        Held(&self.0.1)
    }
}

struct Held<'g>(&'g Barrier);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.wait();
    }
}

impl SignalSource for Gate {
    fn signal(&self, _: &str, _: &ztlib::authorize::Caller) -> Result<Option<String>, SignalError> {
        if self.0.0.swap(false, Ordering::SeqCst) {
            self.0.1.wait();
            self.0.1.wait();
        }
        Ok(Some("1".to_owned()))
    }
}

/// A set with one probe, which may ask for the signal `risk`.
fn set(program: &Json, source: &(impl SignalSource + Clone)) -> PolicySetBuilder {
    probe(program).signal("risk").signals(source.clone())
}

fn risk() -> Json {
    call("signal", &["risk"])
}

/// `warm`: the answer is remembered, so the question is held in its look-up; otherwise in the
/// evaluation.
fn reload_while_in_flight(warm: bool) {
    let gate = Gate::new();
    let (old, new) = (allow_after(&[risk()]), json!({ "do": [risk()], "answer": "deny" }));
    let stage = Stage::new(set(&old, &gate));
    let old_revision = stage.policies.status().revision;
    if warm {
        assert_eq!(stage.told(Ask::get("/")), fresh("allow"));
    }
    gate.arm();
    thread::scope(|scope| {
        let in_flight = scope.spawn(|| stage.ask(Ask::get("/")));
        let held = gate.meet();
        let revision = stage.policies.replace(set(&new, &gate)).unwrap();
        // It has returned: whoever arrives now is judged by the new revision, though the old one is still
        // being asked.
        let event = stage.ask(Ask::get("/"));
        assert_eq!((told(&event), event.revision()), (fresh("deny"), Some(revision)));
        drop(held);
        let event = in_flight.join().unwrap();
        assert_eq!(event.revision(), Some(old_revision), "it began before");
        assert_eq!((event.verdict().as_str(), event.cached()), ("allow", warm));
    });
    // What the one in flight stored, it stored under the old revision.
    assert_eq!(stage.told(Ask::get("/")).0, "deny");
    assert_eq!(stage.told(Ask::get("/")), remembered("deny"));
    stage.policies.replace(set(&old, &gate)).unwrap();
    assert_eq!(stage.told(Ask::get("/")).0, "allow");
    assert_eq!(stage.told(Ask::get("/")), remembered("allow"));
}

#[test]
fn an_evaluation_in_flight_when_reload_returns_answers_nobody_who_comes_later() {
    reload_while_in_flight(false);
}

#[test]
fn a_look_up_in_flight_when_reload_returns_answers_nobody_who_comes_later() {
    reload_while_in_flight(true);
}

#[test]
fn a_document_that_changes_in_flight_changes_the_next_answer_and_not_this_one() {
    let on = |on: &str| json!({ "on": on });
    for warm in [false, true] {
        let gate = Gate::new();
        let program = json!({ "do": [risk()], "if": call("data-contains", &["d", "/on", "yes"]),
            "then": { "answer": "allow" }, "else": { "answer": "deny" } });
        let stage = Stage::new(set(&program, &gate).document("d", on("yes")));
        let old_revision = stage.policies.status().revision;
        if warm {
            assert_eq!(stage.told(Ask::get("/")), fresh("allow"));
        }
        gate.arm();
        thread::scope(|scope| {
            let in_flight = scope.spawn(|| stage.ask(Ask::get("/")));
            let held = gate.meet();
            stage.policies.set_document("d", on("no")).unwrap();
            assert_eq!(stage.told(Ask::get("/")), fresh("deny"));
            drop(held);
            let event = in_flight.join().unwrap();
            assert_eq!((event.verdict().as_str(), event.cached()), ("allow", warm));
            assert_eq!(event.revision(), Some(old_revision));
        });
        assert_eq!(stage.told(Ask::get("/")), remembered("deny"));
        stage.policies.set_document("d", on("yes")).unwrap();
        assert_eq!(stage.told(Ask::get("/")), remembered("allow"), "the values are as they were");
    }
}

#[test]
fn a_question_that_is_held_up_holds_up_no_other() {
    for warm in [false, true] {
        let gate = Gate::new();
        let program = json!({ "do": [risk()], "if": call("header", &["x-a"]), "then": { "answer": "deny" },
            "else": { "answer": "allow" } });
        let stage = Stage::new(set(&program, &gate));
        if warm {
            stage.ask(Ask::get("/"));
        }
        gate.arm();
        thread::scope(|scope| {
            let in_flight = scope.spawn(|| stage.ask(Ask::get("/")));
            let held = gate.meet();
            // The same question, another value, another site, a longer list: all are answered meanwhile.
            for n in 0..20 {
                assert_eq!(stage.told(Ask::get("/")).0, "allow");
                assert_eq!(stage.told(Ask::get("/").header("x-a", n.to_string())).0, "deny");
                assert_eq!(stage.told(Ask::order(n)).0, "allow");
            }
            drop(held);
            assert_eq!(in_flight.join().unwrap().verdict().as_str(), "allow");
        });
    }
}

/// As long as it is armed, lets nobody go on alone.
#[derive(Clone)]
struct Pair(Arc<(AtomicUsize, Barrier)>);

impl SignalSource for Pair {
    fn signal(&self, _: &str, _: &ztlib::authorize::Caller) -> Result<Option<String>, SignalError> {
        let (left, barrier) = &*self.0;
        if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            barrier.wait();
        }
        Ok(Some("1".to_owned()))
    }
}

#[test]
fn a_list_that_two_evaluations_lengthen_at_once_loses_no_read() {
    let pair = Pair(Arc::new((AtomicUsize::new(0), Barrier::new(2))));
    let program = json!({ "do": [risk()], "if": call("header", &["x-side"]),
        "then": deny_if(call("header", &["x-a"])), "else": deny_if(call("header", &["x-b"])) });
    let stage = Stage::new(set(&program, &pair));
    for round in 0..100 {
        let ask = |side: bool, a: bool, b: bool| {
            let mut ask = Ask::get("/");
            ask.route = Some(format!("/round-{round}"));
            for (name, there) in [("x-side", side), ("x-a", a), ("x-b", b)] {
                if there {
                    ask = ask.header(name, "1");
                }
            }
            ask
        };
        // Two are inside at once: they read different things, and both lengthen the list of a new site.
        pair.0.0.store(2, Ordering::SeqCst);
        let (first, second) = (round % 3 == 0, round % 2 == 0);
        thread::scope(|scope| {
            let left = scope.spawn(|| stage.told(ask(true, first, second)));
            let right = scope.spawn(|| stage.told(ask(false, first, second)));
            assert_eq!(left.join().unwrap(), fresh(if first { "deny" } else { "allow" }));
            assert_eq!(right.join().unwrap(), fresh(if second { "deny" } else { "allow" }));
        });
        for bits in 0..8 {
            let [side, a, b] = [1, 2, 4].map(|bit| bits & bit != 0);
            let expected = if if side { a } else { b } { "deny" } else { "allow" };
            // At worst a list is lengthened once more.
            assert_eq!(stage.told(ask(side, a, b)).0, expected, "round {round}: {bits:03b}");
            assert_eq!(stage.told(ask(side, a, b)), remembered(expected), "round {round}: {bits:03b}");
        }
    }
}

#[test]
fn under_reloads_new_documents_and_evictions_each_remembered_answer_is_that_of_its_revision() {
    const IDS: usize = 64;
    let allowed = |odd: usize| {
        (0..IDS).filter(|id| id % 2 == odd).map(|id| (id.to_string(), "yes")).collect::<BTreeMap<_, _>>()
    };
    let documents = [json!({ "on": allowed(0) }), json!({ "on": allowed(1) })];
    let ask = call("data-contains", &["d", "/on/{param:id}", "yes"]);
    // Both read the parameter, so that entries are many, and answer the other way round.
    let programs = [("allow", "deny"), ("deny", "allow")].map(|(yes, no)| {
        json!({ "do": [call("param", &["id"])], "if": ask, "then": { "answer": yes }, "else": { "answer": no } })
    });
    let builder = |program: usize| probe(&programs[program]).document("d", &documents[0]);
    // Room for some twenty answers and two lists.
    let bounds = CacheLimits { bytes: 8192, sites: 2, ..CacheLimits::default() };
    let stage = Stage::bounded(builder(0), bounds);
    // Which identifiers, even or odd, each revision allows.
    let mut revisions: HashMap<Revision, usize> = HashMap::new();
    for (program, document) in [(0, 0), (0, 1), (1, 1), (1, 0)] {
        stage.policies.replace(builder(program)).unwrap();
        let revision = stage.policies.set_document("d", &documents[document]).unwrap();
        revisions.insert(revision, (program + document) % 2);
    }
    assert_eq!(revisions.len(), 4);
    let (running, hits) = (AtomicUsize::new(4), AtomicUsize::new(0));
    thread::scope(|scope| {
        for thread in 0..4 {
            let (stage, revisions, running, hits) = (&stage, &revisions, &running, &hits);
            scope.spawn(move || {
                for n in 0..4000 {
                    let id = if n % 2 == 0 { n / 8 % 4 } else { (n * (thread + 7)) % IDS };
                    let mut ask = Ask::order(id);
                    ask.route = Some(format!("/route-{}", n % 3));
                    let event = stage.ask(ask);
                    let parity = revisions[&event.revision().unwrap()];
                    let expected = if id % 2 == parity { "allow" } else { "deny" };
                    assert_eq!(event.verdict().as_str(), expected, "{id}, from memory: {}", event.cached());
                    hits.fetch_add(event.cached().into(), Ordering::Relaxed);
                }
                running.fetch_sub(1, Ordering::SeqCst);
            });
        }
        let mut turn = 0;
        while running.load(Ordering::SeqCst) > 0 {
            turn += 1;
            if turn % 3 == 0 {
                stage.policies.replace(builder(turn / 3 % 2)).unwrap();
            } else {
                stage.policies.set_document("d", &documents[turn % 2]).unwrap();
            }
            thread::yield_now();
        }
    });
    assert!(hits.into_inner() > 100, "hardly anything was remembered");
}

/// Breaks for whoever asks first.
#[derive(Clone)]
struct BreaksOnce(Arc<AtomicBool>);

impl SignalSource for BreaksOnce {
    fn signal(&self, _: &str, _: &ztlib::authorize::Caller) -> Result<Option<String>, SignalError> {
        if !self.0.swap(true, Ordering::SeqCst) {
            std::panic::resume_unwind(Box::new("the feed broke"));
        }
        Ok(Some("1".to_owned()))
    }
}

#[test]
fn of_equal_questions_at_once_none_waits_for_another_or_shares_its_fault() {
    for round in 0..20 {
        let stage = Stage::new(set(&allow_after(&[risk()]), &BreaksOnce(Arc::default())));
        let together = Barrier::new(8);
        let words: Vec<String> = thread::scope(|scope| {
            let ask = || {
                together.wait();
                stage.told(Ask::get("/")).0
            };
            let running: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let broken = words.iter().filter(|word| *word == "panicked").count();
        let allowed = words.iter().filter(|word| *word == "allow").count();
        // Where the first broke in a look-up, its own evaluation asked again and went well.
        assert!(broken <= 1 && broken + allowed == 8, "round {round}: {words:?}");
        assert_eq!(stage.told(Ask::get("/")), remembered("allow"));
    }
}

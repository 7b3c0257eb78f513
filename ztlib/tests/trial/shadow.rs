//! A shadow decides nothing, whatever its candidate does (threats 88).

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::Method;
use ztlib::authenticate::Principal;
use ztlib::authorize::NativePolicy;
use ztlib::authorize::{Answer, Fault, Labels, Outcome, Read, Reader, SignalError, SignalSource, Value};
use ztlib::policies::PolicySetBuilder;
use ztlib::policies::cases::Verdict;
use ztlib::policies::trial::{Change, Share};

use crate::stage::{PATIENCE, Stage, classes, judged};
use crate::support::{self, By, World};

const ALLOW_ALL: &[u8] = include_bytes!("../../../plugins/artifacts/allow-all.wasm");
const DENY_ALL: &[u8] = include_bytes!("../../../plugins/artifacts/deny-all.wasm");
const ENDLESS_LOOP: &[u8] = include_bytes!("../../../plugins/artifacts/endless-loop.wasm");
const TRAP: &[u8] = include_bytes!("../../../plugins/artifacts/trap.wasm");
const MEMORY_BOMB: &[u8] = include_bytes!("../../../plugins/artifacts/memory-bomb.wasm");

/// The requests of one caller through the whole guard, allowed and refused: what came back, and
/// what was audited.
async fn answers(world: &World, guard: &ztlib::enforce::Guard, peer: &http::Extensions) -> Vec<String> {
    let mut all = Vec::new();
    for method in [Method::GET, Method::DELETE, Method::GET] {
        let mut request = world.request_of(peer);
        *request.method_mut() = method;
        let answer = world.send(guard, request).await;
        let event = world.events.one();
        let reads: Vec<String> = event.reads().iter().map(ToString::to_string).collect();
        all.push(format!(
            "{} {} {:?} {:?} {:?} {:?} {reads:?} {:?}",
            answer.status,
            answer.reason(),
            event.verdict(),
            event.reason(),
            event.policy(),
            event.revision(),
            answer.header("x-method"),
        ));
    }
    all
}

/// Allows GET, and says so in a header.
fn only_get() -> ztlib::policies::PolicyStore {
    support::deciding(|question, outcome| {
        if support::text(question, Read::Method)?.as_deref() == Some("GET") {
            outcome.set_response_header("x-method", "get")?;
            return Ok(Answer::Allow);
        }
        outcome.reason("no-role")?;
        Ok(Answer::Deny)
    })
}

#[tokio::test]
async fn a_candidate_that_denies_allows_loops_or_fails_changes_no_answer() {
    let world = World::new();
    let peer = world.frontend().await;
    let guard = world.guard(only_get()).build();
    let policies = guard.policies().clone();
    let alone = answers(&world, &guard, &peer).await;
    assert!(alone[0].starts_with("200 passed") && alone[1].starts_with("403 no-role"), "{alone:?}");
    let panicking = By(|_: &mut Reader, _: &mut Outcome| -> Result<Answer, Fault> { panic!("scripted") });
    for (name, set, changed) in [
        ("deny", PolicySetBuilder::new().component("c", DENY_ALL), [Change::Tightened, Change::OtherDenial]),
        (
            "allow",
            PolicySetBuilder::new().component("c", ALLOW_ALL),
            [Change::OtherObligations, Change::Loosened],
        ),
        ("loop", PolicySetBuilder::new().component("c", ENDLESS_LOOP), [Change::Fault; 2]),
        ("trap", PolicySetBuilder::new().component("c", TRAP), [Change::Fault; 2]),
        ("bomb", PolicySetBuilder::new().component("c", MEMORY_BOMB), [Change::Fault; 2]),
        ("panic", PolicySetBuilder::new().native("c", panicking), [Change::Fault; 2]),
    ] {
        let candidate = policies.candidate(set).unwrap();
        let shadow = policies.shadow(&candidate, Share::ALL).unwrap();
        assert_eq!(answers(&world, &guard, &peer).await, alone, "{name}");
        assert!(shadow.wait_until(PATIENCE, |status| status.judged == 3), "{name}");
        assert_eq!(answers(&world, &guard, &peer).await, alone, "{name}: judged");
        let found = shadow.end();
        for change in changed {
            assert!(found.changes(change) > 0, "{name}: {found}");
        }
        assert_eq!(answers(&world, &guard, &peer).await, alone, "{name}: ended");
        assert_eq!(policies.status().failures, 0);
    }
}

/// A native candidate that never comes back: the worst that can happen to the thread of a shadow.
#[test]
fn a_candidate_that_never_answers_delays_no_request_and_fills_no_memory() {
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let stuck = By(move |_: &mut Reader, _: &mut Outcome| {
        // Until the test is over.
        let _ = held.lock().unwrap().recv();
        Ok(Answer::Allow)
    });
    let stage = Stage::new(classes(&["public"]).load().unwrap());
    let candidate = stage.policies.candidate(PolicySetBuilder::new().native("stuck", stuck)).unwrap();
    let shadow = stage.shadow(&candidate);
    for _ in 0..3000 {
        assert!(stage.ask("public") && !stage.ask("secret"));
    }
    assert!(shadow.lost() >= 6000 - 1024 - 1, "{}", shadow.lost());
    assert_eq!(shadow.differences().judged(), 0);
    // Ending it waits for nobody either.
    shadow.end();
    assert!(stage.ask("public") && !stage.ask("secret"));
    drop(hold);
}

#[test]
fn what_ends_before_the_policies_is_not_judged() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = World::new();
    let peer = runtime.block_on(world.frontend());
    let guard = world.guard(only_get()).allow_public_route("/healthz").build();
    let policies = guard.policies().clone();
    let candidate = policies.candidate(PolicySetBuilder::new().component("c", DENY_ALL)).unwrap();
    let shadow = policies.shadow(&candidate, Share::ALL).unwrap();
    let mut requests: Vec<_> = (0..4).map(|_| world.request_of(&peer)).collect();
    requests[0].headers_mut().remove("authorization");
    *requests[1].uri_mut() = "/orders//7".parse().unwrap();
    requests[2].extensions_mut().insert(ztlib::enforce::MatchedRoute::new("/healthz"));
    let reasons: Vec<String> = requests
        .into_iter()
        .map(|request| runtime.block_on(world.send(&guard, request)).reason().to_owned())
        .collect();
    assert_eq!(reasons, ["token-missing", "path-empty-segment", "passed", "passed"]);
    judged(&shadow, 1);
    assert_eq!(shadow.end().judged(), 1);
}

#[test]
fn a_share_is_every_nth_question() {
    let stage = Stage::new(classes(&["public"]).load().unwrap());
    let candidate = stage.policies.candidate(classes(&[])).unwrap();
    let share = Share::one_in(NonZeroU32::new(10).unwrap());
    let shadow = stage.policies.shadow(&candidate, share).unwrap();
    for _ in 0..100 {
        assert!(stage.ask("public"));
    }
    judged(&shadow, 10);
    assert_eq!(shadow.end().judged(), 10);
}

#[test]
fn one_candidate_is_tried_at_a_time_and_by_its_own_policies() {
    let stage = Stage::new(classes(&["public"]).load().unwrap());
    let candidate = stage.policies.candidate(classes(&[])).unwrap();
    let first = stage.shadow(&candidate);
    let other = stage.policies.shadow(&candidate, Share::ALL);
    assert_eq!(other.unwrap_err().code(), "already-on-trial");
    drop(first);
    let elsewhere = classes(&["public"]).load().unwrap();
    assert_eq!(elsewhere.shadow(&candidate, Share::ALL).unwrap_err().code(), "other-policies");
    stage.shadow(&candidate);
}

#[test]
fn the_thread_ends_when_the_last_handle_is_dropped() {
    struct Held(#[allow(dead_code, reason = "its count is looked at")] Arc<()>);
    impl NativePolicy for Held {
        fn decide(&self, _: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
            Ok(Answer::Allow)
        }
    }
    let count = Arc::new(());
    let stage = Stage::new(classes(&["public"]).load().unwrap());
    let candidate =
        stage.policies.candidate(PolicySetBuilder::new().native("held", Held(count.clone()))).unwrap();
    let shadow = stage.shadow(&candidate);
    assert!(stage.ask("public"));
    judged(&shadow, 1);
    drop((stage, candidate));
    // What is left is the thread's, which lets go when it has noticed.
    while Arc::strong_count(&count) > 1 {
        std::thread::yield_now();
    }
    assert_eq!(shadow.differences().judged(), 1, "what was found stays");
}

#[test]
fn other_policies_in_force_begin_the_counts_anew_and_other_documents_do_not() {
    let set = |allowed| classes(allowed).document("roles", ["a"]);
    let stage = Stage::new(set(&["public"]).load().unwrap());
    let candidate = stage.policies.candidate(set(&["public", "new"])).unwrap();
    let shadow = stage.shadow(&candidate);
    assert!(stage.ask("public") && !stage.ask("new"));
    judged(&shadow, 2);
    stage.policies.set_document("roles", ["a", "b"]).unwrap();
    assert!(stage.ask("public"));
    judged(&shadow, 3);
    assert_eq!(shadow.differences().changes(Change::Loosened), 1);
    // Now the other set is in force, which allows both.
    stage.policies.replace(set(&["public", "new", "more"])).unwrap();
    assert!(stage.ask("new"));
    let anew = shadow.wait_until(PATIENCE, |status| (status.judged, status.differing) == (1, 0));
    assert!(anew, "{:?}", shadow.status());
    let found = shadow.end();
    assert_eq!((found.judged(), found.differing()), (1, 0));
}

/// The documents of a candidate are those in force, whatever it brings under their names: policies
/// are tried, data is data.
#[test]
fn a_candidate_is_judged_with_the_documents_of_today() {
    let set = |name: &str, roles: &[&str]| {
        let decide = |question: &mut Reader, _: &mut Outcome| {
            let pointer = || "/0".into();
            let found = question.read(Read::DataString("roles".into(), pointer()))?;
            Ok(if found == Value::Text("open".into()) { Answer::Allow } else { Answer::Deny })
        };
        PolicySetBuilder::new().native(name, By(decide)).document("roles", roles)
    };
    let stage = Stage::new(set("now", &["closed"]).load().unwrap());
    let follows = stage.policies.candidate(set("follows", &["closed"])).unwrap();
    let own = stage.policies.candidate(set("own", &["open"])).unwrap();
    let recorder = stage.policies.record(Default::default()).unwrap();
    assert!(!stage.ask("x"));
    let differing = |candidate: &ztlib::policies::trial::Candidate| {
        candidate.replay(&recorder.recording()).changes(Change::Loosened)
    };
    assert_eq!((differing(&follows), differing(&own)), (0, 0));
    let shadow = stage.shadow(&own);
    assert!(!stage.ask("x"));
    judged(&shadow, 1);
    assert_eq!(shadow.end().changes(Change::Loosened), 0);
    // The program's word holds for whoever declares the document.
    stage.policies.set_document("roles", ["open"]).unwrap();
    recorder.clear();
    assert!(stage.ask("x"));
    stage.policies.set_document("roles", ["closed"]).unwrap();
    let tightened = |candidate: &ztlib::policies::trial::Candidate| {
        candidate.replay(&recorder.recording()).changes(Change::OtherDenial)
            + candidate.replay(&recorder.recording()).changes(Change::Tightened)
    };
    assert_eq!((tightened(&follows), tightened(&own)), (1, 1));
}

/// A signal that was asked for is the same answer to both; another one is asked by the shadow's
/// thread.
#[test]
fn a_signal_is_asked_once_for_both_where_both_ask() {
    #[derive(Clone, Default)]
    struct Risk(Arc<AtomicUsize>, Arc<AtomicUsize>);
    impl SignalSource for Risk {
        fn signal(&self, name: &str, _: &ztlib::authorize::Caller) -> Result<Option<String>, SignalError> {
            let asked = if name == "risk" { &self.0 } else { &self.1 };
            // Each time another answer.
            Ok(Some(asked.fetch_add(1, Ordering::SeqCst).to_string()))
        }
    }
    let reading = |name: &'static str, also: Option<&'static str>, source: Risk| {
        let decide = move |question: &mut Reader, outcome: &mut Outcome| {
            let risk = support::text(question, Read::Signal("risk".into()))?.unwrap_or_default();
            outcome.set_request_header("x-risk", &risk)?;
            if let Some(also) = also {
                question.read(Read::Signal(also.into()))?;
            }
            Ok(Answer::Allow)
        };
        PolicySetBuilder::new().native(name, By(decide)).signal("risk").signal("posture").signals(source)
    };
    let source = Risk::default();
    let stage = Stage::new(reading("now", None, source.clone()).load().unwrap());
    let candidate = stage.policies.candidate(reading("later", Some("posture"), source.clone())).unwrap();
    let recorder = stage.policies.record(Default::default()).unwrap();
    let shadow = stage.shadow(&candidate);
    for _ in 0..3 {
        assert!(stage.ask("x"));
    }
    judged(&shadow, 3);
    let found = shadow.end();
    assert_eq!((found.judged(), found.differing()), (3, 0), "the header has the same risk: {found}");
    assert_eq!((source.0.load(Ordering::SeqCst), source.1.load(Ordering::SeqCst)), (3, 3));
    // A replay asks nobody.
    let replayed = candidate.replay(&recorder.recording());
    assert_eq!((replayed.judged(), replayed.not_judged()), (0, 3));
    assert_eq!(&*replayed.missing().next().unwrap().read, "signal(\"posture\")");
    assert_eq!((source.0.load(Ordering::SeqCst), source.1.load(Ordering::SeqCst)), (3, 3));
}

#[test]
fn the_reads_that_made_the_difference_are_named() {
    let reading = |name: &str, label: &'static str| {
        let decide = move |question: &mut Reader, _: &mut Outcome| {
            question.read(Read::Label("class".into()))?;
            let there = question.read(Read::Label(label.into()))? != Value::Absent;
            Ok(if there { Answer::Allow } else { Answer::Deny })
        };
        PolicySetBuilder::new().native(name, By(decide))
    };
    let stage = Stage::new(reading("now", "class").load().unwrap());
    let candidate = stage.policies.candidate(reading("later", "owner")).unwrap();
    let shadow = stage.shadow(&candidate);
    let permit = stage.guard.ask(&Principal::anonymous(), "read", Labels::new().with("class", "x")).unwrap();
    judged(&shadow, 1);
    let found = shadow.end();
    let group = found.groups()[0];
    assert_eq!((group.from.verdict(), group.to.verdict(), group.count), (Verdict::Allow, Verdict::Deny, 1));
    assert_eq!(group.example.id, permit.id());
    assert_eq!(group.example.subject, "action read");
    assert_eq!(group.example.reads, ["label(\"owner\")=absent".into()]);
    let text = format!(
        "1 of 1 would change: 1 allow → deny (later: denied)\n  1 × allow → deny (later: denied), as action read ({}): label(\"owner\")=absent",
        permit.id()
    );
    assert_eq!(found.to_string(), text);
}

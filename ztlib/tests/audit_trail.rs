//! What an audit log answers by itself: who did what to which object, in which process, by which
//! revision; and what it has lost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot set itself up has failed"
)]

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde_json::{Value as Json, json};
use ztlib::authenticate::Principal;
use ztlib::authorize::{Answer, Labels, Read, Value};
use ztlib::enforce::{Ask, Guard, Permit};
use ztlib::observe::{AuditEvent, AuditSink as _, JsonLinesSink, Redaction};
use ztlib::policies::PolicySetBuilder;
use ztlib::policies::trial::RecordingRules;

use support::{Events, World, allow, deciding, text};

/// The owner of an order may cancel it; who has its tenant may look.
fn owners() -> ztlib::policies::PolicyStore {
    deciding(|question, outcome| {
        if question.read(Read::Action)? == Value::Absent {
            return Ok(Answer::Allow);
        }
        let (owner, subject) = (text(question, Read::Label("owner".into()))?, text(question, Read::Subject)?);
        question.read(Read::Label("tenant".into()))?;
        if owner == subject {
            return Ok(Answer::Allow);
        }
        outcome.reason("not-yours")?;
        Ok(Answer::Deny)
    })
}

fn lines(events: &Events) -> Vec<Json> {
    events.take().iter().map(|event| serde_json::from_str(&event.to_json()).unwrap()).collect()
}

/// A request of this subject as the handler sees it: with its permit.
async fn permit(world: &World, guard: &Guard, subject: &str) -> Permit {
    let mut request = world.request().await;
    let bearer = format!("Bearer {}", world.token().subject(subject).sign());
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    request.headers_mut().insert("x-request-id", format!("front-{subject}").parse().unwrap());
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.headers_mut().insert("traceparent", parent.parse().unwrap());
    assert_eq!(world.send(guard, request).await.status, 200);
    world.handler.seen().extensions.get::<Permit>().unwrap().clone()
}

/// Nothing but the lines is asked.
#[tokio::test]
async fn the_lines_alone_say_who_cancelled_which_order() {
    let world = World::new();
    let guard = world.guard(owners()).service("shop-orders").instance("pod-7").build();
    let order = |owner: &str| Labels::new().with("owner", owner).with("tenant", "acme");
    for (who, number, owner) in [("alice", "7", "alice"), ("mallory", "7", "alice"), ("bob", "8", "bob")] {
        let permit = permit(&world, &guard, who).await;
        let ask = Ask::new("orders.cancel").object("order", number).labels(order(owner));
        assert_eq!(guard.ask_about(permit.principal(), ask).is_ok(), who == owner);
    }
    let lines = lines(&world.events);
    let by_id: BTreeMap<&str, &Json> =
        lines.iter().map(|line| (line["id"].as_str().unwrap(), line)).collect();
    let cancelled = |line: &&Json| line["action"] == "orders.cancel" && line["verdict"] == "allow";
    let found: Vec<Json> = lines
        .iter()
        .filter(cancelled)
        .map(|line| {
            let request = by_id[line["parent"].as_str().unwrap()];
            json!([line["subject"], line["object"], request["method"], request["path"], request["subject"]])
        })
        .collect();
    assert_eq!(
        found,
        [
            json!(["alice", {"kind": "order", "id": "7"}, "GET", "/orders/7", "alice"]),
            json!(["bob", {"kind": "order", "id": "8"}, "GET", "/orders/7", "bob"]),
        ]
    );
    let asked: Vec<&Json> = lines.iter().filter(|line| line["action"] == "orders.cancel").collect();
    assert_eq!(asked.len(), 3);
    for line in asked {
        let request = by_id[line["parent"].as_str().unwrap()];
        for member in
            ["trace_parent", "request_id", "route", "peer", "issuer", "service", "instance", "revision"]
        {
            assert!(line[member].is_string() && line[member] == request[member], "{member} of {line}");
        }
        assert!(line.get("method").is_none() && line.get("path").is_none(), "it is not a request: {line}");
    }
    assert_eq!(lines[0]["service"], "shop-orders");
    assert_eq!(lines[0]["instance"], "pod-7");
    assert!(lines[0].get("parent").is_none() && lines[0].get("object").is_none());
}

#[tokio::test]
async fn a_batch_names_its_objects_and_its_request_and_a_job_has_none() {
    let world = World::new();
    let guard = world.guard(owners()).build();
    let permit = permit(&world, &guard, "alice").await;
    world.events.take();
    let asks = (0..3).map(|n| Ask::new("orders.read").object("order", n.to_string()));
    assert_eq!(guard.ask_all_about(permit.principal(), asks).len(), 3);
    let of = |events: Vec<AuditEvent>| -> Vec<_> {
        let one = |event: &AuditEvent| (event.object().map(|(_, id)| id.to_owned()), event.parent());
        events.iter().map(one).collect()
    };
    let id = Some(permit.id());
    assert_eq!(
        of(world.events.take()),
        [(Some("0".into()), id), (Some("1".into()), id), (Some("2".into()), id)]
    );
    // Questions without an object name the request all the same, and so does one about the
    // principal of another answer.
    let first = guard.ask(permit.principal(), "orders.read", Labels::new().with("owner", "alice")).unwrap();
    let _ = guard.ask(first.principal(), "orders.read", Labels::new());
    let _ = guard.ask_all(permit.principal(), [("orders.read", Labels::new())]);
    assert_eq!(of(world.events.take()), [(None, id), (None, id), (None, id)]);
    let _ = guard.ask(&Principal::anonymous(), "orders.read", Labels::new());
    assert_eq!(of(world.events.take()), [(None, None)]);
    // Past the bound, too.
    let many = (0..1001).map(|_| Ask::new("orders.read").object("order", "9"));
    let answers = guard.ask_all_about(permit.principal(), many);
    let refusal = answers.last().unwrap().as_ref().unwrap_err();
    assert_eq!((answers.len(), refusal.cause().code()), (1001, "too-many-questions"));
    let last = world.events.take().pop().unwrap();
    assert_eq!((last.reason(), last.parent()), (Some("too-many-questions"), id));
    assert_eq!(
        (last.object(), last.principal().claims().unwrap().subject()),
        (Some(("order", "9")), Some("alice"))
    );
}

#[tokio::test]
async fn what_an_application_names_is_bounded_and_cannot_forge_a_line() {
    let world = World::new();
    let long = "é".repeat(60_000);
    let guard = world.guard(allow()).service(&long).instance("a\n{\"verdict\":\"allow\"}\u{202e}").build();
    let labels = (0..100).fold(Labels::new(), |labels, n| labels.with(format!("{n}{long}"), long.as_str()));
    let ask = Ask::new(long.as_str()).object("a\n\u{1b}[31m", long.as_str()).labels(labels);
    assert!(guard.ask_about(&Principal::anonymous(), ask).is_ok());
    let event = world.events.one();
    let line = event.to_json();
    assert!(line.len() < 64 << 10, "{} bytes", line.len());
    assert!(!line.contains(['\n', '\u{1b}', '\u{202e}']));
    let back: Json = serde_json::from_str(&line).unwrap();
    assert_eq!(back["object"]["kind"], "a\n\u{1b}[31m");
    assert_eq!((event.object().unwrap().1.len(), event.service().unwrap().len()), (512, 128));
    assert_eq!(event.labels().len(), 32);
}

/// Names always; values where the rule shows them; and never a null, of which nobody knows what it
/// stands for.
#[tokio::test]
async fn labels_stand_in_the_event_by_the_rule_of_redaction() {
    let world = World::new();
    let order =
        || Labels::new().with("owner", "alice").with("tenant", "acme-secret").with("unread", "u-secret");
    let shown = |redaction: Redaction| {
        let guard = world.guard(owners()).redaction(redaction).build();
        let _ = guard.ask(&Principal::anonymous(), "orders.cancel", order());
        let event = world.events.one();
        (event.to_json(), format!("{event:?}"))
    };
    let (line, debug) = shown(Redaction::new());
    for secret in ["alice", "acme-secret", "u-secret"] {
        assert!(!line.contains(secret) && !debug.contains(secret), "{secret}: {line} {debug}");
    }
    let back: Json = serde_json::from_str(&line).unwrap();
    assert_eq!(back["labels_hidden"], json!(["owner", "tenant", "unread"]));
    assert!(back.get("labels").is_none() && !line.contains("null"), "{line}");
    assert!(
        back["reads"].as_array().unwrap().contains(&json!({"read": "label(\"owner\")", "value": "(hidden)"}))
    );

    let rule = Redaction::new().show("label(\"owner\")").show("label(\"unread\")");
    let (line, debug) = shown(rule);
    assert!(!line.contains("acme-secret") && !debug.contains("acme-secret"), "{line}");
    let back: Json = serde_json::from_str(&line).unwrap();
    assert_eq!(back["labels"], json!({"owner": "alice", "unread": "u-secret"}));
    assert_eq!(back["labels_hidden"], json!(["tenant"]));
    assert!(
        back["reads"]
            .as_array()
            .unwrap()
            .contains(&json!({"read": "label(\"owner\")", "value": "\"alice\""}))
    );

    // Those of a request, too, also where it is refused at the door.
    let guard = world.guard(allow()).build();
    for spoil in [false, true] {
        let mut request = world.request().await;
        request.extensions_mut().insert(order());
        if spoil {
            request.headers_mut().remove("authorization");
        }
        world.send(&guard, request).await;
        let event = world.events.one();
        assert_eq!(event.labels(), [("owner", None), ("tenant", None), ("unread", None)], "{spoil}");
    }
}

#[tokio::test]
async fn a_recording_names_the_revision_that_the_event_and_the_status_name() {
    let world = World::new();
    let set = |document: &str| {
        let policy = support::By(|_: &mut _, _: &mut _| Ok(Answer::Allow));
        PolicySetBuilder::new()
            .native("all", policy)
            .document("roles", json!({ "a": document }))
            .load()
            .unwrap()
    };
    let policies = set("one");
    let recorder = policies.record(RecordingRules::new()).unwrap();
    let guard = world.guard(policies.clone()).build();
    let mut names = Vec::new();
    // A document is part of the revision.
    for document in ["one", "two"] {
        policies.set_document("roles", json!({ "a": document })).unwrap();
        let permit = permit(&world, &guard, "alice").await;
        guard.ask(permit.principal(), "orders.read", Labels::new()).unwrap();
        let mut text = Vec::new();
        recorder.recording().write(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let records: Vec<Json> =
            text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
        let status = policies.status().revision.to_string();
        let events = lines(&world.events);
        for event in &events {
            let record = records.iter().find(|record| record["id"] == event["id"]).unwrap();
            assert_eq!((&record["judged-by"], &event["revision"]), (&json!(status), &json!(status)));
            assert_eq!(record.get("parent"), event.get("parent"));
        }
        names.push(status);
    }
    assert_ne!(names[0], names[1]);
    // What was recorded under both is evidence about the same policies.
    let candidate = policies.candidate(
        PolicySetBuilder::new().native("all", support::By(|_: &mut _, _: &mut _| Ok(Answer::Allow))),
    );
    let candidate = candidate.unwrap();
    let mut text = Vec::new();
    recorder.recording().write(&mut text).unwrap();
    let read = ztlib::policies::trial::Recording::parse("r".as_ref(), text.as_slice()).unwrap();
    let found = candidate.replay(&read);
    assert_eq!((found.judged(), found.differing()), (4, 0));
    let rule = ztlib::policies::trial::PromotionRule::new(1, Duration::ZERO);
    candidate.check(&rule, &found).unwrap();
}

// The metric of the revision.

/// Keeps the gauges of `ztlib_policy_revision_info`.
#[derive(Default)]
struct Gauges(Mutex<BTreeMap<String, Arc<Level>>>);

#[derive(Default)]
struct Level(AtomicU64);

impl GaugeFn for Level {
    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}
    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::SeqCst);
    }
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        if key.name() != "ztlib_policy_revision_info" {
            return Gauge::noop();
        }
        let revision = key.labels().find(|label| label.key() == "revision").unwrap().value().to_owned();
        Gauge::from_arc(self.0.lock().unwrap().entry(revision).or_default().clone())
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn the_revision_in_force_is_a_metric_and_the_one_before_is_zero() {
    let gauges = Gauges::default();
    let levels = || -> BTreeMap<String, f64> {
        let level = |(name, level): (&String, &Arc<Level>)| {
            (name.clone(), f64::from_bits(level.0.load(Ordering::SeqCst)))
        };
        gauges.0.lock().unwrap().iter().map(level).collect()
    };
    metrics::with_local_recorder(&gauges, || {
        let policy = support::By(|_: &mut _, _: &mut _| Ok(Answer::Allow));
        let set = PolicySetBuilder::new().native("metric", policy).document("roles", json!({}));
        let policies = set.load().unwrap();
        let first = policies.status().revision.to_string();
        assert_eq!(levels(), BTreeMap::from([(first.clone(), 1.0)]));
        policies.set_document("roles", json!({ "a": "b" })).unwrap();
        let second = policies.status().revision.to_string();
        assert_eq!(levels(), BTreeMap::from([(first.clone(), 0.0), (second.clone(), 1.0)]));
        policies.set_document("roles", json!({})).unwrap();
        assert_eq!(levels(), BTreeMap::from([(first, 1.0), (second, 0.0)]));
    });
}

// What is lost.

async fn event(world: &World) -> AuditEvent {
    world.send(&world.guard(allow()).build(), world.request().await).await;
    world.events.one()
}

/// Where each part of an output fails, or panics.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ill {
    Write,
    Short,
    Nothing,
    Flush,
    WritePanics,
    FlushPanics,
    DropPanics,
}

struct Output(Ill, Arc<AtomicBool>);

impl Output {
    fn is(&self, ill: Ill) -> bool {
        self.0 == ill && self.1.load(Ordering::SeqCst)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        assert!(!self.is(Ill::WritePanics), "a bug in the output");
        if self.is(Ill::Write) {
            return Err(std::io::Error::other("the disk is full"));
        }
        if self.is(Ill::Short) && bytes.len() < 10 {
            return Err(std::io::Error::other("the disk is full"));
        }
        Ok(if self.is(Ill::Nothing) {
            0
        } else if self.is(Ill::Short) {
            bytes.len() - 5
        } else {
            bytes.len()
        })
    }

    fn flush(&mut self) -> std::io::Result<()> {
        assert!(!self.is(Ill::FlushPanics), "a bug in the output");
        if self.is(Ill::Flush) { Err(std::io::Error::other("the disk is full")) } else { Ok(()) }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        assert!(!self.is(Ill::DropPanics) || std::thread::panicking(), "a bug in the output");
    }
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn whatever_an_output_does_each_loss_is_counted() {
    let world = World::new();
    let event = event(&world).await;
    for (ill, expected) in [
        (Ill::Write, 200),
        (Ill::Short, 200),
        (Ill::Nothing, 200),
        (Ill::Flush, 200),
        (Ill::WritePanics, 200),
        (Ill::FlushPanics, 200),
        (Ill::DropPanics, 0),
    ] {
        for is_ill in [true, false] {
            let sink = JsonLinesSink::new(Output(ill, Arc::new(AtomicBool::new(is_ill))), 1024);
            (0..200).for_each(|_| sink.record(event.clone()));
            let expected = if is_ill { expected } else { 0 };
            assert_eq!(sink.close(LONG), expected, "{ill:?} {is_ill}");
            // Later ones, and ending it again.
            sink.record(event.clone());
            assert_eq!((sink.lost(), sink.close(LONG)), (expected + 1, expected + 1), "{ill:?} {is_ill}");
        }
    }
}

/// What was flushed before is not counted.
#[tokio::test]
async fn a_flush_that_fails_loses_what_was_written_since_the_last_that_did_not() {
    let world = World::new();
    let event = event(&world).await;
    let ill = Arc::new(AtomicBool::new(false));
    let (flushed, is_flushed) = sync_channel(1000);
    struct Told(Output, SyncSender<()>);
    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            let flushed = self.0.flush();
            let _ = self.1.try_send(());
            flushed
        }
    }
    let sink = JsonLinesSink::new(Told(Output(Ill::Flush, ill.clone()), flushed), 64);
    sink.record(event.clone());
    is_flushed.recv().unwrap();
    ill.store(true, Ordering::SeqCst);
    sink.record(event.clone());
    is_flushed.recv().unwrap();
    ill.store(false, Ordering::SeqCst);
    sink.record(event.clone());
    assert_eq!(sink.close(LONG), 1);
}

/// Stuck until it is let go.
struct Stuck(SyncSender<()>, Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.send(());
        let _ = self.1.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_output_that_does_not_come_back_holds_up_no_end_and_what_it_has_is_counted() {
    let world = World::new();
    let event = event(&world).await;
    let (reached, is_reached) = sync_channel(10);
    let (let_go, go) = sync_channel::<()>(10);
    let sink = JsonLinesSink::new(Stuck(reached, go), 4);
    sink.record(event.clone());
    is_reached.recv().unwrap();
    // One is being written, four wait, and one has no place.
    (0..5).for_each(|_| sink.record(event.clone()));
    assert_eq!(sink.lost(), 1);
    assert_eq!(sink.close(Duration::ZERO), 6);
    sink.record(event.clone());
    // It comes back after all: nothing is counted twice.
    let_go.send(()).unwrap();
    drop(let_go);
    assert_eq!(sink.close(LONG), 7);
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_rotated_gets_each_line_once() {
    let world = World::new();
    let event = event(&world).await;
    let folder = std::env::temp_dir().join(format!("ztlib-audit-trail-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("audit.jsonl");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let written = |name: &str, lines: usize| {
        // The writer looks every few milliseconds.
        while read(name).lines().count() < lines {
            std::thread::yield_now();
        }
    };
    let sink = JsonLinesSink::to_file(&path, 64).unwrap();
    sink.record(event.clone());
    written("audit.jsonl", 1);
    std::fs::rename(&path, folder.join("audit.jsonl.1")).unwrap();
    sink.record(event.clone());
    written("audit.jsonl", 1);
    std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    sink.record(event.clone());
    written("audit.jsonl", 1);
    assert_eq!(sink.close(LONG), 0);
    // A restart appends.
    let sink = JsonLinesSink::to_file(&path, 64).unwrap();
    sink.record(event.clone());
    assert_eq!(sink.close(LONG), 0);
    let line = event.to_json() + "\n";
    assert_eq!((read("audit.jsonl.1"), read("audit.jsonl")), (line.clone(), line.repeat(2)));
    std::fs::remove_dir_all(&folder).unwrap();
}

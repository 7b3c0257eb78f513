//! What is left behind: one honest line a judgement, no secrets, bounded labels.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test"
)]

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use http::{HeaderValue, Uri};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use proptest::prelude::*;
use tower::{Layer as _, ServiceExt as _};
use tracing::field::{Field, Visit};
use tracing::span;
use ztlib::authenticate::Principal;
use ztlib::authorize::{Answer, Labels, Read};
use ztlib::enforce::{Guard, GuardLayer, MatchedRoute};
use ztlib::observe::{AuditEvent, AuditSink, JsonLinesSink, Redaction};

use support::{World, allow, deciding, deny, over_grpc, text};

/// Runs a request to its end on this thread, so that what is thread-local sees all of it.
fn run(world: &World, guard: &Guard, request: http::Request<http_body_util::Full<bytes::Bytes>>) {
    use std::future::Future as _;
    let service = GuardLayer::new(guard.clone()).layer(world.handler.service());
    let mut call = Box::pin(service.oneshot(request));
    let polled = call.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    assert!(polled.is_ready(), "judging waits for nothing");
}

/// Text that a caller would choose to forge a line, hide one, or act on a terminal.
fn hostile_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\r\n"),
        Just("\n{\"verdict\":\"allow\"}"),
        Just("\u{1b}[31m"),
        Just("\u{2028}"),
        Just("\u{2029}"),
        Just("\u{202e}"),
        Just("\u{2066}"),
        Just("\u{feff}"),
        Just("\u{85}"),
        Just("\u{9b}"),
        Just("\u{7f}"),
        Just("\0"),
        Just("\""),
        Just("\\"),
        Just("\\u000a"),
        Just("a"),
        Just("é"),
        Just("𝔸"),
        Just(" "),
        Just("%0A"),
        Just("`"),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// A line that nothing in it can break, hide or colour.
fn is_one_harmless_line(line: &str) -> bool {
    line.chars().all(|c| !c.is_control() && !matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'))
}

/// What of the event a line must give back as it was.
fn check_line(event: &AuditEvent) -> serde_json::Value {
    let line = event.to_json();
    assert!(is_one_harmless_line(&line), "{line:?}");
    let back: serde_json::Value = serde_json::from_str(&line).unwrap();
    let claims = event.principal().claims();
    for (member, expected) in [
        ("id", Some(&*event.id().to_string())),
        ("verdict", Some(event.verdict().as_str())),
        ("reason", event.reason()),
        ("detail", event.detail()),
        ("policy", event.policy()),
        ("subject", claims.and_then(|claims| claims.subject())),
        ("issuer", claims.map(|claims| claims.issuer())),
        ("action", event.action()),
        ("method", event.method().map(http::Method::as_str)),
        ("host", event.host()),
        ("path", event.path()),
        ("route", event.route()),
        ("request_id", event.request_id()),
        ("trace_parent", event.trace_parent()),
    ] {
        assert_eq!(back.get(member).and_then(|value| value.as_str()), expected, "{member} of {line}");
    }
    assert_eq!(back["enforced"], event.enforced());
    assert_eq!(back.get("log").map_or(0, |log| log.as_array().unwrap().len()), event.log().len());
    for (shown, (policy, text)) in
        back.get("log").and_then(|log| log.as_array()).into_iter().flatten().zip(&event.log())
    {
        assert_eq!((shown["policy"].as_str(), shown["line"].as_str()), (Some(&**policy), Some(&**text)));
    }
    back
}

#[test]
fn each_judgement_is_one_line_that_parses_back_equal_whatever_callers_send() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = World::new();
    let peer = runtime.block_on(world.frontend());
    let guard = world.guard(deciding(|question, outcome| {
        let subject = text(question, Read::Subject)?.unwrap_or_default();
        question.read(Read::ClaimString("/note".into()))?;
        question.read(Read::Path)?;
        outcome.log(&subject)?;
        Ok(if subject.len() % 2 == 0 { Answer::Allow } else { Answer::Deny })
    }));
    let guard = guard.redaction(Redaction::new().show("claim-string(\"/note\")")).build();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let cases = (hostile_text(), hostile_text(), hostile_text(), hostile_text(), 0_u8..4);
    runner
        .run(&cases, |(subject, path, kid, note, kind)| {
            let mut request = world.request_of(&peer);
            let token = world.token().subject(&subject).claim("note", &note);
            let token = match kind {
                0 => token.header("kid", &kid).sign(),
                1 => token.claim("iss", &kid).sign(),
                _ => token.sign(),
            };
            if let Ok(bearer) = HeaderValue::try_from(format!("Bearer {token}")) {
                request.headers_mut().insert("authorization", bearer);
            }
            // What the URI type lets through is what a caller can send.
            if let Ok(uri) = format!("/orders/{path}").parse::<Uri>() {
                *request.uri_mut() = uri;
            }
            if let Ok(id) = HeaderValue::try_from(&note) {
                request.headers_mut().insert("x-request-id", id);
            }
            let request = if kind == 3 { over_grpc(request) } else { request };
            run(&world, &guard, request);
            let back = check_line(&world.events.one());
            prop_assert_eq!(back["route"].as_str(), Some("/orders/{id}"));
            // A question of the application's own too.
            let labels = Labels::new().with("owner", subject.as_str());
            let _ = guard.ask(&Principal::anonymous(), &path, labels);
            check_line(&world.events.one());
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn a_line_says_who_what_the_decision_and_why() {
    let world = World::new();
    let guard = world.guard(deciding(|question, outcome| {
        question.read(Read::Route)?;
        question.read(Read::HasScope("orders:write".into()))?;
        question.read(Read::ClaimString("/card".into()))?;
        outcome.reason("no-role")?;
        Ok(Answer::Deny)
    }));
    let mut request = world.request().await;
    let token = world.token().claim("card", "4111-1111").sign();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request.headers_mut().insert("x-request-id", HeaderValue::from_static("front-7"));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.headers_mut().insert("traceparent", HeaderValue::from_static(parent));
    *request.uri_mut() = "/orders/7?access_token=hush".parse().unwrap();
    world.send(&guard.build(), request).await;
    let back = check_line(&world.events.one());
    for (member, expected) in [
        ("verdict", "deny"),
        ("reason", "no-role"),
        ("policy", "test"),
        ("peer", support::FRONTEND),
        ("subject", "alice"),
        ("issuer", "https://id.example"),
        ("method", "GET"),
        ("host", "shop.test"),
        ("path", "/orders/7"),
        ("route", "/orders/{id}"),
        ("request_id", "front-7"),
        ("trace_parent", parent),
        ("detail", "policy `test` denied: no-role"),
    ] {
        assert_eq!(back[member], expected, "{member}");
    }
    assert_eq!(back["time"], 1_767_225_600_000_u64);
    assert_eq!(back["peer_fingerprint"].as_str().unwrap().len(), 64);
    let reads: Vec<_> = back["reads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|read| (read["read"].as_str().unwrap(), read["value"].as_str()))
        .collect();
    assert_eq!(
        reads,
        [
            ("route", Some("\"/orders/{id}\"")),
            ("has-scope(\"orders:write\")", Some("no")),
            ("claim-string(\"/card\")", Some("(hidden)")),
        ]
    );
    assert!(!back.to_string().contains("4111") && !back.to_string().contains("hush"));
}

#[tokio::test]
async fn a_malformed_trace_parent_or_request_id_is_left_out() {
    let world = World::new();
    let guard = world.guard(allow()).build();
    let long = "x".repeat(129);
    for (name, value) in [
        ("traceparent", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"),
        ("traceparent", "garbage"),
        ("x-request-id", ""),
        ("x-request-id", long.as_str()),
        ("x-request-id", "é"),
    ] {
        let mut request = world.request().await;
        request
            .headers_mut()
            .insert(http::HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        world.send(&guard, request).await;
        let event = world.events.one();
        assert_eq!((event.trace_parent(), event.request_id()), (None, None), "{name}: {value}");
    }
}

// The sink.

/// Blocks in its first write until it is let go; counts lines.
struct Blocked {
    reached: SyncSender<()>,
    go: Receiver<()>,
    waited: bool,
    lines: Arc<Mutex<Vec<u8>>>,
}

impl Write for Blocked {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if !self.waited {
            self.waited = true;
            self.reached.send(()).unwrap();
            let _ = self.go.recv();
        }
        self.lines.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_writer_that_blocks_delays_no_request_and_every_loss_is_counted() {
    let world = World::new();
    world.send(&world.guard(deny()).build(), world.request().await).await;
    let event = world.events.one();
    let (reached, is_reached) = sync_channel(1);
    let (let_go, go) = sync_channel(1);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = JsonLinesSink::new(Blocked { reached, go, waited: false, lines: lines.clone() }, 4);
    sink.record(event.clone());
    is_reached.recv().unwrap();
    // The writer is stuck in the first event: four more are kept, and nobody waits for the rest.
    for _ in 0..100 {
        sink.record(event.clone());
    }
    assert_eq!(sink.lost(), 96);
    let_go.send(()).unwrap();
    drop(sink);
    let written = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    assert_eq!(written.lines().count(), 5, "what was queued is written at the end");
    assert!(written.lines().all(|line| line == event.to_json()) && written.ends_with('\n'));
}

struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("the disk is full"))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Panics;

impl Write for Panics {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        panic!("a bug in the output")
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_output_that_fails_or_panics_loses_events_and_counts_them() {
    let world = World::new();
    world.send(&world.guard(deny()).build(), world.request().await).await;
    let event = world.events.one();
    let sink = JsonLinesSink::new(Broken, 16);
    for _ in 0..8 {
        sink.record(event.clone());
    }
    while sink.lost() < 8 {
        std::thread::yield_now();
    }
    // Where the writer is gone, recording still neither blocks nor panics.
    let sink = JsonLinesSink::new(Panics, 2);
    while sink.lost() < 8 {
        sink.record(event.clone());
    }
}

/// Takes ten bytes of its first line, fails once, and is well again: a disk that was full for a
/// moment.
struct Hiccup {
    writes: usize,
    lines: Arc<Mutex<Vec<u8>>>,
}

impl Write for Hiccup {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.writes += 1;
        if self.writes == 2 {
            return Err(std::io::Error::other("the disk is full"));
        }
        let taken = if self.writes == 1 { 10 } else { bytes.len() };
        self.lines.lock().unwrap().extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_line_that_was_cut_off_takes_no_other_with_it() {
    let world = World::new();
    world.send(&world.guard(deny()).build(), world.request().await).await;
    let event = world.events.one();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = JsonLinesSink::new(Hiccup { writes: 0, lines: lines.clone() }, 16);
    for _ in 0..3 {
        sink.record(event.clone());
    }
    while sink.lost() < 1 {
        std::thread::yield_now();
    }
    drop(sink);
    let written = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    let whole = written.lines().filter(|line| *line == event.to_json()).count();
    assert_eq!(whole, 2, "one was lost, and counted:\n{written}");
}

/// Waits until it is let go, and panics.
struct PanicsLater(SyncSender<()>, Receiver<()>);

impl Write for PanicsLater {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.send(());
        let _ = self.1.recv();
        panic!("a bug in the output")
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
#[allow(
    clippy::disallowed_methods,
    reason = "how long a panic takes to be told is not a matter of the fake clock"
)]
async fn what_waited_for_a_writer_that_panics_is_counted_as_lost() {
    let world = World::new();
    world.send(&world.guard(deny()).build(), world.request().await).await;
    let event = world.events.one();
    let (reached, is_reached) = sync_channel(1);
    let (let_go, go) = sync_channel(1);
    let sink = JsonLinesSink::new(PanicsLater(reached, go), 64);
    sink.record(event.clone());
    is_reached.recv().unwrap();
    for _ in 0..9 {
        sink.record(event.clone());
    }
    drop(let_go);
    // None of the ten was written. (Bounded, so that the test can fail; a panic takes its time to
    // be told.)
    let begun = std::time::Instant::now();
    while sink.lost() < 10 && begun.elapsed() < std::time::Duration::from_secs(20) {
        std::thread::yield_now();
    }
    assert_eq!(sink.lost(), 10);
}

/// A method is any token, and callers choose it; it is in the event of a request that is refused at
/// the door, too.
#[tokio::test]
async fn a_long_method_makes_no_long_event() {
    let world = World::new();
    let guard = world.guard(deny()).build();
    for good in [true, false] {
        let mut request = world.request().await;
        *request.method_mut() = http::Method::from_bytes(&[b'M'; 60_000]).unwrap();
        if !good {
            request.headers_mut().remove("authorization");
        }
        world.send(&guard, request).await;
        let event = world.events.one();
        assert!(event.method().unwrap().as_str().len() <= 512);
        assert!(event.to_json().len() < 4096, "{} bytes", event.to_json().len());
    }
}

/// An action is what the application makes it, perhaps of what callers send.
#[tokio::test]
async fn a_long_action_makes_no_long_event() {
    let world = World::new();
    let guard = world.guard(deny()).build();
    let action = "é".repeat(30_000);
    assert!(guard.ask(&Principal::anonymous(), &action, Labels::new()).is_err());
    let event = world.events.one();
    assert!(event.action().unwrap().len() <= 512 && action.starts_with(event.action().unwrap()));
    assert!(event.to_json().len() < 4096, "{} bytes", event.to_json().len());
    let many = (0..=ztlib::enforce::MAX_QUESTIONS).map(|_| (action.as_str(), Labels::new()));
    assert!(guard.ask_all(&Principal::anonymous(), many).iter().all(Result::is_err));
    assert!(world.events.take().iter().all(|event| event.to_json().len() < 4096));
}

// Secrets.

/// Keeps everything that is traced, at every level, as raw as a careless subscriber would print it.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl Visit for Everything {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.lock().unwrap().push_str(&format!(" {field}={value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.lock().unwrap().push_str(&format!(" {field}={value:?}"));
    }
}

impl tracing::Subscriber for Everything {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        attributes.record(&mut self.clone());
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        self.0.lock().unwrap().push_str(event.metadata().target());
        event.record(&mut self.clone());
        self.0.lock().unwrap().push('\n');
    }

    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

impl Everything {
    /// To listen on one thread. Beside it stands a subscriber for the whole process, which wants
    /// nothing and is asked every time: otherwise a test on another thread, with no subscriber,
    /// could settle that nobody ever wants an event.
    fn listening() -> Self {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| tracing::subscriber::set_global_default(Nothing).unwrap());
        Self::default()
    }
}

struct Nothing;

impl tracing::Subscriber for Nothing {
    fn register_callsite(&self, _: &'static tracing::Metadata<'static>) -> tracing::subscriber::Interest {
        tracing::subscriber::Interest::sometimes()
    }

    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// The sink that also keeps the lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<String>>);

impl AuditSink for Lines {
    fn record(&self, event: AuditEvent) {
        let mut lines = self.0.lock().unwrap();
        lines.push_str(&event.to_json());
        lines.push_str(&format!("\n{event:?}\n"));
    }
}

#[test]
fn no_token_key_or_cookie_is_in_any_output() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let traced = Everything::listening();
    let lines = Lines::default();
    let mut told = String::new();
    let mut secrets = Vec::new();
    tracing::subscriber::with_default(traced.clone(), || {
        let world = World::new();
        let leaf = world.mesh.issue_spiffe(support::FRONTEND);
        let peer = runtime
            .block_on(ztlib_testing::peer_extensions(&world.trust, Some(&leaf), world.clock.clone()))
            .unwrap();
        let tokens = world.tokens().or_cookie("session").unwrap();
        let policies = deciding(|question, outcome| {
            question.read(Read::ClaimString("/secret".into()))?;
            question.read(Read::Query("access_token".into()))?;
            question.read(Read::HeaderValues("x-api-key".into()))?;
            match text(question, Read::Subject)?.as_deref() {
                Some("alice") => Ok(Answer::Allow),
                Some("faulty") => Ok(question.read(Read::Header("cookie".into())).map(|_| Answer::Allow)?),
                _ => {
                    outcome.reason("no-role")?;
                    Ok(Answer::Deny)
                }
            }
        });
        let guard = Guard::builder().peers(world.peers()).tokens(tokens.clone()).policies(policies);
        let guard = guard.clock(world.clock.clone()).audit(lines.clone()).build();
        let mut tokens_sent = vec!["hunter2".to_owned()];
        let token = |subject: &str| world.token().subject(subject).claim("secret", "claim-of-a-secret");
        for token in [
            token("alice").sign(),
            token("bob").sign(),
            token("faulty").sign(),
            token("alice").expired().sign(),
            token("alice").signed_by_unknown_key().sign(),
            token("alice").header("kid", "k9").sign(),
            token("alice").unsigned().sign(),
            token("alice").raw_claims("{\"sub\":\"x\",\"sub\":\"y\"}").sign(),
            "hunter2-as-a-token".to_owned(),
        ] {
            for place in ["authorization", "cookie", "both"] {
                let mut request = world.request_of(&peer);
                request.headers_mut().remove("authorization");
                if place != "cookie" {
                    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
                }
                if place != "authorization" {
                    request
                        .headers_mut()
                        .insert("cookie", format!("a=hunter2; session={token}").parse().unwrap());
                }
                request.headers_mut().insert("x-api-key", HeaderValue::from_static("hunter2"));
                request
                    .headers_mut()
                    .insert("proxy-authorization", HeaderValue::from_static("Basic hunter2"));
                *request.uri_mut() = format!("/orders/7?access_token={}", "hunter2").parse().unwrap();
                let grpc = over_grpc(request.clone());
                for request in [request, grpc] {
                    let answer = runtime.block_on(world.send(&guard, request));
                    told.push_str(&format!(
                        "{:?} {} {:?}",
                        answer.headers,
                        String::from_utf8_lossy(&answer.body),
                        answer.refusal
                    ));
                    if let Some(refusal) = &answer.refusal {
                        told.push_str(&refusal.cause().to_string());
                    }
                }
            }
            tokens_sent.push(token);
        }
        // A certificate that is refused, and one that is malformed.
        let foreign = ztlib::authenticate::peer::PeerCertificates::foreign(leaf.chain());
        let mut request = world.request_of(&peer);
        request.extensions_mut().insert(foreign);
        runtime.block_on(world.send(&guard, request));
        told.push_str(&format!(
            "{:?} {guard:?} {tokens:?} {:?} {:?} {:?}",
            peer,
            world.peers(),
            world.trust,
            world.id
        ));
        let permit = world.handler.seen().extensions.get::<ztlib::enforce::Permit>().unwrap().clone();
        told.push_str(&format!("{permit:?} {:?}", permit.principal()));

        for token in tokens_sent {
            // A token is a secret as a whole, and so are its signature and what it says.
            secrets.extend(token.split('.').skip(1).filter(|part| part.len() > 8).map(str::to_owned));
            secrets.push(token);
        }
        secrets.push("claim-of-a-secret".to_owned());
        let body_of_pem = |pem: String| pem.lines().nth(1).unwrap().to_owned();
        secrets.push(body_of_pem(leaf.key_pem()));
        secrets.push(body_of_pem(leaf.chain_pem()));
    });
    let traced = traced.0.lock().unwrap().clone();
    let lines = lines.0.lock().unwrap().clone();
    assert!(
        traced.contains("ztlib::audit")
            && traced.contains("ztlib::refusal")
            && traced.contains("token-expired"),
        "{traced}"
    );
    assert!(
        lines.contains("token-signature")
            && lines.contains("read-secret")
            && lines.contains("\"verdict\":\"allow\"")
    );
    for secret in &secrets {
        for (output, text) in [("tracing", &traced), ("audit", &lines), ("answers and Debug", &told)] {
            let found = text.find(secret.as_str()).map(|at| {
                text[..at].chars().rev().take(200).collect::<String>().chars().rev().collect::<String>()
            });
            assert!(found.is_none(), "a secret in {output}, after: {}", found.unwrap());
        }
    }
}

#[test]
fn text_of_callers_cannot_forge_or_hide_a_line_of_any_subscriber() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let traced = Everything::listening();
    tracing::subscriber::with_default(traced.clone(), || {
        let world = World::new();
        let peer = runtime.block_on(world.frontend());
        let guard = world.guard(deny()).build();
        for hostile in
            ["\r\nztlib::audit verdict=allow", "\u{1b}[2K", "\u{2028}x", "\u{202e}x", "\u{85}x", "\u{9b}31m"]
        {
            let mut request = world.request_of(&peer);
            let token = world.token().subject(hostile).claim("iss", world.id.name()).sign();
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
            if let Ok(uri) = format!("/shop.Orders/{hostile}").parse::<Uri>() {
                *request.uri_mut() = uri;
            }
            // The route of a gRPC call is its path.
            request.extensions_mut().insert(MatchedRoute::new(format!("/shop.Orders/{hostile}")));
            run(&world, &guard, request);
            let mut unknown_key = world.request_of(&peer);
            let token = world.token().header("kid", hostile).sign();
            unknown_key.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
            run(&world, &guard, unknown_key);
            let _ = guard.ask(&Principal::anonymous(), hostile, Labels::new());
        }
    });
    let traced = traced.0.lock().unwrap().clone();
    assert!(traced.lines().count() > 30);
    for line in traced.lines() {
        assert!(is_one_harmless_line(line), "{line:?}");
        assert!(line.starts_with("ztlib::"), "a line that nobody wrote: {line:?}");
    }
}

// Metrics.

/// Keeps the name and the labels of every series.
#[derive(Default)]
struct Series(Mutex<BTreeSet<String>>);

impl Series {
    fn keep(&self, key: &Key) {
        self.0.lock().unwrap().insert(key.to_string());
    }
}

impl Recorder for Series {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.keep(key);
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.keep(key);
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.keep(key);
        Histogram::noop()
    }
}

#[test]
fn the_series_of_metrics_stay_the_same_under_ten_thousand_random_requests() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = World::new();
    let peer = runtime.block_on(world.frontend());
    let guard = world.guard(deciding(|question, outcome| {
        match text(question, Read::Path)?.unwrap_or_default().len() % 3 {
            0 => Ok(Answer::Allow),
            1 => Ok(question.read(Read::Header("cookie".into())).map(|_| Answer::Allow)?),
            _ => {
                outcome.reason("no-role")?;
                Ok(Answer::Deny)
            }
        }
    }));
    let guard = guard.build();
    let good: Vec<_> = (0..20).map(|n| world.token().subject(&format!("user-{n}")).sign()).collect();
    let series = Series::default();
    let mut early = BTreeSet::new();
    metrics::with_local_recorder(&series, || {
        for n in 0..10_000_u32 {
            // Cheap, fixed randomness: a different path, subject, kid, host, method and id each
            // time.
            let random = u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut request = world.request_of(&peer);
            *request.uri_mut() =
                format!("/orders/{}", "x".repeat((random % 7) as usize + 1) + &random.to_string())
                    .parse()
                    .unwrap();
            *request.method_mut() = http::Method::from_bytes(format!("M{random}").as_bytes()).unwrap();
            request.headers_mut().insert("host", format!("h{random}.test").parse().unwrap());
            request.headers_mut().insert("x-request-id", format!("{random}").parse().unwrap());
            let bearer = match n % 5 {
                0 => format!("Bearer {random}"),
                1 => format!("Scheme{random} x"),
                2 => format!("Bearer a{random}.b.c"),
                _ => format!("Bearer {}", good[n as usize % good.len()]),
            };
            request.headers_mut().insert("authorization", bearer.parse().unwrap());
            request.extensions_mut().insert(MatchedRoute::new(format!("/{random}")));
            run(&world, &guard, request);
            if n == 499 {
                early = series.0.lock().unwrap().clone();
            }
        }
    });
    let late = series.0.into_inner().unwrap();
    assert_eq!(late, early, "a series that a caller chose");
    assert!((6..=24).contains(&late.len()), "{late:#?}");
    assert!(
        late.iter().any(|series| series.contains("no-role"))
            && late.iter().any(|series| series.contains("read-secret")),
        "{late:#?}"
    );
    assert_eq!(world.events.take().len(), 10_000);
}

/// Handles are kept by a recorder's address, and the next one may lie where the last one lay.
#[test]
fn a_recorder_in_the_place_of_another_counts_remembered_allows_too() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = World::new();
    let peer = runtime.block_on(world.frontend());
    let all = include_bytes!("../../plugins/artifacts/allow-all.wasm").as_slice();
    let policies = ztlib::policies::PolicySetBuilder::new().component("all", all).load().unwrap();
    let guard = world.guard(policies).build();
    run(&world, &guard, world.request_of(&peer));
    let mut places = BTreeSet::new();
    for turn in 0..3 {
        let series = Series::default();
        places.insert(std::ptr::from_ref(&series).addr());
        metrics::with_local_recorder(&series, || run(&world, &guard, world.request_of(&peer)));
        let seen = series.0.into_inner().unwrap();
        assert!(
            seen.iter().any(|one| one.contains("ztlib_judgements_total")),
            "turn {turn}: {places:?} {seen:?}"
        );
    }
}

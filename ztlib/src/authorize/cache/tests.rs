//! Tests of what only the crate itself can see: limits and sites.
//! `ztlib/tests/cached_equals_fresh.rs` shows that a cached decision is what a fresh evaluation
//! returns, whatever changes.

mod bounds;
mod every_input;
mod flood;
mod usefulness;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Request;
use serde_json::{Value as Json, json};
use ztlib_testing::TokenIssuer;

use super::*;
use crate::authenticate::Principal;
use crate::authenticate::token::{Algorithm, BearerToken, Issuer, KeySet, TokenVerifier, VerifiedClaims};
use crate::authorize::{Labels, Params, RequestFacts, SignalError, SignalSource, Target, next_change};
use crate::policies::PolicySetBuilder;
use crate::policies::PolicyStore;
use ztlib_contract::Budget;

const START: u64 = 1_795_392_000;

/// A random number generator without a library (xorshift64*): the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides
    }

    fn pick<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.roll(of.len())]
    }
}

/// Signals that the test changes or makes fail.
#[derive(Clone, Default)]
struct Feed(Arc<Mutex<BTreeMap<&'static str, Option<String>>>>);

impl SignalSource for Feed {
    fn signal(&self, name: &str, _: &crate::authorize::Caller) -> Result<Option<String>, SignalError> {
        match self.0.lock().unwrap().get(name) {
            None => Err(SignalError::new("down")),
            Some(value) => Ok(value.clone()),
        }
    }
}

fn probe() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/artifacts/probe.wasm");
    std::fs::read(path).unwrap()
}

/// Calls of a policy. Their arguments come from small pools, so that questions repeat. Some fail
/// for some questions, and some for all.
fn call(dice: &mut Dice) -> Json {
    const CALLS: &[(&str, &[&str])] = &[
        ("action", &[]),
        ("method", &[]),
        ("host", &[]),
        ("path", &[]),
        ("route", &[]),
        ("param", &["id"]),
        ("path-matches", &["/orders/*"]),
        ("path-matches", &["/**"]),
        ("header", &["x-a"]),
        ("header", &["x-b"]),
        ("has-header", &["x-a"]),
        ("header-values", &["x-a"]),
        ("header-names", &[]),
        ("query", &["q"]),
        ("label", &["class"]),
        ("label", &["owner"]),
        ("has-peer", &[]),
        ("peer-spiffe-id", &[]),
        ("peer-matches", &["spiffe://td/**"]),
        ("has-token", &[]),
        ("from-home-issuer", &[]),
        ("issuer", &[]),
        ("subject", &[]),
        ("has-scope", &["read"]),
        ("has-scope", &["write"]),
        ("scopes", &[]),
        ("has-audience", &["shop"]),
        ("claim-string", &["/tenant"]),
        ("claim-int", &["/level"]),
        ("claim-bool", &["/staff"]),
        ("claim-json", &["/roles"]),
        ("claim-contains", &["/roles", "admin"]),
        ("claim-contains", &["/roles", "viewer"]),
        ("authenticated-within", &["60"]),
        ("uses-method", &["mfa"]),
        ("acr-is", &["high"]),
        ("remote-ip", &[]),
        ("remote-ip-in", &["10.0.0.0/8"]),
        ("before", &["1795392030"]),
        ("before", &["1795392100"]),
        ("before-claim", &["/until"]),
        ("in-window", &["mon 00:00-00:02"]),
        ("now", &[]),
        ("signal", &["risk"]),
        ("signal-at-least", &["risk", "3"]),
        ("data-string", &["roles", "/level/{subject}"]),
        ("data-json", &["roles", "/users/{subject}"]),
        ("data-contains", &["roles", "/users/{subject}", "admin"]),
        ("data-contains", &["roles", "/owners/{param:id}", "alice"]),
        ("data-contains", &["roles", "/tenants/{claim:/tenant}", "{peer}"]),
        ("data-contains", &["roles", "/of/{issuer}/{subject}", "admin"]),
    ];
    let (name, arguments) = *dice.pick(CALLS);
    json!({ "call": name, "with": arguments })
}

/// What a policy attaches. Some of it is only valid with one of the answers.
fn attach(dice: &mut Dice) -> Json {
    const CALLS: &[(&str, &[&str])] = &[
        ("reason", &["one"]),
        ("reason", &["two"]),
        ("message", &["ask the owner"]),
        ("challenge-step-up", &["high", "60"]),
        ("set-request-header", &["x-tenant", "acme"]),
        ("remove-request-header", &["x-a"]),
        ("set-response-header", &["x-seen", "yes"]),
        ("copy-to-request-header", &["x-user", "{subject}"]),
        ("copy-to-request-header-or-remove", &["x-tenant", "{claim:/tenant}"]),
        ("copy-to-request-header-or-remove", &["x-a", "{header:x-b}"]),
        ("copy-to-response-header-or-remove", &["x-class", "{label:class}"]),
        ("copy-to-response-header", &["x-id", "{request-id}"]),
    ];
    let (name, arguments) = *dice.pick(CALLS);
    json!({ "call": name, "with": arguments })
}

/// A random program: a tree of reads with answers at its leaves.
fn program(dice: &mut Dice, depth: usize) -> Json {
    let mut calls: Vec<Json> = (0..dice.roll(2)).map(|_| call(dice)).collect();
    if depth == 0 || dice.roll(5) == 0 {
        calls.extend((0..dice.roll(3)).map(|_| attach(dice)));
        let answer = ["allow", "allow", "deny", "abstain"][dice.roll(4)];
        return json!({ "do": calls, "answer": answer });
    }
    let ask = call(dice);
    json!({ "do": calls, "if": ask, "then": program(dice, depth - 1), "else": program(dice, depth - 1) })
}

fn set(dice: &mut Dice, component: &[u8], feed: &Feed) -> PolicySetBuilder {
    let mut builder =
        PolicySetBuilder::new().signal("risk").signals(feed.clone()).document("roles", document(dice));
    for name in ["first", "second", "third"].iter().take(1 + dice.roll(3)) {
        let depth = 1 + dice.roll(3);
        builder = builder.component(name, component).reasons(["one", "two"]);
        builder = builder.config(json!({ "log": false, "decide": program(dice, depth) }));
        if dice.roll(2) == 0 {
            builder = builder.may_abstain();
        }
    }
    builder
}

fn document(dice: &mut Dice) -> Json {
    let roles = |dice: &mut Dice| json!(*dice.pick(&[&["admin"][..], &["viewer"], &[]]));
    let owner = ["alice", "bob"][dice.roll(2)];
    json!({
        "users": { "alice": roles(dice), "bob": roles(dice) },
        "level": { "alice": if dice.roll(4) == 0 { json!(7) } else { json!("gold") } },
        "owners": { "7": owner },
        "tenants": { "acme": {} },
    })
}

/// Claims of some users, made once since signatures are slow.
fn people() -> Vec<Option<VerifiedClaims>> {
    let now = UNIX_EPOCH + Duration::from_secs(START);
    let id = TokenIssuer::new("https://id.example");
    let keys = KeySet::from_jwks(&id.jwks()).unwrap();
    let issuer = Issuer::new(id.name()).audience("shop").algorithms([Algorithm::ES256]).keys(keys);
    let verifier = TokenVerifier::builder().issuer(issuer).build().unwrap();
    let token = |subject: &str| id.token_at(now).subject(subject).audience("shop");
    let ago = |seconds| Duration::from_secs(seconds);
    let tokens = [
        token("alice")
            .scope("read")
            .claim("roles", ["admin"])
            .claim("tenant", "acme")
            .claim("until", START + 50),
        token("alice").scope("write").claim("roles", ["viewer"]).claim("level", 3).authenticated_ago(ago(10)),
        token("bob").scope("read write").claim("roles", "viewer").claim("tenant", 7).claim("staff", true),
        token("bob")
            .claim("amr", ["mfa"])
            .claim("acr", "high")
            .authenticated_ago(ago(30))
            .claim("until", "soon"),
    ];
    let verify = |token: ztlib_testing::TokenDraft<'_>| {
        verifier.verify(&BearerToken::new(&token.sign()).unwrap(), now).unwrap()
    };
    tokens.into_iter().map(verify).map(Some).chain([None]).collect()
}

/// A question that can be asked twice: the judging code takes ownership.
#[derive(Clone)]
struct Sketch {
    claims: Option<VerifiedClaims>,
    ip: Option<std::net::IpAddr>,
    action: bool,
    method: &'static str,
    route: Option<&'static str>,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    labels: Vec<(&'static str, &'static str)>,
    now: SystemTime,
}

impl Sketch {
    fn random(dice: &mut Dice, people: &[Option<VerifiedClaims>], now: SystemTime) -> Self {
        let (path, route) = *dice.pick(&[
            ("/orders/7", Some("/orders/{id}")),
            ("/orders/8?q=a", Some("/orders/{id}")),
            ("/health", Some("/health")),
            ("/other?q=a&q=b", None),
        ]);
        let headers = [("x-a", "1"), ("x-a", "2"), ("x-b", "1"), ("x-secret", "s")];
        let labels = [("class", "public"), ("class", "secret"), ("owner", "alice")];
        Self {
            claims: dice.pick(people).clone(),
            ip: [None, Some([10, 0, 0, 1].into()), Some([192, 0, 2, 1].into())][dice.roll(3)],
            action: dice.roll(5) == 0,
            method: ["GET", "GET", "DELETE", "BREW"][dice.roll(4)],
            route,
            path,
            headers: headers.into_iter().filter(|_| dice.roll(3) == 0).collect(),
            labels: labels.into_iter().filter(|_| dice.roll(3) == 0).collect(),
            now,
        }
    }

    fn question(&self) -> Box<Question> {
        let principal = Principal::new(None, self.claims.clone()).from_address(self.ip);
        let labels =
            self.labels.iter().fold(Labels::new(), |labels, (name, value)| labels.with(*name, *value));
        if self.action {
            return Box::new(Question::new(
                principal.facts(),
                Asked::Action("orders.cancel".into()),
                labels,
                self.now,
            ));
        }
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        let mut params = Params::default();
        if self.route == Some("/orders/{id}") {
            params.push("id", "7");
        }
        let facts = RequestFacts {
            parts: Box::new(request.body(()).unwrap().into_parts().0),
            target: Target::new("shop.example", self.path.split('?').next().unwrap()),
            route: self.route.map(Into::into),
            params,
        };
        Box::new(Question::new(principal.facts(), Asked::Request(facts), labels, self.now))
    }
}

/// A set with one policy that makes these calls and then allows.
fn allowing_after(calls: &Json, feed: impl SignalSource) -> PolicyStore {
    // How much wall-clock time passes depends on the load of the machine.
    let mut patient = Budget::default();
    patient.wall_clock = Budget::maximum().wall_clock;
    let set = PolicySetBuilder::new().signal("risk").signals(feed).component("probe", probe());
    let set = set.budget(patient);
    set.config(json!({ "decide": { "do": calls, "answer": "allow" } })).load().unwrap()
}

fn sketch() -> Sketch {
    Sketch {
        claims: None,
        ip: None,
        action: false,
        method: "GET",
        route: None,
        path: "/orders/7",
        headers: Vec::new(),
        labels: Vec::new(),
        now: UNIX_EPOCH + Duration::from_secs(START),
    }
}

fn at_route(route: &str) -> Box<Question> {
    let mut question = sketch().question();
    if let Asked::Request(facts) = &mut question.asked {
        facts.route = Some(route.into());
    }
    question
}

/// Answers once, then panics.
struct Breaks(std::sync::atomic::AtomicBool);

impl SignalSource for Breaks {
    fn signal(&self, _: &str, _: &crate::authorize::Caller) -> Result<Option<String>, SignalError> {
        assert!(!self.0.swap(true, std::sync::atomic::Ordering::SeqCst), "the feed broke");
        Ok(Some("3".to_owned()))
    }
}

#[test]
fn a_source_of_signals_that_panics_in_a_look_up_is_a_fault_and_no_panic() {
    let feed = Breaks(std::sync::atomic::AtomicBool::new(false));
    let policies = allowing_after(&json!([{ "call": "signal", "with": ["risk"] }]), feed);
    let cache = DecisionCache::new(CacheLimits::default());
    let view = policies.current();
    assert!(cache.decide(&view, *sketch().question()).result.is_ok());
    let decided = cache.decide(&view, *sketch().question());
    assert_eq!(decided.result.unwrap_err().code(), "panicked");
    assert!(!decided.cached);
}

/// A source of signals may panic for reads that only other questions make: the look-up and the
/// storing meet the panic, the policies do not.
#[test]
fn a_source_of_signals_that_panics_for_what_others_read_harms_no_decision() {
    let program = json!({
        "if": { "call": "header", "with": ["x-a"] },
        "then": { "do": [{ "call": "signal", "with": ["risk"] }], "answer": "allow" },
        "else": { "answer": "deny" },
    });
    let feed = Breaks(std::sync::atomic::AtomicBool::new(false));
    let set = PolicySetBuilder::new().signal("risk").signals(feed).component("probe", probe());
    let policies = set.config(json!({ "decide": program })).load().unwrap();
    let cache = DecisionCache::new(CacheLimits::default());
    let view = policies.current();
    let with = Sketch { headers: vec![("x-a", "1")], ..sketch() };
    assert!(matches!(cache.decide(&view, *with.question()).result, Ok(Decision::Allow(_))));
    for _ in 0..2 {
        let decided = cache.decide(&view, *sketch().question());
        assert!(matches!(decided.result, Ok(Decision::Deny(_))) && !decided.cached);
    }
}

/// Asks a guard of its own, as a service may do whose signals depend on the caller.
struct Asks(Arc<(DecisionCache, PolicyStore)>);

impl SignalSource for Asks {
    fn signal(&self, _: &str, _: &crate::authorize::Caller) -> Result<Option<String>, SignalError> {
        let (cache, policies) = &*self.0;
        let decided = cache.decide(&policies.current(), *sketch().question());
        Ok(Some(decided.result.is_ok().to_string()))
    }
}

#[test]
fn a_source_of_signals_may_ask_questions_of_its_own() {
    let inner = allowing_after(&json!([{ "call": "method" }]), Feed::default());
    let inner = Arc::new((DecisionCache::new(CacheLimits::default()), inner));
    let outer = allowing_after(&json!([{ "call": "signal", "with": ["risk"] }]), Asks(inner));
    let (cache, view) = (DecisionCache::new(CacheLimits::default()), outer.current());
    assert!(cache.decide(&view, *sketch().question()).result.is_ok());
    let decided = cache.decide(&view, *sketch().question());
    assert!(decided.cached && decided.result.is_ok());
}

/// Each guard shows reads by its own redaction.
#[test]
fn a_guard_finds_nothing_that_another_one_found_on_the_same_thread() {
    let policies = allowing_after(&json!([{ "call": "method" }]), Feed::default());
    let view = policies.current();
    for _ in 0..200 {
        let cache = DecisionCache::new(CacheLimits::default());
        assert!(!cache.decide(&view, *sketch().question()).cached);
        assert!(cache.decide(&view, *sketch().question()).cached);
    }
}

/// T5: until the end that a decision's reads have, if only time changes, the policies decide the
/// same.
#[test]
fn a_decision_holds_until_the_end_that_its_reads_have() {
    let (component, people) = (probe(), people());
    let mut dice = Dice(7);
    let feed = Feed::default();
    feed.0.lock().unwrap().insert("risk", Some("3".to_owned()));
    let (mut ends, mut changed) = (0, 0);
    for _ in 0..40 {
        let policies = set(&mut dice, &component, &feed).load().unwrap();
        let view = policies.current();
        for _ in 0..100 {
            let now = START + dice.roll(120) as u64;
            let sketch = Sketch::random(&mut dice, &people, UNIX_EPOCH + Duration::from_secs(now));
            let at = |seconds| Sketch { now: UNIX_EPOCH + Duration::from_secs(seconds), ..sketch.clone() };
            let evaluation = view.evaluate(sketch.question());
            if evaluation.result.is_err() {
                continue;
            }
            let reads = evaluation.trace.reads().map(|(read, _)| read);
            let end = next_change(reads, &evaluation.question.caller, now);
            ends += usize::from(end.is_some());
            let last = end.map_or(now + 1_000_000, |end| end - 1);
            let between = now + (dice.roll(1 << 20) as u64) % (last - now + 1);
            for second in [between, last] {
                let then = view.evaluate(at(second).question());
                assert_eq!(then.result, evaluation.result, "from {now} to {second}, end {end:?}");
                assert_eq!(then.trace, evaluation.trace);
            }
            if let Some(end) = end {
                let then = view.evaluate(at(end).question());
                assert_ne!(then.trace, evaluation.trace, "at {end}");
                changed += usize::from(then.result != evaluation.result);
            }
        }
    }
    assert!(ends > 100 && changed > 10, "{ends} ends and {changed} changes are too few to prove anything");
}

/// The trace of a cached decision, found by a thread that did not make it.
#[test]
fn a_remembered_trace_is_in_the_order_of_its_evaluation() {
    let read = |name: &str, argument: &str| json!({ "call": name, "with": [argument] });
    let (owner, class) = (read("label", "owner"), read("label", "class"));
    let program = json!({
        "if": { "call": "header", "with": ["x-a"] },
        "then": { "do": [owner, class], "answer": "allow" },
        "else": { "do": [class, owner], "answer": "allow" },
    });
    let set = PolicySetBuilder::new().component("probe", probe()).config(json!({ "decide": program }));
    let policies = set.load().unwrap();
    let cache = DecisionCache::new(CacheLimits::default());
    let view = policies.current();
    let with = Sketch { headers: vec![("x-a", "1")], ..sketch() };
    let reads =
        |decided: &Decided| decided.trace.reads().map(|(read, _)| read.to_string()).collect::<Vec<_>>();
    cache.decide(&view, *with.question());
    let fresh = cache.decide(&view, *sketch().question());
    let elsewhere =
        std::thread::scope(|scope| scope.spawn(|| cache.decide(&view, *sketch().question())).join().unwrap());
    assert!(!fresh.cached && elsewhere.cached);
    assert_eq!(reads(&elsewhere), reads(&fresh));
}

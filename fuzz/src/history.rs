//! Histories: random policies, random questions, and everything changing in between; each question
//! asked of a guard that remembers decisions and of one that evaluates every question afresh.
//!
//! It stands alone, so that the fuzz target, `ztlib/tests/corpora.rs` and
//! `ztlib/tests/cached_equals_fresh.rs` play the same.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value as Json, json};
use tower_layer::Layer as _;
use tower_service::Service;
use ztlib::RemoteAddr;
use ztlib::authenticate::Principal;
use ztlib::authenticate::peer::{PeerAuthenticator, PeerCertificates, Trust, TrustDomain};
use ztlib::authenticate::token::{Algorithm, BearerToken, Issuer, TokenAuthenticator, TokenVerifier};
use ztlib::authorize::{CacheLimits, Labels, SignalError, SignalSource};
use ztlib::enforce::{Guard, GuardLayer, MatchedRoute};
use ztlib::observe::{AuditEvent, Redaction, Verdict};
use ztlib::policies::{Budget, PolicySetBuilder, PolicyStore};
use ztlib_testing::{Authority, Events, ManualClock, TokenDraft, TokenIssuer};

const PROBE: &[u8] = include_bytes!("../../plugins/artifacts/probe.wasm");
/// A Thursday, at midnight.
const START: u64 = 1_767_225_600;

/// The outcome of some histories.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Questions that were asked of both guards, and answered alike.
    pub cases: u64,
    /// Of these, how many were answered from memory.
    pub hits: u64,
    /// Hits whose answer was an allow.
    pub allowed_hits: u64,
    /// Answers by what was decided.
    pub allowed: u64,
    pub denied: u64,
    pub faults: u64,
    pub unauthenticated: u64,
    /// Faults of callers of a second issuer, where a policy did not ask whose word it goes by.
    pub strangers: u64,
    /// What changed in between.
    pub clock: u64,
    pub signals: u64,
    pub documents: u64,
    pub reloads: u64,
}

impl Tally {
    /// Adds the outcome of others.
    pub fn add(&mut self, other: &Self) {
        let Self { cases, hits, allowed_hits, allowed, denied, faults, .. } = other;
        let Self { unauthenticated, strangers, clock, signals, documents, reloads, .. } = other;
        self.cases += cases;
        self.hits += hits;
        self.allowed_hits += allowed_hits;
        self.allowed += allowed;
        self.denied += denied;
        self.faults += faults;
        self.unauthenticated += unauthenticated;
        self.strangers += strangers;
        self.clock += clock;
        self.signals += signals;
        self.documents += documents;
        self.reloads += reloads;
    }
}

/// The input as a list of choices; where it ends, the first of everything is chosen.
struct Choices<'d>(&'d [u8]);

impl Choices<'_> {
    fn below(&mut self, count: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % count
    }

    fn one<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        &list[self.below(list.len())]
    }
}

/// Plays the history that the input stands for: policies, cache bounds and then questions, with
/// changes in between, until the input ends. Every answer of the guard that remembers is what the
/// other one says, or it panics.
pub fn play(data: &[u8]) -> Tally {
    thread_local! {
        static WORLD: World = World::new();
    }
    WORLD.with(|world| world.play(&mut Choices(data)))
}

/// The state of the signal `risk`.
#[derive(Clone, Copy)]
enum Risk {
    Is(&'static str),
    None,
    Fails,
    Panics,
}

#[derive(Clone)]
struct Feed(Arc<Mutex<Risk>>);

impl Feed {
    fn set(&self, risk: Risk) {
        *self.0.lock().expect("a feed") = risk;
    }
}

impl SignalSource for Feed {
    fn signal(&self, _: &str, _: &ztlib::authorize::Caller) -> Result<Option<String>, SignalError> {
        let risk = *self.0.lock().expect("a feed");
        match risk {
            Risk::Is(value) => Ok(Some(value.to_owned())),
            Risk::None => Ok(None),
            Risk::Fails => Err(SignalError::new("down")),
            // As a panic, but without the hook, which prints, and ends a fuzzer.
            Risk::Panics => std::panic::resume_unwind(Box::new("the feed broke")),
        }
    }
}

/// Calls of a policy, arguments from small pools, so that questions meet again. Some fail for some
/// questions, and some for all.
const READS: &[(&str, &[&str])] = &[
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
    ("peer-trust-domain", &[]),
    ("peer-authority", &[]),
    ("peer-dns-names", &[]),
    ("peer-has-dns-name", &["Legacy.example"]),
    ("peer-matches", &["spiffe://td/batch/**"]),
    ("has-token", &[]),
    ("from-home-issuer", &[]),
    ("issuer", &[]),
    ("subject", &[]),
    ("has-scope", &["read"]),
    ("has-scope", &["write"]),
    ("scopes", &[]),
    ("has-audience", &["shop"]),
    ("has-audience", &["other"]),
    ("claim-string", &["/tenant"]),
    ("claim-int", &["/level"]),
    ("claim-bool", &["/staff"]),
    ("claim-json", &["/roles"]),
    ("claim-contains", &["/roles", "admin"]),
    ("claim-contains", &["/roles", "viewer"]),
    ("claim-contains", &["roles", "viewer"]),
    ("authenticated-within", &["60"]),
    ("uses-method", &["mfa"]),
    ("acr-is", &["high"]),
    ("remote-ip", &[]),
    ("remote-ip-in", &["10.0.0.0/8"]),
    ("before", &["1767225630"]),
    ("before", &["1767225700"]),
    ("before-claim", &["/until"]),
    ("in-window", &["thu 00:00-00:02"]),
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

/// What a policy attaches to its answer. Some of it goes with one of the answers only.
const OUTCOMES: &[(&str, &[&str])] = &[
    ("reason", &["one"]),
    ("reason", &["two"]),
    ("reason", &["undeclared"]),
    ("message", &["ask the owner"]),
    ("challenge-step-up", &["high", "60"]),
    ("set-request-header", &["x-tenant", "acme"]),
    ("set-request-header", &["x-tenant", "other"]),
    ("remove-request-header", &["x-a"]),
    ("set-response-header", &["x-seen", "yes"]),
    ("remove-response-header", &["x-from"]),
    ("copy-to-request-header", &["x-user", "{subject}"]),
    ("copy-to-request-header-or-remove", &["x-tenant", "{claim:/tenant}"]),
    ("copy-to-request-header-or-remove", &["x-a", "{header:x-b}"]),
    ("copy-to-request-header-or-remove", &["x-item", "{param:id}"]),
    ("copy-to-request-header-or-remove", &["x-peer", "{peer}"]),
    ("copy-to-response-header-or-remove", &["x-class", "{label:class}"]),
    ("copy-to-response-header-or-remove", &["x-address", "{remote-ip}"]),
    ("copy-to-response-header", &["x-id", "{request-id}"]),
];

fn call(choices: &mut Choices<'_>, of: &[(&str, &[&str])]) -> Json {
    let (name, arguments) = *choices.one(of);
    json!({ "call": name, "with": arguments })
}

/// A random program: a tree of reads with answers at its leaves.
fn program(choices: &mut Choices<'_>, depth: usize) -> Json {
    let mut calls: Vec<Json> = (0..choices.below(2)).map(|_| call(choices, READS)).collect();
    if depth == 0 || choices.below(5) == 1 {
        calls.extend((0..choices.below(3)).map(|_| call(choices, OUTCOMES)));
        return json!({ "do": calls, "answer": choices.one(&["allow", "allow", "deny", "abstain"]) });
    }
    let ask = call(choices, READS);
    let (then, other) = (program(choices, depth - 1), program(choices, depth - 1));
    json!({ "do": calls, "if": ask, "then": then, "else": other })
}

fn document(choices: &mut Choices<'_>) -> Json {
    let bits = choices.below(64);
    let roles =
        |at: usize| [json!(["admin"]), json!(["viewer"]), json!([]), json!("admin")][bits >> at & 3].clone();
    json!({
        "users": { "alice": roles(0), "bob": roles(2) },
        "level": { "alice": if bits & 16 == 0 { json!("gold") } else { json!(7) } },
        "owners": { "7": if bits & 32 == 0 { "alice" } else { "bob" } },
        "tenants": { "acme": ["spiffe://td/batch/nightly"] },
    })
}

/// A policy set that can be built again and again.
#[derive(Debug)]
struct Plan {
    policies: Vec<(Json, bool)>,
    document: Json,
}

impl Plan {
    fn random(choices: &mut Choices<'_>) -> Self {
        let count = 1 + choices.below(3);
        let policy = |choices: &mut Choices<'_>| {
            let depth = 1 + choices.below(3);
            (json!({ "decide": program(choices, depth) }), choices.below(2) == 1)
        };
        Self { policies: (0..count).map(|_| policy(choices)).collect(), document: document(choices) }
    }

    fn builder(&self, feed: &Feed) -> PolicySetBuilder {
        let mut builder =
            PolicySetBuilder::new().signal("risk").signals(feed.clone()).document("roles", &self.document);
        for ((config, may_abstain), name) in self.policies.iter().zip(["first", "second", "third"]) {
            builder = builder.component(name, PROBE).reasons(["one", "two"]).config(config).budget(patient());
            if *may_abstain {
                builder = builder.may_abstain();
            }
        }
        builder
    }
}

/// The wall clock is the one limit that depends on how busy the machine is: one guard would meet it
/// and the other not.
fn patient() -> Budget {
    let mut budget = Budget::default();
    budget.wall_clock = Budget::maximum().wall_clock;
    budget
}

/// One question as choices: who (token), over which connection, from where, a request or an action,
/// the method, the place, headers, labels.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sketch([usize; 8]);

impl Sketch {
    const SIDES: [usize; 8] = [9, 4, 3, 5, 4, 5, 16, 8];

    fn random(choices: &mut Choices<'_>) -> Self {
        Self(Self::SIDES.map(|sides| choices.below(sides)))
    }

    /// The same but for one input.
    fn changed(mut self, choices: &mut Choices<'_>) -> Self {
        let at = choices.below(Self::SIDES.len());
        self.0[at] = choices.below(Self::SIDES[at]);
        self
    }

    fn labels(self) -> Labels {
        let all = [("class", "public"), ("class", "secret"), ("owner", "alice")];
        let chosen = all.into_iter().enumerate().filter(|(bit, _)| self.0[7] >> bit & 1 == 1);
        chosen.fold(Labels::new(), |labels, (_, (name, value))| labels.with(name, value))
    }
}

/// All that a guard answered and left behind, but for what differs with each request or tells from
/// where the answer came.
#[derive(Debug, PartialEq)]
struct Told {
    verdict: &'static str,
    reason: Option<Box<str>>,
    detail: Option<Box<str>>,
    policy: Option<Arc<str>>,
    revision: Option<String>,
    reads: Vec<String>,
    /// What the caller got: status, headers and body, or for the application's own questions the
    /// refusal's text.
    answer: (u16, Vec<(String, String)>, String),
    /// The headers that the service behind the guard saw, where it was reached.
    passed: Option<Vec<(String, String)>>,
}

/// The service behind the guard: it hands back which headers reached it.
struct Inner;

#[derive(Clone)]
struct Passed(HeaderMap);

impl Service<Request<Full<Bytes>>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let mut response = Response::new(Full::default());
        response.headers_mut().insert("x-from", HeaderValue::from_static("the service"));
        response.extensions_mut().insert(Passed(request.headers().clone()));
        ready(Ok(response))
    }
}

fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a guarded call waited for something"),
    }
}

/// Who may call, from where and when: made once a thread, since keys and compiling are dear.
struct World {
    policies: PolicyStore,
    feed: Feed,
    clock: ManualClock,
    peers: PeerAuthenticator,
    tokens: TokenAuthenticator,
    redaction: Redaction,
    /// Connections: nobody's, two workloads' and that of a peer with a DNS name.
    connections: Vec<Option<PeerCertificates>>,
    people: Vec<Option<String>>,
    /// The principal of each person over each connection.
    principals: Vec<Vec<Principal>>,
}

impl World {
    fn new() -> Self {
        let now = UNIX_EPOCH + Duration::from_secs(START);
        let (workloads, legacy) = (Authority::new("td"), Authority::new("legacy"));
        let domain: TrustDomain = "td".parse().expect("a trust domain");
        let trust = Trust::builder().trust(domain, [workloads.certificate()]).expect("roots");
        let trust = trust.authority("legacy", [legacy.certificate()]).expect("roots").build().expect("roots");
        let peers = PeerAuthenticator::new(trust).allow_unauthenticated().trust_foreign_acceptor();
        let batch = workloads.issue_spiffe("spiffe://td/batch/nightly");
        let web = workloads.issue_spiffe("spiffe://td/web");
        let old = legacy.leaf().dns("legacy.example").issue();
        let chains = [&batch, &web, &old].map(|issued| Some(PeerCertificates::foreign(issued.chain())));
        let connections: Vec<_> = [None].into_iter().chain(chains).collect();

        let id = TokenIssuer::with_algorithm("https://id.example", Algorithm::HS256);
        let issuer = Issuer::new(id.name()).audience("shop").algorithms([Algorithm::HS256]);
        let issuer = issuer.hmac_secret(id.secret().expect("a secret"));
        let partner = TokenIssuer::with_algorithm("https://partner.example", Algorithm::HS256);
        let second = Issuer::new(partner.name()).audience("shop").algorithms([Algorithm::HS256]);
        let second = second.hmac_secret(partner.secret().expect("a secret"));
        let verifier = TokenVerifier::builder().issuer(issuer).issuer(second).build().expect("a verifier");
        let people = people(&id, &partner, now);
        let principal = |person: &Option<String>, connection: &Option<PeerCertificates>| {
            let mut extensions = http::Extensions::new();
            if let Some(certificates) = connection {
                extensions.insert(certificates.clone());
            }
            let peer = peers.authenticate(&extensions, now).expect("a peer, or none");
            let claims = person.as_ref().map(|token| {
                let token = BearerToken::new(token).expect("a token");
                verifier.verify(&token, now).expect("a good token")
            });
            Principal::new(peer, claims)
        };
        let principals = people
            .iter()
            .map(|person| connections.iter().map(|connection| principal(person, connection)).collect())
            .collect();

        let feed = Feed(Arc::new(Mutex::new(Risk::None)));
        let first = Plan::random(&mut Choices(&[]));
        let redaction = READS.iter().fold(Redaction::new(), |redaction, (name, arguments)| {
            let arguments: Vec<String> = arguments.iter().map(|argument| format!("{argument:?}")).collect();
            redaction.show(format!("{name}({})", arguments.join(", ")))
        });
        Self {
            policies: first.builder(&feed).load().expect("a policy set"),
            feed,
            clock: ManualClock::new(now),
            peers,
            tokens: TokenAuthenticator::new(verifier).allow_missing_token(),
            redaction,
            connections,
            people,
            principals,
        }
    }

    /// A guard on the world's policies, by its clock, and its events.
    fn guard(&self, bounds: Option<CacheLimits>) -> (Guard, Events) {
        let events = Events::new();
        let guard = Guard::builder().peers(self.peers.clone()).tokens(self.tokens.clone());
        let guard = guard.policies(self.policies.clone()).clock(self.clock.clone()).audit(events.clone());
        let guard = guard.redaction(self.redaction.clone());
        let guard = match bounds {
            Some(bounds) => guard.cache_limits(bounds),
            None => guard.without_decision_cache(),
        };
        (guard.build(), events)
    }

    fn play(&self, choices: &mut Choices<'_>) -> Tally {
        let plans = [Plan::random(choices), Plan::random(choices)];
        // Whatever an earlier history left is put back: each is the same alone.
        let mut now = START;
        let mut plan = 0;
        self.clock.set(at(now));
        self.feed.set(Risk::Is("3"));
        self.policies.replace(plans[plan].builder(&self.feed)).expect("a policy set");
        self.policies.set_document("roles", &plans[plan].document).expect("a document");
        // Sometimes so small that entries are evicted and lists do not fit.
        let bounds = match choices.below(6) {
            1 => CacheLimits { bytes: 4096, ..CacheLimits::default() },
            2 => CacheLimits { reads: 6, key_bytes: 64, ..CacheLimits::default() },
            3 => CacheLimits { sites: 2, ..CacheLimits::default() },
            4 => CacheLimits { bytes: 2048, reads: 12, sites: 1, ..CacheLimits::default() },
            _ => CacheLimits::default(),
        };
        let (remembers, fresh) = (self.guard(Some(bounds)), self.guard(None));
        let mut asked: [Sketch; 4] = [Sketch([0; 8]); 4];
        let mut tally = Tally::default();
        while !choices.0.is_empty() {
            let change = choices.below(32);
            tally.signals += u64::from((3..=6).contains(&change));
            match change {
                1 => now += [1, 20, 61, 3600][choices.below(4)],
                2 => now -= [1, 20, 61, 3600][choices.below(4)],
                3 => self.feed.set(Risk::Is(["1", "3", "9", "high"][choices.below(4)])),
                4 => self.feed.set(Risk::None),
                5 => self.feed.set(Risk::Fails),
                6 => self.feed.set(Risk::Panics),
                7 => {
                    self.policies.set_document("roles", document(choices)).expect("a document");
                    tally.documents += 1;
                }
                8 => {
                    // To the other set, back to this one later, or to the same one again.
                    plan = choices.below(2);
                    self.policies.replace(plans[plan].builder(&self.feed)).expect("a policy set");
                    tally.reloads += 1;
                }
                _ => {}
            }
            let moved = at(now) != ztlib::Clock::now(&self.clock);
            tally.clock += u64::from(moved);
            self.clock.set(at(now));
            // Something new, what was asked a moment ago, or the same but for one input.
            let turn = choices.below(8);
            let sketch = match turn {
                0 | 1 => Sketch::random(choices),
                2..=4 => *choices.one(&asked),
                _ => asked[choices.below(4)].changed(choices),
            };
            asked[turn % 4] = sketch;
            let (remembered, event) = self.ask(&remembers, sketch);
            let (evaluated, _) = self.ask(&fresh, sketch);
            assert_eq!(
                remembered,
                evaluated,
                "from memory: {}, question {}: {sketch:?} with {bounds:?} at {now}, {:#?}",
                event.cached(),
                tally.cases,
                plans[plan]
            );
            tally.count(&event);
        }
        tally
    }

    fn ask(&self, (guard, events): &(Guard, Events), sketch: Sketch) -> (Told, AuditEvent) {
        let [person, connection, ip, kind, ..] = sketch.0;
        let ip: Option<IpAddr> = [None, Some([10, 0, 0, 1].into()), Some([192, 0, 2, 1].into())][ip];
        let (answer, passed) = if kind == 4 {
            let principal = self.principals[person][connection].clone().from_address(ip);
            let answer = match guard.ask(&principal, "orders.cancel", sketch.labels()) {
                Ok(permit) => (200, Vec::new(), format!("{:?}", permit.revision())),
                Err(refusal) => (
                    refusal.status().as_u16(),
                    Vec::new(),
                    format!("{} {:?}", refusal.cause(), refusal.denial()),
                ),
            };
            (answer, None)
        } else {
            self.send(guard, sketch, ip)
        };
        let [event] = <[AuditEvent; 1]>::try_from(events.take()).expect("one audit event a question");
        let id = event.id().to_string();
        let without_id = |text: &String| text.replace(&id, "ID");
        let (status, headers, body) = answer;
        let mut reads: Vec<String> = event.reads().iter().map(ToString::to_string).collect();
        reads.sort();
        let told = Told {
            verdict: event.verdict().as_str(),
            reason: event.reason().map(Into::into),
            detail: event.detail().map(Into::into),
            policy: event.policy().map(Into::into),
            revision: event.revision().map(|revision| revision.digest()),
            reads,
            answer: (
                status,
                headers.iter().map(|(name, value)| (name.clone(), without_id(value))).collect(),
                without_id(&body),
            ),
            passed: passed
                .map(|headers| headers.into_iter().map(|(name, value)| (name, without_id(&value))).collect()),
        };
        (told, event)
    }

    #[allow(clippy::type_complexity, reason = "what a caller got, and what the service saw")]
    fn send(
        &self,
        guard: &Guard,
        sketch: Sketch,
        ip: Option<IpAddr>,
    ) -> ((u16, Vec<(String, String)>, String), Option<Vec<(String, String)>>) {
        let [person, connection, _, kind, method, place, headers, _] = sketch.0;
        let method = ["GET", "GET", "DELETE", "BREW"][method];
        let (path, route, id) = [
            ("/orders/7", Some("/orders/{id}"), Some("7")),
            ("/orders/8?q=a", Some("/orders/{id}"), Some("8")),
            ("/health", Some("/health"), None),
            ("/other?q=a&q=b", None, None),
            ("/other?q=%zz", None, None),
        ][place];
        let host = if kind == 3 { "other.example" } else { "shop.example" };
        let mut request = Request::builder().method(method).uri(path).header("host", host);
        let all: [(&str, &[u8]); 4] = [("x-a", b"1"), ("x-a", b"2"), ("x-b", b"1"), ("x-b", b"\xff")];
        for (bit, (name, value)) in all.into_iter().enumerate() {
            if headers >> bit & 1 == 1 {
                request = request.header(name, value);
            }
        }
        if let Some(token) = &self.people[person] {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut request = request.body(Full::<Bytes>::default()).expect("a request");
        let mut matched = route.map_or_else(MatchedRoute::none, MatchedRoute::new);
        if let Some(id) = id {
            matched = matched.with_param("id", id);
        }
        let extensions = request.extensions_mut();
        extensions.insert(matched);
        extensions.insert(sketch.labels());
        if let Some(certificates) = &self.connections[connection] {
            extensions.insert(certificates.clone());
        }
        if let Some(ip) = ip {
            extensions.insert(RemoteAddr(SocketAddr::new(ip, 4711)));
        }
        let response = at_once(GuardLayer::new(guard.clone()).layer(Inner).call(request));
        let Ok(response) = response;
        let (parts, body) = response.into_parts();
        let body = at_once(body.collect()).expect("a body").to_bytes();
        let passed = parts.extensions.get::<Passed>().map(|Passed(headers)| listed(headers));
        let answer =
            (parts.status.as_u16(), listed(&parts.headers), String::from_utf8_lossy(&body).into_owned());
        (answer, passed)
    }
}

impl Tally {
    fn count(&mut self, event: &AuditEvent) {
        self.cases += 1;
        self.hits += u64::from(event.cached());
        match event.verdict() {
            Verdict::Allow => {
                self.allowed += 1;
                self.allowed_hits += u64::from(event.cached());
            }
            Verdict::Deny => self.denied += 1,
            // All targets are in good form: what makes one bad is that a policy cannot read it.
            Verdict::Fault | Verdict::BadRequest => {
                self.faults += 1;
                self.strangers += u64::from(event.reason() == Some("issuer-not-asked"));
            }
            Verdict::Unauthenticated => self.unauthenticated += 1,
            other => panic!("no question here is {other:?}"),
        }
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn listed(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut listed: Vec<_> = headers
        .iter()
        .filter(|(name, _)| *name != "authorization")
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    listed.sort();
    listed
}

/// Some users' tokens, nobody's, one that runs out while a history is played, and those of two
/// strangers: users of a second issuer who are called as two of the first one's, and of whom it
/// says the same.
fn people(id: &TokenIssuer, partner: &TokenIssuer, now: SystemTime) -> Vec<Option<String>> {
    let ago = Duration::from_secs;
    // From long before, so that a clock that steps back finds it valid.
    fn long<'i>(issuer: &'i TokenIssuer, subject: &str, now: SystemTime) -> TokenDraft<'i> {
        let token = issuer.token_at(now - Duration::from_secs(36_000)).subject(subject).audience("shop");
        token.expires_in(Duration::from_secs(80_000)).claim("auth_time", START - 30)
    }
    let admin = |issuer| {
        let token = long(issuer, "alice", now).scope("read").claim("roles", ["admin"]);
        token.claim("tenant", "acme").claim("until", START + 50)
    };
    let viewer =
        |issuer| long(issuer, "alice", now).scope("write").claim("roles", ["viewer"]).claim("level", 3);
    let all: [TokenDraft<'_>; 8] = [
        admin(id),
        viewer(id),
        long(id, "bob", now)
            .scope("read write")
            .claim("roles", "viewer")
            .claim("tenant", 7)
            .claim("staff", true),
        long(id, "bob", now).claim("amr", ["mfa"]).claim("acr", "high").claim("until", "soon"),
        id.token_at(now - ago(10)).subject("alice").audience("shop").expires_in(ago(70)).scope("read"),
        long(id, "carol", now),
        admin(partner),
        viewer(partner),
    ];
    [None].into_iter().chain(all.into_iter().map(|token| Some(token.sign()))).collect()
}

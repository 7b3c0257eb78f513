//! A guard that remembers decisions, and everything that its answers can depend on in the hands of
//! the test.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value as Json, json};
use ztlib::RemoteAddr;
use ztlib::authenticate::peer::{PeerAuthenticator, PeerCertificates, Trust};
use ztlib::authenticate::token::{Algorithm, Issuer, KeySet, KeyStore, TokenAuthenticator, TokenVerifier};
use ztlib::authorize::{CacheLimits, Labels, SignalError, SignalSource};
use ztlib::enforce::{Guard, GuardBuilder, MatchedRoute, Ready};
use ztlib::observe::{AuditEvent, AuditSink};
use ztlib::policies::{Budget, PolicySetBuilder, PolicyStore};
use ztlib_conformance::stack::ask_matched;
use ztlib_testing::{Authority, ManualClock, TokenDraft, TokenIssuer};

pub(crate) const START: u64 = 1_767_225_600;
pub(crate) const PROBE: &[u8] = include_bytes!("../../../plugins/artifacts/probe.wasm");
const ISSUER: &str = "https://id.example";

pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A call of the probe.
pub(crate) fn call(name: &str, arguments: &[&str]) -> Json {
    json!({ "call": name, "with": arguments })
}

/// Allows where the call gives something, and denies otherwise.
pub(crate) fn allow_if(call: Json) -> Json {
    json!({ "if": call, "then": { "answer": "allow" }, "else": { "answer": "deny" } })
}

/// Denies where the call gives something, and allows otherwise.
pub(crate) fn deny_if(call: Json) -> Json {
    json!({ "if": call, "then": { "answer": "deny" }, "else": { "answer": "allow" } })
}

/// Makes these calls, then allows.
pub(crate) fn allow_after(calls: &[Json]) -> Json {
    json!({ "do": calls, "answer": "allow" })
}

/// A set with one probe, which does this, however busy the machine is, and however long a test
/// holds it.
pub(crate) fn probe(program: &Json) -> PolicySetBuilder {
    let mut patient = Budget::default();
    patient.wall_clock = Budget::maximum().wall_clock;
    PolicySetBuilder::new().component("probe", PROBE).config(json!({ "decide": program })).budget(patient)
}

/// A request, or a question of the application's own, but for what the test says.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) route: Option<String>,
    pub(crate) params: Vec<(&'static str, String)>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) labels: Labels,
    pub(crate) token: Option<String>,
    pub(crate) peer: Option<PeerCertificates>,
    pub(crate) ip: Option<IpAddr>,
}

impl Ask {
    pub(crate) fn get(path: &str) -> Self {
        Self {
            method: "GET",
            path: path.to_owned(),
            route: None,
            params: Vec::new(),
            headers: Vec::new(),
            labels: Labels::new(),
            token: None,
            peer: None,
            ip: None,
        }
    }

    /// An order, by its route.
    pub(crate) fn order(id: impl ToString) -> Self {
        let mut ask = Self::get(&format!("/orders/{}", id.to_string()));
        ask.route = Some("/orders/{id}".to_owned());
        ask.params = vec![("id", id.to_string())];
        ask
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    pub(crate) fn request(self) -> (Request<Full<Bytes>>, MatchedRoute) {
        let mut request =
            Request::builder().method(self.method).uri(&self.path).header("host", "shop.example");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut request = request.body(Full::default()).unwrap();
        request.extensions_mut().insert(self.labels);
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        if let Some(ip) = self.ip {
            request.extensions_mut().insert(RemoteAddr(SocketAddr::new(ip, 4711)));
        }
        let matched = self.route.map_or_else(MatchedRoute::none, MatchedRoute::new);
        let matched =
            self.params.into_iter().fold(matched, |matched, (name, value)| matched.with_param(name, value));
        (request, matched)
    }
}

/// Who signs, who vouches, the clock.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) id: TokenIssuer,
    pub(crate) keys: KeyStore,
    pub(crate) workloads: Authority,
    pub(crate) trust: Trust,
}

impl World {
    pub(crate) fn new() -> Self {
        let id = TokenIssuer::with_algorithm(ISSUER, Algorithm::EdDSA);
        let workloads = Authority::new("td");
        Self {
            clock: ManualClock::new(at(START)),
            keys: KeyStore::new(KeySet::from_jwks(&id.jwks()).unwrap()),
            id,
            trust: roots(&workloads),
            workloads,
        }
    }

    /// A good token, to be changed.
    pub(crate) fn token(&self, subject: &str) -> TokenDraft<'_> {
        self.id.token_at(at(START)).subject(subject).audience("shop")
    }

    /// A guard that asks for neither certificate nor token and looks at both where they are there.
    pub(crate) fn guard(&self, policies: &PolicyStore) -> GuardBuilder<Ready> {
        let issuer =
            Issuer::new(ISSUER).audience("shop").algorithms([Algorithm::EdDSA]).keys(self.keys.clone());
        let verifier = TokenVerifier::builder().issuer(issuer).build().unwrap();
        let peers =
            PeerAuthenticator::new(self.trust.clone()).allow_unauthenticated().trust_foreign_acceptor();
        let guard =
            Guard::builder().peers(peers).tokens(TokenAuthenticator::new(verifier).allow_missing_token());
        guard.policies(policies.clone()).clock(self.clock.clone())
    }
}

/// The roots of the one trust domain.
pub(crate) fn roots(authority: &Authority) -> Trust {
    Trust::builder().trust("td".parse().unwrap(), [authority.certificate()]).unwrap().build().unwrap()
}

/// A world, its policies, and a guard that remembers.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) policies: PolicyStore,
    pub(crate) guard: Guard,
}

thread_local! {
    /// What was audited on this thread: a guard judges on the thread that asks.
    static AUDITED: RefCell<Vec<AuditEvent>> = const { RefCell::new(Vec::new()) };
}

struct OfThisThread;

impl AuditSink for OfThisThread {
    fn record(&self, event: AuditEvent) {
        AUDITED.with_borrow_mut(|audited| audited.push(event));
    }
}

impl Stage {
    pub(crate) fn new(builder: PolicySetBuilder) -> Self {
        Self::bounded(builder, CacheLimits::default())
    }

    pub(crate) fn bounded(builder: PolicySetBuilder, bounds: CacheLimits) -> Self {
        let (world, policies) = (World::new(), builder.load().unwrap());
        let guard = audited(world.guard(&policies).cache_limits(bounds));
        Self { world, policies, guard }
    }

    /// What the guard says to a request, by its audit event.
    pub(crate) fn ask(&self, ask: Ask) -> AuditEvent {
        ask_of(&self.guard, ask)
    }

    /// The verdict or the reason of a refusal that is not a plain denial, and whether it came from
    /// memory.
    pub(crate) fn told(&self, asked: Ask) -> (String, bool) {
        told(&self.ask(asked))
    }
}

/// Another guard, for [`ask_of`].
pub(crate) fn audited(guard: GuardBuilder<Ready>) -> Guard {
    guard.audit(OfThisThread).build()
}

/// What a guard says to a request, by its audit event.
pub(crate) fn ask_of(guard: &Guard, ask: Ask) -> AuditEvent {
    let (request, matched) = ask.request();
    ask_matched(guard, request, matched).unwrap();
    let [event] = <[AuditEvent; 1]>::try_from(AUDITED.take()).unwrap();
    event
}

/// The verdict, or for a fault and a bad credential the reason; and whether it came from memory.
pub(crate) fn told(event: &AuditEvent) -> (String, bool) {
    let word = match event.verdict().as_str() {
        word @ ("allow" | "deny") => word.to_owned(),
        _ => event.reason().unwrap_or_default().to_owned(),
    };
    (word, event.cached())
}

/// Fresh, and from memory: what `told` gives.
pub(crate) fn fresh(word: &str) -> (String, bool) {
    (word.to_owned(), false)
}

pub(crate) fn remembered(word: &str) -> (String, bool) {
    (word.to_owned(), true)
}

/// Signals that the test sets: none is "fails".
#[derive(Clone, Default)]
pub(crate) struct Feed {
    values: Arc<Mutex<BTreeMap<String, Option<String>>>>,
    asked: Arc<Mutex<usize>>,
}

impl Feed {
    pub(crate) fn set(&self, name: &str, value: Option<&str>) {
        self.values.lock().unwrap().insert(name.to_owned(), value.map(str::to_owned));
    }

    pub(crate) fn fail(&self, name: &str) {
        self.values.lock().unwrap().remove(name);
    }

    /// How often it was asked since the last time.
    pub(crate) fn asked(&self) -> usize {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl SignalSource for Feed {
    fn signal(&self, name: &str, _: &ztlib::authorize::Caller) -> Result<Option<String>, SignalError> {
        *self.asked.lock().unwrap() += 1;
        self.values.lock().unwrap().get(name).cloned().ok_or_else(|| SignalError::new("down"))
    }
}

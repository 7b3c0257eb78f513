//! ztlib, set up for the task and for a warm request.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Extensions, HeaderValue, Request, Response, StatusCode};
use tower::{Layer as _, Service};
use ztlib::authenticate::Principal;
use ztlib::authenticate::peer::{PeerAuthenticator, Trust};
use ztlib::authenticate::token::{Algorithm, BearerToken, TokenAuthenticator};
use ztlib::authorize::NativePolicy;
use ztlib::policies::{Budget, PolicyStore, PolicySetBuilder};
use ztlib::authorize::{Answer, CacheLimits, Fault, Outcome, Reader};
use ztlib::enforce::{Guard, MatchedRoute, ResponseBody, Guarded, GuardLayer};
use ztlib::observe::JsonLinesSink;
use ztlib_benches::{Caller, RBAC};

use crate::Failure;
use crate::measure::now;
use crate::task::{Asked, Rule};

/// Events that may wait for the audit writer: more than a batch has.
const AUDIT_QUEUE: usize = 65_536;

/// One calling service, one user, and what a connection of theirs leaves in each request.
#[derive(Debug)]
pub struct Wire {
    /// Authorities, peer and issuer.
    pub caller: Arc<Caller>,
    /// Who is trusted.
    pub trust: Trust,
    /// Of the connection.
    pub extensions: Extensions,
    /// The user's token.
    pub token: String,
    bearer: HeaderValue,
}

impl Wire {
    /// A caller with a token of this algorithm, after a real handshake.
    ///
    /// # Errors
    /// The handshake failed.
    pub fn new(algorithm: Algorithm) -> Result<Self, Failure> {
        let caller = Arc::new(Caller::new(algorithm));
        let trust = caller.trust();
        Self::connect(caller, trust, 0)
    }

    /// Another connection of the same service, with another user's token. It shares no memory with
    /// the first, as in a server.
    ///
    /// # Errors
    /// The handshake failed.
    pub fn another(&self, user: usize) -> Result<Self, Failure> {
        Self::connect(self.caller.clone(), self.trust.clone(), user)
    }

    fn connect(caller: Arc<Caller>, trust: Trust, user: usize) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let extensions = runtime.block_on(caller.extensions(&trust));
        let token = token_with(&caller, crate::task::ROLES, user);
        let bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
        Ok(Self { caller, trust, extensions, token, bearer })
    }

    /// A request as a server hands it on. The header's value is shared, as it is where hyper has
    /// cut it out of what it read.
    pub fn request(&self, method: &'static str, path: &'static str) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = http::Method::from_bytes(method.as_bytes()).unwrap_or_default();
        *request.uri_mut() = http::Uri::from_static(path);
        *request.extensions_mut() = self.extensions.clone();
        let headers = request.headers_mut();
        headers.insert(http::header::HOST, HeaderValue::from_static("localhost"));
        headers.insert(http::header::AUTHORIZATION, self.bearer.clone());
        request
    }

    /// What verifies the token, remembering those seen before.
    pub fn tokens(&self) -> TokenAuthenticator {
        TokenAuthenticator::new(self.caller.verifier())
    }

    /// The user, without a peer.
    ///
    /// # Errors
    /// The token is not good.
    pub fn principal(&self, roles: &[&str], user: usize) -> Result<Principal, Failure> {
        let token = token_with(&self.caller, roles, user);
        let claims = self.caller.verifier().verify(&BearerToken::new(&token)?, SystemTime::now())?;
        Ok(Principal::new(None, Some(claims)))
    }
}

/// A token for an hour, with these roles.
pub fn token_with(caller: &Caller, roles: &[&str], user: usize) -> String {
    let token = caller.issuer.token().expires_in(Duration::from_secs(3600));
    let token = token.subject(&format!("user-{user}")).audience("shop").scope("orders:read orders:write");
    token.claim("roles", roles).sign()
}

/// The configuration of `rbac` for these rules.
pub fn rbac_config(rules: &[Rule]) -> serde_json::Value {
    let mut permissions = serde_json::Map::new();
    for rule in rules {
        let permission = serde_json::json!({ "methods": ["GET"], "routes": [format!("{}/**", rule.below)] });
        let list = permissions.entry(rule.role).or_insert_with(|| serde_json::json!([]));
        if let Some(list) = list.as_array_mut() {
            list.push(permission);
        }
    }
    serde_json::json!({ "roles": { "claims": ["/roles"] }, "permissions": permissions })
}

/// A component of the form of `rbac`, configured with these rules.
///
/// # Errors
/// It does not load.
pub fn rbac_like(component: &[u8], rules: &[Rule]) -> Result<PolicyStore, Failure> {
    let mut builder = PolicySetBuilder::new()
        .component("rbac", component)
        .reasons(["no-rule", "no-role"])
        .config(rbac_config(rules));
    builder = builder.budget(match rules.len() {
        // The default is for configurations that people write.
        1001.. => Budget::maximum(),
        _ => patient(),
    });
    Ok(builder.load()?)
}

/// The default budget, but with all the time of the world: on a busy machine an evaluation may lose
/// its core for longer than it is given.
pub fn patient() -> Budget {
    let mut budget = Budget::default();
    budget.wall_clock = Budget::maximum().wall_clock;
    budget
}

/// The committed `rbac`, which finds permissions by an index.
///
/// # Errors
/// It does not load.
pub fn rbac(rules: &[Rule]) -> Result<PolicyStore, Failure> {
    rbac_like(RBAC, rules)
}

/// The same policy going rule by rule, where it has been built.
pub fn rbac_linear() -> Option<Vec<u8>> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/artifacts/rbac-linear.wasm")).ok()
}

/// Allows, and reads nothing: the floor under a decision.
#[derive(Debug)]
pub struct AllowAll;

impl NativePolicy for AllowAll {
    fn decide(&self, _: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
        Ok(Answer::Allow)
    }
}

/// A set of [`AllowAll`] alone.
///
/// # Errors
/// It does not load.
pub fn allow_all() -> Result<PolicyStore, Failure> {
    Ok(PolicySetBuilder::new().native("allow-all", AllowAll).load()?)
}

/// A service that does nothing.
#[derive(Debug, Clone)]
pub struct Nothing;

impl Service<Request<Body>> for Nothing {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Ok(Response::new(())))
    }
}

/// A guard around nothing, for a user with a token; the route is given with the request, as an
/// adapter does it.
#[derive(Debug)]
pub struct Judge<'w> {
    wire: &'w Wire,
    service: Guarded<Nothing>,
}

/// What decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// A fresh sandbox each time.
    Off,
    /// The decision cache, as it is unless configured.
    On,
}

impl<'w> Judge<'w> {
    /// A guard with these policies.
    pub fn new(wire: &'w Wire, policies: PolicyStore, caching: Caching) -> Self {
        let guard = Guard::builder().allow_unauthenticated_peers().tokens(wire.tokens()).policies(policies);
        let guard = match caching {
            Caching::On => guard.cache_limits(CacheLimits::default()),
            Caching::Off => guard.without_decision_cache(),
        };
        Self::with_guard(wire, guard.build())
    }

    /// This guard.
    pub fn with_guard(wire: &'w Wire, guard: Guard) -> Self {
        Self { wire, service: GuardLayer::new(guard).layer(Nothing) }
    }

    /// The request for a question, with the template as its path where it may be one.
    pub fn request(&self, asked: &Asked) -> Request<Body> {
        let mut request = self.wire.request(asked.method, "/");
        request.extensions_mut().insert(MatchedRoute::new(asked.route.as_str()));
        if asked.roles != crate::task::ROLES {
            let token = token_with(&self.wire.caller, asked.roles, 0);
            let bearer = HeaderValue::try_from(format!("Bearer {token}"));
            bearer.map(|bearer| request.headers_mut().insert(http::header::AUTHORIZATION, bearer)).ok();
        }
        request
    }

    /// The status of the answer.
    pub fn judge(&mut self, request: Request<Body>) -> StatusCode {
        let answer: Result<Response<ResponseBody<()>>, Infallible> = now(self.service.call(request));
        answer.map_or(StatusCode::INTERNAL_SERVER_ERROR, |answer| answer.status())
    }

    /// Asks this many times; each must be allowed.
    ///
    /// # Panics
    /// It is not allowed.
    pub fn run(&mut self, asked: &Asked, times: u64) {
        let template = MatchedRoute::new(asked.route.as_str());
        for _ in 0..times {
            let mut request = self.wire.request(asked.method, "/");
            request.extensions_mut().insert(template.clone());
            assert_eq!(self.judge(request), StatusCode::OK);
        }
    }
}

/// The router that is guarded.
pub fn router() -> Router {
    Router::new().route("/api/v190/users/{id}/items/{item}", get(|| async { "hello" })).with_state(())
}

/// The path that is asked of it.
pub const PATH: &str = "/api/v190/users/4711/items/9";

/// Calls a router this many times.
///
/// # Panics
/// The answer is not a 200.
pub fn call_router<S, R>(service: &mut S, wire: &Wire, times: u64)
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible>,
{
    for _ in 0..times {
        let answer = now(service.call(wire.request("GET", PATH)));
        assert!(answer.is_ok_and(|answer| answer.status() == StatusCode::OK));
    }
}

/// An audit log that is written as a service would, to a file or to `/dev/null`, and counts its
/// lines.
#[derive(Debug, Clone)]
pub struct AuditLog(Arc<AtomicU64>);

/// The sink writes an event at a time. Looking for the ends of lines in what it writes would be
/// charged to its thread: that was 13 % of its time.
struct Counted {
    output: BufWriter<std::fs::File>,
    events: u64,
    lines: Arc<AtomicU64>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.output.write_all(bytes)?;
        self.events += 1;
        // Nobody else stores it.
        self.lines.store(self.events, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.output.flush()
    }
}

impl AuditLog {
    /// A sink that writes to `/dev/null`, and what tells how far it is.
    ///
    /// # Errors
    /// There is no `/dev/null`.
    pub fn new() -> Result<(JsonLinesSink, Self), Failure> {
        let lines = Arc::new(AtomicU64::new(0));
        let output = std::fs::File::options().write(true).open("/dev/null")?;
        let output = BufWriter::with_capacity(1 << 16, output);
        let output = Counted { output, events: 0, lines: lines.clone() };
        Ok((JsonLinesSink::new(output, AUDIT_QUEUE), Self(lines)))
    }

    /// How many events are written.
    pub fn lines(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits until this many events are written.
    ///
    /// # Panics
    /// They are not, after five seconds: events were lost.
    pub fn wait_for(&self, lines: u64) {
        for _ in 0..50_000 {
            if self.lines() >= lines {
                return;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        panic!("{} events of {lines} were written", self.lines());
    }
}

/// The whole guard of a warm request: peer, token, `rbac`, an audit log; metrics go to the recorder
/// of the process.
///
/// # Errors
/// A part cannot be made.
pub fn whole_guard(wire: &Wire, policies: PolicyStore) -> Result<(Guard, AuditLog), Failure> {
    let (sink, log) = AuditLog::new()?;
    let guard = Guard::builder()
        .peers(PeerAuthenticator::new(wire.trust.clone()))
        .tokens(wire.tokens())
        .policies(policies)
        .audit(sink)
        .build();
    Ok((guard, log))
}

/// Installs a metrics recorder for the process and empties it four times a second, as a scrape
/// would.
///
/// # Errors
/// There is one.
pub fn record_metrics() -> Result<(), Failure> {
    let handle = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;
    std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(250));
            handle.run_upkeep();
        }
    })?;
    Ok(())
}

//! The audit event: one for each judgement, as a typed value.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Method;

use super::redaction::{AuditedRead, Redaction};
use super::request_id::RequestId;
use crate::authenticate::Principal;
use crate::authorize::Trace;
use crate::authorize::policy::Revision;

/// Takes audit events. It is called on the path of the request: it must not block and must not panic.
pub trait AuditSink: Send + Sync + 'static {
    /// Takes one event.
    fn record(&self, event: AuditEvent);
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Let through by the policies.
    Allow,
    /// Let through because its route is public.
    Public,
    /// Denied by a policy.
    Deny,
    /// The peer or the token is not good.
    Unauthenticated,
    /// The request cannot be judged.
    BadRequest,
    /// No decision could be reached.
    Fault,
}

impl Verdict {
    /// A stable word, as events and metrics use it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Public => "public",
            Self::Deny => "deny",
            Self::Unauthenticated => "unauthenticated",
            Self::BadRequest => "bad-request",
            Self::Fault => "fault",
        }
    }
}

/// Who, what, the decision, and why. It never holds a secret: no token, no key, no certificate, no header value but
/// those named here. Its `Debug` shows reads as [`AuditEvent::reads`] does.
#[derive(Clone)]
#[non_exhaustive]
pub struct AuditEvent {
    /// The id that the caller sees too.
    pub id: RequestId,
    /// When it was judged.
    pub time: SystemTime,
    /// What was decided.
    pub verdict: Verdict,
    /// Whether the verdict was carried out: false under `observe_only` where the request would have been refused.
    pub enforced: bool,
    /// The precise reason code: a policy's reason, a fault's, a credential's. None for an allow.
    pub reason: Option<Box<str>>,
    /// The whole story for the operator, on one line. None for an allow.
    pub detail: Option<Box<str>>,
    /// The policy that denied or failed.
    pub policy: Option<Arc<str>>,
    /// The policy set that was asked.
    pub revision: Option<Revision>,
    /// The policies' own log lines: (policy, line).
    pub log: Vec<(Arc<str>, Box<str>)>,
    /// Who called, as far as that was established before the verdict.
    pub principal: Principal,
    /// The application's name for the question, where a handler asked.
    pub action: Option<Arc<str>>,
    /// The method, as sent.
    pub method: Option<Method>,
    /// The host; only where the request could be judged.
    pub host: Option<Box<str>>,
    /// The path, without the query, cut to 512 bytes.
    pub path: Option<Box<str>>,
    /// The route's template, cut to 512 bytes.
    pub route: Option<Arc<str>>,
    /// The request's `traceparent`, where it is well-formed (W3C Trace Context).
    pub trace_parent: Option<Box<str>>,
    /// The caller's `x-request-id`, where it is visible ASCII of at most 128 bytes.
    pub request_id: Option<Box<str>>,
    /// Fuel that the policies burnt.
    pub fuel: u64,
    /// Whether the decision was remembered rather than made: the policies were not asked, and did not log.
    pub cached: bool,
    /// Time that authentication took.
    pub authenticate: Duration,
    /// Time that authorization took.
    pub authorize: Duration,
    pub(crate) trace: Trace,
    pub(crate) redaction: Arc<Redaction>,
}

/// By hand: a sink that prints an event must not print what [`Redaction`] hides.
impl fmt::Debug for AuditEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditEvent")
            .field("id", &self.id)
            .field("time", &self.time)
            .field("verdict", &self.verdict)
            .field("enforced", &self.enforced)
            .field("reason", &self.reason)
            .field("detail", &self.detail)
            .field("policy", &self.policy)
            .field("revision", &self.revision)
            .field("log", &self.log)
            .field("principal", &self.principal)
            .field("action", &self.action)
            .field("method", &self.method)
            .field("host", &self.host)
            .field("path", &self.path)
            .field("route", &self.route)
            .field("trace_parent", &self.trace_parent)
            .field("request_id", &self.request_id)
            .field("fuel", &self.fuel)
            .field("authenticate", &self.authenticate)
            .field("authorize", &self.authorize)
            .field("reads", &self.reads())
            .finish_non_exhaustive()
    }
}

impl AuditEvent {
    /// What the policies read, in order, values hidden by the rule of [`Redaction`].
    pub fn reads(&self) -> Vec<AuditedRead> {
        self.redaction.apply(&self.trace)
    }

    /// The event as one line of JSON, without the line break. Every control character is escaped, so text from a
    /// caller cannot begin a line of its own.
    pub fn to_json(&self) -> String {
        let micros = |d: Duration| d.as_nanos() as f64 / 1000.0;
        let since = self.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut members = serde_json::Map::new();
        let mut put = |name: &str, value: Option<serde_json::Value>| {
            if let Some(value) = value {
                members.insert(name.to_owned(), value);
            }
        };
        let text = |text: &Option<Box<str>>| text.as_deref().map(Into::into);
        put("id", Some(self.id.as_str().into()));
        put("time", Some((since.as_millis() as u64).into()));
        put("verdict", Some(self.verdict.as_str().into()));
        put("enforced", Some(self.enforced.into()));
        put("reason", text(&self.reason));
        put("detail", text(&self.detail));
        put("policy", self.policy.as_deref().map(Into::into));
        put("revision", self.revision.as_ref().map(|revision| revision.to_string().into()));
        let reads = self.reads();
        let show = |read: &AuditedRead| {
            let value = read.value().map(ToString::to_string);
            serde_json::json!({ "read": read.read(), "value": value })
        };
        put("reads", (!reads.is_empty()).then(|| reads.iter().map(show).collect::<Vec<_>>().into()));
        let log =
            self.log.iter().map(|(policy, line)| serde_json::json!({ "policy": &**policy, "line": &**line }));
        put("log", (!self.log.is_empty()).then(|| log.collect::<Vec<_>>().into()));
        let (peer, claims) = (self.principal.peer(), self.principal.claims());
        put("peer", peer.map(|peer| peer.to_string().into()));
        put("peer_fingerprint", peer.map(|peer| peer.fingerprint_hex().into()));
        put("issuer", claims.map(|claims| claims.issuer().into()));
        put("subject", claims.and_then(|claims| claims.subject()).map(Into::into));
        put("remote_ip", self.principal.remote_ip().map(|ip| ip.to_string().into()));
        put("action", self.action.as_deref().map(Into::into));
        put("method", self.method.as_ref().map(|method| method.as_str().into()));
        put("host", text(&self.host));
        put("path", text(&self.path));
        put("route", self.route.as_deref().map(Into::into));
        put("trace_parent", text(&self.trace_parent));
        put("request_id", text(&self.request_id));
        put("fuel", (self.fuel > 0).then(|| self.fuel.into()));
        put("cached", self.cached.then(|| true.into()));
        put("authenticate_us", Some(micros(self.authenticate).into()));
        put("authorize_us", Some(micros(self.authorize).into()));
        escape_for_a_line(serde_json::Value::Object(members).to_string())
    }
}

/// JSON escapes the controls of ASCII; a terminal or a viewer may also act on DEL, the C1 controls, line separators and marks
/// that turn the direction of text.
fn escape_for_a_line(json: String) -> String {
    let acts = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    if !json.contains(acts) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        // All of them are in the basic plane, so four digits do.
        if acts(c) { escaped.push_str(&format!("\\u{:04x}", u32::from(c))) } else { escaped.push(c) }
    }
    escaped
}

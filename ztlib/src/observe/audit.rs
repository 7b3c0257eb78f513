//! The audit event: a typed value, one for each judgement.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Method;

use super::line;
use super::redaction::{AuditedRead, Redaction};
use super::story::EventData;
use crate::authenticate::Principal;
use crate::authorize::Revision;
use crate::authorize::next_change;
use crate::clock::unix_seconds;
use crate::request_id::RequestId;

/// Receives audit events. It is called on the request path, so it must neither block nor panic.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use ztlib::authenticate::Principal;
/// use ztlib::authorize::Labels;
/// use ztlib::enforce::Guard;
/// use ztlib::observe::{AuditEvent, AuditSink, Verdict};
/// use ztlib::policies::PolicySetBuilder;
///
/// /// Keeps the verdicts. A real sink puts events into a bounded queue.
/// #[derive(Clone, Default)]
/// struct Verdicts(Arc<Mutex<Vec<Verdict>>>);
/// impl AuditSink for Verdicts {
///     fn record(&self, event: AuditEvent) {
///         if let Ok(mut verdicts) = self.0.lock() {
///             verdicts.push(event.verdict());
///         }
///     }
/// }
///
/// # let policies = PolicySetBuilder::new()
/// #     .component("scopes", ztlib_policies::TOKEN_SCOPE)
/// #     .reasons(ztlib_policies::TOKEN_SCOPE_REASONS)
/// #     .config(serde_json::json!({
/// #         "rules": [{ "actions": ["catalogue.read"], "without-scope": true }],
/// #     }))
/// #     .load()?;
/// let sink = Verdicts::default();
/// let guard = Guard::builder().allow_unauthenticated_peers().allow_requests_without_token();
/// let guard = guard.policies(policies).audit(sink.clone()).build();
/// assert!(guard.ask(&Principal::anonymous(), "catalogue.read", Labels::new()).is_ok());
/// assert!(guard.ask(&Principal::anonymous(), "catalogue.write", Labels::new()).is_err());
/// assert_eq!(*sink.0.lock().unwrap(), [Verdict::Allow, Verdict::Deny]);
/// # Ok::<(), ztlib::policies::LoadError>(())
/// ```
pub trait AuditSink: Send + Sync + 'static {
    /// Receives one event.
    fn record(&self, event: AuditEvent);
}

/// Lets the program keep a handle to its sink.
impl<S: AuditSink + ?Sized> AuditSink for Arc<S> {
    fn record(&self, event: AuditEvent) {
        (**self).record(event);
    }
}

/// The kind of decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The policies allowed the request.
    Allow,
    /// The request passed because its route is public.
    Public,
    /// Denied by a policy.
    Deny,
    /// The peer or the token is missing or bad.
    Unauthenticated,
    /// The request cannot be judged.
    BadRequest,
    /// No decision could be reached.
    Fault,
}

impl Verdict {
    /// The stable name that events and metrics use.
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

/// Who called, what was asked, the decision and the reason. It never holds a secret: no token, key
/// or certificate, and no header value except those named here. Its `Debug` output shows reads as
/// [`AuditEvent::reads`] does.
///
/// Cloning is cheap: a clone is the same event. A request's permit shares it.
#[derive(Clone)]
pub struct AuditEvent(pub(crate) Arc<EventData>);

/// The longest path and the longest route in an audit event, in bytes.
const MAX_SHOWN_BYTES: usize = 512;
/// The maximum number of labels in an audit event.
const MAX_SHOWN_LABELS: usize = 32;

/// Written by hand, because a sink that prints an event must not print what
/// [`Redaction`](super::Redaction) hides.
impl fmt::Debug for AuditEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditEvent")
            .field("id", &self.id())
            .field("time", &self.time())
            .field("verdict", &self.verdict())
            .field("enforced", &self.enforced())
            .field("reason", &self.reason())
            .field("detail", &self.detail())
            .field("policy", &self.policy())
            .field("revision", &self.revision())
            .field("log", &self.0.log)
            .field("principal", &self.principal())
            .field("service", &self.service())
            .field("instance", &self.instance())
            .field("parent", &self.parent())
            .field("action", &self.action())
            .field("object", &self.object())
            .field("labels", &self.labels())
            .field("method", &self.method())
            .field("host", &self.host())
            .field("path", &self.path())
            .field("route", &self.route())
            .field("trace_parent", &self.trace_parent())
            .field("request_id", &self.request_id())
            .field("fuel", &self.fuel())
            .field("cached", &self.cached())
            .field("authenticate", &self.authenticate())
            .field("authorize", &self.authorize())
            .field("reads", &self.reads())
            .finish()
    }
}

impl AuditEvent {
    pub(crate) fn new(story: EventData) -> Self {
        Self(Arc::new(story))
    }

    /// The id that the caller also sees.
    pub fn id(&self) -> RequestId {
        self.0.id
    }

    /// When the judgement was made.
    pub fn time(&self) -> SystemTime {
        self.0.time
    }

    /// What was decided.
    pub fn verdict(&self) -> Verdict {
        self.0.verdict
    }

    /// Whether the verdict took effect. False only under `observe_only`, if the request would have
    /// been refused.
    pub fn enforced(&self) -> bool {
        self.0.enforced
    }

    /// The precise reason code of a policy, a fault or a credential. `None` for an allow.
    pub fn reason(&self) -> Option<&str> {
        self.0.objection.as_deref().map(|objection| objection.reason.as_ref())
    }

    /// The full explanation for the operator, on one line. `None` for an allow.
    pub fn detail(&self) -> Option<&str> {
        self.0.objection.as_deref().map(|objection| objection.detail.as_ref())
    }

    /// The policy that denied or failed.
    pub fn policy(&self) -> Option<&str> {
        self.0.objection.as_deref().and_then(|objection| objection.policy.as_deref())
    }

    /// The policy set that was asked.
    pub fn revision(&self) -> Option<Revision> {
        self.0.revision
    }

    /// Whether the policies were asked for this decision, now or when it was cached. The revision
    /// does not tell: an event names it even if the set was too old to be asked.
    pub(super) fn asked_policies(&self) -> bool {
        self.0.trace.is_some()
    }

    /// The policies' own log lines: (policy, line).
    pub fn log(&self) -> Vec<(&str, &str)> {
        self.0.log.iter().map(|(policy, line)| (policy.as_ref(), line.as_ref())).collect()
    }

    /// Who called, as far as that was known when the verdict was reached.
    pub fn principal(&self) -> &Principal {
        &self.0.principal
    }

    /// The application's name for the action, cut to 512 bytes. `None` for a request.
    pub fn action(&self) -> Option<&str> {
        self.0.subject.action.as_deref()
    }

    /// The object that the application named with [`Ask::object`](crate::enforce::Ask::object): its
    /// kind and its id, each cut to 512 bytes.
    pub fn object(&self) -> Option<(&str, &str)> {
        self.0.subject.object.as_deref().map(|object| (object.kind.as_ref(), object.id.as_ref()))
    }

    /// For a question: the id of the request whose permit supplied the principal. `None` for a
    /// request, and for a principal that does not come from one.
    pub fn parent(&self) -> Option<RequestId> {
        self.0.subject.parent
    }

    /// The labels that the application attached, sorted by name: (name, value), each cut to 512
    /// bytes, and at most 32 of them. A value is `None` if [`Redaction`](super::Redaction) hides
    /// it, whether or not a policy read it.
    pub fn labels(&self) -> Vec<(&str, Option<&str>)> {
        let is_shown =
            |name: &str| self.0.redaction.as_deref().is_some_and(|redaction| redaction.shows_label(name));
        let labels = self.0.subject.labels.pairs().take(MAX_SHOWN_LABELS);
        labels.map(|(name, value)| (cut(name), is_shown(name).then(|| cut(value)))).collect()
    }

    /// The service's name, if the guard was [given one](crate::enforce::GuardBuilder::service).
    pub fn service(&self) -> Option<&str> {
        self.0.place.as_deref().and_then(|place| place.service.as_deref())
    }

    /// Which of the service's processes made the judgement, if the guard was [given a
    /// name](crate::enforce::GuardBuilder::instance).
    pub fn instance(&self) -> Option<&str> {
        self.0.place.as_deref().and_then(|place| place.instance.as_deref())
    }

    /// The method, cut to 64 bytes.
    pub fn method(&self) -> Option<&Method> {
        self.0.subject.method.as_ref()
    }

    /// The host. `None` if the request could not be judged.
    pub fn host(&self) -> Option<&str> {
        Some(self.0.subject.target.host()).filter(|host| !host.is_empty())
    }

    /// The path, without the query, cut to 512 bytes.
    pub fn path(&self) -> Option<&str> {
        self.method().map(|_| cut(self.0.subject.target.path()))
    }

    /// The route's template, cut to 512 bytes. For a gRPC call it is the path that the caller sent.
    /// For a question of the application's own, it is the route of the request that
    /// [`parent`](Self::parent) names.
    pub fn route(&self) -> Option<&str> {
        self.0.subject.route.as_deref().map(cut)
    }

    /// The request's `traceparent`, if it is well-formed (W3C Trace Context). For a question, that
    /// of the request from which it was asked.
    pub fn trace_parent(&self) -> Option<&str> {
        self.0.subject.forwarded.as_deref().and_then(|forwarded| forwarded.trace_parent.as_deref())
    }

    /// The caller's `x-request-id`, if it is visible ASCII of at most 128 bytes. For a question, as
    /// for [`trace_parent`](Self::trace_parent).
    pub fn request_id(&self) -> Option<&str> {
        self.0.subject.forwarded.as_deref().and_then(|forwarded| forwarded.request_id.as_deref())
    }

    /// The fuel that the policies used.
    pub fn fuel(&self) -> u64 {
        self.0.fuel
    }

    /// Whether the decision came from the cache. The policies were then not asked, and logged
    /// nothing.
    pub fn cached(&self) -> bool {
        self.0.cached
    }

    /// The time that authentication took. `None` if peer and token were already known: that takes
    /// less time than reading a clock.
    pub fn authenticate(&self) -> Option<Duration> {
        self.0.authenticate
    }

    /// The time that a fresh evaluation took. `None` for a cached decision.
    pub fn authorize(&self) -> Option<Duration> {
        self.0.authorize
    }

    /// The second since 1970 at which time alone would change one of this decision's reads, for
    /// this principal.
    pub(crate) fn changes_at(&self) -> Option<u64> {
        let reads = self.0.trace.as_deref()?.reads().map(|(read, _)| read);
        next_change(reads, &self.principal().facts(), unix_seconds(self.time()))
    }

    /// What the policies read, in order. [`Redaction`](super::Redaction) decides which values are
    /// hidden.
    pub fn reads(&self) -> Vec<AuditedRead> {
        let Some(trace) = &self.0.trace else { return Vec::new() };
        match &self.0.redaction {
            Some(redaction) => redaction.apply(trace),
            None => Redaction::new().apply(trace),
        }
    }

    /// The event as one line of JSON, without the line break. Every control character is escaped,
    /// so a caller's text cannot start a line of its own.
    pub fn to_json(&self) -> String {
        line::of(self)
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_SHOWN_BYTES)).unwrap_or_default()
}

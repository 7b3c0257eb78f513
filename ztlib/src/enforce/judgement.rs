//! One judgement, from the request to its permit or refusal and the audit event: the life of a request, in order.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{HeaderMap, HeaderName};

use super::guard::{Established, Judged, Settings, Stage};
use super::matched::MatchedRoute;
use super::obligations;
use super::permit::{Permit, Standing};
use super::refusal::{Cause, Refusal};
use super::target::{self, TargetError};
use crate::authenticate::Principal;
use crate::authenticate::peer::PeerIdentity;
use crate::authenticate::token::VerifiedClaims;
use crate::authorize::policy::{PolicySet, Revision};
use crate::authorize::{
    Asked, Decision, Fault, HeaderChange, Labels, Question, RequestFacts, Settled, Trace, next_change,
    same_spelling,
};
use crate::clock::{Stopwatch, unix_seconds};
use crate::observe::{self, AuditEvent, RequestId, Verdict};
use crate::tls::RemoteAddr;

/// The longest path in an audit event, in bytes.
const MAX_AUDITED_PATH: usize = 512;

/// What is still to be done for a request that goes through; its permit is in the request.
pub(super) struct Passage {
    pub(super) response_headers: Vec<HeaderChange>,
}

/// One judgement under way. Policies and time are taken once, so that all of it sees one revision and one moment.
pub(super) struct Judgement<'g> {
    settings: &'g Settings,
    policies: Arc<PolicySet>,
    now: SystemTime,
    id: RequestId,
    principal: Principal,
    /// The revision, once it has been asked.
    revision: Option<Revision>,
    trace: Trace,
    log: Vec<(Arc<str>, Box<str>)>,
    fuel: u64,
    cached: bool,
    authenticate: Duration,
    authorize: Duration,
}

/// What an audit event says of a request.
#[derive(Default)]
struct Description {
    action: Option<Arc<str>>,
    method: Option<http::Method>,
    host: Option<Box<str>>,
    path: Option<Box<str>>,
    route: Option<Arc<str>>,
    trace_parent: Option<Box<str>>,
    request_id: Option<Box<str>>,
}

impl<'g> Judgement<'g> {
    pub(super) fn begin(settings: &'g Settings) -> Self {
        Self::at(settings, settings.policies.current(), settings.clock.now())
    }

    /// Another judgement of the same batch: by the same revision and at the same moment.
    pub(super) fn another(&self) -> Self {
        Self::at(self.settings, self.policies.clone(), self.now)
    }

    fn at(settings: &'g Settings, policies: Arc<PolicySet>, now: SystemTime) -> Self {
        Self {
            settings,
            policies,
            now,
            id: RequestId::next(),
            principal: Principal::anonymous(),
            revision: None,
            trace: Trace::default(),
            log: Vec::new(),
            fuel: 0,
            cached: false,
            authenticate: Duration::ZERO,
            authorize: Duration::ZERO,
        }
    }

    /// Judges a request.
    pub(super) fn judge(mut self, mut parts: Parts) -> Judged {
        strip_claimed_identities(&mut parts.headers);
        let matched = parts.extensions.remove::<MatchedRoute>().unwrap_or_default();
        let remote_ip = parts.extensions.get::<RemoteAddr>().map(|remote| remote.0.ip());
        self.principal = Principal::anonymous().from_address(remote_ip);
        let mut description = Description::of(&parts, &matched);

        let host = match self.check_target(&parts, &matched) {
            Ok(host) => host,
            Err(error) => return self.finish(parts, description, Err(Cause::Target(error))),
        };
        description.host = Some(host.clone());

        if matched.template.as_deref().is_some_and(|route| self.settings.public_routes.contains(route)) {
            return self.finish(parts, description, Ok((Standing::Public, Settled::default())));
        }

        let watch = Stopwatch::start();
        let authenticated = self.authenticate(&parts, remote_ip);
        self.authenticate = watch.elapsed();
        if let Err(cause) = authenticated {
            return self.finish(parts, description, Err(cause));
        }

        let labels = parts.extensions.get::<Labels>().cloned().unwrap_or_default();
        let path = matched.path.unwrap_or_else(|| parts.uri.path().into());
        let facts = RequestFacts { parts, host, path, route: matched.template, params: matched.params };
        match self.authorize(Asked::Request(Box::new(facts)), labels) {
            (Asked::Request(facts), decided) => {
                let decided = decided.map(|settled| (Standing::Allowed, settled));
                self.finish(facts.parts, description, decided)
            }
            // The sandbox gives back what it was given; were it not so, there is no request left to let through.
            (Asked::Action(_), _) => {
                let lost =
                    Cause::Fault(Fault::new("question-lost", "the sandbox did not give the question back"));
                self.finish(http::Request::new(()).into_parts().0, description, Err(lost))
            }
        }
    }

    /// Judges a question of the application's own.
    #[allow(clippy::result_large_err, reason = "as for Guard::ask")]
    pub(super) fn ask(
        mut self,
        principal: &Principal,
        action: &str,
        labels: Labels,
    ) -> Result<Permit, Refusal> {
        self.principal = principal.clone();
        let decided = self.check_again().and_then(|()| {
            let (_, decided) = self.authorize(Asked::Action(action.into()), labels);
            decided.map(|_| Standing::Allowed)
        });
        self.conclude_question(action, decided)
    }

    #[allow(clippy::result_large_err, reason = "as for Guard::ask")]
    pub(super) fn conclude_question(
        self,
        action: &str,
        decided: Result<Standing, Cause>,
    ) -> Result<Permit, Refusal> {
        self.conclude(decided, Description { action: Some(action.into()), ..Description::default() })
    }

    /// Path, host and method before anything else: what cannot be judged is not judged.
    fn check_target(&self, parts: &Parts, matched: &MatchedRoute) -> Result<Box<str>, TargetError> {
        let path = matched.path.as_deref().unwrap_or_else(|| parts.uri.path());
        let target = target::check(parts, path)?;
        if target.encoded_slash {
            let allowed = |route: &str| self.settings.encoded_slash_routes.contains(route);
            if !matched.template.as_deref().is_some_and(allowed) {
                return Err(TargetError::PathEncodedSlash);
            }
        }
        for (_, value) in &matched.params {
            target::check_parameter(value)?;
        }
        Ok(target.host)
    }

    fn authenticate(&mut self, parts: &Parts, remote_ip: Option<std::net::IpAddr>) -> Result<(), Cause> {
        let peer = match &self.settings.peers {
            Stage::Verify(peers) => peers.authenticate(&parts.extensions, self.now).map_err(Cause::Peer)?,
            Stage::FromLayer => established::<PeerIdentity>(parts)?,
            Stage::Absent => None,
        };
        // Who the peer is stands in the audit event even where the token is not good.
        self.principal = Principal::new(peer.clone(), None).from_address(remote_ip);
        let claims = match &self.settings.tokens {
            Stage::Verify(tokens) => tokens.authenticate(&parts.headers, self.now).map_err(Cause::Token)?,
            Stage::FromLayer => established::<VerifiedClaims>(parts)?,
            Stage::Absent => None,
        };
        self.principal = Principal::new(peer, claims).from_address(remote_ip);
        // The layers checked the credentials at their own moment.
        self.check_again()
    }

    /// T7: a credential's own life is looked at on every request and every question, whatever was checked before.
    fn check_again(&self) -> Result<(), Cause> {
        if let Some(peer) = self.principal.peer() {
            let now = unix_seconds(self.now);
            let checked = match &self.settings.peers {
                Stage::Verify(peers) => peers.recheck(peer, now),
                // Whose roots they were, only the layer knows.
                Stage::FromLayer | Stage::Absent => peer.check_validity(now),
            };
            checked.map_err(Cause::Peer)?;
        }
        if let Some(claims) = self.principal.claims() {
            claims.recheck(self.now).map_err(Cause::Token)?;
        }
        Ok(())
    }

    fn authorize(&mut self, asked: Asked, labels: Labels) -> (Asked, Result<Settled, Cause>) {
        let watch = Stopwatch::start();
        let question = Box::new(Question::new(self.principal.clone(), asked, labels, self.now));
        let (mut evaluation, cached) = match &self.settings.cache {
            Some(cache) => {
                let decided = cache.decide(&self.policies, question);
                (decided.evaluation, decided.cached)
            }
            None => (self.policies.evaluate(question), false),
        };
        self.cached = cached;
        observe::metrics::decided(cached);
        self.authorize = watch.elapsed();
        self.revision = Some(*self.policies.revision());
        self.trace = evaluation.trace;
        self.log = evaluation.log;
        self.fuel = evaluation.fuel;
        let decided = match evaluation.result {
            // What is copied is taken from this request, whoever the decision was first made for.
            Ok(Decision::Allow(obligations)) => obligations
                .settle(&mut evaluation.question, self.policies.view(), &self.id)
                .map_err(Cause::Fault),
            Ok(Decision::Deny(denial)) => Err(Cause::Denial(denial)),
            Err(fault) => Err(Cause::Fault(fault)),
        };
        (evaluation.question.asked, decided)
    }

    /// Carries out what was decided on a request.
    fn finish(
        self,
        mut parts: Parts,
        description: Description,
        decided: Result<(Standing, Settled), Cause>,
    ) -> Judged {
        let (decided, settled) = match decided {
            Ok((standing, settled)) => (Ok(standing), settled),
            Err(cause) => (Err(cause), Settled::default()),
        };
        let result = self.conclude(decided, description).map(|permit| {
            obligations::apply(&settled.request, &mut parts.headers);
            parts.extensions.insert(permit);
            Passage { response_headers: settled.response }
        });
        Judged { parts, result }
    }

    /// The permit or the refusal, and the audit event: the one place that says yes.
    #[allow(clippy::result_large_err, reason = "as for Guard::ask")]
    fn conclude(self, decided: Result<Standing, Cause>, description: Description) -> Result<Permit, Refusal> {
        let (verdict, policy) = match &decided {
            Ok(Standing::Public) => (Verdict::Public, None),
            Ok(_) => (Verdict::Allow, None),
            Err(Cause::Target(_)) => (Verdict::BadRequest, None),
            Err(Cause::Peer(_) | Cause::Token(_)) => (Verdict::Unauthenticated, None),
            Err(Cause::Denial(denial)) => (Verdict::Deny, Some(denial.policy.clone())),
            Err(Cause::Fault(fault)) => (Verdict::Fault, fault.policy().map(Into::into)),
        };
        let changes_at =
            next_change(self.trace.reads().map(|(read, _)| read), &self.principal, unix_seconds(self.now));
        let enforced = decided.is_ok() || !self.settings.observe_only;
        let event = AuditEvent {
            id: self.id.clone(),
            time: self.now,
            verdict,
            enforced,
            reason: decided.as_ref().err().map(|cause| cause.code().into()),
            detail: decided.as_ref().err().map(|cause| cause.to_string().into()),
            policy,
            revision: self.revision,
            log: self.log,
            principal: self.principal.clone(),
            action: description.action,
            method: description.method,
            host: description.host,
            path: description.path,
            route: description.route,
            trace_parent: description.trace_parent,
            request_id: description.request_id,
            fuel: self.fuel,
            cached: self.cached,
            authenticate: self.authenticate,
            authorize: self.authorize,
            trace: self.trace,
            redaction: self.settings.redaction.clone(),
        };
        observe::emit(event, self.settings.sink.as_deref());
        match decided {
            Ok(standing) => Ok(Permit::new(self.id, self.principal, self.revision, standing, changes_at)),
            Err(_) if self.settings.observe_only => {
                Ok(Permit::new(self.id, self.principal, self.revision, Standing::Observed, changes_at))
            }
            Err(cause) => Err(Refusal::new(self.id, cause, self.settings.challenge())),
        }
    }
}

/// What a layer outside of the guard found. That it did not run is a fault, not an anonymous caller.
fn established<T: Clone + Send + Sync + 'static>(parts: &Parts) -> Result<Option<T>, Cause> {
    let found = parts.extensions.get::<Established<T>>().map(|established| established.0.clone());
    found.ok_or_else(|| {
        let detail = "the layer that authenticates did not run: put it outside of the authorization layer";
        Cause::Fault(Fault::new("stage-missing", detail))
    })
}

/// Headers under ztlib's own name, and those in which a proxy says whose certificate it saw (Envoy's, and RFC 9440), never come from a
/// caller, in any spelling: TLS ends here, so whoever sends them speaks for themselves.
fn strip_claimed_identities(headers: &mut HeaderMap) {
    const CLAIMED: [&str; 3] = ["x-forwarded-client-cert", "client-cert", "client-cert-chain"];
    let claims = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("ztlib-")
            || name.starts_with("ztlib_")
            || CLAIMED.iter().any(|claimed| same_spelling(name, claimed))
    };
    let names: Vec<_> = headers.keys().filter(|name| claims(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

impl Description {
    fn of(parts: &Parts, matched: &MatchedRoute) -> Self {
        let path = matched.path.as_deref().unwrap_or_else(|| parts.uri.path());
        let (path, _) = path.split_at(path.floor_char_boundary(MAX_AUDITED_PATH));
        let header = |name: &str, good: fn(&str) -> bool| {
            let value = parts.headers.get(name)?.to_str().ok()?;
            good(value).then(|| value.into())
        };
        Self {
            action: None,
            method: Some(parts.method.clone()),
            host: None,
            path: Some(path.into()),
            route: matched.template.as_ref().map(cut),
            trace_parent: header("traceparent", is_trace_parent),
            request_id: header("x-request-id", |id| (1..=128).contains(&id.len())),
        }
    }
}

/// The route of a gRPC call is a path that its caller wrote.
fn cut(route: &Arc<str>) -> Arc<str> {
    match route.split_at(route.floor_char_boundary(MAX_AUDITED_PATH)) {
        (_, "") => route.clone(),
        (beginning, _) => beginning.into(),
    }
}

/// W3C Trace Context section 3.2: `00-` 32 hex `-` 16 hex `-` 2 hex.
fn is_trace_parent(value: &str) -> bool {
    let hex = |text: Option<&str>, length: usize| {
        text.is_some_and(|text| {
            text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let mut fields = value.split('-');
    hex(fields.next(), 2)
        && hex(fields.next(), 32)
        && hex(fields.next(), 16)
        && hex(fields.next(), 2)
        && fields.next().is_none()
}

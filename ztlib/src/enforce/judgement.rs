//! One judgement: from a request to its permit or refusal and the audit event. The functions follow
//! the life of a request, in order.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::Guard as Loaded;
use http::Method;
use http::request::Parts;

use super::arrival::take_in;
use super::ask::Ask;
use super::guard::{Established, Judged, Settings, Stage};
use super::hints::LetThrough;
use super::matched::{MAX_KEPT_PATH, MatchedRoute, beginning};
use super::obligations;
use super::permit::Permit;
use super::respond::{Cause, Refusal};
use crate::authenticate::Principal;
use crate::authenticate::peer::{PeerCertificates, PeerIdentity};
use crate::authenticate::token::VerifiedClaims;
use crate::authorize::Seen;
use crate::authorize::{
    Asked, Decided, Decision, Denial, Fault, FaultOrigin, HeaderChange, Labels, Question, Read, RequestFacts,
    Settled, Target, Trace,
};
use crate::authorize::{PolicySet, Revision};
use crate::clock::{Stopwatch, unix_seconds};
use crate::observe;
use crate::observe::{AuditEvent, EventData, Objection, Subject, Verdict};
use crate::origin::Origin;
use crate::remote_addr::RemoteAddr;
use crate::request_id::RequestId;
use ztlib_contract::target;
use ztlib_contract::target::TargetError;

/// The longest method kept for an audit event, in bytes. A method is any token, and callers choose
/// it.
const MAX_KEPT_METHOD: usize = 64;

/// What remains to be done for a request that passes. Its permit is in the request.
pub(super) struct Allowed {
    pub(super) response_headers: Vec<HeaderChange>,
    /// Where the answer is to be looked at.
    pub(super) watched: Option<LetThrough>,
}

/// A judgement in progress. It takes the policies and the time once, so all of it sees one revision
/// and one moment.
pub(super) struct Judgement<'g> {
    settings: &'g Settings,
    policies: &'g PolicySet,
    now: SystemTime,
    id: RequestId,
    principal: Principal,
    /// The revision, once its policies were asked.
    revision: Option<Revision>,
    trace: Option<Arc<Trace>>,
    log: Vec<(Arc<str>, Box<str>)>,
    fuel: u64,
    cached: bool,
    authenticate: Option<Duration>,
    authorize: Option<Duration>,
}

/// The policies in force when a judgement begins.
pub(super) struct InForce(Loaded<Arc<PolicySet>>);

impl InForce {
    pub(super) fn now(settings: &Settings) -> Self {
        Self(settings.policies.in_force())
    }
}

impl<'g> Judgement<'g> {
    pub(super) fn begin(settings: &'g Settings, policies: &'g InForce) -> Self {
        Self::at(settings, &policies.0, settings.clock.now())
    }

    /// Another judgement of the same batch, by the same revision and at the same moment.
    pub(super) fn another(&self) -> Self {
        Self::at(self.settings, self.policies, self.now)
    }

    fn at(settings: &'g Settings, policies: &'g PolicySet, now: SystemTime) -> Self {
        Self {
            settings,
            policies,
            now,
            id: RequestId::next(),
            principal: Principal::anonymous(),
            revision: None,
            trace: None,
            log: Vec::new(),
            fuel: 0,
            cached: false,
            authenticate: None,
            authorize: None,
        }
    }

    /// Judges a request.
    pub(super) fn judge(mut self, mut parts: Box<Parts>, matched: MatchedRoute) -> Judged {
        let forwarded = take_in(&mut parts.headers);
        let remote_ip = parts.extensions.get::<RemoteAddr>().map(|remote| remote.0.ip());
        self.principal = Principal::anonymous().from_address(remote_ip);
        let mut subject = Subject {
            method: Some(kept_method(&parts.method)),
            route: matched.template.as_ref().map(kept_route),
            labels: parts.extensions.get::<Labels>().cloned().unwrap_or_default(),
            forwarded,
            ..Subject::default()
        };

        let target = match self.check_target(&parts, &matched) {
            Ok(target) => target,
            Err(error) => {
                let path = matched.path.as_deref().unwrap_or_else(|| parts.uri.path());
                subject.target = Target::new("", beginning(path));
                return self.finish(parts, subject, Err(Cause::Target(error)));
            }
        };
        if matched.template.as_deref().is_some_and(|route| self.settings.public_routes.contains(route)) {
            subject.target = target;
            return self.finish(parts, subject, Ok((Standing::Public, Settled::default())));
        }
        if let Err(cause) = self.authenticate(&parts, remote_ip) {
            subject.target = target;
            return self.finish(parts, subject, Err(cause));
        }

        let labels = subject.labels.clone();
        let facts = RequestFacts { parts, target, route: matched.template, params: matched.params };
        match self.authorize(Asked::Request(facts), labels) {
            (Asked::Request(facts), decided) => {
                subject.target = facts.target;
                let decided = decided.map(|settled| (Standing::Allowed, settled));
                self.finish(facts.parts, subject, decided)
            }
            // The sandbox returns the question it was given. If it did not, there would be no
            // request to let through.
            (Asked::Action(_), _) => {
                let lost =
                    Cause::Fault(Fault::new("question-lost", "the sandbox did not return the question"));
                self.finish(Box::new(http::Request::new(()).into_parts().0), subject, Err(lost))
            }
        }
    }

    /// Judges a question of the application's own.
    #[allow(clippy::result_large_err, reason = "as for Guard::ask")]
    pub(super) fn ask(mut self, principal: &Principal, ask: Ask) -> Result<Permit, Refusal> {
        let subject = asked_about(principal, &ask);
        self.principal = principal.clone();
        let decided = self.check_again().and_then(|()| {
            let (_, decided) = self.authorize(Asked::Action(ask.action), ask.labels);
            decided.map(|_| Standing::Allowed)
        });
        self.conclude(decided, subject)
    }

    /// Refuses a question of the application's own without judging it.
    #[allow(clippy::result_large_err, reason = "as for Guard::ask")]
    pub(super) fn refuse_question(
        mut self,
        principal: &Principal,
        ask: &Ask,
        cause: Cause,
    ) -> Result<Permit, Refusal> {
        self.principal = principal.clone();
        self.conclude(Err(cause), asked_about(principal, ask))
    }

    /// Checks path, host and method first: a request without a clear target cannot be judged.
    fn check_target(&self, parts: &Parts, matched: &MatchedRoute) -> Result<Target, TargetError> {
        let path = matched.path.as_deref().unwrap_or_else(|| parts.uri.path());
        let spellings = self.settings.spellings.on(matched.template.as_deref());
        let checked = target::check(parts, path, spellings)?;
        if checked.encoded_slash {
            let allowed = |route: &str| self.settings.encoded_slash_routes.contains(route);
            if !matched.template.as_deref().is_some_and(allowed) {
                return Err(TargetError::PathEncodedSlash);
            }
        }
        for (_, value) in matched.params.iter() {
            target::check_parameter(value)?;
        }
        Ok(Target::new(&checked.host, path))
    }

    /// Takes what was established earlier, if it is still valid, and works out the rest. Only that
    /// work is timed.
    fn authenticate(&mut self, parts: &Parts, remote_ip: Option<IpAddr>) -> Result<(), Cause> {
        let now = self.now;
        let mut watch = None;
        let certificates = parts.extensions.get::<PeerCertificates>();
        let peer = match &self.settings.peers {
            Stage::Verify(peers) => match peers.known(certificates, now) {
                Some(peer) => Some(peer),
                None => {
                    watch.get_or_insert_with(Stopwatch::start);
                    peers.authenticate(&parts.extensions, now).map_err(Cause::Peer)?
                }
            },
            // The layer checked it at its own time. Only the layer knows the roots.
            Stage::FromLayer => established::<PeerIdentity>(parts)?
                .map(|peer| peer.check_validity(unix_seconds(now)).map(|()| peer))
                .transpose()
                .map_err(Cause::Peer)?,
            Stage::Absent => None,
        };
        // The audit event names the peer even if the token is bad.
        self.principal = Principal::new(peer, None).from_address(remote_ip).judged_by(self.settings.number);
        let claims = match &self.settings.tokens {
            Stage::Verify(tokens) => match tokens.known(&parts.headers, certificates, now) {
                Some(claims) => Some(claims),
                None => {
                    watch.get_or_insert_with(Stopwatch::start);
                    tokens.authenticate_on(certificates, &parts.headers, now).map_err(Cause::Token)?
                }
            },
            Stage::FromLayer => established::<VerifiedClaims>(parts)?
                .map(|claims| claims.recheck(now).map(|()| claims))
                .transpose()
                .map_err(Cause::Token)?,
            Stage::Absent => None,
        };
        self.principal = std::mem::take(&mut self.principal).with_claims(claims);
        self.authenticate = watch.map(Stopwatch::elapsed);
        Ok(())
    }

    /// T7: the validity of a credential is checked on every request and every question, even if it
    /// was checked before and no matter by whom. A principal is easily cloned and carried from one
    /// guard to another; here, a proof is valid only on this guard's terms.
    fn check_again(&mut self) -> Result<(), Cause> {
        let now = self.now;
        let checked = self.principal.peer().map(|peer| match &self.settings.peers {
            Stage::Verify(peers) => peers.recheck(peer, unix_seconds(now)).map(Some).map_err(Cause::Peer),
            // Only the layer knows the roots.
            Stage::FromLayer => {
                self.check_own("peer")?;
                peer.check_validity(unix_seconds(now)).map(|()| Some(peer.clone())).map_err(Cause::Peer)
            }
            // As for a request: a proof that this guard does not take is shown to no policy.
            Stage::Absent => Ok(None),
        });
        let peer = checked.transpose()?.flatten();
        self.principal = std::mem::take(&mut self.principal).with_peer(peer);
        let checked = self.principal.claims().map(|claims| match &self.settings.tokens {
            Stage::Verify(tokens) => tokens.recheck(claims, now).map(Some).map_err(Cause::Token),
            Stage::FromLayer => {
                self.check_own("token")?;
                claims.recheck(now).map(|()| Some(claims.clone())).map_err(Cause::Token)
            }
            Stage::Absent => Ok(None),
        });
        let claims = checked.transpose()?.flatten();
        self.principal = std::mem::take(&mut self.principal).with_claims(claims);
        Ok(())
    }

    /// If a layer verifies for this guard, only a principal that came through that layer is known
    /// to be verified.
    fn check_own(&self, proof: &str) -> Result<(), Cause> {
        if self.principal.was_judged_by(self.settings.number) {
            return Ok(());
        }
        let detail = format!(
            "this guard takes its {proof} from a layer and cannot tell who verified this one: use the \
             principal of a permit of this guard"
        );
        Err(Cause::Fault(Fault::new("stage-foreign", detail)))
    }

    fn authorize(&mut self, asked: Asked, labels: Labels) -> (Asked, Result<Settled, Cause>) {
        if let Some(fault) = self.settings.policies.too_old(self.now) {
            self.revision = Some(*self.policies.revision());
            return (asked, Err(Cause::Fault(fault)));
        }
        let question = Question::new(self.principal.facts(), asked, labels, self.now);
        let mut decided = match &self.settings.cache {
            Some(cache) => cache.decide(self.policies, question),
            None => Decided::fresh(self.policies, question),
        };
        // The decision is made; a trial of another set may now observe it.
        if self.settings.policies.is_looked_on() {
            self.settings.policies.show(&Seen {
                id: self.id,
                parent: self
                    .principal
                    .origin()
                    .filter(|_| decided.question.request().is_err())
                    .map(|origin| origin.id),
                question: &decided.question,
                result: &decided.result,
                trace: &decided.trace,
                by: self.policies,
            });
        }
        self.cached = decided.cached;
        self.authorize = decided.took;
        self.revision = Some(*self.policies.revision());
        if self.principal.remote_ip().is_none() {
            self.settings.hints.without_address(&decided.trace);
        }
        self.trace = Some(decided.trace);
        self.log = decided.log;
        self.fuel = decided.fuel;
        let result = match decided.result {
            // Copied values come from this request, even if the decision was first made for
            // another.
            Ok(Decision::Allow(obligations)) => obligations
                .settle(&mut decided.question, self.policies.view(), &self.id)
                .map_err(Cause::Fault),
            Ok(Decision::Deny(denial)) if self.is_for_want_of_a_route(&decided.question.asked, &denial) => {
                Err(Cause::NoRoute(denial))
            }
            Ok(Decision::Deny(denial)) => Err(Cause::Denial(denial)),
            Err(fault) => Err(Cause::Fault(fault)),
        };
        (decided.question.asked, result)
    }

    /// Whether a request was denied because no route matches it: the policies asked for the route,
    /// found none, and did not go on to read the path, by which they could still decide. A denial
    /// that asks for a stronger login is not one of these.
    fn is_for_want_of_a_route(&self, asked: &Asked, denial: &Denial) -> bool {
        let Asked::Request(facts) = asked else { return false };
        let decided_by_route = |trace: &Arc<Trace>| {
            let looks_at_path = |read: &Read| matches!(read, Read::Path | Read::PathMatches(_));
            trace.value(&Read::Route).is_some() && !trace.reads().any(|(read, _)| looks_at_path(read))
        };
        facts.route.is_none()
            && denial.step_up().is_none()
            && self.trace.as_ref().is_some_and(decided_by_route)
    }

    /// Carries out the decision on a request.
    fn finish(
        self,
        mut parts: Box<Parts>,
        subject: Subject,
        decided: Result<(Standing, Settled), Cause>,
    ) -> Judged {
        let (decided, settled) = match decided {
            Ok((standing, settled)) => (Ok(standing), settled),
            Err(cause) => (Err(cause), Settled::default()),
        };
        let hints = &self.settings.hints;
        let result = self.conclude(decided, subject);
        let result = result.inspect_err(|refusal| hints.refused(&parts, refusal.cause())).map(|permit| {
            let watched = hints.let_through(&parts.headers);
            obligations::apply(&settled.request, &mut parts.headers);
            parts.extensions.insert(permit);
            Allowed { response_headers: settled.response, watched }
        });
        Judged { parts, result }
    }

    /// Builds the permit or the refusal, and the audit event. This is the only place that makes a
    /// permit.
    #[allow(clippy::result_large_err, reason = "as for Guard::ask")]
    fn conclude(self, decided: Result<Standing, Cause>, mut subject: Subject) -> Result<Permit, Refusal> {
        let (verdict, policy) = match &decided {
            Ok(Standing::Public) => (Verdict::Public, None),
            Ok(Standing::Allowed) => (Verdict::Allow, None),
            Err(Cause::Target(_)) => (Verdict::BadRequest, None),
            Err(Cause::Peer(_) | Cause::Token(_)) => (Verdict::Unauthenticated, None),
            Err(Cause::Denial(denial)) => (Verdict::Deny, Some(denial.policy.clone())),
            Err(Cause::NoRoute(_)) => (Verdict::Deny, None),
            Err(Cause::Fault(fault)) => {
                let verdict = match fault.origin() {
                    FaultOrigin::Request => Verdict::BadRequest,
                    FaultOrigin::Service => Verdict::Fault,
                };
                (verdict, fault.policy().map(Into::into))
            }
        };
        let objection = |cause: &Cause| {
            Box::new(Objection { reason: cause.code().into(), detail: cause.to_string().into(), policy })
        };
        let (settings, id) = (self.settings, self.id);
        let is_enforced = settings.enforcement.is_enforced(subject.route.as_deref());
        let is_carried_out = decided.is_ok() || is_enforced;
        subject.target.cut(MAX_KEPT_PATH);
        // Questions that a handler asks about this principal name the request it comes from.
        let principal = if subject.action.is_some() {
            self.principal
        } else {
            let (route, forwarded) = (subject.route.clone(), subject.forwarded.clone());
            self.principal.with_origin(Origin { id, route, forwarded })
        };
        let event = AuditEvent::new(EventData {
            id,
            time: self.now,
            verdict,
            enforced: is_carried_out,
            cached: self.cached,
            principal,
            revision: self.revision,
            subject,
            objection: decided.as_ref().err().map(objection),
            log: self.log,
            fuel: self.fuel,
            authenticate: self.authenticate,
            authorize: self.authorize,
            trace: self.trace,
            redaction: settings.redaction.clone(),
            place: settings.place.clone(),
        });
        observe::emit(&event, &settings.counters, settings.sink.as_deref());
        match decided {
            Err(cause) if is_carried_out => Err(Refusal::new(id, cause, settings.challenge())),
            _ => Ok(Permit::new(event)),
        }
    }
}

/// Why a request passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The policies allowed it.
    Allowed,
    /// Its route is public by `allow_public_route`.
    Public,
}

/// What a layer outside of the guard found. If the layer did not run, that is a fault and not an
/// anonymous caller.
fn established<T: Clone + Send + Sync + 'static>(parts: &Parts) -> Result<Option<T>, Cause> {
    let found = parts.extensions.get::<Established<T>>().map(|established| established.0.clone());
    found.ok_or_else(|| {
        let detail = "the layer that authenticates did not run: put it outside of the authorization layer";
        Cause::Fault(Fault::new("stage-missing", detail))
    })
}

/// What the audit event of a question says. It names the parent request if the principal comes from
/// one.
fn asked_about(principal: &Principal, ask: &Ask) -> Subject {
    let origin = principal.origin();
    Subject {
        action: Some(beginning(&ask.action).into()),
        object: ask.kept_object(beginning),
        parent: origin.map(|origin| origin.id),
        labels: ask.labels.clone(),
        route: origin.and_then(|origin| origin.route.clone()),
        forwarded: origin.and_then(|origin| origin.forwarded.clone()),
        ..Subject::default()
    }
}

fn kept_method(method: &Method) -> Method {
    let beginning = method.as_str().as_bytes().get(..MAX_KEPT_METHOD);
    beginning.and_then(|bytes| Method::from_bytes(bytes).ok()).unwrap_or_else(|| method.clone())
}

/// The route of a gRPC call is a path that the caller wrote.
fn kept_route(route: &Arc<str>) -> Arc<str> {
    if route.len() > MAX_KEPT_PATH { beginning(route).into() } else { route.clone() }
}

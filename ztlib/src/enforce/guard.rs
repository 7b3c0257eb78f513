//! The guard, which a service builds once and puts around everything.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::request::Parts;

use super::ask::Ask;
use super::builder::{GuardBuilder, WantsPeers};
use super::enforcement::Enforcement;
use super::hints::{Hints, LetThrough};
use super::judgement::{Allowed, InForce, Judgement};
use super::matched::MatchedRoute;
use super::obligations;
use super::permit::Permit;
use super::respond::RefusalForm;
use super::respond::{Cause, Challenge, Refusal};
use crate::authenticate::Principal;
use crate::authenticate::peer::PeerAuthenticator;
use crate::authenticate::token::TokenAuthenticator;
use crate::authorize::HeaderChange;
use crate::authorize::{CacheStatus, DecisionCache, Fault, Labels};
use crate::clock::SharedClock;
use crate::observe::{AuditSink, Place, Redaction, Remembered};
use crate::policies::PolicyStore;
use ztlib_contract::AllowedSpellings;

/// The maximum number of questions in one [`Guard::ask_all`].
pub const MAX_QUESTIONS: usize = 1000;

/// Authenticates, authorizes, enforces and observes. Cheap to clone; every clone is the same guard.
///
/// Wrap a service in it with [`GuardLayer`](super::GuardLayer), or a whole router with the adapters
/// `ztlib-axum` and `ztlib-tonic`. To decide about an object that a handler has loaded, use
/// [`Guard::ask`].
///
/// ```
/// use ztlib::authenticate::Principal;
/// use ztlib::authorize::Labels;
/// use ztlib::enforce::Guard;
/// use ztlib::policies::PolicySetBuilder;
///
/// let policies = PolicySetBuilder::new()
///     .component("scopes", ztlib_policies::TOKEN_SCOPE)
///     .reasons(ztlib_policies::TOKEN_SCOPE_REASONS)
///     .config(serde_json::json!({
///         "rules": [{ "actions": ["catalogue.read"], "without-scope": true }],
///     }))
///     .load()?;
/// let guard = Guard::builder()
///     .allow_unauthenticated_peers()
///     .allow_requests_without_token()
///     .policies(policies)
///     .build();
///
/// let nobody = Principal::anonymous();
/// assert!(guard.ask(&nobody, "catalogue.read", Labels::new()).is_ok());
/// let refusal = guard.ask(&nobody, "catalogue.write", Labels::new()).unwrap_err();
/// assert_eq!((refusal.code(), refusal.status().as_u16()), ("no-rule", 403));
/// # Ok::<(), ztlib::policies::LoadError>(())
/// ```
#[derive(Clone)]
pub struct Guard(pub(super) Arc<Settings>);

/// The settings that a guard was built with.
pub(super) struct Settings {
    /// Unique in this process, and never 0.
    pub(super) number: u64,
    pub(super) peers: Stage<PeerAuthenticator>,
    pub(super) tokens: Stage<TokenAuthenticator>,
    pub(super) policies: PolicyStore,
    pub(super) cache: Option<DecisionCache>,
    pub(super) clock: SharedClock,
    pub(super) sink: Option<Arc<dyn AuditSink>>,
    /// `None` means the default redaction.
    pub(super) redaction: Option<Arc<Redaction>>,
    /// Which process this is, if the guard was told.
    pub(super) place: Option<Arc<Place>>,
    pub(super) enforcement: Enforcement,
    pub(super) public_routes: BTreeSet<Box<str>>,
    pub(super) encoded_slash_routes: BTreeSet<Box<str>>,
    pub(super) spellings: AllowedSpellings,
    pub(super) hints: Hints,
    pub(super) counters: Remembered,
    pub(super) refusal_form: Option<Arc<dyn RefusalForm>>,
}

/// The number of the next guard.
pub(super) fn next_number() -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// The source of a proof, that of the peer or that of the token.
pub(super) enum Stage<A> {
    /// The guard verifies it.
    Verify(A),
    /// A layer outside of the guard has verified it. If that layer did not run, the request is a
    /// fault.
    FromLayer,
    /// The service takes no such proof.
    Absent,
}

/// Left in the request by `AuthenticatePeerLayer` and `AuthenticateTokenLayer`: what they found,
/// even if that is nothing.
#[derive(Clone)]
pub(crate) struct Established<T>(pub(crate) Option<T>);

/// A judged request. Returns its parts, changed as the obligations require.
pub(super) struct Judged {
    pub(super) parts: Box<Parts>,
    pub(super) result: Result<Allowed, Refusal>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("observe_only", &self.observes_only()).finish_non_exhaustive()
    }
}

impl Guard {
    /// Begins a guard. The builder asks for peers, tokens and policies in turn, so none can be
    /// forgotten.
    pub fn builder() -> GuardBuilder<WantsPeers> {
        GuardBuilder::new()
    }

    /// The policies that decide.
    pub fn policies(&self) -> &PolicyStore {
        &self.0.policies
    }

    /// Usage of the decision cache; `None` if the guard has none.
    ///
    /// ```
    /// # fn f(guard: &ztlib::enforce::Guard) {
    /// if let Some(cache) = guard.decision_cache() {
    ///     println!(
    ///         "{} of {} bytes in {} decisions",
    ///         cache.bytes, cache.bounds.bytes, cache.entries
    ///     );
    /// }
    /// # }
    /// ```
    pub fn decision_cache(&self) -> Option<CacheStatus> {
        self.0.cache.as_ref().map(DecisionCache::status)
    }

    /// Whether refusals are only reported, because of `observe_only`.
    pub fn observes_only(&self) -> bool {
        matches!(self.0.enforcement, Enforcement::Nowhere)
    }

    /// The routes named to [`observe_only_except`](super::GuardBuilder::observe_only_except) that no
    /// request has met so far. Ask after the service's own checks have called each route: a
    /// template that is left was mistyped, and nothing is enforced on the route it was meant for.
    pub fn enforced_routes_not_met(&self) -> Vec<&str> {
        self.0.enforcement.not_met()
    }

    /// Decides a question of the application's own: may this principal perform this action on an
    /// object with these labels?
    ///
    /// The credentials are checked again, by the rules that this guard applies to requests: a
    /// long-running handler may outlive them, and the principal may come from another guard, which
    /// this one does not trust. The token must satisfy one of this guard's issuers (key, audience
    /// and all other terms), and the peer must chain to this guard's roots.
    ///
    /// If this guard does not take a proof at all (`allow_requests_without_token`,
    /// `allow_unauthenticated_peers`), it is not shown to the policies. If a layer outside
    /// verifies, the guard does not know its roots and issuers, so the principal must come from a
    /// permit of this guard. If the principal lacks a proof, none is demanded: the policies see an
    /// anonymous caller, as on a public route.
    ///
    /// The policies see `action` and the labels, but no request. The question leaves an audit event
    /// as a request does. If the principal comes from a permit, the event names that request as its
    /// parent. [`ask_about`](Self::ask_about) also records which object was asked about.
    ///
    /// # Errors
    /// The refusal, ready to return to the caller.
    // The refusal is large and rare, and callers return it at once.
    #[allow(
        clippy::result_large_err,
        reason = "a refusal is built once and returned; boxing it would only move it"
    )]
    pub fn ask(&self, principal: &Principal, action: &str, labels: Labels) -> Result<Permit, Refusal> {
        self.ask_about(principal, Ask::new(action).labels(labels))
    }

    /// As [`ask`](Self::ask), but the audit event also names the object. In a handler, use the
    /// principal of the request's permit: `guard.ask_about(permit.principal(), Ask::new(…))`.
    ///
    /// # Errors
    /// The refusal, ready to return to the caller.
    #[allow(clippy::result_large_err, reason = "as for ask")]
    pub fn ask_about(&self, principal: &Principal, ask: Ask) -> Result<Permit, Refusal> {
        Judgement::begin(&self.0, &InForce::now(&self.0)).ask(principal, ask)
    }

    /// Decides many questions in order, all by the same revision and at the same moment. Each
    /// leaves its own audit event. Questions beyond [`MAX_QUESTIONS`] are not looked at: the last
    /// result is then one refusal for all of them.
    pub fn ask_all<'q>(
        &self,
        principal: &Principal,
        questions: impl IntoIterator<Item = (&'q str, Labels)>,
    ) -> Vec<Result<Permit, Refusal>> {
        let questions = questions.into_iter().map(|(action, labels)| Ask::new(action).labels(labels));
        self.ask_all_about(principal, questions)
    }

    /// As [`ask_all`](Self::ask_all), for questions that name objects as
    /// [`ask_about`](Self::ask_about) does.
    pub fn ask_all_about(
        &self,
        principal: &Principal,
        questions: impl IntoIterator<Item = Ask>,
    ) -> Vec<Result<Permit, Refusal>> {
        let in_force = InForce::now(&self.0);
        let first = Judgement::begin(&self.0, &in_force);
        let one = |(index, question): (usize, Ask)| {
            if index < MAX_QUESTIONS {
                return first.another().ask(principal, question);
            }
            let fault = Fault::new(
                "too-many-questions",
                format!("a batch holds at most {MAX_QUESTIONS} questions: split it into several"),
            );
            first.another().refuse_question(principal, &question, Cause::Fault(fault))
        };
        questions.into_iter().take(MAX_QUESTIONS + 1).enumerate().map(one).collect()
    }

    /// Judges the parts of a request without a service behind it, for a protocol, server or
    /// framework that is not built on tower. For tower services, [`GuardLayer`](super::GuardLayer)
    /// does all of this.
    ///
    /// `matched` is what the router found. The returned parts are all that may reach the handler:
    /// they hold the [`Permit`], and their headers are changed as the policies require.
    ///
    /// # Errors
    /// The [`Refusal`]. Like every judgement, it leaves an audit event.
    ///
    /// ```
    /// # use ztlib::{authorize::*, policies::PolicySetBuilder};
    /// use ztlib::enforce::{Guard, MatchedRoute};
    /// # struct OnlyReads;
    /// # impl NativePolicy for OnlyReads {
    /// #     fn decide(&self, question: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
    /// #         Ok(if &*question.method()? == "GET" { Answer::Allow } else { Answer::Deny })
    /// #     }
    /// # }
    /// # let policies = PolicySetBuilder::new().native("only-reads", OnlyReads).load()?;
    /// # let guard = Guard::builder().allow_unauthenticated_peers().allow_requests_without_token();
    /// # let guard = guard.policies(policies).build();
    /// let parts = |request: http::request::Builder| {
    ///     request.header("host", "shop.test").body(()).map(|r| r.into_parts().0)
    /// };
    ///
    /// let allowed = guard.judge(parts(http::Request::get("/orders"))?, MatchedRoute::default());
    /// assert!(allowed.is_ok());
    /// let refused =
    ///     guard.judge(parts(http::Request::delete("/orders"))?, MatchedRoute::default());
    /// assert_eq!(refused.err().map(|refusal| refusal.status().as_u16()), Some(403));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[allow(clippy::result_large_err, reason = "as for Guard::ask")]
    pub fn judge(&self, parts: Parts, matched: MatchedRoute) -> Result<Passed, Refusal> {
        let Judged { parts, result } = self.judge_request(Box::new(parts), matched);
        result.map(|allowed| Passed { parts, response_headers: allowed.response_headers })
    }

    /// Judges a request.
    pub(super) fn judge_request(&self, parts: Box<Parts>, matched: MatchedRoute) -> Judged {
        Judgement::begin(&self.0, &InForce::now(&self.0)).judge(parts, matched)
    }

    /// Looks for layers in the wrong place.
    pub(super) fn look_at_answer(&self, request: LetThrough, answer: &http::HeaderMap) {
        self.0.hints.answered(request, answer);
    }

    /// The custom form of refusals over HTTP, if any.
    pub(super) fn refusal_form(&self) -> Option<&dyn RefusalForm> {
        self.0.refusal_form.as_deref()
    }
}

/// A request that may pass, as the handler is to see it.
#[must_use = "the policies' changes to the request and response must be applied"]
pub struct Passed {
    parts: Box<Parts>,
    response_headers: Vec<HeaderChange>,
}

impl Passed {
    /// The request for the handler, with its [`Permit`] in the extensions, and the changes to make
    /// to the headers of its response.
    pub fn into_parts(self) -> (Parts, ResponseObligations) {
        (*self.parts, ResponseObligations(self.response_headers))
    }
}

impl std::fmt::Debug for Passed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passed")
    }
}

/// The changes that the policies require in the response.
#[must_use = "the policies allowed the request on condition that these are applied"]
pub struct ResponseObligations(Vec<HeaderChange>);

impl ResponseObligations {
    /// Sets and removes the headers.
    pub fn apply(self, headers: &mut http::HeaderMap) {
        obligations::apply(&self.0, headers);
    }
}

impl std::fmt::Debug for ResponseObligations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ResponseObligations").field(&self.0.len()).finish()
    }
}

impl Settings {
    /// The scheme that a 401 names.
    pub(super) fn challenge(&self) -> Challenge {
        match self.tokens {
            Stage::Absent => Challenge::Certificate,
            Stage::Verify(_) | Stage::FromLayer => Challenge::Bearer,
        }
    }
}

//! Builds a guard: callers, then tokens, then policies. Each choice is made exactly once, and every
//! loosening is a verb.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::enforcement::Enforcement;
use super::guard::{Guard, Settings, Stage, next_number};
use super::hints::Hints;
use super::respond::RefusalForm;
use crate::authenticate::peer::PeerAuthenticator;
use crate::authenticate::token::TokenAuthenticator;
use crate::authorize::{CacheLimits, DecisionCache};
use crate::clock::{Clock, SharedClock};
use crate::observe::{AuditSink, Place, Redaction, Remembered};
use crate::policies::PolicyStore;
use ztlib_contract::{AllowedSpellings, PathSpelling};

/// A guard under construction. The type parameter tracks which choice comes next; you never need to
/// write it.
#[must_use = "a builder guards nothing until `build`"]
pub struct GuardBuilder<State>(State);

/// Next: how peers are authenticated.
#[derive(Debug)]
pub struct WantsPeers(());

/// Next: how tokens are verified.
pub struct WantsTokens {
    peers: Stage<PeerAuthenticator>,
}

/// Next: which policies decide.
pub struct WantsPolicies {
    peers: Stage<PeerAuthenticator>,
    tokens: Stage<TokenAuthenticator>,
}

/// All choices are made; what remains has a safe default.
pub struct Ready(Settings);

impl<State> std::fmt::Debug for GuardBuilder<State> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GuardBuilder")
    }
}

impl GuardBuilder<WantsPeers> {
    pub(super) fn new() -> Self {
        Self(WantsPeers(()))
    }

    /// Requires a client certificate that this authenticator accepts. [`PeerAuthenticator`] has the
    /// verbs that loosen it.
    #[cfg(feature = "peers")]
    pub fn peers(self, peers: impl Into<PeerAuthenticator>) -> GuardBuilder<WantsTokens> {
        GuardBuilder(WantsTokens { peers: Stage::Verify(peers.into()) })
    }

    /// Takes the peer from an [`AuthenticatePeerLayer`](super::layers::AuthenticatePeerLayer)
    /// outside of the guard. If that layer did not run, every request is refused as a fault.
    ///
    /// The guard does not know the roots of that layer. [`Guard::ask`] therefore rechecks only the
    /// dates of the peer, and accepts only a principal from a permit of this guard. If the layer
    /// itself refuses a request, that leaves a `tracing` event and no audit event.
    #[cfg(feature = "peers")]
    pub fn peers_from_layer(self) -> GuardBuilder<WantsTokens> {
        GuardBuilder(WantsTokens { peers: Stage::FromLayer })
    }

    /// Loosens: no client certificate is requested, and one that is presented is ignored.
    pub fn allow_unauthenticated_peers(self) -> GuardBuilder<WantsTokens> {
        GuardBuilder(WantsTokens { peers: Stage::Absent })
    }
}

impl GuardBuilder<WantsTokens> {
    /// Requires a bearer token that this authenticator accepts. [`TokenAuthenticator`] has the
    /// verbs that loosen it.
    #[cfg(feature = "tokens")]
    pub fn tokens(self, tokens: impl Into<TokenAuthenticator>) -> GuardBuilder<WantsPolicies> {
        GuardBuilder(WantsPolicies { peers: self.0.peers, tokens: Stage::Verify(tokens.into()) })
    }

    /// Takes the token from an [`AuthenticateTokenLayer`](super::layers::AuthenticateTokenLayer)
    /// outside of the guard. If that layer did not run, every request is refused as a fault.
    /// [`Guard::ask`] accepts only a principal from a permit of this guard.
    #[cfg(feature = "tokens")]
    pub fn tokens_from_layer(self) -> GuardBuilder<WantsPolicies> {
        GuardBuilder(WantsPolicies { peers: self.0.peers, tokens: Stage::FromLayer })
    }

    /// Loosens: no token is required, and one that is sent is ignored.
    pub fn allow_requests_without_token(self) -> GuardBuilder<WantsPolicies> {
        GuardBuilder(WantsPolicies { peers: self.0.peers, tokens: Stage::Absent })
    }
}

impl GuardBuilder<WantsPolicies> {
    /// The policies that decide.
    pub fn policies(self, policies: PolicyStore) -> GuardBuilder<Ready> {
        GuardBuilder(Ready(Settings {
            number: next_number(),
            peers: self.0.peers,
            tokens: self.0.tokens,
            policies,
            cache: Some(DecisionCache::new(CacheLimits::default())),
            clock: SharedClock::default(),
            sink: None,
            redaction: None,
            place: None,
            enforcement: Enforcement::Everywhere,
            public_routes: BTreeSet::new(),
            encoded_slash_routes: BTreeSet::new(),
            spellings: AllowedSpellings::default(),
            hints: Hints::default(),
            counters: Remembered::new(),
            refusal_form: None,
        }))
    }
}

impl GuardBuilder<Ready> {
    /// Sends audit events to this sink, in addition to the `tracing` events, which are always
    /// emitted.
    pub fn audit(mut self, sink: impl AuditSink) -> Self {
        self.0.0.sink = Some(Arc::new(sink));
        self
    }

    /// Answers refusals over HTTP in a custom form: a login page for browsers, or your own error
    /// format. The form sees only what the caller may know.
    pub fn refusal_form(mut self, form: impl RefusalForm) -> Self {
        self.0.0.refusal_form = Some(Arc::new(form));
        self
    }

    /// How much the decision cache may hold. It needs no other setting: a decision is reused only
    /// if a fresh evaluation would return the same, so a change of a role, a document or a policy
    /// never requires a flush.
    pub fn cache_limits(mut self, bounds: CacheLimits) -> Self {
        self.0.0.cache = Some(DecisionCache::new(bounds));
        self
    }

    /// Evaluates every question afresh, for comparisons or for services with very little memory.
    pub fn without_decision_cache(mut self) -> Self {
        self.0.0.cache = None;
        self
    }

    /// Which values audit events show. By default the values of headers, claims, documents and the
    /// like are hidden.
    pub fn redaction(mut self, redaction: Redaction) -> Self {
        self.0.0.redaction = Some(Arc::new(redaction));
        self
    }

    /// The service's name in audit events, cut to 128 bytes, such as `shop-orders`. The environment
    /// is not read; if OpenTelemetry names the service, pass `std::env::var("OTEL_SERVICE_NAME")`.
    pub fn service(mut self, name: impl AsRef<str>) -> Self {
        self.place(|place| place.service = Some(beginning(name.as_ref())));
        self
    }

    /// Which of the service's processes this is, in audit events, cut to 128 bytes. For example the
    /// name of the pod, or the host and the port.
    pub fn instance(mut self, id: impl AsRef<str>) -> Self {
        self.place(|place| place.instance = Some(beginning(id.as_ref())));
        self
    }

    fn place(&mut self, change: impl FnOnce(&mut Place)) {
        // Nobody else holds this `Arc` before the guard is built.
        if let Some(place) = Arc::get_mut(self.0.0.place.get_or_insert_default()) {
            change(place);
        }
    }

    /// The clock. By default the machine's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.0.0.clock = SharedClock::new(clock);
        self
    }

    /// Loosens: requests to the route with this template pass without authentication and without
    /// policies. Their path, host and method are still checked, and they leave an audit event. For
    /// gRPC: `/grpc.health.v1.Health/Check`.
    pub fn allow_public_route(mut self, template: impl Into<Box<str>>) -> Self {
        self.0.0.public_routes.insert(template.into());
        self
    }

    /// Loosens: allows an escaped slash (`%2F`) in a path that matches the route with this
    /// template. Code that decodes the parameter sees a slash in it. A parameter with a segment `.`
    /// or `..` is still refused.
    pub fn allow_encoded_slash(mut self, template: impl Into<Box<str>>) -> Self {
        self.0.0.encoded_slash_routes.insert(template.into());
        self
    }

    /// Loosens: paths in this spelling pass unchanged, on every route and when no route matches.
    /// Two spellings of one path are two different texts. Routing and parameters treat them alike,
    /// but a rule on the path itself, or a service behind that decodes it, may not
    /// (`docs/paths.md`).
    ///
    /// ```
    /// # use ztlib::policies::PolicyStore;
    /// use ztlib::enforce::{Guard, PathSpelling};
    /// # fn f(policies: PolicyStore) {
    /// let guard = Guard::builder().allow_unauthenticated_peers().allow_requests_without_token();
    /// let guard =
    ///     guard.policies(policies).allow_path_spelling(PathSpelling::LowercaseEscapes).build();
    /// # }
    /// ```
    pub fn allow_path_spelling(mut self, spelling: PathSpelling) -> Self {
        self.0.0.spellings.allow(spelling);
        self
    }

    /// Loosens: as [`allow_path_spelling`](Self::allow_path_spelling), but on the route with this
    /// template only.
    pub fn allow_path_spelling_on(mut self, template: impl Into<Box<str>>, spelling: PathSpelling) -> Self {
        self.0.0.spellings.allow_on(template.into(), spelling);
        self
    }

    /// Loosens: decides and reports, but **never refuses anything**: not a missing certificate, not
    /// a bad token, not a denial, not a fault. [`Permit::enforced`](super::Permit::enforced) tells
    /// a handler whether the request would have been refused.
    pub fn observe_only(mut self) -> Self {
        self.0.0.enforcement = self.0.0.enforcement.observing();
        self
    }

    /// Loosens: as [`observe_only`](Self::observe_only), except on the routes with these templates,
    /// where refusals are carried out. It is the step between observing and enforcing: name one
    /// route after the other, and remove the call when all are named. For gRPC, name the method:
    /// `/shop.Inventory/Reserve`.
    ///
    /// A request that matches no route is only observed. A question (`Guard::ask`) belongs to the
    /// route of the request that the principal comes from; without one it is only observed.
    /// Templates are compared as text, the first 512 bytes of them. A mistyped one enforces nothing:
    /// it is logged after 1000 requests, and
    /// [`enforced_routes_not_met`](super::Guard::enforced_routes_not_met) returns it. Further calls
    /// add routes.
    ///
    /// ```
    /// # use ztlib::policies::PolicyStore;
    /// use ztlib::enforce::Guard;
    /// # fn f(policies: PolicyStore) {
    /// let guard = Guard::builder().allow_unauthenticated_peers().allow_requests_without_token();
    /// let guard = guard.policies(policies).observe_only_except(["/orders/{id}"]).build();
    /// # }
    /// ```
    pub fn observe_only_except<T: AsRef<str>>(mut self, templates: impl IntoIterator<Item = T>) -> Self {
        self.0.0.enforcement = self.0.0.enforcement.observing_except(templates);
        self
    }

    /// Builds the guard.
    pub fn build(self) -> Guard {
        match &self.0.0.enforcement {
            Enforcement::Everywhere => {}
            Enforcement::Nowhere => {
                tracing::warn!(target: "ztlib::guard", "this guard only observes: nothing is refused");
            }
            Enforcement::On(_) => tracing::warn!(
                target: "ztlib::guard", routes = ?self.0.0.enforcement.named(),
                "this guard refuses on these routes alone, and only observes on all others"
            ),
        }
        Guard(Arc::new(self.0.0))
    }
}

/// The longest name of a service or of an instance, in bytes.
const MAX_PLACE_BYTES: usize = 128;

fn beginning(text: &str) -> Box<str> {
    text.split_at(text.floor_char_boundary(MAX_PLACE_BYTES)).0.into()
}

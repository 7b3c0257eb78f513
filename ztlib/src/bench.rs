//! A way in for benchmarks, to what cannot be reached from outside. It promises nothing, and
//! nothing here lets a request through.

use std::time::SystemTime;

use http::{Extensions, HeaderMap, Request};

use crate::authenticate::Principal;
use crate::authenticate::peer::PeerCertificates;
use crate::authenticate::token::TokenAuthenticator;
use crate::authorize::{
    Asked, CacheLimits, Decided, Decision, DecisionCache, Labels, Params, Question, RequestFacts, Target,
};
use crate::policies::PolicyStore;

/// One question, asked again and again.
pub struct Decisions {
    policies: PolicyStore,
    cache: DecisionCache,
    question: Option<Question>,
}

/// Where a decision comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "benchmarks go through all of them")]
pub enum From {
    /// The few that this thread found last.
    Front,
    /// The cache that all threads share.
    Shared,
    /// A fresh sandbox.
    Fresh,
}

impl std::fmt::Debug for Decisions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decisions")
    }
}

impl Decisions {
    /// A request of this principal to a route with these parameters.
    pub fn new(
        policies: &PolicyStore,
        principal: Principal,
        request: Request<()>,
        route: &str,
        params: &[(&str, &str)],
        now: SystemTime,
    ) -> Self {
        let parts = Box::new(request.into_parts().0);
        let target = Target::new("localhost", parts.uri.path());
        let mut own = Params::default();
        params.iter().for_each(|(name, value)| own.push(name, value));
        let facts = RequestFacts { parts, target, route: Some(route.into()), params: own };
        let question = Question::new(principal.facts(), Asked::Request(facts), Labels::new(), now);
        let cache = DecisionCache::new(CacheLimits::default());
        Self { policies: policies.clone(), cache, question: Some(question) }
    }

    /// Decides; says whether it is an allow, and whether it came from where it was to come from.
    pub fn decide(&mut self, from: From) -> (bool, bool) {
        let policies = self.policies.in_force();
        let Some(mut question) = self.question.take() else { return (false, false) };
        let (allow, as_wanted) = match from {
            From::Fresh => {
                let decided = Decided::fresh(&policies, question);
                question = decided.question;
                (matches!(decided.result, Ok(Decision::Allow(_))), true)
            }
            From::Shared => {
                let found = self.cache.shared(&policies, &mut question);
                let allow =
                    |entry: &crate::authorize::Remembered| matches!(entry.decision, Decision::Allow(_));
                (found.as_ref().is_some_and(|(_, entry)| allow(entry)), found.is_some())
            }
            From::Front => {
                let decided = self.cache.decide(&policies, question);
                question = decided.question;
                (matches!(decided.result, Ok(Decision::Allow(_))), decided.cached)
            }
        };
        self.question = Some(question);
        (allow, as_wanted)
    }

    /// How many reads the decision depends on.
    pub fn reads(&mut self) -> usize {
        let policies = self.policies.in_force();
        let Some(question) = self.question.take() else { return 0 };
        let decided = Decided::fresh(&policies, question);
        self.question = Some(decided.question);
        decided.trace.reads().len()
    }
}

/// Whether the token in these headers is known: from what the connection of these extensions sent
/// last, or from the cache that all share.
pub fn token_is_known(
    tokens: &TokenAuthenticator,
    headers: &HeaderMap,
    connection: Option<&Extensions>,
    now: SystemTime,
) -> bool {
    let certificates = connection.and_then(|extensions| extensions.get::<PeerCertificates>());
    tokens.known(headers, certificates, now).is_some()
}

//! The policies of `plugins/policies`, from their documentation, and how a set of them decides.

mod copies;
mod rbac;
mod rules;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Refused, spiffe_id_matches};
use crate::scenario::{Policy, PolicySet, ScenarioError};

use copies::Copies;
use rules::{PeerAllowList, StepUp, TokenScope};

pub use rbac::rbac;

/// What is known about a question.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "differential tests make it")]
pub struct Facts<'f> {
    /// The application's name for the question; none for a request.
    pub action: Option<&'f str>,
    /// The method of the request.
    pub method: &'f str,
    /// The template that matched.
    pub route: Option<&'f str>,
    /// Who asks.
    pub caller: &'f Caller,
    /// In seconds since 1970.
    pub now: u64,
}

/// Who asks.
#[derive(Debug, Clone, Default)]
#[allow(clippy::exhaustive_structs, reason = "differential tests make it")]
pub struct Caller {
    /// The mTLS peer.
    pub peer: Option<Peer>,
    /// The claims of the token.
    pub claims: Option<Map<String, Value>>,
    /// The issuer of the token is not the home issuer.
    pub of_another_issuer: bool,
}

/// A peer that was authenticated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "differential tests make it")]
pub struct Peer {
    /// The SPIFFE ID.
    pub spiffe_id: Option<String>,
    /// The name of the authority behind a peer without one.
    pub authority: Option<String>,
    /// The DNS names of such a peer.
    pub dns_names: Vec<String>,
}

/// What one policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the contract promises these three for ever")]
pub enum Outcome {
    /// It allows.
    Allow,
    /// It denies.
    Deny {
        /// Why.
        reason: String,
        /// The text for the caller.
        message: Option<String>,
        /// The challenge of a step-up.
        challenge: Option<String>,
    },
    /// It has nothing to say.
    Abstain,
}

/// An outcome, or the code of the fault because of which there is none.
type Asked = Result<Outcome, &'static str>;

/// Asks the policies in order: the first deny wins; the set allows where every required policy
/// allows and at least one does.
pub(super) fn ask(set: &PolicySet, facts: &Facts<'_>) -> Result<Result<(), Refused>, ScenarioError> {
    let mut allowed = false;
    // Policies with rules by route deny where there is none; that is told as what it is.
    let by_route = |kind: &str| matches!(kind, "rbac" | "peer-allow-list" | "token-scope" | "step-up");
    let mut asked_for_route = false;
    let bare = |policy: &str, reason: &str| Refused::Denied {
        policy: policy.to_owned(),
        reason: reason.to_owned(),
        message: None,
        challenge: None,
    };
    for policy in &set.policies {
        asked_for_route |= by_route(&policy.kind);
        let no_route = asked_for_route && facts.action.is_none() && facts.route.is_none();
        match ask_policy(policy, &set.documents, facts)? {
            Ok(Outcome::Allow) => allowed = true,
            Ok(Outcome::Abstain) if policy.may_abstain => {}
            Ok(Outcome::Abstain | Outcome::Deny { challenge: None, .. }) if no_route => {
                return Ok(Err(Refused::NoRoute));
            }
            Ok(Outcome::Abstain) => return Ok(Err(bare(&policy.name, "abstained"))),
            Ok(Outcome::Deny { reason, .. }) if reason != "denied" && !policy.reasons.contains(&reason) => {
                return Ok(Err(Refused::Fault {
                    policy: Some(policy.name.clone()),
                    code: "outcome-undeclared-reason".to_owned(),
                }));
            }
            Ok(Outcome::Deny { reason, message, challenge }) => {
                return Ok(Err(Refused::Denied { policy: policy.name.clone(), reason, message, challenge }));
            }
            // Claims are the only values of the scenarios that are of a wrong type.
            Err(code @ "read-wrong-type") => {
                let policy = Some(policy.name.clone());
                return Ok(Err(Refused::Unreadable { policy, code: code.to_owned() }));
            }
            Err(code) => {
                return Ok(Err(Refused::Fault { policy: Some(policy.name.clone()), code: code.to_owned() }));
            }
        }
    }
    if !allowed && asked_for_route && facts.action.is_none() && facts.route.is_none() {
        return Ok(Err(Refused::NoRoute));
    }
    if !allowed {
        return Ok(Err(bare("policy-set", "no-policy-allowed")));
    }
    // What an allow obliges to is carried out only where all of it can be.
    for policy in set.policies.iter().filter(|policy| policy.kind == "probe") {
        if let Err(code) = read::<Copies>(&policy.config)?.carry_out(facts) {
            // All that the scenarios copy is sent by the caller.
            let unreadable = code != "outcome-malformed-source";
            let (policy, code) = (None, code.to_owned());
            return Ok(Err(if unreadable {
                Refused::Unreadable { policy, code }
            } else {
                Refused::Fault { policy, code }
            }));
        }
    }
    Ok(Ok(()))
}

/// Asks one policy.
///
/// # Errors
/// The model does not know the policy, or cannot read its configuration.
pub fn ask_policy(
    policy: &Policy,
    documents: &BTreeMap<String, Value>,
    facts: &Facts<'_>,
) -> Result<Asked, ScenarioError> {
    Ok(match policy.kind.as_str() {
        "rbac" => rbac(&policy.config, documents, facts)?,
        "peer-allow-list" => Ok(read::<PeerAllowList>(&policy.config)?.ask(facts)),
        "token-scope" => Ok(read::<TokenScope>(&policy.config)?.ask(facts)),
        "step-up" => Ok(read::<StepUp>(&policy.config)?.ask(facts)),
        "allow-all" => Ok(Outcome::Allow),
        "probe" => read::<Copies>(&policy.config).map(|_| Ok(Outcome::Allow))?,
        "deny-all" => Ok(denied("denied")),
        "trap" => Err("trap"),
        "endless-loop" => Err("fuel-spent"),
        "memory-bomb" => Err("memory-limit"),
        "undeclared-reason" => Err("outcome-undeclared-reason"),
        "undeclared-document" => Err("read-undeclared-document"),
        "secret-header" => Err("read-secret"),
        other => return Err(ScenarioError::new(format!("the model does not know the policy `{other}`"))),
    })
}

fn denied(reason: &str) -> Outcome {
    Outcome::Deny { reason: reason.to_owned(), message: None, challenge: None }
}

fn read<T: DeserializeOwned>(config: &Value) -> Result<T, ScenarioError> {
    T::deserialize(config).map_err(|error| ScenarioError::because("the configuration of a policy", &error))
}

/// Whether the word of the issuer of the caller's token counts where a configuration names these
/// issuers.
fn counts(facts: &Facts<'_>, issuers: &[String]) -> bool {
    let Some(issuer) = claim(facts, "iss").and_then(Value::as_str) else { return false };
    if issuers.is_empty() { !facts.caller.of_another_issuer } else { issuers.iter().any(|own| own == issuer) }
}

/// What a rule is for: methods and routes, actions, or both.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Covers {
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    routes: Vec<String>,
    #[serde(default)]
    actions: Vec<String>,
}

impl Covers {
    fn covers(&self, facts: &Facts<'_>) -> bool {
        match (facts.action, facts.route) {
            (Some(action), _) => self.actions.iter().any(|own| own == action),
            (None, Some(route)) => {
                self.methods.iter().any(|method| method == "*" || method == facts.method)
                    && self.routes.iter().any(|own| covers_route(own, route))
            }
            (None, None) => false,
        }
    }
}

/// `*` at the end is any one segment but a catch-all, `**` at the end the rest and the route above
/// it.
fn covers_route(own: &str, route: &str) -> bool {
    if let Some(prefix) = own.strip_suffix("/**") {
        return route == prefix || route.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
    }
    if let Some(prefix) = own.strip_suffix("/*") {
        let segment = route.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/'));
        return segment.is_some_and(|one| !one.is_empty() && !one.contains('/') && !one.starts_with("{*"));
    }
    own == route
}

fn claim<'f>(facts: &Facts<'f>, name: &str) -> Option<&'f Value> {
    facts.caller.claims.as_ref()?.get(name)
}

fn peer_matches(facts: &Facts<'_>, pattern: &str) -> bool {
    let id = facts.caller.peer.as_ref().and_then(|peer| peer.spiffe_id.as_deref());
    id.is_some_and(|id| spiffe_id_matches(pattern, id))
}

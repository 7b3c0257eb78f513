//! The reference model: what becomes of a request, in plain Rust.
//!
//! It is written from the design and from the documentation of the policies, and asks no code of
//! ztlib that judges: it is the other side of every differential test. It knows keys and signatures
//! only as they are described (right or wrong). Where it and a stack differ, one of them is wrong.
//!
//! In order: path, host and method; whether the route is public; the peer; the token; the policies.

mod peer;
mod policies;
mod target;
mod token;

use serde_json::Value;

use crate::scenario::{Case, Cast, Decision, Exchange, Proof, ScenarioError, Scenarios, Service};
use crate::stack::{Answer, Reply, matched_route, reached};

pub use peer::{check_spiffe_id, spiffe_id_matches};
pub use policies::{Caller, Facts, Outcome, Peer, ask_policy, rbac};
pub use target::check_path;
pub use token::{check_credentials, verify as verify_token};

/// Why a request does not pass.
#[derive(Debug)]
enum Refused {
    /// It cannot be judged.
    Target(&'static str),
    /// The peer is not good.
    Peer(String),
    /// The token is not good.
    Token(&'static str),
    /// A policy denied.
    Denied { policy: String, reason: String, message: Option<String>, challenge: Option<String> },
    /// No route matches, and no policy allows that.
    NoRoute,
    /// No decision could be reached because of what the caller sent.
    Unreadable { policy: Option<String>, code: String },
    /// No decision could be reached because of the service.
    Fault { policy: Option<String>, code: String },
}

/// What becomes of a request.
///
/// # Errors
/// The case uses something that the model does not know.
pub fn judge(scenarios: &Scenarios, case: &Case, exchange: &Exchange) -> Result<Answer, ScenarioError> {
    let service = scenarios.service(&case.service)?;
    let path = target::path_of(&exchange.target);
    let (route, params) = matched_route(path, exchange.grpc);
    let runs = Reply { reached: Some(reached(path, exchange.grpc).to_owned()), ..Reply::default() };

    let judged = target::check(exchange, route.as_deref(), &params, service).map_err(Refused::Target);
    let public = route.as_ref().is_some_and(|route| service.public_routes.contains(route));
    if judged.is_ok() && public {
        let decision = Decision::Public;
        return Ok(Answer { decision, enforced: true, reason: None, policy: None, reply: Some(runs) });
    }
    let decided = match judged.and_then(|()| authenticate(scenarios, service, case, exchange)) {
        Ok(caller) => {
            let facts = Facts {
                action: None,
                method: &exchange.method,
                route: route.as_deref(),
                caller: &caller,
                now: Cast::now(),
            };
            policies::ask(scenarios.policy_set(&service.policies)?, &facts)?
        }
        Err(refused) => Err(refused),
    };
    let Err(refused) = decided else {
        let decision = Decision::Allow;
        return Ok(Answer { decision, enforced: true, reason: None, policy: None, reply: Some(runs) });
    };
    let (reply, decision, reason, policy) = refused.told(service);
    let enforced = !service.observe_only;
    Ok(Answer {
        decision,
        enforced,
        reason: Some(reason),
        policy,
        reply: Some(if enforced { reply } else { runs }),
    })
}

fn authenticate(
    scenarios: &Scenarios,
    service: &Service,
    case: &Case,
    exchange: &Exchange,
) -> Result<Caller, Refused> {
    let peer = match (service.peers, scenarios.people.peers.get(&case.peer)) {
        (Proof::NotAsked, _) | (Proof::Optional, None) => None,
        (Proof::Required, None) => return Err(Refused::Peer("missing-certificate".to_owned())),
        (_, Some(plan)) => Some(peer::identify(&scenarios.people, plan).map_err(Refused::Peer)?),
    };
    let claims = match service.tokens {
        Proof::NotAsked => None,
        asked => token::verify(&scenarios.people, &case.token, &exchange.headers, Cast::now(), asked)
            .map_err(Refused::Token)?,
    };
    let issuer = claims.as_ref().and_then(|claims| claims.get("iss")).and_then(Value::as_str);
    let is_home = |name: &str| scenarios.people.issuers.values().any(|plan| plan.home && plan.name == name);
    let of_another_issuer = issuer.is_some_and(|name| !is_home(name));
    Ok(Caller { peer, claims, of_another_issuer })
}

impl Refused {
    /// The table of refusals, for both protocols: what the caller gets, and what the operator sees.
    fn told(self, service: &Service) -> (Reply, Decision, String, Option<String>) {
        let row = |status, grpc, code: &str, message, challenge| Reply {
            reached: None,
            status: Some(status),
            grpc: Some(grpc),
            code: Some(code.to_owned()),
            message,
            challenge,
            id: None,
        };
        match self {
            // The text that explains a bad request to its sender is not compared.
            Self::Target(code) => {
                (row(400, 3, code, None, None), Decision::BadRequest, code.to_owned(), None)
            }
            Self::Peer(code) => {
                let scheme = if service.tokens == Proof::NotAsked { "Client-Certificate" } else { "Bearer" };
                (
                    row(401, 16, "unauthenticated", None, Some(scheme.to_owned())),
                    Decision::Unauthenticated,
                    code,
                    None,
                )
            }
            Self::Token(code) => {
                // RFC 6750 section 3.1: no error code where no bearer token was tried.
                let tried = !matches!(code, "token-missing" | "token-not-bearer");
                let challenge = if tried { "Bearer error=\"invalid_token\"" } else { "Bearer" };
                (
                    row(401, 16, "unauthenticated", None, Some(challenge.to_owned())),
                    Decision::Unauthenticated,
                    code.to_owned(),
                    None,
                )
            }
            Self::Denied { policy, reason, message, challenge } => {
                let (status, grpc) = if challenge.is_some() { (401, 16) } else { (403, 7) };
                (row(status, grpc, &reason, message, challenge), Decision::Deny, reason, Some(policy))
            }
            Self::NoRoute => {
                let code = "no-route";
                (row(403, 7, code, None, None), Decision::Deny, code.to_owned(), None)
            }
            Self::Unreadable { policy, code } => {
                (row(400, 3, &code, None, None), Decision::BadRequest, code, policy)
            }
            Self::Fault { policy, code } => {
                (row(503, 14, "fault", None, None), Decision::Fault, code, policy)
            }
        }
    }
}

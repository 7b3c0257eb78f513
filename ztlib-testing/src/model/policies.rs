//! The policies of `plugins/policies`, from their documentation, and how a set of them decides.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Refused, spiffe_id_matches};
use crate::scenario::{Policy, PolicySet, ScenarioError};

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

/// Asks the policies in order: the first deny wins; the set allows where every required policy allows and at least one does.
pub(super) fn ask(set: &PolicySet, facts: &Facts<'_>) -> Result<Result<(), Refused>, ScenarioError> {
    let mut allowed = false;
    let bare = |policy: &str, reason: &str| Refused::Denied {
        policy: policy.to_owned(),
        reason: reason.to_owned(),
        message: None,
        challenge: None,
    };
    for policy in &set.policies {
        match ask_policy(policy, &set.documents, facts)? {
            Ok(Outcome::Allow) => allowed = true,
            Ok(Outcome::Abstain) if policy.may_abstain => {}
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
            Err(code) => {
                return Ok(Err(Refused::Fault { policy: Some(policy.name.clone()), code: code.to_owned() }));
            }
        }
    }
    if !allowed {
        return Ok(Err(bare("policy-set", "no-policy-allowed")));
    }
    // What an allow obliges to is carried out only where all of it can be.
    for policy in set.policies.iter().filter(|policy| policy.kind == "probe") {
        if let Err(code) = read::<Copies>(&policy.config)?.carry_out(facts) {
            return Ok(Err(Refused::Fault { policy: None, code: code.to_owned() }));
        }
    }
    Ok(Ok(()))
}

/// `probe`, as far as the scenarios use it: it allows, and copies to headers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Copies {
    decide: Decide,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decide {
    #[serde(rename = "do")]
    calls: Vec<Call>,
    answer: Allows,
}

#[derive(Deserialize)]
enum Allows {
    #[serde(rename = "allow")]
    Allow,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    call: String,
    with: [String; 2],
}

impl Copies {
    fn carry_out(&self, facts: &Facts<'_>) -> Result<(), &'static str> {
        let Allows::Allow = self.decide.answer;
        for Call { call, with: [_, source] } in &self.decide.calls {
            let claim = |name: &str| match facts.caller.claims.as_ref().and_then(|claims| claims.get(name)) {
                None => Ok(None),
                Some(Value::String(text)) => Ok(Some(text.as_str())),
                Some(_) => Err("read-wrong-type"),
            };
            let value = match source.as_str() {
                "{subject}" => claim("sub")?,
                "{peer}" => facts.caller.peer.as_ref().and_then(|peer| peer.spiffe_id.as_deref()),
                other => match other.strip_prefix("{claim:/").and_then(|rest| rest.strip_suffix('}')) {
                    Some(name) => claim(name)?,
                    None => return Err("outcome-malformed-source"),
                },
            };
            match value {
                None if call.ends_with("-or-remove") => {}
                None => return Err("obligation-source-absent"),
                Some(text) => {
                    let fits = !text.is_empty() && text.trim() == text && text.len() <= 1024;
                    if !fits || !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
                        return Err("obligation-unusable-value");
                    }
                }
            }
        }
        Ok(())
    }
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

/// `rbac`: whoever has a role may do what the role is permitted.
///
/// # Errors
/// The configuration cannot be read.
pub fn rbac(
    config: &Value,
    documents: &BTreeMap<String, Value>,
    facts: &Facts<'_>,
) -> Result<Asked, ScenarioError> {
    let Rbac { roles, permissions } = read(config)?;
    let covering = permissions.iter().filter(|(_, list)| list.iter().any(|rule| rule.covers(facts)));
    let mut covered = false;
    for (role, _) in covering {
        covered = true;
        match roles.held(role, documents, facts) {
            Ok(true) => return Ok(Ok(Outcome::Allow)),
            Ok(false) => {}
            Err(fault) => return Ok(Err(fault)),
        }
    }
    Ok(Ok(denied(if covered { "no-role" } else { "no-rule" })))
}

fn denied(reason: &str) -> Outcome {
    Outcome::Deny { reason: reason.to_owned(), message: None, challenge: None }
}

fn read<T: DeserializeOwned>(config: &Value) -> Result<T, ScenarioError> {
    T::deserialize(config).map_err(|error| ScenarioError::because("the configuration of a policy", &error))
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

/// `*` at the end is any one segment but a catch-all, `**` at the end the rest and the route above it.
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rbac {
    roles: Roles,
    permissions: BTreeMap<String, Vec<Covers>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Roles {
    #[serde(default)]
    claims: Vec<String>,
    groups: Option<Groups>,
    #[serde(default)]
    peers: Vec<PeerRoles>,
    document: Option<DocumentRoles>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Groups {
    claim: String,
    roles: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerRoles {
    #[serde(rename = "match")]
    pattern: String,
    roles: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentRoles {
    name: String,
    pointer: String,
}

impl Roles {
    fn held(
        &self,
        role: &String,
        documents: &BTreeMap<String, Value>,
        facts: &Facts<'_>,
    ) -> Result<bool, &'static str> {
        for pointer in &self.claims {
            if claim_contains(facts, pointer, role)? {
                return Ok(true);
            }
        }
        if let Some(groups) = &self.groups {
            for (group, _) in groups.roles.iter().filter(|(_, roles)| roles.contains(role)) {
                if claim_contains(facts, &groups.claim, group)? {
                    return Ok(true);
                }
            }
        }
        if self.peers.iter().any(|peers| peers.roles.contains(role) && peer_matches(facts, &peers.pattern)) {
            return Ok(true);
        }
        let Some(document) = &self.document else { return Ok(false) };
        let contents = documents.get(&document.name).ok_or("read-undeclared-document")?;
        Ok(find(contents, &document.pointer, facts).is_some_and(|found| match found {
            Value::String(one) => one == role,
            Value::Array(several) => several.iter().any(|one| one.as_str() == Some(role)),
            Value::Object(members) => members.contains_key(role),
            _ => false,
        }))
    }
}

/// Whether a claim is this string or a list that holds it. A claim of another kind is a fault.
fn claim_contains(facts: &Facts<'_>, pointer: &str, value: &str) -> Result<bool, &'static str> {
    let Some(claims) = &facts.caller.claims else { return Ok(false) };
    match Value::Object(claims.clone()).pointer(pointer) {
        None => Ok(false),
        Some(Value::String(one)) => Ok(one == value),
        Some(Value::Array(several)) => Ok(several.iter().any(|one| one.as_str() == Some(value))),
        Some(_) => Err("read-wrong-type"),
    }
}

fn peer_matches(facts: &Facts<'_>, pattern: &str) -> bool {
    let id = facts.caller.peer.as_ref().and_then(|peer| peer.spiffe_id.as_deref());
    id.is_some_and(|id| spiffe_id_matches(pattern, id))
}

/// What stands at a pointer whose segments may be `{subject}` and `{peer}`.
fn find<'d>(document: &'d Value, pointer: &str, facts: &Facts<'_>) -> Option<&'d Value> {
    pointer.split('/').skip(1).try_fold(document, |value, segment| {
        let segment = match segment {
            "{subject}" => claim(facts, "sub")?.as_str()?.to_owned(),
            "{peer}" => facts.caller.peer.as_ref()?.spiffe_id.clone()?,
            literal => literal.replace("~1", "/").replace("~0", "~"),
        };
        value.get(segment)
    })
}

fn claim<'f>(facts: &Facts<'f>, name: &str) -> Option<&'f Value> {
    facts.caller.claims.as_ref()?.get(name)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerAllowList {
    rules: Vec<PeerRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PeerRule {
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    routes: Vec<String>,
    #[serde(default)]
    actions: Vec<String>,
    #[serde(default)]
    peers: Vec<String>,
    #[serde(default)]
    named_peers: Vec<NamedPeer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct NamedPeer {
    authority: String,
    dns_name: String,
}

impl PeerAllowList {
    /// One rule that covers the question and names the peer is enough.
    fn ask(self, facts: &Facts<'_>) -> Outcome {
        let allowed =
            self.rules.into_iter().any(|PeerRule { methods, routes, actions, peers, named_peers }| {
                let named = |one: &NamedPeer| {
                    facts.caller.peer.as_ref().is_some_and(|peer| {
                        peer.authority.as_ref() == Some(&one.authority)
                            && peer.dns_names.contains(&one.dns_name)
                    })
                };
                Covers { methods, routes, actions }.covers(facts)
                    && (peers.iter().any(|pattern| peer_matches(facts, pattern))
                        || named_peers.iter().any(named))
            });
        if allowed { Outcome::Allow } else { denied("peer-not-allowed") }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenScope {
    rules: Vec<ScopeRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ScopeRule {
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    routes: Vec<String>,
    #[serde(default)]
    actions: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    any_scope: Vec<String>,
    #[serde(default, rename = "without-scope")]
    _without_scope: bool,
}

impl TokenScope {
    /// Every rule that covers the question must be met, and there must be one.
    fn ask(self, facts: &Facts<'_>) -> Outcome {
        let held: Vec<&str> =
            claim(facts, "scope").and_then(Value::as_str).unwrap_or_default().split(' ').collect();
        let missing = |message: String| Outcome::Deny {
            reason: "missing-scope".to_owned(),
            message: Some(message),
            challenge: None,
        };
        let mut outcome = denied("no-rule");
        for ScopeRule { methods, routes, actions, scopes, any_scope, .. } in self.rules {
            if !(Covers { methods, routes, actions }).covers(facts) {
                continue;
            }
            if let Some(scope) = scopes.iter().find(|scope| !held.contains(&scope.as_str())) {
                return missing(format!("the scope {scope} is needed"));
            }
            if !any_scope.is_empty() && !any_scope.iter().any(|scope| held.contains(&scope.as_str())) {
                return missing(format!("one of these scopes is needed: {}", any_scope.join(" ")));
            }
            outcome = Outcome::Allow;
        }
        outcome
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepUp {
    rules: Vec<LoginRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LoginRule {
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    routes: Vec<String>,
    #[serde(default)]
    actions: Vec<String>,
    #[serde(default)]
    amr: Vec<String>,
    #[serde(default)]
    acr: Vec<String>,
    max_age: Option<u64>,
    challenge_acr: Option<String>,
}

impl StepUp {
    /// Every rule that covers the question must be met; where there is none, it abstains.
    fn ask(self, facts: &Facts<'_>) -> Outcome {
        let used = |method: &String| {
            claim(facts, "amr")
                .and_then(Value::as_array)
                .is_some_and(|amr| amr.iter().any(|own| own.as_str() == Some(method)))
        };
        let age =
            claim(facts, "auth_time").and_then(Value::as_u64).and_then(|login| facts.now.checked_sub(login));
        let mut outcome = Outcome::Abstain;
        for LoginRule { methods, routes, actions, amr, acr, max_age, challenge_acr } in self.rules {
            if !(Covers { methods, routes, actions }).covers(facts) {
                continue;
            }
            let class = claim(facts, "acr").and_then(Value::as_str);
            let met = (amr.is_empty() || amr.iter().any(used))
                && (acr.is_empty() || acr.iter().any(|own| class == Some(own)))
                && max_age.is_none_or(|limit| age.is_some_and(|age| age <= limit));
            if !met {
                return Outcome::Deny {
                    reason: "step-up-required".to_owned(),
                    message: None,
                    challenge: Some(challenge(challenge_acr.or(acr.first().cloned()), max_age)),
                };
            }
            outcome = Outcome::Allow;
        }
        outcome
    }
}

/// RFC 9470 section 3.
fn challenge(acr: Option<String>, max_age: Option<u64>) -> String {
    let mut text = "Bearer error=\"insufficient_user_authentication\"".to_owned();
    if let Some(acr) = acr {
        text.push_str(&format!(", acr_values=\"{acr}\""));
    }
    if let Some(max_age) = max_age {
        text.push_str(&format!(", max_age={max_age}"));
    }
    text
}

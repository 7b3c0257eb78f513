//! `peer-allow-list`, `token-scope` and `step-up`.

use serde::Deserialize;
use serde_json::Value;

use super::{Covers, Facts, Outcome, claim, counts, denied, peer_matches};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeerAllowList {
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
    pub(super) fn ask(self, facts: &Facts<'_>) -> Outcome {
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
pub(super) struct TokenScope {
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
    #[serde(default)]
    issuers: Vec<String>,
}

impl TokenScope {
    /// Every rule that covers the question must be met, and there must be one.
    pub(super) fn ask(self, facts: &Facts<'_>) -> Outcome {
        let held: Vec<&str> = match claim(facts, "scope") {
            Some(Value::Array(scopes)) => scopes.iter().filter_map(Value::as_str).collect(),
            scope => scope.and_then(Value::as_str).unwrap_or_default().split(' ').collect(),
        };
        let missing = |message: String| Outcome::Deny {
            reason: "missing-scope".to_owned(),
            message: Some(message),
            challenge: None,
        };
        let mut outcome = denied("no-rule");
        for ScopeRule { methods, routes, actions, scopes, any_scope, issuers, .. } in self.rules {
            if !(Covers { methods, routes, actions }).covers(facts) {
                continue;
            }
            let held: &[&str] = if counts(facts, &issuers) { &held } else { &[] };
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
pub(super) struct StepUp {
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
    #[serde(default)]
    issuers: Vec<String>,
}

impl StepUp {
    /// Every rule that covers the question must be met; where there is none, it abstains.
    pub(super) fn ask(self, facts: &Facts<'_>) -> Outcome {
        let used = |method: &String| {
            claim(facts, "amr")
                .and_then(Value::as_array)
                .is_some_and(|amr| amr.iter().any(|own| own.as_str() == Some(method)))
        };
        let age =
            claim(facts, "auth_time").and_then(Value::as_u64).and_then(|login| facts.now.checked_sub(login));
        let mut outcome = Outcome::Abstain;
        for LoginRule { methods, routes, actions, amr, acr, max_age, challenge_acr, issuers } in self.rules {
            if !(Covers { methods, routes, actions }).covers(facts) {
                continue;
            }
            let class = claim(facts, "acr").and_then(Value::as_str);
            let met = counts(facts, &issuers)
                && (amr.is_empty() || amr.iter().any(used))
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

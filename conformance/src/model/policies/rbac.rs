//! `rbac`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Asked, Covers, Facts, Outcome, claim, counts, denied, peer_matches, read};
use crate::scenario::ScenarioError;

/// `rbac`: a caller with a role may do what the role is permitted.
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
    claims: Vec<ClaimRoles>,
    groups: Option<Groups>,
    #[serde(default)]
    peers: Vec<PeerRoles>,
    document: Option<DocumentRoles>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ClaimRoles {
    OfHome(String),
    Of { claim: String, issuers: Vec<String> },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Groups {
    claim: String,
    #[serde(default)]
    issuers: Vec<String>,
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
    #[serde(default)]
    issuers: Vec<String>,
}

impl Roles {
    fn held(
        &self,
        role: &String,
        documents: &BTreeMap<String, Value>,
        facts: &Facts<'_>,
    ) -> Result<bool, &'static str> {
        for source in &self.claims {
            let (pointer, issuers) = match source {
                ClaimRoles::OfHome(pointer) => (pointer, &[][..]),
                ClaimRoles::Of { claim, issuers } => (claim, issuers.as_slice()),
            };
            if counts(facts, issuers) && claim_contains(facts, pointer, role)? {
                return Ok(true);
            }
        }
        if let Some(groups) = &self.groups {
            for (group, _) in groups.roles.iter().filter(|(_, roles)| roles.contains(role)) {
                if counts(facts, &groups.issuers) && claim_contains(facts, &groups.claim, group)? {
                    return Ok(true);
                }
            }
        }
        if self.peers.iter().any(|peers| peers.roles.contains(role) && peer_matches(facts, &peers.pattern)) {
            return Ok(true);
        }
        let Some(document) = &self.document else { return Ok(false) };
        let of_token = document.pointer.contains("{subject}") && !document.pointer.contains("{issuer}");
        if (of_token || !document.issuers.is_empty()) && !counts(facts, &document.issuers) {
            return Ok(false);
        }
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

/// What stands at a pointer whose segments may be `{issuer}`, `{subject}` and `{peer}`.
fn find<'d>(document: &'d Value, pointer: &str, facts: &Facts<'_>) -> Option<&'d Value> {
    pointer.split('/').skip(1).try_fold(document, |value, segment| {
        let segment = match segment {
            "{issuer}" => claim(facts, "iss")?.as_str()?.to_owned(),
            "{subject}" => claim(facts, "sub")?.as_str()?.to_owned(),
            "{peer}" => facts.caller.peer.as_ref()?.spiffe_id.clone()?,
            literal => literal.replace("~1", "/").replace("~0", "~"),
        };
        value.get(segment)
    })
}

//! The first policies for a service that runs already: the smallest peers, roles and scopes that
//! allow what was recorded.

mod seen;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use super::recording::Recording;
use crate::load_error::LoadError;
use seen::{Caller, Peer, Point, Seen};

/// The most routes, methods and actions that are suggested together. A configuration that a person
/// is to read has fewer.
const MAX_POINTS: usize = 2000;

/// What is taken from a recording, and where roles are.
///
/// ```
/// use std::path::Path;
/// use ztlib::policies::trial::{Recording, SuggestionRules};
///
/// // As `Recording::save` writes it.
/// let recorded = [
///     r#"{"format":1,"kind":"ztlib-recording","hidden":[]}"#,
///     concat!(
///         r#"{"id":"66b06d3f1e6c2a700000000000000001","time":1767225600000,"method":"GET","#,
///         r#""route":"/orders/{id}","token":true,"attributes":{"claim:/roles":[["clerk"]]},"#,
///         r#""judged-by":"9c56cc51b374","decision":{"verdict":"allow"},"reads":[]}"#,
///     ),
/// ]
/// .join("\n");
/// let recording = Recording::parse(Path::new("traffic.jsonl"), recorded.as_bytes())?;
/// let suggestion = SuggestionRules::new().suggest(&recording)?;
/// assert!(suggestion.roles.is_some_and(|rbac| rbac.config.contains("clerk")));
/// // Nobody brought a client certificate, so there is no rule about peers.
/// assert!(suggestion.peers.is_none());
///
/// let head = recorded.lines().next().unwrap_or_default();
/// let nothing = Recording::parse(Path::new("traffic.jsonl"), head.as_bytes())?;
/// assert_eq!(SuggestionRules::new().suggest(&nothing).unwrap_err().code(), "nothing-to-suggest");
/// # Ok::<(), ztlib::policies::LoadError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct SuggestionRules {
    role_claims: Vec<Box<str>>,
    allow_denied: bool,
}

impl Default for SuggestionRules {
    fn default() -> Self {
        Self { role_claims: vec!["/roles".into(), "/groups".into()], allow_denied: false }
    }
}

/// Configurations of the ready policies, for a person to read and to try. Everything that was not
/// seen is denied by them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Suggestion {
    /// For `peer-allow-list`, in YAML. `None` if some requests came without a client certificate.
    pub peers: Option<SuggestedPolicy>,
    /// For `rbac`, in YAML. `None` if callers are told apart by scopes or by nothing.
    pub roles: Option<SuggestedPolicy>,
    /// For `token-scope`, in YAML. `None` if callers are told apart by roles or by nothing.
    pub scopes: Option<SuggestedPolicy>,
    /// How many records are allowed by what is suggested.
    pub covered: u64,
    /// What was left out and why, and what looks odd: a sentence each.
    pub notes: Vec<String>,
}

/// A configuration of a ready policy, and its cases.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SuggestedPolicy {
    /// The configuration, in YAML.
    pub config: String,
    /// Cases of this policy alone, in TOML: what was seen is allowed, and a caller that was not seen
    /// is refused.
    pub cases: String,
}

impl SuggestionRules {
    /// Requests that were allowed; roles in the claim `/roles`, groups in `/groups`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks for roles in these claims instead (JSON pointers, RFC 6901): `/realm_access/roles`. A
    /// name in another claim than the first is another role (`/groups:admin`).
    pub fn role_claims<T: AsRef<str>>(mut self, pointers: impl IntoIterator<Item = T>) -> Self {
        self.role_claims = pointers.into_iter().map(|pointer| pointer.as_ref().into()).collect();
        self
    }

    /// Loosens: takes requests that the policies denied, too. It is for recordings of a guard that
    /// only observed (`observe_only`), whose policies did not know the service yet: whoever sent
    /// such a request is suggested as a caller.
    pub fn allow_denied(mut self) -> Self {
        self.allow_denied = true;
        self
    }

    /// Suggests policies.
    ///
    /// # Errors
    /// `nothing-to-suggest` if no record can be used, with what to do; `too-many-routes` above 2000
    /// routes, methods and actions.
    pub fn suggest(&self, recording: &Recording) -> Result<Suggestion, LoadError> {
        let seen = Seen::gather(recording, &self.role_claims, self.allow_denied);
        if seen.points.is_empty() {
            return Err(LoadError::new("nothing-to-suggest", nothing(&seen)));
        }
        if seen.points.len() > MAX_POINTS {
            let text = format!(
                "the recording has more than {MAX_POINTS} routes, methods and actions: record the service route by route"
            );
            return Err(LoadError::new("too-many-routes", text));
        }
        Ok(Plan::of(&seen).write(&seen))
    }
}

fn nothing(seen: &Seen) -> String {
    if seen.denied > 0 {
        return format!(
            "{} requests were recorded, and all were denied: if the guard only observed, take them all the same (`--allow-denied`)",
            seen.denied
        );
    }
    let mut text = String::from("no request was recorded that a rule could be made of");
    for why in seen.left_out.keys() {
        text.push_str("; ");
        text.push_str(why);
    }
    text
}

/// How callers are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Roles,
    Scopes,
    /// By the peer alone.
    Nothing,
}

/// What is going to be written.
struct Plan {
    by: By,
    has_peers: bool,
    /// Of each point the roles (any of which is enough) or the scopes (all of which are needed).
    needed: BTreeMap<Point, BTreeSet<Box<str>>>,
    /// Points where callers cannot be told from those not seen.
    unclear: BTreeMap<Point, u64>,
}

impl Plan {
    fn of(seen: &Seen) -> Self {
        let every = |is: fn(&Caller) -> bool| move |callers: &&BTreeMap<Caller, u64>| callers.keys().all(is);
        let has_peers = seen.points.values().all(|callers| every(|caller| caller.peer.is_known())(&callers));
        let count = |is: fn(&Caller) -> bool| seen.points.values().filter(every(is)).count();
        let (by_roles, by_scopes) =
            (count(|caller| !caller.roles.is_empty()), count(|caller| !caller.scopes.is_empty()));
        let by = match (by_roles, by_scopes) {
            (0, 0) => By::Nothing,
            (roles, scopes) if roles >= scopes => By::Roles,
            _ => By::Scopes,
        };
        let mut plan = Self { by, has_peers, needed: BTreeMap::new(), unclear: BTreeMap::new() };
        let everywhere = seen.scopes_of_all();
        for (point, callers) in &seen.points {
            let needed = match by {
                By::Roles => smallest_cover(callers, seen),
                By::Scopes => common_scopes(callers, &everywhere),
                By::Nothing => has_peers.then(BTreeSet::new),
            };
            match needed {
                Some(needed) => drop(plan.needed.insert(point.clone(), needed)),
                None => drop(plan.unclear.insert(point.clone(), callers.values().sum())),
            }
        }
        plan
    }

    fn write(&self, seen: &Seen) -> Suggestion {
        let covered = |point: &&Point| self.needed.contains_key(*point);
        let points = || seen.points.iter().filter(|(point, _)| covered(point));
        Suggestion {
            peers: self.has_peers.then(|| SuggestedPolicy {
                config: text::peers(&points().collect::<Vec<_>>()),
                cases: text::cases(self, By::Nothing, seen),
            }),
            roles: (self.by == By::Roles).then(|| SuggestedPolicy {
                config: text::roles(self, seen),
                cases: text::cases(self, By::Roles, seen),
            }),
            scopes: (self.by == By::Scopes).then(|| SuggestedPolicy {
                config: text::scopes(self, seen),
                cases: text::cases(self, By::Scopes, seen),
            }),
            covered: points().flat_map(|(_, callers)| callers.values()).sum(),
            notes: self.notes(seen),
        }
    }

    fn notes(&self, seen: &Seen) -> Vec<String> {
        let mut notes = Vec::new();
        match self.by {
            By::Roles | By::Scopes => {}
            By::Nothing => notes.push(
                "no caller had a role or a scope: every user of an allowed peer may do what any of them did"
                    .to_owned(),
            ),
        }
        if !self.has_peers {
            notes.push(
                "some requests came without a client certificate, or the recording does not say who the peer was: nothing is suggested about peers"
                    .to_owned(),
            );
        }
        for (point, times) in &self.unclear {
            let want = match self.by {
                By::Roles => "a caller without any role was",
                By::Scopes => "callers that have no scope in common were",
                By::Nothing => "a caller without role, scope and peer was",
            };
            notes.push(format!(
                "{point} is left out and will be denied ({times} requests): {want} seen there, and cannot be told from callers that were not seen. If everybody may call it, say so yourself (`allow_public_route`, or a rule)"
            ));
        }
        for (why, times) in &seen.left_out {
            notes.push(format!("{times} requests are left out: {why}"));
        }
        if seen.denied > 0 {
            notes.push(format!("{} requests are left out: the policies denied them", seen.denied));
        }
        for (peer, times) in seen.peers().iter().filter(|(_, times)| **times == 1) {
            if matches!(peer, Peer::Spiffe(_) | Peer::Named { .. }) {
                notes.push(format!("{peer} was seen {times} time only: is it a caller of this service?"));
            }
        }
        notes
    }
}

/// The fewest roles of which each caller has one; those that are used in fewest places first.
/// `None` if a caller has none.
fn smallest_cover(callers: &BTreeMap<Caller, u64>, seen: &Seen) -> Option<BTreeSet<Box<str>>> {
    let mut left: Vec<&Caller> = callers.keys().collect();
    if left.iter().any(|caller| caller.roles.is_empty()) {
        return None;
    }
    let mut cover = BTreeSet::new();
    while !left.is_empty() {
        let roles: BTreeSet<&Box<str>> = left.iter().flat_map(|caller| &caller.roles).collect();
        let best = roles.into_iter().max_by_key(|role| {
            let holders = left.iter().filter(|caller| caller.roles.contains(*role)).count();
            (holders, std::cmp::Reverse(seen.places_of_role(role)), std::cmp::Reverse(*role))
        })?;
        let best = best.clone();
        left.retain(|caller| !caller.roles.contains(&best));
        cover.insert(best);
    }
    Some(cover)
}

/// The scopes that all callers of a point have; without those that every caller of the service has,
/// if others are left. `None` if they have none in common.
fn common_scopes(
    callers: &BTreeMap<Caller, u64>,
    everywhere: &BTreeSet<Box<str>>,
) -> Option<BTreeSet<Box<str>>> {
    let mut all = callers.keys().map(|caller| caller.scopes.clone());
    let first = all.next()?;
    let common = all.fold(first, |common, scopes| common.intersection(&scopes).cloned().collect());
    let telling: BTreeSet<Box<str>> = common.difference(everywhere).cloned().collect();
    let chosen = if telling.is_empty() { common } else { telling };
    (!chosen.is_empty()).then_some(chosen)
}

//! What was seen: who called what, and how often.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value as Json;

use super::super::record::{Record, Recorded, Subject};
use super::super::recording::Recording;
use crate::policies::cases::CaseVerdict;
use ztlib_contract::{Kind, escaped};

/// What was called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Point {
    Request { route: Box<str>, method: Box<str> },
    Action(Box<str>),
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { route, method } => write!(f, "`{} {}`", escaped(method), escaped(route)),
            Self::Action(name) => write!(f, "the action `{}`", escaped(name)),
        }
    }
}

/// The client certificate's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Peer {
    Spiffe(Box<str>),
    Named { authority: Box<str>, dns_name: Box<str> },
    Absent,
    NotRecorded,
}

impl Peer {
    pub(super) fn is_known(&self) -> bool {
        matches!(self, Self::Spiffe(_) | Self::Named { .. })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spiffe(id) => write!(f, "the peer `{}`", escaped(id)),
            Self::Named { authority, dns_name } => {
                write!(f, "the peer `{}` of `{}`", escaped(dns_name), escaped(authority))
            }
            Self::Absent => f.write_str("no peer"),
            Self::NotRecorded => f.write_str("a peer that was not recorded"),
        }
    }
}

/// What tells callers apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Caller {
    pub(super) peer: Peer,
    pub(super) roles: BTreeSet<Box<str>>,
    pub(super) scopes: BTreeSet<Box<str>>,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Of each point its callers, and how often each was seen there.
    pub(super) points: BTreeMap<Point, BTreeMap<Caller, u64>>,
    pub(super) roles_by_claim: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    pub(super) denied: u64,
    /// Why records cannot be used, and how many.
    pub(super) left_out: BTreeMap<&'static str, u64>,
}

impl Seen {
    pub(super) fn gather(recording: &Recording, role_claims: &[Box<str>], allow_denied: bool) -> Self {
        let mut seen = Self::default();
        for record in &recording.records {
            match record.enforced.verdict() {
                CaseVerdict::Allow => {}
                CaseVerdict::Deny if allow_denied => {}
                CaseVerdict::Deny => {
                    seen.denied += 1;
                    continue;
                }
                _ => {
                    *seen.left_out.entry("no decision could be reached").or_default() += 1;
                    continue;
                }
            }
            match point(record) {
                Ok(point) => seen.count(point, record, role_claims),
                Err(why) => *seen.left_out.entry(why).or_default() += 1,
            }
        }
        seen
    }

    fn count(&mut self, point: Point, record: &Record, role_claims: &[Box<str>]) {
        let mut roles = BTreeSet::new();
        for claim in role_claims {
            let names = names(claimed(record, claim));
            if !names.is_empty() {
                self.roles_by_claim.entry(claim.clone()).or_default().extend(names.iter().cloned());
                roles.extend(names);
            }
        }
        let scopes = claimed(record, "/scope");
        let scopes = match scopes {
            Some(Json::String(text)) => {
                text.split(' ').filter(|one| !one.is_empty()).map(Into::into).collect()
            }
            other => names(other),
        };
        let caller = Caller { peer: peer(record), roles, scopes };
        *self.points.entry(point).or_default().entry(caller).or_default() += 1;
    }

    /// How often each peer was seen.
    pub(super) fn peers(&self) -> BTreeMap<&Peer, u64> {
        let mut peers = BTreeMap::new();
        for (caller, times) in self.points.values().flatten() {
            *peers.entry(&caller.peer).or_default() += times;
        }
        peers
    }

    /// In how many places callers with this role were seen.
    pub(super) fn places_of_role(&self, role: &str) -> usize {
        let holds = |callers: &&BTreeMap<Caller, u64>| callers.keys().any(|one| one.roles.contains(role));
        self.points.values().filter(holds).count()
    }

    /// The scopes that every caller has.
    pub(super) fn scopes_of_all(&self) -> BTreeSet<Box<str>> {
        let mut all = self.points.values().flatten().map(|(caller, _)| &caller.scopes);
        let first = all.next().cloned().unwrap_or_default();
        all.fold(first, |common, scopes| common.intersection(scopes).cloned().collect())
    }
}

fn point(record: &Record) -> Result<Point, &'static str> {
    if record.is_foreign {
        return Err(
            "their tokens are of another issuer than the first one; the ready policies count its roles and scopes if a rule names it (`issuers`)",
        );
    }
    match &record.subject {
        Subject::Action(name) => Ok(Point::Action((&**name).into())),
        Subject::Request { route: Some(route), .. } if is_pattern(route) => {
            Err("their route, which a caller can choose, would be a pattern in a rule")
        }
        Subject::Request { route: Some(route), method } => {
            Ok(Point::Request { route: (&**route).into(), method: method.as_str().into() })
        }
        Subject::Request { route: None, .. } => Err("they matched no route"),
    }
}

/// Whether a rule about this route would cover others, too.
fn is_pattern(route: &str) -> bool {
    route.rsplit('/').next().is_some_and(|last| last == "*" || last == "**")
}

fn peer(record: &Record) -> Peer {
    let found = record.known().find(|(attribute, _)| attribute.kind == Kind::Peer);
    match found.map(|(_, recorded)| recorded) {
        Some(Recorded::Spiffe(id)) => Peer::Spiffe(id.clone()),
        Some(Recorded::Named { authority, dns_names }) => match dns_names.iter().min() {
            Some(dns_name) => Peer::Named { authority: authority.clone(), dns_name: dns_name.clone() },
            None => Peer::Absent,
        },
        Some(_) => Peer::Absent,
        None => Peer::NotRecorded,
    }
}

/// What the token says at this pointer, if that was recorded.
fn claimed<'r>(record: &'r Record, pointer: &str) -> Option<&'r Json> {
    let covers = record.known().find(|(attribute, _)| attribute.covers(Kind::Claim, pointer));
    let (attribute, Recorded::Claim(json)) = covers? else { return None };
    json.pointer(pointer.strip_prefix(&*attribute.name)?)
}

/// The names that a claim holds: a string, or a list of strings.
fn names(claim: Option<&Json>) -> BTreeSet<Box<str>> {
    match claim {
        Some(Json::String(name)) => [name.as_str().into()].into(),
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).map(Into::into).collect(),
        _ => BTreeSet::new(),
    }
}

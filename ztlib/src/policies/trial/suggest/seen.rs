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
    /// Where each role comes from.
    pub(super) sources: BTreeMap<Box<str>, Source>,
    pub(super) denied: u64,
    /// Why records cannot be used, and how many.
    pub(super) left_out: BTreeMap<&'static str, u64>,
}

/// The claim that holds a role, and its name there. A name in another claim than the first is
/// another role, so that a group never counts as the role of the same name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub(super) claim: Box<str>,
    pub(super) name: Box<str>,
    pub(super) is_first: bool,
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
        let peer = peer(record);
        if !record.has_token && !peer.is_known() {
            *self.left_out.entry(ANONYMOUS).or_default() += 1;
            return;
        }
        let is_recorded =
            |pointer: &str| record.known().any(|(attribute, _)| attribute.covers(Kind::Claim, pointer));
        if record.has_token && !role_claims.iter().any(|claim| is_recorded(claim)) && !is_recorded("/scope") {
            *self.left_out.entry(NOT_RECORDED).or_default() += 1;
            return;
        }
        let mut roles = BTreeSet::new();
        for (at, claim) in role_claims.iter().enumerate() {
            for name in names(claimed(record, claim)) {
                let role: Box<str> = if at == 0 { name.clone() } else { format!("{claim}:{name}").into() };
                let source = Source { claim: claim.clone(), name, is_first: at == 0 };
                self.sources.entry(role.clone()).or_insert(source);
                roles.insert(role);
            }
        }
        let scopes = match claimed(record, "/scope") {
            Some(Json::String(text)) => {
                text.split(' ').filter(|one| !one.is_empty()).map(Into::into).collect()
            }
            other => names(other),
        };
        let caller = Caller { peer, roles, scopes };
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

const ANONYMOUS: &str = "they came without a certificate and without a token: if the route is public, say so (`allow_public_route`)";
const NOT_RECORDED: &str =
    "what their tokens say of roles and scopes was not recorded: record with `RecordingRules::also_callers`";

fn point(record: &Record) -> Result<Point, &'static str> {
    if record.is_foreign {
        return Err(
            "their tokens are of another issuer than the first one; the ready policies count its roles and scopes if a rule names it (`issuers`)",
        );
    }
    match &record.subject {
        Subject::Action(name) => Ok(Point::Action((&**name).into())),
        Subject::Request { route: Some(route), method } if !is_plain(route, method.as_str()) => {
            Err("no rule can name their route or method alone: a caller chose it")
        }
        Subject::Request { route: Some(route), method } => {
            Ok(Point::Request { route: (&**route).into(), method: method.as_str().into() })
        }
        Subject::Request { route: None, .. } => Err("they matched no route"),
    }
}

/// Whether a rule can name this route and this method, and covers nothing else by it. The route of
/// a gRPC call and every method are texts of the caller, and a rule reads `*` as a pattern.
fn is_plain(route: &str, method: &str) -> bool {
    let segment = |segment: &str| {
        let inside = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let name = inside.map(|name| name.strip_prefix('*').unwrap_or(name));
        !name.unwrap_or(segment).contains(['*', '{', '}', ':'])
    };
    let is_method = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    is_method && route.strip_prefix('/').is_some_and(|route| route.split('/').all(segment))
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

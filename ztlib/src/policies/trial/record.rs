//! A record of one request: what policies may want to read again, and the decision.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::Method;
use serde_json::Value as Json;

use super::conclusion::Conclusion;
use super::{Seen, printed};
use crate::authorize::RevisionName;
use crate::authorize::Trace;
use crate::authorize::readable;
use crate::authorize::{Asked, Has, Question, View};
use crate::authorize::{Read, ReadFault};
use crate::digest::Digest;
use crate::held;
use crate::policies::store::milliseconds;
use crate::request_id::RequestId;
use ztlib_contract::{Attribute, Kind, behind};

/// The largest value that is kept, in bytes of memory.
const MAX_VALUE_BYTES: usize = 32 << 10;

/// The attributes of one request, and the decision.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) id: RequestId,
    /// Milliseconds since 1970.
    pub(crate) time: u64,
    pub(crate) subject: Subject,
    pub(crate) has_token: bool,
    /// The token is from another issuer than the guard's home issuer.
    pub(crate) is_foreign: bool,
    /// The recorded attributes. Records share the list until it grows.
    pub(crate) wanted: Arc<[Attribute]>,
    /// The value of each attribute; `None` if it could not be recorded.
    pub(crate) values: Box<[Option<Recorded>]>,
    /// The request in whose handler the question was asked.
    pub(crate) parent: Option<RequestId>,
    pub(crate) judged_by: JudgedBy,
    pub(crate) enforced: Conclusion,
    pub(crate) reads: Reads,
}

/// The policy set that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JudgedBy {
    /// Its name in audit events and the status.
    pub(crate) revision: RevisionName,
    /// The digest of the revision without the documents, which may change during a trial.
    pub(crate) policies: Digest,
}

/// The subject of the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    Action(Arc<str>),
    Request { method: Method, route: Option<Arc<str>> },
}

/// The reads that led to the decision.
#[derive(Clone)]
pub(crate) enum Reads {
    /// With their values. Only in this process, and printed only by the redaction rule.
    Traced(Arc<Trace>),
    Printed(Box<[Box<str>]>),
}

/// The recorded value of one attribute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Recorded {
    /// Known to be absent.
    Absent,
    Text(Box<str>),
    /// The values of a header; `None` for a value that is not UTF-8.
    Values(Box<[Option<Box<str>>]>),
    Names(BTreeSet<Box<str>>),
    Claim(Json),
    Spiffe(Box<str>),
    Named {
        authority: Box<str>,
        dns_names: Box<[Box<str>]>,
    },
    Address(IpAddr),
    /// It could not be read.
    Unreadable(Unreadable),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Several,
    NotUtf8,
    Malformed,
    Failed,
}

impl Unreadable {
    pub(crate) const ALL: [(Self, &'static str); 4] = [
        (Self::Several, "several-values"),
        (Self::NotUtf8, "not-utf8"),
        (Self::Malformed, "malformed"),
        (Self::Failed, "failed"),
    ];
}

impl Record {
    /// Records the wanted attributes of a decided question.
    pub(crate) fn of(seen: &Seen<'_>, wanted: &Arc<[Attribute]>, hidden: &[Attribute]) -> Self {
        let (question, view) = (seen.question, seen.by.view());
        let subject = match &question.asked {
            Asked::Action(name) => Subject::Action(name.clone()),
            Asked::Request(request) => {
                Subject::Request { method: request.parts.method.clone(), route: request.route.clone() }
            }
        };
        Self {
            id: seen.id,
            time: milliseconds(question.now),
            subject,
            has_token: question.caller.claims.is_some(),
            is_foreign: question.caller.claims.as_ref().is_some_and(|claims| !claims.is_home_issuer()),
            wanted: wanted.clone(),
            values: wanted.iter().map(|attribute| value(attribute, question, view)).collect(),
            parent: seen.parent,
            judged_by: JudgedBy { revision: seen.by.revision().name(), policies: seen.by.root() },
            enforced: Conclusion::of(seen.result),
            reads: reads(seen.trace, hidden),
        }
    }

    /// The reads of the decision, in a form that may be shown.
    pub(crate) fn printed_reads(&self) -> Vec<Box<str>> {
        match &self.reads {
            Reads::Traced(trace) => printed(trace),
            Reads::Printed(reads) => reads.to_vec(),
        }
    }

    pub(crate) fn now(&self) -> std::time::SystemTime {
        // A time beyond the platform's range cannot have been recorded.
        UNIX_EPOCH.checked_add(Duration::from_millis(self.time)).unwrap_or(UNIX_EPOCH)
    }

    /// The recorded attributes with their values.
    pub(crate) fn known(&self) -> impl Iterator<Item = (&Attribute, &Recorded)> {
        self.wanted
            .iter()
            .zip(&self.values)
            .filter_map(|(attribute, value)| Some((attribute, value.as_ref()?)))
    }

    /// The memory that it uses, in bytes. Data shared by several records counts for each.
    pub(crate) fn size(&self) -> usize {
        let values = self.values.iter().flatten().map(Recorded::size).sum::<usize>();
        let reads = match &self.reads {
            Reads::Traced(trace) => trace.size(),
            Reads::Printed(reads) => reads.iter().map(|read| read.len() + 16).sum(),
        };
        let slots = size_of_val(&*self.values);
        let subject = match &self.subject {
            Subject::Action(name) => name.len(),
            Subject::Request { method, route } => {
                method.as_str().len() + route.as_deref().map_or(0, str::len)
            }
        };
        size_of::<Self>() + 64 + slots + values + reads + subject + self.enforced.size()
    }
}

/// The decision cache shares the trace. A trace that reveals anything hidden is not kept, but
/// printed without it.
fn reads(trace: &Arc<Trace>, hidden: &[Attribute]) -> Reads {
    let is_hidden = |read: &Read| {
        let mut found = false;
        behind(read, |kind, name| found |= hidden.iter().any(|one| one.overlaps(kind, name)));
        found
    };
    if hidden.is_empty() || !trace.reads().any(|(read, _)| is_hidden(read)) {
        return Reads::Traced(trace.clone());
    }
    let shown = trace.reads().zip(printed(trace)).map(|((read, _), printed)| {
        if is_hidden(read) { format!("{}=(hidden)", read.function()).into() } else { printed }
    });
    Reads::Printed(shown.collect())
}

impl std::fmt::Debug for Record {
    /// Leaves out the content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("id", &self.id)
            .field("known", &self.known().map(|(attribute, _)| attribute).collect::<Vec<_>>())
            .field("enforced", &self.enforced)
            .finish_non_exhaustive()
    }
}

impl Recorded {
    fn size(&self) -> usize {
        match self {
            Self::Absent | Self::Address(_) | Self::Unreadable(_) => 0,
            Self::Text(text) | Self::Spiffe(text) => text.len(),
            Self::Values(values) => {
                values.iter().map(|value| value.as_deref().map_or(0, str::len) + 16).sum()
            }
            Self::Names(names) => names.iter().map(|name| name.len() + 32).sum(),
            Self::Claim(json) => held::by(json),
            Self::Named { authority, dns_names } => {
                authority.len() + dns_names.iter().map(|name| name.len() + 16).sum::<usize>()
            }
        }
    }
}

/// The value to record for an attribute. `None` if it cannot be recorded: it is secret, too large,
/// or was not asked for.
pub(crate) fn value(attribute: &Attribute, question: &Question, view: &View) -> Option<Recorded> {
    let name: &str = &attribute.name;
    let text = |text: Option<&str>| text.map_or(Recorded::Absent, |text| Recorded::Text(text.into()));
    let request = question.request().ok();
    let value = match attribute.kind {
        // These have members of their own.
        Kind::Method | Kind::Route | Kind::Action | Kind::Token | Kind::Time => return None,
        Kind::Host => text(Some(request?.target.host())),
        Kind::Path => text(Some(request?.target.path())),
        Kind::Param => match request?.param(name) {
            Ok(value) => text(value),
            Err(_) => Recorded::Unreadable(Unreadable::Several),
        },
        Kind::Header => {
            let name = readable(name, view).ok()?;
            let values = request?.parts.headers.get_all(&name).iter();
            Recorded::Values(
                values.map(|value| std::str::from_utf8(value.as_bytes()).ok().map(Into::into)).collect(),
            )
        }
        Kind::HeaderNames => {
            Recorded::Names(request?.parts.headers.keys().map(|name| name.as_str().into()).collect())
        }
        Kind::Query => match request?.query(name) {
            Ok(fact) => match fact.to_value() {
                crate::authorize::Value::Text(value) => text(Some(&value)),
                _ => Recorded::Absent,
            },
            Err(ReadFault::SeveralValues) => Recorded::Unreadable(Unreadable::Several),
            Err(ReadFault::NotUtf8) => Recorded::Unreadable(Unreadable::NotUtf8),
            Err(_) => Recorded::Unreadable(Unreadable::Malformed),
        },
        Kind::Label => text(question.labels.label(name)),
        Kind::Peer => match &question.caller.peer {
            None => Recorded::Absent,
            Some(peer) => match (peer.spiffe_id(), peer.authority()) {
                (Some(id), _) => Recorded::Spiffe(id.as_str().into()),
                (None, authority) => Recorded::Named {
                    authority: authority.unwrap_or_default().into(),
                    dns_names: peer.dns_names().into(),
                },
            },
        },
        Kind::Claim => match question.caller.claims.as_ref()?.recorded(name).ok()? {
            None => Recorded::Absent,
            // Measured before it is copied.
            Some(json) if held::by(&json) <= MAX_VALUE_BYTES => Recorded::Claim(json.into_owned()),
            Some(_) => return None,
        },
        Kind::RemoteIp => question.caller.remote_ip.map_or(Recorded::Absent, Recorded::Address),
        Kind::Signal => match question.signalled(name)? {
            Ok(value) => text(value.as_deref()),
            Err(_) => Recorded::Unreadable(Unreadable::Failed),
        },
    };
    (value.size() <= MAX_VALUE_BYTES).then_some(value)
}

/// A record as a question reads it: its values, and what a rule hides.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) record: Arc<Record>,
    pub(crate) hidden: Arc<[Attribute]>,
}

impl Has for Shelf {
    fn check(&self, read: &Read) -> Result<(), ReadFault> {
        let mut checked = Ok(());
        behind(read, |kind, name| {
            if checked.is_ok() {
                checked = self.has(kind, name);
            }
        });
        checked
    }
}

impl Shelf {
    fn has(&self, kind: Kind, name: &str) -> Result<(), ReadFault> {
        let is_action = matches!(self.record.subject, Subject::Action(_));
        if kind.is_always_recorded()
            || (is_action && kind.is_of_request())
            || (kind == Kind::Claim && !self.record.has_token)
            || self.record.known().any(|(attribute, _)| attribute.covers(kind, name))
        {
            return Ok(());
        }
        let is_hidden = self.hidden.iter().any(|hidden| hidden.overlaps(kind, name));
        Err(if is_hidden { ReadFault::Hidden } else { ReadFault::NotRecorded })
    }
}

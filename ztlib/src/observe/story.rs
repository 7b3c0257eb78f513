//! What an audit event holds, as the judgement fills it in.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Method;

use super::audit::Verdict;
use super::redaction::Redaction;
use crate::authenticate::Principal;
use crate::authorize::Revision;
use crate::authorize::{Labels, Target, Trace};
use crate::origin::Forwarded;
use crate::request_id::RequestId;

/// What an event holds: filled in once, by the judgement.
pub(crate) struct EventData {
    pub(crate) id: RequestId,
    pub(crate) time: SystemTime,
    pub(crate) verdict: Verdict,
    pub(crate) enforced: bool,
    pub(crate) cached: bool,
    pub(crate) principal: Principal,
    pub(crate) revision: Option<Revision>,
    pub(crate) subject: Subject,
    /// Why not; none for an allow.
    pub(crate) objection: Option<Box<Objection>>,
    pub(crate) log: Vec<(Arc<str>, Box<str>)>,
    pub(crate) fuel: u64,
    pub(crate) authenticate: Option<Duration>,
    pub(crate) authorize: Option<Duration>,
    pub(crate) trace: Option<Arc<Trace>>,
    /// None for the rule as it is without anything named.
    pub(crate) redaction: Option<Arc<Redaction>>,
    /// Which process it was, where the guard was told.
    pub(crate) place: Option<Arc<Place>>,
}

/// Which process an event comes from: what tells the lines of a fleet apart.
#[derive(Default)]
pub(crate) struct Place {
    pub(crate) service: Option<Box<str>>,
    pub(crate) instance: Option<Box<str>>,
}

/// What a judgement was about.
#[derive(Default)]
pub(crate) struct Subject {
    pub(crate) action: Option<Arc<str>>,
    pub(crate) object: Option<Box<Object>>,
    /// The request from which a handler asked.
    pub(crate) parent: Option<RequestId>,
    pub(crate) labels: Labels,
    pub(crate) method: Option<Method>,
    pub(crate) target: Target,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) forwarded: Option<Arc<Forwarded>>,
}

/// What a question of the application's own is about, as its author names it.
pub(crate) struct Object {
    pub(crate) kind: Box<str>,
    pub(crate) id: Box<str>,
}

/// Why a request was not let through.
pub(crate) struct Objection {
    pub(crate) reason: Box<str>,
    pub(crate) detail: Box<str>,
    pub(crate) policy: Option<Arc<str>>,
}

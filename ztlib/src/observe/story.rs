//! The data of an audit event, filled in by the judgement.

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

/// The data of an event. The judgement fills it in once.
pub(crate) struct EventData {
    pub(crate) id: RequestId,
    pub(crate) time: SystemTime,
    pub(crate) verdict: Verdict,
    pub(crate) enforced: bool,
    pub(crate) cached: bool,
    pub(crate) principal: Principal,
    pub(crate) revision: Option<Revision>,
    pub(crate) subject: Subject,
    /// Why the request was not allowed; `None` for an allow.
    pub(crate) objection: Option<Box<Objection>>,
    pub(crate) log: Vec<(Arc<str>, Box<str>)>,
    pub(crate) fuel: u64,
    pub(crate) authenticate: Option<Duration>,
    pub(crate) authorize: Option<Duration>,
    pub(crate) trace: Option<Arc<Trace>>,
    /// `None` means the default redaction.
    pub(crate) redaction: Option<Arc<Redaction>>,
    /// Which process this is, if the guard was told.
    pub(crate) place: Option<Arc<Place>>,
}

/// The process that an event comes from, to tell the lines of a fleet apart.
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
    /// The request in whose handler the question was asked.
    pub(crate) parent: Option<RequestId>,
    pub(crate) labels: Labels,
    pub(crate) method: Option<Method>,
    pub(crate) target: Target,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) forwarded: Option<Arc<Forwarded>>,
}

/// The object of a question, as the application names it.
pub(crate) struct Object {
    pub(crate) kind: Box<str>,
    pub(crate) id: Box<str>,
}

/// Why a request was refused.
pub(crate) struct Objection {
    pub(crate) reason: Box<str>,
    pub(crate) detail: Box<str>,
    pub(crate) policy: Option<Arc<str>>,
}

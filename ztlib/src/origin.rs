//! Where a principal comes from: for audit events, and never an input of a decision.

use std::sync::Arc;

use crate::request_id::RequestId;

/// The request in which a principal was established, for the questions that handlers ask about it.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) id: RequestId,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) forwarded: Option<Arc<Forwarded>>,
}

/// What the caller sent to be found again by.
pub(crate) struct Forwarded {
    pub(crate) trace_parent: Option<Box<str>>,
    pub(crate) request_id: Option<Box<str>>,
}

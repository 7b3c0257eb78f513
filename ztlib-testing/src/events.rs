//! Audit events as typed values, for tests that assert why something was decided.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ztlib::observe::{AuditEvent, AuditSink};

/// Keeps every audit event until it is taken. Clones share what is kept: give one to the guard, keep one.
///
/// ```
/// use ztlib_testing::Events;
///
/// let events = Events::new();
/// let of_the_guard = events.clone(); // Guard::builder()…audit(of_the_guard)
/// # drop(of_the_guard);
/// assert!(events.take().is_empty());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Events(Arc<Mutex<Vec<AuditEvent>>>);

impl Events {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What has arrived since the last time, in order.
    pub fn take(&self) -> Vec<AuditEvent> {
        std::mem::take(&mut *self.kept())
    }

    fn kept(&self) -> MutexGuard<'_, Vec<AuditEvent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AuditSink for Events {
    fn record(&self, event: AuditEvent) {
        self.kept().push(event);
    }
}

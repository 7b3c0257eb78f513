//! Audit events as typed values, for tests that assert why something was decided; and what is
//! logged, as text.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tracing::field::Field;
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use ztlib::observe::{AuditEvent, AuditSink};

/// Keeps every audit event until it is taken. Clones share what is kept: give one to the guard,
/// keep one.
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

/// What ztlib says to `tracing`, at every level, kept as text until it is taken: one line an event,
/// `target name=value …`.
///
/// There is one for a process, since `tracing` has one subscriber; the first to ask installs it.
#[derive(Debug, Clone)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// The log of this process; none where another subscriber was installed before.
    pub fn of_this_process() -> Option<Self> {
        static LOG: OnceLock<Option<Log>> = OnceLock::new();
        let install = || {
            let log = Self(Arc::default());
            tracing::subscriber::set_global_default(Collector(log.clone())).ok().map(|()| log)
        };
        LOG.get_or_init(install).clone()
    }

    /// What has been said since the last time, in order.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Collector(Log);

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("ztlib")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = event.metadata().target().to_owned();
        event.record(&mut |field: &Field, value: &dyn fmt::Debug| {
            line.push_str(&format!(" {}={value:?}", field.name()));
        });
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

//! Metrics through the `metrics` facade. Every label has a bounded set of values; none comes from a
//! caller.

use std::time::Duration;

use ::metrics::{Counter, Recorder, with_recorder};

use super::audit::{AuditEvent, Verdict};

/// `ztlib_judgements_total{verdict, policy, reason}`: policy and reason are names that the manifest
/// declares, or ztlib's own codes.
pub(crate) fn judged(event: &AuditEvent, remembered: &Remembered) {
    if event.verdict() == Verdict::Allow && event.cached() {
        remembered.count();
    } else {
        count(event);
        if event.asked_policies() {
            ::metrics::counter!("ztlib_decisions_total", "source" => if event.cached() { "cache" } else { "fresh" })
                .increment(1);
        }
    }
    if let Some(took) = event.authenticate() {
        observe("ztlib_authenticate_seconds", took);
    }
    if let Some(took) = event.authorize() {
        observe("ztlib_authorize_seconds", took);
    }
}

fn count(event: &AuditEvent) {
    let verdict = event.verdict().as_str();
    let reason = event.reason().unwrap_or_default().to_owned();
    let policy = event.policy().unwrap_or_default().to_owned();
    let enforced = if event.enforced() { "yes" } else { "no" };
    ::metrics::counter!("ztlib_judgements_total", "verdict" => verdict, "policy" => policy, "reason" => reason, "enforced" => enforced)
        .increment(1);
}

/// The counters of a cached allow, by far the most frequent judgement. A guard therefore keeps
/// handles to them, from the recorder that was installed when it was built. Any other recorder
/// (installed later, or local to a thread) is asked for its counters each time.
pub(crate) struct Remembered {
    /// The recorder that issued the handles, by its address.
    recorder: usize,
    judgements: Counter,
    decisions: Counter,
}

impl Remembered {
    pub(crate) fn new() -> Self {
        Self::of(with_recorder(address))
    }

    fn of(recorder: usize) -> Self {
        Self {
            recorder,
            judgements: ::metrics::counter!("ztlib_judgements_total", "verdict" => "allow", "policy" => "", "reason" => "", "enforced" => "yes"),
            decisions: ::metrics::counter!("ztlib_decisions_total", "source" => "cache"),
        }
    }

    fn count(&self) {
        let recorder = with_recorder(address);
        if recorder != self.recorder {
            return Self::of(recorder).increment();
        }
        self.increment();
    }

    fn increment(&self) {
        self.judgements.increment(1);
        self.decisions.increment(1);
    }
}

fn address(recorder: &dyn Recorder) -> usize {
    std::ptr::from_ref(recorder).addr()
}

fn observe(name: &'static str, took: Duration) {
    ::metrics::histogram!(name).record(took.as_secs_f64());
}

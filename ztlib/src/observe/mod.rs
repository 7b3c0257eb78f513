//! What is left behind: an [`AuditEvent`] for every judgement, to an [`AuditSink`] and as a `tracing` event, and metrics.
//!
//! | target | level | what |
//! |---|---|---|
//! | `ztlib::audit` | info | every judgement: id, verdict, reason, policy, revision, peer, subject, method, path |
//! | `ztlib::refusal` | info | every refusal, with the whole reason; debug: the reads that led to it |
//! | `ztlib::trial` | warn | what a candidate on trial would decide otherwise: once for each kind of change |
//!
//! Text from callers is escaped in all of them.
//!
//! The histograms hold what was worked out; what was remembered takes less than reading a clock.
//!
//! | metric | kind | labels |
//! |---|---|---|
//! | `ztlib_judgements_total` | counter | `verdict`, `policy`, `reason`, `enforced` |
//! | `ztlib_authenticate_seconds` | histogram | |
//! | `ztlib_authorize_seconds` | histogram | |
//! | `ztlib_decisions_total` | counter | `source` |
//! | `ztlib_decisions_not_cacheable_total` | counter | `why`: `native-policy`, `method`, `too-many-sites`, `too-many-reads`, `too-long-reads`, `too-long-values`, `unreadable` |
//! | `ztlib_decision_cache_reports_total` | counter | `why`: `values-vary`, `cache-too-small` |
//! | `ztlib_audit_events_lost_total` | counter | |
//! | `ztlib_trial_judged_total` | counter | `result` |
//! | `ztlib_trial_lost_total` | counter | |

mod audit;
mod json_lines;
mod line;
pub(crate) mod metrics;
mod queue;
mod redaction;
mod request_id;

pub use audit::{AuditEvent, AuditSink, Verdict};
pub(crate) use audit::{Forwarded, Objection, Story, Subject};
pub use json_lines::JsonLinesSink;
pub use redaction::{AuditedRead, Redaction};
pub use request_id::RequestId;

/// Leaves an event behind: metrics, `tracing`, and the sink.
pub(crate) fn emit(event: &AuditEvent, sink: Option<&dyn AuditSink>) {
    metrics::judged(event);
    // Debug formatting (`?`) escapes what callers sent.
    tracing::info!(
        target: "ztlib::audit",
        id = %event.id(),
        verdict = event.verdict().as_str(),
        enforced = event.enforced(),
        reason = event.reason(),
        policy = event.policy(),
        revision = event.revision().map(tracing::field::display),
        peer = event.principal().peer().map(tracing::field::display),
        subject = event.principal().claims().and_then(|claims| claims.subject()).map(tracing::field::debug),
        action = event.action().map(tracing::field::debug),
        method = event.method().map(tracing::field::debug),
        path = event.path().map(tracing::field::debug),
        // Of a gRPC call it is the path.
        route = event.route().map(tracing::field::debug),
    );
    if !matches!(event.verdict(), Verdict::Allow | Verdict::Public) {
        tracing::info!(
            target: "ztlib::refusal",
            id = %event.id(),
            verdict = event.verdict().as_str(),
            enforced = event.enforced(),
            reason = event.reason(),
            detail = event.detail().map(tracing::field::debug),
        );
        if tracing::enabled!(target: "ztlib::refusal", tracing::Level::DEBUG) {
            for read in event.reads() {
                tracing::debug!(target: "ztlib::refusal", id = %event.id(), read = %read);
            }
        }
    }
    if let Some(sink) = sink {
        sink.record(event.clone());
    }
}

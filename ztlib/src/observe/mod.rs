//! What is left behind: an [`AuditEvent`] for every judgement, to an [`AuditSink`] and as a `tracing` event, and metrics.
//!
//! | target | level | what |
//! |---|---|---|
//! | `ztlib::audit` | info | every judgement: id, verdict, reason, policy, revision, peer, subject, method, path |
//! | `ztlib::refusal` | info | every refusal, with the whole reason; debug: the reads that led to it |
//!
//! Text from callers is escaped in all of them.
//!
//! | metric | kind | labels |
//! |---|---|---|
//! | `ztlib_judgements_total` | counter | `verdict`, `policy`, `reason`, `enforced` |
//! | `ztlib_authenticate_seconds`, `ztlib_authorize_seconds` | histogram | |
//! | `ztlib_decisions_total` | counter | `source` |
//! | `ztlib_decisions_not_cacheable_total` | counter | `why` |
//! | `ztlib_audit_events_lost_total` | counter | |

mod audit;
mod json_lines;
pub(crate) mod metrics;
mod redaction;
mod request_id;

pub use audit::{AuditEvent, AuditSink, Verdict};
pub use json_lines::JsonLinesSink;
pub use redaction::{AuditedRead, Redaction};
pub use request_id::RequestId;

/// Leaves an event behind: metrics, `tracing`, and the sink.
pub(crate) fn emit(event: AuditEvent, sink: Option<&dyn AuditSink>) {
    metrics::judged(&event);
    // Debug formatting (`?`) escapes what callers sent.
    tracing::info!(
        target: "ztlib::audit",
        id = %event.id,
        verdict = event.verdict.as_str(),
        enforced = event.enforced,
        reason = event.reason.as_deref(),
        policy = event.policy.as_deref(),
        revision = event.revision.as_ref().map(tracing::field::display),
        peer = event.principal.peer().map(tracing::field::display),
        subject = event.principal.claims().and_then(|claims| claims.subject()).map(tracing::field::debug),
        action = event.action.as_ref().map(tracing::field::debug),
        method = event.method.as_ref().map(tracing::field::debug),
        path = event.path.as_ref().map(tracing::field::debug),
        // Of a gRPC call it is the path.
        route = event.route.as_ref().map(tracing::field::debug),
    );
    if !matches!(event.verdict, Verdict::Allow | Verdict::Public) {
        tracing::info!(
            target: "ztlib::refusal",
            id = %event.id,
            verdict = event.verdict.as_str(),
            enforced = event.enforced,
            reason = event.reason.as_deref(),
            detail = event.detail.as_ref().map(tracing::field::debug),
        );
        for read in event.reads() {
            tracing::debug!(target: "ztlib::refusal", id = %event.id, read = %read);
        }
    }
    if let Some(sink) = sink {
        sink.record(event);
    }
}

//! Metrics through the `metrics` facade. Every label has a bounded set of values: none comes from a caller.

use std::time::Duration;

use super::audit::{AuditEvent, Verdict};

/// `ztlib_judgements_total{verdict, policy, reason}`: policy and reason are names that the manifest declares, or ztlib's own codes.
pub(crate) fn judged(event: &AuditEvent) {
    let verdict = event.verdict.as_str();
    let reason = event.reason.as_deref().unwrap_or("").to_owned();
    let policy = event.policy.as_deref().unwrap_or("").to_owned();
    let enforced = if event.enforced { "yes" } else { "no" };
    ::metrics::counter!("ztlib_judgements_total", "verdict" => verdict, "policy" => policy, "reason" => reason, "enforced" => enforced)
        .increment(1);
    observe("ztlib_authenticate_seconds", event.authenticate);
    if !matches!(event.verdict, Verdict::BadRequest | Verdict::Unauthenticated | Verdict::Public) {
        observe("ztlib_authorize_seconds", event.authorize);
    }
}

/// `ztlib_decisions_total{source}`: `cache` or `fresh`.
pub(crate) fn decided(cached: bool) {
    ::metrics::counter!("ztlib_decisions_total", "source" => if cached { "cache" } else { "fresh" })
        .increment(1);
}

/// `ztlib_decisions_not_cacheable_total{why}`: `too-many-reads`, `too-long-reads`, `too-many-sites` or `values-vary`.
pub(crate) fn decision_not_cacheable(why: &'static str) {
    ::metrics::counter!("ztlib_decisions_not_cacheable_total", "why" => why).increment(1);
}

/// `ztlib_audit_events_lost_total`.
pub(crate) fn audit_event_lost() {
    ::metrics::counter!("ztlib_audit_events_lost_total").increment(1);
}

fn observe(name: &'static str, took: Duration) {
    ::metrics::histogram!(name).record(took.as_secs_f64());
}

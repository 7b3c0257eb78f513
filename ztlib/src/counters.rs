//! Counters through the `metrics` facade. Every label has a bounded set of values: none comes from
//! a caller.

/// `ztlib_decision_cache_reports_total{why}`: `values-vary` or `cache-too-small`; each is a log
/// line, too.
pub(crate) fn cache_report(why: &'static str) {
    ::metrics::counter!("ztlib_decision_cache_reports_total", "why" => why).increment(1);
}

/// `ztlib_decisions_not_cacheable_total{why}`, one for each decision: `native-policy`, `method`
/// (not one of the seven that services use), `too-many-reads`, `too-long-reads` (their arguments),
/// `too-long-values`, `unreadable` (a read that another question of this site makes fails for this
/// one) or `too-many-sites` (it shares a list with others).
pub(crate) fn decision_not_cacheable(why: &'static str) {
    ::metrics::counter!("ztlib_decisions_not_cacheable_total", "why" => why).increment(1);
}

/// `ztlib_audit_events_lost_total`.
pub(crate) fn audit_events_lost(events: u64) {
    ::metrics::counter!("ztlib_audit_events_lost_total").increment(events);
}

/// `ztlib_trial_judged_total{result}`: questions that a candidate judged beside the policies in
/// force: `same` or `differs`.
pub(crate) fn tried(result: &'static str) {
    ::metrics::counter!("ztlib_trial_judged_total", "result" => result).increment(1);
}

/// `ztlib_trial_lost_total`: questions that were left out because a candidate could not keep up.
pub(crate) fn trial_lost() {
    ::metrics::counter!("ztlib_trial_lost_total").increment(1);
}

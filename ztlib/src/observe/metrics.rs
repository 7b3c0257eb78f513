//! Metrics through the `metrics` facade. Every label has a bounded set of values: none comes from a
//! caller.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::metrics::{Counter, Recorder, with_recorder};

use super::audit::{AuditEvent, Verdict};

/// `ztlib_judgements_total{verdict, policy, reason}`: policy and reason are names that the manifest
/// declares, or ztlib's own codes.
pub(crate) fn judged(event: &AuditEvent) {
    if event.verdict() == Verdict::Allow && event.cached() {
        warm();
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

/// The counters of an allow that was remembered: by far the most frequent, so each thread keeps
/// their handles, of the recorder of the process alone. That one never goes away. A thread's own
/// (`metrics::with_local_recorder`) may, and the next one may lie where it lay.
fn warm() {
    thread_local! {
        static KEPT: RefCell<Option<Warm>> = const { RefCell::new(None) };
    }
    let recorder = with_recorder(address);
    if recorder != OF_THE_PROCESS.load(Ordering::Relaxed) && recorder != of_the_process() {
        return Warm::of(recorder).count();
    }
    let kept = KEPT.try_with(|kept| {
        // A recorder that is asked while it is being asked: the handles are in use, and these two are not
        // counted twice.
        let Ok(mut kept) = kept.try_borrow_mut() else { return };
        match &mut *kept {
            Some(known) if known.recorder == recorder => known,
            other => other.insert(Warm::of(recorder)),
        }
        .count();
    });
    // A thread that is about to end keeps nothing any more.
    if kept.is_err() {
        Warm::of(recorder).count();
    }
}

struct Warm {
    /// The recorder that gave the handles, by its address.
    recorder: usize,
    judgements: Counter,
    decisions: Counter,
}

impl Warm {
    fn of(recorder: usize) -> Self {
        Self {
            recorder,
            judgements: ::metrics::counter!("ztlib_judgements_total", "verdict" => "allow", "policy" => "", "reason" => "", "enforced" => "yes"),
            decisions: ::metrics::counter!("ztlib_decisions_total", "source" => "cache"),
        }
    }

    fn count(&self) {
        self.judgements.increment(1);
        self.decisions.increment(1);
    }
}

fn address(recorder: &dyn Recorder) -> usize {
    std::ptr::from_ref(recorder).addr()
}

/// The address of the recorder of the process, when it was last asked for.
static OF_THE_PROCESS: AtomicUsize = AtomicUsize::new(0);

/// Asks again which it is: it changes once, when a service installs one. Only a thread that has
/// just begun has surely none of its own, and one is begun at the first, second, fourth, eighth …
/// time that this is called, so that a thread with a recorder of its own does not begin one for
/// each request.
fn of_the_process() -> usize {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    if ASKED.fetch_add(1, Ordering::Relaxed).wrapping_add(1).is_power_of_two() {
        let asked = std::thread::Builder::new().spawn(|| with_recorder(address));
        if let Some(recorder) = asked.ok().and_then(|thread| thread.join().ok()) {
            OF_THE_PROCESS.store(recorder, Ordering::Relaxed);
        }
    }
    OF_THE_PROCESS.load(Ordering::Relaxed)
}

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

fn observe(name: &'static str, took: Duration) {
    ::metrics::histogram!(name).record(took.as_secs_f64());
}

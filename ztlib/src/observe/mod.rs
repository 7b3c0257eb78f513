//! Records every judgement: an [`AuditEvent`] for an [`AuditSink`], a `tracing` event, and metrics.
//!
//! **Deployment.** A sink is called on the request path, so it must not block. [`JsonLinesSink`]
//! writes on a thread of its own, and loses (and counts) events rather than delay a request.
//!
//! These are all of ztlib's log targets and metrics, as in the tables of `docs/operations.md`. Text
//! from callers is escaped in all of them.
//!
//! - `ztlib::audit`, info: every judgement: id, service, instance, parent, verdict, reason, policy,
//!   revision, peer, subject, action, object, method, path. The sink gets these and more
//! - `ztlib::audit`, error: the audit log cannot be written, flushed or reopened after a rotation,
//!   or its writer did not start; events were lost: the first, and each time their number doubles
//! - `ztlib::audit`, info: the audit log was rotated and its file reopened
//! - `ztlib::refusal`, info: every refusal, with its full reason
//! - `ztlib::refusal`, debug: the reads that led to it; connections that were refused before HTTP
//!   was spoken, or ended by the server
//! - `ztlib::guard`, warn: a guard that only observes was built; once: routes on which it is to
//!   refuse were met by none of 1000 requests; a CORS preflight was refused, or an answer from
//!   inside has CORS headers or a request id of its own, because that layer is inside of the guard;
//!   a layer changed the path after the routing; a request came without a certificate to a guard
//!   that requires one; a policy asks for addresses that the server does not provide
//! - `ztlib::guard`, error: a handler asked for what the guard did not establish (500); once: a
//!   route names a parameter twice
//! - `ztlib::cache`, info: decisions of a set with a native policy are not cached
//! - `ztlib::cache`, warn: decisions of a site are not cached, or hardly ever found again: names
//!   the read, and what to change
//! - `ztlib::trial`, warn: a candidate on trial would decide differently: once for each kind of
//!   change
//! - `ztlib::policies::…`, info: a set is in force: revision, version, signer
//! - `ztlib::policies::…`, warn: a rollback; files are polled twice a second instead of watched;
//!   sandboxes run slower than they could
//! - `ztlib::policies::…`, error: a set was refused: code, file, line, what stays in force
//! - `ztlib::tls::…`, warn: connections were cut at the end of the shutdown limit
//! - `ztlib::tls::…`, error: connections cannot be accepted
//!
//! No label's value comes from a caller. The gauges describe one policy set per process; with
//! several, they show the one that reported last.
//!
//! - `ztlib_judgements_total`, counter: every judgement; `no`: the guard only observes, and would
//!   have refused it. Labels: `verdict`: `allow`, `public`, `deny`, `unauthenticated`,
//!   `bad-request`, `fault`; `policy` and `reason`, empty where there is none; `enforced`: `yes`,
//!   `no`.
//! - `ztlib_decisions_total`, counter: decisions by the policies: cached, or freshly evaluated.
//!   Labels: `source`: `cache`, `fresh`.
//! - `ztlib_decisions_not_cacheable_total`, counter: decisions that were not cached;
//!   `too-many-sites`: the site shares a list of reads with others. Labels: `why`: `native-policy`,
//!   `method`, `too-many-sites`, `too-many-reads`, `too-long-reads`, `too-long-values`,
//!   `unreadable`.
//! - `ztlib_decision_cache_reports_total`, counter: sites whose decisions are hardly ever found
//!   again; the log of `ztlib::cache` says more. Labels: `why`: `values-vary`, `cache-too-small`.
//! - `ztlib_authenticate_seconds`, `ztlib_authorize_seconds`, histogram: the time spent; a cached
//!   result takes less than reading a clock, and is not included.
//! - `ztlib_policy_loads_total`, counter: attempts to load a policy set. Labels: `result`:
//!   `loaded`, `refused`, `rolled-back`; `code`: why it was refused, otherwise empty.
//! - `ztlib_policy_revision_info`, gauge: 1: this revision is in force; 0: it was. Labels:
//!   `revision`: its name in audit events; `other` after 256 names in one process.
//! - `ztlib_policies_in_force_since_seconds`, gauge: when this revision came into force, in seconds
//!   since 1970.
//! - `ztlib_policies_confirmed_seconds`, gauge: when it was last confirmed to match its files, in
//!   seconds since 1970.
//! - `ztlib_policies_version`, gauge: its `version`; 0 if it has none.
//! - `ztlib_trial_judged_total`, counter: questions that a candidate on trial also judged. Labels:
//!   `result`: `same`, `differs`.
//! - `ztlib_trial_lost_total`, counter: questions that were skipped because a candidate could not
//!   keep up.
//! - `ztlib_connections_refused_total`, counter: connections that were refused before HTTP was
//!   spoken. Labels: `code`.
//! - `ztlib_connections_ended_total`, counter: connections and requests that were ended or refused
//!   before a guard saw them (`docs/connections.md`). Labels: `code`: `preface-timeout`,
//!   `header-timeout`, `ping-timeout`, `body-timeout`, `answer-timeout`, `made-room`,
//!   `malformed-http`, `header-too-large`.
//! - `ztlib_audit_events_lost_total`, counter: audit events that found the queue full, that could
//!   not be written, or that were written since the last successful flush when a flush failed.

mod audit;
mod audit_file;
mod audit_writer;
mod json_lines;
mod line;
mod metrics;
mod queue;
mod redaction;
mod story;

pub use crate::request_id::RequestId;
pub use audit::{AuditEvent, AuditSink, Verdict};
pub use json_lines::JsonLinesSink;
pub(crate) use metrics::Remembered;
pub use redaction::{AuditedRead, Redaction};
pub(crate) use story::{EventData, Object, Objection, Place, Subject};

/// Emits metrics, the `tracing` events, and the event for the sink.
pub(crate) fn emit(event: &AuditEvent, counters: &Remembered, sink: Option<&dyn AuditSink>) {
    metrics::judged(event, counters);
    // Debug formatting (`?`) escapes what callers sent.
    tracing::info!(
        target: "ztlib::audit",
        id = %event.id(),
        service = event.service().map(tracing::field::debug),
        instance = event.instance().map(tracing::field::debug),
        parent = event.parent().map(tracing::field::display),
        verdict = event.verdict().as_str(),
        enforced = event.enforced(),
        reason = event.reason(),
        policy = event.policy(),
        revision = event.revision().map(tracing::field::display),
        peer = event.principal().peer().map(tracing::field::display),
        subject = event.principal().claims().and_then(|claims| claims.subject()).map(tracing::field::debug),
        action = event.action().map(tracing::field::debug),
        object = event.object().map(|(kind, id)| tracing::field::debug((kind, id))),
        method = event.method().map(tracing::field::debug),
        path = event.path().map(tracing::field::debug),
        // For a gRPC call this is the path.
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// The cells of a table, row by row, without its header.
    fn rows<'t>(lines: impl Iterator<Item = &'t str>) -> Vec<Vec<&'t str>> {
        let rows = lines.filter(|line| line.starts_with('|')).skip(2);
        rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }

    /// The items of the lists of targets and metrics, each on one line.
    fn items<'t>(lines: impl Iterator<Item = &'t str>) -> Vec<String> {
        let mut items: Vec<String> = Vec::new();
        let mut inside = false;
        for line in lines {
            if line.starts_with("- `ztlib") {
                items.push(line.trim_start_matches("- ").to_owned());
                inside = true;
            } else if let (true, Some(more), Some(item)) = (inside, line.strip_prefix("  "), items.last_mut())
            {
                *item += " ";
                *item += more;
            } else {
                inside = false;
            }
        }
        items
    }

    #[test]
    fn the_page_for_operators_says_the_same() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
        let Ok(page) = std::fs::read_to_string(page) else {
            eprintln!("skipped: the pages of the repository are not beside this crate");
            return;
        };
        let here = items(include_str!("mod.rs").lines().filter_map(|line| line.strip_prefix("//! ")));
        let after = |heading: &str| {
            let lines = page.lines().skip_while(move |line| *line != heading).skip(1);
            rows(lines.take_while(|line| !line.starts_with("## ")))
        };
        let mut there = Vec::new();
        let mut target = String::new();
        for row in after("## Logs") {
            let [name, level, what] = row.as_slice() else { panic!("{row:?}") };
            if !name.is_empty() {
                target = (*name).to_owned();
            }
            there.push(format!("{target}, {level}: {what}"));
        }
        for row in after("## Metrics") {
            let [name, kind, labels, counts] = row.as_slice() else { panic!("{row:?}") };
            let labels = if labels.is_empty() { String::new() } else { format!(" Labels: {labels}.") };
            there.push(format!("{name}, {kind}: {counts}.{labels}"));
        }
        assert!(here.len() > 20);
        assert_eq!(here, there);
    }
}

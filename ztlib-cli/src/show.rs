//! How things are printed.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};
use ztlib::policies::cases::{CaseResult, Coverage, Timing};

/// Where a command prints, and in which form.
pub(crate) struct Desk<'o> {
    pub(crate) out: &'o mut dyn Write,
    pub(crate) json: bool,
}

impl Desk<'_> {
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    pub(crate) fn value(&mut self, value: &Value) -> io::Result<()> {
        writeln!(self.out, "{value}")
    }
}

/// "deny `no-role` by `rbac`".
pub(crate) fn outcome(result: &CaseResult) -> String {
    let mut text = result.verdict().to_string();
    if let Some(reason) = result.reason() {
        text.push_str(&format!(" `{reason}`"));
    }
    if let Some(policy) = result.decided_by() {
        text.push_str(&format!(" by `{policy}`"));
    }
    text
}

/// The reads with their values, as a case's `reads` expects them.
pub(crate) fn reads(result: &CaseResult) -> Vec<String> {
    result.evaluation().trace().reads().map(|(read, value)| format!("{read}={value}")).collect()
}

pub(crate) fn result_json(result: &CaseResult) -> Value {
    let headers: Vec<Value> = result
        .headers()
        .map(|(of_request, name, value)| {
            json!({ "of": if of_request { "request" } else { "response" }, "name": name, "value": value })
        })
        .collect();
    let differences: Vec<Value> = result
        .differences()
        .iter()
        .map(|one| json!({ "file": one.file().display().to_string(), "line": one.line(), "message": one.text() }))
        .collect();
    let evaluation = result.evaluation();
    let log: Vec<Value> =
        evaluation.log().map(|(policy, line)| json!({ "policy": policy, "line": line })).collect();
    let fault = evaluation.result().as_ref().err().map(|fault| fault.detail());
    json!({
        "case": result.case(),
        "file": result.file().display().to_string(),
        "line": result.line(),
        "about": result.policy(),
        "passed": result.passed(),
        "verdict": result.verdict().to_string(),
        "reason": result.reason(),
        "policy": result.decided_by(),
        "message": result.message(),
        "detail": fault,
        "headers": headers,
        "reads": reads(result),
        "log": log,
        "fuel": evaluation.fuel(),
        "differences": differences,
    })
}

pub(crate) fn coverage_json(coverage: &Coverage) -> Value {
    let reasons: serde_json::Map<String, Value> =
        coverage.reasons.iter().map(|(reason, times)| (reason.clone(), json!(times))).collect();
    json!({
        "policy": coverage.policy,
        "allowed": coverage.allowed,
        "denied": coverage.denied,
        "abstained": coverage.abstained,
        "faults": coverage.faults,
        "reasons": reasons,
        "reads": coverage.reads,
    })
}

pub(crate) fn timing_json(timing: &Timing) -> Value {
    let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    json!({
        "fresh_ns": nanoseconds(timing.fresh),
        "fastest_ns": nanoseconds(timing.fastest),
        "slowest_ns": nanoseconds(timing.slowest),
        "remembered_ns": timing.remembered.map(nanoseconds),
    })
}

pub(crate) fn timing(timing: &Timing) -> String {
    let remembered = timing
        .remembered
        .map_or_else(|| "not remembered".to_owned(), |it| format!("remembered {}", time(it)));
    format!(
        "fresh {} ({} to {}), {remembered}",
        time(timing.fresh),
        time(timing.fastest),
        time(timing.slowest)
    )
}

/// Three digits are enough.
fn time(duration: Duration) -> String {
    let nanoseconds = duration.as_secs_f64() * 1e9;
    if nanoseconds < 1e3 {
        format!("{nanoseconds:.0} ns")
    } else if nanoseconds < 1e6 {
        format!("{:.1} µs", nanoseconds / 1e3)
    } else {
        format!("{:.1} ms", nanoseconds / 1e6)
    }
}

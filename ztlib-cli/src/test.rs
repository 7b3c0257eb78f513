//! `policy test`: the cases of a manifest, in the sandbox.

use serde_json::{Value, json};
use ztlib::policies::cases::Draft;

use crate::Ended;
use crate::args::Test;
use crate::failure::{BROKEN, Failure};
use crate::show::{Desk, coverage_json, result_json};

pub(crate) fn run(test: &Test, desk: &mut Desk<'_>) -> Result<Ended, Failure> {
    let draft = Draft::load(&test.manifest)?;
    let report = draft.run()?;
    if report.is_empty() {
        let text = format!("{} names no cases: write `tests = [\"tests/*.toml\"]`", test.manifest.display());
        return Err(Failure::new(BROKEN, "no-cases", text));
    }
    let coverage = draft.coverage(&report);
    let failed = report.len() - report.passed();
    if desk.json {
        let cases: Vec<Value> = report.results().map(result_json).collect();
        let coverage: Vec<Value> = coverage.iter().map(coverage_json).collect();
        desk.value(&json!({
            "revision": draft.revision().to_string(), "digest": draft.revision().digest(), "passed": report.passed(), "failed": failed,
            "cases": cases, "coverage": coverage,
        }))?;
    } else {
        for difference in report.failures() {
            desk.line(&difference.to_string())?;
        }
        desk.line(&format!("{} of {} cases passed", report.passed(), report.len()))?;
        for one in &coverage {
            desk.line(&format!(
                "policy `{}`: allowed {}, denied {}, abstained {}, faults {}",
                one.policy, one.allowed, one.denied, one.abstained, one.faults
            ))?;
            for (reason, times) in &one.reasons {
                let times = match times {
                    0 => "never given".to_owned(),
                    1 => "given once".to_owned(),
                    times => format!("given {times} times"),
                };
                desk.line(&format!("  reason `{reason}`: {times}"))?;
            }
        }
    }
    Ok(if failed == 0 { Ended::Well } else { Ended::Failed })
}

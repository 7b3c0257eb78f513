//! `policy bench`: how long cases take.

use serde_json::{Value, json};
use ztlib::policies::cases::Draft;

use crate::Ended;
use crate::args::Bench;
use crate::explain::unknown_case;
use crate::failure::Failure;
use crate::show::{Desk, timing, timing_json};

pub(crate) fn run(bench: &Bench, desk: &mut Desk<'_>) -> Result<Ended, Failure> {
    let draft = Draft::load(&bench.manifest)?;
    let mut measured: Vec<Value> = Vec::new();
    for cases in draft.cases() {
        for name in cases.names().filter(|name| bench.case.as_deref().is_none_or(|wanted| *name == wanted)) {
            let Some(took) = draft.time(cases, name, bench.times)? else { continue };
            if !desk.json {
                desk.line(&format!("{}: {name}: {}", cases.file().display(), timing(&took)))?;
            }
            measured.push(json!({
                "file": cases.file().display().to_string(), "case": name, "times": bench.times, "time": timing_json(&took),
            }));
        }
    }
    if measured.is_empty() {
        return Err(unknown_case(&draft, bench.case.as_deref().unwrap_or_default()));
    }
    if desk.json {
        desk.value(&json!({ "cases": measured }))?;
    }
    Ok(Ended::Well)
}

//! `set lint`: what is odd about a set, as far as its cases show.

use serde_json::{Value, json};
use ztlib::policies::cases::{Draft, Routes};

use crate::Ended;
use crate::args::Lint;
use crate::failure::Failure;
use crate::show::Desk;

pub(crate) fn run(lint: &Lint, desk: &mut Desk<'_>) -> Result<Ended, Failure> {
    let draft = Draft::load(&lint.manifest)?;
    let routes = lint.routes.as_ref().map(Routes::read).transpose()?;
    let findings = draft.lint(routes.as_ref())?;
    if desk.json {
        let findings: Vec<Value> = findings
            .iter()
            .map(|one| {
                json!({ "code": one.code(), "file": one.file().display().to_string(), "line": one.line(), "message": one.text() })
            })
            .collect();
        desk.value(&json!({ "findings": findings }))?;
    } else {
        for finding in &findings {
            desk.line(&finding.to_string())?;
        }
        if findings.is_empty() {
            desk.line("nothing odd")?;
        }
    }
    Ok(if findings.is_empty() { Ended::Well } else { Ended::Failed })
}

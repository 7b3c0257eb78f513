//! `policy pin`: the digests of what a manifest names, into the manifest.

use serde_json::{Value, json};
use ztlib::policies::pin;

use crate::Ended;
use crate::args::Pin;
use crate::failure::Failure;
use crate::show::Desk;

pub(crate) fn run(args: &Pin, desk: &mut Desk<'_>) -> Result<Ended, Failure> {
    let pinned = pin(&args.manifest, |_| true)?;
    if desk.json {
        let pinned: Vec<Value> = pinned
            .iter()
            .map(|one| {
                json!({
                    "module": one.module, "sha256": one.sha256, "config_sha256": one.config_sha256,
                    "changed": one.changed,
                })
            })
            .collect();
        desk.value(&json!({ "pinned": pinned }))?;
        return Ok(Ended::Well);
    }
    for one in &pinned {
        let what = if one.config_sha256.is_some() { " and its configuration" } else { "" };
        let how = if one.changed { "pinned" } else { "unchanged" };
        desk.line(&format!("{}{what}: {how}, sha256 {}", one.module, one.sha256))?;
    }
    if pinned.is_empty() {
        desk.line("the manifest names no module")?;
    }
    Ok(Ended::Well)
}

//! `policy replay`: what a set would have decided on what a service recorded.

use ztlib::policies::cases::Draft;
use ztlib::policies::trial::Recording;

use crate::Ended;
use crate::args::Replay;
use crate::failure::{BROKEN, Failure};
use crate::show::Desk;

pub(crate) fn run(replay: &Replay, desk: &mut Desk<'_>) -> Result<Ended, Failure> {
    let draft = Draft::load(&replay.manifest)?;
    let recording = Recording::read(&replay.recorded)?;
    if recording.is_empty() {
        // Nothing was tried, so nothing went well.
        let text = format!("{} holds no records", replay.recorded.display());
        return Err(Failure::new(BROKEN, "no-records", text));
    }
    let found = draft.replay(&recording);
    if desk.json {
        let value = serde_json::to_value(&found);
        desk.value(&value.map_err(|error| Failure::new(BROKEN, "not-json", error.to_string()))?)?;
    } else {
        desk.line(&found.to_string())?;
    }
    let is_known = found.differing() == 0 && found.not_judged() == 0;
    Ok(if is_known { Ended::Well } else { Ended::Failed })
}

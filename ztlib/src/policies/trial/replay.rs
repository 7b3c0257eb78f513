//! Replay: a set is asked again what was recorded.

use super::conclusion::Conclusion;
use super::differences::{Compared, Differences};
use super::rebuild;
use super::recording::Recording;
use crate::authorize::View;
use crate::authorize::{PolicySet, Revision};
use crate::policies::cases::Draft;

/// Asks a set about every record. Each is judged as of its own time; the documents are the set's.
pub(crate) fn replay(set: &PolicySet, as_candidate: Revision, recording: &Recording) -> Differences {
    // Signals are those of the record; nobody else is asked.
    let set = set.result(None, View { signal_source: None, ..set.view().clone() });
    let mut found = Differences::new(as_candidate, None);
    for record in &recording.records {
        // A file was looked through when it was read, and what this process recorded can be put
        // together again. Were it not so, nobody may take it for judged.
        let Ok(question) = rebuild::question(record, &recording.hidden) else {
            found.miss_all();
            continue;
        };
        let evaluation = set.evaluate(Box::new(question));
        if let Some((read, fault)) = evaluation.question.missing() {
            found.miss(read, fault);
            continue;
        }
        let compared = Compared {
            id: record.id,
            time: record.time,
            subject: &record.subject,
            judged_by: record.judged_by.policies,
            from: record.enforced.clone(),
            to: Conclusion::of(&evaluation.result),
            trace: &evaluation.trace,
        };
        found.judge(compared, || record.printed_reads());
    }
    found
}

impl Draft {
    /// What it would have decided on recorded questions, with its own documents.
    pub fn replay(&self, recording: &Recording) -> Differences {
        replay(&self.set, self.revision(), recording)
    }
}

//! Replay: asks a set the recorded questions again.

use super::conclusion::Conclusion;
use super::differences::{Compared, Differences};
use super::rebuild;
use super::recording::Recording;
use crate::authorize::View;
use crate::authorize::{PolicySet, Revision};
use crate::policies::cases::Draft;

/// Asks a set about every record. Each is judged at its own time, with the documents of the set.
pub(crate) fn replay(set: &PolicySet, as_candidate: Revision, recording: &Recording) -> Differences {
    // Signals come from the record and no other source.
    let set = set.result(None, View { signal_source: None, ..set.view().clone() });
    let mut found = Differences::new(as_candidate, None);
    for record in &recording.records {
        // A file was checked when it was read, and records of this process can always be rebuilt.
        // If one cannot, it must not count as judged.
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
    /// Judges recorded questions with the set's own documents.
    pub fn replay(&self, recording: &Recording) -> Differences {
        replay(&self.set, self.revision(), recording)
    }
}

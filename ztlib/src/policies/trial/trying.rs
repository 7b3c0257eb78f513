//! The thread of a shadow: lets the candidate judge one question after the other, and counts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};

use super::candidate::set_now;
use super::conclusion::Conclusion;
use super::differences::{Compared, Differences};
use super::printed;
use super::record::Subject;
use super::shadow::{Item, State};
use super::status::TrialStatus;
use crate::authorize::Asked;
use crate::authorize::Fault;
use crate::authorize::Trace;
use crate::authorize::{PolicySet, Revision};
use crate::counters;
use crate::digest::Digest;
use crate::policies::store::Loaded;
use crate::policies::store::{Shared, milliseconds};

/// The thread of a shadow. It keeps neither the handle nor the sender of the queue alive.
pub(crate) struct Trying {
    pub(crate) shared: Weak<Shared>,
    pub(crate) items: Receiver<Box<Item>>,
    pub(crate) state: Arc<State>,
    pub(crate) candidate: Arc<Loaded>,
    /// The candidate with the documents of `documents_of`.
    pub(crate) set: Arc<PolicySet>,
    pub(crate) documents_of: Option<Revision>,
}

impl Trying {
    pub(crate) fn run(mut self) {
        while let Ok(item) = self.items.recv() {
            self.state.queue.bytes.fetch_sub(item.bytes, Ordering::Relaxed);
            if !self.try_one(*item) {
                break;
            }
        }
        self.state.end();
    }

    /// Judges one question. Returns false if the trial is over.
    fn try_one(&mut self, item: Item) -> bool {
        if self.state.tally().status.ended || !self.begin(item.judged_by) {
            return !self.is_over();
        }
        let subject = match &item.question.asked {
            Asked::Action(name) => Subject::Action(name.clone()),
            Asked::Request(request) => {
                Subject::Request { method: request.parts.method.clone(), route: request.route.clone() }
            }
        };
        let time = milliseconds(item.question.now);
        // Only the application's own code can panic here. The trial continues.
        let judged = catch_unwind(AssertUnwindSafe(|| self.set.evaluate(item.question)));
        let (to, trace) = match judged {
            Ok(evaluation) => (Conclusion::of(&evaluation.result), evaluation.trace),
            Err(_) => (Conclusion::of(&Err(Fault::new("panicked", ""))), Trace::default()),
        };
        let from = Conclusion::of(&item.result);
        let compared = Compared {
            id: item.id,
            time,
            subject: &subject,
            judged_by: item.judged_by,
            from,
            to,
            trace: &trace,
        };
        self.conclude(compared, &item.trace)
    }

    /// Whether a question that this set decided counts, because the set is in force. The first
    /// question of a new set restarts the counts.
    fn begin(&mut self, judged_by: Digest) -> bool {
        let Some(shared) = self.shared.upgrade() else { return false };
        let current = shared.current.load_full();
        if self.documents_of != Some(current.revision) {
            let loader = shared.loader();
            let current = shared.current.load_full();
            self.set = set_now(&self.candidate, &current, &loader);
            self.documents_of = Some(current.revision);
        }
        let mut tally = self.state.tally();
        if tally.found.against == Some(judged_by) {
            return true;
        }
        if current.root() != judged_by {
            return false;
        }
        tally.found = Differences::new(self.candidate.set.revision, Some(judged_by));
        true
    }

    /// Whether there is nothing left to try.
    fn is_over(&self) -> bool {
        self.shared.strong_count() == 0 || self.state.tally().status.ended
    }

    /// Counts one question. Returns false if the trial is over.
    fn conclude(&self, compared: Compared<'_>, enforced: &Trace) -> bool {
        let mut tally = self.state.tally();
        if tally.status.ended {
            return false;
        }
        let same = compared.from == compared.to;
        let (id, from, to) = (compared.id, compared.from.clone(), compared.to.clone());
        let is_new = tally.found.judge(compared, || printed(enforced));
        counters::tried(if same { "same" } else { "differs" });
        if is_new {
            // Once per group, so that a candidate that differs in everything does not flood the
            // log.
            tracing::warn!(target: "ztlib::trial", candidate = %tally.found.candidate(), %id, %from, %to, "the candidate would decide differently");
        }
        let (judged, differing) = (tally.found.judged(), tally.found.differing());
        let lost = self.state.queue.lost.load(Ordering::Relaxed);
        tally.status = TrialStatus { judged, differing, lost, ..tally.status.clone() };
        drop(tally);
        self.state.changed.notify_all();
        true
    }
}

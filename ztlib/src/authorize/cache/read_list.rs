//! The reads that the evaluations of a site have made so far.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::authorize::question::{Question, View};
use crate::authorize::read::Read;
use crate::authorize::trace::Trace;
use crate::observe::metrics;

/// The reads that the evaluations of a site have made so far. Immutable: a longer one takes its place under another number.
pub(crate) struct ReadList {
    /// Unique in this process.
    pub(super) number: u64,
    pub(super) reads: Vec<Read>,
    /// Questions that were looked up under this list, and found.
    lookups: AtomicU64,
    hits: AtomicU64,
    /// Whether the operator was told.
    told: AtomicBool,
}

impl ReadList {
    pub(super) fn new(reads: Vec<Read>) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Self {
            number,
            reads,
            lookups: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            told: AtomicBool::new(false),
        }
    }

    /// Where the reads of the trace stand in the list, in the order of the trace. All of them do.
    pub(super) fn places(&self, trace: &Trace) -> Box<[u8]> {
        let place = |read: &Read| self.reads.iter().position(|known| known == read);
        trace.reads().filter_map(|(read, _)| u8::try_from(place(read)?).ok()).collect()
    }

    /// The trace of the evaluation that an entry stands for: its reads, with the values that they have for this question. They have just
    /// been read for the key.
    pub(super) fn trace(&self, question: &mut Question, view: &View, made: &[u8]) -> Option<Trace> {
        let mut trace = Trace::default();
        for place in made {
            let read = self.reads.get(usize::from(*place))?;
            trace.record(read.clone(), question.answer(read, view).ok()?);
        }
        Some(trace)
    }

    /// Counts answers that were found without asking this list.
    pub(super) fn found(&self, answers: u64) {
        self.hits.fetch_add(answers, Ordering::Relaxed);
        self.lookups.fetch_add(answers, Ordering::Relaxed);
    }

    /// Counts, and tells the operator once where a site's list makes its answers useless to remember.
    pub(super) fn looked_up(&self, hit: bool, site: &impl fmt::Debug) {
        /// So many questions, and fewer than one in eight of them found.
        const ENOUGH: u64 = 4096;
        let hits = self.hits.fetch_add(hit.into(), Ordering::Relaxed);
        let lookups = self.lookups.fetch_add(1, Ordering::Relaxed);
        if lookups >= ENOUGH && hits < lookups / 8 && !self.told.swap(true, Ordering::Relaxed) {
            for (read, better) in self.reads.iter().filter_map(|read| Some((read, coarser(read)?))) {
                metrics::decision_not_cacheable("values-vary");
                tracing::warn!(
                    target: "ztlib::cache", ?site, %read, lookups, hits,
                    "decisions here are hardly ever found again, since a policy reads this; it could ask {better}"
                );
            }
        }
    }
}

/// The narrower question to ask instead of one whose answer varies with each caller or each request.
fn coarser(read: &Read) -> Option<&'static str> {
    Some(match read {
        Read::Now => "`before`, `in-window` or `authenticated-within`",
        Read::Path => "`route` or `path-matches`",
        Read::Param(_) => "`data-contains` with `{param:…}`, or a label",
        Read::Subject | Read::PeerSpiffeId => {
            "`data-contains` with `{subject}` or `{peer}`, or `peer-matches`"
        }
        Read::ClaimString(_) | Read::ClaimJson(_) | Read::ClaimInt(_) => "`claim-contains` or `before-claim`",
        Read::Header(_) | Read::HeaderValues(_) | Read::HeaderNames | Read::Query(_) => {
            "nothing narrower: let the application put what matters into a label"
        }
        Read::RemoteIp => "`remote-ip-in`",
        Read::Scopes => "`has-scope`",
        Read::Signal(_) => "`signal-at-least`",
        Read::DataJson(..) | Read::DataString(..) => "`data-contains`",
        _ => return None,
    })
}

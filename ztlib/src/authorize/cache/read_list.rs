//! The reads that the evaluations of a site have made so far.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use smallvec::SmallVec;

use super::usefulness::Usefulness;
use crate::authorize::Read;
use crate::authorize::Trace;
use crate::authorize::{Question, View};

/// The reads that the evaluations of a site have made so far. Immutable: a longer list replaces it
/// under another number.
pub(crate) struct ReadList {
    /// Unique in this process.
    pub(super) number: u64,
    pub(super) reads: Vec<Read>,
    pub(super) usefulness: Usefulness,
    told_too_long: AtomicBool,
}

impl ReadList {
    pub(super) fn new(reads: Vec<Read>) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Self { number, reads, usefulness: Usefulness::default(), told_too_long: AtomicBool::new(false) }
    }

    /// The positions in the list of the trace's reads, in the order of the trace. The list holds
    /// them all.
    pub(super) fn places(&self, trace: &Trace) -> SmallVec<[u8; 16]> {
        let place = |read: &Read| self.reads.iter().position(|known| known == read);
        trace.reads().filter_map(|(read, _)| u8::try_from(place(read)?).ok()).collect()
    }

    /// The trace of the evaluation behind an entry: its reads, with their values for this question.
    /// They have just been read for the key.
    pub(super) fn trace(&self, question: &mut Question, view: &View, made: &[u8]) -> Option<Trace> {
        let mut trace = Trace::default();
        for place in made {
            let read = self.reads.get(usize::from(*place))?;
            trace.record(read.clone(), question.answer(read, view).ok()?);
        }
        Some(trace)
    }

    /// Warns once that a value is too long for a key, so that the decision is not cached.
    pub(super) fn too_long(&self, site: &dyn fmt::Debug, read: &Read, limit: usize) {
        if !self.told_too_long.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "ztlib::cache", ?site, %read, limit,
                "a decision here is not cached: what a policy reads is longer than `CacheLimits::key_bytes`"
            );
        }
    }
}

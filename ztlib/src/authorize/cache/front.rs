//! In front of the shared cache: the few decisions that this thread used last. It takes no lock,
//! shares no memory with other threads, and allocates nothing when it finds a decision.
//!
//! An entry is a whole trace with its decision. It is compared in full: if every read of the trace
//! returns the same value for this question, a deterministic policy reads the same, sees the same
//! and decides the same. The place to look is only a hint, made from the caller and the target. A
//! wrong hint costs a look-up in the shared cache and never gives a wrong answer. Reads that depend
//! on the caller alone are not repeated for the same caller: verified claims and identities do not
//! change.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use super::read_list::ReadList;
use crate::authorize::Decision;
use crate::authorize::Trace;
use crate::authorize::set::PolicySet;
use crate::authorize::{Asked, Question};
use crate::authorize::{Caller, Claims, PeerFacts};
use crate::digest::Digest;

/// Sets of slots, a power of two; and slots in each set.
const SETS: usize = 64;
const PLACES: usize = 4;

/// The largest entry, in bytes. All entries of a thread hold at most 512 KiB.
const MAX_ENTRY_BYTES: usize = 2048;

/// The most hits that are reported to the read list at once. Its counters are shared by all
/// threads.
const TOLD_AT_ONCE: u64 = 64;

thread_local! {
    static FRONT: RefCell<Vec<Option<Entry>>> = const { RefCell::new(Vec::new()) };
}

/// A decision with what it depends on.
struct Entry {
    /// The cache that it belongs to.
    cache: u64,
    root: Digest,
    trace: Arc<Trace>,
    /// The caller for whom the whole trace was last compared.
    caller: Mark,
    decision: Decision,
    list: Arc<ReadList>,
    /// How often it was found, and how many of those hits were reported to the read list.
    found: u64,
    told: u64,
}

/// Identifies the facts of a caller. While it exists, their memory cannot be reused for others.
struct Mark {
    peer: Option<Weak<PeerFacts>>,
    claims: Option<Weak<Claims>>,
}

impl Mark {
    fn of(caller: &Caller) -> Self {
        Self {
            peer: caller.peer.as_ref().map(Arc::downgrade),
            claims: caller.claims.as_ref().map(Arc::downgrade),
        }
    }

    /// Whether the caller has these very facts.
    fn is_of(&self, caller: &Caller) -> bool {
        fn same<T>(mark: Option<&Weak<T>>, facts: Option<&Arc<T>>) -> bool {
            match (mark, facts) {
                (Some(mark), Some(facts)) => mark.as_ptr() == Arc::as_ptr(facts),
                (mark, facts) => mark.is_none() && facts.is_none(),
            }
        }
        same(self.peer.as_ref(), caller.peer.as_ref()) && same(self.claims.as_ref(), caller.claims.as_ref())
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.tell();
    }
}

impl Entry {
    /// Counts a hit. The first hits are reported early, so that the read list knows at least half
    /// of them at any time.
    fn found(&mut self) {
        self.found += 1;
        if self.found.is_power_of_two() || self.found - self.told >= TOLD_AT_ONCE {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let answers = self.found - self.told;
        if answers > 0 {
            self.list.usefulness.count(answers, answers);
            self.told = self.found;
        }
    }

    /// Whether every read of the trace still returns the same value for this question.
    fn answers(&mut self, question: &mut Question, policies: &PolicySet) -> bool {
        let known = self.caller.is_of(&question.caller);
        let same = self.trace.reads().all(|(read, value)| {
            (known && read.is_of_caller())
                || question.fact(read, policies.view()).is_ok_and(|fact| fact.is(value))
        });
        if same && !known {
            self.caller = Mark::of(&question.caller);
        }
        same
    }
}

/// The decision that this thread found earlier for a question like this one.
pub(super) fn get(
    cache: u64,
    policies: &PolicySet,
    question: &mut Question,
) -> Option<(Decision, Arc<Trace>)> {
    // During thread shutdown the thread-local is gone: look in the shared cache only.
    let found = FRONT.try_with(|front| {
        // A source of signals that asks a question of its own finds this thread's front borrowed.
        let mut front = front.try_borrow_mut().ok()?;
        let places = front.get_mut(places(cache, question))?;
        let root = policies.root();
        let mut same = |entry: &mut Entry| {
            entry.cache == cache && entry.root == root && entry.answers(question, policies)
        };
        let at = places.iter_mut().position(|place| place.as_mut().is_some_and(&mut same))?;
        // The entry found last is tried first.
        places.get_mut(..=at)?.rotate_right(1);
        let entry = places.first_mut()?.as_mut()?;
        entry.found();
        Some((entry.decision.clone(), entry.trace.clone()))
    });
    found.ok().flatten()
}

/// Keeps a decision where the next such question will look for it.
pub(super) fn put(
    cache: u64,
    root: Digest,
    question: &Question,
    decision: &Decision,
    trace: &Arc<Trace>,
    list: &Arc<ReadList>,
) {
    if trace.size() + decision.size() > MAX_ENTRY_BYTES {
        return;
    }
    let _ = FRONT.try_with(|front| {
        let Ok(mut front) = front.try_borrow_mut() else { return };
        if front.is_empty() {
            front.resize_with(SETS * PLACES, || None);
        }
        let Some(places) = front.get_mut(places(cache, question)) else { return };
        places.rotate_right(1);
        let entry = Entry {
            cache,
            root,
            trace: trace.clone(),
            caller: Mark::of(&question.caller),
            decision: decision.clone(),
            list: list.clone(),
            found: 0,
            told: 0,
        };
        if let Some(first) = places.first_mut() {
            *first = Some(entry);
        }
    });
}

/// The slots to try, from a cheap hash of the caller and the target.
fn places(cache: u64, question: &Question) -> std::ops::Range<usize> {
    let mut hint = cache;
    let mut mix = |part: u64| hint = (hint ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    mix(question.caller.claims.as_ref().map_or(0, |claims| Arc::as_ptr(claims).addr() as u64));
    mix(question.caller.peer.as_ref().map_or(0, |peer| Arc::as_ptr(peer).addr() as u64));
    match &question.asked {
        Asked::Action(action) => mix(action.len() as u64),
        Asked::Request(facts) => {
            mix(facts.route.as_ref().map_or(0, |route| Arc::as_ptr(route).addr() as u64));
            mix(facts.parts.method.as_str().len() as u64);
        }
    }
    // The upper bits are well mixed.
    let set = (hint >> 40) as usize % SETS;
    set * PLACES..(set + 1) * PLACES
}

/// The bytes that this thread keeps, as they are counted.
#[cfg(test)]
pub(super) fn held() -> usize {
    let size = |entry: &Entry| entry.trace.size() + entry.decision.size();
    FRONT.with_borrow(|front| front.iter().flatten().map(size).sum())
}

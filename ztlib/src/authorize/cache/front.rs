//! In front of the shared cache: the few decisions that this thread found last. It takes no lock, shares no memory with other threads
//! and allocates nothing for a decision that is found.
//!
//! An entry is a whole trace with its decision. It is found by comparing: where every read of the trace gives for this question what it
//! gave then, a deterministic policy reads the same, sees the same and says the same. Where to look is a hint made of who asks and
//! where; a wrong hint costs a look into the shared cache, never a wrong answer.

use std::cell::RefCell;
use std::sync::Arc;

use super::read_list::ReadList;
use crate::authorize::decision::Decision;
use crate::authorize::policy::{Digest, PolicySet};
use crate::authorize::question::{Asked, Question};
use crate::authorize::trace::Trace;

/// Sets of places, a power of two, and places in each.
const SETS: usize = 64;
const PLACES: usize = 4;

/// What one remembered decision may hold, in bytes: at most 512 KiB a thread altogether.
const MAX_ENTRY_BYTES: usize = 2048;

/// How many answers from here are told to the read list at once: its counters are shared by all threads.
const TOLD_AT_ONCE: u32 = 64;

thread_local! {
    static FRONT: RefCell<Vec<Option<Entry>>> = const { RefCell::new(Vec::new()) };
}

/// A decision with what it hangs on.
struct Entry {
    /// Which cache it belongs to.
    cache: u64,
    root: Digest,
    trace: Arc<Trace>,
    decision: Decision,
    list: Arc<ReadList>,
    answers: u32,
}

/// The decision that this thread found before for a question like this one.
pub(super) fn get(
    cache: u64,
    policies: &PolicySet,
    question: &mut Question,
) -> Option<(Decision, Arc<Trace>)> {
    FRONT.with(|front| {
        // A source of signals that asks a question of its own finds this thread's front taken.
        let mut front = front.try_borrow_mut().ok()?;
        let places = front.get_mut(places(cache, question))?;
        let same = |entry: &Entry, question: &mut Question| {
            entry.cache == cache
                && entry.root == policies.root()
                && entry.trace.reads().all(|(read, value)| {
                    question.fact(read, policies.view()).is_ok_and(|fact| fact.is(value))
                })
        };
        let at = places.iter().position(|place| place.as_ref().is_some_and(|entry| same(entry, question)))?;
        // The last one found is looked at first.
        places.get_mut(..=at)?.rotate_right(1);
        let entry = places.first_mut()?.as_mut()?;
        entry.answers += 1;
        if entry.answers == TOLD_AT_ONCE {
            entry.list.found(TOLD_AT_ONCE.into());
            entry.answers = 0;
        }
        Some((entry.decision.clone(), entry.trace.clone()))
    })
}

/// Keeps a decision where the next question like this one looks for it.
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
    FRONT.with(|front| {
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
            decision: decision.clone(),
            list: list.clone(),
            answers: 0,
        };
        if let Some(first) = places.first_mut() {
            *first = Some(entry);
        }
    });
}

/// Where to look: by who asks and about what, as cheaply as that can be told apart.
fn places(cache: u64, question: &Question) -> std::ops::Range<usize> {
    let mut hint = cache;
    let mut mix = |part: u64| hint = (hint ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    let principal = &question.principal;
    mix(principal.claims().map_or(0, |claims| claims.address() as u64));
    mix(principal.peer().map_or(0, |peer| peer.address() as u64));
    match &question.asked {
        Asked::Action(action) => mix(action.len() as u64),
        Asked::Request(facts) => {
            mix(facts.route.as_ref().map_or(0, |route| Arc::as_ptr(route).addr() as u64));
            mix(facts.parts.method.as_str().len() as u64);
        }
    }
    // The upper bits are the well mixed ones.
    let set = (hint >> 40) as usize % SETS;
    set * PLACES..(set + 1) * PLACES
}

//! The shadow: a candidate judges a share of the live questions, beside the policies in force, on a
//! thread of its own.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::Seen;
use super::candidate::Candidate;
use super::differences::Differences;
use super::status::TrialStatus;
use super::trying::Trying;
use crate::authorize::Observer;
use crate::authorize::Trace;
use crate::authorize::{Asked, Question};
use crate::authorize::{Decision, Fault};
use crate::counters;
use crate::digest::Digest;
use crate::load_error::LoadError;
use crate::policies::PolicyStore;
use crate::policies::store::Shared;
use crate::request_id::RequestId;

/// The maximum number and size of the questions that wait for the candidate. Beyond that, questions
/// are skipped and counted.
const MAX_WAITING: usize = 1024;
const MAX_WAITING_BYTES: usize = 8 << 20;

/// The share of all questions that a candidate judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(NonZeroU32);

impl Share {
    /// All questions.
    pub const ALL: Self = Self(NonZeroU32::MIN);

    /// One in `n`: every n-th question, counted over all threads.
    pub const fn one_in(n: NonZeroU32) -> Self {
        Self(n)
    }
}

/// A candidate on trial, until this is dropped or [ended](Self::end).
///
/// A question that the policies in force have decided is copied (without credentials) and waits in
/// a bounded queue for a thread that lets the candidate judge it. So a candidate delays, blocks and
/// allows nothing, even if it loops or traps; a question that finds the queue full is
/// [skipped](Self::lost). What was refused or allowed before a policy was asked is not judged: a
/// missing or bad credential, a path that cannot be judged, a public route.
///
/// Signals that the policies in force asked for are reused for the candidate. The shadow's thread
/// asks the service's source for others, which adds load, and their values are those of a moment
/// later.
///
/// When other policies (not only other documents) come into force, the counts start again, since
/// the results were found against different policies.
pub struct Shadow {
    shared: Weak<Shared>,
    state: Arc<State>,
    /// It holds the sender of the queue, and the thread ends with the sender. So only the observer
    /// keeps it.
    tap: Weak<dyn Observer>,
}

/// State shared by the handle and the thread.
pub(crate) struct State {
    tally: Mutex<Tally>,
    /// Signalled after every judged question, and at the end.
    pub(crate) changed: Condvar,
    pub(crate) queue: Arc<Queue>,
}

pub(crate) struct Tally {
    pub(crate) found: Differences,
    pub(crate) status: TrialStatus,
}

/// How full the queue is.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) bytes: AtomicUsize,
    pub(crate) lost: AtomicU64,
}

/// The side of a shadow that is on the request path.
pub(crate) struct Tap {
    items: SyncSender<Box<Item>>,
    one_in: NonZeroU32,
    asked: AtomicU64,
    queue: Arc<Queue>,
}

/// A decided question.
pub(crate) struct Item {
    pub(crate) id: RequestId,
    pub(crate) question: Box<Question>,
    pub(crate) judged_by: Digest,
    pub(crate) result: Result<Decision, Fault>,
    pub(crate) trace: Arc<Trace>,
    pub(crate) bytes: usize,
}

impl PolicyStore {
    /// Lets a candidate judge a share of the questions from now on, beside the policies in force.
    /// It decides nothing.
    ///
    /// # Errors
    /// `already-on-trial` if another shadow runs, `other-policies` if the candidate was made for
    /// another handle, `no-thread` if no thread can be started.
    pub fn shadow(&self, candidate: &Candidate, share: Share) -> Result<Shadow, LoadError> {
        if !Arc::ptr_eq(&self.0, &candidate.policies.0) {
            let text =
                "the candidate was loaded by another `PolicyStore`: load it with `candidate` of this one";
            return Err(LoadError::new("other-policies", text));
        }
        let (sender, items) = sync_channel(MAX_WAITING);
        let queue = Arc::new(Queue::default());
        let tap = Tap { items: sender, one_in: share.0, asked: AtomicU64::new(0), queue: queue.clone() };
        let status = TrialStatus {
            candidate: candidate.revision(),
            since: self.0.clock.now(),
            judged: 0,
            differing: 0,
            lost: 0,
            ended: false,
        };
        let found = Differences::new(candidate.revision(), None);
        let tally = Mutex::new(Tally { found, status });
        let state = Arc::new(State { tally, changed: Condvar::new(), queue });
        let (shared, loaded) = (Arc::downgrade(&self.0), candidate.loaded.clone());
        let set = loaded.set.clone();
        let tap: Arc<dyn Observer> = Arc::new(tap);
        if !self.0.observers.add("shadow", tap.clone()) {
            let text = "another candidate is on trial: end that shadow first";
            return Err(LoadError::new("already-on-trial", text));
        }
        // If no thread can be started, this is dropped, and nothing observes.
        let shadow = Shadow { shared: shared.clone(), state: state.clone(), tap: Arc::downgrade(&tap) };
        let trying = Trying { shared, items, state, candidate: loaded, set, documents_of: None };
        let thread = std::thread::Builder::new().name("ztlib-shadow".to_owned());
        thread.spawn(move || trying.run()).map_err(|error| {
            LoadError::new("no-thread", format!("no thread can be started for the candidate: {error}"))
        })?;
        Ok(shadow)
    }
}

impl Shadow {
    /// The progress of the trial.
    pub fn status(&self) -> TrialStatus {
        self.state.tally().status.clone()
    }

    /// Blocks until `wanted` returns true for the status, at most for `timeout`. Returns whether it
    /// did. `wanted` must not call this shadow. A timeout of zero checks once; `Duration::MAX`
    /// waits forever.
    pub fn wait_until(&self, timeout: Duration, mut wanted: impl FnMut(&TrialStatus) -> bool) -> bool {
        let tally = self.state.tally();
        let waited = self.state.changed.wait_timeout_while(tally, timeout, |tally| !wanted(&tally.status));
        let (tally, _) = waited.unwrap_or_else(PoisonError::into_inner);
        wanted(&tally.status)
    }

    /// The results so far.
    pub fn differences(&self) -> Differences {
        self.state.tally().found.clone()
    }

    /// How many questions were skipped because the candidate could not keep up.
    pub fn lost(&self) -> u64 {
        self.state.queue.lost.load(Ordering::Relaxed)
    }

    /// Ends the trial and returns the results.
    pub fn end(self) -> Differences {
        let state = self.state.clone();
        drop(self);
        state.tally().found.clone()
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        self.state.end();
        if let (Some(shared), Some(tap)) = (self.shared.upgrade(), self.tap.upgrade()) {
            shared.observers.remove(&tap);
        }
    }
}

impl fmt::Debug for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow").field("status", &self.state.tally().status).finish_non_exhaustive()
    }
}

impl State {
    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn end(&self) {
        self.tally().status.ended = true;
        self.changed.notify_all();
    }
}

impl Observer for Tap {
    /// Queues a copy, if this question is part of the share and there is room.
    fn see(&self, seen: &Seen<'_>) {
        if !self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(u64::from(self.one_in.get())) {
            return;
        }
        let request = match &seen.question.asked {
            Asked::Request(facts) => facts.size(),
            Asked::Action(name) => name.len(),
        };
        let bytes = size_of::<Item>() + request + seen.question.labels.size();
        let before = self.queue.bytes.fetch_add(bytes, Ordering::Relaxed);
        let has_place = before.saturating_add(bytes) <= MAX_WAITING_BYTES;
        let item = |()| {
            Box::new(Item {
                id: seen.id,
                question: Box::new(seen.question.copy(seen.by.view())),
                judged_by: seen.by.root(),
                result: seen.result.clone(),
                trace: seen.trace.clone(),
                bytes,
            })
        };
        if !has_place || self.items.try_send(item(())).is_err() {
            self.queue.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.queue.lost.fetch_add(1, Ordering::Relaxed);
            counters::trial_lost();
        }
    }
}

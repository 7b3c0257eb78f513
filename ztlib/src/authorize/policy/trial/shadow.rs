//! The shadow: a candidate judges a share of what is asked, beside the policies in force, in a thread of its own.

use std::fmt;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::candidate::{Candidate, Inner};
use super::conclusion::Conclusion;
use super::differences::{Compared, Differences};
use super::promotion::{PromotionRule, put_in_force};
use super::record::Subject;
use super::status::TrialStatus;
use super::{Seen, Taps, printed};
use crate::authorize::decision::{Decision, Fault};
use crate::authorize::policy::LoadError;
use crate::authorize::policy::digest::Digest;
use crate::authorize::policy::in_force::{Shared, milliseconds};
use crate::authorize::policy::reload::Policies;
use crate::authorize::policy::set::{PolicySet, Revision};
use crate::authorize::question::{Asked, Question};
use crate::authorize::trace::Trace;
use crate::observe::{RequestId, metrics};

/// The most questions that wait for the candidate, and their most bytes: then questions are left out and counted.
const MAX_WAITING: usize = 1024;
const MAX_WAITING_BYTES: usize = 8 << 20;

/// Which share of all questions a candidate judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(NonZeroU32);

impl Share {
    /// All questions.
    pub const ALL: Self = Self(NonZeroU32::MIN);

    /// One in so many: every n-th, counted over all threads.
    pub const fn one_in(n: NonZeroU32) -> Self {
        Self(n)
    }
}

/// A candidate on trial, until this is dropped or [ended](Self::end).
///
/// A question that the policies in force have decided is copied (without credentials), and waits in a bounded queue for a thread that has the candidate judge it. So a
/// candidate delays, blocks and opens nothing, even where it loops or traps; a question for which there is no place is [left out](Self::lost). What ended before a policy was
/// asked is not judged: no or a bad credential, a path that cannot be judged, a public route.
///
/// Signals that the policies in force asked for answer the candidate, too. Others are asked of the service's source by the shadow's thread: they put load on
/// it, and are those of a moment later.
///
/// When other policies (not only other documents) come in force meanwhile, the counts begin anew: what was found was found against others.
pub struct Shadow {
    shared: Weak<Shared>,
    state: Arc<State>,
}

/// What the handle and the thread share.
struct State {
    tally: Mutex<Tally>,
    queue: Arc<Queue>,
}

struct Tally {
    found: Differences,
    rule: Option<PromotionRule>,
    ended: bool,
    status: TrialStatus,
}

/// How full the queue is.
#[derive(Debug, Default)]
struct Queue {
    bytes: AtomicUsize,
    lost: AtomicU64,
}

/// What the path of requests sees of a shadow.
pub(super) struct Tap {
    items: SyncSender<Box<Item>>,
    one_in: NonZeroU32,
    asked: AtomicU64,
    queue: Arc<Queue>,
}

/// A question that was decided.
struct Item {
    id: RequestId,
    question: Box<Question>,
    judged_by: Digest,
    result: Result<Decision, Fault>,
    trace: Arc<Trace>,
    bytes: usize,
}

impl Policies {
    /// Has a candidate judge a share of what is asked from now on, beside the policies in force. It decides nothing.
    ///
    /// # Errors
    /// `already-on-trial` where another shadow runs, `other-policies` where the candidate was made for another handle, `no-thread`.
    pub fn shadow(&self, candidate: &Candidate, share: Share) -> Result<Shadow, LoadError> {
        if !Arc::ptr_eq(&self.0, &candidate.policies.0) {
            let text = "the candidate was loaded for other policies: load it with `candidate` of these";
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
            promoted: None,
            ended: false,
        };
        let found = Differences::new(candidate.revision(), None);
        let tally = Tally { found, rule: None, ended: false, status: status.clone() };
        let state = Arc::new(State { tally: Mutex::new(tally), queue: queue.clone() });
        let (shared, inner) = (Arc::downgrade(&self.0), candidate.inner.clone());
        let set = inner.loaded.set.clone();
        let trying = Trying {
            shared: shared.clone(),
            items,
            state: state.clone(),
            candidate: inner,
            set,
            documents_of: None,
        };
        self.0.trials.change(|taps| {
            if taps.tap.is_some() {
                let text = "another candidate is on trial: end that shadow first";
                return Err(LoadError::new("already-on-trial", text));
            }
            let thread = std::thread::Builder::new().name("ztlib-shadow".to_owned());
            thread.spawn(move || trying.run()).map_err(|error| {
                LoadError::new("no-thread", format!("no thread can be started for the candidate: {error}"))
            })?;
            // Before it can have judged anything.
            self.0.tell(status);
            taps.tap = Some(Arc::new(tap));
            Ok(())
        })?;
        Ok(Shadow { shared, state })
    }
}

impl Shadow {
    /// What was found so far.
    pub fn differences(&self) -> Differences {
        self.state.tally().found.clone()
    }

    /// How many questions were left out because the candidate could not keep up.
    pub fn lost(&self) -> u64 {
        self.state.queue.lost.load(Ordering::Relaxed)
    }

    /// Promotes the candidate as soon as a rule allows it after what was found, from now on; the latest rule holds. The shadow ends then, and
    /// [`Status::trial`](crate::authorize::policy::Status::trial), an event and `ztlib_policy_loads_total{result="promoted"}` say so. The rule is looked at after each question that was judged.
    pub fn promote_when(&self, rule: PromotionRule) {
        self.state.tally().rule = Some(rule);
    }

    /// Ends the trial. Once this has returned, no rule promotes the candidate any more.
    pub fn end(self) -> Differences {
        self.state.end(&self.shared);
        self.differences()
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        self.state.end(&self.shared);
    }
}

impl fmt::Debug for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow").field("status", &self.state.tally().status).finish_non_exhaustive()
    }
}

impl State {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, shared: &Weak<Shared>) {
        let mut tally = self.tally();
        tally.ended = true;
        tally.status.ended = true;
        let status = tally.status.clone();
        drop(tally);
        let Some(shared) = shared.upgrade() else { return };
        let own = |taps: &mut Taps| taps.tap.take_if(|tap| Arc::ptr_eq(&tap.queue, &self.queue));
        if shared.trials.change(own).is_some() {
            shared.tell(status);
        }
    }
}

impl Tap {
    /// Hands a copy on, if it is this one's turn and there is a place. It is on the path of the request and waits for nobody.
    pub(super) fn take(&self, seen: &Seen<'_>) {
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
                question: Box::new(seen.question.copy()),
                judged_by: seen.by.root(),
                result: seen.result.clone(),
                trace: seen.trace.clone(),
                bytes,
            })
        };
        if !has_place || self.items.try_send(item(())).is_err() {
            self.queue.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.queue.lost.fetch_add(1, Ordering::Relaxed);
            metrics::trial_lost();
        }
    }
}

/// The thread of a shadow. It keeps neither the handle nor what sends to it.
struct Trying {
    shared: Weak<Shared>,
    items: Receiver<Box<Item>>,
    state: Arc<State>,
    candidate: Arc<Inner>,
    /// The candidate with the documents of `documents_of`.
    set: Arc<PolicySet>,
    documents_of: Option<Revision>,
}

impl Trying {
    fn run(mut self) {
        loop {
            let item = match self.items.recv() {
                Ok(item) => item,
                Err(RecvError) => break,
            };
            self.state.queue.bytes.fetch_sub(item.bytes, Ordering::Relaxed);
            if !self.try_one(*item) {
                break;
            }
        }
        self.state.end(&self.shared);
    }

    /// Has one question judged; false where the trial is over.
    fn try_one(&mut self, item: Item) -> bool {
        if self.state.tally().ended || !self.begin(item.judged_by) {
            return !self.is_over();
        }
        let subject = match &item.question.asked {
            Asked::Action(name) => Subject::Action(name.clone()),
            Asked::Request(request) => {
                Subject::Request { method: request.parts.method.clone(), route: request.route.clone() }
            }
        };
        let time = milliseconds(item.question.now);
        // A panic can only come from the application's own code: it ends nothing here.
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
        let Some(shared) = self.shared.upgrade() else { return false };
        self.conclude(&shared, compared, &item.trace)
    }

    /// Whether a question that this set decided counts: the set is in force. The first of a set that was not begins the counts anew.
    fn begin(&mut self, judged_by: Digest) -> bool {
        let Some(shared) = self.shared.upgrade() else { return false };
        if self.candidate.is_promoted() {
            return false;
        }
        let current = shared.current.load_full();
        if self.documents_of != Some(current.revision) {
            let loader = shared.loader();
            let current = shared.current.load_full();
            self.set = self.candidate.set_now(&current, &loader);
            self.documents_of = Some(current.revision);
        }
        let mut tally = self.state.tally();
        if tally.found.against == Some(judged_by) {
            return true;
        }
        if current.root() != judged_by {
            return false;
        }
        tally.found = Differences::new(self.candidate.revision(), Some(judged_by));
        true
    }

    /// Whether there is nothing to try any more.
    fn is_over(&self) -> bool {
        self.shared.strong_count() == 0 || self.candidate.is_promoted() || self.state.tally().ended
    }

    /// Counts what came of one question, and promotes where the rule says so; false where the trial is over.
    fn conclude(&self, shared: &Shared, compared: Compared<'_>, enforced: &Trace) -> bool {
        let mut tally = self.state.tally();
        if tally.ended {
            return false;
        }
        let same = compared.from == compared.to;
        let (id, from, to) = (compared.id, compared.from.clone(), compared.to.clone());
        let is_new = tally.found.judge(compared, || printed(enforced));
        metrics::tried(if same { "same" } else { "differs" });
        if is_new {
            // Once a group, so that a candidate which differs in everything fills no log.
            tracing::warn!(target: "ztlib::trial", candidate = %tally.found.candidate(), %id, %from, %to, "the candidate would decide otherwise");
        }
        // While this is looked at nobody can end the trial, nor change the rule.
        let promoted = tally.rule.as_ref().filter(|rule| rule.check(&tally.found).is_ok()).map(|rule| {
            put_in_force(shared, &self.candidate, "rule", |current| {
                self.candidate.check(rule, &tally.found, current)
            })
        });
        match promoted {
            Some(Ok(_)) => {
                tally.ended = true;
                tally.status.promoted = Some(shared.clock.now());
            }
            Some(Err(error)) => {
                tracing::debug!(target: "ztlib::trial", code = error.code(), %error, "not promoted");
            }
            None => {}
        }
        let (judged, differing) = (tally.found.judged(), tally.found.differing());
        let lost = self.state.queue.lost.load(Ordering::Relaxed);
        let ended = tally.ended;
        tally.status = TrialStatus { judged, differing, lost, ended, ..tally.status.clone() };
        let status = tally.status.clone();
        drop(tally);
        shared.tell(status);
        !ended
    }
}

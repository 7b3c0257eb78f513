//! The thread that writes audit events, and what it shares with those who record them.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::audit::AuditEvent;
use super::queue::Queue;
use crate::counters;

/// How long the writer leaves events alone while more are coming: they are written in larger
/// pieces, and nobody has to wake it for each.
const NAP: Duration = Duration::from_millis(5);

/// What recorders share with the writer.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Queue<AuditEvent>,
    /// Whether the writer will look at the queue without being woken.
    awake: AtomicBool,
    /// Whether nothing more will be recorded.
    closed: AtomicBool,
    /// Whether the writer is there no more, or its output panicked: nothing is written any more.
    gone: AtomicBool,
    lost: AtomicU64,
    writing: Mutex<Writing>,
    /// Signalled when the writer ends.
    ended: Condvar,
}

/// What the writer has in hand.
#[derive(Debug, Default)]
struct Writing {
    /// Events that were taken out of the queue and are neither flushed nor counted as lost.
    in_hand: u64,
    /// Whether nobody waits for the writer any more: what it had in hand is counted.
    abandoned: bool,
    ended: bool,
}

/// What the writer remembers of its output.
#[derive(Default)]
struct State {
    /// Whether a line may have been left unfinished.
    cut_off: bool,
    /// Whether the last batch failed: the first of several is told.
    failing: bool,
}

impl Shared {
    /// With room for so many events.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            queue: Queue::new(capacity),
            awake: AtomicBool::new(true),
            closed: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            writing: Mutex::default(),
            ended: Condvar::new(),
        }
    }

    /// There is no writer.
    pub(super) fn did_not_start(&self) {
        self.gone.store(true, Ordering::SeqCst);
        self.writing().ended = true;
    }

    /// How many events are lost.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Queues an event, or counts it as lost; says whether the writer has to be woken.
    pub(super) fn take(&self, event: AuditEvent) -> bool {
        if self.gone.load(Ordering::SeqCst) {
            self.lose(1);
            return false;
        }
        let Some(filled) = self.queue.push(event) else {
            self.lose(1);
            return false;
        };
        if self.gone.load(Ordering::SeqCst) {
            // It ended meanwhile: the one who takes the event out counts it.
            self.lose_waiting(0);
            return false;
        }
        let asleep = !self.awake.load(Ordering::SeqCst) && !self.awake.swap(true, Ordering::SeqCst);
        asleep || filled.is_half()
    }

    /// Nothing more will be recorded; the writer has to be woken.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Waits for the writer to end, at most so long. What it has not written by then is lost.
    pub(super) fn end(&self, limit: Duration) {
        let waited = self
            .ended
            .wait_timeout_while(self.writing(), limit, |writing| !writing.ended && !writing.abandoned);
        let (mut writing, _) = waited.unwrap_or_else(PoisonError::into_inner);
        // From here on nobody but whoever has this lock counts what the writer had in hand.
        self.gone.store(true, Ordering::SeqCst);
        let mut left = 0;
        if !writing.ended && !writing.abandoned {
            writing.abandoned = true;
            left = std::mem::take(&mut writing.in_hand);
        }
        drop(writing);
        self.lose_waiting(left);
    }

    /// Counts what waits as lost, and so many more.
    fn lose_waiting(&self, mut more: u64) {
        self.queue.drain(|_| more = more.saturating_add(1));
        self.lose(more);
    }

    /// The writer's thread.
    pub(super) fn run(&self, mut output: impl Write) {
        let mut state = State::default();
        loop {
            // Looked at before the queue: what is recorded before the end is written.
            let closed = self.closed.load(Ordering::SeqCst);
            let mut batch = Vec::new();
            self.queue.drain(|event| batch.push(event));
            let events = count(&batch);
            if !self.begin(events) {
                return self.lose(events);
            }
            if events > 0 {
                let lost = self.write(&batch, &mut output, &mut state);
                if !self.settle(lost) {
                    return;
                }
            }
            if closed {
                break;
            }
            if events > 0 {
                std::thread::park_timeout(NAP);
            } else {
                self.awake.store(false, Ordering::SeqCst);
                // A recorder before that has seen the writer awake, and did not wake it.
                if self.queue.is_empty() && !self.closed.load(Ordering::SeqCst) {
                    std::thread::park();
                }
                self.awake.store(true, Ordering::SeqCst);
            }
        }
        // An output may write as it ends, and panic.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(output)));
        self.writing().ended = true;
        self.ended.notify_all();
    }

    /// Takes a batch in hand; false where nobody waits for it any more.
    fn begin(&self, events: u64) -> bool {
        let mut writing = self.writing();
        writing.in_hand = events;
        !writing.abandoned
    }

    /// Nothing of the batch is in hand any more; false where somebody has counted it.
    fn settle(&self, lost: u64) -> bool {
        let mut writing = self.writing();
        writing.in_hand = 0;
        let abandoned = writing.abandoned;
        drop(writing);
        if !abandoned {
            self.lose(lost);
        }
        !abandoned
    }

    /// Writes a batch and flushes it. Gives how many events of it are lost.
    fn write(&self, batch: &[AuditEvent], output: &mut impl Write, state: &mut State) -> u64 {
        let mut lost = 0;
        let mut failed = None;
        for event in batch {
            if self.gone.load(Ordering::SeqCst) {
                return count(batch);
            }
            // What is left of a line that failed must not run into the next one.
            let before = if state.cut_off { "\n" } else { "" };
            let write = AssertUnwindSafe(|| {
                let line = format!("{before}{}\n", event.to_json());
                output.write_all(line.as_bytes())
            });
            let written = self.guarded(write);
            state.cut_off = written.is_err();
            if let Err(error) = written {
                failed = Some(error);
                lost += 1;
            }
        }
        if !self.gone.load(Ordering::SeqCst)
            && let Err(error) = self.guarded(AssertUnwindSafe(|| output.flush()))
        {
            // Nobody knows what of it is there: all that was written since the last flush that went
            // well.
            failed = Some(error);
            lost = count(batch);
            state.cut_off = true;
        }
        if let Some(error) = &failed
            && !state.failing
        {
            tracing::error!(target: "ztlib::audit", %error, "the audit log cannot be written");
        }
        state.failing = failed.is_some();
        if self.gone.load(Ordering::SeqCst) { count(batch) } else { lost }
    }

    /// What the output does. One that panics is not asked again: nobody knows what it is in the
    /// middle of.
    fn guarded(&self, act: AssertUnwindSafe<impl FnOnce() -> io::Result<()>>) -> io::Result<()> {
        catch_unwind(act).unwrap_or_else(|_| {
            self.gone.store(true, Ordering::SeqCst);
            Err(io::Error::other("the output panicked: nothing is written any more"))
        })
    }

    /// Counts, and tells the first and whenever the number has doubled, so that a log is not
    /// filled.
    fn lose(&self, events: u64) {
        if events == 0 {
            return;
        }
        let before = self.lost.fetch_add(events, Ordering::Relaxed);
        let lost = before.saturating_add(events);
        counters::audit_events_lost(events);
        if before == 0 || before.leading_zeros() > lost.leading_zeros() {
            tracing::error!(target: "ztlib::audit", lost, "audit events are lost");
        }
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(batch: &[AuditEvent]) -> u64 {
    u64::try_from(batch.len()).unwrap_or(u64::MAX)
}

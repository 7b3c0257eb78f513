//! The thread that writes audit events, and what it shares with the threads that record them.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::audit::AuditEvent;
use super::queue::Queue;
use crate::counters;

/// How long the writer rests while events keep coming. They are then written in larger batches, and
/// recorders need not wake the writer for each.
const NAP: Duration = Duration::from_millis(5);

/// State shared by recorders and the writer.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Queue<AuditEvent>,
    /// Whether the writer will check the queue without being woken.
    awake: AtomicBool,
    /// Whether no more events will be recorded.
    closed: AtomicBool,
    /// Whether the writer has ended, or its output panicked. Nothing more is written.
    gone: AtomicBool,
    lost: AtomicU64,
    writing: Mutex<Writing>,
    /// Signalled when the writer ends.
    ended: Condvar,
}

/// What the writer is working on.
#[derive(Debug, Default)]
struct Writing {
    /// Events that were taken from the queue and are neither flushed nor counted as lost.
    in_hand: u64,
    /// Whether nobody waits for the writer any longer. Its events are then counted already.
    abandoned: bool,
    ended: bool,
}

/// What the writer knows about its output.
#[derive(Default)]
struct State {
    /// Whether a line may have been left unfinished.
    cut_off: bool,
    /// Whether the last batch failed. Only the first of several failures is logged.
    failing: bool,
}

impl Shared {
    /// With room for `capacity` events.
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

    /// Records that no writer runs.
    pub(super) fn did_not_start(&self) {
        self.gone.store(true, Ordering::SeqCst);
        self.writing().ended = true;
    }

    /// The number of lost events.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Queues an event, or counts it as lost. Returns true if the writer must be woken.
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
            // The writer ended in the meantime. The thread that takes the event out of the queue
            // counts it.
            self.lose_waiting(0);
            return false;
        }
        let asleep = !self.awake.load(Ordering::SeqCst) && !self.awake.swap(true, Ordering::SeqCst);
        asleep || filled.is_half()
    }

    /// Marks the end of recording. The caller must then wake the writer.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Waits at most `limit` for the writer to end. What it has not written by then is lost.
    pub(super) fn end(&self, limit: Duration) {
        let waited = self
            .ended
            .wait_timeout_while(self.writing(), limit, |writing| !writing.ended && !writing.abandoned);
        let (mut writing, _) = waited.unwrap_or_else(PoisonError::into_inner);
        // From here on, only the holder of this lock counts the writer's unfinished events.
        self.gone.store(true, Ordering::SeqCst);
        let mut left = 0;
        if !writing.ended && !writing.abandoned {
            writing.abandoned = true;
            left = std::mem::take(&mut writing.in_hand);
        }
        drop(writing);
        self.lose_waiting(left);
    }

    /// Counts `more` events and everything still queued as lost.
    fn lose_waiting(&self, mut more: u64) {
        self.queue.drain(|_| more = more.saturating_add(1));
        self.lose(more);
    }

    /// The loop of the writer's thread.
    pub(super) fn run(&self, mut output: impl Write) {
        let mut state = State::default();
        loop {
            // Read before the queue is drained, so that everything recorded before the end is
            // written.
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
                // A recorder may have seen the writer awake just before, and then did not wake it.
                if self.queue.is_empty() && !self.closed.load(Ordering::SeqCst) {
                    std::thread::park();
                }
                self.awake.store(true, Ordering::SeqCst);
            }
        }
        // An output may write when it is dropped, and panic.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(output)));
        self.writing().ended = true;
        self.ended.notify_all();
    }

    /// Begins a batch. Returns false if nobody waits for the writer any longer.
    fn begin(&self, events: u64) -> bool {
        let mut writing = self.writing();
        writing.in_hand = events;
        !writing.abandoned
    }

    /// Ends a batch. Returns false if its events were counted already.
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

    /// Writes a batch and flushes it. Returns how many of its events are lost.
    fn write(&self, batch: &[AuditEvent], output: &mut impl Write, state: &mut State) -> u64 {
        let mut lost = 0;
        let mut failed = None;
        for event in batch {
            if self.gone.load(Ordering::SeqCst) {
                return count(batch);
            }
            // The rest of a failed line must not run into the next one.
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
            // After a failed flush, nothing written since the last successful one is certain to be
            // there.
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

    /// Runs an operation of the output. After a panic the output is not used again, since its state
    /// is unknown.
    fn guarded(&self, act: AssertUnwindSafe<impl FnOnce() -> io::Result<()>>) -> io::Result<()> {
        catch_unwind(act).unwrap_or_else(|_| {
            self.gone.store(true, Ordering::SeqCst);
            Err(io::Error::other("the output panicked: nothing more will be written"))
        })
    }

    /// Counts lost events. Logs the first, and then each time the number has doubled, so as not to
    /// flood the log.
    fn lose(&self, events: u64) {
        if events == 0 {
            return;
        }
        let before = self.lost.fetch_add(events, Ordering::Relaxed);
        let lost = before.saturating_add(events);
        counters::audit_events_lost(events);
        if before == 0 || before.leading_zeros() > lost.leading_zeros() {
            tracing::error!(target: "ztlib::audit", lost, "audit events were lost");
        }
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(batch: &[AuditEvent]) -> u64 {
    u64::try_from(batch.len()).unwrap_or(u64::MAX)
}

//! An audit sink that writes one line of JSON an event, off the path of the request.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::audit::{AuditEvent, AuditSink};
use super::metrics;
use super::queue::Queue;

/// How long the writer leaves events alone while more are coming: they are written in larger pieces, and nobody has to wake it for each.
const NAP: Duration = Duration::from_millis(5);

/// Writes audit events as lines of JSON on a thread of its own, within milliseconds. The queue is bounded: where the writer cannot keep
/// up, events are lost rather than requests delayed, and every loss is [counted](JsonLinesSink::lost).
///
/// ```
/// use ztlib::observe::JsonLinesSink;
/// let sink = JsonLinesSink::new(std::io::sink(), 1024);
/// assert_eq!(sink.lost(), 0);
/// ```
#[derive(Debug)]
pub struct JsonLinesSink {
    shared: Arc<Shared>,
    // Taken on drop.
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    queue: Queue<AuditEvent>,
    /// Whether the writer will look at the queue without being woken.
    awake: AtomicBool,
    /// Whether nothing more will be recorded.
    closed: AtomicBool,
    /// Whether the writer is there no more, or its output panicked: nothing is written any more.
    gone: AtomicBool,
    lost: AtomicU64,
}

impl JsonLinesSink {
    /// A sink that writes to `output`. At most `capacity` events (at least 1) wait in its queue, and as many more are being written.
    pub fn new(output: impl Write + Send + 'static, capacity: usize) -> Self {
        let shared = Arc::new(Shared {
            queue: Queue::new(capacity),
            awake: AtomicBool::new(true),
            closed: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            lost: AtomicU64::new(0),
        });
        let theirs = shared.clone();
        let writer = std::thread::Builder::new()
            .name("ztlib-audit".to_owned())
            .spawn(move || theirs.write(output))
            .inspect_err(|error| {
                shared.gone.store(true, Ordering::Release);
                tracing::error!(target: "ztlib::audit", %error, "the audit writer did not start: events are lost");
            })
            .ok();
        Self { shared, writer }
    }

    /// How many events were lost: the queue was full, or the output failed.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    fn wake(&self) {
        if let Some(writer) = &self.writer {
            writer.thread().unpark();
        }
    }
}

impl AuditSink for JsonLinesSink {
    fn record(&self, event: AuditEvent) {
        if self.shared.gone.load(Ordering::Acquire) {
            self.shared.lose();
            tracing::error!(target: "ztlib::audit", "the audit writer is gone: the event is lost");
            return;
        }
        let Some(filled) = self.shared.queue.push(event) else {
            return self.shared.lose();
        };
        let asleep =
            !self.shared.awake.load(Ordering::SeqCst) && !self.shared.awake.swap(true, Ordering::SeqCst);
        if asleep || filled.is_half() {
            self.wake();
        }
    }
}

impl Drop for JsonLinesSink {
    /// Waits until what is queued is written.
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.wake();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn write(&self, mut output: impl Write) {
        /// Also where writing panics.
        struct Gone<'s>(&'s AtomicBool);
        impl Drop for Gone<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Release);
            }
        }
        let _gone = Gone(&self.gone);
        let mut cut_off = false;
        loop {
            // Looked at before the queue: what is recorded before the end is written.
            let closed = self.closed.load(Ordering::SeqCst);
            let mut wrote = false;
            self.queue.drain(|event| {
                wrote = true;
                let written = !self.gone.load(Ordering::Acquire) && {
                    // What is left of a line that failed must not run into the next one.
                    let before = if cut_off { "\n" } else { "" };
                    let line = format!("{before}{}\n", event.to_json());
                    let write = AssertUnwindSafe(|| output.write_all(line.as_bytes()));
                    catch_unwind(write)
                        .unwrap_or_else(|_| {
                            // Nobody knows what it is in the middle of: it is not asked again, and all that still waits is counted.
                            self.gone.store(true, Ordering::Release);
                            Err(std::io::ErrorKind::Other.into())
                        })
                        .is_ok()
                };
                cut_off = !written;
                if !written {
                    self.lose();
                }
            });
            if wrote
                && !self.gone.load(Ordering::Acquire)
                && let Err(error) = output.flush()
            {
                tracing::error!(target: "ztlib::audit", %error, "the audit log cannot be written");
            }
            if closed {
                return;
            }
            if wrote {
                std::thread::park_timeout(NAP);
            } else {
                self.awake.store(false, Ordering::SeqCst);
                // Whoever recorded before that has seen the writer awake, and did not wake it.
                if self.queue.is_empty() && !self.closed.load(Ordering::SeqCst) {
                    std::thread::park();
                }
                self.awake.store(true, Ordering::SeqCst);
            }
        }
    }

    fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        metrics::audit_event_lost();
    }
}

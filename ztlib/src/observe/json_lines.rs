//! An audit sink that writes one line of JSON an event, off the path of the request.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use super::audit::{AuditEvent, AuditSink};
use super::metrics;

/// Writes audit events as lines of JSON on a thread of its own. The queue is bounded: where the writer cannot keep up, events are
/// lost rather than requests delayed, and every loss is [counted](JsonLinesSink::lost).
///
/// ```
/// use ztlib::observe::JsonLinesSink;
/// let sink = JsonLinesSink::new(std::io::sink(), 1024);
/// assert_eq!(sink.lost(), 0);
/// ```
#[derive(Debug)]
pub struct JsonLinesSink {
    // Taken on drop, so that the thread sees the end of the queue.
    queue: Option<SyncSender<AuditEvent>>,
    writer: Option<JoinHandle<()>>,
    lost: Arc<AtomicU64>,
}

impl JsonLinesSink {
    /// A sink that writes to `output` and holds at most `capacity` events (at least 1) that are not written yet.
    pub fn new(output: impl Write + Send + 'static, capacity: usize) -> Self {
        let (queue, events) = sync_channel(capacity.max(1));
        let lost = Arc::new(AtomicU64::new(0));
        let counter = lost.clone();
        let writer = std::thread::Builder::new()
            .name("ztlib-audit".to_owned())
            .spawn(move || write_all(&events, output, &counter))
            .inspect_err(|error| tracing::error!(target: "ztlib::audit", %error, "the audit writer did not start: events are lost"))
            .ok();
        Self { queue: Some(queue), writer, lost }
    }

    /// How many events were lost: the queue was full, or the output failed.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl AuditSink for JsonLinesSink {
    fn record(&self, event: AuditEvent) {
        // Only `drop` takes the queue, and nobody records after it.
        let Some(queue) = &self.queue else { return };
        let writer_is_gone = match queue.try_send(event) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => false,
            Err(TrySendError::Disconnected(_)) => true,
        };
        lose(&self.lost);
        if writer_is_gone {
            tracing::error!(target: "ztlib::audit", "the audit writer is gone: the event is lost");
        }
    }
}

impl Drop for JsonLinesSink {
    /// Waits until what is queued is written.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn write_all(events: &Receiver<AuditEvent>, mut output: impl Write, lost: &AtomicU64) {
    while let Ok(event) = events.recv() {
        // Flushed when the queue is empty: a quiet service has its events on disk, a busy one writes in large pieces.
        let mut next = Some(event);
        while let Some(event) = next {
            let mut line = event.to_json();
            line.push('\n');
            if output.write_all(line.as_bytes()).is_err() {
                lose(lost);
            }
            next = events.try_recv().ok();
        }
        if let Err(error) = output.flush() {
            tracing::error!(target: "ztlib::audit", %error, "the audit log cannot be written");
        }
    }
}

fn lose(lost: &AtomicU64) {
    lost.fetch_add(1, Ordering::Relaxed);
    metrics::audit_event_lost();
}

//! An audit sink that writes one line of JSON an event, off the path of the request.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;

use super::audit::{AuditEvent, AuditSink};
use super::audit_file::AuditFile;
use super::audit_writer::Shared;

/// How long a sink that is dropped waits for its output.
const DROP_LIMIT: Duration = Duration::from_secs(5);

/// What is kept of a file's lines before they are written, in bytes.
const FILE_BUFFER: usize = 64 << 10;

/// Writes audit events as lines of JSON on a thread of its own, within milliseconds. The queue is
/// bounded: where the writer cannot keep up, events are lost rather than requests delayed.
///
/// Every loss is [counted](JsonLinesSink::lost), in `ztlib_audit_events_lost_total` too, and told
/// as an error of the log target `ztlib::audit` (the first, and whenever the number has doubled):
/// what the queue has no room for; what the output does not take; what was written since
/// the last `flush` that went well, where one fails; what waits or is being written when the output
/// panics, or when the sink ends and the output does not come back. An output that keeps what it
/// could not flush and writes it later has written what is counted here.
///
/// ```
/// use ztlib::observe::JsonLinesSink;
/// let sink = JsonLinesSink::new(std::io::sink(), 1024);
/// assert_eq!(sink.lost(), 0);
/// ```
#[derive(Debug)]
pub struct JsonLinesSink {
    shared: Arc<Shared>,
    /// The writer's thread; none where it did not start.
    writer: Option<Thread>,
}

impl JsonLinesSink {
    /// A sink that writes to `output`. At most `capacity` events (at least 1) wait in its queue,
    /// and as many more are being written.
    pub fn new(output: impl Write + Send + 'static, capacity: usize) -> Self {
        let shared = Arc::new(Shared::new(capacity));
        let theirs = shared.clone();
        let writer = std::thread::Builder::new()
            .name("ztlib-audit".to_owned())
            .spawn(move || theirs.run(output))
            .inspect_err(|error| {
                shared.did_not_start();
                tracing::error!(target: "ztlib::audit", %error, "the audit writer did not start: events are lost");
            })
            .ok();
        Self { shared, writer: writer.map(|writer| writer.thread().clone()) }
    }

    /// A sink that appends to a file, which only this user may read where it is made. The folder is
    /// there already.
    ///
    /// The file may be rotated while it is written. Before each piece that is written (every few
    /// milliseconds, while there are events) the sink looks whether the file at `path` is still
    /// the one that it writes to, and opens it anew where it was renamed or removed. A
    /// file that is copied and cut (`copytruncate`) is gone on with from its new end. Where a new
    /// file cannot be made, the renamed one is gone on with; where that was removed, events are
    /// lost and counted.
    ///
    /// # Errors
    /// Where the file cannot be opened, which the text names, or is not a regular file (for those
    /// there is [`new`](Self::new)).
    ///
    /// ```
    /// use ztlib::observe::JsonLinesSink;
    /// # let folder = std::env::temp_dir().join(format!("ztlib-audit-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// let file = folder.join("audit.jsonl");
    /// let sink = JsonLinesSink::to_file(&file, 1024)?;
    /// # drop(sink);
    /// let error = JsonLinesSink::to_file(folder.join("nowhere/audit.jsonl"), 1024).unwrap_err();
    /// assert!(error.to_string().contains("nowhere/audit.jsonl: "), "{error}");
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn to_file(path: impl AsRef<Path>, capacity: usize) -> io::Result<Self> {
        let file = AuditFile::open(path.as_ref())?;
        Ok(Self::new(io::BufWriter::with_capacity(FILE_BUFFER, file), capacity))
    }

    /// How many events were lost, for whatever reason.
    pub fn lost(&self) -> u64 {
        self.shared.lost()
    }

    /// Ends the sink: what was recorded before is written, and what is recorded later is lost.
    /// Waits at most so long; what is not written by then is counted as lost. Gives how many
    /// events were lost in all. A sink that is dropped does the same, with 5 seconds.
    /// With no time, what the writer has not written yet is lost; with `Duration::MAX` an output
    /// that hangs is waited for without an end.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ztlib::observe::JsonLinesSink;
    /// let sink = JsonLinesSink::new(std::io::sink(), 1024);
    /// assert_eq!(sink.close(Duration::from_secs(1)), 0);
    /// ```
    pub fn close(&self, limit: Duration) -> u64 {
        self.shared.close();
        if let Some(writer) = &self.writer {
            writer.unpark();
        }
        self.shared.end(limit);
        self.lost()
    }
}

impl AuditSink for JsonLinesSink {
    fn record(&self, event: AuditEvent) {
        if self.shared.take(event)
            && let Some(writer) = &self.writer
        {
            writer.unpark();
        }
    }
}

impl Drop for JsonLinesSink {
    /// Waits until what is queued is written, for 5 seconds at most.
    fn drop(&mut self) {
        self.close(DROP_LIMIT);
    }
}

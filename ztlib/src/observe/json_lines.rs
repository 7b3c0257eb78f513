//! An audit sink that writes one line of JSON per event, off the request path.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;

use super::audit::{AuditEvent, AuditSink};
use super::audit_file::AuditFile;
use super::audit_writer::Shared;

/// How long dropping a sink waits for its output.
const DROP_LIMIT: Duration = Duration::from_secs(5);

/// The size of a file's write buffer, in bytes.
const FILE_BUFFER: usize = 64 << 10;

/// Writes audit events as lines of JSON from its own thread, within milliseconds. The queue is
/// bounded: if the writer cannot keep up, events are lost and requests are not delayed.
///
/// Every loss is [counted](JsonLinesSink::lost), also in `ztlib_audit_events_lost_total`, and
/// logged as an error under `ztlib::audit` (the first, and then each time the number has doubled).
/// Events are lost if
///
/// - the queue is full;
/// - the output fails to write them;
/// - a `flush` fails: everything written since the last successful one counts as lost, even if the
///   output writes it later;
/// - they are queued or being written when the output panics, or when the sink ends and its output
///   does not return in time.
///
/// ```
/// use ztlib::observe::JsonLinesSink;
/// let sink = JsonLinesSink::new(std::io::sink(), 1024);
/// assert_eq!(sink.lost(), 0);
/// ```
#[derive(Debug)]
pub struct JsonLinesSink {
    shared: Arc<Shared>,
    /// The writer's thread. `None` if it did not start.
    writer: Option<Thread>,
}

impl JsonLinesSink {
    /// A sink that writes to `output`. At most `capacity` events (at least 1) wait in its queue,
    /// and as many again may be in the process of being written.
    pub fn new(output: impl Write + Send + 'static, capacity: usize) -> Self {
        let shared = Arc::new(Shared::new(capacity));
        let theirs = shared.clone();
        let writer = std::thread::Builder::new()
            .name("ztlib-audit".to_owned())
            .spawn(move || theirs.run(output))
            .inspect_err(|error| {
                shared.did_not_start();
                tracing::error!(target: "ztlib::audit", %error, "the audit writer did not start: all events will be lost");
            })
            .ok();
        Self { shared, writer: writer.map(|writer| writer.thread().clone()) }
    }

    /// A sink that appends to a file. If the file does not exist it is created, readable and
    /// writable only by this user. The folder must exist.
    ///
    /// The file may be rotated at any time. Before each batch (every few milliseconds, while there
    /// are events) the sink checks that `path` still leads to the file it writes to, and reopens it
    /// if it was renamed or removed. After `copytruncate` it continues at the new end of the file.
    /// If the new file cannot be opened, a renamed file is still written to; if the file was
    /// removed, events are lost and counted.
    ///
    /// # Errors
    /// If the file cannot be opened or is not a regular file; the error names it. For other kinds
    /// of output there is [`new`](Self::new).
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

    /// How many events were lost, for any reason.
    pub fn lost(&self) -> u64 {
        self.shared.lost()
    }

    /// Ends the sink and returns how many events were lost in total. Events recorded before are
    /// written, later ones are lost. Waits at most `limit`; what is not written by then counts as
    /// lost. Zero drops whatever is not written yet, and `Duration::MAX` waits forever for an
    /// output that hangs. Dropping the sink does the same with 5 seconds.
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
    /// Waits at most 5 seconds until queued events are written.
    fn drop(&mut self) {
        self.close(DROP_LIMIT);
    }
}

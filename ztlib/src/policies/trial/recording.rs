//! A recording: records for judging candidates, in memory and as a file.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::path::Path;
use std::sync::Arc;

use ztlib_contract::escaped as shown;

use super::line;
use super::record::Record;
use crate::load_error::LoadError;
use crate::policies::files::Access;
use crate::policies::files::whole_file;
use ztlib_contract::Attribute;

/// The largest file to read, in bytes, its longest line, and its maximum number of records.
const MAX_FILE_BYTES: u64 = 256 << 20;
const MAX_LINE_BYTES: usize = 256 << 10;
const MAX_RECORDS: usize = 1_000_000;
/// The most memory that the records of a file may use. Many small values use a hundred times the
/// size of their text.
const MAX_HELD_BYTES: usize = 2 << 30;

/// The questions asked of a service and its decisions, for judging candidates. Made by a
/// [`Recorder`](super::Recorder), or read from a file.
///
/// # The file
///
/// JSON lines. The first is `{"format":1,"kind":"ztlib-recording","hidden":[…]}`, and then there is
/// one record per line, oldest first:
///
/// ```json
/// {"id":"66b0…","time":1767225600000,"method":"GET","route":"/orders/{id}","token":true,
///  "attributes":{"peer":{"spiffe-id":"spiffe://shop.test/gateway"},"header:x-tag":["a"],
///                "claim:/tenant":["acme"],"claim:/vip":[],"label:owner":null},
///  "judged-by":"9c56cc51b374","policies":"41d0…",
///  "decision":{"verdict":"deny","policy":"rbac","reason":"no-role"},
///  "reads":["has-scope(\"orders:read\")=no"]}
/// ```
///
/// `judged-by` is the name of the revision that decided, as in the audit event of the same `id`,
/// and `policies` is the digest of its policies without their documents. For a question of the
/// application's own, `action` replaces `method` and `route`, and `parent` is the id of the request
/// from which it was asked. An attribute that is missing was not recorded; `null` (or, for a header
/// or a claim, an empty list) means that it was absent. `{"unreadable":"several-values"}` (or
/// `not-utf8`, `malformed`, `failed`) means that it could not be read. A file has at most 256 MiB,
/// 1 000 000 records, and lines of at most 256 KiB, and its records use at most 2 GiB of memory.
/// Unknown members are errors; the format's number changes when members are added.
///
/// ```
/// use std::path::Path;
/// use ztlib::policies::trial::Recording;
///
/// let file = Path::new("traffic.jsonl");
/// let empty = "{\"format\":1,\"kind\":\"ztlib-recording\",\"hidden\":[]}\n";
/// assert!(Recording::parse(file, empty.as_bytes())?.is_empty());
/// let error = Recording::parse(file, format!("{empty}{{}}\n").as_bytes()).unwrap_err();
/// assert_eq!((error.code(), error.line()), ("bad-record", Some(2)));
/// # Ok::<(), ztlib::policies::LoadError>(())
/// ```
#[derive(Clone)]
pub struct Recording {
    pub(crate) records: Vec<Arc<Record>>,
    pub(crate) hidden: Arc<[Attribute]>,
    pub(crate) evicted: u64,
}

impl Recording {
    /// The number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many older records were dropped to make room. The file does not contain this.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The attributes that a rule hides.
    pub fn hidden(&self) -> impl ExactSizeIterator<Item = &Attribute> {
        self.hidden.iter()
    }

    /// Writes the recording.
    ///
    /// # Errors
    /// The errors of `to`.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        writeln!(to, "{}", line::head(&self.hidden))?;
        self.records.iter().try_for_each(|record| writeln!(to, "{}", line::of(record)))
    }

    /// Writes the recording to a file that only this user may read. The file is replaced as a whole
    /// or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, file: impl AsRef<Path>) -> io::Result<()> {
        let mut text = Vec::new();
        self.write(&mut text)?;
        whole_file::write(file.as_ref(), &text, Access::Private)
    }

    /// Reads a recording from a file.
    ///
    /// # Errors
    /// [`LoadError`], which names the file and the line: `recording-not-readable`,
    /// `not-a-recording`, `bad-record`, `recording-too-large`.
    pub fn read(file: impl AsRef<Path>) -> Result<Self, LoadError> {
        let path = file.as_ref();
        let opened = File::open(path).map_err(|error| unreadable(&error).at(path, None))?;
        Self::parse(path, opened)
    }

    /// Parses the content of a file. `file` is only used in errors.
    ///
    /// # Errors
    /// The errors of [`read`](Self::read).
    pub fn parse(file: &Path, from: impl io::Read) -> Result<Self, LoadError> {
        let mut lines = Lines { from: BufReader::new(from.take(MAX_FILE_BYTES + 1)), number: 0, bytes: 0 };
        let read = Self::read_lines(&mut lines);
        read.map_err(|error| error.at(file, Some(lines.number.max(1))))
    }

    fn read_lines(lines: &mut Lines<impl BufRead>) -> Result<Self, LoadError> {
        let head = lines.next()?.ok_or_else(|| bad("not-a-recording", "the file is empty"))?;
        let hidden: Arc<[Attribute]> = line::read_head(&head)?.into();
        let mut records: Vec<Arc<Record>> = Vec::new();
        let mut held = 0_usize;
        while let Some(text) = lines.next()? {
            if records.len() >= MAX_RECORDS {
                let text = format!("a recording has at most {MAX_RECORDS} records");
                return Err(bad("recording-too-large", &text));
            }
            let mut record = line::read(&text).map_err(|why| bad("bad-record", &why))?;
            // Most records have the same attributes, so they share the list.
            if let Some(before) = records.last().filter(|before| before.wanted == record.wanted) {
                record.wanted = before.wanted.clone();
            }
            held = held.saturating_add(record.size());
            if held > MAX_HELD_BYTES {
                return Err(bad(
                    "recording-too-large",
                    "the records take more than 2 GiB of memory: record less of each",
                ));
            }
            let record = Arc::new(record);
            super::rebuild::question(&record, &hidden).map_err(|why| bad("bad-record", &why))?;
            records.push(record);
        }
        Ok(Self { records, hidden, evicted: 0 })
    }
}

impl fmt::Debug for Recording {
    /// Shows how much was recorded, not what.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("records", &self.len())
            .field("hidden", &self.hidden)
            .field("evicted", &self.evicted)
            .finish()
    }
}

/// Reads the lines of a file, one at a time.
struct Lines<R> {
    from: R,
    number: usize,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<String>, LoadError> {
        let mut text = Vec::new();
        let most = MAX_LINE_BYTES as u64 + 1;
        let read = self.from.by_ref().take(most).read_until(b'\n', &mut text);
        let read = read.map_err(|error| unreadable(&error))?;
        if read == 0 {
            return Ok(None);
        }
        self.number = self.number.saturating_add(1);
        self.bytes = self.bytes.saturating_add(read as u64);
        if self.bytes > MAX_FILE_BYTES {
            return Err(bad("recording-too-large", "a recording has at most 256 MiB"));
        }
        if text.last() == Some(&b'\n') {
            text.pop();
        } else if text.len() > MAX_LINE_BYTES {
            return Err(bad("bad-record", "a line has at most 256 KiB"));
        }
        String::from_utf8(text).map(Some).map_err(|_| bad("bad-record", "the line is not UTF-8"))
    }
}

fn unreadable(error: &io::Error) -> LoadError {
    LoadError::new(
        "recording-not-readable",
        format!("the recording cannot be read: {}", shown(&error.to_string())),
    )
}

pub(crate) fn bad(code: &'static str, why: &str) -> LoadError {
    LoadError::new(code, shown(why))
}

//! The recorder: keeps the newest records, within limits, of what policies read.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;

use super::Seen;
use super::record::Record;
use super::recording::Recording;
use crate::authorize::Observer;
use crate::authorize::Trace;
use crate::load_error::LoadError;
use crate::policies::PolicyStore;
use crate::policies::store::Shared;
use ztlib_contract::{Attribute, Kind, behind, is_usable};

/// The maximum number of attributes recorded of one request.
pub(crate) const MAX_ATTRIBUTES: usize = 256;

/// What to record, and how much. Nothing is recorded until [`PolicyStore::record`] is called.
///
/// A record holds the request's method and route (or the action), the time, whether there was a
/// token, the decision, and the value (or absence) of every [`Attribute`] that a policy has read
/// since recording began. It contains header values, claims and labels in plain form: keep a
/// recording where you keep your audit log. It never contains headers that policies cannot read
/// (`authorization`, `cookie`, the manifest's `secret-headers`), tokens, keys or certificates.
#[derive(Debug, Clone)]
#[must_use]
pub struct RecordingRules {
    records: usize,
    bytes: usize,
    also: Vec<Attribute>,
    hidden: Vec<Attribute>,
}

impl Default for RecordingRules {
    fn default() -> Self {
        Self { records: 10_000, bytes: 16 << 20, also: Vec::new(), hidden: Vec::new() }
    }
}

impl RecordingRules {
    /// Keeps the newest 10 000 records within 16 MiB, of what policies read. Nothing is hidden.
    pub fn new() -> Self {
        Self::default()
    }

    /// The maximum number of records, at least 1. Beyond it the oldest are dropped.
    pub fn records(self, records: usize) -> Self {
        Self { records: records.max(1), ..self }
    }

    /// The maximum size of all records together, in bytes. Beyond it the oldest are dropped. A
    /// record that is larger by itself is not kept.
    pub fn bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    /// Also records this attribute, because a candidate will read it. A signal is recorded only if
    /// a policy in force asks for it.
    pub fn also(mut self, attribute: Attribute) -> Self {
        self.also.push(attribute);
        self
    }

    /// Also records who called, whatever the policies read: the peer, and the claims `/roles`,
    /// `/groups` and `/scope`. [`SuggestionRules`](super::SuggestionRules) tells callers apart by
    /// them. The recording then says who called what: keep it as you keep the audit log.
    pub fn also_callers(self) -> Self {
        let claims = ["/roles", "/groups", "/scope"].map(Attribute::claim);
        claims.into_iter().fold(self.also(Attribute::peer()), Self::also)
    }

    /// Never records this attribute, whichever policy reads it, nor a claim that contains it or
    /// that it contains. A candidate that reads it learns that it is hidden, and does not judge the
    /// record. If a policy in force reads it, only the name of the read's function is kept. The
    /// parts of every record (method, route, action, time, whether there is a token) cannot be
    /// hidden.
    pub fn hide(mut self, attribute: Attribute) -> Self {
        self.hidden.push(attribute);
        self
    }
}

/// Records until it is dropped.
///
/// ```
/// use ztlib::authorize::NativePolicy;
/// use ztlib::authorize::{Answer, Fault, Outcome, Reader};
/// use ztlib::policies::PolicySetBuilder;
/// use ztlib::policies::trial::{Attribute, RecordingRules};
///
/// # struct Allow;
/// # impl NativePolicy for Allow {
/// #     fn decide(&self, _: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
/// #         Ok(Answer::Allow)
/// #     }
/// # }
/// let policies = PolicySetBuilder::new().native("allow", Allow).load()?;
/// let rules =
///     RecordingRules::new().also(Attribute::claim("/tenant")).hide(Attribute::claim("/ssn"));
/// let recorder = policies.record(rules.clone())?;
/// assert_eq!(policies.record(rules).unwrap_err().code(), "already-recording");
/// assert_eq!(recorder.recording().len(), 0);
/// # Ok::<(), ztlib::policies::LoadError>(())
/// ```
pub struct Recorder {
    tape: Arc<Tape>,
    shared: Weak<Shared>,
}

/// The state that a recorder writes to.
pub(crate) struct Tape {
    records: usize,
    bytes: usize,
    hidden: Arc<[Attribute]>,
    /// Only grows.
    wanted: ArcSwap<Arc<[Attribute]>>,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    records: VecDeque<Arc<Record>>,
    bytes: usize,
    evicted: u64,
}

impl PolicyStore {
    /// Begins to record questions and decisions, so that candidates can be judged by them. This
    /// costs about a microsecond per request.
    ///
    /// # Errors
    /// `already-recording` if there is a recorder: two would cost twice, and neither would know
    /// what the other hides. `cannot-hide` for a part of every record.
    pub fn record(&self, rules: RecordingRules) -> Result<Recorder, LoadError> {
        if let Some(open) = rules.hidden.iter().find(|attribute| attribute.kind.is_always_recorded()) {
            let text = format!(
                "`{open}` is part of every record and cannot be hidden: do not record here if it must not be kept"
            );
            return Err(LoadError::new("cannot-hide", text));
        }
        let tape = Arc::new(Tape {
            records: rules.records,
            bytes: rules.bytes,
            hidden: rules.hidden.into(),
            wanted: ArcSwap::new(Arc::new(Arc::new([]))),
            ring: Mutex::new(Ring::default()),
        });
        tape.want(&rules.also);
        if !self.0.observers.add("recorder", tape.clone()) {
            let text = "these policies are already being recorded: drop the other recorder first";
            return Err(LoadError::new("already-recording", text));
        }
        Ok(Recorder { tape, shared: Arc::downgrade(&self.0) })
    }
}

impl Recorder {
    /// The records so far.
    pub fn recording(&self) -> Recording {
        let ring = self.tape.ring();
        Recording {
            records: ring.records.iter().cloned().collect(),
            hidden: self.tape.hidden.clone(),
            evicted: ring.evicted,
        }
    }

    /// The attributes recorded of each request from now on, besides the parts of every record.
    pub fn attributes(&self) -> Vec<Attribute> {
        self.tape.wanted.load().to_vec()
    }

    /// Also records this attribute from now on; see [`RecordingRules::also`].
    pub fn also(&self, attribute: Attribute) {
        self.tape.want(&[attribute]);
    }

    /// Drops all records so far.
    pub fn clear(&self) {
        *self.tape.ring() = Ring::default();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            let own: Arc<dyn Observer> = self.tape.clone();
            shared.observers.remove(&own);
        }
    }
}

impl fmt::Debug for Recorder {
    /// Shows how much was recorded, not what.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ring = self.tape.ring();
        f.debug_struct("Recorder")
            .field("records", &ring.records.len())
            .field("bytes", &ring.bytes)
            .field("evicted", &ring.evicted)
            .finish_non_exhaustive()
    }
}

impl Observer for Tape {
    /// Records one question.
    fn see(&self, seen: &Seen<'_>) {
        self.want_all(seen.trace);
        let record = Record::of(seen, &self.wanted.load(), &self.hidden);
        let bytes = record.size();
        let record = Arc::new(record);
        let mut gone = Vec::new();
        let mut ring = self.ring();
        if bytes > self.bytes {
            ring.evicted = ring.evicted.saturating_add(1);
            return;
        }
        while ring.records.len() >= self.records || ring.bytes.saturating_add(bytes) > self.bytes {
            let Some(oldest) = ring.records.pop_front() else { break };
            ring.bytes = ring.bytes.saturating_sub(oldest.size());
            ring.evicted = ring.evicted.saturating_add(1);
            gone.push(oldest);
        }
        ring.bytes = ring.bytes.saturating_add(bytes);
        ring.records.push_back(record);
        drop(ring);
        // Freed after the lock is released.
        drop(gone);
    }
}

impl Tape {
    /// From now on, records of every request what this decision read.
    fn want_all(&self, trace: &Trace) {
        let wanted = self.wanted.load();
        let mut new = Vec::new();
        for (read, _) in trace.reads() {
            behind(read, |kind, name| {
                if self.is_new(&wanted, kind, name) {
                    new.push(Attribute::named(kind, name));
                }
            });
        }
        if !new.is_empty() {
            self.want(&new);
        }
    }

    fn want(&self, attributes: &[Attribute]) {
        self.wanted.rcu(|wanted| {
            let mut grown = wanted.to_vec();
            for one in attributes {
                if self.is_new(&grown, one.kind, &one.name) {
                    grown.push(one.clone());
                }
            }
            Arc::<[Attribute]>::from(grown)
        });
    }

    /// Whether an attribute is not recorded yet, and may be.
    fn is_new(&self, wanted: &[Attribute], kind: Kind, name: &str) -> bool {
        !kind.is_always_recorded()
            && !wanted.iter().any(|attribute| attribute.covers(kind, name))
            && wanted.len() < MAX_ATTRIBUTES
            && is_usable(kind, name)
            && !self.hidden.iter().any(|hidden| hidden.overlaps(kind, name))
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The source of a set, for every reload, and the sets that were in force before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::origin::{Draft, Origin, Provenance};
use super::status::Status;
use crate::authorize::Documents;
use crate::authorize::PolicySet;
use crate::authorize::SignalSource;
use crate::digest::Digest;
use crate::load_error::LoadError;
#[cfg(feature = "manifest")]
use crate::policies::cases;
use crate::policies::files::LookedFor;
use serde_json::Value as Json;
use ztlib_contract::engine::Engine;

/// How many earlier sets are kept for rollbacks.
const MAX_KEPT: usize = 3;

/// Loads candidates, one at a time, and keeps what is needed to judge and to undo them.
pub(crate) struct Loader {
    pub(crate) origin: Box<dyn Origin>,
    /// Documents that the program has set. They survive reloads, since they are newer than the
    /// files.
    pub(crate) set_documents: BTreeMap<Box<str>, Arc<Json>>,
    pub(crate) signal_source: Option<Arc<dyn SignalSource>>,
    /// The files that the last load looked up.
    pub(crate) looked_for: LookedFor,
    /// The provenance of the set in force.
    pub(crate) provenance: Provenance,
    /// The policies (without documents) that were loaded last: those of the files or the code.
    pub(crate) last_loaded: Option<Digest>,
    /// The signed manifest that was loaded last.
    pub(crate) last_manifest: Option<Digest>,
    /// The policies that were rolled back from. Watching does not bring them back into force.
    pub(crate) held: Option<Digest>,
    /// The policies that last passed their cases, and the files of those cases, so that they need
    /// not run again.
    pub(crate) passed: Option<(Digest, Vec<String>)>,
    /// The number of rollbacks.
    pub(crate) departures: u64,
    /// Sets that were in force before, each with different policies, newest last.
    pub(crate) kept: VecDeque<Loaded>,
}

/// What a loader loads from.
pub(crate) struct Source {
    pub(crate) origin: Box<dyn Origin>,
    pub(crate) signal_source: Option<Arc<dyn SignalSource>>,
}

/// A set with its provenance.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) set: Arc<PolicySet>,
    pub(crate) provenance: Provenance,
}

impl Loader {
    pub(crate) fn new(origin: Box<dyn Origin>, signal_source: Option<Arc<dyn SignalSource>>) -> Self {
        Self {
            origin,
            set_documents: BTreeMap::new(),
            signal_source,
            looked_for: LookedFor::new(),
            provenance: Provenance::default(),
            last_loaded: None,
            last_manifest: None,
            held: None,
            passed: None,
            departures: 0,
            kept: VecDeque::new(),
        }
    }

    /// The current source.
    pub(crate) fn source(&self) -> Source {
        Source { origin: self.origin.boxed(), signal_source: self.signal_source.clone() }
    }

    /// A second loader, which loads while this one stays available to others.
    pub(crate) fn beside(&self, source: Source) -> Self {
        let mut beside = Self::new(source.origin, source.signal_source);
        beside.set_documents.clone_from(&self.set_documents);
        beside.kept.clone_from(&self.kept);
        beside.passed.clone_from(&self.passed);
        beside
    }

    /// The set with the documents that the program has set so far.
    pub(crate) fn with_set_documents(&self, set: Arc<PolicySet>) -> Arc<PolicySet> {
        let mut own = set.view.documents.0.iter();
        if own.any(|(name, own)| self.set_documents.get(name).is_some_and(|set| !Arc::ptr_eq(own, set))) {
            return Arc::new(set.with_documents(&Documents(self.set_documents.clone())));
        }
        set
    }

    /// Reads, verifies, compiles and configures. What this process has compiled and still keeps is
    /// not compiled again.
    pub(crate) fn load(&mut self, engine: &dyn Engine) -> Result<Loaded, LoadError> {
        let (draft, looked_for) = self.origin.read();
        // Also if that failed: the missing file may come.
        self.looked_for = looked_for;
        let Draft { mut blueprint, provenance, case_files } = draft?;
        for (name, document) in &mut blueprint.documents {
            if let Some(set) = self.set_documents.get(name) {
                *document = set.clone();
            }
        }
        #[cfg(feature = "manifest")]
        let cases = std::mem::take(&mut blueprint.cases);
        let set = blueprint.build(engine, self.signal_source.clone());
        // Policies that fail their own cases do not come into force. A changed document does not
        // count against policies that have passed.
        #[cfg(feature = "manifest")]
        let set = set.and_then(|set| {
            let to_pass = Some((set.root(), case_files));
            if self.passed != to_pass {
                cases::gate(&set, &cases)?;
                self.passed = to_pass;
            }
            Ok(set)
        });
        let set = set.map_err(|error| self.origin.locate(error))?;
        Ok(Loaded { set: Arc::new(set), provenance })
    }

    /// Whether a set that was loaded earlier may still come into force.
    pub(crate) fn check_version(&self, provenance: &Provenance) -> Result<(), LoadError> {
        let Some(signed) = &provenance.signed else { return Ok(()) };
        let versions = self.origin.versions().ok_or_else(|| {
            LoadError::new(
                "not-from-manifest",
                "policies made in code have come into force since, and they have no versions: load the candidate again",
            )
        })?;
        versions.check(signed).map_err(|error| self.origin.locate(error))
    }

    /// The policies of the files were rolled back from. As long as the files stay the same, they
    /// are still read for their documents.
    pub(crate) fn leave(&mut self) {
        self.departures += 1;
        if let Some(versions) = self.origin.versions_mut() {
            versions.leave(self.last_manifest);
        }
    }

    /// Records whose documents are about to come into force under other policies, so that no older
    /// documents can follow.
    pub(crate) fn note_documents(&mut self, of: &Provenance) -> Result<(), LoadError> {
        let signed = of.signed.as_ref().zip(self.origin.versions());
        if signed.is_none_or(|(signed, versions)| versions.was_left(signed)) {
            return Ok(());
        }
        self.check_version(of)?;
        self.raise_version(of)?;
        self.last_manifest = of.manifest();
        if let Some(versions) = self.origin.versions_mut() {
            versions.leave(self.last_manifest);
        }
        Ok(())
    }

    /// Records that a signed candidate is about to come into force.
    pub(crate) fn raise_version(&mut self, provenance: &Provenance) -> Result<(), LoadError> {
        match (self.origin.versions_mut(), &provenance.signed) {
            (Some(versions), Some(signed)) => versions.raise(signed),
            _ => Ok(()),
        }
    }

    /// Adds the set in force and its predecessors to the status.
    pub(crate) fn describe(&self, status: &mut Status) {
        status.version = self.provenance.version;
        status.signer = self.provenance.signed.map(|signed| signed.signer);
        status.unsigned_documents = self.provenance.unsigned_documents.to_vec();
        status.highest_version = self.origin.versions().and_then(|versions| versions.highest());
        status.kept = self.kept.iter().map(|kept| kept.set.revision).collect();
    }

    /// Keeps a set that is being replaced. Sets with the same policies are kept once, and never if
    /// these policies are in force.
    pub(crate) fn keep(&mut self, before: Loaded, in_force: Digest) {
        let root = before.set.root();
        self.kept.retain(|kept| kept.set.root() != root && kept.set.root() != in_force);
        if root == in_force {
            return;
        }
        self.kept.push_back(before);
        while self.kept.len() > MAX_KEPT {
            self.kept.pop_front();
        }
    }
}

//! Loads sets from their origin, and keeps those that were in force before.

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

/// How many sets that were in force before are kept, so that one can return to them.
const MAX_KEPT: usize = 3;

/// Loads candidates, one at a time, and remembers what it takes to judge and to undo them.
pub(crate) struct Loader {
    pub(crate) origin: Box<dyn Origin>,
    /// Documents that the program has set: they outlast reloads, since the program's word is newer
    /// than the file's.
    pub(crate) set_documents: BTreeMap<Box<str>, Arc<Json>>,
    pub(crate) signal_source: Option<Arc<dyn SignalSource>>,
    /// The files that the last load looked for.
    pub(crate) looked_for: LookedFor,
    /// What is known of the set in force.
    pub(crate) provenance: Provenance,
    /// The policies (without documents) that were loaded last: what the files or the code say.
    pub(crate) last_loaded: Option<Digest>,
    /// The signed manifest that was loaded last.
    pub(crate) last_manifest: Option<Digest>,
    /// The policies that were rolled back from: found again by watching, they stay out of force.
    pub(crate) held: Option<Digest>,
    /// The policies that passed their cases last, and the files of those: what would be run again
    /// to no end.
    pub(crate) passed: Option<(Digest, Vec<String>)>,
    /// How often what was in force was rolled back from.
    pub(crate) departures: u64,
    /// Sets that were in force before, each with other policies; the newest last.
    pub(crate) kept: VecDeque<Loaded>,
}

/// What a loader loads from.
pub(crate) struct Source {
    pub(crate) origin: Box<dyn Origin>,
    pub(crate) signal_source: Option<Arc<dyn SignalSource>>,
}

/// A set with what is known of it.
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

    /// Where it loads from.
    pub(crate) fn source(&self) -> Source {
        Source { origin: self.origin.boxed(), signal_source: self.signal_source.clone() }
    }

    /// Another one, which loads while this one is free for others.
    pub(crate) fn beside(&self, source: Source) -> Self {
        let mut beside = Self::new(source.origin, source.signal_source);
        beside.set_documents.clone_from(&self.set_documents);
        beside.kept.clone_from(&self.kept);
        beside.passed.clone_from(&self.passed);
        beside
    }

    /// The set with the documents that the program has set by now.
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
        // Policies that do not pass their own cases are not in force. A document that changes is
        // not held against those that have passed.
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

    /// Whether what was loaded earlier may still come in force.
    pub(crate) fn check_version(&self, provenance: &Provenance) -> Result<(), LoadError> {
        let Some(signed) = &provenance.signed else { return Ok(()) };
        let versions = self.origin.versions().ok_or_else(|| {
            LoadError::new(
                "not-from-manifest",
                "policies made in code have come in force since, and know no versions: load the candidate again",
            )
        })?;
        versions.check(signed).map_err(|error| self.origin.locate(error))
    }

    /// What the files say is rolled back from: as long as they say the same, they go on being read
    /// for their documents.
    pub(crate) fn leave(&mut self) {
        self.departures += 1;
        if let Some(versions) = self.origin.versions_mut() {
            versions.leave(self.last_manifest);
        }
    }

    /// Notes whose documents are about to be in force, with other policies than theirs: no older
    /// ones come after them.
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

    /// Notes that a signed candidate is about to be in force.
    pub(crate) fn raise_version(&mut self, provenance: &Provenance) -> Result<(), LoadError> {
        match (self.origin.versions_mut(), &provenance.signed) {
            (Some(versions), Some(signed)) => versions.raise(signed),
            _ => Ok(()),
        }
    }

    /// Writes down what is known of the set in force and of those before.
    pub(crate) fn describe(&self, status: &mut Status) {
        status.version = self.provenance.version;
        status.signer = self.provenance.signed.map(|signed| signed.signer);
        status.unsigned_documents = self.provenance.unsigned_documents.to_vec();
        status.highest_version = self.origin.versions().and_then(|versions| versions.highest());
        status.kept = self.kept.iter().map(|kept| kept.set.revision).collect();
    }

    /// Keeps a set that something else takes the place of. A set with the same policies is kept
    /// once, and not beside the one in force.
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

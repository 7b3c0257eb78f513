//! The source of a set, for every reload, and the sets that were in force before.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value as Json;
use ztlib_contract::escaped as shown;

use super::status::Status;
use crate::authorize::Documents;
use crate::authorize::PolicySet;
use crate::authorize::SignalSource;
use crate::digest::Digest;
use crate::load_error::LoadError;
#[cfg(feature = "manifest")]
use crate::policies::cases;
use crate::policies::files::Blueprint;
use crate::policies::files::FileRole;
use crate::policies::files::manifest;
use crate::policies::files::{Folder, LookedFor, Stamp};
use crate::policies::files::{Manifest, Signed};
use crate::policies::files::{Trust, Versions};
use ztlib_contract::engine::Engine;

/// How many earlier sets are kept for rollbacks.
const MAX_KEPT: usize = 3;
/// How often a manifest that keeps changing is read.
const MOST_READS: u32 = 5;

/// Loads candidates, one at a time, and keeps what is needed to judge and to undo them.
pub(crate) struct Loader {
    pub(crate) origin: Origin,
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
    pub(crate) origin: Origin,
    pub(crate) signal_source: Option<Arc<dyn SignalSource>>,
}

/// The origin of a set.
#[derive(Clone)]
pub(crate) enum Origin {
    Code(Box<Blueprint>),
    Manifest(Box<FromManifest>),
}

/// A manifest, and the keys that may sign it.
#[derive(Clone)]
pub(crate) struct FromManifest {
    pub(crate) path: PathBuf,
    pub(crate) trust: Trust,
    pub(crate) versions: Versions,
    pub(crate) service: Service,
}

/// The service that loads the set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Service {
    /// Not named; then no signed set is for it.
    #[default]
    Unnamed,
    Named(Box<str>),
    /// Sets of all services are accepted (`allow_any_service`).
    Any,
}

impl Service {
    /// Checks that a set is for this service. An unsigned set need not name one.
    fn check(&self, manifest: &Manifest) -> Result<(), LoadError> {
        match self {
            Self::Any => Ok(()),
            Self::Unnamed if manifest.signed.is_none() => Ok(()),
            Self::Unnamed => Err(LoadError::new(
                "service-unnamed",
                "the set is signed for certain services, but this service has no name: give it one with `service(…)`, or call `allow_any_service()` if sets of all services may be in force here",
            )),
            Self::Named(_) if manifest.services.is_empty() && manifest.signed.is_none() => Ok(()),
            Self::Named(name) if manifest.services.contains(name) => Ok(()),
            Self::Named(name) => {
                let services: Vec<String> =
                    manifest.services.iter().map(|service| format!("`{}`", shown(service))).collect();
                Err(LoadError::new(
                    "other-service",
                    format!(
                        "the set is for {}, but this service is `{}`: put the right set there, or add this service to its `for` and sign it again",
                        services.join(", "),
                        shown(name)
                    ),
                ))
            }
        }
    }
}

/// A set with its provenance.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) set: Arc<PolicySet>,
    pub(crate) provenance: Provenance,
}

/// The version and the signature of a set.
#[derive(Clone, Default)]
pub(crate) struct Provenance {
    pub(crate) version: Option<u64>,
    pub(crate) signed: Option<Signed>,
    pub(crate) unsigned_documents: Arc<[Box<str>]>,
}

impl Provenance {
    /// The signed manifest.
    pub(crate) fn manifest(&self) -> Option<Digest> {
        self.signed.map(|signed| signed.manifest)
    }

    /// The provenance of a set that now has another set's documents. The other manifest tells which
    /// of those are unsigned.
    pub(crate) fn with_documents(self, own: &PolicySet, other: &Self, others: &Documents) -> Self {
        if self.signed.is_none() {
            return self;
        }
        let is_open = |name: &str| {
            let of = if others.0.contains_key(name) { other } else { &self };
            of.signed.is_none() || of.unsigned_documents.iter().any(|open| **open == *name)
        };
        let unsigned_documents = own.view.documents.0.keys().filter(|name| is_open(name)).cloned().collect();
        Self { unsigned_documents, ..self }
    }
}

impl Loader {
    pub(crate) fn new(origin: Origin, signal_source: Option<Arc<dyn SignalSource>>) -> Self {
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
        Source { origin: self.origin.clone(), signal_source: self.signal_source.clone() }
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
        let (mut blueprint, provenance, case_files) = match &self.origin {
            Origin::Code(blueprint) => (blueprint.as_ref().clone(), Provenance::default(), Vec::new()),
            Origin::Manifest(from) => {
                let (manifest, looked_for) = from.read();
                // Even after a failure: a missing file may appear.
                self.looked_for = looked_for;
                let manifest = manifest?;
                let provenance = Provenance {
                    version: manifest.version,
                    signed: manifest.signed,
                    unsigned_documents: manifest.unsigned_documents.into(),
                };
                let files = manifest.files.into_iter().filter(|file| file.role == FileRole::Cases);
                (manifest.blueprint, provenance, files.map(|file| file.sha256).collect())
            }
        };
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
        let set = set.map_err(|error| match &self.origin {
            Origin::Manifest(from) => error.at(&from.path, None),
            Origin::Code(_) => error,
        })?;
        Ok(Loaded { set: Arc::new(set), provenance })
    }

    /// Whether a set that was loaded earlier may still come into force.
    pub(crate) fn check_version(&self, provenance: &Provenance) -> Result<(), LoadError> {
        match (&self.origin, &provenance.signed) {
            (Origin::Manifest(from), Some(signed)) => {
                from.versions.check(signed).map_err(|error| error.at(&from.path, None))
            }
            (Origin::Code(_), Some(_)) => Err(LoadError::new(
                "not-from-manifest",
                "policies made in code have come into force since, and they have no versions: load the candidate again",
            )),
            (_, None) => Ok(()),
        }
    }

    /// The policies of the files were rolled back from. As long as the files stay the same, they
    /// are still read for their documents.
    pub(crate) fn leave(&mut self) {
        self.departures += 1;
        if let Origin::Manifest(from) = &mut self.origin {
            from.versions.leave(self.last_manifest);
        }
    }

    /// Records whose documents are about to come into force under other policies, so that no older
    /// documents can follow.
    pub(crate) fn note_documents(&mut self, of: &Provenance) -> Result<(), LoadError> {
        let is_left = match (&self.origin, &of.signed) {
            (Origin::Manifest(from), Some(signed)) => from.versions.was_left(signed),
            _ => true,
        };
        if is_left {
            return Ok(());
        }
        self.check_version(of)?;
        self.raise_version(of)?;
        self.last_manifest = of.manifest();
        if let Origin::Manifest(from) = &mut self.origin {
            from.versions.leave(self.last_manifest);
        }
        Ok(())
    }

    /// Records that a signed candidate is about to come into force.
    pub(crate) fn raise_version(&mut self, provenance: &Provenance) -> Result<(), LoadError> {
        match (&mut self.origin, &provenance.signed) {
            (Origin::Manifest(from), Some(signed)) => from.versions.raise(signed),
            _ => Ok(()),
        }
    }

    /// Adds the set in force and its predecessors to the status.
    pub(crate) fn describe(&self, status: &mut Status) {
        status.version = self.provenance.version;
        status.signer = self.provenance.signed.map(|signed| signed.signer);
        status.unsigned_documents = self.provenance.unsigned_documents.to_vec();
        status.highest_version = match &self.origin {
            Origin::Code(_) => None,
            Origin::Manifest(from) => from.versions.highest(),
        };
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

impl FromManifest {
    /// Returns the verified manifest, and the files that were looked up on the way, found or not.
    /// If the manifest has changed by the end (for example a swapped link), the other files may
    /// belong to the new one, so it is read again.
    pub(crate) fn read(&self) -> (Result<Manifest, LoadError>, LookedFor) {
        let mut left = MOST_READS;
        loop {
            let (manifest, looked_for) = self.read_once();
            // The manifest is looked up first.
            let is_still = looked_for.first().is_none_or(|(path, stamp)| Stamp::of(path) == *stamp);
            if manifest.is_err() || is_still {
                return (manifest, looked_for);
            }
            left = left.saturating_sub(1);
            if left == 0 {
                let text = "the manifest keeps changing while the files that it names are read: leave it unchanged for a moment";
                return (Err(LoadError::new("manifest-changing", text).at(&self.path, None)), looked_for);
            }
        }
    }

    fn read_once(&self) -> (Result<Manifest, LoadError>, LookedFor) {
        let mut folder = match Folder::of(&self.path) {
            Ok(folder) => folder,
            Err(error) => return (Err(error), Folder::missing(&self.path)),
        };
        let manifest = manifest::read(&self.path, &mut folder, &self.trust).and_then(|manifest| {
            // Checked before anything is compiled, so another service's set or an old one costs
            // nothing.
            self.service.check(&manifest).map_err(|error| error.at(&self.path, None))?;
            let checked =
                manifest.signed.as_ref().map_or(Ok(()), |signed| self.versions.check_readable(signed));
            checked.map(|()| manifest).map_err(|error| error.at(&self.path, None))
        });
        (manifest, folder.into_looked_for())
    }
}

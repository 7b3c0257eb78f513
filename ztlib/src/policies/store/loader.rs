//! Where a set comes from, again and again, and what was in force before it.

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

/// How many sets that were in force before are kept, so that one can return to them.
const MAX_KEPT: usize = 3;
/// How often a manifest is read that changes meanwhile.
const MOST_READS: u32 = 5;

/// Loads candidates, one at a time, and remembers what it takes to judge and to undo them.
pub(crate) struct Loader {
    pub(crate) origin: Origin,
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
    pub(crate) origin: Origin,
    pub(crate) signal_source: Option<Arc<dyn SignalSource>>,
}

/// Where a set comes from.
#[derive(Clone)]
pub(crate) enum Origin {
    Code(Box<Blueprint>),
    Manifest(Box<FromManifest>),
}

/// A manifest, and whose word is taken for it.
#[derive(Clone)]
pub(crate) struct FromManifest {
    pub(crate) path: PathBuf,
    pub(crate) trust: Trust,
    pub(crate) versions: Versions,
    pub(crate) service: Service,
}

/// Which service loads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Service {
    /// Nobody has said; a signed set is then for nobody.
    #[default]
    Unnamed,
    Named(Box<str>),
    /// Sets of all services are taken, by a verb.
    Any,
}

impl Service {
    /// Whether a set is for this service. What nobody signed need not say for whom it is.
    fn check(&self, manifest: &Manifest) -> Result<(), LoadError> {
        match self {
            Self::Any => Ok(()),
            Self::Unnamed if manifest.signed.is_none() => Ok(()),
            Self::Unnamed => Err(LoadError::new(
                "service-unnamed",
                "the set is signed for certain services, and this one has not said which it is: name it with `service(…)`, or say `allow_any_service()` if sets of all services may be in force here",
            )),
            Self::Named(_) if manifest.services.is_empty() && manifest.signed.is_none() => Ok(()),
            Self::Named(name) if manifest.services.contains(name) => Ok(()),
            Self::Named(name) => {
                let services: Vec<String> =
                    manifest.services.iter().map(|service| format!("`{}`", shown(service))).collect();
                Err(LoadError::new(
                    "other-service",
                    format!(
                        "the set is for {}, and this service is `{}`: put the right set there, or add this service to its `for` and sign it again",
                        services.join(", "),
                        shown(name)
                    ),
                ))
            }
        }
    }
}

/// A set with what is known of it.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) set: Arc<PolicySet>,
    pub(crate) provenance: Provenance,
}

/// Who vouches for a set.
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

    /// The same of a set that has the documents of another by now: which of them nobody vouches
    /// for, the other's manifest says.
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

    /// Where it loads from.
    pub(crate) fn source(&self) -> Source {
        Source { origin: self.origin.clone(), signal_source: self.signal_source.clone() }
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
        let (mut blueprint, provenance, case_files) = match &self.origin {
            Origin::Code(blueprint) => (blueprint.as_ref().clone(), Provenance::default(), Vec::new()),
            Origin::Manifest(from) => {
                let (manifest, looked_for) = from.read();
                // Also where it failed: what was missing is what may come.
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
        let set = set.map_err(|error| match &self.origin {
            Origin::Manifest(from) => error.at(&from.path, None),
            Origin::Code(_) => error,
        })?;
        Ok(Loaded { set: Arc::new(set), provenance })
    }

    /// Whether what was loaded earlier may still come in force.
    pub(crate) fn check_version(&self, provenance: &Provenance) -> Result<(), LoadError> {
        match (&self.origin, &provenance.signed) {
            (Origin::Manifest(from), Some(signed)) => {
                from.versions.check(signed).map_err(|error| error.at(&from.path, None))
            }
            (Origin::Code(_), Some(_)) => Err(LoadError::new(
                "not-from-manifest",
                "policies made in code have come in force since, and know no versions: load the candidate again",
            )),
            (_, None) => Ok(()),
        }
    }

    /// What the files say is rolled back from: as long as they say the same, they go on being read
    /// for their documents.
    pub(crate) fn leave(&mut self) {
        self.departures += 1;
        if let Origin::Manifest(from) = &mut self.origin {
            from.versions.leave(self.last_manifest);
        }
    }

    /// Notes whose documents are about to be in force, with other policies than theirs: no older
    /// ones come after them.
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

    /// Notes that a signed candidate is about to be in force.
    pub(crate) fn raise_version(&mut self, provenance: &Provenance) -> Result<(), LoadError> {
        match (&mut self.origin, &provenance.signed) {
            (Origin::Manifest(from), Some(signed)) => from.versions.raise(signed),
            _ => Ok(()),
        }
    }

    /// Writes down what is known of the set in force and of those before.
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

impl FromManifest {
    /// The manifest, verified, and the files that were looked for on the way, whether they were
    /// found or not. Where the manifest is another one when all has been read (a link was
    /// swapped meanwhile), the rest may belong to that one: it is read again.
    pub(crate) fn read(&self) -> (Result<Manifest, LoadError>, LookedFor) {
        let mut left = MOST_READS;
        loop {
            let (manifest, looked_for) = self.read_once();
            // It is looked for before everything that it names.
            let is_still = looked_for.first().is_none_or(|(path, stamp)| Stamp::of(path) == *stamp);
            if manifest.is_err() || is_still {
                return (manifest, looked_for);
            }
            left = left.saturating_sub(1);
            if left == 0 {
                let text = "the manifest goes on changing while the files that it names are read: leave it alone for a moment";
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
            // Before anything is compiled: a set of another service costs nothing, and neither does
            // an old one.
            self.service.check(&manifest).map_err(|error| error.at(&self.path, None))?;
            let checked =
                manifest.signed.as_ref().map_or(Ok(()), |signed| self.versions.check_readable(signed));
            checked.map(|()| manifest).map_err(|error| error.at(&self.path, None))
        });
        (manifest, folder.into_looked_for())
    }
}

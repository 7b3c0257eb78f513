//! Sets from a manifest and the files beside it.

use std::path::PathBuf;

use ztlib_contract::escaped as shown;

use super::origin::{Draft, Origin, Provenance};
use crate::load_error::LoadError;
use crate::policies::files::{FileRole, Folder, LookedFor, Manifest, Stamp, Trust, Versions, manifest};

/// How often a manifest is read again because it changed meanwhile.
const MOST_READS: u32 = 5;

/// A manifest, and the terms on which its sets are taken.
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

impl FromManifest {
    /// Returns the verified manifest, and the files that were looked up on the way, found or not.
    /// If the manifest has changed by the end (for example a swapped link), the other files may
    /// belong to the new one, so it is read again.
    pub(crate) fn read_manifest(&self) -> (Result<Manifest, LoadError>, LookedFor) {
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

impl Origin for FromManifest {
    fn read(&self) -> (Result<Draft, LoadError>, LookedFor) {
        let (manifest, looked_for) = self.read_manifest();
        let draft = manifest.map(|manifest| {
            let cases = manifest.files.into_iter().filter(|file| file.role == FileRole::Cases);
            Draft {
                blueprint: manifest.blueprint,
                provenance: Provenance {
                    version: manifest.version,
                    signed: manifest.signed,
                    unsigned_documents: manifest.unsigned_documents.into(),
                },
                case_files: cases.map(|file| file.sha256).collect(),
            }
        });
        (draft, looked_for)
    }

    fn versions(&self) -> Option<&Versions> {
        Some(&self.versions)
    }

    fn versions_mut(&mut self) -> Option<&mut Versions> {
        Some(&mut self.versions)
    }

    fn locate(&self, error: LoadError) -> LoadError {
        error.at(&self.path, None)
    }

    fn can_change(&self) -> bool {
        true
    }

    fn beside(&self, manifest: PathBuf) -> Result<Box<dyn Origin>, LoadError> {
        Ok(Box::new(Self { path: manifest, ..self.clone() }))
    }

    fn boxed(&self) -> Box<dyn Origin> {
        Box::new(self.clone())
    }
}

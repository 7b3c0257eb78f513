//! Where policy sets come from: a trait, so that files are one place among others.

use std::path::PathBuf;
use std::sync::Arc;

use crate::authorize::{Documents, PolicySet};
use crate::digest::Digest;
use crate::load_error::LoadError;
use crate::policies::files::{Blueprint, LookedFor, Signed, Versions};

/// Where a store loads its sets from, at the start and at each reload. An origin verifies what it
/// reads; it compiles nothing.
pub(crate) trait Origin: Send + Sync {
    /// Reads the set that is there now. The files that it looked for are returned with an error,
    /// too: the one that was missing may come.
    fn read(&self) -> (Result<Draft, LoadError>, LookedFor);

    /// The versions of its signed sets that may come in force. `None` if its sets have none.
    fn versions(&self) -> Option<&Versions> {
        None
    }

    /// The same, to raise or leave a version.
    fn versions_mut(&mut self) -> Option<&mut Versions> {
        None
    }

    /// Adds the origin's name to an error.
    fn locate(&self, error: LoadError) -> LoadError {
        error
    }

    /// Whether its sets can change while the program does nothing.
    fn can_change(&self) -> bool;

    /// An origin for another manifest, on the terms of this one.
    ///
    /// # Errors
    /// `not-from-manifest` if this one has no such terms.
    fn beside(&self, manifest: PathBuf) -> Result<Box<dyn Origin>, LoadError>;

    /// A copy.
    fn boxed(&self) -> Box<dyn Origin>;
}

/// A set that was read and verified, but not compiled.
pub(crate) struct Draft {
    pub(crate) blueprint: Blueprint,
    pub(crate) provenance: Provenance,
    /// The digests of its case files.
    pub(crate) case_files: Vec<String>,
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

/// A set that the program made.
impl Origin for Blueprint {
    fn read(&self) -> (Result<Draft, LoadError>, LookedFor) {
        let draft =
            Draft { blueprint: self.clone(), provenance: Provenance::default(), case_files: Vec::new() };
        (Ok(draft), LookedFor::new())
    }

    fn can_change(&self) -> bool {
        false
    }

    fn beside(&self, _manifest: PathBuf) -> Result<Box<dyn Origin>, LoadError> {
        Err(LoadError::new(
            "not-from-manifest",
            "the policies in force were made in code and trust no keys: make the candidate in code too",
        ))
    }

    fn boxed(&self) -> Box<dyn Origin> {
        Box::new(self.clone())
    }
}

//! A set that is loaded for inspection and never comes into force.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::coverage::Coverage;
use super::lint::{Finding, Routes, lint};
use super::report::{Report, Timing, time};
use super::{Cases, simulate};
use crate::authorize::Caller;
use crate::authorize::{PolicySet, Revision};
use crate::authorize::{SignalError, SignalSource};
use crate::digest::Digest;
use crate::load_error::LoadError;
use crate::policies::files::Folder;
use crate::policies::files::Trust;
use crate::policies::files::engine;
use crate::policies::files::manifest;
use crate::policies::files::{Blueprint, PolicySource};
use ztlib_contract::Budget;
#[cfg(feature = "wasm")]
use ztlib_wasm::Module;

/// A policy set that is loaded to be tested: from a manifest, signed or not, whether or not it
/// passes its cases. It can never come into force, so it loosens nothing. To try a set on real
/// traffic, load it as a `trial::Candidate` (feature `trial`).
///
/// ```no_run
/// use ztlib::policies::cases::Draft;
///
/// let draft = Draft::load("policies.toml")?;
/// for failure in draft.run()?.failures() {
///     eprintln!("{failure}");
/// }
/// # Ok::<(), ztlib::policies::LoadError>(())
/// ```
pub struct Draft {
    path: PathBuf,
    blueprint: Blueprint,
    pub(crate) set: PolicySet,
}

/// One policy of a draft.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PolicyFacts {
    /// Its name.
    pub name: String,
    /// The reasons that it may deny with.
    pub reasons: Vec<String>,
    /// Whether it may abstain.
    pub may_abstain: bool,
    /// Its budget.
    pub budget: Budget,
    /// Facts about its module; `None` for a native policy.
    #[cfg(feature = "wasm")]
    pub module: Option<Module>,
    /// The SHA-256 digest of the module in hexadecimal digits, as a manifest pins it.
    pub sha256: Option<String>,
    /// The line of the manifest that names the policy.
    pub line: usize,
}

impl Draft {
    /// Reads, compiles and configures what a manifest names.
    ///
    /// # Errors
    /// [`LoadError`], as when loading the set to enforce it, except for signatures and failing
    /// cases.
    pub fn load(manifest: impl Into<PathBuf>) -> Result<Self, LoadError> {
        let path = manifest.into();
        let mut folder = Folder::of(&path)?;
        // Nothing is enforced with it, so its signature does not matter.
        let blueprint = manifest::read(&path, &mut folder, &Trust::nobody())?.blueprint;
        let set = blueprint.build(&*engine()?, Some(Arc::new(Nobody)))?;
        Ok(Self { path, blueprint, set })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Path {
        &self.path
    }

    /// The revision that the set would have.
    pub fn revision(&self) -> Revision {
        *self.set.revision()
    }

    /// The cases named by the manifest.
    pub fn cases(&self) -> &[Cases] {
        &self.blueprint.cases
    }

    /// The policies, in order.
    pub fn policies(&self) -> Vec<PolicyFacts> {
        let facts = self.blueprint.policies.iter().map(|plan| PolicyFacts {
            name: plan.name.as_ref().to_owned(),
            reasons: plan.reasons.iter().map(|reason| reason.as_ref().to_owned()).collect(),
            may_abstain: plan.may_abstain,
            budget: plan.budget.clone(),
            #[cfg(feature = "wasm")]
            module: match &plan.source {
                PolicySource::Component(bytes) => Module::inspect(bytes).ok(),
                PolicySource::Native { .. } => None,
            },
            sha256: match &plan.source {
                PolicySource::Component(bytes) => Some(Digest::of(bytes).to_string()),
                PolicySource::Native { .. } => None,
            },
            line: plan.place.as_ref().map_or(1, |place| place.line),
        });
        facts.collect()
    }

    /// The names of the documents that it declares.
    pub fn documents(&self) -> impl Iterator<Item = &str> {
        self.blueprint.documents.keys().map(AsRef::as_ref)
    }

    /// The names of the signals that it declares.
    pub fn signals(&self) -> impl Iterator<Item = &str> {
        self.blueprint.signals.iter().map(AsRef::as_ref)
    }

    /// Runs the cases named by the manifest.
    ///
    /// # Errors
    /// The errors of [`PolicyStore::test`](crate::policies::PolicyStore::test).
    pub fn run(&self) -> Result<Report, LoadError> {
        simulate(&self.set, self.cases(), usize::MAX)
    }

    /// Runs other cases.
    ///
    /// # Errors
    /// The errors of [`PolicyStore::test`](crate::policies::PolicyStore::test).
    pub fn simulate(&self, cases: &Cases) -> Result<Report, LoadError> {
        simulate(&self.set, std::slice::from_ref(cases), usize::MAX)
    }

    /// What a report shows about each policy.
    pub fn coverage(&self, report: &Report) -> Vec<Coverage> {
        self.policies().iter().map(|policy| Coverage::of(policy, report)).collect()
    }

    /// Measures a case by running it `times` times (1 to 1 000 000). `None` if there is no case of
    /// this name.
    ///
    /// # Errors
    /// The errors of [`PolicyStore::test`](crate::policies::PolicyStore::test).
    pub fn time(&self, cases: &Cases, name: &str, times: u32) -> Result<Option<Timing>, LoadError> {
        let case = cases.cases().iter().find(|case| *case.name == *name);
        case.map(|case| time(&self.set, cases, case, times)).transpose()
    }

    /// What is suspicious about the set, as far as its cases show. With a list of the service's
    /// routes, also which routes the cases leave uncovered.
    ///
    /// # Errors
    /// The errors of [`PolicyStore::test`](crate::policies::PolicyStore::test).
    pub fn lint(&self, routes: Option<&Routes>) -> Result<Vec<Finding>, LoadError> {
        lint(self, &self.set, routes)
    }
}

/// Only cases use a draft, and they bring their own signals.
struct Nobody;

impl SignalSource for Nobody {
    fn signal(&self, _name: &str, _about: &Caller) -> Result<Option<String>, SignalError> {
        Err(SignalError::new("a draft has no source of signals: set them in the case"))
    }
}

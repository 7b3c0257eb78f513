//! A set that is loaded to be looked at, and never put in force.

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

/// A policy set that is loaded to be tested: from a manifest, signed or not, whether it passes its
/// cases or not. It cannot be put in force, so nothing is loosened by it. (What can be is a
/// `trial::Candidate`, with the feature `trial`.)
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
    /// The reasons that it may give.
    pub reasons: Vec<String>,
    /// Whether it may have nothing to say.
    pub may_abstain: bool,
    /// What it may use.
    pub budget: Budget,
    /// What it is made of; none for a policy written natively.
    #[cfg(feature = "wasm")]
    pub module: Option<Module>,
    /// The SHA-256 digest of the module in hexadecimal digits, as a manifest pins it.
    pub sha256: Option<String>,
    /// The line of the manifest that names it.
    pub line: usize,
}

impl Draft {
    /// Reads, compiles and configures what a manifest names.
    ///
    /// # Errors
    /// [`LoadError`], as when it is loaded to be enforced, but for signatures and failing cases.
    pub fn load(manifest: impl Into<PathBuf>) -> Result<Self, LoadError> {
        let path = manifest.into();
        let mut folder = Folder::of(&path)?;
        // Nothing is enforced by it, so who vouches for it does not matter.
        let blueprint = manifest::read(&path, &mut folder, &Trust::nobody())?.blueprint;
        let set = blueprint.build(&*engine()?, Some(Arc::new(Nobody)))?;
        Ok(Self { path, blueprint, set })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Path {
        &self.path
    }

    /// The revision that it would be.
    pub fn revision(&self) -> Revision {
        *self.set.revision()
    }

    /// The cases that the manifest names.
    pub fn cases(&self) -> &[Cases] {
        &self.blueprint.cases
    }

    /// Its policies, in order.
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

    /// The documents that it declares, by name.
    pub fn documents(&self) -> impl Iterator<Item = &str> {
        self.blueprint.documents.keys().map(AsRef::as_ref)
    }

    /// The signals that it declares, by name.
    pub fn signals(&self) -> impl Iterator<Item = &str> {
        self.blueprint.signals.iter().map(AsRef::as_ref)
    }

    /// Runs the cases that the manifest names.
    ///
    /// # Errors
    /// As [`PolicyStore::test`](crate::policies::PolicyStore::test).
    pub fn run(&self) -> Result<Report, LoadError> {
        simulate(&self.set, self.cases(), usize::MAX)
    }

    /// Runs other cases.
    ///
    /// # Errors
    /// As [`PolicyStore::test`](crate::policies::PolicyStore::test).
    pub fn simulate(&self, cases: &Cases) -> Result<Report, LoadError> {
        simulate(&self.set, std::slice::from_ref(cases), usize::MAX)
    }

    /// What a report says about each policy.
    pub fn coverage(&self, report: &Report) -> Vec<Coverage> {
        self.policies().iter().map(|policy| Coverage::of(policy, report)).collect()
    }

    /// How long a case takes, asked so many times (1 to 1 000 000); none where there is no case of
    /// this name.
    ///
    /// # Errors
    /// As [`PolicyStore::test`](crate::policies::PolicyStore::test).
    pub fn time(&self, cases: &Cases, name: &str, times: u32) -> Result<Option<Timing>, LoadError> {
        let case = cases.cases().iter().find(|case| *case.name == *name);
        case.map(|case| time(&self.set, cases, case, times)).transpose()
    }

    /// What is odd about the set, as far as its cases show; with a list of the service's routes,
    /// what they leave uncovered.
    ///
    /// # Errors
    /// As [`PolicyStore::test`](crate::policies::PolicyStore::test).
    pub fn lint(&self, routes: Option<&Routes>) -> Result<Vec<Finding>, LoadError> {
        lint(self, &self.set, routes)
    }
}

/// A draft is asked only by cases, which bring their own signals.
struct Nobody;

impl SignalSource for Nobody {
    fn signal(&self, _name: &str, _about: &Caller) -> Result<Option<String>, SignalError> {
        Err(SignalError::new("nobody supplies signals on the desk"))
    }
}

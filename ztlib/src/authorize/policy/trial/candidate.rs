//! A candidate: a set that is loaded beside the one in force, to be tried and perhaps promoted.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::differences::Differences;
use super::promotion::{PromotionError, PromotionRule, put_in_force};
use super::recording::Recording;
use super::replay::replay;
use crate::authorize::documents::Documents;
use crate::authorize::policy::LoadError;
use crate::authorize::policy::blueprint::Blueprint;
use crate::authorize::policy::builder::PolicySetBuilder;
use crate::authorize::policy::loader::{FromManifest, Loaded, Loader, Origin, Source};
use crate::authorize::policy::reload::Policies;
use crate::authorize::policy::set::{PolicySet, Revision};
use crate::authorize::signals::SignalSource;

/// A policy set that is loaded, verified and tested as if it were to be enforced, and is not. It is tried by [`Policies::shadow`] and
/// [`replay`](Self::replay), and put in force by [`promote`](Self::promote) or by a [`PromotionRule`].
///
/// Its documents are those in force at any time, whatever it brings under their names: policies are tried, data is data, and data of another day could
/// give back what somebody has lost since. Only a document that the set in force does not have is the candidate's own, as it was when the candidate was loaded.
///
/// (What the desk looks at, signed or not, is a [`cases::Draft`](crate::authorize::policy::cases::Draft), which cannot be put in force.)
///
/// ```
/// use std::time::SystemTime;
/// use ztlib::authenticate::Principal;
/// use ztlib::authorize::policy::{NativePolicy, PolicySetBuilder};
/// use ztlib::authorize::{Answer, Decision, Fault, Labels, Outcome, Reader};
///
/// struct Says(Answer);
/// impl NativePolicy for Says {
///     fn decide(&self, _: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
///         Ok(self.0)
///     }
/// }
/// let policies = PolicySetBuilder::new().native("careful", Says(Answer::Deny)).load()?;
/// let allows = || {
///     let asked = policies.rehearse(Principal::anonymous(), "a", Labels::new(), SystemTime::UNIX_EPOCH);
///     matches!(asked.result(), Ok(Decision::Allow(_)))
/// };
/// let candidate = policies.candidate(PolicySetBuilder::new().native("hasty", Says(Answer::Allow)))?;
/// assert!(!allows(), "it is in force only once it is promoted");
/// candidate.promote()?;
/// assert!(allows());
/// assert_eq!(candidate.promote().unwrap_err().code(), "already-promoted");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Candidate {
    pub(super) inner: Arc<Inner>,
    pub(super) policies: Policies,
}

/// What does not keep the handle alive.
pub(super) struct Inner {
    pub(super) loaded: Loaded,
    /// Where it was made in code: what is loaded from then on, once it is promoted.
    pub(super) blueprint: Option<Blueprint>,
    pub(super) signal_source: Option<Arc<dyn SignalSource>>,
    promoted: AtomicBool,
}

impl Policies {
    /// Loads a candidate made in code. It compiles what is not compiled yet, runs its cases, and blocks meanwhile; requests do not wait.
    ///
    /// # Errors
    /// [`LoadError`]. It is told to whoever asked and stands in no [`status`](Policies::status): nothing that is in force has failed.
    pub fn candidate(&self, builder: PolicySetBuilder) -> Result<Candidate, LoadError> {
        let signal_source = builder.signal_source.clone();
        let blueprint = builder.finish()?;
        self.load_candidate(signal_source, |_| Ok(Origin::Code(Box::new(blueprint))))
    }

    /// Loads a candidate from a manifest: under the same keys, and not below the same version, as the manifest in force. The version is raised when it is promoted.
    ///
    /// # Errors
    /// [`LoadError`], as for [`candidate`](Self::candidate); `not-from-manifest` where the policies in force were made in code, and trust no keys.
    pub fn candidate_from_manifest(&self, path: impl Into<PathBuf>) -> Result<Candidate, LoadError> {
        let path = path.into();
        self.load_candidate(None, |loader| match &loader.origin {
            Origin::Manifest(from) => {
                Ok(Origin::Manifest(Box::new(FromManifest { path, ..from.as_ref().clone() })))
            }
            Origin::Code(_) => Err(LoadError::new(
                "not-from-manifest",
                "the policies in force were made in code and trust no keys: make the candidate in code, too",
            )),
        })
    }

    fn load_candidate(
        &self,
        signal_source: Option<Arc<dyn SignalSource>>,
        origin: impl FnOnce(&Loader) -> Result<Origin, LoadError>,
    ) -> Result<Candidate, LoadError> {
        // Loaded beside what is in force, so that a reload or a new document does not wait for it.
        let mut beside = {
            let loader = self.0.loader();
            let signal_source = signal_source.or_else(|| loader.signal_source.clone());
            loader.beside(Source { origin: origin(&loader)?, signal_source })
        };
        let current = self.current();
        let loaded = beside.load(&self.0.engine, Some(&current))?;
        let blueprint = match beside.origin {
            Origin::Code(blueprint) => Some(*blueprint),
            Origin::Manifest(_) => None,
        };
        let mut loader = self.0.loader();
        loader.candidates.retain(|set| set.strong_count() > 0);
        loader.candidates.push(Arc::downgrade(&loaded.set));
        drop(loader);
        let inner = Inner {
            loaded,
            blueprint,
            signal_source: beside.signal_source,
            promoted: AtomicBool::new(false),
        };
        Ok(Candidate { inner: Arc::new(inner), policies: self.clone() })
    }
}

impl Candidate {
    /// Its revision, as it was loaded.
    pub fn revision(&self) -> Revision {
        self.inner.revision()
    }

    /// What it would have decided on recorded questions: each as of its own time, with the signals that it was answered with, and the documents of today. It takes
    /// about as long as deciding them did, and touches nothing in force.
    pub fn replay(&self, recording: &Recording) -> Differences {
        let loader = self.policies.0.loader();
        let set = self.inner.set_now(&self.policies.current(), &loader);
        drop(loader);
        replay(&set, self.revision(), recording)
    }

    /// Puts it in force at once, by hand, whatever was found: as a whole, in the place of what is in force, to which [`Policies::rollback`] returns. It may
    /// be older than what came in force since it was loaded, unless a signed version forbids that.
    ///
    /// As after a rollback, files that are watched stay out of force until they describe other policies, or are signed under a version above the candidate's: put
    /// the candidate's in their place. A candidate
    /// made in code for policies made in code is what [`Policies::reload`] loads from now on; otherwise that loads what the files say.
    ///
    /// # Errors
    /// [`PromotionError`]: it was promoted before, or its signed version may not come in force any more.
    pub fn promote(&self) -> Result<Revision, PromotionError> {
        put_in_force(&self.policies.0, &self.inner, "hand", |_| Ok(()))
    }

    /// Puts it in force where a rule allows it after what was found: by a shadow of it or a replay, against the policies that are in force now.
    ///
    /// # Errors
    /// [`PromotionError`]; then nothing has changed.
    pub fn promote_if(&self, rule: &PromotionRule, found: &Differences) -> Result<Revision, PromotionError> {
        put_in_force(&self.policies.0, &self.inner, "rule", |current| self.inner.check(rule, found, current))
    }
}

impl Inner {
    pub(super) fn revision(&self) -> Revision {
        self.loaded.set.revision
    }

    /// Whether a rule lets it take the place of this set after what was found.
    pub(super) fn check(
        &self,
        rule: &PromotionRule,
        found: &Differences,
        current: &PolicySet,
    ) -> Result<(), PromotionError> {
        if found.candidate != self.revision() {
            return Err(PromotionError::OtherCandidate);
        }
        rule.check(found)?;
        if found.against != Some(current.root()) || found.against_others > 0 {
            return Err(PromotionError::StaleEvidence);
        }
        Ok(())
    }

    /// The set with the documents that it would have, were it in force.
    pub(super) fn set_now(&self, current: &PolicySet, loader: &Loader) -> Arc<PolicySet> {
        let mut documents = Documents::clone(&current.view.documents);
        documents
            .0
            .extend(loader.set_documents.iter().map(|(name, document)| (name.clone(), document.clone())));
        Arc::new(self.loaded.set.with_documents(&documents))
    }

    /// Whether it has not been promoted yet; from now on it has.
    pub(super) fn take(&self) -> bool {
        !self.promoted.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_promoted(&self) -> bool {
        self.promoted.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("revision", &self.revision())
            .field("promoted", &self.inner.is_promoted())
            .finish_non_exhaustive()
    }
}

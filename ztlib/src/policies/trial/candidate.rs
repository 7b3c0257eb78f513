//! A candidate: a set that is loaded beside the one in force, to be tried.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::differences::Differences;
use super::promotion::{PromotionError, PromotionRule};
use super::recording::Recording;
use super::replay::replay;
use crate::authorize::Documents;
use crate::authorize::SignalSource;
use crate::authorize::{PolicySet, Revision};
use crate::load_error::LoadError;
use crate::policies::PolicySetBuilder;
use crate::policies::PolicyStore;
use crate::policies::store::{Loaded, Loader, Origin, Source};

/// A policy set that is loaded, verified and tested like one to be enforced, but is not enforced.
/// Try it with [`PolicyStore::shadow`] or [`replay`](Self::replay). Then [`check`](Self::check)
/// tells whether the results are enough for a [`PromotionRule`].
///
/// A candidate never comes into force by itself: the process that tried it would differ from its
/// neighbours, and lose it at a restart. To promote it, replace the manifest's files with those of
/// the candidate (under a higher `version` if it is signed), or call [`PolicyStore::replace`] if
/// policies are made in code.
///
/// A candidate is always judged with the documents in force; those of its own manifest are ignored.
/// Policies are tried, and data is data: an older document could give back an access that someone
/// has lost since. Only a document that the set in force does not have is the candidate's own, as
/// it was when the candidate was loaded.
///
/// To inspect a set without a service, signed or not, use
/// [`cases::Draft`](crate::policies::cases::Draft).
///
/// ```
/// use std::time::Duration;
/// use ztlib::authenticate::Principal;
/// use ztlib::authorize::NativePolicy;
/// use ztlib::authorize::{Answer, Fault, Labels, Outcome, Reader};
/// use ztlib::enforce::Guard;
/// use ztlib::policies::PolicySetBuilder;
/// use ztlib::policies::trial::{PromotionRule, RecordingRules};
///
/// struct Says(Answer);
/// impl NativePolicy for Says {
///     fn decide(&self, _: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
///         Ok(self.0)
///     }
/// }
/// let policies = PolicySetBuilder::new().native("careful", Says(Answer::Deny)).load()?;
/// let guard = Guard::builder().allow_unauthenticated_peers().allow_requests_without_token();
/// let guard = guard.policies(policies.clone()).build();
/// let recorder = policies.record(RecordingRules::new())?;
/// assert!(guard.ask(&Principal::anonymous(), "read", Labels::new()).is_err());
///
/// let hasty = policies.candidate(PolicySetBuilder::new().native("hasty", Says(Answer::Allow)))?;
/// let found = hasty.replay(&recorder.recording());
/// let rule = PromotionRule::new(1, Duration::ZERO);
/// assert_eq!(hasty.check(&rule, &found).unwrap_err().code(), "would-change");
/// assert!(hasty.check(&rule.allow_loosening(), &found).is_ok());
/// assert!(
///     guard.ask(&Principal::anonymous(), "read", Labels::new()).is_err(),
///     "nothing has changed"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Candidate {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) policies: PolicyStore,
}

impl PolicyStore {
    /// Loads a candidate made in code. Compiles what is not compiled yet, runs its cases, and
    /// blocks until then; requests do not wait.
    ///
    /// # Errors
    /// [`LoadError`]. It does not appear in [`status`](PolicyStore::status), since nothing in force
    /// has failed.
    pub fn candidate(&self, builder: PolicySetBuilder) -> Result<Candidate, LoadError> {
        let signal_source = builder.signal_source.clone();
        let blueprint = builder.finish()?;
        self.load_candidate(signal_source, |_| Ok(Box::new(blueprint)))
    }

    /// Loads a candidate from a manifest, with the keys and the minimum version of the manifest in
    /// force. Trying it does not raise the version.
    ///
    /// # Errors
    /// The errors of [`candidate`](Self::candidate); `not-from-manifest` if the policies in force
    /// were made in code and so trust no keys.
    pub fn candidate_from_manifest(&self, path: impl Into<PathBuf>) -> Result<Candidate, LoadError> {
        let path = path.into();
        self.load_candidate(None, |loader| loader.origin.beside(path))
    }

    fn load_candidate(
        &self,
        signal_source: Option<Arc<dyn SignalSource>>,
        origin: impl FnOnce(&Loader) -> Result<Box<dyn Origin>, LoadError>,
    ) -> Result<Candidate, LoadError> {
        // Loaded by a second loader, so that a reload or a new document does not wait for it.
        let mut beside = {
            let loader = self.0.loader();
            let signal_source = signal_source.or_else(|| loader.signal_source.clone());
            loader.beside(Source { origin: origin(&loader)?, signal_source })
        };
        let loaded = beside.load(&*self.0.engine)?;
        Ok(Candidate { loaded: Arc::new(loaded), policies: self.clone() })
    }
}

impl Candidate {
    /// The candidate's revision when it was loaded.
    pub fn revision(&self) -> Revision {
        self.loaded.set.revision
    }

    /// Judges recorded questions: each at its own time, with the signals recorded for it, and with
    /// today's documents. It takes about as long as deciding them did, and does not touch the set
    /// in force.
    pub fn replay(&self, recording: &Recording) -> Differences {
        let loader = self.policies.0.loader();
        let set = set_now(&self.loaded, &self.policies.current(), &loader);
        drop(loader);
        replay(&set, self.revision(), recording)
    }

    /// Whether a rule allows the candidate to replace the set in force, given the results of a
    /// shadow or a replay.
    ///
    /// # Errors
    /// [`PromotionError`] if the results are about another candidate, are not enough, or were found
    /// against other policies.
    pub fn check(&self, rule: &PromotionRule, found: &Differences) -> Result<(), PromotionError> {
        if found.candidate != self.revision() {
            return Err(PromotionError::OtherCandidate);
        }
        rule.check(found)?;
        if found.against != Some(self.policies.in_force().root()) || found.against_others > 0 {
            return Err(PromotionError::StaleEvidence);
        }
        Ok(())
    }
}

/// The candidate's set, with the documents that it would have if it were in force.
pub(crate) fn set_now(candidate: &Loaded, current: &PolicySet, loader: &Loader) -> Arc<PolicySet> {
    let mut documents = Documents::clone(&current.view.documents);
    documents.0.extend(loader.set_documents.iter().map(|(name, document)| (name.clone(), document.clone())));
    Arc::new(candidate.set.with_documents(&documents))
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

//! The handle to the set in force. Another set replaces it as a whole or not at all.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use serde::Serialize;

use super::builder::{PolicySetBuilder, json};
use super::in_force::{By, Change, Shared, milliseconds};
use super::loader::{Loaded, Loader, Source};
#[cfg(feature = "manifest")]
use super::manifest_loader::ManifestOptions;
use super::origin::Origin;
use super::status::{self, Status, count};
#[cfg(feature = "manifest")]
use super::watch::Watch;
use crate::authorize::Caller;
use crate::authorize::Fault;
use crate::authorize::SignalSource;
use crate::authorize::{Asked, Labels, Question};
use crate::authorize::{Evaluation, PolicySet, Revision};
use crate::authorize::{Observers, Seen};
use crate::clock::SharedClock;
use crate::load_error::LoadError;
#[cfg(feature = "manifest")]
use crate::policies::cases;
#[cfg(feature = "manifest")]
use crate::policies::cases::{Cases, Report};
use crate::policies::files::engine;

/// The range of `max_policy_age`. Watching confirms twice a second, so a shorter age would refuse
/// in between; a longer one would limit nothing.
const POLICY_AGES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3650 * 24 * 3600);

/// A handle to the policy set in force. Clones are handles to the same set.
///
/// A request takes the set once and is judged by it to the end. After [`reload`](Self::reload) has
/// returned, new requests are judged by the new revision. A candidate that does not load changes
/// nothing: the last good revision stays in force, and [`status`](Self::status) says why the newest
/// one is not.
#[derive(Clone)]
pub struct PolicyStore(pub(crate) Arc<Shared>);

/// The initial state of a handle.
pub(crate) struct Start {
    pub(crate) origin: Box<dyn Origin>,
    pub(crate) signal_source: Option<Arc<dyn SignalSource>>,
    pub(crate) clock: SharedClock,
    pub(crate) max_age: Option<Duration>,
}

impl PolicyStore {
    /// Begins loading a set from a manifest.
    ///
    /// ```no_run
    /// use ztlib::policies::PolicyStore;
    ///
    /// let key = std::fs::read("/etc/shop/policy-signer.pub")?;
    /// let policies = PolicyStore::from_manifest("/etc/shop/policies.toml")
    ///     .trust_key(key)
    ///     .service("shop")
    ///     .load()?;
    /// policies.watch()?; // from now on, changed files are in force within a second
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "manifest")]
    pub fn from_manifest(path: impl Into<PathBuf>) -> ManifestOptions {
        ManifestOptions::new(path.into())
    }

    pub(crate) fn load(start: Start) -> Result<Self, LoadError> {
        if let Some(age) = start.max_age.filter(|age| !POLICY_AGES.contains(age)) {
            return Err(LoadError::new(
                "policy-age-out-of-range",
                format!("`max_policy_age` is {age:?}: use a value from a second to 3650 days"),
            ));
        }
        let engine = engine()?;
        let mut loader = Loader::new(start.origin, start.signal_source);
        let Loaded { set, provenance } = loader.load(&*engine)?;
        loader.raise_version(&provenance)?;
        loader.last_manifest = provenance.manifest();
        (loader.last_loaded, loader.provenance) = (Some(set.root()), provenance);
        let now = start.clock.now();
        let mut status = Status {
            revision: set.revision,
            since: now,
            confirmed: now,
            version: None,
            signer: None,
            highest_version: None,
            unsigned_documents: Vec::new(),
            loads: 1,
            failures: 0,
            last_error: None,
            rolled_back_from: None,
            kept: Vec::new(),
            engine: engine.describe().into(),
        };
        loader.describe(&mut status);
        count("loaded", "");
        status::in_force_since(now);
        status::revision(status.revision, None);
        status::confirmed(now);
        status::version(status.version);
        tracing::info!(
            revision = %status.revision, version = ?status.version, signer = ?status.signer, engine = %status.engine,
            "a policy set is in force"
        );
        Ok(Self(Arc::new(Shared {
            current: ArcSwap::new(set),
            loading: Mutex::new(()),
            loader: Mutex::new(loader),
            status: Mutex::new(status),
            changed: Condvar::new(),
            #[cfg(feature = "manifest")]
            watch: Mutex::new(None),
            engine,
            clock: start.clock,
            max_age: start.max_age,
            observers: Observers::default(),
            confirmed: AtomicU64::new(milliseconds(now)),
        })))
    }

    /// Loads the set again from its source and puts it in force. Modules that have not changed are
    /// not compiled again. This ends a rollback: the loaded set is in force even if it was rolled
    /// back from.
    ///
    /// Blocks while compiling (milliseconds to seconds), so call it where blocking is allowed.
    ///
    /// # Errors
    /// [`LoadError`]; the current set stays in force.
    pub fn reload(&self) -> Result<Revision, LoadError> {
        self.0.reload(By::Program)
    }

    /// Returns to the previous policies: the newest set with other policies that this process still
    /// keeps (it keeps three). Documents stay as they are now, because an older document could give
    /// back an access that someone has lost since.
    ///
    /// It does not wait for a load in progress. When that ends, its policies come into force unless
    /// they are those that were rolled back from. A rollback lasts until the files describe other
    /// policies, or [`reload`](Self::reload) or [`replace`](Self::replace) is called; until then,
    /// changed documents still take effect. It does not survive the process: also put the older
    /// manifest back (signed under a higher version, if it is signed).
    ///
    /// ```
    /// use ztlib::authorize::NativePolicy;
    /// use ztlib::policies::{PolicyStore, PolicySetBuilder};
    /// use ztlib::authorize::{Answer, Fault, Outcome, Reader};
    ///
    /// struct Says(Answer);
    /// impl NativePolicy for Says {
    ///     fn decide(&self, _: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
    ///         Ok(self.0)
    ///     }
    /// }
    ///
    /// let policies = PolicySetBuilder::new().native("careful", Says(Answer::Deny)).load()?;
    /// let first = policies.status().revision;
    /// policies.replace(PolicySetBuilder::new().native("hasty", Says(Answer::Allow)))?;
    /// assert_eq!(policies.rollback()?, first);
    /// assert_eq!(policies.rollback().unwrap_err().code(), "nothing-kept");
    /// # Ok::<(), ztlib::policies::LoadError>(())
    /// ```
    ///
    /// # Errors
    /// `nothing-kept` if no set with other policies was in force before, or none is kept;
    /// `stale-document` if the previous policies need a document that the current ones do not have:
    /// it may have changed since, and nobody has followed it.
    pub fn rollback(&self) -> Result<Revision, LoadError> {
        let mut loader = self.0.loader();
        let current = self.0.current.load_full();
        let known = |name: &str| {
            current.view.documents.0.contains_key(name) || loader.set_documents.contains_key(name)
        };
        if let Some(kept) = loader.kept.back()
            && let Some(name) = kept.set.view.documents.0.keys().find(|name| !known(name))
        {
            return Err(LoadError::new(
                "stale-document",
                format!(
                    "the previous policies need the document `{}`, whose changes were not followed since: put the older manifest back (if it is signed, sign it again under a higher `version`) and reload",
                    ztlib_contract::escaped(name)
                ),
            ));
        }
        let Some(kept) = loader.kept.pop_back() else {
            return Err(LoadError::new(
                "nothing-kept",
                "no earlier policies are kept: put the older manifest back (if it is signed, sign it again under a higher `version`) and reload",
            ));
        };
        let documents = &current.view.documents;
        let set = Arc::new(kept.set.with_documents(documents));
        let set = loader.with_set_documents(set);
        loader.held = loader.last_loaded;
        loader.leave();
        loader.provenance = kept.provenance.with_documents(&kept.set, &loader.provenance, documents);
        count("rolled-back", "");
        tracing::warn!(revision = %set.revision, from = %current.revision, "the policies were rolled back");
        Ok(self.0.install(set, &loader, Change::RolledBack { from: current.revision }))
    }

    /// Puts a set made in code in force, which is also the source of later reloads. Documents that
    /// were set stay set.
    ///
    /// # Errors
    /// [`LoadError`]; the current set stays in force.
    pub fn replace(&self, builder: PolicySetBuilder) -> Result<Revision, LoadError> {
        let signal_source = builder.signal_source.clone().or_else(|| self.0.loader().signal_source.clone());
        let blueprint = builder.finish().map_err(|error| self.0.refuse(error))?;
        let source = Source { origin: Box::new(blueprint), signal_source };
        self.0.put_in_force(Some(source), By::Program)
    }

    /// Replaces the content of a declared document, also across reloads: the program's value is
    /// newer than the file's. Nothing is compiled. Requests in progress keep the content that they
    /// began with.
    ///
    /// # Errors
    /// `undeclared-document` if the set has no document of this name, `not-json` if the value
    /// cannot be written as JSON.
    pub fn set_document(&self, name: &str, document: impl Serialize) -> Result<Revision, LoadError> {
        let document = Arc::new(json(&document)?);
        let mut loader = self.0.loader();
        if !self.0.current.load().view.documents.0.contains_key(name) {
            return Err(LoadError::new(
                "undeclared-document",
                format!(
                    "the set declares no document `{}`: declare it in the manifest or with `document(…)`",
                    ztlib_contract::escaped(name)
                ),
            ));
        }
        let set = self.0.current.load().with_document(name, document.clone());
        loader.set_documents.insert(name.into(), document);
        Ok(self.0.install(Arc::new(set), &loader, Change::Document))
    }

    /// Reloads whenever the manifest or a file that it names is changed, replaced by a rename, or
    /// reached through a symbolic link that changes: within a second, once the files have been
    /// unchanged for a moment. A thread does this until the last handle is dropped. Calling it
    /// again changes nothing.
    ///
    /// # Errors
    /// `not-watchable` if the set does not come from a manifest or no thread can be started.
    #[cfg(feature = "manifest")]
    pub fn watch(&self) -> Result<(), LoadError> {
        if !self.0.loader().origin.can_change() {
            return Err(LoadError::new(
                "not-watchable",
                "the set was made in code and has no files to watch: call `replace` to change it",
            ));
        }
        let mut watch = self.0.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.is_none() {
            *watch = Some(Watch::start(Arc::downgrade(&self.0))?);
        }
        Ok(())
    }

    /// Blocks until `wanted` returns true for the status, at most for `timeout`. Returns whether it
    /// did. `wanted` must not call this handle. A timeout of zero checks once; `Duration::MAX`
    /// waits forever.
    pub fn wait_until(&self, timeout: Duration, mut wanted: impl FnMut(&Status) -> bool) -> bool {
        let status = self.0.status();
        let waited = self.0.changed.wait_timeout_while(status, timeout, |status| !wanted(status));
        let (status, _) = waited.unwrap_or_else(PoisonError::into_inner);
        wanted(&status)
    }

    /// Which set is in force, since when, and why the newest candidate is not.
    pub fn status(&self) -> Status {
        self.0.status().clone()
    }

    /// Asks the set in force a question of the application's own, without a guard: nothing is
    /// enforced, counted or audited. For tests of policies and for tools; a service asks its guard.
    pub fn simulate(
        &self,
        caller: impl Into<Caller>,
        action: &str,
        labels: Labels,
        now: SystemTime,
    ) -> Evaluation {
        self.current().evaluate(Box::new(Question::new(
            caller.into(),
            Asked::Action(action.into()),
            labels,
            now,
        )))
    }

    /// Runs cases against the set in force. Nothing is enforced, counted or audited.
    ///
    /// ```
    /// use std::path::Path;
    /// use ztlib::authorize::NativePolicy;
    /// use ztlib::authorize::{Answer, Fault, Outcome, Read, Reader, Value};
    /// use ztlib::policies::PolicySetBuilder;
    /// use ztlib::policies::cases::Cases;
    ///
    /// struct Clerks;
    /// impl NativePolicy for Clerks {
    ///     fn decide(
    ///         &self,
    ///         question: &mut Reader,
    ///         outcome: &mut Outcome,
    ///     ) -> Result<Answer, Fault> {
    ///         if question.read(Read::ClaimContains("/roles".into(), "clerk".into()))?
    ///             == Value::Bool(true)
    ///         {
    ///             return Ok(Answer::Allow);
    ///         }
    ///         outcome.reason("no-role")?;
    ///         Ok(Answer::Deny)
    ///     }
    /// }
    ///
    /// let policies =
    ///     PolicySetBuilder::new().native("clerks", Clerks).reasons(["no-role"]).load()?;
    /// let text = r#"
    /// format = 1
    /// [[case]]
    /// name = "a clerk may"
    /// path = "/orders"
    /// claims = { roles = ["clerk"] }
    /// expect = "allow"
    /// reads = ['claim-contains("/roles", "clerk")=yes']
    /// [[case]]
    /// name = "a guest may"
    /// path = "/orders"
    /// claims = { roles = ["guest"] }
    /// expect = "allow"
    /// "#;
    /// let report = policies.test(&Cases::parse(Path::new("t.toml"), text)?)?;
    /// let failures: Vec<String> =
    ///     report.failures().map(|difference| difference.to_string()).collect();
    /// assert_eq!(
    ///     failures,
    ///     ["t.toml:13: case `a guest may`: expected allow, got deny `no-role` by `clerks`"]
    /// );
    /// # Ok::<(), ztlib::policies::LoadError>(())
    /// ```
    ///
    /// # Errors
    /// [`LoadError`] if a case names a policy, a document or a signal that the set does not have.
    #[cfg(feature = "manifest")]
    pub fn test(&self, cases: &Cases) -> Result<Report, LoadError> {
        cases::simulate(&self.current(), std::slice::from_ref(cases), usize::MAX)
    }

    /// The fault of every question, if the set in force was last confirmed too long ago.
    pub(crate) fn too_old(&self, now: SystemTime) -> Option<Fault> {
        let most = self.0.max_age?;
        let confirmed = self.0.confirmed.load(Ordering::Relaxed);
        let age = Duration::from_millis(milliseconds(now).saturating_sub(confirmed));
        (age > most).then(|| {
            Fault::new(
                "policy-too-old",
                format!(
                    "the policies were last confirmed {} s ago, which is more than the {} s allowed: find out why the newest did not load",
                    age.as_secs(),
                    most.as_secs()
                ),
            )
        })
    }

    /// Whether any observer is registered.
    pub(crate) fn is_looked_on(&self) -> bool {
        self.0.observers.is_anybody()
    }

    /// Shows a decided question to the observers. They cannot change it.
    pub(crate) fn show(&self, seen: &Seen<'_>) {
        self.0.observers.show(seen);
    }

    /// The set in force. Taken once per request, without touching a counter that all threads share.
    pub(crate) fn in_force(&self) -> arc_swap::Guard<Arc<PolicySet>> {
        self.0.current.load()
    }

    /// The set in force, to keep.
    pub(crate) fn current(&self) -> Arc<PolicySet> {
        self.0.current.load_full()
    }
}

impl PolicySetBuilder {
    /// Compiles, links, starts and configures all policies. Blocks for milliseconds to seconds.
    ///
    /// # Errors
    /// [`LoadError`], which names the policy and says what to do.
    pub fn load(self) -> Result<PolicyStore, LoadError> {
        let (signal_source, clock, max_age) = (self.signal_source.clone(), self.clock.clone(), self.max_age);
        let origin = Box::new(self.finish()?);
        PolicyStore::load(Start { origin, signal_source, clock, max_age })
    }
}

#[cfg(feature = "manifest")]
impl ManifestOptions {
    /// Reads, checks, compiles and configures. Blocks for milliseconds to seconds.
    ///
    /// # Errors
    /// [`LoadError`], which names the file and the line and says what to do; `unsigned-set` if the
    /// set is not signed and that is not allowed.
    pub fn load(self) -> Result<PolicyStore, LoadError> {
        let (signal_source, clock, max_age) = (self.signal_source.clone(), self.clock.clone(), self.max_age);
        let origin = Box::new(self.finish()?);
        PolicyStore::load(Start { origin, signal_source, clock, max_age })
    }
}

impl fmt::Debug for PolicyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyStore").field("status", &*self.0.status()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watching_does_not_keep_a_set_alive() {
        let folder = std::env::temp_dir().join(format!("ztlib-watch-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let bytes = include_bytes!("../../../../plugins/artifacts/allow-all.wasm");
        std::fs::write(folder.join("p.wasm"), bytes).unwrap();
        let digest = crate::digest::Digest::of(bytes);
        let manifest =
            format!("format = 1\n[[policy]]\nname = 'p'\nmodule = 'p.wasm'\nsha256 = '{digest}'\n");
        std::fs::write(folder.join("policies.toml"), manifest).unwrap();
        let policies =
            PolicyStore::from_manifest(folder.join("policies.toml")).allow_unsigned().load().unwrap();
        policies.watch().unwrap();
        let (shared, clone) = (Arc::downgrade(&policies.0), policies.clone());
        drop(policies);
        assert!(shared.upgrade().is_some());
        drop(clone);
        // The thread may be checking the files right now. It lets go afterwards.
        while shared.upgrade().is_some() {
            std::thread::yield_now();
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

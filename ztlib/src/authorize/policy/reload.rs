//! The handle on the set that is in force, and how another one takes its place: whole or not at all.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use serde::Serialize;
use serde_json::Value as Json;

use super::blueprint::Blueprint;
use super::builder::{PolicySetBuilder, json};
use super::folder::{Folder, LookedFor, Stamp};
use super::manifest_loader::ManifestLoader;
use super::set::{Evaluation, PolicySet, Revision};
use super::status::{Status, count, in_force_since};
use super::wasm::Engine;
use super::watch::Watch;
use super::{LoadError, cases, manifest};
use crate::authenticate::Principal;
use crate::authorize::question::{Asked, Labels, Question};
use crate::authorize::signals::SignalSource;
use crate::clock::SharedClock;

/// The policy set that is in force. Clones are handles on the same one.
///
/// A request takes the set once and is judged by it to the end; after [`reload`](Self::reload) has returned, requests that arrive are
/// judged by the new revision. A candidate that does not load changes nothing: the last good revision stays in force, and
/// [`status`](Self::status) says why the newest one is not.
#[derive(Clone)]
pub struct Policies(Arc<Shared>);

pub(super) struct Shared {
    current: ArcSwap<PolicySet>,
    /// One load at a time.
    loader: Mutex<Loader>,
    status: Mutex<Status>,
    /// Signalled after every change of the status.
    changed: Condvar,
    watch: Mutex<Option<Watch>>,
    engine: Arc<Engine>,
    clock: SharedClock,
}

struct Loader {
    origin: Origin,
    /// Documents that the program has set: they outlast reloads, since the program's word is newer than the file's.
    set_documents: BTreeMap<Box<str>, Arc<Json>>,
    signal_source: Option<Arc<dyn SignalSource>>,
    /// The files that the last load looked for.
    looked_for: LookedFor,
}

/// Where a set comes from, again and again.
pub(super) enum Origin {
    Code(Box<Blueprint>),
    Manifest(PathBuf),
}

impl Policies {
    /// Begins loading a set from a manifest.
    ///
    /// ```no_run
    /// use ztlib::authorize::policy::Policies;
    ///
    /// let policies = Policies::from_manifest("/etc/shop/policies.toml").allow_unsigned().load()?;
    /// policies.watch()?; // from now on a change of the files is in force within a second
    /// # Ok::<(), ztlib::authorize::policy::LoadError>(())
    /// ```
    pub fn from_manifest(path: impl Into<PathBuf>) -> ManifestLoader {
        ManifestLoader::new(path.into())
    }

    pub(super) fn load(
        origin: Origin,
        signal_source: Option<Arc<dyn SignalSource>>,
        clock: SharedClock,
    ) -> Result<Self, LoadError> {
        let engine = Engine::shared()?;
        let mut loader =
            Loader { origin, set_documents: BTreeMap::new(), signal_source, looked_for: LookedFor::new() };
        let set = loader.load(&engine, None)?;
        let status = Status {
            revision: set.revision,
            since: clock.now(),
            loads: 1,
            failures: 0,
            last_error: None,
            allocator: engine.allocator(),
        };
        count("loaded");
        in_force_since(status.since);
        tracing::info!(revision = %status.revision, allocator = %status.allocator, "a policy set is in force");
        Ok(Self(Arc::new(Shared {
            current: ArcSwap::from_pointee(set),
            loader: Mutex::new(loader),
            status: Mutex::new(status),
            changed: Condvar::new(),
            watch: Mutex::new(None),
            engine,
            clock,
        })))
    }

    /// Loads the set again from where it came from and puts it in force. Modules that have not changed are not compiled again.
    ///
    /// It blocks for as long as compiling takes (milliseconds to seconds): call it where blocking is allowed.
    ///
    /// # Errors
    /// [`LoadError`]; what was in force stays in force.
    pub fn reload(&self) -> Result<Revision, LoadError> {
        self.0.reload()
    }

    /// Puts another set in force, made in code, and reloads from that from now on. Documents that were set stay set.
    ///
    /// # Errors
    /// [`LoadError`]; what was in force stays in force.
    pub fn replace(&self, builder: PolicySetBuilder) -> Result<Revision, LoadError> {
        let mut loader = self.0.loader();
        let signal_source = builder.signal_source.clone().or_else(|| loader.signal_source.clone());
        let candidate = builder.finish().map(|blueprint| Loader {
            origin: Origin::Code(Box::new(blueprint)),
            set_documents: loader.set_documents.clone(),
            signal_source,
            looked_for: LookedFor::new(),
        });
        let mut candidate = candidate.map_err(|error| self.0.refuse(error))?;
        let revision = self.0.put_in_force(&mut candidate)?;
        *loader = candidate;
        Ok(revision)
    }

    /// Gives a declared document new contents, from now on and across reloads: the program's word is newer than the file's. Nothing
    /// is compiled. Requests that are being judged keep what they began with.
    ///
    /// # Errors
    /// `undeclared-document` where the set has no document of this name, `not-json` where the value cannot be written as JSON.
    pub fn set_document(&self, name: &str, document: impl Serialize) -> Result<Revision, LoadError> {
        let document = Arc::new(json(&document)?);
        let mut loader = self.0.loader();
        if !self.0.current.load().view.documents.0.contains_key(name) {
            return Err(LoadError::new(
                "undeclared-document",
                format!(
                    "the set declares no document `{}`: declare it in the manifest or with `document(…)`",
                    super::error::shown(name)
                ),
            ));
        }
        let set = self.0.current.load().with_document(name, document.clone());
        loader.set_documents.insert(name.into(), document);
        Ok(self.0.install(set, false))
    }

    /// Reloads whenever the manifest or a file that it names changes, is replaced by a rename, or is reached through a symbolic
    /// link that changes: within a second, after the files have been left alone for a moment. A thread of its own does so until the last
    /// handle is dropped. Calling it again changes nothing.
    ///
    /// # Errors
    /// `not-watchable` where the set does not come from a manifest or no thread can be had.
    pub fn watch(&self) -> Result<(), LoadError> {
        if !matches!(self.0.loader().origin, Origin::Manifest(_)) {
            return Err(LoadError::new(
                "not-watchable",
                "the set was made in code: there is no file to watch",
            ));
        }
        let mut watch = self.0.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.is_none() {
            *watch = Some(Watch::start(Arc::downgrade(&self.0))?);
        }
        Ok(())
    }

    /// Blocks until the status is as wanted, or for at most `timeout`; says whether it is. `wanted` must not call this handle.
    pub fn wait_until(&self, timeout: Duration, mut wanted: impl FnMut(&Status) -> bool) -> bool {
        let status = self.0.status();
        let waited = self.0.changed.wait_timeout_while(status, timeout, |status| !wanted(status));
        let (status, _) = waited.unwrap_or_else(PoisonError::into_inner);
        wanted(&status)
    }

    /// What is in force, since when, and why nothing newer is.
    pub fn status(&self) -> Status {
        self.0.status().clone()
    }

    /// Asks the set that is in force a question of the application's own, without a guard: nothing is enforced, counted or
    /// audited. For tests of policies and for tools; a service asks its guard.
    pub fn rehearse(
        &self,
        principal: Principal,
        action: &str,
        labels: Labels,
        now: SystemTime,
    ) -> Evaluation {
        self.current().evaluate(Box::new(Question::new(principal, Asked::Action(action.into()), labels, now)))
    }

    /// The set that is in force: taken once a request, without touching a count that all threads share.
    pub(crate) fn in_force(&self) -> arc_swap::Guard<Arc<PolicySet>> {
        self.0.current.load()
    }

    /// The set that is in force, to keep.
    pub(crate) fn current(&self) -> Arc<PolicySet> {
        self.0.current.load_full()
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies").field("status", &*self.0.status()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Whether a file that the last load looked for is another one now.
    pub(super) fn has_changed(&self) -> bool {
        self.loader().looked_for.iter().any(|(path, stamp)| Stamp::of(path) != *stamp)
    }

    /// The files that the last load looked for, as they are now.
    pub(super) fn files(&self) -> LookedFor {
        let now = |path: &PathBuf| (path.clone(), Stamp::of(path));
        self.loader().looked_for.iter().map(|(path, _)| now(path)).collect()
    }

    pub(super) fn reload(&self) -> Result<Revision, LoadError> {
        self.put_in_force(&mut self.loader())
    }

    fn put_in_force(&self, loader: &mut Loader) -> Result<Revision, LoadError> {
        let current = self.current.load_full();
        let set = loader.load(&self.engine, Some(&current)).map_err(|error| self.refuse(error))?;
        Ok(self.install(set, true))
    }

    /// The one place where a revision changes. All of the status changes at once: whoever waits for a revision sees no
    /// error of an earlier candidate beside it. A new document is no load, and heals no bad candidate.
    fn install(&self, set: PolicySet, loaded: bool) -> Revision {
        let revision = set.revision;
        self.current.store(Arc::new(set));
        let mut status = self.status();
        if status.revision != revision {
            tracing::info!(%revision, previous = %status.revision, "a policy set is in force");
            status.revision = revision;
            status.since = self.clock.now();
            in_force_since(status.since);
        }
        if loaded {
            status.loads = status.loads.saturating_add(1);
            status.last_error = None;
            count("loaded");
        }
        self.changed.notify_all();
        revision
    }

    fn refuse(&self, error: LoadError) -> LoadError {
        let mut status = self.status();
        tracing::error!(code = error.code(), %error, in_force = %status.revision, "a policy set was refused; the last good one stays in force");
        status.failures = status.failures.saturating_add(1);
        status.last_error = Some((error.clone(), self.clock.now()));
        count("refused");
        self.changed.notify_all();
        error
    }

    fn loader(&self) -> MutexGuard<'_, Loader> {
        self.loader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loader {
    fn load(&mut self, engine: &Arc<Engine>, current: Option<&PolicySet>) -> Result<PolicySet, LoadError> {
        let mut blueprint = match &self.origin {
            Origin::Code(blueprint) => blueprint.as_ref().clone(),
            Origin::Manifest(path) => {
                let mut folder = Folder::of(path)?;
                let blueprint = manifest::read(path, &mut folder);
                self.looked_for = folder.into_looked_for();
                blueprint?
            }
        };
        for (name, document) in &mut blueprint.documents {
            if let Some(set) = self.set_documents.get(name) {
                *document = set.clone();
            }
        }
        let known = current.map(PolicySet::compiled).unwrap_or_default();
        let set = blueprint.build(engine, &known, self.signal_source.clone())?;
        cases::gate(&set, &blueprint.cases)?;
        Ok(set)
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
        let digest = crate::authorize::policy::digest::Digest::of(bytes);
        let manifest =
            format!("format = 1\n[[policy]]\nname = 'p'\nmodule = 'p.wasm'\nsha256 = '{digest}'\n");
        std::fs::write(folder.join("policies.toml"), manifest).unwrap();
        let policies = Policies::from_manifest(folder.join("policies.toml")).allow_unsigned().load().unwrap();
        policies.watch().unwrap();
        let (shared, clone) = (Arc::downgrade(&policies.0), policies.clone());
        drop(policies);
        assert!(shared.upgrade().is_some());
        drop(clone);
        // The thread may be looking at the files just now; it lets go when it has looked.
        while shared.upgrade().is_some() {
            std::thread::yield_now();
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

//! The set in force, shared by all handles, and the one place that replaces it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use super::loader::{Loaded, Loader, Source};
use super::status::{self, Status, count};
#[cfg(feature = "manifest")]
use super::watch::Watch;
use crate::authorize::Observers;
use crate::authorize::{PolicySet, Revision};
use crate::clock::{SharedClock, Stopwatch};
use crate::load_error::LoadError;
use crate::policies::files::{LookedFor, Stamp};
use ztlib_contract::engine::Engine;

/// The state that all handles to the same policies share.
pub(crate) struct Shared {
    pub(crate) current: ArcSwap<PolicySet>,
    /// Held by the loading thread while a set is loaded.
    pub(crate) loading: Mutex<()>,
    /// Held briefly by a thread that changes the set in force. Never taken before `loading`.
    pub(crate) loader: Mutex<Loader>,
    pub(crate) status: Mutex<Status>,
    /// Signalled after every change of the status.
    pub(crate) changed: Condvar,
    #[cfg(feature = "manifest")]
    pub(crate) watch: Mutex<Option<Watch>>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) clock: SharedClock,
    pub(crate) max_age: Option<Duration>,
    pub(crate) observers: Observers,
    /// When the set in force was last confirmed to match its source, in milliseconds since 1970.
    pub(crate) confirmed: AtomicU64,
}

/// What caused a reload.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Program,
    Watch,
}

impl Shared {
    /// Whether a file that the last load looked up has changed.
    pub(crate) fn has_changed(&self) -> bool {
        self.looked_for().iter().any(|(path, stamp)| Stamp::of(path) != *stamp)
    }

    /// The files that the last load looked up, in their current state.
    pub(crate) fn files(&self) -> LookedFor {
        let now = |path: &PathBuf| (path.clone(), Stamp::of(path));
        self.looked_for().iter().map(|(path, _)| now(path)).collect()
    }

    /// Copied, so that a slow folder does not block others that wait for the loader.
    fn looked_for(&self) -> LookedFor {
        self.loader().looked_for.clone()
    }

    /// The source was checked, and still has the set in force. If the newest candidate was refused,
    /// that does not count.
    pub(crate) fn confirm(&self) {
        let mut status = self.status();
        if status.last_error.is_some() {
            return;
        }
        self.confirmed_now(&mut status);
        self.changed.notify_all();
        let at = status.confirmed;
        drop(status);
        status::confirmed(at);
    }

    /// Whether the newest candidate was refused for a reason that may have passed.
    pub(crate) fn may_try_again(&self) -> bool {
        self.status().last_error.as_ref().is_some_and(|(error, _)| error.may_pass())
    }

    fn confirmed_now(&self, status: &mut Status) {
        status.confirmed = self.clock.now();
        self.confirmed.store(milliseconds(status.confirmed), Ordering::Relaxed);
    }

    pub(crate) fn reload(&self, by: By) -> Result<Revision, LoadError> {
        self.put_in_force(None, by)
    }

    /// Loads a set from its source, or from another source from now on, and puts it in force. One
    /// load runs at a time. It may take seconds, and neither new documents nor rollbacks wait for
    /// it.
    pub(crate) fn put_in_force(&self, instead: Option<Source>, by: By) -> Result<Revision, LoadError> {
        let watch = Stopwatch::start();
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let is_instead = instead.is_some();
        let (mut beside, departures) = {
            let loader = self.loader();
            (loader.beside(instead.unwrap_or_else(|| loader.source())), loader.departures)
        };
        let load = AssertUnwindSafe(|| beside.load(&*self.engine));
        // Catch a panic of the compiler, so that the watcher thread survives a bad module.
        let loaded = catch_unwind(load).unwrap_or_else(|_| {
            Err(LoadError::new("panicked", "loading the set panicked: please report it"))
        });
        let mut loader = self.loader();
        if !is_instead {
            // Even after a failure: a missing file may appear.
            loader.looked_for = std::mem::take(&mut beside.looked_for);
        }
        let Loaded { set, provenance } = loaded.map_err(|error| self.refuse(error))?;
        loader.passed = beside.passed.take();
        if is_instead {
            (loader.origin, loader.signal_source) = (beside.origin, beside.signal_source);
            loader.looked_for = beside.looked_for;
        }
        // The program may have set documents in the meantime.
        let set = loader.with_set_documents(set);
        let (current, root) = (self.current.load_full(), set.root());
        let was_left_meanwhile = !is_instead && loader.departures != departures;
        let is_held = loader.held == Some(root) && (by == By::Watch || was_left_meanwhile);
        if is_held {
            // These policies were rolled back from. Their documents are still data, and may
            // withdraw an access.
            loader.note_documents(&provenance).map_err(|error| self.refuse(error))?;
            let documents = &set.view.documents;
            let own = std::mem::take(&mut loader.provenance);
            loader.provenance = own.with_documents(&current, &provenance, documents);
            let set = Arc::new(current.with_documents(documents));
            return Ok(self.install(set, &loader, Change::Loaded));
        }
        // Another version may have come into force in the meantime.
        let version = loader.check_version(&provenance).and_then(|()| loader.raise_version(&provenance));
        version.map_err(|error| self.refuse(error))?;
        let before = Loaded { set: current, provenance: std::mem::take(&mut loader.provenance) };
        loader.keep(before, root);
        loader.last_manifest = provenance.manifest();
        (loader.held, loader.last_loaded, loader.provenance) = (None, Some(root), provenance);
        let revision = self.install(set, &loader, Change::Loaded);
        tracing::debug!(%revision, took = ?watch.elapsed(), "loaded");
        Ok(revision)
    }

    /// The one place where the revision changes. The whole status changes at once, so a waiter
    /// never sees a new revision with the error of an earlier candidate. New documents and
    /// rollbacks are not loads, and do not clear the error of a bad candidate.
    pub(crate) fn install(&self, set: Arc<PolicySet>, loader: &Loader, change: Change) -> Revision {
        let revision = set.revision;
        self.current.store(set);
        let mut status = self.status();
        let previous = std::mem::replace(&mut status.revision, revision);
        if previous != revision {
            status.since = self.clock.now();
        }
        let (is_load, was_refused) = (matches!(change, Change::Loaded), status.last_error.is_some());
        match change {
            Change::Document => {}
            Change::RolledBack { from } => status.rolled_back_from = Some(from),
            Change::Loaded => {
                status.loads = status.loads.saturating_add(1);
                status.last_error = None;
                if loader.held.is_none() {
                    status.rolled_back_from = None;
                }
                self.confirmed_now(&mut status);
            }
        }
        loader.describe(&mut status);
        self.changed.notify_all();
        // A listener of the following events may ask for the status.
        let now = status.clone();
        drop(status);
        if previous != revision {
            tracing::info!(
                %revision, %previous, version = ?now.version, signer = ?now.signer, "a policy set is in force"
            );
            status::in_force_since(now.since);
            status::revision(revision, Some(previous));
        }
        if is_load {
            count("loaded", "");
            if was_refused {
                tracing::info!(%revision, "policies load again: the last error is cleared");
            }
        }
        status::confirmed(now.confirmed);
        status::version(now.version);
        revision
    }

    pub(crate) fn refuse(&self, error: LoadError) -> LoadError {
        let mut status = self.status();
        status.failures = status.failures.saturating_add(1);
        status.last_error = Some((error.clone(), self.clock.now()));
        self.changed.notify_all();
        let in_force = status.revision;
        drop(status);
        tracing::error!(code = error.code(), %error, %in_force, "a policy set was refused; the last good one stays in force");
        count("refused", error.code());
        error
    }

    pub(crate) fn loader(&self) -> MutexGuard<'_, Loader> {
        self.loader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since 1970; 0 for earlier times.
pub(crate) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The cause of a new revision.
pub(crate) enum Change {
    Loaded,
    Document,
    RolledBack { from: Revision },
}

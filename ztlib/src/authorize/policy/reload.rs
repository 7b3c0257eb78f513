//! The handle on the set that is in force, and how another one takes its place: whole or not at all.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use serde::Serialize;
use serde_json::Value as Json;

use super::blueprint::Blueprint;
use super::builder::{PolicySetBuilder, json};
use super::set::{Evaluation, PolicySet, Revision};
use super::wasm::{Allocator, Engine};
use super::LoadError;
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
    engine: Arc<Engine>,
    clock: SharedClock,
}

struct Loader {
    origin: Origin,
    /// Documents that the program has set: they outlast reloads, since the program's word is newer than the file's.
    set_documents: BTreeMap<Box<str>, Arc<Json>>,
    signal_source: Option<Arc<dyn SignalSource>>,
}

/// Where a set comes from, again and again.
pub(super) enum Origin {
    Code(Box<Blueprint>),
}

/// What is in force, since when, and why nothing newer is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// The revision in force.
    pub revision: Revision,
    /// Since when.
    pub since: SystemTime,
    /// How often a set was loaded without error, counting the first.
    pub loads: u64,
    /// How often a candidate was refused.
    pub failures: u64,
    /// Why the newest candidate is not in force, and since when; none where it is.
    pub last_error: Option<(LoadError, SystemTime)>,
    /// Where the memory of policies comes from.
    pub allocator: Allocator,
}

impl Policies {
    pub(super) fn load(
        origin: Origin,
        signal_source: Option<Arc<dyn SignalSource>>,
        clock: SharedClock,
    ) -> Result<Self, LoadError> {
        let engine = Engine::shared()?;
        let loader = Loader { origin, set_documents: BTreeMap::new(), signal_source };
        let set = loader.load(&engine, None)?;
        let status = Status {
            revision: set.revision,
            since: clock.now(),
            loads: 1,
            failures: 0,
            last_error: None,
            allocator: engine.allocator(),
        };
        Ok(Self(Arc::new(Shared {
            current: ArcSwap::from_pointee(set),
            loader: Mutex::new(loader),
            status: Mutex::new(status),
            changed: Condvar::new(),
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
        });
        let candidate = candidate.map_err(|error| self.0.refuse(error))?;
        let revision = self.0.put_in_force(&candidate)?;
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
                format!("the set declares no document `{}`: declare it in the manifest or with `document(…)`", super::error::shown(name)),
            ));
        }
        let set = self.0.current.load().with_document(name, document.clone());
        loader.set_documents.insert(name.into(), document);
        Ok(self.0.install(set))
    }

    /// What is in force, since when, and why nothing newer is.
    pub fn status(&self) -> Status {
        self.0.status().clone()
    }

    /// Asks the set that is in force a question of the application's own, without a guard: nothing is enforced, counted or
    /// audited. For tests of policies and for tools; a service asks its guard.
    pub fn rehearse(&self, principal: Principal, action: &str, labels: Labels, now: SystemTime) -> Evaluation {
        self.current().evaluate(Box::new(Question::new(principal, Asked::Action(action.into()), labels, now)))
    }

    /// The set that is in force: taken once a request.
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
    pub(super) fn reload(&self) -> Result<Revision, LoadError> {
        let loader = self.loader();
        self.put_in_force(&loader)
    }

    fn put_in_force(&self, loader: &Loader) -> Result<Revision, LoadError> {
        let current = self.current.load_full();
        match loader.load(&self.engine, Some(&current)) {
            Ok(set) => Ok(self.install(set)),
            Err(error) => Err(self.refuse(error)),
        }
    }

    /// The one place where a revision changes.
    fn install(&self, set: PolicySet) -> Revision {
        let revision = set.revision;
        self.current.store(Arc::new(set));
        let mut status = self.status();
        if status.revision != revision {
            tracing::info!(%revision, previous = %status.revision, "a policy set is in force");
            status.revision = revision;
            status.since = self.clock.now();
        }
        status.loads = status.loads.saturating_add(1);
        status.last_error = None;
        self.changed.notify_all();
        revision
    }

    fn refuse(&self, error: LoadError) -> LoadError {
        let mut status = self.status();
        tracing::error!(code = error.code(), %error, in_force = %status.revision, "a policy set was refused; the last good one stays in force");
        status.failures = status.failures.saturating_add(1);
        status.last_error = Some((error.clone(), self.clock.now()));
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
    fn load(&self, engine: &Arc<Engine>, current: Option<&PolicySet>) -> Result<PolicySet, LoadError> {
        let mut blueprint = match &self.origin {
            Origin::Code(blueprint) => blueprint.as_ref().clone(),
        };
        for (name, document) in &mut blueprint.documents {
            if let Some(set) = self.set_documents.get(name) {
                *document = set.clone();
            }
        }
        let known = current.map(PolicySet::compiled).unwrap_or_default();
        blueprint.build(engine, &known, self.signal_source.clone())
    }
}

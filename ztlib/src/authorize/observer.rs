//! Observers of decisions. Usually there are none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::Question;
use super::Trace;
use super::set::PolicySet;
use super::{Decision, Fault};
use crate::request_id::RequestId;

/// A question that was decided.
pub(crate) struct Seen<'s> {
    pub(crate) id: RequestId,
    /// The request in whose handler the question was asked.
    pub(crate) parent: Option<RequestId>,
    pub(crate) question: &'s Question,
    pub(crate) result: &'s Result<Decision, Fault>,
    pub(crate) trace: &'s Arc<Trace>,
    pub(crate) by: &'s PolicySet,
}

/// Observes decisions on the request path. It must not block, and takes no part in the decision.
pub(crate) trait Observer: Send + Sync {
    fn see(&self, seen: &Seen<'_>);
}

/// At most one observer of each kind.
#[derive(Default)]
pub(crate) struct Observers {
    looking_on: AtomicBool,
    by_kind: ArcSwap<Vec<(&'static str, Arc<dyn Observer>)>>,
    changing: Mutex<()>,
}

impl Observers {
    /// Adds an observer. Returns false if there is already one of its kind.
    pub(crate) fn add(&self, kind: &'static str, observer: Arc<dyn Observer>) -> bool {
        self.change(|all| {
            let is_free = all.iter().all(|(taken, _)| *taken != kind);
            if is_free {
                all.push((kind, observer));
            }
            is_free
        })
    }

    /// Removes an observer. It sees no request that begins after this returns.
    pub(crate) fn remove(&self, observer: &Arc<dyn Observer>) {
        self.change(|all| all.retain(|(_, one)| !Arc::ptr_eq(one, observer)));
    }

    /// Asked on every request, so it is only one load.
    pub(crate) fn is_anybody(&self) -> bool {
        self.looking_on.load(Ordering::Relaxed)
    }

    #[cold]
    pub(crate) fn show(&self, seen: &Seen<'_>) {
        for (_, observer) in self.by_kind.load().iter() {
            observer.see(seen);
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<(&'static str, Arc<dyn Observer>)>) -> T) -> T {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::clone(&self.by_kind.load());
        let changed = change(&mut all);
        self.looking_on.store(!all.is_empty(), Ordering::Relaxed);
        self.by_kind.store(Arc::new(all));
        changed
    }
}

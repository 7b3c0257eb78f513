//! How many handshakes are under way, and which one makes room when there are too many.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The handshakes under way, oldest first.
///
/// When they are too many, the oldest that has not sent a byte is displaced, and only where all have, the oldest of all.
/// A flood of silent sockets therefore displaces its own kind: whoever speaks is served. The deadline ends the rest.
#[derive(Clone)]
pub(super) struct Handshakes(Arc<Mutex<UnderWay>>);

struct UnderWay {
    limit: usize,
    next: u64,
    slots: BTreeMap<u64, Arc<Slot>>,
}

#[derive(Default)]
pub(super) struct Slot {
    heard: AtomicBool,
    displaced: Notify,
}

impl Slot {
    /// The peer has sent something.
    pub(super) fn hear(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// Resolves when the handshake must make room.
    pub(super) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

/// A place among the handshakes under way, given back when it is dropped.
pub(super) struct Place {
    handshakes: Handshakes,
    number: u64,
    pub(super) slot: Arc<Slot>,
}

impl Handshakes {
    /// `limit` is at least one.
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Mutex::new(UnderWay { limit, next: 0, slots: BTreeMap::new() })))
    }

    /// Takes a place at once; somebody else's where none is free.
    pub(super) fn enter(&self) -> Place {
        let mut under_way = self.lock();
        if under_way.slots.len() >= under_way.limit {
            under_way.displace();
        }
        let number = under_way.next;
        under_way.next += 1;
        let slot = Arc::new(Slot::default());
        under_way.slots.insert(number, Arc::clone(&slot));
        Place { handshakes: self.clone(), number, slot }
    }

    /// Nothing in here can panic half-way, so a poisoned lock still guards whole data.
    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.lock().slots.len()
    }
}

impl UnderWay {
    fn displace(&mut self) {
        let silent = self.slots.iter().find(|(_, slot)| !slot.heard.load(Ordering::Relaxed));
        let victim = silent.or_else(|| self.slots.iter().next()).map(|(number, _)| *number);
        if let Some(slot) = victim.and_then(|number| self.slots.remove(&number)) {
            slot.displaced.notify_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.handshakes.lock().slots.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn is_displaced(place: &Place) -> bool {
        let displaced = pin!(place.slot.displaced());
        displaced.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn the_oldest_silent_handshake_makes_room() {
        let handshakes = Handshakes::new(3);
        let spoke = handshakes.enter();
        spoke.slot.hear();
        let silent = handshakes.enter();
        let newer = handshakes.enter();
        let newest = handshakes.enter();
        assert!(is_displaced(&silent));
        assert!(!is_displaced(&spoke) && !is_displaced(&newer) && !is_displaced(&newest));
        assert_eq!(handshakes.count(), 3);
    }

    #[test]
    fn where_all_have_spoken_the_oldest_makes_room() {
        let handshakes = Handshakes::new(2);
        let oldest = handshakes.enter();
        oldest.slot.hear();
        let other = handshakes.enter();
        other.slot.hear();
        let newest = handshakes.enter();
        assert!(is_displaced(&oldest));
        assert!(!is_displaced(&other) && !is_displaced(&newest));
    }

    #[test]
    fn a_place_is_given_back() {
        let handshakes = Handshakes::new(2);
        for _ in 0..10 {
            let place = handshakes.enter();
            assert!(!is_displaced(&place));
        }
        assert_eq!(handshakes.count(), 0);
    }
}

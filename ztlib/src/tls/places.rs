//! Limits how many connections may be open, and chooses which one makes room for another.
//!
//! A connection without a request costs its peer nothing, so when all places are taken, one of
//! those is closed: first one whose handshake is unfinished or that is closing, then one that has
//! not sent a request, then the one that has been idle for longest. A new connection is refused
//! only if every open one has a request in progress.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// One scan of all places finds this many candidates, so that a flood does not cause a scan for
/// each connection.
const FOUND_AT_ONCE: usize = 32;
/// After a scan without a result, the time until the next one, in milliseconds.
const PAUSE: u64 = 10;

/// What a connection without a request is doing. The lowest stage makes room first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its handshake is unfinished, or it is being closed.
    Passing = 0,
    /// It has not sent any request.
    Silent = 1,
    /// It has sent requests.
    Idle = 2,
}

const STAGE_SHIFT: u32 = 62;
const TIME_MASK: u64 = (1 << STAGE_SHIFT) - 1;

#[derive(Clone)]
pub(super) struct Places(Arc<Shared>);

struct Shared {
    limit: usize,
    start: Instant,
    open: Mutex<Open>,
    empty: Notify,
}

#[derive(Default)]
struct Open {
    next: u64,
    slots: BTreeMap<u64, Arc<Slot>>,
    /// Candidates to close, as of the last scan. The next one is at the end.
    found: Vec<(u64, u64)>,
    look_again: u64,
}

/// The state of one connection, shared by the tasks that serve it.
pub(super) struct Slot {
    start: Instant,
    /// The stage, and its start in milliseconds since the server's start. Only meaningful while no
    /// exchange is in progress.
    since: AtomicU64,
    exchanges: AtomicUsize,
    /// Whether a request has arrived.
    used: AtomicU64,
    evicted: Notify,
}

/// A place among the connections, given back on drop.
pub(super) struct Place {
    places: Places,
    number: u64,
    pub(super) slot: Arc<Slot>,
}

impl Places {
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Shared { limit, start: Instant::now(), open: Mutex::default(), empty: Notify::new() }))
    }

    /// Takes a place; another connection may have to close for it. `None` if each has a request in
    /// progress.
    pub(super) fn take(&self) -> Option<Place> {
        let now = milliseconds(self.0.start);
        let slot = Arc::new(Slot {
            start: self.0.start,
            since: AtomicU64::new(now),
            exchanges: AtomicUsize::new(0),
            used: AtomicU64::new(0),
            evicted: Notify::new(),
        });
        let mut open = self.lock();
        if open.slots.len() >= self.0.limit && !open.make_room(now) {
            return None;
        }
        let number = open.next;
        open.next += 1;
        open.slots.insert(number, Arc::clone(&slot));
        Some(Place { places: self.clone(), number, slot })
    }

    /// Resolves when no place is taken.
    pub(super) async fn all_left(&self) {
        loop {
            let empty = self.0.empty.notified();
            if self.lock().slots.is_empty() {
                return;
            }
            empty.await;
        }
    }

    /// How many connections have a request in progress, or were handed over to another protocol.
    pub(super) fn with_requests(&self) -> usize {
        self.lock().slots.values().filter(|slot| !slot.is_free()).count()
    }

    /// A panic under this lock cannot leave anything half done, so a poisoned lock is safe to use.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn make_room(&mut self, now: u64) -> bool {
        if self.evict_one_found() {
            return true;
        }
        if now < self.look_again {
            return false;
        }
        let mut found: Vec<(u64, u64)> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.is_free())
            .map(|(number, slot)| (slot.since.load(Ordering::Relaxed), *number))
            .collect();
        if found.len() > FOUND_AT_ONCE {
            found.select_nth_unstable(FOUND_AT_ONCE - 1);
            found.truncate(FOUND_AT_ONCE);
        }
        found.sort_unstable_by(|one, other| other.cmp(one));
        self.found = found;
        if self.evict_one_found() {
            return true;
        }
        self.look_again = now + PAUSE;
        false
    }

    fn evict_one_found(&mut self) -> bool {
        while let Some((since, number)) = self.found.pop() {
            let still = |slot: &Arc<Slot>| slot.is_free() && slot.since.load(Ordering::Relaxed) == since;
            if self.slots.get(&number).is_some_and(still)
                && let Some(slot) = self.slots.remove(&number)
            {
                slot.evicted.notify_one();
                return true;
            }
        }
        false
    }
}

impl Slot {
    /// Records what the connection does from now on, while it has no request.
    pub(super) fn enter(&self, stage: Stage) {
        let now = milliseconds(self.start) & TIME_MASK;
        self.since.store((stage as u64) << STAGE_SHIFT | now, Ordering::Relaxed);
    }

    pub(super) fn begin_exchange(&self) {
        self.exchanges.fetch_add(1, Ordering::SeqCst);
        self.used.store(1, Ordering::Relaxed);
    }

    pub(super) fn end_exchange(&self) {
        // Set before the exchange counts as ended.
        self.enter(Stage::Idle);
        self.exchanges.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether no request is in progress.
    pub(super) fn is_free(&self) -> bool {
        self.exchanges.load(Ordering::SeqCst) == 0
    }

    /// How long no request has been in progress; `None` if one is.
    pub(super) fn free_for(&self) -> Option<Duration> {
        let since = self.since.load(Ordering::Relaxed) & TIME_MASK;
        let free = milliseconds(self.start).saturating_sub(since);
        self.is_free().then(|| Duration::from_millis(free))
    }

    /// Whether a request has arrived.
    pub(super) fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed) != 0
    }

    /// Resolves when the connection must make room.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.lock();
        open.slots.remove(&self.number);
        if open.slots.is_empty() {
            self.places.0.empty.notify_waiters();
        }
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn is_evicted(place: &Place) -> bool {
        let evicted = pin!(place.slot.evicted());
        evicted.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_no_request_makes_room_the_least_used_and_oldest_first() {
        let places = Places::new(4);
        let taken: Vec<Place> = (0..4).map(|_| places.take().unwrap()).collect();
        for (place, stage) in taken.iter().zip([Stage::Idle, Stage::Silent, Stage::Passing, Stage::Passing]) {
            place.slot.enter(stage);
            tokio::time::advance(Duration::from_millis(5)).await;
        }
        // The newcomers are busy, so they are never candidates.
        let mut newcomers = Vec::new();
        for expected in [2, 3, 1, 0] {
            newcomers.push(places.take().unwrap());
            newcomers.last().unwrap().slot.begin_exchange();
            let evicted: Vec<usize> = (0..4).filter(|at| is_evicted(&taken[*at])).collect();
            assert_eq!(evicted, [expected]);
        }
        assert!(places.take().is_none());
        assert_eq!(places.with_requests(), 4);
        // A connection that was evicted does not give its place back a second time.
        drop(taken);
        assert!(places.take().is_none());
        // A connection that has become idle is found at the next scan.
        newcomers[1].slot.end_exchange();
        tokio::time::advance(Duration::from_millis(PAUSE)).await;
        assert!(places.take().is_some());
        assert!(is_evicted(&newcomers[1]) && !is_evicted(&newcomers[0]));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_begun_a_request_since_it_was_found_stays() {
        let places = Places::new(3);
        let taken: Vec<Place> = (0..3).map(|_| places.take().unwrap()).collect();
        let first = places.take().unwrap();
        assert!(is_evicted(&taken[0]));
        taken[1].slot.begin_exchange();
        let _second = places.take().unwrap();
        assert!(!is_evicted(&taken[1]) && is_evicted(&taken[2]) && !is_evicted(&first));
    }

    #[tokio::test]
    async fn all_have_left_when_the_last_one_has() {
        let places = Places::new(2);
        let (one, two) = (places.take().unwrap(), places.take().unwrap());
        let mut left = pin!(places.all_left());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(left.as_mut().poll(&mut cx).is_pending());
        drop(one);
        assert!(left.as_mut().poll(&mut cx).is_pending());
        drop(two);
        assert!(left.as_mut().poll(&mut cx).is_ready());
    }
}

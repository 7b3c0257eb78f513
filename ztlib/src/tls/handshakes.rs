//! Limits how many connections wait and how many handshakes run, and chooses which ones make room.
//!
//! A connection that has sent nothing costs almost nothing, so many may wait (eight for each
//! handshake that may run), and the oldest makes room for a newer one. Peers that have spoken wait
//! for a slot, first come, first served; after a restart, for example, when every client reconnects
//! at once. While any peer waits, handshakes whose peer has been silent for a while are displaced.
//! So silent peers do not delay a peer that speaks, and peers that stop in the middle delay it no
//! longer than that while.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Connections that have not begun, for each handshake that may run.
const ARRIVALS_PER_PLACE: usize = 8;
/// A peer that is silent for longer makes room if others wait. A round trip around the world takes
/// 300 ms.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often waiting peers look for a handshake to displace.
const SWEEP: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(super) struct Handshakes(Arc<Shared>);

struct Shared {
    places: Arc<Semaphore>,
    max_arrivals: usize,
    start: Instant,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    /// Connections that have not begun, oldest first.
    arrivals: BTreeMap<u64, Arc<Slot>>,
    under_way: BTreeMap<u64, Arc<Slot>>,
    /// When handshakes were last checked, in milliseconds since the start.
    swept: u64,
}

/// One connection until the end of its handshake.
pub(super) struct Slot {
    start: Instant,
    /// When the peer last sent something, in milliseconds since the start.
    heard: AtomicU64,
    displaced: Notify,
}

impl Slot {
    /// Records that the peer has sent something.
    pub(super) fn hear(&self) {
        self.heard.store(milliseconds(self.start), Ordering::Relaxed);
    }

    /// Resolves when the connection must make room.
    pub(super) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

/// A connection that has arrived. Dropping it removes it from the lists.
pub(super) struct Arrival {
    handshakes: Handshakes,
    number: u64,
    pub(super) slot: Arc<Slot>,
}

/// A slot for a running handshake, given back on drop.
pub(super) struct Place<'a> {
    _arrival: &'a Arrival,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Handshakes {
    /// `limit` must be at least one.
    pub(super) fn new(limit: usize) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared {
            places: Arc::new(Semaphore::new(limit)),
            max_arrivals: limit.saturating_mul(ARRIVALS_PER_PLACE),
            start: Instant::now(),
            open: Mutex::default(),
        }))
    }

    /// Adds a new connection. If there are too many, the oldest that has not begun makes room.
    pub(super) fn arrive(&self) -> Arrival {
        let slot = Arc::new(Slot { start: self.0.start, heard: AtomicU64::new(0), displaced: Notify::new() });
        let mut open = self.lock();
        if open.arrivals.len() >= self.0.max_arrivals
            && let Some((_, oldest)) = open.arrivals.pop_first()
        {
            oldest.displaced.notify_one();
        }
        let number = open.next;
        open.next += 1;
        open.arrivals.insert(number, Arc::clone(&slot));
        Arrival { handshakes: self.clone(), number, slot }
    }

    /// Displaces handshakes whose peers have been silent, but no more than there are connections
    /// waiting.
    fn sweep(&self) {
        let now = milliseconds(self.0.start);
        let mut open = self.lock();
        if now.saturating_sub(open.swept) < as_milliseconds(SWEEP) {
            return;
        }
        open.swept = now;
        let silent =
            |slot: &Slot| now.saturating_sub(slot.heard.load(Ordering::Relaxed)) >= as_milliseconds(PATIENCE);
        let wanted = open.arrivals.len();
        let displaced: Vec<u64> = open
            .under_way
            .iter()
            .filter(|(_, slot)| silent(slot))
            .map(|(number, _)| *number)
            .take(wanted)
            .collect();
        for number in displaced {
            if let Some(slot) = open.under_way.remove(&number) {
                slot.displaced.notify_one();
            }
        }
    }

    /// A panic under this lock cannot leave anything half done, so a poisoned lock is safe to use.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrival {
    /// Waits for a slot, for a peer that has spoken.
    pub(super) async fn begin(&self) -> Place<'_> {
        self.slot.hear();
        let handshakes = &self.handshakes;
        let mut free = pin!(Arc::clone(&handshakes.0.places).acquire_owned());
        let permit = loop {
            let mut pause = pin!(tokio::time::sleep(SWEEP));
            let permit = poll_fn(|cx| match free.as_mut().poll(cx) {
                Poll::Ready(permit) => Poll::Ready(Some(permit)),
                Poll::Pending => pause.as_mut().poll(cx).map(|()| None),
            })
            .await;
            match permit {
                // The semaphore is never closed.
                Some(permit) => break permit.ok(),
                None => handshakes.sweep(),
            }
        };
        // The peer is not to blame for the time in the queue.
        self.slot.hear();
        let mut open = handshakes.lock();
        open.arrivals.remove(&self.number);
        open.under_way.insert(self.number, Arc::clone(&self.slot));
        Place { _arrival: self, _permit: permit }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut open = self.handshakes.lock();
        open.arrivals.remove(&self.number);
        open.under_way.remove(&self.number);
    }
}

fn milliseconds(since: Instant) -> u64 {
    as_milliseconds(since.elapsed())
}

fn as_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    fn is_displaced(arrival: &Arrival) -> bool {
        let displaced = pin!(arrival.slot.displaced());
        displaced.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[tokio::test]
    async fn the_oldest_silent_connection_makes_room() {
        let handshakes = Handshakes::new(1);
        let arrivals: Vec<_> = (0..ARRIVALS_PER_PLACE).map(|_| handshakes.arrive()).collect();
        assert!(!arrivals.iter().any(is_displaced));
        let newest = handshakes.arrive();
        let displaced: Vec<_> = arrivals.iter().map(is_displaced).collect();
        assert!(displaced[0] && !displaced[1..].contains(&true));
        assert!(!is_displaced(&newest));
    }

    #[tokio::test]
    async fn silent_connections_take_no_place() {
        let handshakes = Handshakes::new(1);
        let _silent: Vec<_> = (0..ARRIVALS_PER_PLACE - 1).map(|_| handshakes.arrive()).collect();
        let good = handshakes.arrive();
        let place = good.begin().await;
        assert_eq!(handshakes.0.places.available_permits(), 0);
        drop(place);
        assert_eq!(handshakes.0.places.available_permits(), 1);
    }

    #[tokio::test]
    async fn who_has_spoken_waits_and_displaces_only_those_who_stopped() {
        let handshakes = Handshakes::new(2);
        let stopped = handshakes.arrive();
        let _first = stopped.begin().await;
        let active = handshakes.arrive();
        let _second = active.begin().await;
        let next = handshakes.arrive();
        let mut begun = pin!(next.begin());
        let place = poll_fn(|cx| {
            active.slot.hear();
            if is_displaced(&stopped) {
                return Poll::Ready(None);
            }
            begun.as_mut().poll(cx).map(Some)
        })
        .await;
        assert!(place.is_none(), "no place is free before the displaced one leaves");
        assert!(!is_displaced(&active));
        drop(_first);
        drop(begun.await);
    }

    #[tokio::test]
    async fn places_and_lists_are_given_back() {
        let handshakes = Handshakes::new(2);
        for _ in 0..10 {
            let arrival = handshakes.arrive();
            drop(arrival.begin().await);
        }
        let open = handshakes.lock();
        assert!(open.arrivals.is_empty() && open.under_way.is_empty());
        assert_eq!(handshakes.0.places.available_permits(), 2);
    }
}

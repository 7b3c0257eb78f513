//! A value that can be replaced while the service runs, and tasks that wait for a replacement.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use arc_swap::ArcSwap;

/// A value and its generation. Readers get both together, take no lock, and never wait for a
/// replacement in progress.
pub(crate) struct Live<T> {
    now: ArcSwap<Now<T>>,
    /// Serializes replacements, because each is computed from the current value.
    replacing: Mutex<()>,
    waiters: Waiters,
}

/// The value at one generation.
pub(crate) struct Now<T> {
    pub(crate) generation: u64,
    pub(crate) value: T,
}

impl<T> Live<T> {
    pub(crate) fn new(generation: u64, value: T) -> Self {
        Self {
            now: ArcSwap::from_pointee(Now { generation, value }),
            replacing: Mutex::default(),
            waiters: Waiters::default(),
        }
    }

    pub(crate) fn load(&self) -> arc_swap::Guard<std::sync::Arc<Now<T>>> {
        self.now.load()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.now.load().generation
    }

    /// Replaces the value with the result of `next`, and returns the new generation. On error
    /// nothing changes.
    pub(crate) fn update<E>(&self, next: impl FnOnce(&Now<T>) -> Result<Now<T>, E>) -> Result<u64, E> {
        let replacing = lock(&self.replacing);
        let next = next(&self.now.load())?;
        let generation = next.generation;
        self.now.store(std::sync::Arc::new(next));
        drop(replacing);
        self.waiters.wake();
        Ok(generation)
    }

    /// Waits until the generation differs from `since`, and returns it.
    pub(crate) async fn changed(&self, since: u64) -> u64 {
        self.waiters.wait(|| Some(self.generation()).filter(|now| *now != since)).await
    }
}

/// Counts an event, for tasks that wait for its next occurrence. However often it occurs between
/// two polls, a waiting task is woken once.
#[derive(Default)]
pub(crate) struct Happened {
    count: AtomicU64,
    waiters: Waiters,
}

impl Happened {
    pub(crate) fn tell(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.waiters.wake();
    }

    /// Waits until the count differs from `since`, and returns it.
    pub(crate) async fn next(&self, since: u64) -> u64 {
        self.waiters.wait(|| Some(self.count.load(Ordering::SeqCst)).filter(|now| *now != since)).await
    }
}

/// Waiting tasks. A task that stops waiting leaves nothing behind.
#[derive(Default)]
struct Waiters {
    /// The number of waiting tasks, so that waking nobody takes no lock.
    number: AtomicUsize,
    wakers: Mutex<Wakers>,
}

#[derive(Default)]
struct Wakers {
    next: u64,
    by_place: BTreeMap<u64, Waker>,
}

impl Waiters {
    fn wake(&self) {
        // Either the new value is seen by a task that begins to wait, or that task is seen here: the
        // fence in `Place::new` is the other half.
        fence(Ordering::SeqCst);
        if self.number.load(Ordering::SeqCst) == 0 {
            return;
        }
        let woken = std::mem::take(&mut lock(&self.wakers).by_place);
        for waker in woken.into_values() {
            waker.wake();
        }
    }

    /// Waits until `ready` returns a value. The waker is registered before `ready` is called, so no
    /// event after that call is missed.
    async fn wait<R>(&self, ready: impl Fn() -> Option<R>) -> R {
        let place = Place::new(self);
        poll_fn(|context| {
            lock(&self.wakers).by_place.insert(place.place, context.waker().clone());
            ready().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// The slot of one waiting task, given up on drop.
struct Place<'w> {
    waiters: &'w Waiters,
    place: u64,
}

impl<'w> Place<'w> {
    fn new(waiters: &'w Waiters) -> Self {
        waiters.number.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let mut wakers = lock(&waiters.wakers);
        wakers.next += 1;
        Self { waiters, place: wakers.next }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.waiters.wakers).by_place.remove(&self.place);
        self.waiters.number.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A panic under these locks cannot leave anything half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn set(live: &Live<&'static str>, value: &'static str) -> u64 {
        let next = |now: &Now<_>| Ok::<_, Infallible>(Now { generation: now.generation + 1, value });
        match live.update(next) {
            Ok(generation) => generation,
            Err(never) => match never {},
        }
    }

    #[test]
    fn who_waits_is_woken_by_the_next_replacement_and_by_none_before() {
        let live = Live::new(1, "first");
        let mut waits = tokio_test::task::spawn(live.changed(1));
        assert!(waits.poll().is_pending());
        assert!(!waits.is_woken());
        assert_eq!(set(&live, "second"), 2);
        assert!(waits.is_woken());
        assert_eq!(waits.poll(), Poll::Ready(2));
        drop(waits);

        // An event before the first poll is not missed.
        assert_eq!(tokio_test::task::spawn(live.changed(1)).poll(), Poll::Ready(2));
    }

    #[test]
    fn a_refused_replacement_changes_nothing_and_wakes_nobody() {
        let live = Live::new(1, "first");
        let mut waits = tokio_test::task::spawn(live.changed(1));
        assert!(waits.poll().is_pending());
        assert_eq!(live.update(|_| Err("no")), Err("no"));
        assert!(!waits.is_woken());
        assert_eq!((live.generation(), live.load().value), (1, "first"));
    }

    #[test]
    fn who_stops_waiting_leaves_nothing_behind() {
        let happened = Happened::default();
        for _ in 0..1000 {
            let mut waits = tokio_test::task::spawn(happened.next(0));
            assert!(waits.poll().is_pending());
        }
        assert_eq!(lock(&happened.waiters.wakers).by_place.len(), 0);
        assert_eq!(happened.waiters.number.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_replacement_is_not_missed_by_a_task_that_begins_to_wait_at_that_moment() {
        // One thread replaces, the other waits for each replacement: a lost wake-up never ends.
        const ROUNDS: u64 = 20_000;
        let live = Live::new(0, "value");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for since in 0..ROUNDS {
                    let waits = live.changed(since);
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    assert!(runtime.block_on(waits) > since);
                }
            });
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    assert_eq!(set(&live, "value"), round + 1);
                }
            });
        });
        assert_eq!(live.generation(), ROUNDS);
    }

    #[test]
    fn what_happens_often_is_told_once() {
        let happened = Happened::default();
        (0..5).for_each(|_| happened.tell());
        assert_eq!(tokio_test::task::spawn(happened.next(0)).poll(), Poll::Ready(5));
        assert!(tokio_test::task::spawn(happened.next(5)).poll().is_pending());
    }
}

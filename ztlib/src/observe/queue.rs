//! A bounded queue from many threads to one. It is split into parts, so that threads that push do
//! not wait for each other.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The maximum number of parts, and the minimum size of a part: a small queue is not split.
const MAX_PARTS: usize = 16;
const MIN_PLACES: usize = 64;

/// A bounded queue. Items from one thread come out in order; items from several threads come out
/// part by part.
#[derive(Debug)]
pub(super) struct Queue<T> {
    parts: Box<[Part<T>]>,
}

#[derive(Debug)]
struct Part<T> {
    items: Mutex<Vec<T>>,
    places: usize,
}

/// How full a part is after a push.
pub(super) struct Filled {
    items: usize,
    places: usize,
}

impl Filled {
    /// Whether the part has just become half full.
    pub(super) fn is_half(&self) -> bool {
        self.items == self.places.div_ceil(2)
    }
}

impl<T> Queue<T> {
    /// A queue with room for `places` items, at least 1.
    pub(super) fn new(places: usize) -> Self {
        let places = places.max(1);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let parts = (places / MIN_PLACES).clamp(1, MAX_PARTS.min(cores));
        let part = |number: usize| {
            // The remainder goes to the first parts.
            let places = places / parts + usize::from(number < places % parts);
            Part { items: Mutex::new(Vec::new()), places }
        };
        Self { parts: (0..parts).map(part).collect() }
    }

    /// Adds an item. Returns `None` if there is no room.
    pub(super) fn push(&self, item: T) -> Option<Filled> {
        let own = thread_number() % self.parts.len().max(1);
        let (before, from) = self.parts.split_at_checked(own)?;
        for part in from.iter().chain(before) {
            let mut items = part.lock();
            if items.len() < part.places {
                items.push(item);
                return Some(Filled { items: items.len(), places: part.places });
            }
        }
        None
    }

    /// Takes out all items that are in a part when it is reached.
    pub(super) fn drain(&self, mut take: impl FnMut(T)) {
        for part in &self.parts {
            // The replacement already has capacity, so that no pushing thread has to allocate.
            let spare = Vec::with_capacity(part.lock().len());
            let items = std::mem::replace(&mut *part.lock(), spare);
            items.into_iter().for_each(&mut take);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| part.lock().is_empty())
    }
}

impl<T> Part<T> {
    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number for this thread, in order of first use.
fn thread_number() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    NUMBER.get().unwrap_or_else(|| {
        let number = THREADS.fetch_add(1, Ordering::Relaxed);
        NUMBER.set(Some(number));
        number
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_holds_exactly_its_places_whoever_fills_it() {
        for places in [0, 1, 5, 64, 1000, 4097] {
            let queue = Queue::new(places);
            let one = || (0..places + 10).filter(|n| queue.push(*n).is_some()).count();
            let kept: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..3).map(|_| scope.spawn(one)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            let mut drained = 0;
            queue.drain(|_| drained += 1);
            assert_eq!((kept, drained), (places.max(1), places.max(1)));
            assert!(queue.is_empty());
        }
    }

    #[test]
    fn what_one_thread_puts_in_comes_out_in_its_order() {
        let queue = Queue::new(1000);
        (0..100).for_each(|n| assert!(queue.push(n).is_some()));
        let mut out = Vec::new();
        queue.drain(|n| out.push(n));
        assert_eq!(out, (0..100).collect::<Vec<_>>());
    }
}

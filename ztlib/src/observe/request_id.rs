//! The id that ties what a caller was told to what the operator sees.

use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The id of one judged request or question: 32 hexadecimal digits, unique to this process's life and unlikely to meet another's.
/// It is made here; an id that the caller sends never takes its place.
///
/// The first 16 digits are the process's, the last 16 count; each thread counts in a stretch of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    process: u64,
    number: u64,
}

/// How many numbers a thread takes at once, so that threads do not wait for one counter.
const STRETCH: u64 = 1024;

impl RequestId {
    pub(crate) fn next() -> Self {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        static STRETCHES: AtomicU64 = AtomicU64::new(0);
        thread_local! {
            static NEXT: Cell<u64> = const { Cell::new(0) };
        }
        let process = *PROCESS.get_or_init(|| {
            let mut random = [0; 8];
            // Without randomness the ids are still unique in this process, which is all that is promised.
            let _ = aws_lc_rs::rand::fill(&mut random);
            u64::from_be_bytes(random)
        });
        let number = NEXT.with(|next| {
            let mut number = next.get();
            if number.is_multiple_of(STRETCH) {
                number = STRETCHES.fetch_add(STRETCH, Ordering::Relaxed).wrapping_add(1);
            }
            next.set(number.wrapping_add(1));
            number
        });
        Self { process, number }
    }
}

impl RequestId {
    /// Reads 32 lower-case hexadecimal digits: an id that was written down.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(digits) {
            return None;
        }
        let (process, number) = text.split_at_checked(16)?;
        let read = |part: &str| u64::from_str_radix(part, 16).ok();
        Some(Self { process: read(process)?, number: read(number)? })
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.process, self.number)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_of_many_threads_never_meet() {
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..5000).map(|_| RequestId::next()).collect::<Vec<_>>()))
            .collect();
        let ids: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 20_000);
        assert!(ids.iter().all(|id| id.to_string().len() == 32));
    }
}

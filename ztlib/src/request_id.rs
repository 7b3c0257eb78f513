//! The id that ties what a caller was told to what the operator sees.

use std::cell::RefCell;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::cipher::{AES_128, AES_128_KEY_LEN, EncryptingKey, UnboundCipherKey};

/// The id of one judged request or question: 32 hexadecimal digits, unique to this process's life
/// and unlikely to meet another's. It is made here; an id that the caller sends never takes its
/// place.
///
/// It is a count, encrypted with a key that the process makes for itself and tells nobody. So no
/// two are the same, and who is told some learns neither how many requests lie between them nor
/// which process they come from. Their order says nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u128);

/// The bytes of one id: a block of the cipher.
const BLOCK: usize = 16;

/// How many numbers a thread takes at once: threads seldom meet at the one counter, and encrypting
/// that many at once costs a few nanoseconds each.
const STRETCH: usize = 64;

/// A permutation of all numbers, with a key of its own.
struct Cipher(Option<EncryptingKey>);

impl Cipher {
    fn new() -> Self {
        let mut key = [0; AES_128_KEY_LEN];
        // Without randomness the ids are still unique in this process.
        let _ = aws_lc_rs::rand::fill(&mut key);
        Self(UnboundCipherKey::new(&AES_128, &key).and_then(EncryptingKey::ecb).ok())
    }

    /// The ids of the numbers from `first`. Each is a block of its own, and no number comes twice,
    /// so that equal blocks, the weakness of this mode, do not occur.
    fn ids(&self, first: u64) -> [u8; STRETCH * BLOCK] {
        let mut blocks = [0; STRETCH * BLOCK];
        for (block, number) in blocks.chunks_exact_mut(BLOCK).zip(first..) {
            for (byte, digit) in block.iter_mut().zip(number.to_be_bytes()) {
                *byte = digit;
            }
        }
        // Where the library cannot encrypt, the numbers stand as they are: unique, if no secret.
        if let Some(key) = &self.0 {
            let plain = blocks;
            if key.encrypt(&mut blocks).is_err() {
                blocks = plain;
            }
        }
        blocks
    }
}

/// What a thread has left of its stretch.
struct Stretch {
    ids: [u8; STRETCH * BLOCK],
    used: usize,
}

impl Stretch {
    fn next(&mut self) -> RequestId {
        if self.used >= STRETCH {
            *self = Self { ids: take(), used: 0 };
        }
        let id = self.ids.chunks_exact(BLOCK).nth(self.used).and_then(|id| id.try_into().ok());
        self.used += 1;
        RequestId(u128::from_be_bytes(id.unwrap_or_default()))
    }
}

/// Takes the next numbers of the process.
fn take() -> [u8; STRETCH * BLOCK] {
    static CIPHER: OnceLock<Cipher> = OnceLock::new();
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    CIPHER.get_or_init(Cipher::new).ids(TAKEN.fetch_add(STRETCH as u64, Ordering::Relaxed))
}

impl RequestId {
    pub(crate) fn next() -> Self {
        thread_local! {
            static STRETCH_OF_THREAD: RefCell<Stretch> =
                const { RefCell::new(Stretch { ids: [0; STRETCH * BLOCK], used: STRETCH }) };
        }
        // A thread that is about to end takes a stretch for this one.
        let next = STRETCH_OF_THREAD.try_with(|stretch| stretch.borrow_mut().next());
        next.unwrap_or_else(|_| Stretch { ids: take(), used: 0 }.next())
    }

    /// Reads 32 lower-case hexadecimal digits: an id that was written down.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(digits) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
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
        assert!(ids.iter().all(|id| RequestId::parse(&id.to_string()) == Some(*id)));
    }

    #[test]
    fn ids_tell_neither_a_count_nor_a_process() {
        let ids: Vec<String> = (0..1000).map(|_| RequestId::next().to_string()).collect();
        // No digit stands still and none counts: each place has all of the sixteen.
        for place in 0..32 {
            let digits: HashSet<u8> = ids.iter().map(|id| id.as_bytes()[place]).collect();
            assert_eq!(digits.len(), 16, "place {place}");
        }
        let steps: HashSet<u128> = ids
            .windows(2)
            .map(|pair| {
                let [one, next] = [&pair[0], &pair[1]].map(|id| RequestId::parse(id).unwrap().0);
                next.wrapping_sub(one)
            })
            .collect();
        assert_eq!(steps.len(), 999, "no step is taken twice");
        // Another process has another key: the same numbers are other ids.
        let (one, other) = (Cipher::new(), Cipher::new());
        assert!(one.ids(0).chunks(BLOCK).zip(other.ids(0).chunks(BLOCK)).all(|(a, b)| a != b));
        assert_eq!(one.ids(0), one.ids(0));
    }
}

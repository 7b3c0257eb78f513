//! The id that ties what a caller was told to what the operator sees.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// The id of one judged request or question: 32 hexadecimal digits, unique to this process's life and unlikely to meet another's.
/// It is made here; an id that the caller sends never takes its place.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    pub(crate) fn next() -> Self {
        static PREFIX: OnceLock<u64> = OnceLock::new();
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let prefix = *PREFIX.get_or_init(|| {
            let mut random = [0; 8];
            // Without randomness the ids are still unique in this process, which is all that is promised.
            let _ = aws_lc_rs::rand::fill(&mut random);
            u64::from_be_bytes(random)
        });
        let counter = COUNTER.fetch_add(1, Ordering::Relaxed);
        Self(format!("{prefix:016x}{counter:016x}").into())
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

//! The trace: what one evaluation read, and what came back.

use super::read::{Read, Value};

/// The reads of one evaluation of a policy set with their values, in the order in which they were
/// first made, each once.
///
/// It is complete: a policy learns nothing in another way. It says why a decision is what it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    reads: Vec<(Read, Value)>,
}

impl Trace {
    /// The reads with their values.
    pub fn reads(&self) -> impl ExactSizeIterator<Item = (&Read, &Value)> {
        self.reads.iter().map(|(read, value)| (read, value))
    }

    /// What a read gave, where it was made.
    pub fn value(&self, read: &Read) -> Option<&Value> {
        self.reads.iter().find(|(made, _)| made == read).map(|(_, value)| value)
    }

    /// Its bytes, for bounds.
    pub fn size(&self) -> usize {
        let one = |(read, value): &(Read, Value)| size_of::<(Read, Value)>() + read.size() + value.size();
        self.reads.iter().map(one).sum()
    }

    /// Adds a read that was not made before.
    pub fn record(&mut self, read: Read, value: Value) {
        self.reads.push((read, value));
    }
}

//! The key of a question under a read list.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

use super::read_list::ReadList;
use crate::authorize::question::{Question, View};

/// A list's number and the exact values, each with its length: two different lists of values never have the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key(pub(super) Box<[u8]>);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Borrow::<[u8]>::borrow(self).hash(state);
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Writes the key of a question into `bytes`; false where a read fails (then an evaluation has to find out whether the policies make it
/// at all) or the key is longer than `limit`.
pub(super) fn write(
    bytes: &mut Vec<u8>,
    question: &mut Question,
    list: &ReadList,
    view: &View,
    limit: usize,
) -> bool {
    bytes.clear();
    bytes.extend_from_slice(&list.number.to_le_bytes());
    list.reads.iter().all(|read| {
        let Ok(fact) = question.fact(read, view) else { return false };
        fact.encode(bytes);
        bytes.len() <= limit
    })
}

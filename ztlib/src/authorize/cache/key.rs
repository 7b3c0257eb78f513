//! The key of a question under a read list.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

use super::read_list::ReadList;
use crate::authorize::Read;
use crate::authorize::{Question, View};

/// The number of a read list and the exact values, each with its length, so two different lists of
/// values never have the same bytes.
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

/// Why a question has no key.
pub(super) enum NoKey<'l> {
    /// A read fails. An evaluation has to find out whether the policies make it at all.
    Unreadable,
    /// This read makes the key too long.
    TooLong(&'l Read),
}

/// Writes the key of a question into `bytes`.
pub(super) fn write<'l>(
    bytes: &mut Vec<u8>,
    question: &mut Question,
    list: &'l ReadList,
    view: &View,
    limit: usize,
) -> Result<(), NoKey<'l>> {
    bytes.clear();
    bytes.extend_from_slice(&list.number.to_le_bytes());
    for read in &list.reads {
        question.fact(read, view).map_err(|_| NoKey::Unreadable)?.encode(bytes);
        if bytes.len() > limit {
            return Err(NoKey::TooLong(read));
        }
    }
    Ok(())
}

//! The key of a question under a read list.

use std::sync::Arc;

use super::read_list::ReadList;
use crate::authorize::question::{Question, View};
use crate::authorize::read::Value;

/// A list's number and the exact values, each with its length: two different lists of values never have the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key(pub(super) Arc<[u8]>);

impl Key {
    /// The key of a question, and the values in it. None where a read fails (then an evaluation has to find out whether the policies
    /// make it at all) or the key is longer than `limit`.
    pub(super) fn of(
        question: &mut Question,
        list: &ReadList,
        view: &View,
        limit: usize,
    ) -> Option<(Self, Vec<Value>)> {
        let mut bytes = Vec::with_capacity(8 + list.reads.len() * 8);
        bytes.extend_from_slice(&list.number.to_le_bytes());
        let mut values = Vec::with_capacity(list.reads.len());
        for read in &list.reads {
            let value = question.answer(read, view).ok()?;
            encode(&value, &mut bytes);
            if bytes.len() > limit {
                return None;
            }
            values.push(value);
        }
        Some((Self(bytes.into()), values))
    }
}

/// A value in bytes: its kind, its length where that varies, itself. No two values have the same bytes, and none begins another.
fn encode(value: &Value, bytes: &mut Vec<u8>) {
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    };
    match value {
        Value::Absent => bytes.push(0),
        Value::Bool(false) => bytes.push(1),
        Value::Bool(true) => bytes.push(2),
        Value::Int(number) => {
            bytes.push(3);
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        Value::Time(seconds) => {
            bytes.push(4);
            bytes.extend_from_slice(&seconds.to_le_bytes());
        }
        Value::Text(value) => {
            bytes.push(5);
            text(bytes, value);
        }
        Value::List(items) => {
            bytes.push(6);
            bytes.extend_from_slice(&(items.len() as u64).to_le_bytes());
            for item in items.iter() {
                text(bytes, item);
            }
        }
    }
}

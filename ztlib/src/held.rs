//! How much memory JSON values take: far more than their text, where they are many and small.

use serde_json::Value;

/// What a block of the allocator takes besides what is asked of it, at a guess on the safe side.
pub(crate) const BLOCK: usize = 32;

/// Objects are B-trees. A node has room for eleven members, whether they are there or not, and all
/// but the root have five at least.
pub(crate) const NODE: usize = BLOCK + 11 * (size_of::<String>() + size_of::<Value>());
pub(crate) const MEMBERS_OF_A_NODE: usize = 5;

/// What a value holds besides itself.
pub(crate) fn by(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => BLOCK + text.len(),
        Value::Array(items) if items.capacity() == 0 => 0,
        Value::Array(items) => {
            let inside: usize = items.iter().map(by).sum();
            BLOCK + items.capacity() * size_of::<Value>() + inside
        }
        Value::Object(members) if members.is_empty() => 0,
        Value::Object(members) => {
            let one = |(name, value): (&String, &Value)| BLOCK + name.len() + by(value);
            NODE * (1 + members.len() / MEMBERS_OF_A_NODE) + members.iter().map(one).sum::<usize>()
        }
    }
}

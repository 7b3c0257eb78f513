//! A fact: what a read returns, borrowed from the question and the view. A look-up compares facts
//! with remembered values in place, so that a decision that is remembered costs no copies.

use std::borrow::Cow;

use super::read::Value;

/// What a read returns, before anybody keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact<'q> {
    /// Known to be absent.
    Absent,
    /// Yes or no.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// Seconds since 1970-01-01T00:00:00Z.
    Time(u64),
    /// A text.
    Text(Cow<'q, str>),
    /// Texts.
    List(Vec<Cow<'q, str>>),
}

impl<'q> Fact<'q> {
    /// A text, or an absence.
    pub fn text(text: Option<impl Into<Cow<'q, str>>>) -> Self {
        text.map_or(Self::Absent, |text| Self::Text(text.into()))
    }

    /// A list of texts.
    pub fn list<T: Into<Cow<'q, str>>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }

    /// Whether it is this value, compared in full (T8).
    pub fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Absent, Value::Absent) => true,
            (Self::Bool(one), Value::Bool(other)) => one == other,
            (Self::Int(one), Value::Int(other)) => one == other,
            (Self::Time(one), Value::Time(other)) => one == other,
            (Self::Text(one), Value::Text(other)) => **one == **other,
            (Self::List(one), Value::List(other)) => {
                one.len() == other.len() && one.iter().zip(other.iter()).all(|(a, b)| **a == **b)
            }
            _ => false,
        }
    }

    /// The value to keep.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Absent => Value::Absent,
            Self::Bool(yes) => Value::Bool(*yes),
            Self::Int(number) => Value::Int(*number),
            Self::Time(seconds) => Value::Time(*seconds),
            Self::Text(text) => Value::Text(text.as_ref().into()),
            Self::List(items) => Value::List(items.iter().map(|item| item.as_ref().into()).collect()),
        }
    }

    /// Its bytes in a key: its kind, its length where that varies, itself. No two values have the
    /// same bytes, and none begins another.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        let text = |bytes: &mut Vec<u8>, text: &str| {
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        };
        match self {
            Self::Absent => bytes.push(0),
            Self::Bool(false) => bytes.push(1),
            Self::Bool(true) => bytes.push(2),
            Self::Int(number) => {
                bytes.push(3);
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            Self::Time(seconds) => {
                bytes.push(4);
                bytes.extend_from_slice(&seconds.to_le_bytes());
            }
            Self::Text(value) => {
                bytes.push(5);
                text(bytes, value);
            }
            Self::List(items) => {
                bytes.push(6);
                bytes.extend_from_slice(&(items.len() as u64).to_le_bytes());
                for item in items {
                    text(bytes, item);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value is kept, found again and keyed as itself, and as no other of these.
    #[test]
    fn a_fact_is_its_own_value_and_no_other() {
        let facts = || {
            [
                Fact::Absent,
                Fact::Bool(false),
                Fact::Bool(true),
                Fact::Int(0),
                Fact::Int(-1),
                Fact::Time(0),
                Fact::text(Some("")),
                Fact::text(Some("a")),
                Fact::text(Some("ab")),
                Fact::list(Vec::<&str>::new()),
                Fact::list(["ab"]),
                Fact::list(["a", "b"]),
                Fact::list(["", "ab"]),
            ]
        };
        let key = |fact: &Fact<'_>| {
            let mut bytes = Vec::new();
            fact.encode(&mut bytes);
            bytes
        };
        for (n, one) in facts().iter().enumerate() {
            for (m, other) in facts().iter().enumerate() {
                assert_eq!(one.is(&other.to_value()), n == m, "{one:?} {other:?}");
                assert_eq!(key(one).starts_with(&key(other)), n == m, "{one:?} {other:?}");
            }
        }
    }
}

//! Bytes → a JSON object that can be read in one way only.
//!
//! `serde_json` keeps the last of two equal members, allows 128 levels and any number of members.
//! Two readers that disagree about one text are how a token means one thing to its issuer and
//! another to us (RFC 8725 section 2.7, RFC 7493), so this reader refuses what can be read twice
//! and bounds the rest.

use std::cell::Cell;
use std::fmt;
use std::sync::LazyLock;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The size of what may be read. Bytes are bounded by the caller.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Levels of nesting; the outer object is the first.
    pub(super) depth: usize,
    /// Members of all objects together.
    pub(super) members: usize,
    /// The level of objects that stand for themselves: one that can be read in two ways is
    /// [`unreadable`], and the rest is read.
    pub(super) entries: Option<usize>,
}

/// The name of the only member of what is put in place of an entry that cannot be read. No text
/// has a member of this name: it is refused for it.
const UNREADABLE: &str = "\0";

/// Why an entry cannot be read in one way only, where it is such a one.
pub(super) fn unreadable(entry: &Map<String, Value>) -> Option<JsonFault> {
    let duplicate = entry.get(UNREADABLE)?.as_bool().unwrap_or_default();
    Some(if duplicate { JsonFault::DuplicateMember } else { JsonFault::NulCharacter })
}

/// Why a text is not a JSON object as ztlib reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonFault {
    /// The bytes are not UTF-8.
    NotUtf8,
    /// The text is not JSON (RFC 8259), or holds half a surrogate pair, a byte order mark or a
    /// number beyond a double.
    Syntax,
    /// The value is not an object.
    NotAnObject,
    /// An object, at any depth, has two members of one name.
    DuplicateMember,
    /// The nesting is deeper than is allowed: for a token
    /// [`max_nesting`](super::TokenVerifierBuilder::max_nesting), for a key set 32 levels.
    TooDeep,
    /// There are more members than are allowed: for a token
    /// [`max_claims`](super::TokenVerifierBuilder::max_claims), for a key set 16 384.
    TooManyMembers,
    /// A name or a string holds U+0000.
    NulCharacter,
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "not UTF-8",
            Self::Syntax => "not JSON",
            Self::NotAnObject => "not a JSON object",
            Self::DuplicateMember => "two members of one name",
            Self::TooDeep => "nested more deeply than the limit",
            Self::TooManyMembers => "more members than the limit",
            Self::NulCharacter => "a NUL character in a string",
        })
    }
}

/// Reads one object, and nothing but white space around it.
pub(super) fn read_object(bytes: &[u8], limits: Limits) -> Result<Map<String, Value>, JsonFault> {
    let text = std::str::from_utf8(bytes).map_err(|_| JsonFault::NotUtf8)?;
    let context = Context { limits, members: Cell::new(0), fault: Cell::new(None), spoilt: Cell::new(None) };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Node { context: &context, depth: 1 }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|_| context.fault.get().unwrap_or(JsonFault::Syntax))?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(JsonFault::NotAnObject),
    }
}

struct Context {
    limits: Limits,
    members: Cell<usize>,
    fault: Cell<Option<JsonFault>>,
    /// What is wrong with the entry that is being read, and with it alone.
    spoilt: Cell<Option<JsonFault>>,
}

impl Context {
    /// Remembers the fault: serde's own error carries text only.
    fn refuse<E: Error>(&self, fault: JsonFault) -> E {
        self.fault.set(Some(fault));
        E::custom(fault)
    }

    /// Refuses all of it, or the entry in which the fault is.
    fn object_to<E: Error>(&self, fault: JsonFault, depth: usize) -> Result<(), E> {
        if self.limits.entries.is_none_or(|entry| depth < entry) {
            return Err(self.refuse(fault));
        }
        self.spoilt.set(Some(fault));
        Ok(())
    }

    fn string<E: Error>(&self, text: String, depth: usize) -> Result<String, E> {
        if text.contains('\0') {
            self.object_to(JsonFault::NulCharacter, depth)?;
        }
        Ok(text)
    }

    fn count_member<E: Error>(&self) -> Result<(), E> {
        let members = self.members.get().saturating_add(1);
        self.members.set(members);
        if members > self.limits.members { Err(self.refuse(JsonFault::TooManyMembers)) } else { Ok(()) }
    }
}

#[derive(Clone, Copy)]
struct Node<'c> {
    context: &'c Context,
    depth: usize,
}

impl Node<'_> {
    fn inner<E: Error>(self) -> Result<Self, E> {
        if self.depth > self.context.limits.depth {
            return Err(self.context.refuse(JsonFault::TooDeep));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| self.context.refuse(JsonFault::Syntax))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.context.string(value, self.depth).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let is_entry = self.context.limits.entries == Some(self.depth);
        if is_entry {
            self.context.spoilt.set(None);
        }
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if name == NUMBER_IN_DISGUISE && *NUMBERS_ARE_TEXT {
                return self.number(&members.next_value::<String>()?);
            }
            self.context.count_member()?;
            let name = self.context.string(name, self.depth)?;
            if object.contains_key(&name) {
                self.context.object_to(JsonFault::DuplicateMember, self.depth)?;
            }
            let value = members.next_value_seed(inner)?;
            object.insert(name, value);
        }
        if let Some(fault) = is_entry.then(|| self.context.spoilt.take()).flatten() {
            object.clear();
            object.insert(UNREADABLE.to_owned(), (fault == JsonFault::DuplicateMember).into());
        }
        Ok(Value::Object(object))
    }
}

/// How `serde_json` hands over a number where some crate of the build has turned its
/// `arbitrary_precision` on.
const NUMBER_IN_DISGUISE: &str = "$serde_json::private::Number";

static NUMBERS_ARE_TEXT: LazyLock<bool> =
    LazyLock::new(|| serde_json::from_str::<Number>("1.10").is_ok_and(|number| number.to_string() == "1.10"));

impl Node<'_> {
    /// The number that `serde_json` would have given without that feature.
    fn number<E: Error>(self, text: &str) -> Result<Value, E> {
        if let Ok(number) = text.parse::<u64>() {
            self.visit_u64(number)
        } else if let Ok(number) = text.parse::<i64>() {
            self.visit_i64(number)
        } else {
            text.parse::<f64>()
                .map_or_else(|_| Err(self.context.refuse(JsonFault::Syntax)), |n| self.visit_f64(n))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN_LIMITS: Limits = Limits { depth: 32, members: 256, entries: None };

    fn read(text: &str) -> Result<Map<String, Value>, JsonFault> {
        read_object(text.as_bytes(), TOKEN_LIMITS)
    }

    #[test]
    fn duplicate_members_at_any_depth_are_refused() {
        assert!(read(r#"{"a":1,"b":{"a":1}}"#).is_ok());
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"role":"user","role":"admin"}}"#,
            r#"{"x":[[{"r":1,"r":2}]]}"#,
        ] {
            assert_eq!(read(text), Err(JsonFault::DuplicateMember), "{text}");
        }
    }

    #[test]
    fn odd_unicode_is_refused() {
        assert!(read(r#"{"a":"\ud83d\ude00"}"#).is_ok());
        assert_eq!(read(r#"{"a":"\ud83d"}"#), Err(JsonFault::Syntax));
        assert_eq!(read(r#"{"a":"\ude00\ud83d"}"#), Err(JsonFault::Syntax));
        assert_eq!(read("\u{feff}{}"), Err(JsonFault::Syntax));
        assert_eq!(read(r#"{"a":"x\u0000"}"#), Err(JsonFault::NulCharacter));
        assert_eq!(read(r#"{"a\u0000":1}"#), Err(JsonFault::NulCharacter));
        assert_eq!(read_object(b"{\"a\":\"\xff\"}", TOKEN_LIMITS), Err(JsonFault::NotUtf8));
        assert_eq!(read_object(b"{\"a\":\"\xc0\x80\"}", TOKEN_LIMITS), Err(JsonFault::NotUtf8));
    }

    #[test]
    fn names_are_compared_as_bytes_without_normalisation() {
        let object = read("{\"\u{e9}\":1,\"e\u{301}\":2}").unwrap();
        assert_eq!(object.len(), 2);
    }

    #[test]
    fn depth_and_members_are_bounded() {
        let nested =
            |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert!(read(&nested(32)).is_ok());
        assert_eq!(read(&nested(33)), Err(JsonFault::TooDeep));
        assert_eq!(read(&nested(4_000)), Err(JsonFault::TooDeep));
        let wide = |members: usize| {
            let members: Vec<String> = (0..members).map(|n| format!("\"m{n}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(read(&wide(256)).is_ok());
        assert_eq!(read(&wide(257)), Err(JsonFault::TooManyMembers));
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "{}{}",
            "{} x",
            "{\"a\":1,}",
            "{'a':1}",
            "{\"a\":01}",
            "{\"a\":NaN}",
            "{\"a\":1e999}",
        ] {
            assert_eq!(read(text), Err(JsonFault::Syntax), "{text}");
        }
        for text in ["[]", "1", "null", "\"{}\""] {
            assert_eq!(read(text), Err(JsonFault::NotAnObject), "{text}");
        }
    }

    proptest! {
        /// What this reader accepts, `serde_json` reads in the same way; it never panics.
        #[test]
        fn agrees_with_serde_json(text in r#"[{}\[\]:,"a\\u0-9.eE+ -]{0,40}"#) {
            if let Ok(object) = read(&text) {
                prop_assert_eq!(Value::Object(object), serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}

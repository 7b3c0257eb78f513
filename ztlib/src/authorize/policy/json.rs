//! JSON values out of the three formats that people write, strictly: what two readers could read differently is refused.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};

/// A JSON value without duplicate members, whatever it was written in.
#[derive(Debug)]
pub(crate) struct Strict(pub(crate) Json);

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
    Toml,
}

impl Format {
    /// By the ending of a file's name.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path.rsplit_once('.')?.1 {
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            "toml" => Some(Self::Toml),
            _ => None,
        }
    }

    /// The value, or what is wrong and in which line.
    pub(crate) fn parse(self, text: &str) -> Result<Json, (String, Option<usize>)> {
        match self {
            Self::Json => serde_json::from_str::<Strict>(text).map_err(|error| {
                let line = Some(error.line()).filter(|line| *line > 0);
                (error.to_string(), line)
            }),
            Self::Yaml => serde_norway::from_str::<Strict>(text).map_err(|error| {
                let line = error.location().map(|location| location.line());
                (error.to_string(), line)
            }),
            Self::Toml => toml::from_str::<Strict>(text).map_err(|error| {
                let line = error.span().map(|span| line_of(text, span.start));
                (error.message().to_owned(), line)
            }),
        }
        .map(|strict| strict.0)
    }
}

/// The line of a byte, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count().saturating_add(1)
}

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<Json, E> {
        Ok(Json::Bool(yes))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Json, E> {
        Ok(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Json, E> {
        Number::from_f64(number).map(Json::Number).ok_or_else(|| E::custom("JSON has no such number"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Json, E> {
        Ok(Json::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if name == "<<" {
                return Err(A::Error::custom("merge keys (`<<`) are not read: write the members out"));
            }
            // toml's way of handing over a date; JSON has none, and a guess would be a surprise.
            if name == "$__toml_private_datetime" {
                return Err(A::Error::custom("JSON has no dates: put quotes around it"));
            }
            let Strict(value) = members.next_value()?;
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!(
                    "the member `{}` is there twice",
                    name.escape_debug()
                )));
            }
            object.insert(name, value);
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_formats_give_the_same_value() {
        let json =
            serde_json::json!({"roles": {"admin": ["alice", "bob"]}, "limit": 3, "on": true, "part": 0.5});
        let texts = [
            (Format::Json, r#"{"roles": {"admin": ["alice", "bob"]}, "limit": 3, "on": true, "part": 0.5}"#),
            (Format::Yaml, "roles:\n  admin: [alice, bob]\nlimit: 3\non: true\npart: 0.5\n"),
            (Format::Toml, "limit = 3\non = true\npart = 0.5\n[roles]\nadmin = ['alice', 'bob']\n"),
        ];
        for (format, text) in texts {
            assert_eq!(format.parse(text), Ok(json.clone()), "{format:?}");
        }
    }

    #[test]
    fn duplicate_members_are_refused_at_any_depth_with_their_line() {
        let twice = [
            (Format::Json, "{\"a\": {\"b\": 1,\n\"b\": 2}}"),
            (Format::Yaml, "a:\n  b: 1\n  b: 2\n"),
            (Format::Toml, "[a]\nb = 1\nb = 2\n"),
        ];
        for (format, text) in twice {
            let (message, line) = format.parse(text).unwrap_err();
            assert!(line.is_some(), "{format:?}: {message}");
            assert!(message.contains('b') || message.contains("duplicate"), "{format:?}: {message}");
        }
    }

    #[test]
    fn what_json_does_not_have_is_refused() {
        for (format, text) in [
            (Format::Yaml, "a: .nan"),
            (Format::Yaml, "a: !secret b"),
            (Format::Yaml, "x: &x {a: 1}\ny:\n  <<: *x\n"),
            (Format::Toml, "a = 2026-11-22"),
            (Format::Toml, "a = inf"),
            (Format::Json, "{\"a\": 1} x"),
            (Format::Json, "{\"a\": 1e999}"),
        ] {
            assert!(format.parse(text).is_err(), "{text}");
        }
        assert_eq!(Format::Yaml.parse("a: b"), Ok(serde_json::json!({"a": "b"})));
    }

    #[test]
    fn a_bomb_of_aliases_or_depth_is_an_error_and_not_a_bomb() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            bomb.push_str(&format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", ")));
        }
        assert!(Format::Yaml.parse(&bomb).is_err());
        for format in [Format::Json, Format::Yaml] {
            assert!(format.parse(&"[".repeat(100_000)).is_err());
        }
        assert!(Format::Toml.parse(&format!("a = {}", "[".repeat(100_000))).is_err());
    }
}

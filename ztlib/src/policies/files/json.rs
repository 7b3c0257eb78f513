//! Strict JSON values from the three formats that people write. Text that two parsers could read
//! differently is refused.

use std::cell::Cell;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};
use ztlib_contract::cases::line_of;

use crate::held;

/// A JSON value without duplicate members, from any of the formats.
#[derive(Debug)]
pub(crate) struct Strict(pub(crate) Json);

/// The format of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
    Toml,
}

impl Format {
    /// The format by the extension of a file's name.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path.rsplit_once('.')?.1 {
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            "toml" => Some(Self::Toml),
            _ => None,
        }
    }

    /// Returns the value, or what is wrong and in which line.
    pub(crate) fn parse(self, text: &str) -> Result<Json, (String, Option<usize>)> {
        if self != Self::Json && text.len() > MAX_WRITTEN_BYTES {
            let message = format!(
                "it is larger than {} MiB, the limit for YAML and TOML: write it as JSON, whose parser needs far less memory",
                MAX_WRITTEN_BYTES >> 20
            );
            return Err((message, None));
        }
        match self {
            Self::Json => serde_json::from_str::<Strict>(text).map_err(|error| {
                let line = Some(error.line()).filter(|line| *line > 0);
                (error.to_string(), line)
            }),
            Self::Yaml => {
                if let Some(line) = directive(text) {
                    let message = "directives (`%YAML`, `%TAG`) are not supported: remove the line";
                    return Err((message.to_owned(), Some(line)));
                }
                if let Some(line) = too_deep(text) {
                    let message = format!(
                        "lists and tables in brackets are nested more than {MAX_BRACKETS} deep"
                    );
                    return Err((message, Some(line)));
                }
                if let Some(line) = too_nested(text) {
                    let message = format!(
                        "more than {MAX_NESTED} lists begin on the same line as the list around them: write it as JSON"
                    );
                    return Err((message, Some(line)));
                }
                // An alias repeats everything that it refers to, so a short text could expand to a
                // value that fills the memory.
                let room = Room::of(text.len().saturating_mul(2).saturating_add(ALIASED_BYTES));
                let value = Within(&room).deserialize(serde_norway::Deserializer::from_str(text));
                value.map(Strict).map_err(|error| {
                    let line = error.location().map(|location| location.line());
                    (error.to_string(), line)
                })
            }
            Self::Toml => toml::from_str::<Strict>(text).map_err(|error| {
                let line = error.span().map(|span| line_of(text, span.start));
                (error.message().to_owned(), line)
            }),
        }
        .map(|strict| strict.0)
    }
}

/// The largest text in YAML or TOML, in bytes. Their parsers keep all tokens of a text at once, at
/// a hundred bytes or more each.
const MAX_WRITTEN_BYTES: usize = 2 << 20;

/// Returns the line of a YAML text that is, or may be, a directive. The parser compares each with
/// all earlier ones, so a megabyte of them takes many seconds. No document needs a line that begins
/// with `%`.
fn directive(text: &str) -> Option<usize> {
    let text = text.trim_start_matches('\u{feff}');
    let mut line = 1_usize;
    let mut begins = true;
    for letter in text.chars() {
        if begins && letter == '%' {
            return Some(line);
        }
        begins = matches!(letter, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
            || begins && letter == '\u{feff}';
        line = line.saturating_add((letter == '\n').into());
    }
    None
}

/// How much the aliases of a YAML text may add to it: values, names and bytes of texts.
const ALIASED_BYTES: usize = 64 << 10;

/// How many brackets may be open at once in a YAML text. For each token the parser goes through all
/// open ones, and checks its own limit only at the end: a few hundred kilobytes of brackets take
/// minutes.
const MAX_BRACKETS: usize = 256;

/// Returns the line of a YAML text in which too many brackets may be open.
///
/// Only a YAML parser knows whether a quote begins a text, a `#` a comment or a `!` a tag. So this
/// follows both meanings of each with the brackets that would be open, and never counts fewer than
/// the parser has.
fn too_deep(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    // How many brackets were open before a quoted text, a comment or a tag that may have begun:
    // brackets inside of it do not count.
    let (mut single, mut double, mut comment, mut tag) = (0_usize, 0_usize, 0_usize, 0_usize);
    let (mut line, mut escapes) = (1_usize, false);
    for byte in text.bytes() {
        let is_escaped = std::mem::take(&mut escapes);
        match byte {
            b'[' | b'{' => open = open.saturating_add(1),
            b']' | b'}' => open = open.saturating_sub(1),
            b'\'' => (open, single) = (open.max(single), open),
            b'"' if is_escaped => (open, double) = (open.max(double), open.max(double)),
            b'"' => (open, double) = (open.max(double), open),
            b'\\' => escapes = !is_escaped,
            b'#' => comment = comment.max(open),
            b'!' => tag = tag.max(open),
            b',' => open = open.max(tag),
            b' ' | b'\t' => open = open.max(std::mem::take(&mut tag)),
            // YAML ends a line at either.
            b'\n' | b'\r' => {
                line = line.saturating_add((byte == b'\n').into());
                open = open.max(std::mem::take(&mut tag)).max(std::mem::take(&mut comment));
            }
            // Some of these end a line.
            0x80.. => open = open.max(tag).max(comment),
            _ => {}
        }
        if open > MAX_BRACKETS {
            return Some(line);
        }
    }
    None
}

/// How many lists and keys of a YAML text may begin on a line after two others (`- - - a`). Two
/// bytes of such a line become three events of hundreds of bytes each, and the parser keeps them
/// all before it checks the depth: 2 MiB took 430 MiB.
const MAX_NESTED: usize = 1 << 15;

/// Returns the line of a YAML text that has too many of them. In a long text, lines that only look
/// like it count too.
fn too_nested(text: &str) -> Option<usize> {
    let mut nested = 0_usize;
    for (at, line) in text.split('\n').enumerate() {
        // Each of these ends a line in YAML.
        for line in line.split(['\r', '\u{85}', '\u{2028}', '\u{2029}']) {
            let mut rest = line.trim_start_matches([' ', '\u{feff}']);
            let mut begun = 0_usize;
            while let Some(after) = rest.strip_prefix(['-', '?', ':'])
                && (after.is_empty() || after.starts_with(' '))
            {
                begun = begun.saturating_add(1);
                rest = after.trim_start_matches(' ');
            }
            nested = nested.saturating_add(begun.saturating_sub(2));
            if nested > MAX_NESTED {
                return Some(at.saturating_add(1));
            }
        }
    }
    None
}

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Without aliases, a value cannot be larger than its text.
        Within(&Room::of(usize::MAX)).deserialize(deserializer).map(Self)
    }
}

/// The most memory that one value may take. Many small lists and tables take a hundred times the
/// size of their text. It is counted during parsing, so that a value that is too large never
/// exists.
const MAX_HELD_BYTES: usize = 128 << 20;

/// How much may still be expanded, and how much memory may still be used.
struct Room {
    said: Cell<usize>,
    held: Cell<usize>,
}

impl Room {
    fn of(said: usize) -> Self {
        Self { said: Cell::new(said), held: Cell::new(MAX_HELD_BYTES) }
    }
}

/// Parses a value within the remaining room.
#[derive(Clone, Copy)]
struct Within<'r>(&'r Room);

impl Within<'_> {
    fn take<E: Error>(self, bytes: usize) -> Result<(), E> {
        let left = self.0.said.get().checked_sub(bytes.saturating_add(1));
        self.0.said.set(left.ok_or_else(|| {
            E::custom(
                "its aliases expand to far more than the text itself: use fewer, or write the values out",
            )
        })?);
        Ok(())
    }

    fn hold<E: Error>(self, bytes: usize) -> Result<(), E> {
        let left = self.0.held.get().checked_sub(bytes);
        self.0.held.set(left.ok_or_else(|| {
            E::custom("it would take more than 128 MiB of memory: shorten it, above all its lists and tables")
        })?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Within<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        self.take(0)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Within<'_> {
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
        self.take(text.len())?;
        self.hold(held::BLOCK + text.len())?;
        Ok(Json::String(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Json, E> {
        self.take(text.len())?;
        self.hold(held::BLOCK + text.len())?;
        Ok(Json::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            if array.len() == array.capacity() {
                // A vector grows to four elements first, and then doubles.
                self.hold(held::BLOCK + array.len().max(4) * size_of::<Json>())?;
            }
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if name == "<<" {
                return Err(A::Error::custom("merge keys (`<<`) are not supported: write the members out"));
            }
            // The `toml` crate passes a date under this name. JSON has no dates, and a guess would
            // surprise.
            if name == "$__toml_private_datetime" {
                return Err(A::Error::custom("JSON has no dates: put quotes around it"));
            }
            self.take(name.len())?;
            let node = if object.len().is_multiple_of(held::MEMBERS_OF_A_NODE) { held::NODE } else { 0 };
            self.hold(node + held::BLOCK + name.len())?;
            let value = members.next_value_seed(self)?;
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!(
                    "the member `{}` appears twice",
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
        // One level of aliases is enough: many aliases to a long list or a long text.
        let many = |what: &str| format!("a: &a {what}\nb: [{}]\n", vec!["*a"; 2000].join(", "));
        for what in [format!("[{}]", vec!["x"; 2000].join(", ")), "x".repeat(2000)] {
            let error = Format::Yaml.parse(&many(&what)).map(drop).unwrap_err();
            assert!(error.0.contains("aliases"), "{error:?}");
        }
        let few = "a: &a [x, y]\nb: *a\nc: [*a, *a]\n";
        assert!(Format::Yaml.parse(few).is_ok());
        for format in [Format::Json, Format::Yaml] {
            assert!(format.parse(&"[".repeat(100_000)).is_err());
        }
        assert!(Format::Toml.parse(&format!("a = {}", "[".repeat(100_000))).is_err());
    }

    #[test]
    fn a_text_that_would_fill_the_memory_is_refused_as_it_is_read() {
        for unit in ["{\"a\":0},", "[1],"] {
            let text = |count: usize| format!("[{}0]", unit.repeat(count));
            assert!(Format::Json.parse(&text(10_000)).is_ok(), "{unit}");
            let error = Format::Json.parse(&text(1_700_000)).unwrap_err();
            assert!(error.0.contains("128 MiB"), "{unit}: {error:?}");
        }
    }

    #[test]
    fn what_is_weighed_as_it_is_read_is_what_it_holds() {
        for text in [r#"{"a": {"b": {}}, "c": [[1], "text", []]}"#, "[1,2,3,4,5,6,7,8,9]", "\"long\"", "{}"] {
            let room = Room::of(usize::MAX);
            let value = Within(&room).deserialize(&mut serde_json::Deserializer::from_str(text)).unwrap();
            let weighed = MAX_HELD_BYTES - room.held.get();
            assert!(
                weighed >= held::by(&value) && weighed <= 2 * held::by(&value),
                "{text}: {weighed} {}",
                held::by(&value)
            );
        }
    }

    #[test]
    fn directives_are_refused_before_they_are_parsed() {
        let many: String = (0..60_000).map(|n| format!("%TAG !a{n}! tag:x,{n}:\n")).collect();
        for (text, line) in [
            (format!("{many}--- a\n"), 1),
            ("%YAML 1.2\n---\na: b\n".to_owned(), 1),
            ("\u{feff}%UNKNOWN\n--- a\n".to_owned(), 1),
            ("# a comment\n%YAML 1.2\n--- a".to_owned(), 2),
            ("a: b\n...\n%TAG ! x\n--- c".to_owned(), 3),
            ("a: b\r...\r%TAG ! x\r--- c".to_owned(), 1),
            ("# a\u{2028}%TAG ! x\n--- c".to_owned(), 1),
        ] {
            let (message, at) = Format::Yaml.parse(&text).unwrap_err();
            assert!(message.contains("directives"), "{message}");
            assert_eq!(at, Some(line));
        }
        assert!(Format::Yaml.parse("a: '100%'\nb: %c\n").is_err(), "YAML has no such text");
        assert_eq!(Format::Yaml.parse("a: 100%\n"), Ok(serde_json::json!({"a": "100%"})));
    }

    #[test]
    fn lists_that_begin_in_each_others_line_are_bounded() {
        let parsed = |text: &str| Format::Yaml.parse(text);
        assert_eq!(parsed("- - - a\n    - b\n"), Ok(serde_json::json!([[["a", "b"]]])));
        assert_eq!(too_nested(&"- - - a\n".repeat(MAX_NESTED)), None);
        assert_eq!(too_nested(&"- - - a\n".repeat(MAX_NESTED + 1)), Some(MAX_NESTED + 1));
        for unit in ["- ", "? ", "? - ", "- - - - a\r", "- - - - a\u{2028}", "? a\n: - - -\n"] {
            let (message, line) = parsed(&unit.repeat(100_000)).unwrap_err();
            assert!(message.contains("write it as JSON") && line.is_some(), "{unit}: {message}");
        }
        // Two on a line, a rule in a long text and a minus sign do not count.
        for unit in ["- - a\n", "- -1\n", "- a - - - b\n"] {
            assert_eq!(too_nested(&unit.repeat(200_000)), None, "{unit}");
        }
    }

    /// The worst case of each construct at the largest size takes at most seconds, even in a build
    /// without optimization.
    #[test]
    #[allow(clippy::disallowed_methods, reason = "the test measures time")]
    fn no_construct_of_the_largest_size_takes_long() {
        let fill = |unit: &str, max: usize| unit.repeat(max / unit.len());
        let numbered = |of: &dyn Fn(usize) -> String, max: usize| {
            let mut all = String::new();
            (0..)
                .map(of)
                .take_while(|part| {
                    all.push_str(part);
                    all.len() < max
                })
                .for_each(drop);
            all.truncate(max);
            all
        };
        let max = MAX_WRITTEN_BYTES - 64;
        let yaml = [
            numbered(&|n| format!("k{n}: &a{n} x\n"), max),
            format!("a: &a x\nb: [{}]\n", fill("*a, ", max)),
            fill("--- a\n", max),
            fill("---\n", max),
            fill("...\n", max),
            fill("# comment\n", max),
            fill("#", max),
            format!("a: |\n{}", fill("  x\n", max)),
            format!("a: |\n{}", fill("   \n", max)),
            format!("a: >\n{}", fill("  x\n\n", max)),
            format!("a: |9\n{}", fill(" \n", max)),
            fill("x ", max),
            fill("x\n", max),
            fill("x", max),
            format!("\"{}\"", fill("\\u0041", max)),
            format!("\"{}\"", fill("\\\n", max)),
            format!("'{}'", fill("''", max)),
            format!("'{}'", fill("\n", max)),
            fill("? ", max),
            fill("- ", max),
            fill("? a\n: b\n", max),
            fill("a: b\n", max),
            fill("a: ", max),
            fill("\t", max),
            fill("\r", max),
            fill("\r\n", max),
            fill("!a ", max),
            fill("!<a> x\n", max),
            format!("!<{}> x", fill("%41", max)),
            format!("!{} x", fill("a", max)),
            format!("&{} x", fill("a", max)),
            format!("[{}]", fill("a, ", max)),
            format!("[{}]", fill("[], ", max)),
            format!("[{}]", fill("a: b, ", max)),
            format!("[{}]", fill("? a, ", max)),
            format!("{{{}}}", numbered(&|n| format!("k{n}: v, "), max)),
            format!("a: {}", fill("9", max)),
            format!("a: 0x{}", fill("f", max)),
            format!("a: 1.{}e1", fill("0", max)),
            fill("\u{feff}", max),
        ];
        let toml = [
            numbered(&|n| format!("k{n} = 1\n"), max),
            numbered(&|n| format!("[t{n}]\n"), max),
            fill("[[a]]\n", max),
            fill("[[a]]\n[a.b]\n", max),
            format!("a = [{}]", fill("1,", max)),
            format!("a = [{}]", fill("[],", max)),
            format!("a = \"{}\"", fill("\\u0041", max)),
            format!("a = {}", fill("9", max)),
            fill("a.", max),
            format!("[{}]", fill("a.", max)),
            fill("# a\n", max),
            fill("\n", max),
            fill("a=", max),
            format!("a = {{{}}}", numbered(&|n| format!("k{n}=1,"), max)),
            numbered(&|n| format!("a.b{n} = 1\n"), max),
            fill("[a]\n", max),
        ];
        let max = 16 << 20;
        let json = [
            format!("[{}1]", fill("1,", max)),
            format!("[{}1]", fill("\"\",", max)),
            format!("\"{}\"", fill("\\u0041", max)),
            fill("9", max),
            format!("0.{}", fill("0", max)),
            format!("{{{}}}", fill("\"a\":1,", max)),
            format!(
                "{{{}\"z\":1}}",
                numbered(&|n| format!("\"k{n}\":1,"), max - 64).trim_end_matches(|c| c != ',')
            ),
            fill(" ", max),
        ];
        let all = yaml.iter().map(|text| (Format::Yaml, text));
        let all = all.chain(toml.iter().map(|text| (Format::Toml, text)));
        for (format, text) in all.chain(json.iter().map(|text| (Format::Json, text))) {
            let begun = std::time::Instant::now();
            let _ = format.parse(text);
            let took = begun.elapsed();
            let shown: String = text.chars().take(24).collect();
            assert!(took.as_secs() < 20, "{format:?} {shown:?}: {took:?}");
        }
    }

    #[test]
    fn yaml_that_would_take_hours_is_refused_before_it_is_parsed() {
        let refused = |unit: &str| {
            let error = Format::Yaml.parse(&unit.repeat(100_000)).unwrap_err();
            assert!(error.0.contains("in brackets"), "{unit:?}: {error:?}");
        };
        for unit in ["[", "{a: ", "[x, ", "{a: [", "? [", "[]["] {
            refused(unit);
        }
        // What closes nothing in YAML closes nothing here.
        for unit in [
            "[ # ]]\n",
            "[ # ]]\u{85}",
            "[ # ]]\r",
            "[ # ]]\u{2028}",
            "['', ']]', ",
            "[\"]]\", ",
            "[\"\\\"]]\", ",
            "[\"\\\\\", ",
            "['\n]]', ",
            "[\"\n]]\", ",
            "[a', ",
            "[ !<]]> ",
            "[ !<]]>, ",
            "{ !<]]> a: ",
            "['it''s]', ",
            "[\"']]\", '\"]]', ",
        ] {
            refused(unit);
        }
        let line = "a: [\"{b}\", '[c]', d's] # e [f]\n";
        let many: String = (0..2000).map(|n| format!("k{n}{line}")).collect();
        assert_eq!(too_deep(&many), None);
        assert_eq!(too_deep(&"[".repeat(MAX_BRACKETS)), None);
        assert_eq!(too_deep(&format!("\n{}", "[".repeat(MAX_BRACKETS + 1))), Some(2));
    }
}

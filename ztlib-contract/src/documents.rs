//! Documents: static data that policies look things up in (role bindings, relationships).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::fact::Fact;
use super::json::canonical_text;
use super::read::ReadFault;

/// The longest JSON pointer that is looked at, in bytes, and its most segments.
const MAX_POINTER_BYTES: usize = 1024;

/// The documents of one view: immutable for as long as a request looks at them.
#[derive(Debug, Clone, Default)]
pub struct Documents(pub BTreeMap<Box<str>, Arc<Json>>);

/// Where the symbols of a pointer get their values.
pub(crate) trait Symbols {
    /// The value of `{name}`: none where it is absent, a fault where there is no such symbol.
    fn symbol(&self, name: &str) -> Result<Option<Cow<'_, str>>, ReadFault>;
}

impl Documents {
    /// The text at a pointer.
    ///
    /// # Errors
    /// [`ReadFault::UndeclaredDocument`], [`ReadFault::Malformed`] for the pointer,
    /// [`ReadFault::WrongType`].
    pub(crate) fn string(
        &self,
        document: &str,
        pointer: &str,
        symbols: &impl Symbols,
    ) -> Result<Fact<'_>, ReadFault> {
        match self.find(document, pointer, symbols)? {
            None => Ok(Fact::Absent),
            Some(Json::String(text)) => Ok(Fact::Text(text.as_str().into())),
            Some(_) => Err(ReadFault::WrongType("a string")),
        }
    }

    /// What is at a pointer, as [canonical text](crate::canonical_text).
    ///
    /// # Errors
    /// As [`string`](Self::string).
    pub(crate) fn json(
        &self,
        document: &str,
        pointer: &str,
        symbols: &impl Symbols,
    ) -> Result<Fact<'_>, ReadFault> {
        Ok(self
            .find(document, pointer, symbols)?
            .map_or(Fact::Absent, |json| Fact::Text(canonical_text(json).into())))
    }

    /// Whether what is at a pointer is this text, an array that holds it, or an object with a
    /// member of this name.
    ///
    /// # Errors
    /// As [`string`](Self::string).
    pub(crate) fn contains(
        &self,
        document: &str,
        pointer: &str,
        value: &str,
        symbols: &impl Symbols,
    ) -> Result<Fact<'_>, ReadFault> {
        let found = self.find(document, pointer, symbols)?;
        // The value is what it is: it may be what a caller sent, and nothing in it is a symbol or
        // an escape.
        Ok(Fact::Bool(found.is_some_and(|json| match json {
            Json::String(text) => *text == *value,
            Json::Array(items) => items.iter().any(|item| item.as_str() == Some(value)),
            Json::Object(members) => members.contains_key(value),
            _ => false,
        })))
    }

    /// None where nothing is there, or where a symbol of the pointer is absent.
    fn find(
        &self,
        document: &str,
        pointer: &str,
        symbols: &impl Symbols,
    ) -> Result<Option<&Json>, ReadFault> {
        let document = self.0.get(document).ok_or(ReadFault::UndeclaredDocument)?;
        check_template(pointer)?;
        let mut current = Some(document.as_ref());
        // The symbols are put in segment by segment, after the pointer is taken apart: a value
        // never adds a segment.
        for segment in segments(pointer) {
            let Some(segment) = expand(segment, symbols)? else {
                // The remaining symbols are still looked at, so that a wrong one is a fault on
                // every path.
                current = None;
                continue;
            };
            current = current.and_then(|json| step(json, &segment));
        }
        Ok(current)
    }
}

/// The segments of a pointer. The slashes inside of a symbol (`{claim:/tenant}`) do not part
/// segments.
fn segments(pointer: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    let parts = move |c: char| {
        inside = (inside || c == '{') && c != '}';
        c == '/' && !inside
    };
    pointer.split(parts).skip(1)
}

/// RFC 6901 section 3, with a bound.
pub fn check_pointer(pointer: &str) -> Result<(), ReadFault> {
    check(pointer, &['0', '1'], "in a JSON pointer `~` stands only as `~0` or `~1` (RFC 6901)")
}

/// A pointer that may hold symbols. Braces that are no symbol's are escaped, as RFC 6901 escapes
/// what it has a meaning for.
fn check_template(pointer: &str) -> Result<(), ReadFault> {
    let form = "in a pointer into a document `~` stands only as `~0` (for `~`), `~1` (`/`), `~2` (`{`) or `~3` (`}`)";
    check(pointer, &['0', '1', '2', '3'], form)
}

fn check(pointer: &str, escapes: &[char], form: &'static str) -> Result<(), ReadFault> {
    if pointer.len() > MAX_POINTER_BYTES {
        return Err(ReadFault::Malformed("the pointer is longer than 1024 bytes"));
    }
    if !(pointer.is_empty() || pointer.starts_with('/')) {
        return Err(ReadFault::Malformed("a JSON pointer is empty or begins with `/` (RFC 6901)"));
    }
    let mut rest = pointer;
    while let Some((_, after)) = rest.split_once('~') {
        if !after.starts_with(escapes) {
            return Err(ReadFault::Malformed(form));
        }
        rest = after;
    }
    Ok(())
}

fn step<'j>(json: &'j Json, segment: &str) -> Option<&'j Json> {
    match json {
        Json::Object(members) => members.get(segment),
        // RFC 6901 section 4: digits, no leading zero.
        Json::Array(items) if segment == "0" || !segment.starts_with('0') => {
            if segment.bytes().all(|b| b.is_ascii_digit()) {
                items.get(segment.parse::<usize>().ok()?)
            } else {
                None
            }
        }
        _ => None,
    }
}

/// Two values in one segment could be parted in two ways: the tenant `a-b` and the user `c`, or `a`
/// and `b-c`. So one caller would be looked up under the name of another.
const ONE_SYMBOL: &str = "a segment of a pointer holds one symbol at most: give each a segment of its own";

/// Puts the value of the `{symbol}` into a segment and takes out the escapes around it; none where
/// it is absent.
fn expand<'t>(text: &'t str, symbols: &impl Symbols) -> Result<Option<Cow<'t, str>>, ReadFault> {
    if !text.contains(['{', '}', '~']) {
        return Ok(Some(Cow::Borrowed(text)));
    }
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    let (mut absent, mut seen) = (false, false);
    while let Some((literal, after)) = rest.split_once('{') {
        if seen {
            return Err(ReadFault::Malformed(ONE_SYMBOL));
        }
        seen = true;
        push_literal(&mut expanded, literal)?;
        let (name, after) = after.split_once('}').ok_or(ReadFault::Malformed("a symbol ends with `}`"))?;
        match symbols.symbol(name)? {
            Some(value) => expanded.push_str(&value),
            None => absent = true,
        }
        rest = after;
    }
    push_literal(&mut expanded, rest)?;
    Ok((!absent).then_some(Cow::Owned(expanded)))
}

fn push_literal(expanded: &mut String, literal: &str) -> Result<(), ReadFault> {
    if literal.contains('}') {
        return Err(ReadFault::Malformed("a symbol begins with `{`"));
    }
    let mut rest = literal;
    while let Some((before, escape)) = rest.split_once('~') {
        expanded.push_str(before);
        let mut escape = escape.chars();
        // What else could follow was refused before (`check_template`).
        match escape.next() {
            Some('1') => expanded.push('/'),
            Some('2') => expanded.push('{'),
            Some('3') => expanded.push('}'),
            _ => expanded.push('~'),
        }
        rest = escape.as_str();
    }
    expanded.push_str(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Alice;
    impl Symbols for Alice {
        fn symbol(&self, name: &str) -> Result<Option<Cow<'_, str>>, ReadFault> {
            match name {
                "subject" => Ok(Some("al/ice~1".into())),
                "peer" => Ok(None),
                "claim:/org/id" => Ok(Some("al".into())),
                _ => Err(ReadFault::Malformed("there is no such symbol")),
            }
        }
    }

    fn documents() -> Documents {
        let roles = serde_json::json!({
            "users": {"al/ice~1": ["admin"], "bob": "viewer"}, "al": {"ice~1": "stolen"}, "n": 1, "list": ["a", "b"], "{x": "odd"
        });
        Documents([("roles".into(), Arc::new(roles))].into())
    }

    #[test]
    fn a_symbol_is_one_segment_whatever_it_holds() {
        let documents = documents();
        assert_eq!(documents.contains("roles", "/users/{subject}", "admin", &Alice), Ok(Fact::Bool(true)));
        assert_eq!(documents.contains("roles", "/users/{subject}", "viewer", &Alice), Ok(Fact::Bool(false)));
        assert_eq!(documents.string("roles", "/{subject}", &Alice), Ok(Fact::Absent));
    }

    /// Findings E7: a caller's text is not a template.
    #[test]
    fn a_value_is_compared_as_it_is() {
        let documents = documents();
        let contains = |pointer: &str, value: &str| documents.contains("roles", pointer, value, &Alice);
        for (value, held) in [
            ("al/ice~1", true),
            ("{subject}", false),
            ("al~1ice~01", false),
            ("{peer}", false),
            ("{param:owner}", false),
            ("{", false),
            ("~", false),
        ] {
            assert_eq!(contains("/users", value), Ok(Fact::Bool(held)), "{value}");
        }
        assert_eq!(contains("", "{x"), Ok(Fact::Bool(true)), "a member that looks like half a symbol");
    }

    #[test]
    fn braces_and_slashes_that_are_no_symbols_are_escaped_in_a_pointer() {
        let documents = documents();
        assert_eq!(documents.string("roles", "/~2x", &Alice), Ok(Fact::Text("odd".into())));
        assert_eq!(
            documents.json("roles", "/users/al~1ice~01", &Alice),
            Ok(Fact::Text("[\"admin\"]".into()))
        );
        assert_eq!(documents.string("roles", "/users/~2subject~3", &Alice), Ok(Fact::Absent));
        assert_eq!(documents.string("roles", "/~02x", &Alice), Ok(Fact::Absent), "a tilde and a two");
    }

    #[test]
    fn a_symbol_may_hold_a_pointer_of_its_own() {
        let documents = documents();
        assert_eq!(
            documents.string("roles", "/{claim:/org/id}/ice~01", &Alice),
            Ok(Fact::Text("stolen".into()))
        );
        assert_eq!(
            documents.string("roles", "/{claim:/org/id}", &Alice),
            Err(ReadFault::WrongType("a string"))
        );
        assert!(documents.string("roles", "/{claim:/org/name}", &Alice).is_err());
        assert!(documents.string("roles", "/{claim:/org/id", &Alice).is_err());
    }

    #[test]
    fn two_symbols_in_one_segment_are_a_fault() {
        let documents = documents();
        for pointer in [
            "/users/{subject}{claim:/org/id}",
            "/users/{claim:/org/id}-{subject}",
            "/users/{subject}/x{peer}y{subject}",
        ] {
            assert_eq!(
                documents.contains("roles", pointer, "admin", &Alice),
                Err(ReadFault::Malformed(ONE_SYMBOL)),
                "{pointer}"
            );
        }
        assert_eq!(documents.string("roles", "/{claim:/org/id}/{subject}", &Alice), Ok(Fact::Absent));
        assert_eq!(documents.string("roles", "/users/user-{subject}-x", &Alice), Ok(Fact::Absent));
    }

    #[test]
    fn an_absent_symbol_gives_none_and_an_unknown_one_is_a_fault() {
        let documents = documents();
        assert_eq!(documents.string("roles", "/users/{peer}", &Alice), Ok(Fact::Absent));
        assert!(documents.string("roles", "/users/{nobody}", &Alice).is_err());
        assert!(documents.string("roles", "/nothing/{peer}/{nobody}", &Alice).is_err());
    }

    #[test]
    fn malformed_pointers_and_wrong_types_are_faults() {
        let documents = documents();
        for pointer in ["users", "/users/~4", "/users/~", "/users/{subject", "/users/subject}"] {
            assert!(
                matches!(documents.string("roles", pointer, &Alice), Err(ReadFault::Malformed(_))),
                "{pointer}"
            );
        }
        assert_eq!(documents.string("roles", "/n", &Alice), Err(ReadFault::WrongType("a string")));
        assert_eq!(documents.string("nothing", "/n", &Alice), Err(ReadFault::UndeclaredDocument));
        assert_eq!(documents.string("roles", "/users/bob", &Alice), Ok(Fact::Text("viewer".into())));
    }

    #[test]
    fn array_indices_follow_rfc_6901() {
        let documents = documents();
        assert_eq!(documents.string("roles", "/list/1", &Alice), Ok(Fact::Text("b".into())));
        for pointer in ["/list/01", "/list/-", "/list/2", "/list/+1", "/list/"] {
            assert_eq!(documents.string("roles", pointer, &Alice), Ok(Fact::Absent), "{pointer}");
        }
    }
}

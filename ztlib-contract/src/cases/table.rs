//! Tables of a TOML file, read key by key: whatever is unknown, missing or of the wrong type is an
//! error at its line.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Error, shown};

/// A TOML file's text and where it comes from. The reader of the file bounds it.
#[derive(Clone, Copy)]
pub struct Text<'t> {
    file: &'t Path,
    text: &'t str,
}

/// A table of which all keys are known.
///
/// ```
/// use std::path::Path;
/// use ztlib_contract::cases::Text;
///
/// let text = Text::new(Path::new("a.toml"), "name = 'orders'\nport = 80");
/// let parsed = text.parse()?;
/// let table = text.table(&parsed, &["name", "port"])?;
/// assert_eq!((table.text("name")?, table.integer("port")?), (Some("orders"), Some(80)));
///
/// let error = text.table(&parsed, &["name", "ports"]).err().unwrap();
/// assert_eq!(
///     error.to_string(),
///     "a.toml:2: there is no key `port` here: did you mean `ports`? (unknown-key)"
/// );
/// # Ok::<(), ztlib_contract::cases::Error>(())
/// ```
pub struct Table<'t> {
    text: Text<'t>,
    table: &'t DeTable<'t>,
    span: Range<usize>,
}

/// A TOML file that was parsed and not read yet: [`Text::table`] makes it readable.
pub struct Parsed<'t>(Spanned<DeTable<'t>>);

impl<'t> Text<'t> {
    /// The text of a file.
    pub fn new(file: &'t Path, text: &'t str) -> Self {
        Self { file, text }
    }

    /// The whole file.
    ///
    /// # Errors
    /// `malformed-file` where it is not TOML.
    pub fn parse(&self) -> Result<Parsed<'t>, Error> {
        DeTable::parse(self.text).map(Parsed).map_err(|error| {
            let line = error.span().map(|span| line_of(self.text, span.start));
            Error::new(self.file, line, "malformed-file", shown(error.message()))
        })
    }

    /// A table that may have these keys.
    ///
    /// # Errors
    /// `unknown-key` at the first that it may not have.
    pub fn table(&self, parsed: &'t Parsed<'t>, keys: &[&str]) -> Result<Table<'t>, Error> {
        Table::new(*self, parsed.0.get_ref(), parsed.0.span(), keys)
    }

    fn error(&self, at: usize, code: &'static str, text: impl Into<Box<str>>) -> Error {
        Error::new(self.file, Some(line_of(self.text, at)), code, text)
    }
}

impl<'t> Table<'t> {
    fn new(text: Text<'t>, table: &'t DeTable<'t>, span: Range<usize>, keys: &[&str]) -> Result<Self, Error> {
        let unknown = table.keys().filter(|key| !keys.contains(&key.get_ref().as_ref()));
        if let Some(key) = unknown.min_by_key(|key| key.span().start) {
            let advice = match closest(key.get_ref(), keys) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("the keys are {}", keys.join(", ")),
            };
            let unknown = format!("there is no key `{}` here: {advice}", shown(key.get_ref()));
            return Err(text.error(key.span().start, "unknown-key", unknown));
        }
        Ok(Self { text, table, span })
    }

    /// The file that it stands in.
    pub fn file(&self) -> &'t Path {
        self.text.file
    }

    /// The line of a key, or of the table where the key is absent.
    pub fn line(&self, key: &str) -> usize {
        let at = self.table.get_key_value(key).map_or(self.span.start, |(key, _)| key.span().start);
        line_of(self.text.text, at)
    }

    /// Whether it has a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The value of a key, whatever it is.
    pub(crate) fn raw(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table.get(key)
    }

    /// An error about a key.
    pub fn error(&self, key: &str, code: &'static str, text: impl Into<Box<str>>) -> Error {
        Error::new(self.text.file, Some(self.line(key)), code, text)
    }

    /// A key that is not there.
    pub fn missing(&self, key: &str, advice: &str) -> Error {
        self.error(key, "missing-key", format!("the key `{key}` is missing: {advice}"))
    }

    /// An error about a value, at its own line.
    pub(crate) fn wrong(&self, value: &Spanned<DeValue<'_>>, text: impl Into<Box<str>>) -> Error {
        self.at(value, "wrong-type", text)
    }

    /// The same with another code.
    pub(crate) fn at(
        &self,
        value: &Spanned<DeValue<'_>>,
        code: &'static str,
        text: impl Into<Box<str>>,
    ) -> Error {
        self.text.error(value.span().start, code, text)
    }

    /// A text.
    ///
    /// # Errors
    /// `wrong-type`.
    pub fn text(&self, key: &str) -> Result<Option<&'t str>, Error> {
        self.value(key, "a text in quotes", DeValue::as_str)
    }

    /// A text that has to be there.
    ///
    /// # Errors
    /// `missing-key`, with the advice; `wrong-type`.
    pub fn required_text(&self, key: &str, advice: &str) -> Result<&'t str, Error> {
        self.text(key)?.ok_or_else(|| self.missing(key, advice))
    }

    /// A truth value.
    ///
    /// # Errors
    /// `wrong-type`.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>, Error> {
        self.value(key, "`true` or `false`", DeValue::as_bool)
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// `wrong-type`.
    pub fn integer(&self, key: &str) -> Result<Option<u64>, Error> {
        self.value(key, "a whole number that is not negative", |value| {
            let number = value.as_integer()?;
            u64::from_str_radix(number.as_str(), number.radix()).ok()
        })
    }

    /// A list of texts, each once; empty where the key is absent.
    ///
    /// # Errors
    /// `wrong-type`, `duplicate-name`.
    pub fn texts(&self, key: &str) -> Result<Vec<&'t str>, Error> {
        let expected = format!("a list of texts in quotes: write `{key} = [\"…\"]`");
        let mut texts = Vec::new();
        for item in self.value(key, &expected, DeValue::as_array)?.into_iter().flatten() {
            let Some(text) = item.get_ref().as_str() else {
                return Err(self.error(key, "wrong-type", format!("`{key}` must be {expected}")));
            };
            if texts.contains(&text) {
                let twice = format!("`{key}` names `{}` twice", shown(text));
                return Err(self.error(key, "duplicate-name", twice));
            }
            texts.push(text);
        }
        Ok(texts)
    }

    /// A table that may have these keys.
    ///
    /// # Errors
    /// `wrong-type`, `unknown-key`.
    pub fn table(&self, key: &str, keys: &[&str]) -> Result<Option<Table<'t>>, Error> {
        let Some(table) = self.value(key, "a table", DeValue::as_table)? else { return Ok(None) };
        let span = self.table.get(key).map_or(0..0, Spanned::span);
        Table::new(self.text, table, span, keys).map(Some)
    }

    /// A list of tables, as `[[key]]` makes it; empty where the key is absent.
    ///
    /// # Errors
    /// `wrong-type`, `unknown-key`.
    pub fn tables(&self, key: &str, keys: &[&str]) -> Result<Vec<Table<'t>>, Error> {
        let expected = format!("a list of tables: write `[[{key}]]`");
        let items = self.value(key, &expected, DeValue::as_array)?;
        let tables = items.into_iter().flatten().map(|item| match item.get_ref().as_table() {
            Some(table) => Table::new(self.text, table, item.span(), keys),
            None => Err(self.error(key, "wrong-type", format!("`{key}` must be {expected}"))),
        });
        tables.collect()
    }

    fn value<T>(
        &self,
        key: &str,
        expected: &str,
        of: impl FnOnce(&'t DeValue<'t>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        match of(value.get_ref()) {
            Some(found) => Ok(Some(found)),
            None => Err(self.error(key, "wrong-type", format!("`{key}` must be {expected}"))),
        }
    }
}

/// The line of a byte of a text, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count().saturating_add(1)
}

/// The known key that a typo is closest to, if it is close.
pub fn closest<'k>(typo: &str, keys: &[&'k str]) -> Option<&'k str> {
    let typo: String =
        typo.chars().take(64).map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect();
    let near = keys.iter().map(|key| (distance(&typo, key), *key)).min()?;
    (near.0 <= near.1.len() / 3 + 1).then_some(near.1)
}

/// How many letters have to be added, removed or changed (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (index, a) in one.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index.saturating_add(1);
        for (b, above) in other.chars().zip(row.iter_mut().skip(1)) {
            let cost = if a == b { diagonal } else { diagonal.min(left).min(*above).saturating_add(1) };
            diagonal = *above;
            *above = cost;
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = index.saturating_add(1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_the_key_that_was_meant() {
        let keys = ["name", "module", "sha256", "config", "reasons", "may-abstain", "budget"];
        for (typo, meant) in [
            ("modul", Some("module")),
            ("Name", Some("name")),
            ("may_abstain", Some("may-abstain")),
            ("reason", Some("reasons")),
            ("sha-256", Some("sha256")),
            ("required", None),
            ("policies", None),
            ("", None),
        ] {
            assert_eq!(closest(typo, &keys), meant, "{typo}");
        }
    }

    #[test]
    fn distances_are_those_of_the_textbook() {
        for (one, other, expected) in
            [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0)]
        {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}

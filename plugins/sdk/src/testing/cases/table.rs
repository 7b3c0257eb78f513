//! Tables of a TOML file, read key by key: whatever is unknown, missing or of the wrong type is an error at its line.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Problem, shown};

pub(super) type Member<'t> = (&'t str, &'t Spanned<DeValue<'t>>);

/// A file's text and where it comes from.
#[derive(Clone, Copy)]
pub(super) struct Text<'t> {
    pub(super) file: &'t Path,
    pub(super) text: &'t str,
}

/// A table of which all keys are known.
pub(super) struct Table<'t> {
    text: Text<'t>,
    table: &'t DeTable<'t>,
    span: Range<usize>,
}

impl<'t> Text<'t> {
    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'t>>, Problem> {
        DeTable::parse(self.text).map_err(|error| {
            let line = error.span().map(|span| self.line_of(span.start));
            Problem::new(self.file, line, "malformed-file", shown(error.message()))
        })
    }

    pub(super) fn line_of(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }
}

impl<'t> Table<'t> {
    /// A table that may have these keys.
    pub(super) fn new(
        text: Text<'t>,
        table: &'t DeTable<'t>,
        span: Range<usize>,
        keys: &[&str],
    ) -> Result<Self, Problem> {
        let unknown = table.keys().filter(|key| !keys.contains(&key.get_ref().as_ref()));
        if let Some(key) = unknown.min_by_key(|key| key.span().start) {
            let advice = match closest(key.get_ref(), keys) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("the keys are {}", keys.join(", ")),
            };
            let unknown = format!("there is no key `{}` here: {advice}", shown(key.get_ref()));
            return Err(Problem::new(
                text.file,
                Some(text.line_of(key.span().start)),
                "unknown-key",
                unknown,
            ));
        }
        Ok(Self { text, table, span })
    }

    /// The line of a key, or of the table where the key is absent.
    pub(super) fn line(&self, key: &str) -> usize {
        let at = self.table.get_key_value(key).map_or(self.span.start, |(key, _)| key.span().start);
        self.text.line_of(at)
    }

    pub(super) fn raw(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table.get(key)
    }

    /// An error about a key.
    pub(super) fn error(&self, key: &str, code: &'static str, text: impl Into<String>) -> Problem {
        Problem::new(self.text.file, Some(self.line(key)), code, text)
    }

    /// An error about a value, at its own line.
    pub(super) fn wrong(&self, value: &Spanned<DeValue<'_>>, text: impl Into<String>) -> Problem {
        Problem::new(self.text.file, Some(self.text.line_of(value.span().start)), "wrong-type", text)
    }

    pub(super) fn missing(&self, key: &str, advice: &str) -> Problem {
        self.error(key, "missing-key", format!("the key `{key}` is missing: {advice}"))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'t str>, Problem> {
        self.value(key, "a text in quotes", DeValue::as_str)
    }

    pub(super) fn required_text(&self, key: &str, advice: &str) -> Result<&'t str, Problem> {
        self.text(key)?.ok_or_else(|| self.missing(key, advice))
    }

    pub(super) fn integer(&self, key: &str) -> Result<Option<u64>, Problem> {
        self.value(key, "a whole number that is not negative", |value| {
            let number = value.as_integer()?;
            u64::from_str_radix(number.as_str(), number.radix()).ok()
        })
    }

    /// A list of texts, each once.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<&'t str>, Problem> {
        let mut texts = Vec::new();
        for item in self.value(key, "a list", DeValue::as_array)?.into_iter().flatten() {
            let Some(text) = item.get_ref().as_str() else {
                return Err(self.error(key, "wrong-type", format!("`{key}` is a list of texts in quotes")));
            };
            if texts.contains(&text) {
                let twice = format!("`{key}` names `{}` twice", shown(text));
                return Err(self.error(key, "duplicate-name", twice));
            }
            texts.push(text);
        }
        Ok(texts)
    }

    pub(super) fn table(&self, key: &str, keys: &[&str]) -> Result<Option<Table<'t>>, Problem> {
        let Some(table) = self.value(key, "a table", DeValue::as_table)? else { return Ok(None) };
        let span = self.table.get(key).map_or(0..0, Spanned::span);
        Table::new(self.text, table, span, keys).map(Some)
    }

    /// A list of tables, as `[[key]]` makes it.
    pub(super) fn tables(&self, key: &str, keys: &[&str]) -> Result<Vec<Table<'t>>, Problem> {
        let expected = format!("a list of tables: write `[[{key}]]`");
        let items = self.value(key, &expected, DeValue::as_array)?;
        let tables = items.into_iter().flatten().map(|item| match item.get_ref().as_table() {
            Some(table) => Table::new(self.text, table, item.span(), keys),
            None => Err(self.error(key, "wrong-type", format!("`{key}` is {expected}"))),
        });
        tables.collect()
    }

    /// The members of a table whose keys are the author's to choose, in the order of the file.
    pub(super) fn members(&self, key: &str) -> Result<Vec<Member<'t>>, Problem> {
        match self.raw(key).map(Spanned::get_ref) {
            None => Ok(Vec::new()),
            Some(DeValue::Table(members)) => Ok(in_order(members)),
            Some(_) => {
                let text = format!("`{key}` is a table: write `{key} = {{ … }}`");
                Err(self.error(key, "wrong-type", text))
            }
        }
    }

    /// Members that are texts; a number or a truth value counts as the text that it is written as.
    pub(super) fn texts_of(&self, key: &str) -> Result<Vec<(String, String)>, Problem> {
        let texts = self.members(key)?.into_iter().map(|(name, value)| match plain(value.get_ref()) {
            Some(text) => Ok((name.to_owned(), text)),
            None => Err(self.wrong(value, format!("`{}` in `{key}` is a text", shown(name)))),
        });
        texts.collect()
    }

    fn value<T>(
        &self,
        key: &str,
        expected: &str,
        of: impl FnOnce(&'t DeValue<'t>) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        match of(value.get_ref()) {
            Some(found) => Ok(Some(found)),
            None => Err(self.error(key, "wrong-type", format!("`{key}` is {expected}"))),
        }
    }
}

pub(super) fn in_order<'t>(table: &'t DeTable<'t>) -> Vec<Member<'t>> {
    let mut members: Vec<_> =
        table.iter().map(|(key, value)| (key.span().start, (key.get_ref().as_ref(), value))).collect();
    members.sort_unstable_by_key(|(at, _)| *at);
    members.into_iter().map(|(_, member)| member).collect()
}

/// A text; a number or a truth value counts as the text that it is written as.
pub(super) fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.as_ref().to_owned()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string())
        }
        DeValue::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    }
}

/// The known key that a typo is closest to, if it is close.
pub(super) fn closest<'k>(typo: &str, keys: &[&'k str]) -> Option<&'k str> {
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
        let mut left = index + 1;
        for (b, above) in other.chars().zip(row.iter_mut().skip(1)) {
            let cost = if a == b { diagonal } else { diagonal.min(left).min(*above) + 1 };
            diagonal = *above;
            *above = cost;
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

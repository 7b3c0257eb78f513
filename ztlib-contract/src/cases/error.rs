//! What is wrong with a file, and where.

use std::fmt;
use std::path::Path;

/// The most of a text that somebody else chose that an error shows, in bytes.
const MAX_SHOWN_BYTES: usize = 512;

/// What is wrong with a file, in words for whoever wrote it. It prints as `file:line: what (code)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    file: Box<Path>,
    line: Option<usize>,
    code: &'static str,
    text: Box<str>,
}

impl Error {
    pub(crate) fn new(
        file: &Path,
        line: Option<usize>,
        code: &'static str,
        text: impl Into<Box<str>>,
    ) -> Self {
        Self { file: file.into(), line, code, text: text.into() }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line, from 1; none where the whole file is meant.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// A stable code: `unknown-key`, `missing-key`, `wrong-type`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What is wrong and what to do, with all that the file chose escaped and cut.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.file.to_string_lossy()))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {} ({})", self.text, self.code)
    }
}

impl std::error::Error for Error {}

/// A text that somebody else chose, fit for one line of a log: escaped, and cut to 512 bytes.
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        // A quote is harmless here and an escaped one is harder to read.
        if matches!(c, '"' | '\'') {
            shown.push(c);
        } else {
            shown.extend(c.escape_debug());
        }
        if shown.len() > MAX_SHOWN_BYTES {
            shown.truncate(shown.floor_char_boundary(MAX_SHOWN_BYTES));
            shown.push('…');
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_chose_is_escaped_and_cut() {
        assert_eq!(shown("a \"b\"\r\n\u{1b}[31m\u{202e}"), "a \"b\"\\r\\n\\u{1b}[31m\\u{202e}");
        assert!(shown(&"\u{1b}".repeat(10_000)).len() <= MAX_SHOWN_BYTES + 4);
    }
}

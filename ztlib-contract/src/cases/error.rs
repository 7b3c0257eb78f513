//! What is wrong with a file, and where.

use std::fmt;
use std::path::Path;

use crate::escaped;

/// What is wrong with a file, in words for its author. It prints as `file:line: what (code)`.
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
        f.write_str(&escaped(&self.file.to_string_lossy()))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {} ({})", self.text, self.code)
    }
}

impl std::error::Error for Error {}

//! What is wrong with a file of cases, and what a policy said otherwise than a case expects.

use std::fmt;
use std::path::Path;

use ztlib_contract::cases::shown;

/// What came of cases that did not all hold: each difference, or the one mistake of the file.
///
/// `Debug` prints the same lines as `Display`, so that a test that ends with this error shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct CasesError(pub(super) Vec<Problem>);

/// One line of a [`CasesError`]. It prints as the host does: `file:line: case: what`, or
/// `file:line: what (code)` for a mistake in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    file: String,
    line: Option<usize>,
    case: Option<String>,
    code: &'static str,
    text: String,
}

impl CasesError {
    /// In the order of the file; at least one.
    pub fn problems(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }
}

impl Problem {
    pub(super) fn new(file: &Path, line: Option<usize>, code: &'static str, text: impl Into<String>) -> Self {
        Self { file: file.to_string_lossy().into_owned(), line, case: None, code, text: text.into() }
    }

    /// The same, about a case.
    pub(super) fn in_case(self, name: &str) -> Self {
        Self { case: Some(name.to_owned()), ..self }
    }

    /// The file of the cases.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line in which something else is expected, or in which the file is wrong, from 1; none
    /// where the whole file is meant.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// The name of the case; none where the file is wrong.
    pub fn case(&self) -> Option<&str> {
        self.case.as_deref()
    }

    /// A stable code: `case-failed` where a policy said something else, `not-native` for what only
    /// the sandbox or a whole set can show, otherwise the host's code for a mistake in the file
    /// (`unknown-key`, `missing-key`, …).
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What was expected and what was said, or what is wrong.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.file))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(case) = &self.case {
            write!(f, ": case `{}`", shown(case))?;
        }
        write!(f, ": {}", self.text)?;
        if self.code == "case-failed" { Ok(()) } else { write!(f, " ({})", self.code) }
    }
}

impl fmt::Display for CasesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            let parted = if at == 0 { "" } else { "\n" };
            write!(f, "{parted}{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for CasesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for CasesError {}
impl std::error::Error for Problem {}

impl From<Problem> for CasesError {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl From<ztlib_contract::cases::Error> for Problem {
    fn from(error: ztlib_contract::cases::Error) -> Self {
        Self::new(error.file(), error.line(), error.code(), error.text())
    }
}

//! Why a command did not do what it was asked for.

use std::path::Path;

use serde_json::{Value, json};
use ztlib::policies::LoadError;

/// A test or a lint failed, or a replay found a change.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// Something cannot be read, built or loaded.
pub(crate) const BROKEN: u8 = 3;

/// An error with its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: u8,
    code: String,
    file: Option<String>,
    line: Option<usize>,
    text: String,
}

impl Failure {
    pub(crate) fn new(exit: u8, code: &str, text: impl Into<String>) -> Self {
        Self { exit, code: code.to_owned(), file: None, line: None, text: text.into() }
    }

    /// The same with another exit code.
    pub(crate) fn exiting(self, exit: u8) -> Self {
        Self { exit, ..self }
    }

    /// The same, in a file, where nothing is said about the place.
    pub(crate) fn within(mut self, file: &Path) -> Self {
        if self.file.is_none() {
            let file = file.display().to_string();
            self.text = format!("{file}: {}", self.text);
            self.file = Some(file);
        }
        self
    }

    /// The same without its line: the text that was read is not a file of the user's.
    pub(crate) fn without_line(mut self) -> Self {
        if let (Some(file), Some(line)) = (&self.file, self.line.take()) {
            self.text = self.text.replacen(&format!("{file}:{line}: "), &format!("{file}: "), 1);
        }
        self
    }

    /// For people. The text of an error of the library has its place in it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "error": { "code": self.code, "file": self.file, "line": self.line, "message": self.text } })
    }
}

impl From<ztlib::policies::cases::Error> for Failure {
    fn from(error: ztlib::policies::cases::Error) -> Self {
        LoadError::from(error).into()
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self {
            exit: BROKEN,
            code: error.code().to_owned(),
            file: error.file().map(str::to_owned),
            line: error.line(),
            text: error.to_string(),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let exit = if error.kind() == std::io::ErrorKind::BrokenPipe { 0 } else { BROKEN };
        Self::new(exit, "io", error.to_string())
    }
}

//! Why a policy set cannot be loaded, in words for the policy author.

use std::fmt;
use std::path::Path;

#[cfg(feature = "manifest")]
use ztlib_contract::cases::Table;
use ztlib_contract::escaped as shown;

/// Why a policy set cannot be loaded. What was in force before stays in force.
///
/// It prints where the mistake is and what to do about it, with everything that a file or a policy
/// chose escaped and cut: `policies.toml:7: policy `rbac`: there is no key `modul` here: did you
/// mean `module`?`.
#[derive(Clone, PartialEq, Eq)]
pub struct LoadError {
    code: &'static str,
    file: Option<Box<str>>,
    line: Option<usize>,
    policy: Option<Box<str>>,
    text: Box<str>,
}

/// As [`fmt::Display`](std::fmt::Display): what `fn main() -> Result<(), Box<dyn Error>>` prints is
/// this, and it should say what to do.
impl std::fmt::Debug for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl From<ztlib_contract::engine::EngineError> for LoadError {
    fn from(error: ztlib_contract::engine::EngineError) -> Self {
        Self::new(error.code(), error.text())
    }
}

impl From<ztlib_contract::UnknownAttribute> for LoadError {
    fn from(error: ztlib_contract::UnknownAttribute) -> Self {
        Self::new("unknown-attribute", error.to_string())
    }
}

impl LoadError {
    pub(crate) fn new(code: &'static str, text: impl Into<Box<str>>) -> Self {
        Self { code, file: None, line: None, policy: None, text: text.into() }
    }

    /// The same, saying besides what to do.
    pub(crate) fn advising(mut self, advice: &str) -> Self {
        self.text = format!("{}: {advice}", self.text).into();
        self
    }

    /// The same, at a line of a file; the innermost place holds.
    pub(crate) fn at(mut self, file: &Path, line: Option<usize>) -> Self {
        if self.file.is_none() {
            self.file = Some(shown(&file.to_string_lossy()).into());
            self.line = line;
        }
        self
    }

    /// The same, at a key of a file.
    #[cfg(feature = "manifest")]
    pub(crate) fn at_key(self, table: &Table<'_>, key: &str) -> Self {
        self.at(table.file(), Some(table.line(key)))
    }

    /// The same, in a policy; the innermost holds.
    pub(crate) fn in_policy(mut self, name: &str) -> Self {
        self.policy.get_or_insert_with(|| name.into());
        self
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// A stable code: `digest-mismatch`, `forbidden-import`, `unknown-key`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Whether it may load another time though no file has changed: what failed is the system, or
    /// the file of the version.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self.code, "file-not-readable" | "version-mark-unreadable" | "version-not-kept")
    }

    /// The policy in which the mistake is, by its name in the manifest.
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// The file in which the mistake is.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The line of that file, from 1.
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, _) => {}
        }
        if let Some(policy) = &self.policy {
            write!(f, "policy `{policy}`: ")?;
        }
        write!(f, "{} ({})", self.text, self.code)
    }
}

impl std::error::Error for LoadError {}

#[cfg(feature = "manifest")]
impl From<ztlib_contract::cases::Error> for LoadError {
    fn from(error: ztlib_contract::cases::Error) -> Self {
        Self::new(error.code(), error.text()).at(error.file(), error.line())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_where_who_and_what() {
        let error = LoadError::new("unknown-key", "there is no key `modul` here")
            .in_policy("rbac")
            .at(Path::new("p.toml"), Some(7))
            .at(Path::new("elsewhere.toml"), None);
        assert_eq!(error.to_string(), "p.toml:7: policy `rbac`: there is no key `modul` here (unknown-key)");
    }
}

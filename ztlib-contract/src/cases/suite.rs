//! The cases of one file.

use std::path::Path;

use super::case::Case;
use super::{Error, file};

/// The cases of one file, about a whole set or about one policy alone.
///
/// ```
/// use std::path::Path;
/// use ztlib_contract::cases::Cases;
///
/// let file = Path::new("tests/night.toml");
/// let cases = Cases::parse(
///     file,
///     "format = 1\n[[case]]\nname = 'all pass'\npath = '/'\nexpect = 'allow'",
/// )?;
/// assert_eq!(cases.len(), 1);
///
/// let error =
///     Cases::parse(file, "format = 1\n[[case]]\nname = 'all pass'\npat = '/'\nexpect = 'allow'")
///         .unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "tests/night.toml:4: there is no key `pat` here: did you mean `path`? (unknown-key)"
/// );
/// # Ok::<(), ztlib_contract::cases::Error>(())
/// ```
#[derive(Clone)]
pub struct Cases {
    file: Box<Path>,
    policy: Option<Box<str>>,
    home_issuer: Option<Box<str>>,
    cases: Vec<Case>,
}

impl std::fmt::Debug for Cases {
    /// How many, without what their callers claim.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cases")
            .field("file", &self.file)
            .field("policy", &self.policy)
            .field("cases", &self.len())
            .finish()
    }
}

impl Cases {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`Error`], naming the line: unknown keys, a missing expectation, names that are there twice.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Error> {
        Self::of(file, text, false)
    }

    /// Reads cases that need expect nothing: what comes of them is looked at by a person.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_questions(file: &Path, text: &str) -> Result<Self, Error> {
        Self::of(file, text, true)
    }

    fn of(file: &Path, text: &str, bare: bool) -> Result<Self, Error> {
        // First, since it refuses a text that is too large before it is parsed.
        let cases = file::read(file, text, bare)?;
        let home_issuer = file::home_issuer(file, text)?.map(Into::into);
        Ok(Self { file: file.into(), policy: None, home_issuer, cases })
    }

    /// The same cases, about this policy alone: no other is asked, and it may abstain.
    #[must_use]
    pub fn about(self, policy: &str) -> Self {
        Self { policy: Some(policy.into()), ..self }
    }

    /// The same cases, about the whole set.
    #[must_use]
    pub fn about_the_whole_set(self) -> Self {
        Self { policy: None, ..self }
    }

    /// The file that they were read from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The policy that they are about; none: the whole set.
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// The home issuer that the file names (`home-issuer`). None: the issuer of a case's token is
    /// at home.
    pub fn home_issuer(&self) -> Option<&str> {
        self.home_issuer.as_deref()
    }

    /// The cases, in the order of the file.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// The names of the cases, in the order of the file.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.cases.iter().map(|case| case.name.as_ref())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether there are none. A file has at least one.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }
}

//! Why roots or revocation lists cannot be used.

use std::fmt;

use super::PeerError;
use super::revocation::RevocationListFault;

/// Why roots cannot be used.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Neither a trust domain nor an authority was given.
    #[error("nobody is trusted: give at least one trust domain or authority")]
    Nobody,
    /// A trust domain or an authority without roots.
    #[error("`{name}` has no roots: give at least one certificate (`-----BEGIN CERTIFICATE-----` in PEM)")]
    NoRoots {
        /// Whose roots.
        name: String,
    },
    /// A trust domain or an authority given twice.
    #[error("`{name}` is given twice: give all its roots at once")]
    Twice {
        /// Which.
        name: String,
    },
    /// The name of an authority has another form.
    #[error("`{name}` is not a valid authority name: use 1 to 64 of `a-z 0-9 -`")]
    AuthorityName {
        /// The name, escaped and cut.
        name: String,
    },
    /// A block of the text is damaged, or is not a certificate. No block is skipped.
    #[error("the roots of `{name}` cannot be read from PEM: line {line}: {what}")]
    Pem {
        /// Whose roots.
        name: String,
        /// On which line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// An empty list of revocation lists.
    #[error("`{name}` has no revocation lists: give at least one, or remove the call")]
    NoRevocationLists {
        /// Whose lists.
        name: String,
    },
    /// A revocation list cannot be used, no matter who signed it.
    #[error("{list} of `{name}` cannot be used: {why}")]
    UnusableRevocationList {
        /// Whose lists.
        name: String,
        /// Which one, from 0.
        index: usize,
        /// What it says of itself, as far as it could be read: its place, its issuer and its
        /// number.
        list: String,
        /// What is wrong with it.
        why: RevocationListFault,
    },
    /// More revocation lists than the limit.
    #[error("`{name}` has {lists} revocation lists, the limit is {limit}")]
    TooManyRevocationLists {
        /// Whose lists.
        name: String,
        /// How many were given.
        lists: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A root is not an X.509 version 3 certificate.
    #[error("root {index} of `{name}` is malformed: {what}")]
    MalformedRoot {
        /// Whose roots.
        name: String,
        /// Which one, from 0.
        index: usize,
        /// What could not be read.
        what: &'static str,
    },
    /// A root of a trust domain has the SPIFFE ID of another one (X509-SVID section 3.2).
    #[error("root {index} of `{name}` has the SPIFFE ID of the trust domain `{other}`")]
    RootOfAnotherDomain {
        /// Whose roots.
        name: String,
        /// Which one, from 0.
        index: usize,
        /// The trust domain that it names.
        other: String,
    },
    /// A root of a trust domain has a SPIFFE ID with a path, or beside another URI (X509-SVID
    /// sections 2 and 3.2).
    #[error("root {index} of `{name}` cannot be used: {rule}")]
    RootRule {
        /// Whose roots.
        name: String,
        /// Which one, from 0.
        index: usize,
        /// The rule.
        rule: Box<PeerError>,
    },
    /// A root is a leaf certificate, or its key may not sign certificates.
    #[error(
        "root {index} of `{name}` is not the certificate of an authority: it must be a CA that may sign certificates"
    )]
    RootIsNotCa {
        /// Whose roots.
        name: String,
        /// Which one, from 0.
        index: usize,
    },
    /// One key is a root of two trust domains, or of two authorities.
    #[error("`{one}` and `{other}` share a root: give each its own")]
    SharedRoot {
        /// One of them.
        one: String,
        /// The other one.
        other: String,
    },
}

/// As [`fmt::Display`]: what `fn main() -> Result<(), Box<dyn Error>>` prints is
/// this, and it should say what to do.
impl fmt::Debug for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TrustError {
    /// A stable name for the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Nobody => "nobody-trusted",
            Self::NoRoots { .. } => "no-roots",
            Self::Twice { .. } => "given-twice",
            Self::AuthorityName { .. } => "authority-name",
            Self::Pem { .. } => "roots-not-pem",
            Self::NoRevocationLists { .. } => "no-revocation-lists",
            Self::UnusableRevocationList { why, .. } => why.code(),
            Self::TooManyRevocationLists { .. } => "too-many-revocation-lists",
            Self::MalformedRoot { .. } => "malformed-root",
            Self::RootIsNotCa { .. } => "root-is-not-ca",
            Self::RootOfAnotherDomain { .. } => "root-of-another-domain",
            Self::RootRule { rule, .. } => rule.code(),
            Self::SharedRoot { .. } => "shared-root",
        }
    }
}

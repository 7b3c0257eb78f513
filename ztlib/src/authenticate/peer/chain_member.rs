//! Which certificate of a chain an error speaks about.

use std::fmt;

use x509_parser::x509::X509Name;

use ztlib_contract::printable;

/// Where a certificate stands in the chain that a peer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Position {
    /// The first one: the peer's own.
    Leaf,
    /// One of those that the peer sent above its own, counted from 1 in the order in which they
    /// were sent.
    Intermediate(usize),
    /// A root that was given for a trust domain or an authority.
    Root,
}

/// A certificate of a chain, named for people: its place and its subject.
///
/// `Display` returns, for example, ``intermediate 1 (`CN=issuing`)``. The subject is escaped and
/// cut to 200 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainMember {
    position: Position,
    subject: Box<str>,
}

impl ChainMember {
    pub(super) fn new(position: Position, subject: &X509Name<'_>) -> Self {
        Self { position, subject: printable(&subject.to_string()).into() }
    }

    pub(super) fn nameless(position: Position) -> Self {
        Self { position, subject: "".into() }
    }

    /// Where it stands.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Its subject, escaped and cut; empty where it has none or cannot be read.
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

impl fmt::Display for ChainMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Position::Leaf => f.write_str("the leaf")?,
            Position::Intermediate(at) => write!(f, "intermediate {at}")?,
            Position::Root => f.write_str("the root")?,
        }
        if self.subject.is_empty() { Ok(()) } else { write!(f, " (`{}`)", self.subject) }
    }
}

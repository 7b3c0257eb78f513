//! SHA-256, as text and over several parts.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::hex::hex;

/// A SHA-256 digest. It prints as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::from_slice(digest(&SHA256, bytes).as_ref())
    }

    /// Reads 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut digest = [0_u8; 32];
        let mut digits = text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
        for byte in &mut digest {
            *byte = digits.next()?? << 4 | digits.next()??;
        }
        digits.next().is_none().then_some(Self(digest))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first eight bytes, for hashing.
    pub(crate) fn beginning(&self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    fn from_slice(bytes: &[u8]) -> Self {
        let mut digest = [0_u8; 32];
        digest.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Self(digest)
    }
}

impl From<Digest> for [u8; 32] {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A digest over parts, each with its length before it: no two lists of parts have the same bytes.
pub(crate) struct Digester(Context);

impl Digester {
    pub(crate) fn new(purpose: &str) -> Self {
        let mut digester = Self(Context::new(&SHA256));
        digester.part(purpose.as_bytes());
        digester
    }

    pub(crate) fn part(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    /// A list, with its length before it.
    pub(crate) fn list<'p>(&mut self, parts: impl ExactSizeIterator<Item = &'p [u8]>) {
        self.part(&(parts.len() as u64).to_be_bytes());
        parts.for_each(|part| self.part(part));
    }

    pub(crate) fn finish(self) -> Digest {
        Digest::from_slice(self.0.finish().as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_what_it_prints() {
        // FIPS 180-2, appendix B.1
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), text);
        assert_eq!(Digest::parse(text), Some(Digest::of(b"abc")));
        assert_eq!(Digest::parse(&text.to_uppercase()), Some(Digest::of(b"abc")));
        for wrong in ["", "ba", text.trim_start_matches('b'), &format!("{text}0"), &text.replace('a', "g")] {
            assert_eq!(Digest::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn parts_cannot_be_moved_across_their_borders() {
        let digest = |parts: &[&[u8]]| {
            let mut digester = Digester::new("test");
            parts.iter().for_each(|part| digester.part(part));
            digester.finish()
        };
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_ne!(digest(&[b"ab", b""]), digest(&[b"ab"]));
    }
}

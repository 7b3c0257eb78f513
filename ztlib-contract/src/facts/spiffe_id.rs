//! SPIFFE IDs and trust domains: parsed, never merely checked.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::printable::printable;

/// A SPIFFE ID is at most this many bytes long (SPIFFE-ID section 2.3).
const MAX_ID_BYTES: usize = 2048;
/// A trust domain is at most this many bytes long (SPIFFE-ID section 2.3).
const MAX_TRUST_DOMAIN_BYTES: usize = 255;

const SCHEME: &str = "spiffe://";

/// The name of one root of trust: `example.org` in `spiffe://example.org/payments`.
///
/// At most 255 bytes of lower-case letters, digits, dots, hyphens and underscores (SPIFFE-ID
/// section 2.1). Names are compared byte for byte; `xn--` labels are never decoded. Cloning is
/// cheap.
///
/// ```
/// use ztlib::authenticate::peer::TrustDomain;
///
/// let domain: TrustDomain = "example.org".parse()?;
/// assert_eq!(domain.as_str(), "example.org");
///
/// let error = TrustDomain::parse("Example.org").unwrap_err();
/// assert_eq!(error.code(), "trust-domain-upper-case");
/// # Ok::<(), ztlib::authenticate::peer::SpiffeIdError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Reads a trust domain from its name, or from a SPIFFE ID within it.
    ///
    /// # Errors
    /// The first rule of SPIFFE-ID section 2.1 that the text breaks.
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        if text.contains(":/") {
            return SpiffeId::parse(text).map(|id| id.trust_domain);
        }
        check_trust_domain(text)?;
        Ok(Self(Arc::from(text)))
    }

    /// The name, as in `example.org`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustDomain({})", self.0)
    }
}

/// The identity of a workload, as in `spiffe://example.org/payments`.
///
/// Every rule of the SPIFFE-ID standard (section 2) is checked while parsing, and the text is kept
/// byte for byte: what a policy compares is what the certificate says. Cloning is cheap.
///
/// ```
/// use ztlib::authenticate::peer::SpiffeId;
///
/// let id: SpiffeId = "spiffe://example.org/payments/api".parse()?;
/// assert_eq!(id.trust_domain().as_str(), "example.org");
/// assert_eq!(id.path(), "/payments/api");
///
/// let error = SpiffeId::parse("spiffe://example.org/payments/../admin").unwrap_err();
/// assert_eq!(error.code(), "path-dot-segment");
/// # Ok::<(), ztlib::authenticate::peer::SpiffeIdError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    text: Arc<str>,
    trust_domain: TrustDomain,
}

impl SpiffeId {
    /// Reads a SPIFFE ID of at most 2048 bytes. The path may be empty: that names a trust domain
    /// itself, and no workload (a leaf certificate with such an ID is refused by
    /// `PeerAuthenticator`).
    ///
    /// # Errors
    /// The first rule of SPIFFE-ID section 2 that the text breaks.
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        if text.len() > MAX_ID_BYTES {
            return Err(SpiffeIdError::TooLong { bytes: text.len() });
        }
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| SpiffeIdError::Scheme { id: printable(text) })?;
        let (domain, segments) = match rest.split_once('/') {
            Some((domain, segments)) => (domain, Some(segments)),
            None => (rest, None),
        };
        check_trust_domain(domain)?;
        if let Some(segments) = segments {
            check_segments(segments)?;
        }
        Ok(Self { text: Arc::from(text), trust_domain: TrustDomain(Arc::from(domain)) })
    }

    /// The whole ID, as in `spiffe://example.org/payments`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain in which the ID was issued.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path with its leading slash, as in `/payments`; empty for the ID of a trust domain.
    pub fn path(&self) -> &str {
        self.text.get(SCHEME.len() + self.trust_domain.0.len()..).unwrap_or_default()
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpiffeId({})", self.text)
    }
}

fn check_trust_domain(name: &str) -> Result<(), SpiffeIdError> {
    if name.is_empty() {
        return Err(SpiffeIdError::TrustDomainMissing);
    }
    if name.len() > MAX_TRUST_DOMAIN_BYTES {
        return Err(SpiffeIdError::TrustDomainTooLong { bytes: name.len() });
    }
    match name.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '-' | '_')) {
        None => Ok(()),
        Some('A'..='Z') => Err(SpiffeIdError::TrustDomainUpperCase { trust_domain: printable(name) }),
        Some(character) => {
            Err(SpiffeIdError::TrustDomainCharacter { trust_domain: printable(name), character })
        }
    }
}

/// `segments` is what follows the slash after the trust domain.
fn check_segments(segments: &str) -> Result<(), SpiffeIdError> {
    let mut left = segments.split('/').peekable();
    while let Some(segment) = left.next() {
        if segment.is_empty() {
            return Err(match left.peek() {
                None => SpiffeIdError::TrailingSlash,
                Some(_) => SpiffeIdError::EmptySegment,
            });
        }
        if segment == "." || segment == ".." {
            return Err(SpiffeIdError::DotSegment);
        }
        if let Some(character) =
            segment.chars().find(|c| !matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_'))
        {
            return Err(SpiffeIdError::PathCharacter { path: printable(segments), character });
        }
    }
    Ok(())
}

/// Why a text is no SPIFFE ID or no trust domain. Each variant is one rule of SPIFFE-ID section 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpiffeIdError {
    /// The text does not begin with `spiffe://`, in lower case (section 2.1).
    #[error("a SPIFFE ID begins with `spiffe://` in lower case, this one is `{id}`")]
    Scheme {
        /// The text, escaped and cut.
        id: String,
    },
    /// The ID is longer than 2048 bytes (section 2.3).
    #[error("a SPIFFE ID has at most 2048 bytes, this one has {bytes}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// Nothing stands between `spiffe://` and the path (section 2.1).
    #[error("the trust domain is missing")]
    TrustDomainMissing,
    /// The trust domain is longer than 255 bytes (section 2.3).
    #[error("a trust domain has at most 255 bytes, this one has {bytes}")]
    TrustDomainTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The trust domain has an upper-case letter; it is not folded, since two spellings would be
    /// two identities to code that compares bytes (section 2.1).
    #[error("a trust domain is written in lower case, this one is `{trust_domain}`")]
    TrustDomainUpperCase {
        /// The trust domain, escaped and cut.
        trust_domain: String,
    },
    /// The trust domain has a character that is none of `a-z 0-9 . - _`: a port, user information,
    /// a percent sign (section 2.1).
    #[error("a trust domain is made of `a-z 0-9 . - _`, `{trust_domain}` has {character:?}")]
    TrustDomainCharacter {
        /// The trust domain, escaped and cut.
        trust_domain: String,
        /// The first character that does not belong.
        character: char,
    },
    /// A path segment has a character that is none of `a-z A-Z 0-9 . - _`: a query, a fragment, a
    /// percent sign (section 2.2).
    #[error("a path segment is made of `a-z A-Z 0-9 . - _`, `{path}` has {character:?}")]
    PathCharacter {
        /// The path, escaped and cut.
        path: String,
        /// The first character that does not belong.
        character: char,
    },
    /// The path has an empty segment (section 2.2).
    #[error("the path has an empty segment")]
    EmptySegment,
    /// The path has a segment `.` or `..` (section 2.2).
    #[error("the path has a segment `.` or `..`")]
    DotSegment,
    /// The path ends with a slash (section 2.2).
    #[error("the path ends with a slash")]
    TrailingSlash,
}

impl SpiffeIdError {
    /// A stable name for the broken rule.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Scheme { .. } => "spiffe-scheme",
            Self::TooLong { .. } => "spiffe-id-too-long",
            Self::TrustDomainMissing => "trust-domain-missing",
            Self::TrustDomainTooLong { .. } => "trust-domain-too-long",
            Self::TrustDomainUpperCase { .. } => "trust-domain-upper-case",
            Self::TrustDomainCharacter { .. } => "trust-domain-character",
            Self::PathCharacter { .. } => "path-character",
            Self::EmptySegment => "path-empty-segment",
            Self::DotSegment => "path-dot-segment",
            Self::TrailingSlash => "path-trailing-slash",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(text: &str) -> &'static str {
        SpiffeId::parse(text).map_or_else(|error| error.code(), |_| "ok")
    }

    #[test]
    fn each_rule_of_the_standard_has_its_own_error() {
        for (text, expected) in [
            ("spiffe://td/a", "ok"),
            ("spiffe://td", "ok"),
            ("spiffe://td/A.b-c_9", "ok"),
            ("spiffe://xn--bcher-kva.example/a", "ok"),
            ("", "spiffe-scheme"),
            ("SPIFFE://td/a", "spiffe-scheme"),
            ("spiffe:/td/a", "spiffe-scheme"),
            ("https://td/a", "spiffe-scheme"),
            (" spiffe://td/a", "spiffe-scheme"),
            ("spiffe://", "trust-domain-missing"),
            ("spiffe:///a", "trust-domain-missing"),
            ("spiffe://TD/a", "trust-domain-upper-case"),
            ("spiffe://td:443/a", "trust-domain-character"),
            ("spiffe://u@td/a", "trust-domain-character"),
            ("spiffe://td?q", "trust-domain-character"),
            ("spiffe://td#f", "trust-domain-character"),
            ("spiffe://t%64/a", "trust-domain-character"),
            ("spiffe://tđ/a", "trust-domain-character"),
            ("spiffe://td\0/a", "trust-domain-character"),
            ("spiffe://td/a?q", "path-character"),
            ("spiffe://td/a#f", "path-character"),
            ("spiffe://td/%61", "path-character"),
            ("spiffe://td/a\0", "path-character"),
            ("spiffe://td/a\u{202e}b", "path-character"),
            ("spiffe://td/", "path-trailing-slash"),
            ("spiffe://td/a/", "path-trailing-slash"),
            ("spiffe://td//a", "path-empty-segment"),
            ("spiffe://td/./a", "path-dot-segment"),
            ("spiffe://td/a/..", "path-dot-segment"),
        ] {
            assert_eq!(code(text), expected, "{text:?}");
        }
    }

    #[test]
    fn lengths_are_bounded_at_255_and_2048_bytes() {
        let domain = "d".repeat(255);
        assert_eq!(code(&format!("spiffe://{domain}/a")), "ok");
        assert_eq!(code(&format!("spiffe://{domain}d/a")), "trust-domain-too-long");
        let filler = "p".repeat(2048 - "spiffe://td/".len());
        assert_eq!(code(&format!("spiffe://td/{filler}")), "ok");
        assert_eq!(code(&format!("spiffe://td/{filler}p")), "spiffe-id-too-long");
    }

    #[test]
    fn errors_are_escaped_and_cut() {
        let message = SpiffeId::parse(&format!("x\n\u{1b}[31m{}", "y".repeat(2000))).unwrap_err().to_string();
        assert!(message.len() < 500 && message.is_ascii() && !message.contains('\n'), "{message}");
    }

    proptest! {
        #[test]
        fn whatever_parses_is_kept_byte_for_byte(text in "(spiffe://)?[a-zA-Z0-9./%:_\\-]{0,40}") {
            if let Ok(id) = SpiffeId::parse(&text) {
                prop_assert_eq!(id.as_str(), &text);
                prop_assert_eq!(format!("spiffe://{}{}", id.trust_domain(), id.path()), text);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            let _ = SpiffeId::parse(&text);
            let _ = TrustDomain::parse(&text);
        }
    }
}

//! Why a revocation list cannot be used at all.

/// What is wrong with a revocation list itself, before anybody asks which key signed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationListFault {
    /// It is not a `CertificateList` in DER (RFC 5280 section 5.1), or something follows it, or its
    /// scope contradicts itself.
    #[error("it is malformed: it must be one revocation list in DER, and PEM text is decoded first")]
    Malformed,
    /// It is of another version than 2 (RFC 5280 section 5.1.2.1).
    #[error(
        "it is of version {version}, and only version 2 can say its number and its scope (OpenSSL: `crl_extensions`)"
    )]
    Version {
        /// The version that it says.
        version: u32,
    },
    /// It does not say until when it holds (RFC 5280 section 5.1.2.5).
    #[error("it has no next update, so nobody could tell when it is out of date")]
    NoNextUpdate,
    /// It tells only the changes since another list (RFC 5280 section 5.2.4).
    #[error("it is a delta list; give the complete list")]
    Delta,
    /// It may speak for other issuers than the one that signed it (RFC 5280 section 5.2.5).
    #[error("it is an indirect list, which speaks for other issuers; give each issuer's own list")]
    Indirect,
    /// It or one of its entries has a critical extension that is not known here (RFC 5280 sections
    /// 5.2 and 5.3).
    #[error("it has the critical extension {oid}, which is not known here")]
    CriticalExtension {
        /// The extension, in dotted form.
        oid: String,
    },
    /// It is longer than what is read.
    #[error("it has {bytes} bytes, and at most {limit} are read")]
    TooLarge {
        /// How many bytes it has.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
}

impl RevocationListFault {
    /// A stable name for the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed-revocation-list",
            Self::Version { .. } => "revocation-list-version",
            Self::NoNextUpdate => "revocation-list-without-next-update",
            Self::Delta => "revocation-list-delta",
            Self::Indirect => "revocation-list-indirect",
            Self::CriticalExtension { .. } => "revocation-list-critical-extension",
            Self::TooLarge { .. } => "revocation-list-too-large",
        }
    }
}

//! Why a peer was not authenticated.

use super::{ChainMember, SpiffeIdError};

/// Why the certificates of a connection yield no identity. Every variant refuses.
///
/// What the text quotes from a certificate is escaped and cut to 200 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The connection has no client certificate, and nobody called `allow_unauthenticated()`.
    #[error("the connection has no client certificate")]
    MissingCertificate,
    /// The certificates were left by an acceptor that is not ours, and nobody called
    /// `trust_foreign_acceptor()`.
    #[error("the certificates come from an acceptor that is not ztlib's: see `trust_foreign_acceptor`")]
    ForeignAcceptor,
    /// The peer sent more certificates than the limit.
    #[error("the chain has {certificates} certificates, the limit is {limit}")]
    ChainTooLong {
        /// How many it sent.
        certificates: usize,
        /// How many it may send.
        limit: usize,
    },
    /// The peer sent more bytes of certificates than the limit.
    #[error("the chain has {bytes} bytes, the limit is {limit}")]
    ChainTooLarge {
        /// How many bytes it sent.
        bytes: usize,
        /// How many it may send.
        limit: usize,
    },
    /// A certificate is not a well-formed one of X.509 version 3 in DER (RFC 5280 section 4.1).
    #[error("{certificate} is malformed: {what}")]
    Malformed {
        /// Which one.
        certificate: ChainMember,
        /// What could not be read.
        what: &'static str,
    },
    /// The same extension stands in a certificate twice (RFC 5280 section 4.2).
    #[error("{certificate} has the extension {oid} twice")]
    DuplicateExtension {
        /// Which one.
        certificate: ChainMember,
        /// The extension.
        oid: String,
    },
    /// A critical extension that is not understood (RFC 5280 section 4.2). Certificate policies are
    /// not processed, so a critical one is of this kind.
    #[error("{certificate} has the critical extension {oid}, which is not understood")]
    UnknownCriticalExtension {
        /// Which one.
        certificate: ChainMember,
        /// The extension.
        oid: String,
    },
    /// The serial number is not a positive number of at most 20 bytes (RFC 5280 section 4.1.2.2).
    #[error("the serial number of {certificate} is not a positive number of at most 20 bytes")]
    SerialNumber {
        /// Which one.
        certificate: ChainMember,
    },
    /// A certificate does not say who issued it (RFC 5280 section 4.1.2.4).
    #[error("{certificate} has an empty issuer")]
    NoIssuer {
        /// Which one.
        certificate: ChainMember,
    },
    /// An RSA key shorter than 2048 bits or longer than 8192.
    #[error("the RSA key of {certificate} has {bits} bits, allowed are 2048 to 8192")]
    KeySize {
        /// Which one.
        certificate: ChainMember,
        /// The length of the modulus.
        bits: usize,
    },
    /// A key that is not RSA, Ed25519 or on one of the named curves P-256, P-384, P-521.
    #[error("the key of {certificate} is neither RSA nor Ed25519 nor on a named curve P-256, P-384 or P-521")]
    KeyKind {
        /// Which one.
        certificate: ChainMember,
    },
    /// The leaf is the certificate of an authority (X509-SVID section 4.1).
    #[error("the leaf is a CA certificate")]
    LeafIsCa,
    /// The leaf may sign certificates (X509-SVID section 4.3).
    #[error("the leaf's key usage has keyCertSign")]
    LeafSignsCertificates,
    /// The leaf may sign revocation lists (X509-SVID section 4.3).
    #[error("the leaf's key usage has cRLSign")]
    LeafSignsRevocationLists,
    /// A leaf with a SPIFFE ID has no key usage (X509-SVID section 4.3).
    #[error("the leaf has no key usage")]
    KeyUsageMissing,
    /// The key usage of a leaf with a SPIFFE ID is not critical (X509-SVID section 4.3).
    #[error("the leaf's key usage is not critical")]
    KeyUsageNotCritical,
    /// The key usage does not allow signatures (X509-SVID section 4.3).
    #[error("the leaf's key usage lacks digitalSignature")]
    NoDigitalSignature,
    /// The extended key usage of the leaf or of an authority above it does not allow client
    /// authentication (RFC 5280 section 4.2.1.12).
    #[error("the extended key usage of {certificate} does not allow client authentication")]
    NotForClientAuthentication {
        /// Which one.
        certificate: ChainMember,
    },
    /// The leaf has no subject, and its subject alternative names are not critical (RFC 5280
    /// section 4.2.1.6, X509-SVID section 3.1).
    #[error("the leaf has no subject, so its subject alternative names must be critical")]
    NamesNotCritical,
    /// More DNS names than a peer may be known by, equal ones counted once.
    #[error("the leaf has {names} DNS names, the limit is {limit}")]
    TooManyNames {
        /// How many it has.
        names: usize,
        /// How many it may have.
        limit: usize,
    },
    /// A URI among the names of the leaf is not visible ASCII: it has a NUL, a line break, a
    /// direction mark, or is not an `IA5String` at all (RFC 5280 section 4.2.1.6).
    #[error("a URI among the leaf's names is not visible ASCII: `{name}`")]
    NameCharacter {
        /// The name, escaped and cut.
        name: String,
    },
    /// A leaf with a SPIFFE ID has more than one URI among its names, equal or not (X509-SVID
    /// section 2).
    #[error("the leaf has {uris} URIs among its names, a SPIFFE leaf has exactly one")]
    TwoUriNames {
        /// How many it has.
        uris: usize,
    },
    /// The URI in the leaf is not a SPIFFE ID.
    #[error("the URI in the leaf is not a SPIFFE ID: {0}")]
    SpiffeId(SpiffeIdError),
    /// The SPIFFE ID has no path: it names a trust domain, not a workload (X509-SVID section 5.2).
    #[error("the SPIFFE ID has no path and names a trust domain, not a workload")]
    NoPath,
    /// The leaf has DNS names, and none of them can be an identity: wildcards, addresses, names
    /// with an empty label or a point at the end.
    #[error("the leaf has no DNS name that is a plain host name: `{name}` is not one")]
    DnsName {
        /// The first of them, escaped and cut.
        name: String,
    },
    /// The leaf has neither a SPIFFE ID nor a DNS name. Its subject is never looked at.
    #[error("the leaf has neither a SPIFFE ID nor a DNS name")]
    NoIdentity,
    /// Nobody called `trust` for this trust domain.
    #[error("the trust domain `{trust_domain}` is not trusted")]
    UnknownTrustDomain {
        /// The trust domain, which is well-formed.
        trust_domain: String,
    },
    /// The leaf has no SPIFFE ID, and nobody called `authority`.
    #[error("peers without a SPIFFE ID are not trusted; see `TrustBuilder::authority`")]
    NoAuthorities,
    /// The leaf is not valid yet (RFC 5280 section 4.1.2.5).
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// The leaf has expired (RFC 5280 section 4.1.2.5).
    #[error("the certificate has expired")]
    Expired,
    /// An authority above the leaf is not valid yet.
    #[error("{certificate} is not valid yet")]
    IssuerNotYetValid {
        /// Which one.
        certificate: ChainMember,
    },
    /// An authority above the leaf has expired.
    #[error("{certificate} has expired")]
    IssuerExpired {
        /// Which one.
        certificate: ChainMember,
    },
    /// A certificate above the leaf is not that of an authority (RFC 5280 section 6.1.4 (k)).
    #[error("{certificate} signed another certificate, but is not a CA")]
    IssuerIsNotCa {
        /// Which one.
        certificate: ChainMember,
    },
    /// The key usage of a certificate above the leaf lacks `keyCertSign` (RFC 5280 section 6.1.4
    /// (n), X509-SVID section 4.3).
    #[error("{certificate} signed another certificate, but its key usage lacks keyCertSign")]
    IssuerMayNotSign {
        /// Which one.
        certificate: ChainMember,
    },
    /// A signing certificate of a trust domain has no key usage, or one that is not critical
    /// (X509-SVID section 4.3).
    #[error("{certificate} signs for a trust domain, but has no critical key usage")]
    IssuerKeyUsage {
        /// Which one.
        certificate: ChainMember,
    },
    /// The SPIFFE ID of a signing certificate has a path, is malformed, or is not its only URI
    /// (X509-SVID sections 2 and 3.2).
    #[error("{certificate} signs for a trust domain, but its only URI is not a SPIFFE ID without a path")]
    IssuerSpiffeId {
        /// Which one.
        certificate: ChainMember,
    },
    /// More authorities follow each other than one above them allows (RFC 5280 section 6.1.4 (l)).
    #[error("{certificate} exceeds the path length that {of} allows")]
    PathLength {
        /// Which one.
        certificate: ChainMember,
        /// Whose path length.
        of: ChainMember,
    },
    /// The chain does not end at a root that vouches for this identity.
    #[error("the chain does not end at a root that may vouch for this peer")]
    UntrustedIssuer,
    /// The chain leads through the authority of another trust domain, cross-signed or not.
    #[error("{certificate} belongs to another trust domain or authority")]
    ForeignAuthority {
        /// Which one.
        certificate: ChainMember,
    },
    /// A signature does not verify with the key of the issuer.
    #[error("the signature of {certificate} does not verify with the key of its issuer")]
    BadSignature {
        /// Which one.
        certificate: ChainMember,
    },
    /// A signature is of an algorithm that is not trusted: SHA-1, MD5, RSA-PSS with unusual
    /// parameters.
    #[error("{certificate} is signed by the algorithm {oid}, which is not trusted")]
    SignatureAlgorithm {
        /// Which one.
        certificate: ChainMember,
        /// The algorithm.
        oid: String,
    },
    /// A name constraint of an authority does not allow a name, or is of a kind that is not
    /// processed (RFC 5280 section 4.2.1.10).
    #[error("the name constraints of {of} do not allow `{name}` in {certificate}")]
    NameConstraint {
        /// Which one.
        certificate: ChainMember,
        /// The name, escaped and cut.
        name: String,
        /// Whose constraints.
        of: ChainMember,
    },
    /// The leaf or an authority above it was revoked (RFC 5280 section 5).
    #[error("{certificate} was revoked by {list}")]
    Revoked {
        /// Which certificate: the leaf, or the name of the authority, and its serial number.
        certificate: String,
        /// Which of the lists given says so: its place from 0, its issuer and its number.
        list: String,
    },
    /// Revocation lists were given, and none of them speaks about a certificate of the chain, or
    /// none for some of the reasons for which certificates are revoked (RFC 5280 section 6.3.3).
    #[error(
        "no revocation list that its issuer signed speaks about {certificate}{}",
        if *.partly { " for every reason" } else { "" }
    )]
    RevocationUnknown {
        /// Which certificate.
        certificate: String,
        /// Whether some list speaks, but not for every reason.
        partly: bool,
    },
    /// A revocation list that speaks about a certificate of the chain is past its next update.
    #[error("{list}, which speaks about {certificate}, is past its next update")]
    RevocationListStale {
        /// Which of the lists given.
        list: String,
        /// Which certificate.
        certificate: String,
    },
    /// The only revocation list that would speak about a certificate of the chain is dated in the
    /// future.
    #[error("{list}, which would speak about {certificate}, is dated in the future")]
    RevocationListNotYetValid {
        /// Which of the lists given.
        list: String,
        /// Which certificate.
        certificate: String,
    },
    /// A revocation list that should speak about a certificate of the chain cannot be believed:
    /// another key signed it, or its issuer may not sign lists.
    #[error("{list}, which should speak about {certificate}, cannot be believed: {why}")]
    RevocationListInvalid {
        /// Which of the lists given.
        list: String,
        /// Which certificate.
        certificate: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The chain takes more signature checks or name comparisons than the limit.
    #[error("the chain takes too many signature checks or name comparisons")]
    ChainTooComplex,
    /// The chain breaks another rule of RFC 5280 section 6.
    #[error("the chain is not valid")]
    InvalidChain,
}

impl PeerError {
    /// A stable name for the reason, for audit events, metrics and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingCertificate => "missing-certificate",
            Self::ForeignAcceptor => "foreign-acceptor",
            Self::ChainTooLong { .. } => "chain-too-long",
            Self::ChainTooLarge { .. } => "chain-too-large",
            Self::Malformed { .. } => "malformed-certificate",
            Self::DuplicateExtension { .. } => "duplicate-extension",
            Self::UnknownCriticalExtension { .. } => "unknown-critical-extension",
            Self::SerialNumber { .. } => "serial-number",
            Self::NoIssuer { .. } => "no-issuer",
            Self::KeySize { .. } => "key-size",
            Self::KeyKind { .. } => "key-kind",
            Self::LeafIsCa => "leaf-is-ca",
            Self::LeafSignsCertificates => "leaf-signs-certificates",
            Self::LeafSignsRevocationLists => "leaf-signs-revocation-lists",
            Self::KeyUsageMissing => "key-usage-missing",
            Self::KeyUsageNotCritical => "key-usage-not-critical",
            Self::NoDigitalSignature => "no-digital-signature",
            Self::NotForClientAuthentication { .. } => "not-for-client-authentication",
            Self::NamesNotCritical => "names-not-critical",
            Self::TooManyNames { .. } => "too-many-names",
            Self::NameCharacter { .. } => "name-character",
            Self::TwoUriNames { .. } => "two-uri-sans",
            Self::SpiffeId(error) => error.code(),
            Self::NoPath => "spiffe-id-without-path",
            Self::DnsName { .. } => "dns-name",
            Self::NoIdentity => "no-identity",
            Self::UnknownTrustDomain { .. } => "unknown-trust-domain",
            Self::NoAuthorities => "no-authorities",
            Self::NotYetValid => "not-yet-valid",
            Self::Expired => "expired",
            Self::IssuerNotYetValid { .. } => "issuer-not-yet-valid",
            Self::IssuerExpired { .. } => "issuer-expired",
            Self::IssuerIsNotCa { .. } => "issuer-is-not-ca",
            Self::IssuerMayNotSign { .. } => "issuer-may-not-sign",
            Self::IssuerKeyUsage { .. } => "issuer-key-usage",
            Self::IssuerSpiffeId { .. } => "issuer-spiffe-id",
            Self::PathLength { .. } => "path-length",
            Self::UntrustedIssuer => "untrusted-issuer",
            Self::ForeignAuthority { .. } => "foreign-authority",
            Self::BadSignature { .. } => "bad-signature",
            Self::SignatureAlgorithm { .. } => "signature-algorithm",
            Self::NameConstraint { .. } => "name-constraint",
            Self::Revoked { .. } => "revoked",
            Self::RevocationUnknown { .. } => "revocation-unknown",
            Self::RevocationListStale { .. } => "revocation-list-stale",
            Self::RevocationListNotYetValid { .. } => "revocation-list-not-yet-valid",
            Self::RevocationListInvalid { .. } => "revocation-list-invalid",
            Self::ChainTooComplex => "chain-too-complex",
            Self::InvalidChain => "invalid-chain",
        }
    }

    /// How much it tells beside the reason why another path does not hold either: the greater is
    /// told.
    pub(super) fn tells(&self) -> u8 {
        match self {
            Self::NoAuthorities => 0,
            Self::UntrustedIssuer => 1,
            // A root of the same name and another key, perhaps.
            Self::BadSignature { .. } => 2,
            Self::Revoked { .. } => 5,
            Self::ChainTooComplex => 4,
            _ => 3,
        }
    }

    /// Whether the same chain can be judged otherwise a second later under the same roots.
    pub(crate) fn depends_on_time(&self) -> bool {
        matches!(
            self,
            Self::NotYetValid
                | Self::Expired
                | Self::IssuerNotYetValid { .. }
                | Self::IssuerExpired { .. }
                | Self::RevocationListStale { .. }
                | Self::RevocationListNotYetValid { .. }
        )
    }
}

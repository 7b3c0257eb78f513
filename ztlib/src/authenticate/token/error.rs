//! Why a token was refused. For the operator: a caller learns only [`TokenErrorKind`].

use super::algorithm::Algorithm;
use super::json::JsonFault;
use super::key_error::KeyRefusal;

/// Why a request yielded no [`VerifiedClaims`](super::VerifiedClaims).
///
/// Where text of the caller is shown it is escaped, cut to 64 characters and comes from `iss`,
/// `aud`, `kid`, `alg` or `typ` alone: the token, its other claims and its signature are in no
/// error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The request has no token.
    #[error("the request has no bearer token")]
    Missing,
    /// There is more than one `authorization` header.
    #[error("the request has more than one authorization header")]
    SeveralHeaders,
    /// Two places of the request hold a token, or one place holds two (RFC 6750 section 2).
    #[error("the request has more than one token")]
    SeveralTokens,
    /// The `authorization` header has another scheme than `Bearer`.
    #[error("the authorization scheme is not `Bearer`")]
    NotBearer,
    /// The credentials are not `Bearer`, one space and a token (RFC 6750 section 2.1), or the
    /// cookie or subprotocol is empty or holds other characters than a token may.
    #[error("the credentials do not have the form of a bearer token")]
    MalformedCredentials,
    /// The token is longer than the limit:
    /// [`max_token_bytes`](super::TokenVerifierBuilder::max_token_bytes), and
    /// [`MAX_TOKEN_BYTES`](super::MAX_TOKEN_BYTES) in any case.
    #[error("the token is longer than the limit of {limit} bytes")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },

    /// The token is not a JWS in compact serialization (RFC 7515 section 7.1): three parts, none
    /// but the claims empty.
    #[error("the token is not a signed token of three parts")]
    Malformed,
    /// The token has five parts: it is encrypted (RFC 7516).
    #[error("the token is encrypted")]
    Encrypted,
    /// A part is not base64url without padding, in its one canonical form (RFC 7515 section 2).
    #[error("the {part} is not strict base64url")]
    Base64 {
        /// "header", "payload" or "signature".
        part: &'static str,
    },
    /// The header or the claims are not an object that can be read in one way only.
    #[error("the {part} cannot be read: {fault}")]
    Json {
        /// "header" or "payload".
        part: &'static str,
        /// What is wrong.
        fault: JsonFault,
    },
    /// The header has `crit` (RFC 7515 section 4.1.11): ztlib knows no extension, so none can be
    /// honoured.
    #[error("the token's header names critical extensions")]
    CriticalHeader,
    /// The header has a member that would change what the token means: `b64`, `zip`, `cty`, `enc`.
    #[error("the token's header has `{name}`")]
    UnsupportedHeader {
        /// The member.
        name: &'static str,
    },
    /// A member of the header is of the wrong JSON type, or empty, or missing where it is required.
    #[error("the token's header member `{name}` is missing or of the wrong form")]
    HeaderForm {
        /// The member.
        name: &'static str,
    },
    /// The header's `typ` is not one that the issuer's tokens may have.
    #[error("the token's `typ` is {had}; accepted from the issuer `{issuer}`: {wanted}")]
    TypeNotAccepted {
        /// The issuer.
        issuer: Box<str>,
        /// The `typ`, escaped and cut; "absent" where there is none.
        had: Box<str>,
        /// The types that are accepted.
        wanted: Box<str>,
    },
    /// The `kid` is longer than 256 bytes.
    #[error("the token's key id is longer than 256 bytes")]
    KeyIdTooLong,
    /// The algorithm is not one that the issuer may use, or is not supported (`none`, `ES512`).
    #[error("the token's algorithm is {had}; accepted: {wanted}")]
    AlgorithmNotAccepted {
        /// The `alg`, escaped and cut.
        had: Box<str>,
        /// The algorithms that are accepted.
        wanted: Box<str>,
    },

    /// The token's `iss` is not a trusted issuer. It was read before the signature could be
    /// checked.
    #[error("the token names the issuer `{hint}`, which is not trusted here")]
    UnknownIssuer {
        /// The `iss`, escaped and cut.
        hint: Box<str>,
    },
    /// The issuer has no usable key with this id.
    #[error("the issuer `{issuer}` has no key `{hint}`{}", why_unused(.unused))]
    UnknownKey {
        /// The issuer.
        issuer: Box<str>,
        /// The `kid`, escaped and cut.
        hint: Box<str>,
        /// Why the entry of this id in the issuer's set is not used, where there is one.
        unused: Option<KeyRefusal>,
    },
    /// Several different keys of the issuer fit: all of the token's `kid`, or any where it names
    /// none.
    #[error("the issuer `{issuer}` has several keys that fit the token, which has {key} and {algorithm}")]
    AmbiguousKey {
        /// The issuer.
        issuer: Box<str>,
        /// The `kid`, escaped and cut; "no key id" where there is none.
        key: Box<str>,
        /// The `alg`.
        algorithm: Algorithm,
    },
    /// The key is there, but is not for the algorithm in the header; or the token names no key, and
    /// none is for its algorithm.
    #[error("the issuer `{issuer}` has no key that fits the token, which has {key} and {algorithm}")]
    KeyAlgorithm {
        /// The issuer.
        issuer: Box<str>,
        /// The `kid`, escaped and cut; "no key id" where there is none.
        key: Box<str>,
        /// The `alg`.
        algorithm: Algorithm,
    },
    /// The signature of the header and claims does not verify with the issuer's key.
    #[error(
        "the signature does not verify with the key of the issuer `{issuer}`: the token has {key} and {algorithm}"
    )]
    Signature {
        /// The issuer.
        issuer: Box<str>,
        /// The `kid`, escaped and cut; "no key id" where there is none.
        key: Box<str>,
        /// The `alg`.
        algorithm: Algorithm,
    },

    /// A required claim is absent.
    #[error("the token has no claim `{name}`")]
    MissingClaim {
        /// The claim.
        name: Box<str>,
    },
    /// A registered claim is of another JSON type or form than its definition says.
    #[error("the token's claim `{name}` is of the wrong form")]
    ClaimForm {
        /// The claim.
        name: Box<str>,
    },
    /// The token is not meant for this service.
    #[error("the token is for {had}; accepted from the issuer `{issuer}`: tokens for {wanted}")]
    Audience {
        /// The issuer.
        issuer: Box<str>,
        /// The audiences that the token has, the first few, each escaped and cut.
        had: Box<str>,
        /// Those of this service.
        wanted: Box<str>,
    },
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iat` is later than now.
    #[error("the token was issued in the future")]
    IssuedInFuture,
    /// `exp` is further away, from now or from `iat`, than a token of this issuer may live.
    #[error("the token's lifetime exceeds the issuer's `max_lifetime`")]
    LifetimeTooLong,
    /// `iat` is longer ago than the issuer's maximum age.
    #[error("the token is older than the issuer's `max_age`")]
    TooOld,
    /// The key that signed the token is not among the issuer's current keys, or its `kid` names
    /// another key there.
    #[error("the key that signed the token is not among the issuer's current keys")]
    KeyRetired,
    /// The clock is before 1970, so no time can be checked.
    #[error("the clock is before 1970")]
    Clock,
}

fn why_unused(refusal: &Option<KeyRefusal>) -> String {
    refusal.map(|refusal| format!("; the entry with that id is not used: {refusal}")).unwrap_or_default()
}

/// What a caller may be told (RFC 6750 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenErrorKind {
    /// There are no bearer credentials: the challenge carries no error code.
    Missing,
    /// The request is malformed: `invalid_request`.
    InvalidRequest,
    /// The token was refused: `invalid_token`. The caller is not told why.
    InvalidToken,
}

impl TokenError {
    /// A stable name for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "token-missing",
            Self::SeveralHeaders => "token-several-headers",
            Self::SeveralTokens => "token-several",
            Self::NotBearer => "token-not-bearer",
            Self::MalformedCredentials => "token-malformed-credentials",
            Self::TooLong { .. } => "token-too-long",
            Self::Malformed => "token-malformed",
            Self::Encrypted => "token-encrypted",
            Self::Base64 { .. } => "token-base64",
            Self::Json { .. } => "token-json",
            Self::CriticalHeader => "token-critical-header",
            Self::UnsupportedHeader { .. } => "token-unsupported-header",
            Self::HeaderForm { .. } => "token-header-form",
            Self::TypeNotAccepted { .. } => "token-type",
            Self::KeyIdTooLong => "token-key-id-too-long",
            Self::AlgorithmNotAccepted { .. } => "token-algorithm",
            Self::UnknownIssuer { .. } => "token-unknown-issuer",
            Self::UnknownKey { .. } => "token-unknown-key",
            Self::AmbiguousKey { .. } => "token-ambiguous-key",
            Self::KeyAlgorithm { .. } => "token-key-algorithm",
            Self::Signature { .. } => "token-signature",
            Self::MissingClaim { .. } => "token-missing-claim",
            Self::ClaimForm { .. } => "token-claim-form",
            Self::Audience { .. } => "token-audience",
            Self::Expired => "token-expired",
            Self::NotYetValid => "token-not-yet-valid",
            Self::IssuedInFuture => "token-issued-in-future",
            Self::LifetimeTooLong => "token-lifetime",
            Self::TooOld => "token-too-old",
            Self::KeyRetired => "token-key-retired",
            Self::Clock => "token-clock",
        }
    }

    /// What a caller may be told.
    pub fn kind(&self) -> TokenErrorKind {
        match self {
            Self::Missing | Self::NotBearer => TokenErrorKind::Missing,
            Self::SeveralHeaders | Self::SeveralTokens | Self::MalformedCredentials => {
                TokenErrorKind::InvalidRequest
            }
            _ => TokenErrorKind::InvalidToken,
        }
    }
}

impl TokenErrorKind {
    /// The `error` of the challenge; none where there were no credentials.
    pub fn error_code(self) -> Option<&'static str> {
        match self {
            Self::Missing => None,
            Self::InvalidRequest => Some("invalid_request"),
            Self::InvalidToken => Some("invalid_token"),
        }
    }
}

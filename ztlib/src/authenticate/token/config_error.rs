//! Why no token verifier was built.

use super::algorithm::Algorithm;

/// Why no [`TokenVerifier`](super::TokenVerifier) was built, and what to do about it.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenConfigError {
    /// No issuer was given.
    #[error("no token issuer is configured: add one with `issuer`")]
    NoIssuer,
    /// Two issuers have one name.
    #[error("the issuer `{0}` is configured twice: give it all its keys and audiences at once")]
    DuplicateIssuer(String),
    /// The issuer's name is empty.
    #[error("an issuer has an empty name: give it the `iss` of its tokens")]
    EmptyIssuer,
    /// No audience, or an empty one.
    #[error(
        "the issuer `{0}` has no audience: add the name of this service with `audience`; for tokens without one, see \
         `audience_from` and `allow_missing_audience`"
    )]
    NoAudience(String),
    /// No algorithm.
    #[error("the issuer `{0}` has no algorithm: name those that it signs with, with `algorithms`")]
    NoAlgorithm(String),
    /// Algorithms of several families.
    #[error(
        "the issuer `{0}` has algorithms of several families: choose one, or say `allow_several_families` (never with HMAC)"
    )]
    SeveralFamilies(String),
    /// No keys.
    #[error("the issuer `{0}` has no keys: add them with `keys` or `hmac_secret`")]
    NoKeys(String),
    /// None of the keys is for one of the algorithms.
    #[error("the issuer `{0}` has no key for its algorithms: add one with `keys`, or correct `algorithms`")]
    NoKeyForAlgorithms(String),
    /// An HMAC algorithm with public keys, or the other way round.
    #[error(
        "the issuer `{0}` mixes shared secrets and public keys: HMAC algorithms need `hmac_secret`, others need `keys`"
    )]
    SecretsAndPublicKeys(String),
    /// The secret is shorter than an algorithm needs.
    #[error("the secret of the issuer `{issuer}` is too short: {algorithm} needs at least {least} bytes")]
    ShortSecret {
        /// The issuer.
        issuer: String,
        /// The algorithm.
        algorithm: Algorithm,
        /// The least length in bytes.
        least: usize,
    },
    /// A leeway or clock skew over [`MAX_LEEWAY`](super::MAX_LEEWAY).
    #[error("the leeway or clock skew of the issuer `{0}` is over 5 minutes, the most allowed")]
    LeewayTooLong(String),
    /// A lifetime or age under one second, or no type in the list of types.
    #[error("the issuer `{0}` would accept no token: its `{1}` is zero or empty")]
    AcceptsNothing(String, &'static str),
    /// The name of a claim that is empty.
    #[error("the issuer `{0}` needs the name of a claim in `{1}`, which is empty")]
    ClaimName(String, &'static str),
    /// A limit that would refuse every token, or bound nothing.
    #[error("`{name}` must be from {least} to {most}")]
    Limit {
        /// The setting.
        name: &'static str,
        /// The least value.
        least: usize,
        /// The largest value.
        most: usize,
    },
    /// A name of a cookie that no cookie can have, or a prefix that no subprotocol can have.
    #[error(
        "`{0}` cannot be the name of a cookie or the prefix of a subprotocol: use letters, digits, `-`, `_` and `.`"
    )]
    BadPlace(String),
}

/// As [`fmt::Display`](std::fmt::Display): what `fn main() -> Result<(), Box<dyn Error>>` prints is
/// this, and it should say what to do.
impl std::fmt::Debug for TokenConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl TokenConfigError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoIssuer => "token-config-no-issuer",
            Self::DuplicateIssuer(_) => "token-config-duplicate-issuer",
            Self::EmptyIssuer => "token-config-empty-issuer",
            Self::NoAudience(_) => "token-config-no-audience",
            Self::NoAlgorithm(_) => "token-config-no-algorithm",
            Self::SeveralFamilies(_) => "token-config-several-families",
            Self::NoKeys(_) => "token-config-no-keys",
            Self::NoKeyForAlgorithms(_) => "token-config-no-key-for-algorithms",
            Self::SecretsAndPublicKeys(_) => "token-config-secrets-and-public-keys",
            Self::ShortSecret { .. } => "token-config-short-secret",
            Self::LeewayTooLong(_) => "token-config-leeway",
            Self::AcceptsNothing(..) => "token-config-accepts-nothing",
            Self::ClaimName(..) => "token-config-claim-name",
            Self::Limit { .. } => "token-config-limit",
            Self::BadPlace(_) => "token-config-place",
        }
    }
}

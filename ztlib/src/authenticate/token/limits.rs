//! How large a token may be.

use super::config_error::TokenConfigError;
use super::json::Limits;

/// The longest token that a verifier can be made to accept, in bytes: the upper bound of
/// [`max_token_bytes`](super::TokenVerifierBuilder::max_token_bytes). Work before the signature is
/// linear in the token, so this bounds what an unknown caller can cause.
///
/// A server may have a lower limit for the headers of a request; it then answers 431 before the
/// token is read.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// The longest `kid` of a token or a key, in bytes.
pub(super) const MAX_KEY_ID_BYTES: usize = 256;

/// The limits of one verifier.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenLimits {
    /// The most bytes of the whole token.
    pub(super) bytes: usize,
    /// The limits of the header and of the claims, each.
    pub(super) json: Limits,
}

impl TokenLimits {
    /// Enough for large directories, which put two hundred groups or the roles of several hundred
    /// clients into a token.
    pub(super) const DEFAULT: Self =
        Self { bytes: 16 * 1024, json: Limits { depth: 32, members: 1024, entries: None } };

    /// Refuses a limit that would refuse every token or bound nothing.
    pub(super) fn check(self) -> Result<Self, TokenConfigError> {
        let limits = [
            ("max_token_bytes", self.bytes, 1024, MAX_TOKEN_BYTES),
            ("max_claims", self.json.members, 16, 16 * 1024),
            ("max_nesting", self.json.depth, 4, 64),
        ];
        for (name, given, least, most) in limits {
            if !(least..=most).contains(&given) {
                return Err(TokenConfigError::Limit { name, least, most });
            }
        }
        Ok(self)
    }
}

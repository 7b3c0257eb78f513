//! How much of a token is looked at.

use super::config_error::TokenConfigError;
use super::json::Limits;

/// The longest token that is ever looked at, in bytes:
/// [`max_token_bytes`](super::TokenVerifierBuilder::max_token_bytes) can be no more. It bounds the
/// work that an unknown caller can cause: everything before the signature is linear in it.
///
/// A server may have a lower limit for the headers of a request, which then answers 431 before
/// anybody is asked who they are.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// The longest `kid`, in bytes.
pub(super) const MAX_KEY_ID_BYTES: usize = 256;

/// The limits of one verifier.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenLimits {
    /// Of the whole token.
    pub(super) bytes: usize,
    /// Of its header and of its claims, each.
    pub(super) json: Limits,
}

impl TokenLimits {
    /// Room for what large directories put into a token: two hundred groups, or the roles of some
    /// hundred clients.
    pub(super) const DEFAULT: Self =
        Self { bytes: 16 * 1024, json: Limits { depth: 32, members: 1024, entries: None } };

    /// Whether each limit is one that lets tokens through and bounds them.
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

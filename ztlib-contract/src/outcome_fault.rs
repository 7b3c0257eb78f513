//! Why something that a policy attached cannot be used.

use http::HeaderName;

use super::outcome::Reason;

/// Why something that a policy attached cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutcomeFault {
    /// The reason is not a code.
    #[error("a reason is 1 to 64 of `a-z`, `0-9` and `-`")]
    MalformedReason,
    /// The manifest does not declare the reason for this policy.
    #[error("the manifest declares no reason `{0}` for this policy")]
    UndeclaredReason(Reason),
    /// The message has control characters.
    #[error("a message holds no control characters")]
    MalformedMessage,
    /// The step-up challenge asks for nothing or cannot stand in a header.
    #[error(
        "a step-up challenge names a context class of visible ASCII without quotes, or a maximum age, or both"
    )]
    MalformedStepUp,
    /// The header's name or value cannot stand in a message.
    #[error("the header's name or value cannot stand in an HTTP message")]
    MalformedHeader,
    /// The header is HTTP's or ztlib's own.
    #[error("the header `{0}` is not for policies to change")]
    ReservedHeader(HeaderName),
    /// The source of a copied header is none.
    #[error("a source is one symbol: {0}")]
    MalformedSource(&'static str),
    /// The source of a copied header is a header that carries a secret.
    #[error("the header `{0}` carries a secret and cannot be copied")]
    SecretSource(HeaderName),
    /// Two policies want different things of one header.
    #[error("another policy sets the header `{0}` to a different value")]
    ConflictingHeader(HeaderName),
    /// More or longer than the budget allows.
    #[error("the budget for {0} is spent")]
    Budget(&'static str),
}

impl OutcomeFault {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MalformedReason => "outcome-malformed-reason",
            Self::UndeclaredReason(_) => "outcome-undeclared-reason",
            Self::MalformedMessage => "outcome-malformed-message",
            Self::MalformedStepUp => "outcome-malformed-step-up",
            Self::MalformedHeader => "outcome-malformed-header",
            Self::ReservedHeader(_) => "outcome-reserved-header",
            Self::MalformedSource(_) => "outcome-malformed-source",
            Self::SecretSource(_) => "outcome-secret-source",
            Self::ConflictingHeader(_) => "outcome-conflicting-header",
            Self::Budget(_) => "outcome-budget",
        }
    }
}

//! Why a claim could not be read as asked.

/// Why a claim could not be read as asked. An absent claim is not an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// The pointer is not a JSON pointer (RFC 6901 section 3): it must be empty or start with `/`,
    /// with `~` only in `~0` and `~1`.
    #[error("`{pointer}` is not a JSON pointer: write it like `/org/id`")]
    MalformedPointer {
        /// The pointer, escaped and cut.
        pointer: Box<str>,
    },
    /// The claim is there and of another type.
    #[error("the claim `{pointer}` is not {expected}")]
    WrongType {
        /// The pointer, escaped and cut.
        pointer: Box<str>,
        /// What was asked for: "a string", "an integer", …
        expected: &'static str,
    },
    /// The claims do not have the shape of the type asked for. What is in them is not shown.
    #[error("the claims do not have the shape of the type asked for")]
    Shape,
}

impl ClaimError {
    /// A stable name for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MalformedPointer { .. } => "claim-malformed-pointer",
            Self::WrongType { .. } => "claim-wrong-type",
            Self::Shape => "claim-shape",
        }
    }
}

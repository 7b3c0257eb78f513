//! Runnable examples.

/// The code of the page on running it compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/operations.md")]
mod operations {}

/// So does that of the page on bringing it into a running service.
#[cfg(doctest)]
#[doc = include_str!("../../docs/introducing.md")]
mod introducing {}

//! Runnable examples.

/// The code of the page on running it compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/operations.md")]
mod operations {}

//! Candidates tried on traffic, from outside: shadow, recording and replay, promotion. One module a
//! subject.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot set itself up has failed"
)]

#[path = "../support/sets.rs"]
mod sets;
#[path = "../support/mod.rs"]
mod support;

mod promotion;
mod recording;
mod same;
mod shadow;
mod stage;

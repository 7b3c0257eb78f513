//! The decision cache from outside: each condition under which it is exact, races, and floods. One
//! module a subject.
//!
//! `ztlib/tests/mutations` takes each condition away and shows that a test here, or one that it
//! names, fails.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set itself up has failed"
)]

mod conditions;
mod credentials;
#[path = "../support/guest.rs"]
mod guest;
mod races;
mod stage;
mod untracked;

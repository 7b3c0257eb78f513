//! What is in force, and the metrics that say so.

use std::time::SystemTime;

use super::wasm::Allocator;
use super::{LoadError, Revision};
use crate::clock::unix_seconds;

/// What is in force, since when, and why nothing newer is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// The revision in force.
    pub revision: Revision,
    /// Since when.
    pub since: SystemTime,
    /// How often a set was loaded without error, counting the first.
    pub loads: u64,
    /// How often a candidate was refused.
    pub failures: u64,
    /// Why the newest candidate is not in force, and since when; none where it is.
    pub last_error: Option<(LoadError, SystemTime)>,
    /// Where the memory of policies comes from.
    pub allocator: Allocator,
}

/// `ztlib_policy_loads_total{result}`: sets that were loaded or refused.
pub(super) fn count(result: &'static str) {
    ::metrics::counter!("ztlib_policy_loads_total", "result" => result).increment(1);
}

/// `ztlib_policies_in_force_since_seconds`: since when the revision in force is, in seconds since 1970.
pub(super) fn in_force_since(since: SystemTime) {
    #[allow(
        clippy::cast_precision_loss,
        reason = "whole seconds are exact in a float for 285 million years"
    )]
    ::metrics::gauge!("ztlib_policies_in_force_since_seconds").set(unix_seconds(since) as f64);
}

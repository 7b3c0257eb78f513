//! Seconds since 1970, as tokens, certificates and policies count.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second of the year 9999: the latest that every platform can represent.
pub(crate) const LATEST: u64 = 253_402_300_799;

/// Whole seconds since 1970-01-01T00:00:00Z; 0 for an earlier moment.
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The moment this many seconds after 1970-01-01T00:00:00Z, at most the end of the year 9999.
pub fn from_unix_seconds(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.min(LATEST))
}

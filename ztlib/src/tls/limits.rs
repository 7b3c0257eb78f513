//! What one connection may use, and how long each of its states may last. See docs/connections.md.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::TlsConfigError;

/// The limits of one connection. None is optional.
#[derive(Debug, Clone, Copy)]
pub(super) struct HttpLimits {
    pub(super) header_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) ping_after: Duration,
    pub(super) ping_timeout: Duration,
    pub(super) body_timeout: Duration,
    pub(super) answer_timeout: Duration,
    /// Of a body that nobody reads.
    pub(super) unread_bytes: u64,
    pub(super) unread_time: Duration,
    pub(super) max_header_bytes: u32,
    pub(super) max_concurrent_streams: u32,
    pub(super) idle_request_streams: bool,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            ping_after: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(20),
            body_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(60),
            unread_bytes: 64 * 1024 * 1024,
            unread_time: Duration::from_secs(30),
            max_header_bytes: 64 * 1024,
            max_concurrent_streams: 200,
            idle_request_streams: false,
        }
    }
}

/// A slower pace, in bytes a second, counts as standing still: a peer that sends or takes a byte
/// now and then does not renew a timer.
pub(super) const SLOWEST: u64 = 240;
/// After the server has finished writing, it listens until the peer has been silent this long.
pub(super) const SILENCE: Duration = Duration::from_secs(5);
/// The time between "finish your requests" and the end, for a connection without a request.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// What a peer moves in this time at the slowest pace that still counts.
pub(super) fn least_progress(limit: Duration) -> u64 {
    SLOWEST.saturating_mul(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)) / 1000
}

const SHORTEST: Duration = Duration::from_millis(1);
const AN_HOUR: Duration = Duration::from_secs(3600);
const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// The range for timers of requests and handshakes.
pub(super) const TIMEOUTS: RangeInclusive<Duration> = SHORTEST..=AN_HOUR;
/// The range for timers of connections without a request.
pub(super) const IDLE_TIMEOUTS: RangeInclusive<Duration> = SHORTEST..=A_DAY;

/// Returns the value if it is in the range.
pub(super) fn within<T: PartialOrd + std::fmt::Debug>(
    setting: &'static str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<T, TlsConfigError> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(TlsConfigError::OutOfRange {
        setting,
        given: format!("{value:?}"),
        allowed: format!("{:?} to {:?}", range.start(), range.end()),
    })
}

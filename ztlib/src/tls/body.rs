//! Bodies of requests as they arrive, and what happens to those that nobody reads.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep};

use super::exchange::Exchange;
use super::limits::{HttpLimits, SILENCE, SLOWEST};

/// The body of a request. It is read from the connection as the service asks for it, and not
/// buffered before.
///
/// - While the service waits for the body, it must arrive. If the peer has sent nothing for
///   [`body_timeout`](super::Server::body_timeout), or less than 240 bytes a second on average,
///   reading returns an error. On HTTP/2, a body without `content-length` may pause for any time
///   once the answer has begun: a bidirectional stream stays open as long as its peer answers
///   pings.
/// - If the body is dropped before its end, the rest is still read, within limits
///   ([`unread_bodies`](super::Server::unread_bodies)), and discarded. Otherwise a peer that is
///   busy sending would lose the answer (RFC 9112 section 9.6).
pub struct RequestBody {
    /// `None` after the body was given up.
    body: Option<Incoming>,
    /// Dropped with the body: a handler that still reads has not finished.
    exchange: Option<Arc<Exchange>>,
    pace: Pace,
    pauses: Pauses,
    unread: Unread,
    /// The peer waits for `100 Continue` (RFC 9110 section 10.1.1), which was not sent.
    held_back: bool,
}

/// When the body may pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pauses {
    Never,
    OnceAnswered,
    Always,
}

/// How much to read of a body that nobody reads.
#[derive(Debug, Clone)]
struct Unread {
    bytes: u64,
    time: Duration,
    runtime: Option<Handle>,
}

impl RequestBody {
    pub(super) fn new(
        body: Incoming,
        exchange: &Arc<Exchange>,
        limits: &HttpLimits,
        pauses: Pauses,
        held_back: bool,
    ) -> Self {
        Self {
            body: Some(body),
            exchange: Some(Arc::clone(exchange)),
            pace: Pace::new(limits.body_timeout),
            pauses,
            unread: Unread {
                bytes: limits.unread_bytes,
                time: limits.unread_time,
                runtime: Handle::try_current().ok(),
            },
            held_back,
        }
    }

    fn may_pause(&self) -> bool {
        match self.pauses {
            Pauses::Never => false,
            Pauses::OnceAnswered => self.exchange.as_ref().is_some_and(|exchange| exchange.is_answered()),
            Pauses::Always => true,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        this.held_back = false;
        match Pin::new(body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.pace.moved(frame.data_ref().map_or(0, |bytes| bytes.remaining()));
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.body = None;
                Poll::Ready(Some(Err(RequestBodyError(Reason::Connection(error)))))
            }
            Poll::Ready(None) => {
                this.body = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                if this.may_pause() {
                    this.pace.pause();
                    return Poll::Pending;
                }
                if this.pace.poll_too_slow(cx).is_pending() {
                    return Poll::Pending;
                }
                // The answer began while this waited.
                if this.may_pause() {
                    this.pace.pause();
                    return Poll::Pending;
                }
                this.body = None;
                metrics::counter!("ztlib_connections_ended_total", "code" => "body-timeout").increment(1);
                Poll::Ready(Some(Err(RequestBodyError(Reason::Timeout))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(body) = self.body.take() else { return };
        // A peer that still waits for `100 Continue` will not send its body.
        if body.is_end_stream() || self.held_back {
            return;
        }
        if let Some(runtime) = &self.unread.runtime {
            runtime.spawn(take_in(body, self.unread.bytes, self.unread.time));
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestBody")
    }
}

/// Reads and discards a body until it ends, the peer falls silent, or a limit is reached.
async fn take_in(mut body: Incoming, mut left: u64, time: Duration) {
    let mut end = pin!(sleep(time));
    let mut silence = pin!(sleep(SILENCE));
    poll_fn(|cx| {
        // One piece per poll, so that other tasks get their turn.
        match Pin::new(&mut body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |bytes| bytes.remaining());
                left = left.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
                silence.as_mut().reset(Instant::now() + SILENCE);
                if left == 0 || end.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending if end.as_mut().poll(cx).is_ready() => Poll::Ready(()),
            Poll::Pending => silence.as_mut().poll(cx),
        }
    })
    .await;
}

/// How much longer to wait. Waiting uses the time up, and received bytes earn it back, up to the
/// limit.
struct Pace {
    limit: Duration,
    left: Duration,
    since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    fn new(limit: Duration) -> Self {
        Self { limit, left: limit, since: None, sleep: None }
    }

    fn moved(&mut self, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let earned = Duration::from_micros(bytes.saturating_mul(1_000_000 / SLOWEST));
        self.left = self.left.saturating_add(earned).min(self.limit);
    }

    /// Stops counting the time.
    fn pause(&mut self) {
        self.since = None;
    }

    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let Some(deadline) = since.checked_add(self.left) else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}

/// The peer went away, did not send the body in time, or sent something that is not HTTP.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request could not be read")]
pub struct RequestBodyError(#[source] Reason);

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("the body did not arrive in time")]
    Timeout,
    #[error("the connection failed")]
    Connection(#[source] hyper::Error),
}

impl RequestBodyError {
    /// Whether the peer did not send the body in time. The matching HTTP status is 408.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, Reason::Timeout)
    }
}

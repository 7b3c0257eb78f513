//! Bodies of requests as they arrive, and what becomes of those that nobody reads.

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

/// The body of a request, read from the connection as the service asks for it. Nothing of it is
/// buffered before.
///
/// - While the service waits for it, it must come: a peer that has sent nothing for
///   [`body_timeout`](super::Server::body_timeout), or has sent less than 240 bytes a second on
///   average, gets no further, and reading gives an error. On HTTP/2, a body without
///   `content-length` may pause for ever once the answer has begun: a call that streams both ways
///   is open for as long as its peer answers pings.
/// - What of it is not read when it is dropped is still taken in, within bounds
///   ([`unread_bodies`](super::Server::unread_bodies)), and thrown away: a peer that is busy with
///   sending would otherwise lose the answer (RFC 9112 section 9.6).
pub struct RequestBody {
    /// `None` once it was given up.
    body: Option<Incoming>,
    /// Dropped with the body: a handler that still reads has not finished.
    exchange: Option<Arc<Exchange>>,
    pace: Pace,
    pauses: Pauses,
    unread: Unread,
    /// The peer waits to be told to go on (RFC 9110 section 10.1.1), and was not.
    held_back: bool,
}

/// When the body may pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pauses {
    Never,
    OnceAnswered,
    Always,
}

/// How much is taken in of what nobody reads.
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
                // Answered while it waited.
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
        // A peer that waits to be told to go on need not be heard: it will not begin.
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

/// Reads what nobody wants, until it ends, the peer falls silent, or a bound is met.
async fn take_in(mut body: Incoming, mut left: u64, time: Duration) {
    let mut end = pin!(sleep(time));
    let mut silence = pin!(sleep(SILENCE));
    poll_fn(|cx| {
        // A piece at a time, so that other tasks get their turn.
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

/// How long may still be waited: a limit that waiting uses up and that bytes give back, never
/// beyond the limit.
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

    /// The waiting does not count.
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

/// The peer went away, did not send the body in time, or what it sent is not HTTP.
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
    /// The peer did not send it in time; HTTP has the status 408 for it.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, Reason::Timeout)
    }
}

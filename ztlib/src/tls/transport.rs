//! A transport that knows whether its peer takes what it is sent, and one that is closed in stages.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::limits::{HttpLimits, SILENCE};
use super::places::{Place, Stage};

/// How much of an answer the operating system may buffer unsent. Without a bound it is megabytes
/// for a peer that does not read, and a slow peer's progress is visible only every few megabytes.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES: u32 = 128 * 1024;

/// The idle time after which TCP probes the other end of a connection.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Sets a socket's options. All are optional: a connection works without those that the system
/// lacks.
pub(super) fn prepare(transport: &TcpStream) {
    // Small answers are sent at once instead of waiting for more (RFC 896).
    let _ = transport.set_nodelay(true);
    let socket = SockRef::from(transport);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
    let _ = socket.set_tcp_keepalive(&keepalive);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES);
}

/// What a connection's bytes tell about its peer.
#[derive(Default)]
pub(super) struct Meter {
    /// The peer does not take what it is sent at the moment.
    blocked: AtomicBool,
    written: AtomicU64,
    /// Bytes read inside TLS.
    pub(super) heard: AtomicU64,
    /// Another protocol has taken the connection over.
    pub(super) upgraded: AtomicBool,
}

impl Meter {
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        match polled {
            Poll::Pending => self.blocked.store(true, Ordering::Relaxed),
            Poll::Ready(written) => {
                let written = written.as_ref().map_or(0, |bytes| u64::try_from(*bytes).unwrap_or(u64::MAX));
                self.written.fetch_add(written, Ordering::Relaxed);
                self.blocked.store(false, Ordering::Relaxed);
            }
        }
    }
}

/// A transport whose writing is watched. It sits below TLS.
pub(super) struct Metered<IO> {
    io: IO,
    meter: Arc<Meter>,
}

impl<IO> Metered<IO> {
    pub(super) fn new(io: IO, meter: &Arc<Meter>) -> Self {
        Self { io, meter: Arc::clone(meter) }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Metered<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Metered<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.meter.wrote(&polled);
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.meter.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// A transport that keeps its place among the connections until it is closed, even after an upgrade
/// took it away from HTTP. It is closed in stages (RFC 9112 section 9.6): first it stops writing,
/// then it reads from the peer within limits. Closing a transport with unread bytes would destroy
/// the answer that was sent before.
pub(super) struct Placed<IO> {
    io: IO,
    place: Place,
    meter: Arc<Meter>,
    closing: Closing,
    bytes: u64,
    time: Duration,
}

enum Closing {
    NotYet,
    Writing,
    Hearing { left: u64, end: Pin<Box<Sleep>>, silence: Pin<Box<Sleep>> },
    Done,
}

impl<IO> Placed<IO> {
    pub(super) fn new(io: IO, place: Place, meter: &Arc<Meter>, limits: &HttpLimits) -> Self {
        Self {
            io,
            place,
            meter: Arc::clone(meter),
            closing: Closing::NotYet,
            bytes: limits.unread_bytes,
            time: limits.unread_time,
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Placed<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        let some = buffer.filled().len().saturating_sub(before);
        if some > 0 {
            self.meter.heard.fetch_add(u64::try_from(some).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        polled
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Placed<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match &mut this.closing {
                Closing::NotYet if this.meter.upgraded.load(Ordering::Relaxed) => {
                    // The other protocol may read on after it has finished writing.
                    return Pin::new(&mut this.io).poll_shutdown(cx);
                }
                Closing::NotYet => {
                    this.place.slot.enter(Stage::Passing);
                    this.closing = Closing::Writing;
                }
                Closing::Writing => {
                    let written = ready!(Pin::new(&mut this.io).poll_shutdown(cx));
                    if written.is_err() {
                        this.closing = Closing::Done;
                        return Poll::Ready(written);
                    }
                    this.closing = Closing::Hearing {
                        left: this.bytes,
                        end: Box::pin(sleep(this.time)),
                        silence: Box::pin(sleep(SILENCE)),
                    };
                }
                Closing::Hearing { left, end, silence } => {
                    let mut bytes = [0; 4096];
                    let mut buffer = ReadBuf::new(&mut bytes);
                    match Pin::new(&mut this.io).poll_read(cx, &mut buffer) {
                        Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                            let some = u64::try_from(buffer.filled().len()).unwrap_or(u64::MAX);
                            *left = left.saturating_sub(some);
                            silence.as_mut().reset(tokio::time::Instant::now() + SILENCE);
                            if *left == 0 || end.as_mut().poll(cx).is_ready() {
                                this.closing = Closing::Done;
                            }
                        }
                        Poll::Ready(_) => this.closing = Closing::Done,
                        Poll::Pending => {
                            if end.as_mut().poll(cx).is_pending() && silence.as_mut().poll(cx).is_pending() {
                                return Poll::Pending;
                            }
                            this.closing = Closing::Done;
                        }
                    }
                }
                Closing::Done => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

//! HTTP on one accepted connection.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tower_service::Service;

use super::{Connection, Protocol, RequestBody};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Bounds on what one connection may ask for. None is optional.
#[derive(Debug, Clone, Copy)]
pub(super) struct HttpLimits {
    pub(super) header_timeout: Duration,
    pub(super) max_header_bytes: u32,
    pub(super) max_concurrent_streams: u32,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            max_header_bytes: 64 * 1024,
            max_concurrent_streams: 200,
        }
    }
}

/// Lines in the header section of an HTTP/1.1 request.
const MAX_HEADER_LINES: usize = 100;
/// Streams that the peer has reset and that wait to be dropped (CVE-2023-44487).
const MAX_RESET_STREAMS: usize = 20;
/// Streams that we have reset because of the peer's errors (CVE-2025-8671).
const MAX_ERROR_RESETS: usize = 1024;
/// Bytes of answers that wait for the peer, a stream.
const MAX_SEND_BUFFER: usize = 256 * 1024;
const PING_AFTER: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Where the server stands. When its sender is gone, everything is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    Draining,
    Cut,
}

/// Watching the phase.
pub(super) trait Phases {
    /// The future's output; `None` where the server began to drain before.
    async fn unless_draining<F: Future>(&mut self, future: F) -> Option<F::Output>;
}

impl Phases for watch::Receiver<Phase> {
    async fn unless_draining<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut draining = pin!(self.wait_for(|phase| *phase != Phase::Serving));
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => draining.as_mut().poll(cx).map(|_| None),
        })
        .await
    }
}

/// Serves until the peer leaves, the connection fails or the server is cut. The protocol is the one that ALPN agreed on:
/// sniffing would let a peer sit there without a deadline.
pub(super) async fn serve_connection<IO, S, B>(
    io: IO,
    connection: Connection,
    service: S,
    limits: HttpLimits,
    place: OwnedSemaphorePermit,
    phases: watch::Receiver<Phase>,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let protocol = connection.protocol();
    let io = TokioIo::new(Placed { io, _place: place });
    let service = TowerToHyperService::new(OfConnection { inner: service, connection });
    match protocol {
        Protocol::Http1 => {
            let connection = http1_settings(limits).serve_connection(io, service).with_upgrades();
            drive(connection, phases, http1::UpgradeableConnection::graceful_shutdown).await;
        }
        Protocol::Http2 => {
            let connection = http2_settings(limits).serve_connection(io, service);
            drive(connection, phases, http2::Connection::graceful_shutdown).await;
        }
    }
}

/// Also for the plain-text probes.
pub(super) fn http1_settings(limits: HttpLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    let bytes = usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX);
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(MAX_HEADER_LINES)
        .max_header_size(bytes)
        .max_buf_size(bytes.max(64 * 1024));
    builder
}

fn http2_settings(limits: HttpLimits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(limits.max_header_bytes)
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// Polls the connection, tells it once to finish, and drops it when the server is cut.
pub(super) async fn drive<C>(connection: C, mut phases: watch::Receiver<Phase>, finish: impl Fn(Pin<&mut C>))
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    let mut connection = pin!(connection);
    loop {
        let phase = {
            let mut changed = pin!(phases.changed());
            poll_fn(|cx| {
                if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended with an error");
                    }
                    return Poll::Ready(None);
                }
                changed.as_mut().poll(cx).map(Some)
            })
            .await
        };
        match phase {
            None | Some(Err(_)) => return,
            Some(Ok(())) => {}
        }
        match *phases.borrow_and_update() {
            Phase::Serving => {}
            Phase::Draining => finish(connection.as_mut()),
            Phase::Cut => return,
        }
    }
}

/// Gives each request what is known about its connection.
#[derive(Clone)]
struct OfConnection<S> {
    inner: S,
    connection: Connection,
}

impl<S> Service<Request<Incoming>> for OfConnection<S>
where
    S: Service<Request<RequestBody>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        self.connection.extend(&mut parts.extensions);
        self.inner.call(Request::from_parts(parts, RequestBody::new(body)))
    }
}

/// A transport that keeps its place among the connections until it is closed, also after an upgrade took it away from
/// HTTP.
struct Placed<IO> {
    io: IO,
    _place: OwnedSemaphorePermit,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Placed<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Placed<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
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
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

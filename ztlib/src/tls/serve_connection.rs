//! HTTP on one accepted connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tower_service::Service;

use super::body::Pauses;
use super::drive::{Phase, Watch, drive, ended};
use super::exchange::{Answer, Answering, Exchange};
use super::limits::HttpLimits;
use super::places::{Place, Slot, Stage};
use super::streams::Streams;
use super::transport::{Meter, Placed};
use super::{Connection, HttpVersion, RequestBody};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Maximum lines in the header section of an HTTP/1.1 request.
const MAX_HEADER_LINES: usize = 100;
/// Maximum streams that the peer has reset and that are not dropped yet (CVE-2023-44487).
const MAX_RESET_STREAMS: usize = 20;
/// Maximum streams that we have reset because of the peer's errors (CVE-2025-8671).
const MAX_ERROR_RESETS: usize = 1024;
/// Maximum bytes of answers that wait for the peer, per stream.
const MAX_SEND_BUFFER: usize = 256 * 1024;

/// Serves until the peer leaves, the connection fails, a timer ends it or the server is cut. The
/// protocol is the one agreed by ALPN: with sniffing, a peer could stay without a deadline.
pub(super) async fn serve_connection<IO, S, B>(
    io: IO,
    meter: Arc<Meter>,
    connection: Connection,
    service: S,
    limits: HttpLimits,
    place: Place,
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
    let slot = Arc::clone(&place.slot);
    slot.enter(Stage::Silent);
    let io = TokioIo::new(Placed::new(io, place, &meter, &limits));
    let streams = (protocol == HttpVersion::Http2).then(|| Streams::new(limits.answer_timeout));
    let watch = Watch::new(&slot, &meter, streams.clone(), protocol, limits);
    let service = OfConnection {
        inner: TowerToHyperService::new(service),
        connection,
        limits,
        slot: Arc::clone(&slot),
        streams: streams.clone(),
    };
    match streams {
        None => {
            let connection = http1_settings(limits).serve_connection(io, service).with_upgrades();
            drive(connection, phases, watch, http1::UpgradeableConnection::graceful_shutdown).await;
        }
        Some(streams) => {
            let connection = http2_settings(limits, streams).serve_connection(io, service);
            drive(connection, phases, watch, http2::Connection::graceful_shutdown).await;
        }
    }
    // If another protocol has taken the connection over, it belongs to that protocol's code, and is
    // in use until it is closed.
    meter.upgraded.store(true, Ordering::Relaxed);
    slot.begin_exchange();
}

/// Also used for the plaintext probes.
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

fn http2_settings(limits: HttpLimits, streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        // Header sections slightly above the limit are answered here and counted; larger ones are
        // rejected by the protocol.
        .max_header_list_size(limits.max_header_bytes.saturating_mul(2))
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .keep_alive_interval(limits.ping_after)
        .keep_alive_timeout(limits.ping_timeout);
    builder
}

/// Adds the facts of the connection to each request, and watches the request until its answer is
/// written.
struct OfConnection<S> {
    inner: TowerToHyperService<S>,
    connection: Connection,
    limits: HttpLimits,
    slot: Arc<Slot>,
    streams: Option<Streams>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for OfConnection<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone,
    B: Body,
{
    type Response = Response<Answer<B>>;
    type Error = S::Error;
    type Future =
        Answering<<TowerToHyperService<S> as hyper::service::Service<Request<RequestBody>>>::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let exchange = Exchange::begin(&self.slot);
        if let Some(streams) = &self.streams {
            streams.begin(&exchange);
        }
        let (mut parts, body) = request.into_parts();
        let pauses = self.pauses(&parts.headers);
        // On HTTP/2 the server never sends `100 Continue`, so no peer is assumed to wait for it.
        let held_back = self.streams.is_none() && parts.headers.contains_key(EXPECT);
        let body = RequestBody::new(body, &exchange, &self.limits, pauses, held_back);
        if self.streams.is_some() && header_bytes(&parts) > self.limits.max_header_bytes as usize {
            ended("header-too-large");
            return Answering::Server { status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, exchange };
        }
        self.connection.extend(&mut parts.extensions);
        let future = hyper::service::Service::call(&self.inner, Request::from_parts(parts, body));
        Answering::Service { future, exchange }
    }
}

impl<S> OfConnection<S> {
    /// On HTTP/1.1 nothing shows that a silent peer is still there. On HTTP/2 pings do, but a body
    /// with a stated length should be on its way: it is not a conversation.
    fn pauses(&self, headers: &HeaderMap) -> Pauses {
        if self.streams.is_none() || headers.contains_key(CONTENT_LENGTH) {
            Pauses::Never
        } else if self.limits.idle_request_streams {
            Pauses::Always
        } else {
            Pauses::OnceAnswered
        }
    }
}

/// As counted by RFC 9113 section 6.5.2.
fn header_bytes(parts: &http::request::Parts) -> usize {
    let field = |name: usize, value: usize| name + value + 32;
    let authority = parts.uri.authority().map_or(0, |authority| authority.as_str().len());
    let scheme = parts.uri.scheme_str().map_or(0, str::len);
    let path = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let pseudo = [
        (":method", parts.method.as_str().len()),
        (":authority", authority),
        (":scheme", scheme),
        (":path", path),
    ];
    let pseudo: usize = pseudo.iter().map(|(name, value)| field(name.len(), *value)).sum();
    let rest: usize = parts.headers.iter().map(|(name, value)| field(name.as_str().len(), value.len())).sum();
    pseudo + rest
}

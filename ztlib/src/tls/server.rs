//! The server: listener, handshakes, HTTP and shutdown.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::watch;
use tower_service::Service;

use super::accept_loop::accept_until;
use super::drive::Phase;
use super::limits::{HttpLimits, IDLE_TIMEOUTS, TIMEOUTS, within};
use super::places::Places;
use super::probes::Probes;
use super::serve_connection::serve_connection;
use super::transport::{Meter, Metered, prepare};
use super::{AcceptError, Acceptor, RequestBody, TlsConfigError};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Serves HTTP/1.1 and HTTP/2 over TLS to verified peers.
///
/// - Handshakes run outside the loop that accepts connections, and no accept error ends that loop.
/// - A panic in the service ends only its own connection or stream.
/// - Everything is bounded, and no bound can be removed. A method returns an error if its value is
///   out of range.
///
/// Each bound with its default and its range:
///
/// - open connections; when all are taken, one without a request makes room
///   ([`max_connections`](Self::max_connections)): 10 000; from 1 to 1 000 000
/// - running handshakes, and the duration of each ([`Acceptor`]): 512, 10 s; from 1 to 100 000, 1
///   ms to 1 h
/// - the header section of a request, answered with 431 if larger
///   ([`max_header_bytes`](Self::max_header_bytes)): 64 KiB, and 100 lines on HTTP/1.1; from 8 KiB
///   to 1 MiB
/// - the time until a header section is complete, and between requests (HTTP/1.1); the time until
///   the preface (HTTP/2) ([`header_timeout`](Self::header_timeout)): 30 s; from 1 ms to 1 h
/// - the time without a request (HTTP/2) ([`idle_timeout`](Self::idle_timeout)): 5 min; from 1 ms
///   to 24 h
/// - a silent peer (HTTP/2) ([`ping`](Self::ping)): pinged after 30 s, closed 20 s later; from 1 ms
///   to 1 h each
/// - the time to wait for a body that does not arrive ([`body_timeout`](Self::body_timeout)): 30 s;
///   from 1 ms to 1 h
/// - the time to wait for a peer to take an answer ([`answer_timeout`](Self::answer_timeout)): 60
///   s; from 1 ms to 1 h
/// - how much is read of a body that the service does not read
///   ([`unread_bodies`](Self::unread_bodies)): 64 MiB, 30 s; from 0 to 16 GiB, 1 ms to 1 h
/// - concurrent requests on a connection (HTTP/2)
///   ([`max_concurrent_streams`](Self::max_concurrent_streams)): 200; from 1 to 10 000
/// - reset streams (HTTP/2): 20 pending that the peer reset, 1024 after errors of the peer; then
///   the connection ends
/// - the time for requests in flight at shutdown ([`shutdown_limit`](Self::shutdown_limit)): 20 s,
///   then they are cut; from 1 ms to 1 h
///
/// For how long each state of a connection may last, what ends it and which test shows it, see the
/// project's `docs/connections.md`.
///
/// Each request carries [`PeerCertificates`](crate::authenticate::peer::PeerCertificates) and
/// [`RemoteAddr`](crate::remote_addr::RemoteAddr) in its extensions.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// use http::{Request, Response};
/// use std::convert::Infallible;
/// use tower::service_fn;
/// use ztlib::authenticate::peer::Trust;
/// use ztlib::tls::{Acceptor, RequestBody, Server};
/// use ztlib_testing::HttpsClient;
///
/// # let root = ztlib_testing::Authority::new("example root");
/// # let server = root.leaf().dns("localhost").for_servers().issue();
/// # let payments = root.issue_spiffe("spiffe://example.org/payments");
/// let trust = Trust::builder().trust("example.org".parse()?, [root.certificate()])?.build()?;
/// let acceptor =
///     Acceptor::builder().identity(server.chain(), server.key())?.peers(&trust).build()?;
/// let server = Server::bind("127.0.0.1:0", acceptor).await?;
/// let address = server.local_addr()?;
///
/// // A real service needs a guard in front; this one greets every verified peer.
/// let hello = service_fn(|_: Request<RequestBody>| async {
///     Ok::<_, Infallible>(Response::new("hello".to_owned()))
/// });
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// let running = tokio::spawn(server.serve(hello, async { stopped.await.unwrap_or_default() }));
///
/// let request =
///     || Request::get("https://localhost/").header("host", "localhost").body(Default::default());
/// let known = HttpsClient::new(root.certificate(), Some((payments.chain(), payments.key())))?;
/// assert_eq!(known.send(address, request()?).await?.body(), "hello");
///
/// let stranger = HttpsClient::new(root.certificate(), None)?;
/// assert!(stranger.send(address, request()?).await.is_err());
///
/// drop(stop);
/// assert_eq!(running.await?.cut, 0);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is served before `serve`"]
pub struct Server {
    listener: TcpListener,
    acceptor: Acceptor,
    max_connections: usize,
    shutdown_limit: Duration,
    http: HttpLimits,
    probes: Vec<Probes>,
}

impl Server {
    /// Listens on this address.
    ///
    /// # Errors
    /// If the address cannot be listened on; the text names it.
    pub async fn bind(address: impl ToSocketAddrs, acceptor: Acceptor) -> io::Result<Self> {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(address).await?.collect();
        let listener = TcpListener::bind(addresses.as_slice()).await.map_err(|error| {
            let shown: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
            io::Error::new(error.kind(), format!("{}: {error}", shown.join(", ")))
        })?;
        Ok(Self::new(listener, acceptor))
    }

    /// Uses a listener that is already bound, for example by systemd.
    ///
    /// # Errors
    /// If the listener cannot be made non-blocking.
    pub fn from_listener(listener: std::net::TcpListener, acceptor: Acceptor) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self::new(TcpListener::from_std(listener)?, acceptor))
    }

    fn new(listener: TcpListener, acceptor: Acceptor) -> Self {
        Self {
            listener,
            acceptor,
            max_connections: 10_000,
            shutdown_limit: Duration::from_secs(20),
            http: HttpLimits::default(),
            probes: Vec::new(),
        }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// If the operating system cannot tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// How many connections may be open, handshakes included. When all places are taken, a
    /// connection without a request makes room for a new one: first one with an unfinished
    /// handshake, then one that has sent no request yet, then the one that has been idle for
    /// longest. If each has a request in progress, the new connection is closed.
    ///
    /// # Errors
    /// If the limit is not from 1 to 1 000 000.
    pub fn max_connections(mut self, limit: usize) -> Result<Self, TlsConfigError> {
        self.max_connections = within("max_connections", limit, 1..=1_000_000)?;
        Ok(self)
    }

    /// How long a peer may take for the header section of a request, and how long an HTTP/1.1
    /// connection may be idle. The time starts at the end of the handshake or of the previous
    /// request, and received bytes do not extend it. On HTTP/2 it is the time until the client's
    /// preface.
    ///
    /// # Errors
    /// If the limit is not from a millisecond to an hour.
    pub fn header_timeout(mut self, limit: Duration) -> Result<Self, TlsConfigError> {
        self.http.header_timeout = within("header_timeout", limit, TIMEOUTS)?;
        Ok(self)
    }

    /// How long an HTTP/2 connection may be without a request. Then the peer is told that the
    /// connection ends (GOAWAY), and it is closed a second later. Answering pings does not extend
    /// the time.
    ///
    /// # Errors
    /// If the limit is not from a millisecond to 24 hours.
    pub fn idle_timeout(mut self, limit: Duration) -> Result<Self, TlsConfigError> {
        self.http.idle_timeout = within("idle_timeout", limit, IDLE_TIMEOUTS)?;
        Ok(self)
    }

    /// How long an HTTP/2 peer may be silent before it is sent a PING, and how long it may take to
    /// answer. A peer cannot answer in the middle of a header section, so the two together also
    /// limit how long that may take.
    ///
    /// # Errors
    /// If either is not from a millisecond to an hour.
    pub fn ping(mut self, after: Duration, timeout: Duration) -> Result<Self, TlsConfigError> {
        self.http.ping_after = within("ping", after, TIMEOUTS)?;
        self.http.ping_timeout = within("ping", timeout, TIMEOUTS)?;
        Ok(self)
    }

    /// How long the body of a request may stand still while the service waits for it; see
    /// [`RequestBody`].
    ///
    /// # Errors
    /// If the limit is not from a millisecond to an hour.
    pub fn body_timeout(mut self, limit: Duration) -> Result<Self, TlsConfigError> {
        self.http.body_timeout = within("body_timeout", limit, TIMEOUTS)?;
        Ok(self)
    }

    /// How long an answer may wait for its peer. A peer that takes less than 240 bytes a second
    /// over this time is given up, at the latest when the answer has waited for twice this time. On
    /// HTTP/2 the stream is reset if it waits for its own window; otherwise the connection ends.
    /// Nothing waits while there is nothing to send, for example between two events of an event
    /// stream.
    ///
    /// The operating system buffers some of the answer (on Linux 128 KiB, plus what is in transit),
    /// so a peer that takes 4 KiB a second is never cut.
    ///
    /// # Errors
    /// If the limit is not from a millisecond to an hour.
    pub fn answer_timeout(mut self, limit: Duration) -> Result<Self, TlsConfigError> {
        self.http.answer_timeout = within("answer_timeout", limit, TIMEOUTS)?;
        Ok(self)
    }

    /// How much is read of a body that the service does not read (for example of a refused
    /// request), and for how long: otherwise a peer that is busy sending would lose the answer.
    /// Reading ends earlier if the peer is silent for five seconds.
    ///
    /// # Errors
    /// If `bytes` is more than 16 GiB, or `time` is not from a millisecond to an hour.
    pub fn unread_bodies(mut self, bytes: u64, time: Duration) -> Result<Self, TlsConfigError> {
        self.http.unread_bytes = within("unread_bodies", bytes, 0..=1 << 34)?;
        self.http.unread_time = within("unread_bodies", time, TIMEOUTS)?;
        Ok(self)
    }

    /// Loosens: lets the body of an HTTP/2 request without `content-length` pause for any time,
    /// even before the answer has begun. For calls in which only the client streams, with long
    /// pauses. **A peer that answers pings can then keep
    /// [`max_concurrent_streams`](Self::max_concurrent_streams) handlers waiting** for a body that
    /// never arrives.
    pub fn allow_idle_request_streams(mut self) -> Self {
        self.http.idle_request_streams = true;
        self
    }

    /// The maximum size of a request's header section, in bytes.
    ///
    /// # Errors
    /// If the limit is not from 8192 to 1 048 576.
    pub fn max_header_bytes(mut self, limit: u32) -> Result<Self, TlsConfigError> {
        self.http.max_header_bytes = within("max_header_bytes", limit, 8192..=1024 * 1024)?;
        Ok(self)
    }

    /// How many requests may be in progress on one HTTP/2 connection.
    ///
    /// # Errors
    /// If the limit is not from 1 to 10 000.
    pub fn max_concurrent_streams(mut self, limit: u32) -> Result<Self, TlsConfigError> {
        self.http.max_concurrent_streams = within("max_concurrent_streams", limit, 1..=10_000)?;
        Ok(self)
    }

    /// How long requests in flight may take after the shutdown began. 20 seconds by default, which
    /// leaves ten of the thirty that Kubernetes allows between SIGTERM and SIGKILL.
    ///
    /// # Errors
    /// If the limit is not from a millisecond to an hour.
    pub fn shutdown_limit(mut self, limit: Duration) -> Result<Self, TlsConfigError> {
        self.shutdown_limit = within("shutdown_limit", limit, TIMEOUTS)?;
        Ok(self)
    }

    /// Loosens: answers probes of an orchestrator (such as the kubelet) on a separate listener
    /// **without TLS**. GET and HEAD of exactly these paths return `200 ok`, or `503` if
    /// `ready(path)` is false. Everything else is a 404. The guarded service cannot be reached
    /// there.
    ///
    /// # Errors
    /// If the listener cannot be made non-blocking.
    pub fn allow_plaintext_probes<P>(
        mut self,
        listener: std::net::TcpListener,
        paths: impl IntoIterator<Item = P>,
        ready: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> io::Result<Self>
    where
        P: Into<String>,
    {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        self.probes.push(Probes::new(listener, paths.into_iter().map(Into::into).collect(), Arc::new(ready)));
        Ok(self)
    }

    /// Serves until `shutdown` resolves. Then it accepts nothing more, and lets the requests in
    /// flight finish within the limit; connections without a request are gone within a second. A
    /// connection that another protocol has taken over (an upgrade) belongs to the handler that did
    /// so: it is waited for within the limit, but only the handler can end it. Dropping the future
    /// cuts every other connection.
    pub async fn serve<S, B>(self, service: S, shutdown: impl Future<Output = ()>) -> ShutDown
    where
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let Self { mut listener, acceptor, max_connections, shutdown_limit, http, probes } = self;
        let (phase, phases) = watch::channel(Phase::Serving);
        for probes in probes {
            tokio::spawn(probes.serve(phases.clone()));
        }
        let places = Places::new(max_connections);
        accept_until(&mut listener, shutdown, |transport: TcpStream, remote| {
            let Some(place) = places.take() else {
                refused(remote, "too-many-connections", &"a request is under way on every connection");
                return;
            };
            prepare(&transport);
            let meter = Arc::new(Meter::default());
            let transport = Metered::new(transport, &meter);
            let acceptor = acceptor.clone();
            let service = service.clone();
            let mut phases = phases.clone();
            tokio::spawn(async move {
                let accepted = {
                    let mut handshake = pin!(acceptor.accept(transport, remote));
                    let mut draining = pin!(phases.wait_for(|phase| *phase != Phase::Serving));
                    let mut evicted = pin!(place.slot.evicted());
                    poll_fn(|cx| {
                        // Polled in this order, as in `drive`.
                        if draining.as_mut().poll(cx).is_ready() {
                            return Poll::Ready(None);
                        }
                        if let Poll::Ready(accepted) = handshake.as_mut().poll(cx) {
                            return Poll::Ready(Some(accepted));
                        }
                        evicted.as_mut().poll(cx).map(|()| Some(Err(AcceptError::Displaced)))
                    })
                    .await
                };
                match accepted {
                    Some(Ok((stream, connection))) => {
                        serve_connection(stream, meter, connection, service, http, place, phases).await;
                    }
                    Some(Err(error)) => refused(remote, error.code(), &error),
                    None => {}
                }
            });
        })
        .await;
        drop(listener);
        phase.send_replace(Phase::Draining);
        // Every place is given back when every connection has ended.
        let drained = tokio::time::timeout(shutdown_limit, places.all_left()).await.is_ok();
        let cut = if drained { 0 } else { places.with_requests() };
        phase.send_replace(Phase::Cut);
        if cut > 0 {
            tracing::warn!(cut, "connections were cut at the end of the shutdown limit");
        }
        ShutDown { cut }
    }
}

/// Anyone who can open connections can cause these. So they are counted by code, and logged only at
/// a level that is off in production.
fn refused(remote: SocketAddr, code: &'static str, reason: &dyn fmt::Display) {
    metrics::counter!("ztlib_connections_refused_total", "code" => code).increment(1);
    tracing::debug!(target: "ztlib::refusal", stage = "connection", %remote, code, %reason, "refused");
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutDown {
    /// Connections that were cut at the limit because they still had a request in flight, or that
    /// another protocol had taken over.
    pub cut: usize,
}

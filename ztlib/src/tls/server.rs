//! A server: listener, handshakes, HTTP, shutdown.

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
/// - Handshakes are made beside the loop that accepts connections; no accept error ends that loop.
/// - Everything is bounded, and no bound can be taken away. Each verb gives an error for what is
///   out of its range:
///
/// - connections; where all are taken, one without a request makes room
///   ([`max_connections`](Self::max_connections)): 10 000; from 1 to 1 000 000
/// - handshakes under way, and how long one may take ([`Acceptor`]): 512, 10 s; from 1 to 100 000,
///   1 ms to 1 h
/// - header section of a request; above it 431 ([`max_header_bytes`](Self::max_header_bytes)): 64
///   KiB, and 100 lines on HTTP/1.1; from 8 KiB to 1 MiB
/// - until a header section is complete, and between requests (HTTP/1.1); until the preface
///   (HTTP/2) ([`header_timeout`](Self::header_timeout)): 30 s; from 1 ms to 1 h
/// - without a request (HTTP/2) ([`idle_timeout`](Self::idle_timeout)): 5 min; from 1 ms to 24 h
/// - a peer that does not answer a ping (HTTP/2) ([`ping`](Self::ping)): asked after 30 s, closed
///   20 s later; from 1 ms to 1 h each
/// - a body that is waited for and does not come ([`body_timeout`](Self::body_timeout)): 30 s; from
///   1 ms to 1 h
/// - an answer that is not taken ([`answer_timeout`](Self::answer_timeout)): 60 s; from 1 ms to 1 h
/// - what is taken in of a body that nobody reads ([`unread_bodies`](Self::unread_bodies)): 64 MiB,
///   30 s; from 0 to 16 GiB, 1 ms to 1 h
/// - requests at a time on a connection (HTTP/2)
///   ([`max_concurrent_streams`](Self::max_concurrent_streams)): 200; from 1 to 10 000
/// - streams that a peer reset (HTTP/2): 20 waiting, 1024 after an error; then the connection ends
/// - requests in flight at shutdown ([`shutdown_limit`](Self::shutdown_limit)): 20 s, then they are
///   cut; from 1 ms to 1 h
///
/// What each state of a connection may last, what ends it and which test shows it is in the
/// project's `docs/connections.md`.
///
/// Each request carries [`PeerCertificates`](crate::authenticate::peer::PeerCertificates) and
/// [`RemoteAddr`](crate::remote_addr::RemoteAddr) in its extensions. A panic in the service ends
/// its own connection or stream only.
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
/// // A real service stands behind a guard; this one says hello to every verified peer.
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
    /// Listens at this address.
    ///
    /// # Errors
    /// The address cannot be listened at; the text names it.
    pub async fn bind(address: impl ToSocketAddrs, acceptor: Acceptor) -> io::Result<Self> {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(address).await?.collect();
        let listener = TcpListener::bind(addresses.as_slice()).await.map_err(|error| {
            let shown: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
            io::Error::new(error.kind(), format!("{}: {error}", shown.join(", ")))
        })?;
        Ok(Self::new(listener, acceptor))
    }

    /// Takes a listener that was bound before, by systemd for example.
    ///
    /// # Errors
    /// The listener cannot be used without blocking.
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

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// How many connections may be open, handshakes included. Where all places are taken, a
    /// connection without a request makes room for a new one: first one that is not through its
    /// handshake, then one that has sent nothing yet, then the one that has been idle for
    /// longest. Where a request is under way on each, the new one is closed.
    ///
    /// # Errors
    /// Not from one to 1 000 000.
    pub fn max_connections(mut self, limit: usize) -> Result<Self, TlsConfigError> {
        self.max_connections = within("max_connections", limit, 1..=1_000_000)?;
        Ok(self)
    }

    /// How long a peer may take for the header section of a request, and how long an HTTP/1.1
    /// connection may stay idle. It begins with the end of the handshake or of the request
    /// before, and no byte renews it. On HTTP/2 it is the time until the client's preface.
    ///
    /// # Errors
    /// Not from a millisecond to an hour.
    pub fn header_timeout(mut self, limit: Duration) -> Result<Self, TlsConfigError> {
        self.http.header_timeout = within("header_timeout", limit, TIMEOUTS)?;
        Ok(self)
    }

    /// How long an HTTP/2 connection may stay without a request. Then it is told that it ends
    /// (GOAWAY), and closed a second later. Answering pings does not renew it.
    ///
    /// # Errors
    /// Not from a millisecond to 24 hours.
    pub fn idle_timeout(mut self, limit: Duration) -> Result<Self, TlsConfigError> {
        self.http.idle_timeout = within("idle_timeout", limit, IDLE_TIMEOUTS)?;
        Ok(self)
    }

    /// After how long without a frame an HTTP/2 peer is asked whether it is there (PING), and how
    /// long it may take to answer. As no answer fits into a header section that is under way,
    /// the two together bound that as well.
    ///
    /// # Errors
    /// Not from a millisecond to an hour each.
    pub fn ping(mut self, after: Duration, timeout: Duration) -> Result<Self, TlsConfigError> {
        self.http.ping_after = within("ping", after, TIMEOUTS)?;
        self.http.ping_timeout = within("ping", timeout, TIMEOUTS)?;
        Ok(self)
    }

    /// How long the body of a request may stand still while the service waits for it; see
    /// [`RequestBody`].
    ///
    /// # Errors
    /// Not from a millisecond to an hour.
    pub fn body_timeout(mut self, limit: Duration) -> Result<Self, TlsConfigError> {
        self.http.body_timeout = within("body_timeout", limit, TIMEOUTS)?;
        Ok(self)
    }

    /// How long an answer may wait for a peer that does not take it: one that takes less than 240
    /// bytes a second over this time is given up, twice this time after the answer began to
    /// wait at the latest. An HTTP/2 stream is reset where its own window is what it waits for;
    /// otherwise the connection ends. Where there is nothing to send, as between two events of
    /// a stream of events, nothing waits.
    ///
    /// The operating system keeps what it has taken: on Linux 128 KiB and what is on its way, so a
    /// peer that takes 4 KiB a second is never cut.
    ///
    /// # Errors
    /// Not from a millisecond to an hour.
    pub fn answer_timeout(mut self, limit: Duration) -> Result<Self, TlsConfigError> {
        self.http.answer_timeout = within("answer_timeout", limit, TIMEOUTS)?;
        Ok(self)
    }

    /// How much is taken in of a body that nobody reads, that of a refused request for example, and
    /// for how long: a peer that is busy with sending would otherwise lose the answer. It ends
    /// earlier where the peer is silent for five seconds.
    ///
    /// # Errors
    /// Not up to 16 GiB, or not from a millisecond to an hour.
    pub fn unread_bodies(mut self, bytes: u64, time: Duration) -> Result<Self, TlsConfigError> {
        self.http.unread_bytes = within("unread_bodies", bytes, 0..=1 << 34)?;
        self.http.unread_time = within("unread_bodies", time, TIMEOUTS)?;
        Ok(self)
    }

    /// Lets the body of an HTTP/2 request without `content-length` pause for ever, also before the
    /// answer has begun: for calls in which only the client streams, with long pauses. **A peer
    /// that answers pings can then keep
    /// [`max_concurrent_streams`](Self::max_concurrent_streams) handlers waiting** for a body that
    /// never comes.
    pub fn allow_idle_request_streams(mut self) -> Self {
        self.http.idle_request_streams = true;
        self
    }

    /// How many bytes the header section of a request may have.
    ///
    /// # Errors
    /// Not from 8192 to 1 048 576.
    pub fn max_header_bytes(mut self, limit: u32) -> Result<Self, TlsConfigError> {
        self.http.max_header_bytes = within("max_header_bytes", limit, 8192..=1024 * 1024)?;
        Ok(self)
    }

    /// How many requests may be under way on one HTTP/2 connection.
    ///
    /// # Errors
    /// Not from one to 10 000.
    pub fn max_concurrent_streams(mut self, limit: u32) -> Result<Self, TlsConfigError> {
        self.http.max_concurrent_streams = within("max_concurrent_streams", limit, 1..=10_000)?;
        Ok(self)
    }

    /// How long requests in flight may take after the shutdown began; 20 seconds unless set, so
    /// that ten are left of the thirty that Kubernetes gives a process from SIGTERM to SIGKILL.
    ///
    /// # Errors
    /// Not from a millisecond to an hour.
    pub fn shutdown_limit(mut self, limit: Duration) -> Result<Self, TlsConfigError> {
        self.shutdown_limit = within("shutdown_limit", limit, TIMEOUTS)?;
        Ok(self)
    }

    /// Answers probes of an orchestrator (kubelet's, for example) on a listener of their own,
    /// **without TLS**: GET and HEAD of exactly these paths, with `200 ok` or, where
    /// `ready(path)` is false, `503`. Everything else is a 404; the guarded service cannot be
    /// reached there.
    ///
    /// # Errors
    /// The listener cannot be used without blocking.
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

    /// Serves until `shutdown` resolves; then accepts nothing more, and lets the requests in flight
    /// finish within the limit. What has no request under way is gone within a second. A
    /// connection that another protocol has taken over (an upgrade) belongs to the handler that
    /// did so: it is waited for within the limit, and ending it is the handler's. Dropping the
    /// future cuts every other connection.
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
                        // In this order, as in `drive`.
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
        // When every place has been given back, every connection has ended.
        let drained = tokio::time::timeout(shutdown_limit, places.all_left()).await.is_ok();
        let cut = if drained { 0 } else { places.with_requests() };
        phase.send_replace(Phase::Cut);
        if cut > 0 {
            tracing::warn!(cut, "connections were cut at the end of the shutdown limit");
        }
        ShutDown { cut }
    }
}

/// Anybody can cause as many of these as they can open connections: they are counted by code, and
/// told at a level that is off in production.
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
    /// Connections that still had a request in flight at the limit, and were cut, or that another
    /// protocol had taken over.
    pub cut: usize,
}

//! A server: listener, handshakes, HTTP, shutdown.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{Semaphore, watch};
use tower_service::Service;

use super::accept_loop::accept_until;
use super::probes::Probes;
use super::serve_connection::{HttpLimits, Phase, Phases as _, serve_connection};
use super::{Acceptor, RequestBody};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Serves HTTP/1.1 and HTTP/2 over TLS to verified peers.
///
/// - Handshakes are made beside the loop that accepts connections; no accept error ends that loop.
/// - Everything is bounded, and no bound can be taken away:
///
/// | what | unless set |
/// |---|---|
/// | connections | 10 000, the next one is closed at once |
/// | handshakes under way, and how long one may take | [`Acceptor`]: 512, 10 s |
/// | header section of a request | 64 KiB and 100 lines (HTTP/1.1), 64 KiB (HTTP/2); above it 431 |
/// | until a header section is complete, and between requests (HTTP/1.1) | 30 s |
/// | requests at a time on a connection (HTTP/2) | 200 |
/// | streams that a peer reset (HTTP/2) | 20 waiting, 1024 after an error; then the connection ends |
/// | a peer that does not answer a ping (HTTP/2) | asked after 30 s, closed 20 s later |
/// | requests in flight at shutdown | 30 s, then they are cut |
///
/// Each request carries [`PeerCertificates`](crate::authenticate::peer::PeerCertificates) and
/// [`RemoteAddr`](super::RemoteAddr) in its extensions. A panic in the service ends its own connection or stream only.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// use std::convert::Infallible;
/// use http::{Request, Response};
/// use tower::service_fn;
/// use ztlib::authenticate::peer::Trust;
/// use ztlib::tls::{Acceptor, RequestBody, Server};
/// use ztlib_testing::HttpsClient;
///
/// # let root = ztlib_testing::Authority::new("example root");
/// # let server = root.leaf().dns("localhost").for_servers().issue();
/// # let payments = root.issue_spiffe("spiffe://example.org/payments");
/// let trust = Trust::builder().trust("example.org".parse()?, [root.certificate()])?.build()?;
/// let acceptor = Acceptor::builder().identity(server.chain(), server.key())?.peers(&trust).build()?;
/// let server = Server::bind("127.0.0.1:0", acceptor).await?;
/// let address = server.local_addr()?;
///
/// // A real service stands behind a guard; this one says hello to every verified peer.
/// let hello = service_fn(|_: Request<RequestBody>| async { Ok::<_, Infallible>(Response::new("hello".to_owned())) });
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// let running = tokio::spawn(server.serve(hello, async { stopped.await.unwrap_or_default() }));
///
/// let request = || Request::get("https://localhost/").header("host", "localhost").body(Default::default());
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
    /// The address cannot be listened at.
    pub async fn bind(address: impl ToSocketAddrs, acceptor: Acceptor) -> io::Result<Self> {
        Ok(Self::new(TcpListener::bind(address).await?, acceptor))
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
            shutdown_limit: Duration::from_secs(30),
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

    /// How many connections may be open, handshakes included; at least one.
    pub fn max_connections(mut self, limit: usize) -> Self {
        self.max_connections = limit.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        self
    }

    /// How long a peer may take for the header section of a request, and how long an HTTP/1.1 connection may stay idle.
    pub fn header_timeout(mut self, limit: Duration) -> Self {
        self.http.header_timeout = limit;
        self
    }

    /// How many bytes the header section of a request may have; at least 8192.
    pub fn max_header_bytes(mut self, limit: u32) -> Self {
        self.http.max_header_bytes = limit.max(8192);
        self
    }

    /// How many requests may be under way on one HTTP/2 connection; at least one.
    pub fn max_concurrent_streams(mut self, limit: u32) -> Self {
        self.http.max_concurrent_streams = limit.max(1);
        self
    }

    /// How long requests in flight may take after the shutdown began.
    pub fn shutdown_limit(mut self, limit: Duration) -> Self {
        self.shutdown_limit = limit;
        self
    }

    /// Answers probes of an orchestrator (kubelet's, for example) on a listener of their own, **without TLS**: GET and
    /// HEAD of exactly these paths, with `200 ok` or, where `ready(path)` is false, `503`. Everything else is a 404; the
    /// guarded service cannot be reached there.
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

    /// Serves until `shutdown` resolves; then accepts nothing more, and lets the requests in flight finish within the
    /// limit. Dropping the future cuts every connection.
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
        let places = Arc::new(Semaphore::new(max_connections));
        accept_until(&mut listener, shutdown, |transport: TcpStream, remote| {
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                refused(remote, "too-many-connections", &"too many connections are open");
                return;
            };
            // Small answers are not kept waiting for more (RFC 896).
            let _ = transport.set_nodelay(true);
            let acceptor = acceptor.clone();
            let service = service.clone();
            let mut phases = phases.clone();
            tokio::spawn(async move {
                let handshake = acceptor.accept(transport, remote);
                let accepted = phases.unless_draining(handshake).await;
                match accepted {
                    Some(Ok((stream, connection))) => {
                        serve_connection(stream, connection, service, http, place, phases).await;
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
        let all = u32::try_from(max_connections).unwrap_or(u32::MAX);
        let drained = tokio::time::timeout(shutdown_limit, places.acquire_many(all)).await.is_ok();
        let cut = if drained { 0 } else { max_connections.saturating_sub(places.available_permits()) };
        phase.send_replace(Phase::Cut);
        if cut > 0 {
            tracing::warn!(cut, "connections were cut at the end of the shutdown limit");
        }
        ShutDown { cut }
    }
}

/// Anybody can cause as many of these as they can open connections: they are counted by code, and told at a level that is
/// off in production.
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
    /// Connections that still had a request in flight at the limit, and were cut.
    pub cut: usize,
}

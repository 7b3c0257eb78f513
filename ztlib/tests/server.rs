//! The server over real sockets: what peers see, and what those who mean harm do not achieve.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tower::ServiceBuilder;
use tower::service_fn;
use ztlib::RemoteAddr;
use ztlib::authenticate::peer::{PeerAuthenticator, PeerIdentity, Trust};
use ztlib::enforce::AuthenticatePeerLayer;
use ztlib::tls::{Acceptor, RequestBody, Server, ShutDown};
use ztlib_conformance::Load;
use ztlib_testing::{Authority, Issued, ManualClock, TlsClient, a_day};

/// Longer than anything good takes here, shorter than any deadline.
const SOON: Duration = Duration::from_secs(5);

/// A server under test, with `/` that says who called, `/panic`, `/slow` that waits, and `/echo`.
struct Running {
    address: SocketAddr,
    servers: Authority,
    peers: Authority,
    trust: Trust,
    clock: ManualClock,
    calls: Arc<AtomicUsize>,
    /// Handlers of `/slow` that are running.
    live: Arc<AtomicUsize>,
    /// Lets one request to `/slow` go on.
    slow: Arc<Notify>,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<ShutDown>,
}

async fn running(adjust: impl FnOnce(Server) -> Server) -> Running {
    let servers = Authority::new("servers");
    let server = servers.leaf().dns("localhost").for_servers().issue();
    let peers = Authority::new("peers");
    let trust =
        Trust::builder().trust("td".parse().unwrap(), [peers.certificate()]).unwrap().build().unwrap();
    let clock = ManualClock::new(a_day());
    let acceptor = Acceptor::builder()
        .identity(server.chain(), server.key())
        .unwrap()
        .peers(&trust)
        .clock(clock.clone())
        .build()
        .unwrap();
    let server = adjust(Server::bind("127.0.0.1:0", acceptor).await.unwrap());
    let address = server.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let calls = Arc::new(AtomicUsize::new(0));
    let (live, slow) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let layer = AuthenticatePeerLayer::new(PeerAuthenticator::new(trust.clone())).clock(clock.clone());
    let service = ServiceBuilder::new().layer(layer).service(service_fn({
        let (calls, live, slow) = (Arc::clone(&calls), Arc::clone(&live), Arc::clone(&slow));
        move |request| answer(request, Arc::clone(&calls), Live(Arc::clone(&live)), Arc::clone(&slow))
    }));
    let ended = tokio::spawn(server.serve(service, async {
        let _ = stopped.await;
    }));
    Running { address, servers, peers, trust, clock, calls, live, slow, stop: Some(stop), ended }
}

struct Live(Arc<AtomicUsize>);

impl Live {
    fn begin(&self) -> impl Drop + use<> {
        struct Running(Arc<AtomicUsize>);
        impl Drop for Running {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.0.fetch_add(1, Ordering::SeqCst);
        Running(Arc::clone(&self.0))
    }
}

async fn answer(
    request: Request<RequestBody>,
    calls: Arc<AtomicUsize>,
    live: Live,
    slow: Arc<Notify>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    calls.fetch_add(1, Ordering::SeqCst);
    let peer = request.extensions().get::<PeerIdentity>().unwrap().to_string();
    assert!(request.extensions().get::<RemoteAddr>().unwrap().ip().is_loopback());
    let body = match request.uri().path() {
        "/panic" => panic!("asked to"),
        "/slow" => {
            let _running = live.begin();
            slow.notified().await;
            Bytes::from_static(b"slow")
        }
        "/echo" => request.into_body().collect().await.unwrap().to_bytes(),
        _ => Bytes::from(peer),
    };
    Ok(Response::new(Full::new(body)))
}

impl Running {
    fn peer(&self) -> Issued {
        self.peers.issue_spiffe("spiffe://td/a")
    }

    async fn tls(
        &self,
        peer: &Issued,
        protocol: &str,
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let client = TlsClient::new(&self.servers, Some(peer)).protocols(&[protocol]);
        let stream = TcpStream::connect(self.address).await?;
        client.connector().connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    async fn http1(&self, peer: &Issued) -> http1::SendRequest<Full<Bytes>> {
        let io = TokioIo::new(self.tls(peer, "http/1.1").await.unwrap());
        let (sender, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn http2(&self, peer: &Issued) -> http2::SendRequest<Full<Bytes>> {
        let io = TokioIo::new(self.tls(peer, "h2").await.unwrap());
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// A good client is served, and soon.
    async fn assert_serves(&self) {
        let peer = self.peer();
        let served = async {
            let mut sender = self.http1(&peer).await;
            let response = sender.send_request(get("/")).await.unwrap();
            assert_eq!(text(response).await, "spiffe://td/a");
        };
        tokio::time::timeout(SOON, served).await.expect("a good client is served soon");
    }

    async fn stop(mut self) -> ShutDown {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(SOON, self.ended).await.expect("the server ends soon").unwrap()
    }
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("https://localhost{path}"))
        .header("host", "localhost")
        .body(Full::default())
        .unwrap()
}

fn get2(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("https://localhost{path}")).version(Version::HTTP_2).body(Full::default()).unwrap()
}

async fn text<B>(response: Response<B>) -> String
where
    B: http_body::Body,
    B::Error: std::fmt::Debug,
{
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn http1_and_http2_requests_carry_the_peer() {
    let server = running(|server| server).await;
    let peer = server.peer();
    let mut one = server.http1(&peer).await;
    let mut two = server.http2(&peer).await;
    for _ in 0..3 {
        assert_eq!(text(one.send_request(get("/")).await.unwrap()).await, "spiffe://td/a");
        assert_eq!(text(two.send_request(get2("/")).await.unwrap()).await, "spiffe://td/a");
    }
    let request = Request::post("https://localhost/echo").body(Full::from("body")).unwrap();
    assert_eq!(text(two.send_request(request).await.unwrap()).await, "body");
    assert_eq!(server.calls.load(Ordering::SeqCst), 7);
}

/// Threat 47.
#[tokio::test]
async fn a_certificate_that_expires_on_an_open_connection_is_refused_there() {
    let server = running(|server| server).await;
    let peer = server.peers.leaf().spiffe("spiffe://td/a");
    let peer = peer.valid_between(a_day(), a_day() + Duration::from_secs(60)).issue();
    let mut one = server.http1(&peer).await;
    let mut two = server.http2(&peer).await;
    server.clock.set(a_day() + Duration::from_secs(60));
    assert_eq!(one.send_request(get("/")).await.unwrap().status(), StatusCode::OK);
    assert_eq!(two.send_request(get2("/")).await.unwrap().status(), StatusCode::OK);
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(one.send_request(get("/")).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(two.send_request(get2("/")).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(server.calls.load(Ordering::SeqCst), 2);
}

/// Threat 47.
#[tokio::test]
async fn a_peer_whose_roots_were_removed_is_refused_on_its_open_connection() {
    let server = running(|server| server).await;
    let peer = server.peer();
    let mut one = server.http1(&peer).await;
    let mut two = server.http2(&peer).await;
    assert_eq!(one.send_request(get("/")).await.unwrap().status(), StatusCode::OK);
    assert_eq!(two.send_request(get2("/")).await.unwrap().status(), StatusCode::OK);
    let others = Authority::new("others").certificate();
    server.trust.replace(Trust::builder().trust("td".parse().unwrap(), [others]).unwrap().build().unwrap());
    assert_eq!(one.send_request(get("/")).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(two.send_request(get2("/")).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(server.calls.load(Ordering::SeqCst), 2);
}

/// Threat 60.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_silent_sockets_do_not_delay_a_good_client() {
    let server = running(|server| server).await;
    let mut silent = Vec::new();
    for _ in 0..1000 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let start = Instant::now();
    server.assert_serves().await;
    let took = start.elapsed();
    assert!(!is_quiet() || took < Duration::from_secs(1), "{took:?}");
    drop(silent);
}

/// Threat 60: the same with sockets that begin a handshake and stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sockets_that_stop_half_way_hold_a_good_client_up_for_a_moment_only() {
    let server = running(|server| server).await;
    let mut stopped = Vec::new();
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&[22, 3, 1, 2]).await.unwrap();
        stopped.push(stream);
    }
    let start = Instant::now();
    server.assert_serves().await;
    let took = start.elapsed();
    assert!(!is_quiet() || took < Duration::from_secs(3), "{took:?}");
    drop(stopped);
}

/// Whether times are held against the code: `just quiet`. That the client is served while all of
/// them are there holds on any machine.
fn is_quiet() -> bool {
    std::env::var_os("ZTLIB_QUIET_MACHINE").is_some()
}

/// Threat 61.
#[tokio::test]
async fn garbage_resets_and_half_handshakes_do_not_end_the_server() {
    let server = running(|server| server).await;
    for bytes in [
        &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0; 4096],
        &[22, 3, 1, 255, 255, 1],
        b"",
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let _ = stream.write_all(bytes).await;
        drop(stream);
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let _ = stream.write_all(bytes).await;
        // Closed by a reset.
        stream.set_zero_linger().unwrap();
        drop(stream);
    }
    // Refused certificates, and peers that leave in the middle of a request.
    let stranger = Authority::new("stranger").issue_spiffe("spiffe://td/a");
    if let Ok(mut stream) = server.tls(&stranger, "http/1.1").await {
        assert!(stream.read_u8().await.is_err());
    }
    let mut stream = server.tls(&server.peer(), "http/1.1").await.unwrap();
    stream.write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc").await.unwrap();
    drop(stream);
    server.assert_serves().await;
}

/// Threat 64.
#[tokio::test]
async fn a_panic_in_the_service_ends_its_own_connection_or_stream_only() {
    let server = running(|server| server).await;
    let peer = server.peer();
    let mut other = server.http1(&peer).await;
    let mut one = server.http1(&peer).await;
    let mut two = server.http2(&peer).await;
    assert!(one.send_request(get("/panic")).await.is_err());
    assert!(two.send_request(get2("/panic")).await.is_err());
    assert_eq!(text(two.send_request(get2("/")).await.unwrap()).await, "spiffe://td/a");
    assert_eq!(text(other.send_request(get("/")).await.unwrap()).await, "spiffe://td/a");
    server.assert_serves().await;
}

/// Threat 63.
#[tokio::test]
async fn headers_beyond_the_limit_are_a_431() {
    let server = running(|server| server).await;
    let peer = server.peer();
    for (lines, bytes) in [(1, 1024 * 1024), (10_000, 10)] {
        let mut stream = server.tls(&peer, "http/1.1").await.unwrap();
        let mut request = b"GET / HTTP/1.1\r\nhost: localhost\r\n".to_vec();
        for at in 0..lines {
            request.extend(format!("x-{at}: {}\r\n", "v".repeat(bytes)).bytes());
        }
        request.extend(b"\r\n");
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(&request).await;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 431");

        let mut two = server.http2(&peer).await;
        let mut request = get2("/");
        for at in 0..lines {
            let name = http::HeaderName::try_from(format!("x-{at}")).unwrap();
            request.headers_mut().insert(name, "v".repeat(bytes).parse().unwrap());
        }
        // Refused by the client itself, which was told the limit, or by the server.
        if let Ok(response) = two.send_request(request).await {
            assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
    }
    assert_eq!(server.calls.load(Ordering::SeqCst), 0);
    server.assert_serves().await;
}

#[tokio::test]
async fn a_header_section_that_does_not_end_is_given_up() {
    let server = running(|server| server.header_timeout(Duration::from_millis(50)).unwrap()).await;
    let mut stream = server.tls(&server.peer(), "http/1.1").await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: lo").await.unwrap();
    let mut rest = Vec::new();
    let _ =
        tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await.expect("the connection is closed");
    assert_eq!(server.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn connections_above_the_limit_are_closed_and_places_come_back() {
    let server = running(|server| server.max_connections(2).unwrap()).await;
    let peer = server.peer();
    // A request is under way on each.
    let mut one = server.http1(&peer).await;
    let mut two = server.http2(&peer).await;
    let first = tokio::spawn(async move { one.send_request(get("/slow")).await });
    let mut other = two.clone();
    let second = tokio::spawn(async move { other.send_request(get2("/slow")).await });
    while server.live.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    assert!(server.tls(&peer, "http/1.1").await.is_err());
    server.slow.notify_waiters();
    assert_eq!(text(first.await.unwrap().unwrap()).await, "slow");
    assert_eq!(text(second.await.unwrap().unwrap()).await, "slow");
    // The first is gone, and its place is free.
    let back = async {
        while server.tls(&peer, "http/1.1").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, back).await.expect("a place came back");
    assert_eq!(two.send_request(get2("/")).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn connections_without_a_request_make_room() {
    let server = running(|server| server.max_connections(3).unwrap()).await;
    let peer = server.peer();
    let mut busy = server.http1(&peer).await;
    let busy = tokio::spawn(async move { busy.send_request(get("/slow")).await });
    while server.live.load(Ordering::SeqCst) < 1 {
        tokio::task::yield_now().await;
    }
    // Whatever comes without a request: silent, silent after its handshake, idle.
    let mut kept = Vec::new();
    for _ in 0..20 {
        kept.push(TcpStream::connect(server.address).await.unwrap());
        server.tls(&peer, "h2").await.unwrap();
        let mut idle = server.http1(&peer).await;
        assert_eq!(text(idle.send_request(get("/")).await.unwrap()).await, "spiffe://td/a");
    }
    server.slow.notify_waiters();
    assert_eq!(text(busy.await.unwrap().unwrap()).await, "slow");
}

/// Findings E9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_is_answered_under_a_flood_of_half_requests() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server =
        running(move |server| server.allow_plaintext_probes(listener, ["/healthz"], |_| true).unwrap()).await;
    let flood = tokio::spawn(async move {
        let mut kept = std::collections::VecDeque::new();
        loop {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: ").await;
            kept.push_back(stream);
            if kept.len() > 300 {
                kept.pop_front();
            }
        }
    });
    for _ in 0..100 {
        let probe = || async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: probe\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            // Where the machine is busy, a newer connection may have taken its place.
            let _ = stream.read_to_string(&mut answer).await;
            answer
        };
        // A kubelet gives up after three in a row.
        let mut answer = String::new();
        for _ in 0..3 {
            answer = tokio::time::timeout(SOON, probe()).await.expect("the probe is answered or cut");
            if !answer.is_empty() {
                break;
            }
        }
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    flood.abort();
    server.assert_serves().await;
}

/// Findings E15: neither nothing nor for ever, and each error names the verb.
#[tokio::test]
async fn every_setting_of_a_server_has_a_range() {
    use ztlib::tls::TlsConfigError;
    type Set = fn(Server, Duration) -> Result<Server, TlsConfigError>;
    let durations: [(&str, Set); 8] = [
        ("header_timeout", Server::header_timeout),
        ("idle_timeout", Server::idle_timeout),
        ("ping", |server, time| server.ping(time, SOON)),
        ("ping", |server, time| server.ping(SOON, time)),
        ("body_timeout", Server::body_timeout),
        ("answer_timeout", Server::answer_timeout),
        ("unread_bodies", |server, time| server.unread_bodies(1, time)),
        ("shutdown_limit", Server::shutdown_limit),
    ];
    let authority = Authority::new("servers");
    let issued = authority.leaf().dns("localhost").for_servers().issue();
    let acceptor = Acceptor::builder().identity(issued.chain(), issued.key()).unwrap();
    let acceptor = acceptor.allow_anonymous_peers_only().build().unwrap();
    let bind = async || Server::bind("127.0.0.1:0", acceptor.clone()).await.unwrap();
    let refused = |verb: &str, result: Result<Server, TlsConfigError>| {
        let error = result.unwrap_err();
        assert_eq!(error.code(), "setting-out-of-range");
        assert!(error.to_string().contains(&format!("`{verb}`")), "{error}");
    };
    for (verb, set) in durations {
        for bad in [Duration::ZERO, Duration::from_micros(999), Duration::from_secs(86_401), Duration::MAX] {
            refused(verb, set(bind().await, bad));
        }
        for good in [Duration::from_millis(1), SOON, Duration::from_secs(3600)] {
            assert!(set(bind().await, good).is_ok());
        }
    }
    refused("max_connections", bind().await.max_connections(0));
    refused("max_connections", bind().await.max_connections(usize::MAX));
    refused("max_header_bytes", bind().await.max_header_bytes(8191));
    refused("max_header_bytes", bind().await.max_header_bytes(u32::MAX));
    refused("max_concurrent_streams", bind().await.max_concurrent_streams(0));
    refused("max_concurrent_streams", bind().await.max_concurrent_streams(u32::MAX));
    refused("unread_bodies", bind().await.unread_bodies(u64::MAX, SOON));
    assert!(
        bind()
            .await
            .max_connections(1)
            .unwrap()
            .max_header_bytes(8192)
            .unwrap()
            .max_concurrent_streams(1)
            .is_ok()
    );
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let issued = Authority::new("servers").leaf().dns("localhost").for_servers().issue();
    let acceptor = Acceptor::builder().identity(issued.chain(), issued.key()).unwrap();
    let acceptor = acceptor.allow_anonymous_peers_only().build().unwrap();
    let error = Server::bind(address, acceptor).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().starts_with(&format!("{address}: ")), "{error}");
}

#[tokio::test]
async fn requests_in_flight_finish_at_shutdown() {
    let mut server = running(|server| server).await;
    let peer = server.peer();
    let mut one = server.http1(&peer).await;
    let mut two = server.http2(&peer).await;
    let idle = server.http1(&peer).await;
    let first = tokio::spawn(async move { one.send_request(get("/slow")).await });
    let second = tokio::spawn(async move { two.send_request(get2("/slow")).await });
    while server.calls.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    server.stop.take().unwrap().send(()).unwrap();
    // No new connection, but the requests go on.
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.ended.is_finished());
    server.slow.notify_waiters();
    assert_eq!(text(first.await.unwrap().unwrap()).await, "slow");
    assert_eq!(text(second.await.unwrap().unwrap()).await, "slow");
    let end = tokio::time::timeout(SOON, server.ended).await.expect("the server ends soon").unwrap();
    assert_eq!(end.cut, 0);
    drop(idle);
}

#[tokio::test]
async fn requests_that_take_too_long_are_cut_at_the_shutdown_limit() {
    let server = running(|server| server.shutdown_limit(Duration::from_millis(50)).unwrap()).await;
    let peer = server.peer();
    let mut one = server.http1(&peer).await;
    let calls = Arc::clone(&server.calls);
    let first = tokio::spawn(async move { one.send_request(get("/slow")).await });
    while calls.load(Ordering::SeqCst) < 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.stop().await.cut, 1);
    assert!(first.await.unwrap().is_err());
}

#[tokio::test]
async fn dropping_the_server_cuts_its_connections() {
    let server = running(|server| server).await;
    let mut one = server.http1(&server.peer()).await;
    assert_eq!(one.send_request(get("/")).await.unwrap().status(), StatusCode::OK);
    server.ended.abort();
    assert!(server.ended.await.unwrap_err().is_cancelled());
    let gone = async {
        while one.ready().await.is_ok() && !one.is_closed() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("the connection is closed");
}

#[tokio::test]
async fn probes_answer_their_paths_and_nothing_else() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ready = Arc::new(AtomicBool::new(false));
    let server = running({
        let ready = Arc::clone(&ready);
        move |server| {
            server
                .allow_plaintext_probes(listener, ["/healthz", "/readyz"], move |path| {
                    path == "/healthz" || ready.load(Ordering::SeqCst)
                })
                .unwrap()
        }
    })
    .await;
    let ask = async |line: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{line} HTTP/1.1\r\nhost: probe\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.get(9..12).unwrap().to_owned()
    };
    assert_eq!(ask("GET /healthz").await, "200");
    assert_eq!(ask("HEAD /healthz").await, "200");
    assert_eq!(ask("GET /readyz").await, "503");
    ready.store(true, Ordering::SeqCst);
    assert_eq!(ask("GET /readyz").await, "200");
    for line in [
        "GET /",
        "POST /healthz",
        "GET /healthz/",
        "GET /healthz?x",
        "GET //healthz",
        "GET /HEALTHZ",
        "GET /echo",
        "OPTIONS *",
        "DELETE /readyz",
    ] {
        assert_eq!(ask(line).await, "404", "{line}");
    }
    assert_eq!(ask(&format!("GET /{}", "a".repeat(100_000))).await.get(..1), Some("4"));
    assert_eq!(server.calls.load(Ordering::SeqCst), 0);
    // HTTP/2 with prior knowledge is not a probe.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    server.assert_serves().await;
    server.stop().await;
    // Gone with the server.
    let gone = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("the probes' listener is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_of_requests_is_answered_in_both_protocols() {
    let server = running(|server| server).await;
    let client = TlsClient::new(&server.servers, Some(&server.peer()));
    for load in [
        Load::new(server.address, client.clone()).connections(4),
        Load::new(server.address, client).connections(2).http2(8),
    ] {
        let report = load.requests(1000).run(|_| get("/")).await.unwrap();
        assert_eq!(
            (report.with_status(200), report.answers(), report.failures()),
            (1000, 1000, 0),
            "{report}"
        );
        assert_eq!(report.body_bytes(), 1000 * "spiffe://td/a".len() as u64);
    }
}

/// An HTTP/2 frame (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = vec![length[1], length[2], length[3], kind, flags];
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ENHANCE_YOUR_CALM: u32 = 0xb;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// GET https://localhost/slow in HPACK: three indexed fields and two literal ones.
const GET_SLOW: &[u8] = b"\x82\x87\x44\x05/slow\x41\x09localhost";

/// Says hello in HTTP/2, sends everything as fast as it is taken, and waits until the server ends
/// the connection or all was sent.
async fn flood(server: &Running, frames: impl Iterator<Item = Vec<u8>>) {
    let stream = server.tls(&server.peer(), "h2").await.unwrap();
    let (mut read, mut write) = tokio::io::split(stream);
    let reader = tokio::spawn(async move {
        let mut sink = [0; 4096];
        while matches!(read.read(&mut sink).await, Ok(some) if some > 0) {}
    });
    let mut batch = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    batch.extend(frame(SETTINGS, 0, 0, &[]));
    for next in frames {
        batch.extend(next);
        if batch.len() > 16 * 1024 {
            if write.write_all(&batch).await.is_err() {
                break;
            }
            batch.clear();
        }
    }
    let _ = write.write_all(&batch).await;
    let _ = write.shutdown().await;
    tokio::time::timeout(SOON, reader).await.expect("the server ends the connection").unwrap();
}

/// Threat 62: requests that are reset as soon as they are sent (CVE-2023-44487).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_reset_streams_leaves_nothing_behind() {
    let server = running(|server| server).await;
    let frames = (0..50_000_u32).flat_map(|at| {
        let stream = 2 * at + 1;
        let cancel = 8_u32.to_be_bytes();
        [frame(HEADERS, END_STREAM | END_HEADERS, stream, GET_SLOW), frame(RST_STREAM, 0, stream, &cancel)]
    });
    flood(&server, frames).await;
    let gone = async {
        while server.live.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("no handler outlives its stream");
    server.assert_serves().await;
}

/// Sends frames of HTTP/2 and gives the error code of the server's GOAWAY, once it has ended the
/// connection or has been silent for a while.
async fn goodbye(server: &Running, frames: impl Iterator<Item = Vec<u8>>) -> Option<u32> {
    let stream = server.tls(&server.peer(), "h2").await.unwrap();
    let (mut read, mut write) = tokio::io::split(stream);
    let reader = tokio::spawn(async move {
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        let pause = Duration::from_millis(500);
        while let Ok(Ok(some)) = tokio::time::timeout(pause, read.read(&mut piece)).await {
            bytes.extend(piece.get(..some).unwrap());
            if some == 0 {
                break;
            }
        }
        bytes
    });
    let mut batch = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    batch.extend(frame(SETTINGS, 0, 0, &[]));
    batch.extend(frames.flatten());
    let _ = write.write_all(&batch).await;
    let bytes = reader.await.unwrap();
    let mut rest = bytes.as_slice();
    let mut code = None;
    while let Some((head, behind)) = rest.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, next)) = behind.split_at_checked(length) else { break };
        if head[3] == GOAWAY {
            code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        rest = next;
    }
    code
}

/// Threat 62 (CVE-2023-44487): resets that pile up before the streams were looked at end the
/// connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_reset_faster_than_they_are_looked_at_end_the_connection() {
    let server = running(|server| server).await;
    let reset = |at: u32| {
        let stream = 2 * at + 1;
        let cancel = 8_u32.to_be_bytes();
        [frame(HEADERS, END_STREAM | END_HEADERS, stream, GET_SLOW), frame(RST_STREAM, 0, stream, &cancel)]
    };
    assert_eq!(goodbye(&server, (0..15).flat_map(reset)).await, None);
    assert_eq!(goodbye(&server, (0..150).flat_map(reset)).await, Some(ENHANCE_YOUR_CALM));
    server.assert_serves().await;
}

/// Threat 62 (CVE-2025-8671): so do streams that the peer makes us reset.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_a_peer_makes_us_reset_end_the_connection() {
    let server = running(|server| server).await;
    let misused = |at: u32| {
        let stream = 2 * at + 1;
        // A window above 2^31 - 1 is an error of the stream (RFC 9113 section 6.9.1).
        let most = (u32::MAX >> 1).to_be_bytes();
        [frame(HEADERS, END_HEADERS, stream, GET_SLOW), frame(WINDOW_UPDATE, 0, stream, &most)]
    };
    assert_eq!(goodbye(&server, (0..900).flat_map(misused)).await, None);
    assert_eq!(goodbye(&server, (0..1500).flat_map(misused)).await, Some(ENHANCE_YOUR_CALM));
    server.assert_serves().await;
}

/// A peer whose machine is gone sends nothing and closes nothing.
#[tokio::test]
async fn an_http2_peer_that_answers_no_ping_is_gone() {
    let short = Duration::from_millis(100);
    let server = running(|server| server.ping(short, short).unwrap()).await;
    let mut silent = server.tls(&server.peer(), "h2").await.unwrap();
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend(frame(SETTINGS, 0, 0, &[]));
    silent.write_all(&hello).await.unwrap();
    let mut sink = Vec::new();
    let end = tokio::time::timeout(SOON, silent.read_to_end(&mut sink)).await;
    let _ = end.expect("the connection is closed");
    // Who answers stays.
    let mut good = server.http2(&server.peer()).await;
    tokio::time::sleep(short * 5).await;
    assert_eq!(text(good.send_request(get2("/")).await.unwrap()).await, "spiffe://td/a");
}

/// Threat 62: a header section that never ends (RUSTSEC-2024-0332).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_continuation_frames_ends_its_connection() {
    let server = running(|server| server).await;
    // A literal field without indexing, of one byte each.
    let field = b"\x00\x01a\x01b".repeat(1000);
    let begin = frame(HEADERS, END_STREAM, 1, GET_SLOW);
    let frames = std::iter::once(begin).chain((0..20_000).map(|_| frame(CONTINUATION, 0, 1, &field)));
    flood(&server, frames).await;
    assert_eq!(server.calls.load(Ordering::SeqCst), 0);
    server.assert_serves().await;
}

/// Threat 62: more streams at a time than are allowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_above_the_limit_do_not_run() {
    let server = running(|server| server.max_concurrent_streams(10).unwrap()).await;
    let frames = (0..1000_u32).map(|at| frame(HEADERS, END_STREAM | END_HEADERS, 2 * at + 1, GET_SLOW));
    flood(&server, frames).await;
    assert!(server.calls.load(Ordering::SeqCst) <= 10);
    server.assert_serves().await;
}

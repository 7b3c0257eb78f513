//! Over real mTLS sockets: what hyper makes of odd bytes, each request is decided once and runs a
//! handler only where it was allowed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test"
)]

#[path = "../../ztlib/tests/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{Method, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use ztlib::authorize::{Answer, Read};
use ztlib::enforce::{GuardBuilder, Ready};
use ztlib::observe::{JsonLinesSink, Verdict};
use ztlib::tls::{Acceptor, Server, ShutDown};
use ztlib_axum::GuardedRouter;
use ztlib_testing::{HttpsClient, Issued, TlsClient};

use support::{World, deciding, text};

/// A guarded service on a socket: what is under /denied is denied, all else is allowed.
struct Service {
    world: World,
    frontend: Issued,
    address: SocketAddr,
    runs: Arc<AtomicUsize>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<ShutDown>,
}

impl Service {
    async fn start() -> Self {
        Self::start_with(|guard| guard).await
    }

    async fn start_with(adjust: impl FnOnce(GuardBuilder<Ready>) -> GuardBuilder<Ready>) -> Self {
        let world = World::new();
        let guard = world.guard(deciding(|question, outcome| {
            let path = text(question, Read::Path)?.unwrap_or_default();
            outcome.log(&format!(
                "{} {}",
                text(question, Read::Method)?.unwrap_or_default(),
                text(question, Read::Host)?.unwrap_or_default()
            ))?;
            Ok(if path.starts_with("/denied") { Answer::Deny } else { Answer::Allow })
        }));
        // The service runs on the machine's clock where TLS does; tokens and decisions on the
        // world's.
        let guard = adjust(guard).build();
        let runs = Arc::new(AtomicUsize::new(0));
        let handler = {
            let runs = runs.clone();
            move |request: Request| {
                runs.fetch_add(1, Ordering::SeqCst);
                answer(request)
            }
        };
        let router = Router::new().route("/", any(handler.clone())).fallback(handler);
        let server = world.mesh.leaf().dns("localhost").for_servers().issue();
        let acceptor =
            Acceptor::builder().identity(server.chain(), server.key()).unwrap().peers(&world.trust);
        let acceptor = acceptor.clock(world.clock.clone()).build().unwrap();
        let server = Server::bind("127.0.0.1:0", acceptor).await.unwrap();
        // So that a connection which waits for the rest of a request ends by itself.
        let server = server.header_timeout(Duration::from_millis(400)).unwrap();
        let server = server.shutdown_limit(Duration::from_secs(2)).unwrap();
        let address = server.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(async move {
            ztlib_axum::serve(server, GuardedRouter::new(guard, router), async {
                let _ = stopped.await;
            })
            .await
        });
        let frontend = world.mesh.issue_spiffe(support::FRONTEND);
        Self { world, frontend, address, runs, stop, served }
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.world.token().sign())
    }

    /// Sends bytes as they are and reads until the server closes.
    async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let tls = TlsClient::new(&self.world.mesh, Some(&self.frontend)).protocols(&["http/1.1"]);
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut stream =
            tls.connector().connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        let _ = stream.write_all(bytes.as_ref()).await;
        let _ = stream.flush().await;
        let mut answer = Vec::new();
        // A server that closes while bytes are under way may reset the connection: what came before
        // counts.
        let read = async {
            let mut piece = [0; 4096];
            while let Ok(n) = stream.read(&mut piece).await {
                if n == 0 {
                    break;
                }
                answer.extend_from_slice(&piece[..n]);
            }
        };
        tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .expect("the server neither answered nor closed");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Decisions since the last look: (verdict, reason or "", path).
    fn decisions(&self) -> Vec<(Verdict, String, String)> {
        let of = |event: ztlib::observe::AuditEvent| {
            (
                event.verdict(),
                event.reason().unwrap_or_default().to_string(),
                event.path().unwrap_or_default().to_string(),
            )
        };
        self.world.events.take().into_iter().map(of).collect()
    }

    fn runs(&self) -> usize {
        self.runs.swap(0, Ordering::SeqCst)
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap();
    }
}

/// Answers; speaks an echo protocol where the request upgrades to one.
async fn answer(mut request: Request) -> Response {
    if request.uri().path() == "/upgrade"
        && request.headers().get("upgrade").is_some_and(|wanted| wanted == "echo")
    {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            let mut said = [0; 5];
            stream.read_exact(&mut said).await.unwrap();
            stream.write_all(&said).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        return (StatusCode::SWITCHING_PROTOCOLS, [("upgrade", "echo"), ("connection", "upgrade")])
            .into_response();
    }
    if request.uri().path() == "/wait" {
        return std::future::pending().await;
    }
    if request.uri().path() == "/address" {
        let seen = request.extensions().get::<ConnectInfo<SocketAddr>>();
        return seen.map_or("unknown".to_owned(), |ConnectInfo(address)| address.to_string()).into_response();
    }
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes().len()).unwrap_or_default();
    format!("handled {path} {body}").into_response()
}

fn statuses(answer: &str) -> Vec<&str> {
    answer.split("HTTP/1.1 ").skip(1).map(|rest| &rest[..3]).collect()
}

#[tokio::test]
async fn pipelined_requests_are_decided_one_by_one() {
    let service = Service::start().await;
    let bearer = service.bearer();
    let answer = service
        .raw(format!(
            "GET /a HTTP/1.1\r\nHost: localhost\r\n{bearer}\r\n\
             GET /denied HTTP/1.1\r\nHost: localhost\r\n{bearer}\r\n\
             POST /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n{bearer}\r\nhello\
             GET /c HTTP/1.1\r\nHost: localhost\r\n\r\n\
             GET /d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{bearer}\r\n"
        ))
        .await;
    assert_eq!(statuses(&answer), ["200", "403", "200", "401", "200"], "{answer}");
    let decisions = service.decisions();
    assert_eq!(
        decisions.iter().map(|(_, reason, path)| (reason.as_str(), path.as_str())).collect::<Vec<_>>(),
        [("", "/a"), ("denied", "/denied"), ("", "/b"), ("token-missing", "/c"), ("", "/d")]
    );
    assert_eq!(service.runs(), 3);
    service.end().await;
}

#[tokio::test]
async fn whatever_the_framing_each_decision_is_one_request_and_each_allow_one_handler() {
    let service = Service::start().await;
    let bearer = service.bearer();
    let smuggled = format!("GET /smuggled HTTP/1.1\r\nHost: localhost\r\n{bearer}\r\n");
    let length = smuggled.len();
    let mut odd = Vec::new();
    for path in ["/a", "/denied"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{bearer}");
        odd.extend([
            // A whole body that looks like a request.
            ("body", false, format!("{head}Content-Length: {length}\r\n\r\n{smuggled}")),
            ("chunked body", false, format!("{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{smuggled}\r\n0\r\n\r\n")),
            // CL.TE and TE.CL, both orders.
            ("CL and TE", true, format!("{head}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}")),
            ("TE and CL", true, format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n{smuggled}")),
            ("CL past a chunked body", true, format!("{head}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}", length + 5)),
            ("two lengths", true, format!("{head}Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{smuggled}")),
            ("a list of lengths", true, format!("{head}Content-Length: 0, {length}\r\n\r\n{smuggled}")),
            ("a signed length", true, format!("{head}Content-Length: +0\r\n\r\n{smuggled}")),
            ("a negative length", true, format!("{head}Content-Length: -1\r\n\r\n{smuggled}")),
            ("a hexadecimal length", true, format!("{head}Content-Length: 0x0\r\n\r\n{smuggled}")),
            ("an endless length", true, format!("{head}Content-Length: 99999999999999999999999\r\n\r\n{smuggled}")),
            ("chunked twice", true, format!("{head}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}")),
            ("chunked, identity", true, format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}")),
            ("identity", true, format!("{head}Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n{smuggled}")),
            ("xchunked", true, format!("{head}Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n{smuggled}")),
            ("TE with a space", true, format!("{head}Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n{smuggled}")),
            ("TE with a tab", true, format!("{head}Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n{smuggled}")),
            ("TE folded", true, format!("{head}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{smuggled}")),
            ("TE after a bare CR", true, format!("{head}X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}")),
            ("bare LF", true, format!("{head}X: y\nContent-Length: 0\n\n{smuggled}")),
            ("a chunk size too large", true, format!("{head}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{smuggled}")),
            ("a chunk size of nonsense", true, format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n{smuggled}")),
            ("a chunk extension", true, format!("{head}Transfer-Encoding: chunked\r\n\r\n0;a=b\r\n\r\n{smuggled}")),
            ("a chunk without its end", true, format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n{smuggled}")),
            ("a trailer that names a length", true, format!("{head}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\n\r\n{smuggled}")),
            ("HTTP/1.0 chunked", true, format!("POST {path} HTTP/1.0\r\nHost: localhost\r\n{bearer}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}")),
            ("a NUL in a value", true, format!("{head}X: \0\r\nContent-Length: 0\r\n\r\n{smuggled}")),
            ("a GET with a body", false, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{bearer}Content-Length: {length}\r\n\r\n{smuggled}")),
            ("an expectation", false, format!("{head}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n{smuggled}")),
        ]);
    }
    for (name, may_follow, bytes) in odd {
        let answer = service.raw(&bytes).await;
        let decisions = service.decisions();
        let allowed = decisions.iter().filter(|(verdict, ..)| *verdict == Verdict::Allow).count();
        assert_eq!(service.runs(), allowed, "{name}: {decisions:?} {answer}");
        // What the framing says is body is never a request.
        let followed = decisions.iter().any(|(_, _, path)| path == "/smuggled");
        assert!(may_follow || !followed, "{name}: {decisions:?}");
        // Each decision has its answer; hyper's own 400 has none.
        let answers = statuses(&answer).iter().filter(|status| **status != "100").count();
        assert!(answers >= decisions.len().min(1) && decisions.len() <= 2, "{name}: {decisions:?} {answer}");
    }
    service.end().await;
}

#[tokio::test]
async fn after_a_deny_an_unread_body_is_drained_within_limits_or_the_connection_closed() {
    let service = Service::start().await;
    let bearer = service.bearer();
    // A gigabyte is announced and a part of it comes: the answer comes, and then the end.
    let mut bytes =
        format!("POST /denied HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\n{bearer}\r\n")
            .into_bytes();
    bytes.extend(std::iter::repeat_n(b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n", 3000).flatten());
    let answer = service.raw(bytes).await;
    let decisions = service.decisions();
    assert_eq!(
        decisions.iter().map(|(_, reason, path)| (reason.as_str(), path.as_str())).collect::<Vec<_>>(),
        [("denied", "/denied")]
    );
    assert!(statuses(&answer).len() <= 1 && service.runs() == 0, "{answer}");
    service.end().await;
}

/// Findings C6: what axum's own `into_make_service_with_connect_info` would set.
#[tokio::test]
async fn the_callers_address_is_where_axum_looks_for_it() {
    let service = Service::start().await;
    let bearer = service.bearer();
    let request = format!("GET /address HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{bearer}\r\n");
    let answer = service.raw(request).await;
    let seen = answer.rsplit("\r\n").next().unwrap().parse::<SocketAddr>();
    assert!(seen.is_ok_and(|address| address.ip().is_loopback() && address != service.address), "{answer}");
    service.end().await;
}

fn upgrading(path: &str, protocol: &str, bearer: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n{bearer}"
    )
}

#[tokio::test]
async fn an_upgrade_is_decided_before_101_and_a_denied_one_closes() {
    let service = Service::start().await;
    let bearer = service.bearer();
    let next = format!("GET /next HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{bearer}\r\n");
    // Allowed: the bytes behind the request belong to the new protocol.
    let answer = service.raw(format!("{}\r\nhello", upgrading("/upgrade", "echo", &bearer))).await;
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("hello"), "{answer}");
    assert_eq!((service.decisions().len(), service.runs()), (1, 1));

    // Refused, for whatever reason: what was sent in the hope of another protocol is never a
    // request (RFC 9931).
    let denied = upgrading("/denied/upgrade", "echo", &bearer);
    let nobody = upgrading("/upgrade", "echo", "");
    let malformed = upgrading("//upgrade", "echo", &bearer);
    let websocket = format!(
        "{}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        upgrading("/denied", "websocket", &bearer)
    );
    let h2c = format!("{}HTTP2-Settings: AAMAAABkAAQAAP__\r\n", upgrading("/denied", "h2c", &bearer));
    for (request, status, reason) in [
        (denied, "403", "denied"),
        (nobody, "401", "token-missing"),
        (malformed, "400", "path-empty-segment"),
        (websocket, "403", "denied"),
        (h2c, "403", "denied"),
    ] {
        let answer = service.raw(format!("{request}\r\n{next}")).await;
        let decisions = service.decisions();
        assert_eq!(
            decisions.iter().map(|(_, reason, _)| reason.as_str()).collect::<Vec<_>>(),
            [reason],
            "{answer}"
        );
        assert_eq!(statuses(&answer), [status], "{answer}");
        assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
        assert_eq!(service.runs(), 0);
    }
    // The same where the handler does not upgrade. And h2c is not spoken: who asks for it gets an
    // answer in HTTP/1.1.
    for protocol in ["h2c", "websocket"] {
        let answer = service.raw(format!("{}\r\n{next}", upgrading("/a", protocol, &bearer))).await;
        assert_eq!(
            (statuses(&answer), service.decisions().len(), service.runs()),
            (vec!["200"], 1, 1),
            "{answer}"
        );
    }
    service.end().await;
}

#[tokio::test]
async fn a_tunnel_is_refused_and_the_connection_closed() {
    let service = Service::start().await;
    let bearer = service.bearer();
    let next = format!("GET /next HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{bearer}\r\n");
    for target in ["localhost:443", "/a", "http://localhost/a"] {
        let answer = service
            .raw(format!("CONNECT {target} HTTP/1.1\r\nHost: localhost:443\r\n{bearer}\r\n{next}"))
            .await;
        let decisions = service.decisions();
        // hyper itself answers 400 to what is not an authority.
        assert!(
            decisions.len() <= 1 && decisions.iter().all(|(_, reason, _)| reason == "method-connect"),
            "{target}: {decisions:?}"
        );
        assert_eq!((statuses(&answer), service.runs()), (vec!["400"], 0), "{target}: {answer}");
    }
    service.end().await;
}

#[tokio::test]
async fn odd_request_lines_and_hosts_are_decided_once_and_refused_by_name() {
    let service = Service::start().await;
    let bearer = service.bearer();
    for (request, expected) in [
        // (what is sent, reason of the one decision; none where hyper refuses the bytes itself)
        ("GET /a HTTP/1.1\r\nHost: localhost\r\n", Some("")),
        ("GET /a HTTP/1.1\r\nHost: LOCALHOST.:443\r\n", Some("")),
        ("GET http://localhost/a HTTP/1.1\r\nHost: localhost\r\n", Some("")),
        ("GET /a#/denied HTTP/1.1\r\nHost: localhost\r\n", Some("")),
        ("GET /denied#x HTTP/1.1\r\nHost: localhost\r\n", Some("denied")),
        ("GET /denied?x HTTP/1.1\r\nHost: localhost\r\n", Some("denied")),
        ("GET /denied%3Fx HTTP/1.1\r\nHost: localhost\r\n", Some("denied")),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n", Some("")),
        ("get /a HTTP/1.1\r\nHost: localhost\r\n", Some("")),
        ("HEAD /denied HTTP/1.1\r\nHost: localhost\r\n", Some("denied")),
        ("GET /a HTTP/1.0\r\nHost: localhost\r\n", Some("")),
        ("GET /a HTTP/1.0\r\n", Some("host-missing")),
        ("GET /a HTTP/1.1\r\n", Some("host-missing")),
        ("GET http://localhost/a HTTP/1.1\r\n", Some("host-missing")),
        ("GET http://localhost/a HTTP/1.0\r\n", Some("")),
        ("GET /a HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n", Some("host-ambiguous")),
        ("GET /a HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n", Some("host-ambiguous")),
        ("GET http://evil.test/a HTTP/1.1\r\nHost: localhost\r\n", Some("host-ambiguous")),
        ("GET http://localhost:1/a HTTP/1.1\r\nHost: localhost:2\r\n", Some("host-ambiguous")),
        ("GET http://root:pw@localhost/a HTTP/1.1\r\nHost: localhost\r\n", Some("host-malformed")),
        ("GET /a HTTP/1.1\r\nHost: root@localhost\r\n", Some("host-malformed")),
        ("GET /a HTTP/1.1\r\nHost: \r\n", Some("host-malformed")),
        ("GET //a HTTP/1.1\r\nHost: localhost\r\n", Some("path-empty-segment")),
        ("GET //evil.test/a HTTP/1.1\r\nHost: localhost\r\n", Some("path-empty-segment")),
        ("GET /a/../denied HTTP/1.1\r\nHost: localhost\r\n", Some("path-dot-segment")),
        ("GET /a\\..\\denied HTTP/1.1\r\nHost: localhost\r\n", Some("path-illegal-character")),
        ("GET /%64enied HTTP/1.1\r\nHost: localhost\r\n", Some("path-needless-escape")),
        ("GET a HTTP/1.1\r\nHost: localhost\r\n", None),
        ("GET * HTTP/1.1\r\nHost: localhost\r\n", Some("path-not-absolute")),
        ("GET /a b HTTP/1.1\r\nHost: localhost\r\n", None),
        ("GET /a HTTP/3.0\r\nHost: localhost\r\n", None),
        ("GET /a\r\n", None),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n", None),
        ("\x16\x03\x01\x02\x00", None),
    ] {
        let answer = service.raw(format!("{request}Connection: close\r\n{bearer}\r\n")).await;
        let decisions = service.decisions();
        let expected: Vec<_> = expected.into_iter().collect();
        let reasons: Vec<_> = decisions.iter().map(|(_, reason, _)| reason.as_str()).collect();
        // `GET a` is an authority to the URI type: hyper may hand it over, and then it has no path.
        let reasons =
            if reasons == ["path-not-absolute"] && expected.is_empty() { Vec::new() } else { reasons };
        assert_eq!(reasons, expected, "{request:?}: {answer}");
        let allowed = decisions.iter().filter(|(verdict, ..)| *verdict == Verdict::Allow).count();
        assert_eq!(service.runs(), allowed, "{request:?}");
        assert!(statuses(&answer).len() <= 1, "{answer}");
    }
    service.end().await;
}

#[tokio::test]
async fn a_header_section_past_its_limits_is_a_431_and_never_decided() {
    let service = Service::start().await;
    let bearer = service.bearer();
    let large = format!("X: {}\r\n", "x".repeat(1024 * 1024));
    let many = "X: y\r\n".repeat(10_000);
    let long_line = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n", "x".repeat(100 * 1024));
    for (name, request) in [
        ("a mebibyte", format!("GET /a HTTP/1.1\r\nHost: localhost\r\n{large}{bearer}\r\n")),
        ("ten thousand", format!("GET /a HTTP/1.1\r\nHost: localhost\r\n{many}{bearer}\r\n")),
        ("a long request line", format!("{long_line}{bearer}\r\n")),
    ] {
        let answer = service.raw(request).await;
        let statuses = statuses(&answer);
        // The end may overtake the answer while the client still sends.
        assert!(statuses.is_empty() || statuses == ["431"] || statuses == ["414"], "{name}: {answer}");
        assert!(service.decisions().is_empty() && service.runs() == 0, "{name}");
    }
    // A path past ours alone is judged, and refused.
    let answer = service
        .raw(format!(
            "GET /{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{bearer}\r\n",
            "x".repeat(9000)
        ))
        .await;
    assert_eq!(statuses(&answer), ["400"]);
    assert_eq!(service.decisions()[0].1, "path-too-long");
    service.end().await;
}

// HTTP/2.

async fn http2(service: &Service) -> hyper::client::conn::http2::SendRequest<Full<bytes::Bytes>> {
    let tls = TlsClient::new(&service.world.mesh, Some(&service.frontend)).protocols(&["h2"]);
    let stream = TcpStream::connect(service.address).await.unwrap();
    let stream = tls.connector().connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn over_http2_each_stream_is_decided_once_and_hosts_agree() {
    let service = Service::start().await;
    let mut sender = http2(&service).await;
    let token = format!("Bearer {}", service.world.token().sign());
    for (method, uri, host, expected) in [
        ("GET", "https://localhost/a", None, ""),
        ("GET", "https://localhost/a", Some("localhost"), ""),
        ("GET", "https://localhost:443/a", Some("LOCALHOST"), ""),
        ("GET", "https://localhost/a", Some("evil.test"), "host-ambiguous"),
        ("GET", "https://evil.test/a", Some("localhost"), "host-ambiguous"),
        ("GET", "https://localhost/denied", None, "denied"),
        ("HEAD", "https://localhost/denied", None, "denied"),
        ("OPTIONS", "https://localhost/denied", None, "denied"),
        ("GET", "https://localhost//a", None, "path-empty-segment"),
        ("GET", "https://localhost/a/%2E%2E/b", None, "path-dot-segment"),
        ("GET", "https://localhost/%61", None, "path-needless-escape"),
        ("get", "https://localhost/a", None, ""),
        ("CONNECT", "localhost:443", None, "method-connect"),
    ] {
        let mut request = http::Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(uri)
            .version(Version::HTTP_2);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let request = request.header("authorization", &token).body(Full::default()).unwrap();
        sender.ready().await.unwrap();
        let response = sender.send_request(request).await.unwrap();
        let decisions = service.decisions();
        assert_eq!(
            decisions.iter().map(|(_, reason, _)| reason.as_str()).collect::<Vec<_>>(),
            [expected],
            "{method} {uri} {host:?}"
        );
        assert_eq!(response.status() == StatusCode::OK, expected.is_empty());
        assert!(
            !response.headers().contains_key("connection"),
            "connection-specific headers are not for HTTP/2"
        );
        assert_eq!(service.runs(), usize::from(expected.is_empty()));
    }
    drop(sender);
    service.end().await;
}

#[tokio::test]
async fn credentials_of_one_connection_or_stream_are_not_anothers() {
    let service = Service::start().await;
    let mut sender = http2(&service).await;
    let with = |token: Option<&str>| {
        let request = http::Request::builder().uri("https://localhost/a").version(Version::HTTP_2);
        let request = match token {
            Some(token) => request.header("authorization", token),
            None => request,
        };
        request.body(Full::<bytes::Bytes>::default()).unwrap()
    };
    let token = format!("Bearer {}", service.world.token().sign());
    for (token, status) in
        [(Some(token.as_str()), 200), (None, 401), (Some("Bearer x"), 401), (Some(token.as_str()), 200)]
    {
        sender.ready().await.unwrap();
        assert_eq!(sender.send_request(with(token)).await.unwrap().status(), status);
    }
    // The same token from a peer that nobody vouches for gets no connection.
    let stranger = ztlib_testing::Authority::new("another root").issue_spiffe(support::FRONTEND);
    let client =
        HttpsClient::new(service.world.mesh.certificate(), Some((stranger.chain(), stranger.key()))).unwrap();
    assert!(client.send(service.address, with(Some(token.as_str()))).await.is_err());
    let decisions = service.decisions();
    assert_eq!(
        decisions.iter().map(|(_, reason, _)| reason.as_str()).collect::<Vec<_>>(),
        ["", "token-missing", "token-malformed", ""]
    );
    assert_eq!(service.runs(), 2);
    drop(sender);
    service.end().await;
}

#[tokio::test]
async fn a_handler_that_panics_ends_its_own_stream_and_no_other() {
    let world = World::new();
    let guard = world.guard(support::allow()).build();
    let router = Router::new()
        .route(
            "/panic",
            any(|| async {
                if true {
                    panic!("a bug in a handler")
                }
            }),
        )
        .route("/a", any(|| async { "handled" }));
    let server = world.mesh.leaf().dns("localhost").for_servers().issue();
    let acceptor = Acceptor::builder().identity(server.chain(), server.key()).unwrap().peers(&world.trust);
    let server =
        Server::bind("127.0.0.1:0", acceptor.clock(world.clock.clone()).build().unwrap()).await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(ztlib_axum::serve(server, GuardedRouter::new(guard, router), std::future::pending()));
    let frontend = world.mesh.issue_spiffe(support::FRONTEND);
    let client =
        HttpsClient::new(world.mesh.certificate(), Some((frontend.chain(), frontend.key()))).unwrap();
    let ask = |path: &str, version: Version| {
        let uri =
            if version == Version::HTTP_2 { format!("https://localhost{path}") } else { path.to_owned() };
        let request = http::Request::builder().uri(uri).version(version).header("host", "localhost");
        let request = request.header("authorization", format!("Bearer {}", world.token().sign()));
        let (client, request) = (client.clone(), request.body(Full::default()).unwrap());
        async move { client.send(address, request).await.map(|response| response.status().as_u16()).ok() }
    };
    for version in [Version::HTTP_11, Version::HTTP_2] {
        assert_eq!(ask("/a", version).await, Some(200));
        assert_eq!(ask("/panic", version).await, None, "no answer is made up for it");
        assert_eq!(ask("/a", version).await, Some(200), "the server goes on");
    }
    assert_eq!(world.events.take().len(), 6);
}

/// The bodies in and out stream: nothing is buffered for a decision.
#[tokio::test]
async fn a_refusal_comes_before_the_body_is_read() {
    let service = Service::start().await;
    let tls = TlsClient::new(&service.world.mesh, Some(&service.frontend)).protocols(&["h2"]);
    let stream = TcpStream::connect(service.address).await.unwrap();
    let stream = tls.connector().connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    // A body that never comes.
    let body = Body::new(Never);
    let request =
        http::Request::builder().method("POST").uri("https://localhost/denied").version(Version::HTTP_2);
    let request = request
        .header("authorization", format!("Bearer {}", service.world.token().sign()))
        .body(body)
        .unwrap();
    let response =
        tokio::time::timeout(Duration::from_secs(5), sender.send_request(request)).await.unwrap().unwrap();
    assert_eq!((response.status().as_u16(), service.decisions().len()), (403, 1));
    drop(sender);
    service.end().await;
}

/// A body of which nothing ever comes.
struct Never;

impl http_body::Body for Never {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

/// An output that takes its time over each line.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::thread::sleep(Duration::from_millis(10));
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Of the thirty seconds that a pod has, twenty are for requests: what comes after is soon done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_serve_has_returned_the_audit_log_is_soon_whole_also_where_requests_were_cut() {
    let output = Slow::default();
    let sink = Arc::new(JsonLinesSink::new(output.clone(), 1024));
    let mut service = Service::start_with(|guard| guard.audit(sink.clone())).await;
    let bearer = service.bearer();
    let request =
        |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{bearer}{more}\r\n");
    let stop = std::mem::replace(&mut service.stop, oneshot::channel().0);
    let waits = service.raw(request("/wait", ""));
    let asks = async {
        let answers = request("/denied", "").repeat(99) + &request("/a", "Connection: close\r\n");
        assert_eq!(statuses(&service.raw(answers).await).len(), 100);
    };
    let ends = async {
        asks.await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.send(()).unwrap();
    };
    tokio::join!(waits, ends);
    assert_eq!(service.served.await.unwrap().cut, 1);
    assert_eq!(sink.close(Duration::from_secs(5)), 0);
    let written = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
    assert_eq!(written.lines().count(), 101);
    assert_eq!(written.lines().filter(|line| line.contains("/wait")).count(), 1);
}

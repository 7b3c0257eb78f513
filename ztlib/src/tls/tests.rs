//! Tests of every state of a connection: how long it lasts and what ends it, on a clock that the
//! tests control. docs/connections.md names these tests.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tower::service_fn;

use super::drive::Phase;
use super::limits::HttpLimits;
use super::places::Places;
use super::serve_connection::serve_connection;
use super::transport::{Meter, Metered};
use super::{Connection, HttpVersion, RequestBody};
use crate::remote_addr::RemoteAddr;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
/// The capacity of a test's transport.
const PIPE: usize = 16 * 1024;
const BIG: usize = 1024 * 1024;

type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

/// A body that the test sends piece by piece.
struct Pieces(mpsc::UnboundedReceiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// A connection under test, from the peer's side.
struct Peer {
    io: Option<DuplexStream>,
    served: JoinHandle<()>,
    phase: watch::Sender<Phase>,
    places: Places,
    began: Instant,
}

async fn answer(
    request: Request<RequestBody>,
    pieces: Arc<Mutex<Option<mpsc::UnboundedReceiver<Bytes>>>>,
) -> Result<Response<AnyBody>, Infallible> {
    let full = |text: String| Full::new(Bytes::from(text)).boxed_unsync();
    let mut response = match request.uri().path() {
        "/read" => match request.into_body().collect().await {
            Ok(body) => Response::new(full(format!("read {}", body.to_bytes().len()))),
            Err(error) if error.is_timeout() => Response::new(full("too slow".to_owned())),
            Err(_) => Response::new(full("broken".to_owned())),
        },
        "/refuse" => Response::new(full("refused".to_owned())),
        "/big" => Response::new(Full::new(Bytes::from(vec![b'x'; BIG])).boxed_unsync()),
        "/pieces" => Response::new(Pieces(pieces.lock().unwrap().take().unwrap()).boxed_unsync()),
        // Both directions are open; another task reads the body.
        "/both" => {
            let pieces = pieces.lock().unwrap().take().unwrap();
            tokio::spawn(async move {
                let mut body = request.into_body();
                while let Some(Ok(_)) = body.frame().await {}
            });
            Response::new(Pieces(pieces).boxed_unsync())
        }
        "/wait" => std::future::pending().await,
        _ => Response::new(full("hello".to_owned())),
    };
    if response.headers().is_empty() {
        response.headers_mut().insert("x-test", "yes".parse().unwrap());
    }
    Ok(response)
}

fn serve(
    protocol: HttpVersion,
    adjust: impl FnOnce(&mut HttpLimits),
) -> (Peer, mpsc::UnboundedSender<Bytes>) {
    let (peer, ours) = tokio::io::duplex(PIPE);
    let (served, pieces) = serve_on(ours, protocol, adjust);
    (Peer { io: Some(peer), ..served }, pieces)
}

fn serve_on(
    ours: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    protocol: HttpVersion,
    adjust: impl FnOnce(&mut HttpLimits),
) -> (Peer, mpsc::UnboundedSender<Bytes>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let mut limits = HttpLimits::default();
    adjust(&mut limits);
    let meter = Arc::new(Meter::default());
    let io = Metered::new(ours, &meter);
    let connection =
        Connection { peer: None, remote: RemoteAddr(SocketAddr::from(([192, 0, 2, 1], 1))), protocol };
    let places = Places::new(1);
    let place = places.take().unwrap();
    let (phase, phases) = watch::channel(Phase::Serving);
    let service = service_fn(move |request| answer(request, Arc::clone(&receiver)));
    let served = tokio::spawn(serve_connection(io, meter, connection, service, limits, place, phases));
    (Peer { io: None, served, phase, places, began: Instant::now() }, sender)
}

impl Peer {
    fn http1() -> Self {
        serve(HttpVersion::Http1, |_| {}).0
    }

    fn http2() -> Self {
        serve(HttpVersion::Http2, |_| {}).0
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The connection may end during the write; that is checked elsewhere.
        let _ = self.io.as_mut().unwrap().write_all(bytes.as_ref()).await;
    }

    /// Sends a byte at this interval for as long as the server accepts it.
    async fn trickle(&mut self, every: Duration) {
        while !self.served.is_finished() {
            self.send(b"x").await;
            let _ = timeout(every, &mut self.served).await;
        }
    }

    async fn receive(&mut self, until: &str) -> String {
        let mut text = Vec::new();
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&text).contains(until) {
            match self.io.as_mut().unwrap().read(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(some) => text.extend(&piece[..some]),
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Returns how long the connection lasted.
    async fn ended(&mut self) -> Duration {
        if !self.served.is_finished() {
            timeout(HOUR * 48, &mut self.served).await.expect("the connection ends").unwrap();
        }
        self.began.elapsed()
    }

    async fn assert_ends_at(&mut self, seconds: u64) {
        let lasted = self.ended().await;
        // Timers are checked eight times within the shortest of them, and at least every five
        // seconds.
        let (from, to) = (Duration::from_secs(seconds), Duration::from_secs(seconds + 6));
        assert!(from <= lasted && lasted <= to, "{lasted:?}");
    }

    async fn client(&mut self, window: Option<u32>) -> http2::SendRequest<AnyBody> {
        let io = TokioIo::new(self.io.take().unwrap());
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).initial_stream_window_size(window);
        let (sender, connection) = builder.handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

fn empty() -> AnyBody {
    Full::new(Bytes::new()).boxed_unsync()
}

fn get(path: &str) -> Request<AnyBody> {
    Request::get(format!("https://localhost{path}")).body(empty()).unwrap()
}

/// A request whose body the test sends.
fn post(path: &str) -> (Request<AnyBody>, mpsc::UnboundedSender<Bytes>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let body = Pieces(receiver).boxed_unsync();
    (Request::post(format!("https://localhost{path}")).body(body).unwrap(), sender)
}

async fn text<B: Body>(response: Response<B>) -> String
where
    B::Error: std::fmt::Debug,
{
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

// Before the first request.

#[tokio::test(start_paused = true)]
async fn http2_without_a_preface_is_given_up_and_no_byte_renews_it() {
    Peer::http2().assert_ends_at(30).await;
    let mut trickling = Peer::http2();
    trickling.send(&PREFACE[..4]).await;
    let mut rest = PREFACE[4..].iter();
    while !trickling.served.is_finished() {
        trickling.send([*rest.next().unwrap()]).await;
        sleep(3 * SECOND).await;
    }
    trickling.assert_ends_at(30).await;
    // With a preface in time, the connection stays.
    let mut good = Peer::http2();
    let mut sender = good.client(None).await;
    sleep(60 * SECOND).await;
    assert_eq!(text(sender.send_request(get("/")).await.unwrap()).await, "hello");
}

#[tokio::test(start_paused = true)]
async fn http1_without_a_whole_header_section_is_given_up_and_no_byte_renews_it() {
    Peer::http1().assert_ends_at(30).await;
    let mut trickling = Peer::http1();
    trickling.send("GET / HTTP/1.1\r\nhost: ").await;
    trickling.trickle(7 * SECOND).await;
    trickling.assert_ends_at(30).await;
    let mut good = Peer::http1();
    good.send("GET / HTTP/1.1\r\nhost: ").await;
    sleep(29 * SECOND).await;
    good.send("localhost\r\n\r\n").await;
    assert!(good.receive("hello").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(start_paused = true)]
async fn an_http2_header_section_that_does_not_end_is_given_up_and_no_frame_renews_it() {
    for frames in [false, true] {
        let mut peer = Peer::http2();
        peer.send(PREFACE).await;
        peer.send(SETTINGS).await;
        // HEADERS without END_HEADERS: a peer in the middle of a header section cannot answer a
        // ping.
        peer.send(b"\0\0\x03\x01\0\0\0\0\x01\x82\x87\x84").await;
        while frames && !peer.served.is_finished() {
            // CONTINUATION with a field of one byte each.
            peer.send(b"\0\0\x05\x09\0\0\0\0\x01\0\x01a\x01b").await;
            let _ = timeout(7 * SECOND, &mut peer.served).await;
        }
        let lasted = peer.ended().await;
        assert!(lasted <= 60 * SECOND, "{lasted:?}");
    }
}

// Without a request.

#[tokio::test(start_paused = true)]
async fn http1_that_is_idle_is_closed() {
    let mut peer = Peer::http1();
    peer.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    peer.receive("hello").await;
    sleep(29 * SECOND).await;
    peer.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    peer.receive("hello").await;
    peer.assert_ends_at(59).await;
}

#[tokio::test(start_paused = true)]
async fn http2_that_is_idle_is_closed_though_it_answers_pings() {
    let mut peer = Peer::http2();
    let mut sender = peer.client(None).await;
    sleep(200 * SECOND).await;
    assert_eq!(text(sender.send_request(get("/")).await.unwrap()).await, "hello");
    sleep(299 * SECOND).await;
    assert!(!peer.served.is_finished());
    peer.assert_ends_at(500).await;
    // So is a connection that sent only a preface.
    let mut silent = Peer::http2();
    let _sender = silent.client(None).await;
    silent.assert_ends_at(300).await;
}

#[tokio::test(start_paused = true)]
async fn http2_that_answers_no_ping_is_closed() {
    let mut peer = Peer::http2();
    peer.send(PREFACE).await;
    peer.send(SETTINGS).await;
    peer.assert_ends_at(50).await;
    // Also while a request is in progress.
    let mut peer = Peer::http2();
    peer.send(PREFACE).await;
    peer.send(SETTINGS).await;
    peer.send(b"\0\0\x14\x01\x05\0\0\0\x01\x82\x87\x44\x05/wait\x41\x09localhost").await;
    peer.assert_ends_at(50).await;
    // A peer that answers is served for as long as the request takes.
    let mut good = Peer::http2();
    let mut sender = good.client(None).await;
    let waiting = tokio::spawn(async move { sender.send_request(get("/wait")).await });
    sleep(HOUR).await;
    assert!(!good.served.is_finished() && !waiting.is_finished());
}

// Requests whose body does not come.

#[tokio::test(start_paused = true)]
async fn an_http1_body_that_does_not_come_is_given_up_and_a_slow_one_is_read() {
    for (every, bytes, expected) in [
        // Nothing, a byte now and then, and slow but fast enough.
        (HOUR, 0, "too slow"),
        (29 * SECOND, 1, "too slow"),
        (SECOND, 300, "read 60000"),
    ] {
        let mut peer = Peer::http1();
        peer.send("POST /read HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60000\r\n\r\n").await;
        let (mut read, mut write) = tokio::io::split(peer.io.take().unwrap());
        let sending = tokio::spawn(async move {
            while write.write_all(&vec![b'x'; bytes]).await.is_ok() {
                sleep(every).await;
            }
        });
        let mut answer = Vec::new();
        while !String::from_utf8_lossy(&answer).contains(expected) {
            let mut piece = [0; 1024];
            let some = timeout(300 * SECOND, read.read(&mut piece)).await.unwrap().unwrap();
            assert!(some > 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend(&piece[..some]);
        }
        let took = peer.began.elapsed();
        match expected {
            "too slow" => assert!(30 * SECOND <= took && took <= 40 * SECOND, "{took:?}"),
            _ => assert!(took >= 190 * SECOND, "{took:?}"),
        }
        sending.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn an_http2_body_that_does_not_come_is_given_up_before_its_answer_has_begun() {
    let mut peer = Peer::http2();
    let mut sender = peer.client(None).await;
    let (request, _body) = post("/read");
    assert_eq!(text(sender.send_request(request).await.unwrap()).await, "too slow");
    assert!(peer.began.elapsed() <= 31 * SECOND);
    // A byte now and then does not extend the time.
    let (request, body) = post("/read");
    let answered = tokio::spawn(sender.send_request(request));
    let began = Instant::now();
    while !answered.is_finished() {
        let _ = body.send(Bytes::from_static(b"x"));
        sleep(10 * SECOND).await;
    }
    assert_eq!(text(answered.await.unwrap().unwrap()).await, "too slow");
    assert!(began.elapsed() <= 41 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_streams_both_ways_may_be_silent_for_hours() {
    let (mut peer, pieces) = serve(HttpVersion::Http2, |_| {});
    let mut sender = peer.client(None).await;
    let (request, _body) = post("/both");
    let mut answer = sender.send_request(request).await.unwrap().into_body();
    sleep(3 * HOUR).await;
    pieces.send(Bytes::from_static(b"still here")).unwrap();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "still here");
    assert!(!peer.served.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_body_may_pause_before_its_answer_only_by_a_verb() {
    let (mut peer, _) = serve(HttpVersion::Http2, |limits| limits.idle_request_streams = true);
    let mut sender = peer.client(None).await;
    let (request, body) = post("/read");
    let answered = tokio::spawn(sender.send_request(request));
    sleep(3 * HOUR).await;
    body.send(Bytes::from_static(b"12345")).unwrap();
    drop(body);
    assert_eq!(text(answered.await.unwrap().unwrap()).await, "read 5");
    // Not if a length says that the body is on its way.
    let (mut request, _body) = post("/read");
    request.headers_mut().insert("content-length", "5".parse().unwrap());
    assert_eq!(text(sender.send_request(request).await.unwrap()).await, "too slow");
}

// Answers that are not taken.

#[tokio::test(start_paused = true)]
async fn an_http1_answer_that_is_not_taken_ends_its_connection_and_a_slow_peer_gets_it() {
    let mut peer = Peer::http1();
    peer.send("GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    peer.assert_ends_at(60).await;
    // A byte now and then does not extend the time.
    let mut peer = Peer::http1();
    peer.send("GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut byte = [0];
    while !peer.served.is_finished() {
        let _ = peer.io.as_mut().unwrap().read(&mut byte).await;
        let _ = timeout(29 * SECOND, &mut peer.served).await;
    }
    peer.assert_ends_at(60).await;
    let mut good = Peer::http1();
    good.send("GET /big HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    let mut read = 0;
    let mut piece = vec![0; 2048];
    loop {
        let some = good.io.as_mut().unwrap().read(&mut piece).await.unwrap();
        if some == 0 {
            break;
        }
        read += some;
        sleep(SECOND).await;
    }
    assert!(read > BIG && good.began.elapsed() >= 500 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_http2_stream_whose_window_stays_shut_is_reset_and_the_others_go_on() {
    let (mut peer, pieces) = serve(HttpVersion::Http2, |_| {});
    let mut sender = peer.client(Some(65_535)).await;
    let mut live = sender.send_request(get("/pieces")).await.unwrap().into_body();
    // Nobody reads this answer, so its window never opens again.
    let mut stuck = sender.send_request(get("/big")).await.unwrap().into_body();
    // The bytes that fit into the first window count as progress, once.
    sleep(121 * SECOND).await;
    let mut was_reset = false;
    while !was_reset {
        was_reset = stuck.frame().await.expect("the body does not end as if it were whole").is_err();
    }
    sleep(HOUR).await;
    pieces.send(Bytes::from_static(b"still here")).unwrap();
    assert_eq!(live.frame().await.unwrap().unwrap().into_data().unwrap(), "still here");
    assert_eq!(text(sender.send_request(get("/")).await.unwrap()).await, "hello");
    // An answer that is read slowly is read to its end.
    let mut slow = sender.send_request(get("/big")).await.unwrap().into_body();
    let mut read = 0;
    while let Some(frame) = slow.frame().await {
        read += frame.unwrap().into_data().unwrap().len();
        sleep(3 * SECOND).await;
    }
    assert_eq!(read, BIG);
}

#[tokio::test(start_paused = true)]
async fn an_http2_answer_that_was_handed_over_whole_and_is_not_taken_ends_its_connection() {
    for window in [0, 1] {
        let mut peer = Peer::http2();
        let mut sender = peer.client(Some(window)).await;
        let _answer = sender.send_request(get("/")).await.unwrap();
        if window == 0 {
            // Nothing of it was sent, so it is reset alone.
            sleep(70 * SECOND).await;
            assert!(!peer.served.is_finished() && peer.places.with_requests() == 0);
        } else {
            peer.assert_ends_at(60).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_http2_peer_that_reads_nothing_at_all_is_closed() {
    let mut peer = Peer::http2();
    peer.send(PREFACE).await;
    peer.send(SETTINGS).await;
    for stream in [1, 3, 5, 7, 9] {
        let headers = b"\x82\x87\x44\x04/big\x41\x09localhost";
        let mut frame = vec![0, 0, u8::try_from(headers.len()).unwrap(), 1, 5, 0, 0, 0, stream];
        frame.extend(headers);
        peer.send(frame).await;
    }
    let lasted = peer.ended().await;
    assert!(lasted <= 66 * SECOND, "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_events_is_not_cut_while_there_is_nothing_to_send() {
    let (mut peer, pieces) = serve(HttpVersion::Http1, |_| {});
    peer.send("GET /pieces HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    for piece in ["one", "two", "three"] {
        pieces.send(Bytes::from_static(piece.as_bytes())).unwrap();
        assert!(peer.receive(piece).await.contains(piece));
        sleep(HOUR).await;
    }
    // A long poll is the same, with nothing sent yet.
    let mut peer = Peer::http1();
    peer.send("GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    sleep(HOUR).await;
    assert!(!peer.served.is_finished());
}

// Requests that are answered before they have ended.

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_is_taken_in_and_the_connection_goes_on() {
    let mut peer = Peer::http1();
    peer.send(format!("POST /refuse HTTP/1.1\r\nhost: localhost\r\ncontent-length: {BIG}\r\n\r\n")).await;
    assert!(peer.receive("refused").await.starts_with("HTTP/1.1 200"));
    peer.send(vec![b'x'; BIG]).await;
    peer.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(peer.receive("hello").await.starts_with("HTTP/1.1 200"));

    let mut peer = Peer::http2();
    let mut sender = peer.client(None).await;
    let (request, body) = post("/refuse");
    assert_eq!(text(sender.send_request(request).await.unwrap()).await, "refused");
    for _ in 0..100 {
        // More than any window.
        body.send(Bytes::from(vec![b'x'; BIG / 10])).unwrap();
        sleep(SECOND / 10).await;
    }
    assert_eq!(text(sender.send_request(get("/")).await.unwrap()).await, "hello");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_is_bounded_in_bytes_time_and_silence() {
    for (bytes, time, piece, expected) in [
        // The limit of bytes is used up: once for the body, and once more while the connection
        // closes.
        (10 * BIG as u64, HOUR, BIG / 8, 0..=30),
        (1 << 30, 20 * SECOND, 1000, 20..=60),
        // Silence.
        (1 << 30, HOUR, 0, 5..=20),
    ] {
        let (mut peer, _) = serve(HttpVersion::Http1, |limits| {
            (limits.unread_bytes, limits.unread_time) = (bytes, time);
        });
        peer.send("POST /refuse HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1073741824\r\n\r\n").await;
        assert!(peer.receive("refused").await.starts_with("HTTP/1.1 200"));
        while !peer.served.is_finished() {
            peer.send(vec![b'x'; piece]).await;
            let _ = timeout(SECOND / 10, &mut peer.served).await;
        }
        let seconds = peer.ended().await.as_secs();
        assert!(expected.contains(&seconds), "{seconds} {expected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_peer_that_waits_to_be_told_to_go_on_is_not_told() {
    let mut peer = Peer::http1();
    let head = "HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";
    peer.send(format!("POST /refuse {head}")).await;
    let answer = peer.receive("refused").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut peer = Peer::http1();
    peer.send(format!("POST /read {head}")).await;
    assert!(peer.receive("\r\n\r\n").await.starts_with("HTTP/1.1 100"));
    peer.send("12345").await;
    assert!(peer.receive("read 5").await.contains("read 5"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_in_stages() {
    for head in [
        "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        // hyper's own answers.
        "GET / HTTP/9.9\r\n\r\n",
        "G\u{1}T / HTTP/1.1\r\n\r\n",
    ] {
        let mut peer = Peer::http1();
        peer.send(head).await;
        let mut answer = Vec::new();
        // The server's end of writing comes first; bytes sent after that are still read.
        peer.io.as_mut().unwrap().read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 "));
        assert!(!peer.served.is_finished());
        for _ in 0..10 {
            peer.io.as_mut().unwrap().write_all(&[b'x'; PIPE]).await.unwrap();
            sleep(SECOND).await;
        }
        // By then it has been silent for five seconds.
        peer.assert_ends_at(14).await;
    }
    // A peer that has closed is not waited for.
    let mut peer = Peer::http1();
    peer.send("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    peer.receive("hello").await;
    drop(peer.io.take());
    assert!(peer.ended().await < SECOND);
}

// The end of the server, and room for others.

#[tokio::test(start_paused = true)]
async fn draining_ends_what_has_no_request_within_a_second_or_so() {
    let half = "GET / HTTP/1.1\r\nhost: lo";
    let whole = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for (protocol, sent) in [
        (HttpVersion::Http1, String::new()),
        (HttpVersion::Http1, half.to_owned()),
        (HttpVersion::Http1, whole.to_owned()),
        (HttpVersion::Http1, format!("{whole}{half}")),
        (
            HttpVersion::Http1,
            "POST /refuse HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\n".to_owned(),
        ),
        (HttpVersion::Http2, String::new()),
        (HttpVersion::Http2, "PRI * HT".to_owned()),
        (HttpVersion::Http2, String::from_utf8(PREFACE.to_vec()).unwrap()),
        (HttpVersion::Http2, String::from_utf8([PREFACE, SETTINGS].concat()).unwrap()),
    ] {
        let (mut peer, _) = serve(protocol, |_| {});
        peer.send(&sent).await;
        sleep(3 * SECOND).await;
        assert!(!peer.served.is_finished());
        peer.phase.send_replace(Phase::Draining);
        assert_eq!(peer.places.with_requests(), 0, "{sent:?}");
        let lasted = peer.ended().await;
        assert!(lasted <= 5 * SECOND, "{protocol:?} {sent:?}: {lasted:?}");
    }
    // A request in progress continues.
    let (mut peer, pieces) = serve(HttpVersion::Http1, |_| {});
    peer.send("GET /pieces HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    sleep(SECOND).await;
    peer.phase.send_replace(Phase::Draining);
    sleep(10 * SECOND).await;
    assert_eq!(peer.places.with_requests(), 1);
    pieces.send(Bytes::from_static(b"the end")).unwrap();
    drop(pieces);
    assert!(peer.receive("\r\n0\r\n\r\n").await.contains("the end"));
    drop(peer.io.take());
    peer.ended().await;
}

/// A peer that sends without a pause, as fast as it is read: answers to pings that nobody sent.
struct Flood(&'static [u8]);

impl AsyncRead for Flood {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        // Like every transport of tokio, it takes part in cooperative scheduling.
        let turn = std::task::ready!(tokio::task::coop::poll_proceed(cx));
        turn.made_progress();
        if self.0.is_empty() {
            self.0 = b"\0\0\x08\x06\x01\0\0\0\0no ping!";
        }
        let (now, later) = self.0.split_at(self.0.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// One way to end a connection.
type Way<'w> = (Duration, &'w dyn Fn(&Peer));

/// In real time: paused time does not advance while a task is always ready.
#[tokio::test]
async fn who_sends_without_a_pause_outlasts_no_timer_and_no_word_of_the_servers() {
    let ways: [Way<'_>; 4] = [
        (HOUR, &|peer| {
            peer.phase.send_replace(Phase::Cut);
        }),
        (HOUR, &|peer| {
            peer.phase.send_replace(Phase::Draining);
        }),
        (HOUR, &|peer| assert!(peer.places.take().is_some(), "the peer has no request")),
        (Duration::from_millis(200), &|_| {}),
    ];
    for (idle, ends) in ways {
        let flood = Flood(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
        let (peer, _) = serve_on(flood, HttpVersion::Http2, |limits| limits.idle_timeout = idle);
        sleep(Duration::from_millis(100)).await;
        assert!(!peer.served.is_finished());
        ends(&peer);
        timeout(30 * SECOND, peer.served).await.expect("the connection ends").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn one_without_a_request_makes_room_and_one_with_a_request_does_not() {
    for protocol in [HttpVersion::Http1, HttpVersion::Http2] {
        let (mut idle, _) = serve(protocol, |_| {});
        sleep(SECOND).await;
        assert!(idle.places.take().is_some());
        assert!(idle.ended().await <= 2 * SECOND);
    }
    let mut busy = Peer::http1();
    busy.send("GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    sleep(SECOND).await;
    assert!(busy.places.take().is_none() && !busy.served.is_finished());
}

/// Counters by the value of their `code` label.
#[derive(Default, Clone)]
struct Codes(Arc<Mutex<BTreeMap<String, Arc<metrics::atomics::AtomicU64>>>>);

impl metrics::Recorder for Codes {
    fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn register_counter(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        let code = key.labels().map(|label| label.value().to_owned()).collect::<String>();
        assert_eq!(key.name(), "ztlib_connections_ended_total");
        metrics::Counter::from_arc(Arc::clone(self.0.lock().unwrap().entry(code).or_default()))
    }
    fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        metrics::Gauge::noop()
    }
    fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::noop()
    }
}

#[tokio::test(start_paused = true)]
async fn what_http_refuses_by_itself_is_counted_by_a_bounded_code() {
    let codes = Codes::default();
    let _guard = metrics::set_default_local_recorder(&codes);
    let long = "v".repeat(70_000);
    for (sent, code, status) in [
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), "malformed-http", "HTTP/1.1 400"),
        ("G\u{1}T / HTTP/1.1\r\n\r\n".to_owned(), "malformed-http", "HTTP/1.1 400"),
        ("POST / HTTP/1.1\r\ncontent-length: 1, 2\r\n\r\n".to_owned(), "malformed-http", "HTTP/1.1 400"),
        (format!("GET / HTTP/1.1\r\nx: {long}\r\n\r\n"), "header-too-large", "HTTP/1.1 431"),
        ("GET / HTTP/1.1\r\n".to_owned(), "header-timeout", ""),
        ("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(), "", "HTTP/1.1 200"),
    ] {
        let mut peer = Peer::http1();
        let (mut read, mut write) = tokio::io::split(peer.io.take().unwrap());
        let sent = tokio::spawn(async move {
            let _ = write.write_all(sent.as_bytes()).await;
            write
        });
        let mut answer = Vec::new();
        let _ = read.read_to_end(&mut answer).await;
        assert!(answer.starts_with(status.as_bytes()), "{}", String::from_utf8_lossy(&answer));
        drop((sent.await.unwrap(), read));
        peer.ended().await;
        let counted: Vec<String> = std::mem::take(&mut *codes.0.lock().unwrap()).into_keys().collect();
        assert_eq!(counted.concat(), code);
    }
    // HTTP/2: no preface, not HTTP/2, and a header section above the limit.
    Peer::http2().ended().await;
    let mut peer = Peer::http2();
    peer.send(PREFACE).await;
    // SETTINGS on a stream.
    peer.send(b"\0\0\0\x04\0\0\0\0\x01").await;
    peer.ended().await;
    let mut peer = Peer::http2();
    let mut sender = peer.client(None).await;
    let mut request = get("/");
    request.headers_mut().insert("x", long.parse().unwrap());
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let counted: Vec<String> = std::mem::take(&mut *codes.0.lock().unwrap()).into_keys().collect();
    assert_eq!(counted, ["header-too-large", "malformed-http", "preface-timeout"]);
}

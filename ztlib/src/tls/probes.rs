//! A plaintext listener that answers probes and nothing else.

use std::convert::Infallible;
use std::future::{Future as _, Ready, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::accept_loop::accept_until;
use super::drive::{Phase, ended};
use super::limits::HttpLimits;
use super::places::{Places, Slot};
use super::serve_connection::http1_settings;

/// Probes come one at a time. If there are more connections than this, the oldest without a
/// complete request makes room.
const MAX_CONNECTIONS: usize = 64;
/// The time limit of a connection, from its first byte to its last.
const LIMIT: Duration = Duration::from_secs(5);

pub(super) struct Probes {
    listener: TcpListener,
    answers: Answers,
}

#[derive(Clone)]
struct Answers {
    paths: Arc<[String]>,
    ready: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Probes {
    pub(super) fn new(
        listener: TcpListener,
        paths: Vec<String>,
        ready: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    ) -> Self {
        Self { listener, answers: Answers { paths: paths.into(), ready } }
    }

    /// Answers until the server is cut. It still answers while the server drains, so that a probe
    /// can tell.
    pub(super) async fn serve(self, phases: watch::Receiver<Phase>) {
        let Self { mut listener, answers } = self;
        let places = Places::new(MAX_CONNECTIONS);
        let limits = HttpLimits { header_timeout: LIMIT, max_header_bytes: 8192, ..HttpLimits::default() };
        let mut until = phases.clone();
        let cut = async move {
            let _ = until.wait_for(|phase| *phase == Phase::Cut).await;
        };
        accept_until(&mut listener, cut, |transport: TcpStream, _| {
            // A probe is answered at once. If complete requests take all places, that is a flood of
            // them.
            let Some(place) = places.take() else { return };
            let answers = Probe { answers: answers.clone(), slot: Arc::clone(&place.slot) };
            let connection =
                http1_settings(limits).keep_alive(false).serve_connection(TokioIo::new(transport), answers);
            let mut phases = phases.clone();
            tokio::spawn(async move {
                let mut connection = pin!(connection);
                let mut end = pin!(tokio::time::sleep(LIMIT));
                let mut cut = pin!(phases.wait_for(|phase| *phase == Phase::Cut));
                let mut evicted = pin!(place.slot.evicted());
                poll_fn(|cx| {
                    // Polled in this order, as in `drive`.
                    if end.as_mut().poll(cx).is_ready()
                        || cut.as_mut().poll(cx).is_ready()
                        || connection.as_mut().poll(cx).is_ready()
                    {
                        return Poll::Ready(());
                    }
                    let evicted = evicted.as_mut().poll(cx);
                    if evicted.is_ready() {
                        ended("made-room");
                    }
                    evicted
                })
                .await;
            });
        })
        .await;
    }
}

/// Answers on one connection.
struct Probe {
    answers: Answers,
    slot: Arc<Slot>,
}

impl hyper::service::Service<Request<Incoming>> for Probe {
    type Response = Response<Once>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        // The request is complete, so this connection no longer makes room.
        self.slot.begin_exchange();
        hyper::service::Service::call(&self.answers, request)
    }
}

impl hyper::service::Service<Request<Incoming>> for Answers {
    type Response = Response<Once>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let asked = request.uri().path();
        let known = matches!(*request.method(), Method::GET | Method::HEAD)
            && request.uri().query().is_none()
            && self.paths.iter().any(|path| path == asked);
        let (status, text) = if !known {
            (StatusCode::NOT_FOUND, "not found\n")
        } else if (self.ready)(asked) {
            (StatusCode::OK, "ok\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        };
        let mut response = Response::new(Once(Some(Bytes::from_static(text.as_bytes()))));
        *response.status_mut() = status;
        ready(Ok(response))
    }
}

/// A body in one piece.
struct Once(Option<Bytes>);

impl Body for Once {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

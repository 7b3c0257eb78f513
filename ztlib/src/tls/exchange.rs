//! One request and its answer, and how much of the answer waits for the peer.

use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::places::Slot;

/// An answer is not reported as ended while more than this many bytes wait for the peer: after that
/// report, its stream could no longer be reset alone.
const MAX_LEFT: usize = 16 * 1024;

/// A request in progress: from its header section until the last byte of its answer was written.
pub(super) struct Exchange {
    slot: Arc<Slot>,
    answered: AtomicBool,
    /// Bytes handed to HTTP and not yet written.
    waiting: AtomicUsize,
    /// Bytes written.
    taken: AtomicU64,
    /// How often the number of waiting bytes fell to zero.
    emptied: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

/// The progress of writing an answer at some moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    taken: u64,
    emptied: u64,
}

impl Exchange {
    pub(super) fn begin(slot: &Arc<Slot>) -> Arc<Self> {
        slot.begin_exchange();
        Arc::new(Self {
            slot: Arc::clone(slot),
            answered: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            taken: AtomicU64::new(0),
            emptied: AtomicU64::new(0),
            waker: Mutex::new(None),
        })
    }

    /// Whether the answer has begun.
    pub(super) fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    pub(super) fn answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { taken: self.taken.load(Ordering::Relaxed), emptied: self.emptied.load(Ordering::Relaxed) }
    }

    /// Whether bytes have been waiting since the mark, and fewer than `least` were written.
    pub(super) fn has_stood_still(&self, since: Mark, least: u64) -> bool {
        let now = self.mark();
        self.waiting() > 0
            && now.emptied == since.emptied
            && now.taken.saturating_sub(since.taken) < least.max(1)
    }

    fn wait(&self, bytes: usize) {
        self.waiting.fetch_add(bytes, Ordering::AcqRel);
    }

    fn leave(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.taken.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        let before = self.waiting.fetch_sub(bytes, Ordering::AcqRel);
        let left = before.saturating_sub(bytes);
        if left == 0 {
            self.emptied.fetch_add(1, Ordering::Relaxed);
        }
        if before > MAX_LEFT && left <= MAX_LEFT {
            let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Resolves when few enough bytes wait.
    fn poll_little_left(&self, cx: &Context<'_>) -> Poll<()> {
        if self.waiting() <= MAX_LEFT {
            return Poll::Ready(());
        }
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        if self.waiting() <= MAX_LEFT { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.slot.end_exchange();
    }
}

pin_project! {
    /// A service's future, with its answer watched.
    #[project = AnsweringProjection]
    pub(super) enum Answering<F> {
        Service { #[pin] future: F, exchange: Arc<Exchange> },
        /// The server's own answer, without asking a service.
        Server { status: http::StatusCode, exchange: Arc<Exchange> },
    }
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<Answer<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (response, exchange) = match self.project() {
            AnsweringProjection::Service { future, exchange } => {
                let response = ready!(future.poll(cx))?;
                (response.map(|body| AnswerBody::Service { body }), exchange)
            }
            AnsweringProjection::Server { status, exchange } => {
                let mut response = Response::new(AnswerBody::Server);
                *response.status_mut() = *status;
                (response, exchange)
            }
        };
        exchange.answer();
        let exchange = Arc::clone(exchange);
        Poll::Ready(Ok(response.map(|body| Answer { body, exchange, end: None })))
    }
}

pin_project! {
    /// The body of an answer, whose bytes are watched until they are written.
    pub(super) struct Answer<B: Body> {
        #[pin]
        body: AnswerBody<B>,
        exchange: Arc<Exchange>,
        // The end of the body once known: with these trailers, or with none.
        end: Option<Option<http::HeaderMap>>,
    }
}

pin_project! {
    #[project = AnswerBodyProjection]
    enum AnswerBody<B> {
        Service { #[pin] body: B },
        Server,
    }
}

impl<B: Body> Body for Answer<B> {
    type Data = Waiting<B::Data>;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let AnswerBodyProjection::Service { body } = this.body.project() else { return Poll::Ready(None) };
        if this.end.is_none() {
            match ready!(body.poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        return Poll::Ready(Some(Ok(Frame::data(Waiting::new(data, this.exchange)))));
                    }
                    Err(frame) => *this.end = Some(frame.into_trailers().ok()),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => *this.end = Some(None),
            }
        }
        ready!(this.exchange.poll_little_left(cx));
        let trailers = this.end.as_mut().and_then(Option::take);
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            AnswerBody::Service { body } => {
                let ended = match &self.end {
                    Some(trailers) => trailers.is_none(),
                    None => body.is_end_stream(),
                };
                ended && self.exchange.waiting() <= MAX_LEFT
            }
            AnswerBody::Server => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            AnswerBody::Service { body } => body.size_hint(),
            AnswerBody::Server => SizeHint::with_exact(0),
        }
    }
}

/// Bytes of an answer, counted until they are written or dropped.
pub(super) struct Waiting<D: Buf> {
    data: D,
    exchange: Arc<Exchange>,
}

impl<D: Buf> Waiting<D> {
    fn new(data: D, exchange: &Arc<Exchange>) -> Self {
        exchange.wait(data.remaining());
        Self { data, exchange: Arc::clone(exchange) }
    }
}

impl<D: Buf> Buf for Waiting<D> {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.data.chunks_vectored(slices)
    }

    fn advance(&mut self, bytes: usize) {
        self.data.advance(bytes);
        self.exchange.leave(bytes);
    }

    fn copy_to_bytes(&mut self, bytes: usize) -> Bytes {
        let copied = self.data.copy_to_bytes(bytes);
        self.exchange.leave(copied.len());
        copied
    }
}

impl<D: Buf> Drop for Waiting<D> {
    fn drop(&mut self) {
        self.exchange.leave(self.data.remaining());
    }
}

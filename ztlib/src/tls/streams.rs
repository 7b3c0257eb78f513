//! Runs the streams of an HTTP/2 connection, and checks that each answer is taken.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};

use super::exchange::{Exchange, Mark};
use super::limits::least_progress;

/// From this number of pending answers on, those that no longer wait are dropped first.
const MANY: usize = 256;

/// The streams of one connection.
#[derive(Clone)]
pub(super) struct Streams(Arc<Shared>);

struct Shared {
    answer_timeout: Duration,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// The exchange that the next future belongs to.
    begun: Option<Arc<Exchange>>,
    /// Answers that were handed over whole and are not yet written.
    left: Vec<(Instant, Mark, Arc<Exchange>)>,
}

impl Streams {
    pub(super) fn new(answer_timeout: Duration) -> Self {
        Self(Arc::new(Shared { answer_timeout, open: Mutex::default() }))
    }

    /// Announces that the next future to run belongs to this exchange.
    pub(super) fn begin(&self, exchange: &Arc<Exchange>) {
        self.lock().begun = Some(Arc::clone(exchange));
    }

    fn leave(&self, exchange: Arc<Exchange>) {
        if exchange.waiting() == 0 {
            return;
        }
        let mut open = self.lock();
        if open.left.len() >= MANY {
            open.left.retain(|(_, _, exchange)| exchange.waiting() > 0);
        }
        let mark = exchange.mark();
        open.left.push((Instant::now(), mark, exchange));
    }

    /// Whether an answer that was handed over whole is not taken. Its stream can no longer be reset
    /// alone.
    pub(super) fn stand_still(&self) -> bool {
        let limit = self.0.answer_timeout;
        let mut open = self.lock();
        open.left.retain(|(_, _, exchange)| exchange.waiting() > 0);
        let mut still = false;
        for (since, mark, exchange) in &mut open.left {
            if since.elapsed() >= limit {
                still |= exchange.has_stood_still(*mark, least_progress(limit));
                *since = Instant::now();
                *mark = exchange.mark();
            }
        }
        still
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        let exchange = self.lock().begun.take();
        match exchange {
            Some(exchange) => {
                let watch = Some((exchange, self.clone()));
                tokio::spawn(Stream { future, watch, watched: None });
            }
            None => {
                tokio::spawn(future);
            }
        }
    }
}

pin_project! {
    /// A stream. Dropping its future resets it.
    struct Stream<F> {
        #[pin]
        future: F,
        watch: Option<(Arc<Exchange>, Streams)>,
        // Set while the answer waits.
        watched: Option<(Mark, Pin<Box<Sleep>>)>,
    }
}

impl<F: Future> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.future.poll(cx).is_ready() {
            if let Some((exchange, streams)) = this.watch.take() {
                streams.leave(exchange);
            }
            return Poll::Ready(());
        }
        let Some((exchange, streams)) = this.watch else { return Poll::Pending };
        let limit = streams.0.answer_timeout;
        loop {
            if exchange.waiting() == 0 {
                *this.watched = None;
                return Poll::Pending;
            }
            let (mark, end) = this.watched.get_or_insert_with(|| (exchange.mark(), Box::pin(sleep(limit))));
            ready!(end.as_mut().poll(cx));
            if exchange.has_stood_still(*mark, least_progress(limit)) {
                metrics::counter!("ztlib_connections_ended_total", "code" => "answer-timeout").increment(1);
                return Poll::Ready(());
            }
            *this.watched = None;
        }
    }
}

//! How long the services take for a request: a layer outside of the guard, which sees what callers
//! wait for, without the network.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tower::{Layer, Service};

/// What was measured since it was last taken. Clones share it.
#[derive(Clone, Default)]
pub struct Timings(Arc<Mutex<Vec<Duration>>>);

impl Timings {
    pub fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S> Layer<S> for Timings {
    type Service = Timed<S>;

    fn layer(&self, inner: S) -> Timed<S> {
        Timed { inner, timings: self.clone() }
    }
}

#[derive(Clone)]
pub struct Timed<S> {
    inner: S,
    timings: Timings,
}

impl<S, R> Service<R> for Timed<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let (began, timings) = (Instant::now(), self.timings.clone());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            timings.0.lock().unwrap_or_else(PoisonError::into_inner).push(began.elapsed());
            answer
        })
    }
}

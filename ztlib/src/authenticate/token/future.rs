//! The answer of the inner service, or a refusal that is there at once.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use pin_project_lite::pin_project;

pin_project! {
    /// The future of [`TokenService`](super::TokenService).
    #[must_use = "futures do nothing unless polled"]
    pub struct TokenFuture<F, R> {
        #[pin]
        state: State<F, R>,
    }
}

pin_project! {
    #[project = StateOf]
    enum State<F, R> {
        Through { #[pin] future: F },
        Refused { response: Option<Response<R>> },
    }
}

impl<F, R> TokenFuture<F, R> {
    pub(super) fn through(future: F) -> Self {
        Self { state: State::Through { future } }
    }

    pub(super) fn refused(response: Response<R>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }
}

impl<F, R, E> Future for TokenFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateOf::Through { future } => future.poll(context),
            // Polled again after it was ready, it stays pending rather than panic.
            StateOf::Refused { response } => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
        }
    }
}

impl<F, R> std::fmt::Debug for TokenFuture<F, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenFuture").finish_non_exhaustive()
    }
}

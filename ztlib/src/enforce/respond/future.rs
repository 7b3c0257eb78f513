//! The future of a guarded call: the service's own, or a refusal that is ready.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use pin_project_lite::pin_project;

use super::body::ResponseBody;
use super::caller::ReplyTo;
use crate::authorize::HeaderChange;
use crate::enforce::guard::Guard;
use crate::enforce::hints::LetThrough;
use crate::enforce::obligations;

/// Whose answer is looked at for layers that stand in the wrong place.
pub(crate) type Watch = (Guard, LetThrough);

pin_project! {
    /// The future of a guarded call.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, R> {
        #[pin]
        state: State<F, R>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, R> {
        Passed { #[pin] inner: F, headers: Vec<HeaderChange>, caller: ReplyTo, watch: Option<Watch> },
        Refused { response: Option<Response<ResponseBody<R>>> },
    }
}

impl<F, R> ResponseFuture<F, R> {
    pub(crate) fn passed(inner: F, caller: ReplyTo) -> Self {
        Self::obliged(inner, Vec::new(), caller, None)
    }

    pub(crate) fn obliged(
        inner: F,
        headers: Vec<HeaderChange>,
        caller: ReplyTo,
        watch: Option<Watch>,
    ) -> Self {
        Self { state: State::Passed { inner, headers, caller, watch } }
    }

    pub(crate) fn refused(response: Response<ResponseBody<R>>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }
}

impl<F, R> std::fmt::Debug for ResponseFuture<F, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResponseFuture")
    }
}

impl<F, R, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Passed { inner, headers, caller, watch } => {
                inner.poll(cx).map_ok(|mut response| {
                    if let Some((guard, request)) = watch.take() {
                        guard.look_at_answer(request, response.headers());
                    }
                    obligations::apply(headers, response.headers_mut());
                    caller.fit(response)
                })
            }
            StateProjection::Refused { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                // Polled again after it was ready, which breaks the contract of `Future`.
                None => Poll::Pending,
            },
        }
    }
}

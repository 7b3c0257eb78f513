//! The future of a guarded router's call.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::response::Response;
use axum::routing::future::RouteFuture;
use http::header::ALLOW;
use pin_project_lite::pin_project;
use ztlib::enforce::Refusal;

pin_project! {
    /// The future of a guarded router's call.
    #[must_use = "futures do nothing unless polled"]
    pub struct GuardedFuture {
        #[pin]
        routed: RouteFuture<Infallible>,
    }
}

impl std::fmt::Debug for GuardedFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GuardedFuture")
    }
}

impl GuardedFuture {
    pub(crate) fn new(routed: RouteFuture<Infallible>) -> Self {
        Self { routed }
    }
}

impl Future for GuardedFuture {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().routed.poll(cx).map_ok(|mut response| {
            // Where a route does not have the method, axum adds those that it has, also to a
            // refusal: who is refused is not told what there is.
            if response.extensions().get::<Refusal>().is_some() {
                response.headers_mut().remove(ALLOW);
            }
            response
        })
    }
}

//! The service: a thin shell around the judgement.

use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::layer::FindRoute;
use crate::enforce::guard::Guard;
use crate::enforce::respond::ReplyTo;
use crate::enforce::respond::ResponseBody;
use crate::enforce::respond::ResponseFuture;

/// A guarded service. A refusal is a response, not an error.
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    inner: S,
    guard: Guard,
    find_route: FindRoute,
}

impl<S> Guarded<S> {
    pub(super) fn new(inner: S, guard: Guard, find_route: FindRoute) -> Self {
        Self { inner, guard, find_route }
    }
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    /// The judgement never waits. So the service that was polled ready is the one that is called
    /// (see `Service::poll_ready` in tower's documentation), and there is nothing to cancel.
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let mut parts = Box::new(parts);
        let caller = ReplyTo::of(&parts.method, parts.version, &parts.headers);
        let matched = (self.find_route)(&mut parts);
        let served = matched.protocol;
        let judged = self.guard.judge_request(parts, matched);
        match judged.result {
            Ok(passage) => {
                let inner = self.inner.call(Request::from_parts(*judged.parts, body));
                let watch = passage.watched.map(|watched| (self.guard.clone(), watched));
                ResponseFuture::obliged(inner, passage.response_headers, caller, watch)
            }
            Err(refusal) => ResponseFuture::refused(match self.guard.refusal_form() {
                None => refusal.answer(caller, served),
                Some(form) => refusal.answer_in_form(caller, served, form, &judged.parts),
            }),
        }
    }
}

//! The tower contract: who is polled ready is called, back-pressure is kept, dropping cancels.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test"
)]

mod support;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, Service, ServiceExt as _};
use tower_test::mock;
use ztlib::enforce::{Refusal, GuardLayer};

use support::{World, allow, deny};

type Asked = Request<Full<Bytes>>;
type Said = Response<Full<Bytes>>;

/// May be called once after each readiness, as `Service::poll_ready` promises; its clones are not
/// ready.
struct Strict {
    ready: bool,
    calls: Arc<AtomicUsize>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false, calls: self.calls.clone() }
    }
}

impl Service<Asked> for Strict {
    type Response = Said;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Said, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Asked) -> Self::Future {
        assert!(self.ready, "called without having been polled ready");
        self.ready = false;
        self.calls.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(Response::default()))
    }
}

#[tokio::test]
async fn the_service_that_was_polled_ready_is_the_one_that_is_called() {
    let world = World::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let strict = Strict { ready: false, calls: calls.clone() };
    let mut service = GuardLayer::new(world.guard(allow()).build()).layer(strict);
    let peer = world.frontend().await;
    for _ in 0..3 {
        let answer = service.ready().await.unwrap().call(world.request_of(&peer)).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    // And a clone has to be polled itself: it is, by whoever calls it.
    assert_eq!(service.clone().oneshot(world.request_of(&peer)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn back_pressure_of_the_inner_service_is_kept() {
    let world = World::new();
    let layer = GuardLayer::new(world.guard(allow()).build());
    let (mut service, mut handle) = mock::spawn_with(|inner: mock::Mock<Asked, Said>| layer.layer(inner));
    handle.allow(0);
    assert!(service.poll_ready().is_pending());
    handle.allow(1);
    assert!(service.poll_ready().is_ready());
    let answer = service.call(world.request().await);
    let (asked, send) = handle.next_request().await.unwrap();
    assert_eq!(asked.uri().path(), "/orders/7");
    assert!(service.poll_ready().is_pending(), "one was allowed, and it is under way");
    send.send_response(Response::new(Full::from("inner")));
    let body = answer.await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "inner");
}

#[tokio::test]
async fn a_service_that_is_never_ready_is_never_called() {
    let world = World::new();
    let layer = GuardLayer::new(world.guard(allow()).build());
    let (mut service, mut handle) = mock::spawn_with(|inner: mock::Mock<Asked, Said>| layer.layer(inner));
    handle.send_error("the inner service is broken");
    let std::task::Poll::Ready(Err(error)) = service.poll_ready() else { panic!("the error was swallowed") };
    assert_eq!(error.to_string(), "the inner service is broken");
    assert!(world.events.take().is_empty());
}

#[tokio::test]
async fn a_refusal_does_not_call_the_inner_service() {
    let world = World::new();
    let layer = GuardLayer::new(world.guard(deny()).build());
    let (mut service, mut handle) = mock::spawn_with(|inner: mock::Mock<Asked, Said>| layer.layer(inner));
    handle.allow(2);
    for (request, reason) in
        [(Request::new(Full::default()), "host-missing"), (world.request().await, "no-role")]
    {
        assert!(service.poll_ready().is_ready());
        let answer = service.call(request).await.unwrap();
        assert_eq!(answer.extensions().get::<Refusal>().unwrap().cause().code(), reason);
        assert!(handle.poll_request().is_pending(), "the inner service was called");
    }
}

#[tokio::test]
async fn an_error_of_the_inner_service_comes_out_as_it_is() {
    let world = World::new();
    let layer = GuardLayer::new(world.guard(allow()).build());
    let (mut service, mut handle) = mock::spawn_with(|inner: mock::Mock<Asked, Said>| layer.layer(inner));
    handle.allow(1);
    assert!(service.poll_ready().is_ready());
    let answer = service.call(world.request().await);
    let (_, send) = handle.next_request().await.unwrap();
    send.send_error("lost the database");
    assert_eq!(answer.await.unwrap_err().to_string(), "lost the database");
    assert_eq!(world.events.one().verdict().as_str(), "allow", "the guard's part was done");
}

/// An inner call that never ends, and tells when it is dropped.
struct Endless(Arc<AtomicBool>);

impl Future for Endless {
    type Output = Result<Said, std::convert::Infallible>;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn dropping_the_future_half_way_drops_the_inner_call() {
    let world = World::new();
    let dropped = Arc::new(AtomicBool::new(false));
    let inner = {
        let dropped = dropped.clone();
        tower::service_fn(move |_: Asked| Endless(dropped.clone()))
    };
    let mut service = GuardLayer::new(world.guard(allow()).build()).layer(inner);
    let peer = world.frontend().await;
    let mut call = Box::pin(service.call(world.request_of(&peer)));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(!dropped.load(Ordering::SeqCst));
    drop(call);
    assert!(dropped.load(Ordering::SeqCst), "the handler goes on for a caller who left");
    assert_eq!(world.events.one().verdict().as_str(), "allow");
    // The service is as good as before.
    dropped.store(false, Ordering::SeqCst);
    drop(service.call(world.request_of(&peer)));
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_refusal_that_was_taken_is_not_given_twice() {
    let world = World::new();
    let mut service = GuardLayer::new(world.guard(deny()).build()).layer(world.handler.service());
    let mut refused = Box::pin(service.call(Request::new(Full::default())));
    let mut context = Context::from_waker(Waker::noop());
    assert!(refused.as_mut().poll(&mut context).is_ready(), "nothing is waited for");
    // Against the contract of futures, and still no panic and no second answer.
    assert!(refused.as_mut().poll(&mut context).is_pending());
    assert_eq!(world.handler.calls(), 0);
}

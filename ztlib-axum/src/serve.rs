//! Serving a guarded router, and nothing else.

use std::future::Future;
use std::task::{Context, Poll};

use axum::extract::ConnectInfo;
use tower_service::Service;
use ztlib::RemoteAddr;
use ztlib::tls::{RequestBody, Server, ShutDown};

use crate::GuardedRouter;

/// Serves a guarded router over mTLS until `shutdown` resolves and the requests in flight have
/// finished. See [`Server`] for its limits.
///
/// `ConnectInfo<SocketAddr>` holds the address of the other end of the connection, as
/// [`RemoteAddr`] does.
pub async fn serve(server: Server, router: GuardedRouter, shutdown: impl Future<Output = ()>) -> ShutDown {
    server.serve(WithConnectInfo(router), shutdown).await
}

/// Puts the address where axum's extractor looks for it.
#[derive(Clone)]
struct WithConnectInfo(GuardedRouter);

impl Service<http::Request<RequestBody>> for WithConnectInfo {
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future = <GuardedRouter as Service<http::Request<RequestBody>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<http::Request<RequestBody>>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, mut request: http::Request<RequestBody>) -> Self::Future {
        if let Some(RemoteAddr(address)) = request.extensions().get::<RemoteAddr>().copied() {
            request.extensions_mut().insert(ConnectInfo(address));
        }
        self.0.call(request)
    }
}

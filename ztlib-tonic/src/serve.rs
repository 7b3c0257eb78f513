//! Serving guarded routes, and nothing else.

use std::future::Future;
use std::task::{Context, Poll};

use tonic::transport::server::TcpConnectInfo;
use tower_service::Service;
use ztlib::RemoteAddr;
use ztlib::tls::{RequestBody, Server, ShutDown};

use crate::GuardedRoutes;
use crate::deadline::WithinDeadline;

/// Serves guarded routes over mTLS until `shutdown` resolves and the calls in flight have finished.
/// Give the acceptor of `server` [`http2_only`](ztlib::tls::AcceptorBuilder::http2_only): gRPC
/// needs it. See [`Server`] for its limits.
///
/// - `remote_addr()` of a `tonic::Request` is the address of the other end of the connection, as it
///   is under `tonic::transport::Server`. Who the peer is, is
///   [`peer_identity()`](crate::GuardedRequest::peer_identity); tonic's `peer_certs()` is empty.
/// - A call whose `grpc-timeout` passes before its answer begins ends with `DEADLINE_EXCEEDED`, and
///   its method is dropped. A stream that has begun is not cut. A `grpc-timeout` that is not of
///   the form that gRPC gives it is ignored, as by `tonic::transport::Server`. For a limit of the
///   service's own put tower's `timeout` around the services, inside of the guard.
/// - A call in which only the client streams, and pauses for longer than
///   [`body_timeout`](Server::body_timeout), needs
///   [`allow_idle_request_streams`](Server::allow_idle_request_streams).
pub async fn serve(server: Server, routes: GuardedRoutes, shutdown: impl Future<Output = ()>) -> ShutDown {
    server.serve(WithConnectInfo(WithinDeadline(routes)), shutdown).await
}

/// Puts the address where `tonic::Request` looks for it.
#[derive(Clone)]
struct WithConnectInfo(WithinDeadline<GuardedRoutes>);

impl Service<http::Request<RequestBody>> for WithConnectInfo {
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future = <WithinDeadline<GuardedRoutes> as Service<http::Request<RequestBody>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<http::Request<RequestBody>>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, mut request: http::Request<RequestBody>) -> Self::Future {
        if let Some(RemoteAddr(address)) = request.extensions().get::<RemoteAddr>().copied() {
            let info = TcpConnectInfo { local_addr: None, remote_addr: Some(address) };
            request.extensions_mut().insert(info);
        }
        self.0.call(request)
    }
}

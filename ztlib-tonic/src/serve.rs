//! Serving guarded routes, and nothing else.

use std::future::Future;

use ztlib::tls::{Server, ShutDown};

use crate::GuardedRoutes;

/// Serves guarded routes over mTLS until `shutdown` resolves and the calls in flight have finished.
/// Give the acceptor of `server` [`http2_only`](ztlib::tls::AcceptorBuilder::http2_only): gRPC
/// needs it. See [`Server`] for its limits.
///
/// Unlike `tonic::transport::Server`, it does not end a call whose `grpc-timeout` has passed: put
/// tower's `timeout` around the services, inside of the guard, or have each method look at its
/// deadline. A call in which only the client streams, and pauses for longer than
/// [`body_timeout`](Server::body_timeout), needs
/// [`allow_idle_request_streams`](Server::allow_idle_request_streams).
pub async fn serve(server: Server, routes: GuardedRoutes, shutdown: impl Future<Output = ()>) -> ShutDown {
    server.serve(routes, shutdown).await
}

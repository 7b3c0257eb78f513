//! Serving guarded routes, and nothing else.

use std::future::Future;

use ztlib::tls::{Server, ShutDown};

use crate::GuardedRoutes;

/// Serves guarded routes over mTLS until `shutdown` resolves and the calls in flight have finished. Give the acceptor of `server`
/// [`http2_only`](ztlib::tls::AcceptorBuilder::http2_only): gRPC needs it. See [`Server`] for its limits.
pub async fn serve(server: Server, routes: GuardedRoutes, shutdown: impl Future<Output = ()>) -> ShutDown {
    server.serve(routes, shutdown).await
}

//! Serving a guarded router, and nothing else.

use std::future::Future;

use ztlib::tls::{Server, ShutDown};

use crate::GuardedRouter;

/// Serves a guarded router over mTLS until `shutdown` resolves and the requests in flight have finished. See [`Server`] for its limits.
pub async fn serve(server: Server, router: GuardedRouter, shutdown: impl Future<Output = ()>) -> ShutDown {
    server.serve(router, shutdown).await
}

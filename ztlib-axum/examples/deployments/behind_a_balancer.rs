//! Behind a load balancer that ends TLS: the peer is nobody, whatever headers say.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use tokio::net::TcpListener;
use ztlib::authenticate::token::{TokenAuthenticator, TokenVerifier};
use ztlib::enforce::Guard;
use ztlib::policies::PolicyStore;
use ztlib_axum::GuardedRouter;

// page: from here
pub(crate) async fn serve(
    tokens: TokenVerifier,
    policies: PolicyStore,
    listener: TcpListener,
) -> std::io::Result<()> {
    // Nobody is a peer here: what the balancer saw of TLS is not passed on, and no header is believed.
    let guard = Guard::builder().allow_unauthenticated_peers();
    let guard = guard.tokens(TokenAuthenticator::new(tokens)).policies(policies);
    let guard = guard.allow_public_route("/healthz").build(); // the balancer's own check brings no token
    let shop = Router::new().route("/orders/{id}", get(order)).route("/healthz", get(async || "ok"));
    let shop = GuardedRouter::new(guard, shop);
    axum::serve(listener, shop.into_make_service_with_connect_info::<SocketAddr>()).await
}
// page: to here

/// What of the headers that a proxy could write, a handler sees.
async fn order(request: Request) -> String {
    let of_a_proxy =
        |name: &str| ["forwarded", "client", "real-ip", "ztlib"].iter().any(|part| name.contains(part));
    let mut names: Vec<_> = request.headers().keys().map(http::HeaderName::as_str).collect();
    names.retain(|name| of_a_proxy(name));
    names.sort_unstable();
    names.join(" ")
}

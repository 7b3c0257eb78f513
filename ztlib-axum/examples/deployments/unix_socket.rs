//! On a unix socket: policies learn which user's process calls.

use axum::Router;
use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::middleware::map_request;
use axum::routing::get;
use axum::serve::IncomingStream;
use tokio::net::UnixListener;
use ztlib::authenticate::token::TokenVerifier;
use ztlib::authorize::Labels;
use ztlib::enforce::Guard;
use ztlib::policies::PolicyStore;
use ztlib_axum::GuardedRouter;

// page: from here
pub(crate) async fn serve(
    tokens: TokenVerifier,
    policies: PolicyStore,
    listener: UnixListener,
) -> std::io::Result<()> {
    let guard = Guard::builder().allow_unauthenticated_peers().tokens(tokens).policies(policies).build();
    let shop = GuardedRouter::new(guard, Router::new().route("/orders/{id}", get(async || "an order")));
    let shop = shop.layer_outside(map_request(label_user));
    axum::serve(listener, shop.into_make_service_with_connect_info::<User>()).await
}

/// The user of the process at the other end, as the kernel says (SO_PEERCRED).
#[derive(Clone)]
struct User(Option<u32>);

impl Connected<IncomingStream<'_, UnixListener>> for User {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(stream.io().peer_cred().ok().map(|process| process.uid()))
    }
}

/// For policies: `label("unix-user")` is "1000", and absent where the kernel does not say.
async fn label_user(ConnectInfo(User(user)): ConnectInfo<User>, mut request: Request) -> Request {
    let labels = user.map(|user| Labels::new().with("unix-user", user.to_string()));
    request.extensions_mut().insert(labels.unwrap_or_default());
    request
}
// page: to here

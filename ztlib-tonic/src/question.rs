//! Which method a call names, put where the guard looks for it.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, MatchedPath};
use http::request::Parts;
use ztlib::RemoteAddr;
use ztlib::enforce::{MatchedRoute, Protocol};

/// A gRPC route is the path `/package.Service/Method`. Of an unknown service there is none. Of a
/// known service the method may be unknown too: it is a route that no rule names.
pub(crate) fn find_route(parts: &mut Parts) -> MatchedRoute {
    leave_address(parts);
    let known_service = parts.extensions.get::<MatchedPath>().is_some();
    let path = parts.uri.path();
    let is_method = path
        .strip_prefix('/')
        .and_then(|path| path.split_once('/'))
        .is_some_and(|(service, method)| !service.is_empty() && !method.is_empty() && !method.contains('/'));
    let route = if known_service && is_method { MatchedRoute::new(path) } else { MatchedRoute::none() };
    route.served_in(Protocol::Grpc)
}

/// Where another server than ztlib's accepted the connection, axum's `ConnectInfo` has the address.
fn leave_address(parts: &mut Parts) {
    if parts.extensions.get::<RemoteAddr>().is_none()
        && let Some(ConnectInfo(address)) = parts.extensions.get::<ConnectInfo<SocketAddr>>().copied()
    {
        parts.extensions.insert(RemoteAddr(address));
    }
}

//! Which method a call names, put where the guard looks for it.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, MatchedPath};
use http::request::Parts;
use tonic::transport::server::TcpConnectInfo;
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

/// Where another server than ztlib's accepted the connection, axum's `ConnectInfo` or what tonic's
/// own server leaves has the address.
fn leave_address(parts: &mut Parts) {
    if parts.extensions.get::<RemoteAddr>().is_some() {
        return;
    }
    let of_axum = || parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| *address);
    let of_tonic = || parts.extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
    if let Some(address) = of_axum().or_else(of_tonic) {
        parts.extensions.insert(RemoteAddr(address));
    }
}

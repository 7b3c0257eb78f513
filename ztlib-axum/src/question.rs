//! What the router found, put where the guard looks for it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, NestedPath, OriginalUri, RawPathParams};
use http::Uri;
use http::request::Parts;
use ztlib::RemoteAddr;
use ztlib::enforce::{MatchedRoute, Protocol};

/// The URI as a guarded router inside of another router was given it, before it routes.
#[derive(Debug, Clone)]
pub(crate) struct Arrived(pub(crate) Uri);

/// The template and the parameters exactly as axum's own extractors give them, so that a policy
/// sees what the handler sees.
pub(crate) fn find_route(parts: &mut Parts) -> MatchedRoute {
    leave_address(parts);
    let template = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    let mut matched = match template {
        None => MatchedRoute::none(),
        Some(template) if serves_grpc(template) => return grpc_route(parts),
        Some(template) => MatchedRoute::new(template),
    };
    if let Some(params) = at_once::<RawPathParams>(parts) {
        for (name, value) in &params {
            matched = matched.with_param(name, value);
        }
    }
    match whole_path(parts).filter(|path| *path != parts.uri.path()) {
        Some(path) => matched.with_original_path(path),
        None => matched,
    }
}

/// The same in a router that serves gRPC besides: a call to a service that it does not have is
/// refused as gRPC refuses.
pub(crate) fn find_route_beside_grpc(parts: &mut Parts) -> MatchedRoute {
    let matched = find_route(parts);
    let unknown = parts.extensions.get::<MatchedPath>().is_none() && is_method(parts.uri.path());
    if unknown { matched.served_in(Protocol::Grpc) } else { matched }
}

/// The route of a request to what tonic serves.
pub(crate) fn find_grpc_route(parts: &mut Parts) -> MatchedRoute {
    leave_address(parts);
    if parts.extensions.get::<MatchedPath>().is_some() { grpc_route(parts) } else { MatchedRoute::none() }
}

/// The route of a gRPC call is the path `/package.Service/Method`, whatever the call says of
/// itself. Anything else under the service's name is not a route.
fn grpc_route(parts: &Parts) -> MatchedRoute {
    let path = parts.uri.path();
    let route = if is_method(path) { MatchedRoute::new(path) } else { MatchedRoute::none() };
    route.served_in(Protocol::Grpc)
}

fn is_method(path: &str) -> bool {
    let parted = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    parted.is_some_and(|(service, method)| !service.is_empty() && !method.is_empty() && !method.contains('/'))
}

/// Whether a template is one that tonic makes of a service in a package:
/// `/package.Service/{*rest}`. Only the template decides, never the request, so no caller can
/// choose between two names of one route.
fn serves_grpc(template: &str) -> bool {
    let service = template.strip_prefix('/').and_then(|rest| rest.strip_suffix("/{*rest}"));
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    service.and_then(|service| service.rsplit_once('.')).is_some_and(|(package, name)| {
        package.split('.').all(is_name) && is_name(name) && name.starts_with(|c: char| c.is_ascii_uppercase())
    })
}

/// Where another server than ztlib's accepted the connection, axum's `ConnectInfo` has the address.
fn leave_address(parts: &mut Parts) {
    if parts.extensions.get::<RemoteAddr>().is_none()
        && let Some(ConnectInfo(address)) = parts.extensions.get::<ConnectInfo<SocketAddr>>().copied()
    {
        parts.extensions.insert(RemoteAddr(address));
    }
}

/// The path as the outermost router saw it: inside of a nested router the prefix is gone from the
/// URI. Where what this router was given is not the end of it, somebody has rewritten the path in
/// between, and what is routed on is what policies see.
fn whole_path(parts: &Parts) -> Option<&str> {
    let original = parts.extensions.get::<OriginalUri>().map(|OriginalUri(uri)| uri.path());
    let arrived = parts.extensions.get::<Arrived>().map(|Arrived(uri)| uri.path());
    if arrived.or(original).is_some_and(|routed| routed != parts.uri.path()) {
        tell_of_a_changed_path();
    }
    let (Some(whole), Some(end)) = (original, arrived) else { return original.or(arrived) };
    let nested = parts.extensions.get::<NestedPath>().is_some();
    let is_its_end = match end {
        "/" => whole == end || nested,
        _ => whole.ends_with(end),
    };
    Some(if is_its_end { whole } else { end })
}

/// Told once in a process: the route is found already, so nothing else shows that the layer does
/// nothing there.
fn tell_of_a_changed_path() {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            target: "ztlib::guard",
            "a layer outside of the guard changed the path of a request after the router had found its \
             route: put it where it runs before (`layer_before_routing`)"
        );
    }
}

/// Runs an extractor that never waits.
fn at_once<T: FromRequestParts<()>>(parts: &mut Parts) -> Option<T> {
    let extracting = pin!(T::from_request_parts(parts, &()));
    match extracting.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(extracted) => extracted.ok(),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_of_grpc_is_known_by_its_template_alone() {
        for service in ["/shop.Orders/{*rest}", "/grpc.health.v1.Health/{*rest}", "/a_b.C1/{*rest}"] {
            assert!(serves_grpc(service), "{service}");
        }
        for other in [
            "/files/{*rest}",
            "/Orders/{*rest}",
            "/v1.0/{*rest}",
            "/files.d/{*rest}",
            "/shop.Orders/{*path}",
            "/shop.Orders/{rest}",
            "/shop.Orders",
            "/a/shop.Orders/{*rest}",
            "/shop..Orders/{*rest}",
            "/.Orders/{*rest}",
            "/{*rest}",
            "",
        ] {
            assert!(!serves_grpc(other), "{other}");
        }
    }
}

//! Which method a call names, put where the guard looks for it.

use std::task::{Context, Poll};

use axum::extract::MatchedPath;
use http::Request;
use http::request::Parts;
use tower_layer::Layer;
use tower_service::Service;
use ztlib::enforce::MatchedRoute;

/// Stands between the router and the guard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MatchedRouteLayer;

#[derive(Debug, Clone)]
pub(crate) struct WithMatchedRoute<S>(S);

impl<S> Layer<S> for MatchedRouteLayer {
    type Service = WithMatchedRoute<S>;

    fn layer(&self, inner: S) -> WithMatchedRoute<S> {
        WithMatchedRoute(inner)
    }
}

impl<S, B> Service<Request<B>> for WithMatchedRoute<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        let (mut parts, body) = request.into_parts();
        let matched = matched_route(&parts);
        parts.extensions.insert(matched);
        self.0.call(Request::from_parts(parts, body))
    }
}

/// A gRPC route is the path `/package.Service/Method`. Of an unknown service there is none. Of a known service the method may be
/// unknown too: it is a route that no rule names.
fn matched_route(parts: &Parts) -> MatchedRoute {
    let known_service = parts.extensions.get::<MatchedPath>().is_some();
    let path = parts.uri.path();
    let is_method = path
        .strip_prefix('/')
        .and_then(|path| path.split_once('/'))
        .is_some_and(|(service, method)| !service.is_empty() && !method.is_empty() && !method.contains('/'));
    if known_service && is_method { MatchedRoute::new(path) } else { MatchedRoute::none() }
}

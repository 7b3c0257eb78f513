//! What the router found, put where the guard looks for it.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::extract::{FromRequestParts, MatchedPath, NestedPath, OriginalUri, RawPathParams};
use http::request::Parts;
use http::{Request, Uri};
use tower_layer::Layer;
use tower_service::Service;
use ztlib::enforce::MatchedRoute;

/// The URI as the guarded router was given it, before it routes.
#[derive(Debug, Clone)]
pub(crate) struct Arrived(pub(crate) Uri);

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
        let matched = matched_route(&mut parts);
        parts.extensions.insert(matched);
        self.0.call(Request::from_parts(parts, body))
    }
}

/// The template and the parameters exactly as axum's own extractors give them, so that a policy sees what the handler sees.
fn matched_route(parts: &mut Parts) -> MatchedRoute {
    let template = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let mut matched = template.map_or_else(MatchedRoute::none, MatchedRoute::new);
    if let Some(params) = at_once::<RawPathParams>(parts) {
        for (name, value) in &params {
            matched = matched.with_param(name, value);
        }
    }
    match whole_path(parts) {
        Some(path) => matched.with_original_path(path),
        None => matched,
    }
}

/// The path as the outermost router saw it: inside of a nested router the prefix is gone from the URI. Where what this router was
/// given is not the end of it, somebody has rewritten the path in between, and what is routed on is what policies see.
fn whole_path(parts: &Parts) -> Option<&str> {
    let original = parts.extensions.get::<OriginalUri>().map(|OriginalUri(uri)| uri.path());
    let arrived = parts.extensions.get::<Arrived>().map(|Arrived(uri)| uri.path());
    let (Some(whole), Some(end)) = (original, arrived) else { return original.or(arrived) };
    let nested = parts.extensions.get::<NestedPath>().is_some();
    let is_its_end = match end {
        "/" => whole == end || nested,
        _ => whole.ends_with(end),
    };
    Some(if is_its_end { whole } else { end })
}

/// Runs an extractor that never waits.
fn at_once<T: FromRequestParts<()>>(parts: &mut Parts) -> Option<T> {
    let extracting = pin!(T::from_request_parts(parts, &()));
    match extracting.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(extracted) => extracted.ok(),
        Poll::Pending => None,
    }
}

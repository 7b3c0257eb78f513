//! What the router found, put where the guard looks for it.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::extract::{FromRequestParts, MatchedPath, NestedPath, OriginalUri, RawPathParams};
use http::Uri;
use http::request::Parts;
use ztlib::enforce::MatchedRoute;

/// The URI as a guarded router inside of another router was given it, before it routes.
#[derive(Debug, Clone)]
pub(crate) struct Arrived(pub(crate) Uri);

/// The template and the parameters exactly as axum's own extractors give them, so that a policy sees what the handler sees.
pub(crate) fn find_route(parts: &mut Parts) -> MatchedRoute {
    let template = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    let mut matched = template.map_or_else(MatchedRoute::none, MatchedRoute::new);
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

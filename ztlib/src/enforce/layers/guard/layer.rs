//! The layer: only settings.

use http::request::Parts;
use tower_layer::Layer;

use super::service::Guarded;
use crate::enforce::guard::Guard;
use crate::enforce::matched::MatchedRoute;

/// Guards the service that it wraps: authenticates, authorizes and enforces every request, and
/// leaves an audit event for it.
#[derive(Debug, Clone)]
pub struct GuardLayer {
    guard: Guard,
    find_route: FindRoute,
}

/// Returns what a router found for a request.
pub(super) type FindRoute = fn(&mut Parts) -> MatchedRoute;

impl GuardLayer {
    /// A layer that applies this guard.
    pub fn new(guard: Guard) -> Self {
        let find_route = |parts: &mut Parts| parts.extensions.remove::<MatchedRoute>().unwrap_or_default();
        Self { guard, find_route }
    }

    /// Finds the route with this function instead of a [`MatchedRoute`] in the extensions. For
    /// adapters to routers that record the match in a form of their own.
    #[must_use]
    pub fn find_route(mut self, find_route: fn(&mut Parts) -> MatchedRoute) -> Self {
        self.find_route = find_route;
        self
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded::new(inner, self.guard.clone(), self.find_route)
    }
}

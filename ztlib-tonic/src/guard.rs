//! A gRPC server that is guarded as a whole.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use bytes::Bytes;
use tonic::service::Routes;
use tower_layer::Layer;
use tower_service::Service;
use ztlib::enforce::{Guard, GuardLayer};

use crate::question::find_route;

/// gRPC services of which every method, known or not, is behind the guard.
///
/// It has no method that adds a service: what is not there when it is guarded is not served.
///
/// ```compile_fail
/// # fn f(guarded: ztlib_tonic::GuardedRoutes, service: tonic::service::Routes) {
/// guarded.add_service(service);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct GuardedRoutes(Router);

impl GuardedRoutes {
    /// Guards finished routes (`tonic::service::Routes::new(…).add_service(…)`).
    ///
    /// A policy's `route` is the method's path, `/package.Service/Method`. An unauthenticated call
    /// to an unknown method is UNAUTHENTICATED, not UNIMPLEMENTED: who may not call learns
    /// nothing about what is there.
    pub fn new(guard: Guard, routes: Routes) -> Self {
        Self(routes.prepare().into_axum_router().layer(GuardLayer::new(guard).find_route(find_route)))
    }

    /// Adds a layer outside of the guard: it sees calls that nobody has judged yet, and refusals on
    /// their way out.
    #[must_use]
    pub fn layer_outside<L>(self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Error: Into<Infallible> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        Self(self.0.layer(layer))
    }
}

impl<B> Service<http::Request<B>> for GuardedRoutes
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = axum::routing::future::RouteFuture<Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<http::Request<B>>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let mut request = request.map(Body::new);
        // The template of a router outside is none of this one's: an unknown service has no route.
        request.extensions_mut().remove::<MatchedPath>();
        self.0.call(request)
    }
}

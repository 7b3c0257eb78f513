//! A router that is guarded as a whole.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::Router;
use axum::ServiceExt;
use axum::body::Body;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::extract::{MatchedPath, OriginalUri, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{IntoMakeService, Route};
use bytes::Bytes;
use tower_layer::Layer;
use tower_service::Service;
use ztlib::enforce::{Guard, GuardLayer};

use crate::future::GuardedFuture;
use crate::question::{Arrived, find_grpc_route, find_route, find_route_beside_grpc};

/// A router in which every route, nested or merged router, fallback, 405, HEAD, OPTIONS and upgrade
/// is behind the guard.
///
/// It has no methods that add routes: what is not in the router when it is guarded is not served.
/// [`serve`](crate::serve()) takes nothing else.
///
/// ```compile_fail
/// # fn f(guarded: ztlib_axum::GuardedRouter) {
/// guarded.route("/behind-the-guards-back", axum::routing::get(|| async {}));
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct GuardedRouter(Router);

impl GuardedRouter {
    /// Guards a finished router.
    ///
    /// A policy's `route` is the template that axum matched (`/orders/{id}`), for nested routers
    /// the whole of it. Requests that match no route (the fallback, and what
    /// [`Router::nest_service`] serves) have no route; only a policy that looks at the path can
    /// allow them.
    pub fn new(guard: Guard, router: Router) -> Self {
        Self(router.layer(GuardLayer::new(guard).find_route(find_route)))
    }

    /// Guards a finished router and the gRPC services beside it, for both on one port. `grpc` is
    /// what tonic makes of its routes: `Routes::new(…).add_service(…).into_axum_router()`.
    ///
    /// A policy's `route` of what lies under a service's name is the method's path
    /// (`/shop.Orders/Cancel`), as in `ztlib-tonic`; of everything else it is the template. Which
    /// of the two a path belongs to is decided by what serves it, never by the request's content
    /// type. Refusals speak gRPC to calls of gRPC (a POST over HTTP/2 with a gRPC content type, to
    /// a service or to a path of its form that nothing else serves), and HTTP to all else.
    ///
    /// The fallback is that of `router`; tonic's own is dropped, since a router has one.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// # fn f(guard: ztlib::enforce::Guard, shop_grpc: Router) {
    /// // let shop_grpc = tonic::service::Routes::new(orders).into_axum_router();
    /// let shop = Router::new().route("/orders/{id}", get(async || "an order"));
    /// let guarded = ztlib_axum::GuardedRouter::with_grpc(guard, shop, shop_grpc);
    /// # }
    /// ```
    ///
    /// # Panics
    /// Where both have the same route, as [`Router::merge`] does.
    pub fn with_grpc(guard: Guard, router: Router, grpc: Router) -> Self {
        let http = GuardLayer::new(guard.clone()).find_route(find_route_beside_grpc);
        let calls = GuardLayer::new(guard).find_route(find_grpc_route);
        // Of two routers the second's fallback is kept; both are behind the guard.
        Self(grpc.reset_fallback().layer(calls).merge(router.layer(http)))
    }

    /// Adds a layer outside of the guard: it sees requests that nobody has judged yet, and refusals
    /// on their way out. The place for CORS (a preflight is answered without credentials),
    /// tracing and request ids, and for nothing that answers with data.
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

    /// Adds a layer that runs before the router has looked at the path: the place for one that
    /// changes it, as tower-http's `NormalizePath` does. What is judged is what is routed: policies,
    /// audit events and handlers see the path that the layer made. (A layer of
    /// [`layer_outside`](Self::layer_outside) runs when the route is found already, so a path that
    /// it changes finds no other.)
    ///
    /// It sees requests that nobody has judged yet, as a layer outside does.
    #[must_use]
    pub fn layer_before_routing<L>(self, layer: L) -> Self
    where
        L: Layer<Self>,
        L::Service: Service<Request, Error = Infallible> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        Self(Router::new().fallback_service(layer.layer(self)))
    }

    /// For a server that is not ztlib's: `axum::serve(listener, router.into_make_service())`.
    ///
    /// Such a server speaks no TLS, so no peer is authenticated. A guard with `peers(…)` refuses
    /// every request there (`missing-certificate`); one for it says
    /// [`allow_unauthenticated_peers`](ztlib::enforce::GuardBuilder::allow_unauthenticated_peers).
    /// Policies learn no address of the caller:
    /// [`into_make_service_with_connect_info`](Self::into_make_service_with_connect_info) leaves it.
    pub fn into_make_service(self) -> IntoMakeService<Self> {
        ServiceExt::<Request>::into_make_service(self)
    }

    /// The same, and `ConnectInfo<C>` is in each request. Where `C` is `SocketAddr`, policies and
    /// audit events have the address of the other end of the connection.
    ///
    /// ```no_run
    /// # async fn f(guard: ztlib::enforce::Guard) -> std::io::Result<()> {
    /// use std::net::SocketAddr;
    /// use ztlib_axum::GuardedRouter;
    ///
    /// let shop = GuardedRouter::new(guard, axum::Router::new());
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    /// axum::serve(listener, shop.into_make_service_with_connect_info::<SocketAddr>()).await
    /// # }
    /// ```
    pub fn into_make_service_with_connect_info<C>(self) -> IntoMakeServiceWithConnectInfo<Self, C> {
        ServiceExt::<Request>::into_make_service_with_connect_info(self)
    }
}

impl<B> Service<http::Request<B>> for GuardedRouter
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = GuardedFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<http::Request<B>>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let mut request = request.map(Body::new);
        // Where no router stands outside, axum is about to write down this very URI as the original
        // one.
        if request.extensions().get::<OriginalUri>().is_some() {
            let arrived = Arrived(request.uri().clone());
            request.extensions_mut().insert(arrived);
        }
        // The template of a router outside is none of this one's: a request that matches nothing
        // here has no route.
        request.extensions_mut().remove::<MatchedPath>();
        GuardedFuture::new(self.0.call(request))
    }
}

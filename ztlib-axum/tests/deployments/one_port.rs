//! HTTP and gRPC on one port.

use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::map_request;
use axum::routing::get;
use http::{Method, Version};
use tonic::Status;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::server::TcpConnectInfo;
use ztlib::enforce::Guard;
use ztlib::tls::{Server, ServerIdentity};
use ztlib_axum::GuardedRouter;

use crate::{House, VERSIONS, empty, listener, says, told};

// page: from here
async fn serve(
    guard: Guard,
    identity: &ServerIdentity,
    listener: TcpListener,
    grpc: Routes, // tonic::service::Routes::new(…).add_service(…)
) -> Result<(), Box<dyn Error>> {
    let acceptor = guard.acceptor(identity).build()?; // both versions of HTTP: not `http2_only()`
    let http = Router::new().route("/orders/{id}", get(async || "an order"));
    let shop = GuardedRouter::with_grpc(guard, http, grpc.into_axum_router());
    let shop = shop.layer_outside(map_request(tell_tonic));
    ztlib_axum::serve(Server::from_listener(listener, acceptor)?, shop, pending()).await;
    Ok(())
}

/// Where `remote_addr()` of a `tonic::Request` looks for the address.
async fn tell_tonic(ConnectInfo(from): ConnectInfo<SocketAddr>, mut request: Request) -> Request {
    request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr: Some(from) });
    request
}
// page: to here

/// Ends each call with a status that says where it came from.
#[derive(Clone)]
struct Orders;

impl NamedService for Orders {
    const NAME: &'static str = "shop.Orders";
}

impl tower::Service<http::Request<tonic::body::Body>> for Orders {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let from = tonic::Request::from_http(request).remote_addr().map(|address| address.ip().to_string());
        Box::pin(async move { Ok(Status::aborted(from.unwrap_or_default()).into_http()) })
    }
}

#[tokio::test]
async fn on_one_port_each_protocol_is_routed_and_refused_in_its_own_way() {
    let house = House::new();
    let guard = Guard::builder().peers(house.trust()).tokens(house.tokens()).policies(house.policies());
    let (listener, address) = listener();
    let (guard, identity) = (guard.build(), house.identity());
    tokio::spawn(async move { serve(guard, &identity, listener, Routes::new(Orders)).await.is_ok() });
    let frontend = house.client(Some(&house.frontend()));
    for version in VERSIONS {
        let ask = async |subject| {
            told(&frontend.send(address, empty(house.get(version, "/orders/7", subject))).await.unwrap())
        };
        assert_eq!(ask(Some("alice")).await, says(200, "an order"), "{version:?}");
        assert_eq!(ask(Some("bob")).await, says(403, "no-role"));
    }
    house.seen();
    let call = async |path: &str, subject| {
        let mut request = empty(house.get(Version::HTTP_2, path, subject));
        *request.method_mut() = Method::POST;
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        let answer = frontend.send(address, request).await.unwrap();
        let said = |name| {
            answer.headers().get(name).map(|value: &http::HeaderValue| value.to_str().unwrap().to_owned())
        };
        (answer.status().as_u16(), said("grpc-status"), said("grpc-message"))
    };
    // The method ran: ABORTED, with the address that it saw.
    assert_eq!(
        call("/shop.Orders/List", Some("alice")).await,
        (200, Some("10".to_owned()), Some("127.0.0.1".to_owned()))
    );
    assert_eq!(house.seen()[0].route.as_deref(), Some("/shop.Orders/List"));
    // PERMISSION_DENIED and UNAUTHENTICATED.
    for (subject, status) in [(Some("bob"), "7"), (None, "16")] {
        let (http, grpc, _) = call("/shop.Orders/List", subject).await;
        assert_eq!((http, grpc.as_deref()), (200, Some(status)));
    }
}

//! HTTP and gRPC on one port: over real sockets, with tonic's client and an HTTP client.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test"
)]
#![allow(clippy::result_large_err, reason = "tonic::Status is the error of every tonic method")]

#[path = "../../ztlib/tests/support/mod.rs"]
mod support;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::routing::{get, post};
use bytes::{Buf as _, BufMut as _, Bytes};
use http::{Method, Version};
use http_body_util::Full;
use tonic::client::Grpc as ClientGrpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::server::{Grpc, NamedService};
use tonic::service::Routes;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Response, Status};
use tower::{Service, service_fn};
use ztlib::authorize::{Answer, Read};
use ztlib::tls::{Acceptor, Server};
use ztlib_axum::GuardedRouter;
use ztlib_testing::HttpsClient;

use support::{FRONTEND, World, deciding, text};

#[derive(Debug, Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length)))
    }
}

/// What generated code would be: `List` and `Purge` answer with what they are sent.
#[derive(Clone, Default)]
struct Orders;

impl NamedService for Orders {
    const NAME: &'static str = "shop.Orders";
}

impl Service<http::Request<tonic::body::Body>> for Orders {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move {
            let echo = async |request: Request<Bytes>| Ok::<_, Status>(Response::new(request.into_inner()));
            Ok(match request.uri().path() {
                "/shop.Orders/List" | "/shop.Orders/Purge" => {
                    Grpc::new(Raw).unary(service_fn(echo), request).await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

struct Stand {
    world: World,
    address: SocketAddr,
    channel: Channel,
    https: HttpsClient,
}

/// How a service comes to have both.
type Merge = fn(ztlib::enforce::Guard, Router, Routes) -> GuardedRouter;

impl Stand {
    /// Rules by route: some methods and routes are everybody's.
    async fn start(merge: Merge) -> Self {
        let world = World::new();
        let guard = world.guard(deciding(|question, outcome| {
            let route = text(question, Read::Route)?;
            outcome.log(route.as_deref().unwrap_or("no route"))?;
            let open = ["/shop.Orders/List", "/shop.Orders/Unknown", "/orders/{id}", "/upload"];
            if route.is_some_and(|route| open.contains(&route.as_str())) {
                return Ok(Answer::Allow);
            }
            outcome.reason("no-role")?;
            Ok(Answer::Deny)
        }));
        let http = Router::new()
            .route("/orders/{id}", get(async || "an order"))
            .route("/upload", post(async || "uploaded"))
            .route("/closed", post(async || "closed").get(async || "closed"))
            .route("/files/{*rest}", get(async || "a file"));
        let guarded = merge(guard.build(), http, Routes::new(Orders));
        let server = world.mesh.leaf().dns("localhost").for_servers().issue();
        let acceptor =
            Acceptor::builder().identity(server.chain(), server.key()).unwrap().peers(&world.trust);
        let acceptor = acceptor.clock(world.clock.clone()).build().unwrap();
        let server = Server::bind("127.0.0.1:0", acceptor).await.unwrap();
        let address = server.local_addr().unwrap();
        tokio::spawn(ztlib_axum::serve(server, guarded, std::future::pending()));
        let frontend = world.mesh.issue_spiffe(FRONTEND);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(world.mesh.certificate_pem()))
            .identity(Identity::from_pem(frontend.chain_pem(), frontend.key_pem()))
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(format!("https://localhost:{}", address.port())).unwrap();
        let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
        let https =
            HttpsClient::new(world.mesh.certificate(), Some((frontend.chain(), frontend.key()))).unwrap();
        Self { world, address, channel, https }
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.world.token().sign())
    }

    async fn call(&self, path: &'static str) -> Result<Bytes, Status> {
        let mut client = ClientGrpc::new(self.channel.clone());
        client.ready().await.unwrap();
        let mut request = Request::new(Bytes::from_static(b"hello"));
        let bearer = MetadataValue::try_from(self.bearer()).unwrap();
        request.metadata_mut().insert("authorization", bearer);
        let path = http::uri::PathAndQuery::from_static(path);
        client.unary(request, path, Raw).await.map(Response::into_inner)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        version: Version,
        content_type: &str,
        bearer: bool,
    ) -> http::Response<Bytes> {
        let request =
            http::Request::builder().method(method).uri(format!("https://localhost{path}")).version(version);
        let body = Full::new(Bytes::from_static(&[0, 0, 0, 0, 0]));
        let mut request = request.header("content-type", content_type).body(body).unwrap();
        if bearer {
            request.headers_mut().insert("authorization", self.bearer().parse().unwrap());
        }
        if version == Version::HTTP_11 {
            *request.uri_mut() = path.parse().unwrap();
            request.headers_mut().insert("host", "localhost".parse().unwrap());
        }
        self.https.send(self.address, request).await.unwrap()
    }

    fn route_and_reason(&self) -> (Option<String>, Option<String>) {
        let event = self.world.events.one();
        (event.route().map(|route| route.to_string()), event.reason().map(|reason| reason.to_string()))
    }
}

fn by_the_verb(guard: ztlib::enforce::Guard, http: Router, grpc: Routes) -> GuardedRouter {
    // Both with a fallback of their own: a plain merge would panic.
    let http = http.fallback(async || (http::StatusCode::NOT_FOUND, "nothing here"));
    GuardedRouter::with_grpc(guard, http, grpc.into_axum_router())
}

fn merged_by_hand(guard: ztlib::enforce::Guard, http: Router, grpc: Routes) -> GuardedRouter {
    GuardedRouter::new(guard, http.merge(grpc.into_axum_router()))
}

const GRPC: &str = "application/grpc";

#[tokio::test]
async fn on_one_port_rules_by_method_hold_for_grpc_and_rules_by_route_for_http() {
    for merge in [by_the_verb as Merge, merged_by_hand] {
        let stand = Stand::start(merge).await;
        let own = |text: &str| Some(text.to_owned());
        assert_eq!(stand.call("/shop.Orders/List").await.unwrap(), "hello");
        assert_eq!(stand.route_and_reason(), (own("/shop.Orders/List"), None));
        // What one method may, another may not.
        let status = stand.call("/shop.Orders/Purge").await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert_eq!(stand.route_and_reason(), (own("/shop.Orders/Purge"), own("no-role")));
        // An unknown method of a known service is a route that a rule may name.
        assert_eq!(stand.call("/shop.Orders/Unknown").await.unwrap_err().code(), Code::Unimplemented);
        assert_eq!(stand.route_and_reason().0, own("/shop.Orders/Unknown"));

        for version in [Version::HTTP_11, Version::HTTP_2] {
            let response = stand.send(Method::GET, "/orders/7", version, "", true).await;
            assert_eq!((response.status().as_u16(), &response.body()[..]), (200, &b"an order"[..]));
            assert_eq!(stand.route_and_reason(), (own("/orders/{id}"), None));
            let response = stand.send(Method::GET, "/closed", version, "", true).await;
            assert_eq!(response.status().as_u16(), 403);
            assert_eq!(stand.route_and_reason(), (own("/closed"), own("no-role")));
        }
        // A route is the same whatever the request says that it is.
        for (method, version, content_type) in [
            (Method::GET, Version::HTTP_11, "text/plain"),
            (Method::DELETE, Version::HTTP_2, GRPC),
            (Method::POST, Version::HTTP_2, "application/json"),
        ] {
            let response = stand.send(method, "/shop.Orders/Purge", version, content_type, true).await;
            assert_eq!((response.status().as_u16(), response.headers().get("grpc-status")), (403, None));
            assert_eq!(stand.route_and_reason(), (own("/shop.Orders/Purge"), own("no-role")));
        }
        stand.send(Method::GET, "/files/a/b", Version::HTTP_2, GRPC, true).await;
        assert_eq!(stand.route_and_reason().0, own("/files/{*rest}"));
        // What is not a method under the name of a service is not a route.
        for path in ["/shop.Orders/List/more", "/shop.Orders"] {
            stand.send(Method::POST, path, Version::HTTP_2, GRPC, true).await;
            assert_eq!(stand.route_and_reason(), (None, own("no-route")), "{path}");
        }
    }
}

#[tokio::test]
async fn on_one_port_only_calls_of_grpc_are_refused_in_its_words() {
    let stand = Stand::start(by_the_verb).await;
    let refused = async |method: Method, path: &str, version, content_type: &str, bearer: bool| {
        let response = stand.send(method, path, version, content_type, bearer).await;
        stand.world.events.one();
        let grpc = response.headers().get("grpc-status").map(|code| code.to_str().unwrap().to_owned());
        (response.status().as_u16(), grpc)
    };
    let (h1, h2) = (Version::HTTP_11, Version::HTTP_2);
    let own = |code: &str| Some(code.to_owned());
    for (what, expected) in [
        (refused(Method::POST, "/shop.Orders/Purge", h2, GRPC, true).await, (200, own("7"))),
        (refused(Method::POST, "/shop.Orders/Purge", h2, GRPC, false).await, (200, own("16"))),
        // An unknown service, in gRPC's form too.
        (refused(Method::POST, "/shop.Nothing/List", h2, GRPC, true).await, (200, own("7"))),
        (refused(Method::POST, "/shop.Nothing/List", h2, GRPC, false).await, (200, own("16"))),
        // What cannot be a call, and routes of HTTP, whatever they claim to be.
        (refused(Method::POST, "/shop.Orders/Purge", h1, GRPC, true).await, (403, None)),
        (refused(Method::DELETE, "/shop.Orders/Purge", h2, GRPC, true).await, (403, None)),
        (refused(Method::HEAD, "/shop.Orders/Purge", h2, GRPC, true).await, (403, None)),
        (refused(Method::POST, "/shop.Orders/Purge", h2, "application/grpc-web", true).await, (403, None)),
        (refused(Method::POST, "/closed", h2, GRPC, true).await, (403, None)),
        (refused(Method::POST, "/closed", h2, GRPC, false).await, (401, None)),
        (refused(Method::DELETE, "/closed", h1, GRPC, true).await, (403, None)),
        (refused(Method::POST, "/nothing", h2, GRPC, true).await, (403, None)),
        (refused(Method::DELETE, "/shop.Nothing/List", h1, GRPC, true).await, (403, None)),
    ] {
        assert_eq!(what, expected);
    }
}

/// E11: a router that serves no gRPC never answers a refusal with 200.
#[tokio::test]
async fn a_router_without_grpc_refuses_nobody_with_a_200() {
    let stand = Stand::start(|guard, http, _| GuardedRouter::new(guard, http)).await;
    for method in [Method::POST, Method::DELETE, Method::GET, Method::HEAD, Method::PUT] {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            for path in ["/closed", "/shop.Orders/Purge", "/files/x", "/upload//"] {
                for bearer in [true, false] {
                    let response = stand.send(method.clone(), path, version, GRPC, bearer).await;
                    let status = response.status().as_u16();
                    assert!([400, 401, 403].contains(&status), "{method} {path} {version:?}: {status}");
                    assert_eq!(response.headers().get("grpc-status"), None);
                    stand.world.events.one();
                }
            }
        }
    }
}

//! Behind a mesh's proxy, with tonic's own server: what `docs/deployments.md` shows.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
#![allow(clippy::result_large_err, reason = "tonic::Status is the error of every tonic method")]

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::net::TcpListener;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Status};
use tower::{Service, ServiceExt as _};
use ztlib::authenticate::token::{Algorithm, Issuer, KeySet, TokenVerifier};
use ztlib::authorize::{Answer, Fault, NativePolicy, Outcome, Read, Reader, Value};
use ztlib::enforce::Guard;
use ztlib::policies::{PolicySetBuilder, PolicyStore};
use ztlib_testing::TokenIssuer;
use ztlib_tonic::GuardedRoutes;

// page: from here
async fn serve(
    tokens: TokenVerifier,
    policies: PolicyStore,
    services: Routes,
    listener: TcpListener,
) -> Result<(), tonic::transport::Error> {
    let guard = Guard::builder().allow_unauthenticated_peers().tokens(tokens).policies(policies).build();
    let guarded = axum::Router::new().fallback_service(GuardedRoutes::new(guard, services));
    Server::builder().add_routes(guarded.into()).serve_with_incoming(TcpIncoming::from(listener)).await
}
// page: to here

/// Ends each call with a status that says where it came from.
#[derive(Clone)]
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
        let from = tonic::Request::from_http(request).remote_addr().map(|address| address.ip().to_string());
        Box::pin(async move { Ok(Status::aborted(from.unwrap_or_default()).into_http()) })
    }
}

/// Lets alice call what has a route, and keeps the addresses that it saw.
#[derive(Clone, Default)]
struct Alice(Arc<Mutex<Vec<Value>>>);

impl NativePolicy for Alice {
    fn decide(&self, question: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
        self.0.lock().unwrap().push(question.read(Read::RemoteIp)?);
        let alice = question.read(Read::Subject)? == Value::Text("alice".into());
        let known = question.read(Read::Route)? != Value::Absent;
        Ok(if alice && known { Answer::Allow } else { Answer::Deny })
    }
}

#[tokio::test]
async fn behind_a_mesh_tonics_own_server_serves_guarded_routes() {
    let id = TokenIssuer::new("https://id.example");
    let issuer = Issuer::new(id.name()).audience("shop").algorithms([Algorithm::ES256]);
    let issuer = issuer.keys(KeySet::from_jwks(&id.jwks()).unwrap());
    let tokens = TokenVerifier::builder().issuer(issuer).build().unwrap();
    let alice = Alice::default();
    let policies = PolicySetBuilder::new().native("alice", alice.clone()).load().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(tokens, policies, Routes::new(Orders), listener));
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();

    let call = async |path: &'static str, subject: Option<&str>| {
        let mut request = http::Request::post(path).header("content-type", "application/grpc");
        if let Some(subject) = subject {
            let token = id.token().subject(subject).audience("shop").sign();
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer =
            channel.clone().oneshot(request.body(tonic::body::Body::empty()).unwrap()).await.unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        (status.code(), status.message().to_owned())
    };
    // The method ran, and saw the address; so did the policy.
    assert_eq!(call("/shop.Orders/List", Some("alice")).await, (Code::Aborted, "127.0.0.1".to_owned()));
    assert_eq!(*alice.0.lock().unwrap(), [Value::Text("127.0.0.1".into())]);
    assert_eq!(call("/shop.Orders/List", Some("bob")).await.0, Code::PermissionDenied);
    assert_eq!(call("/shop.Orders/List", None).await.0, Code::Unauthenticated);
    // What is not there is refused as it is everywhere.
    assert_eq!(call("/shop.Nothing/List", Some("alice")).await.0, Code::PermissionDenied);
    assert_eq!(call("/shop.Nothing/List", None).await.0, Code::Unauthenticated);
}

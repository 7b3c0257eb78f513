//! A kubelet's probes: on a port of their own, and on the guarded port.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::routing::get;
use http::{Method, Version};
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::{HealthReporter, health_reporter};
use ztlib::authenticate::peer::{PeerAuthenticator, Trust};
use ztlib::authenticate::token::TokenVerifier;
use ztlib::enforce::Guard;
use ztlib::policies::PolicyStore;
use ztlib::tls::Server;
use ztlib_axum::GuardedRouter;

use crate::{House, VERSIONS, empty, listener, plain, says, told};

// page: from here
/// `httpGet` on a port of its own: exactly these paths, without TLS.
fn http_probes(server: Server, probes: TcpListener, ready: Arc<AtomicBool>) -> io::Result<Server> {
    server.allow_plaintext_probes(probes, ["/livez", "/readyz"], move |path| {
        path == "/livez" || ready.load(Ordering::Relaxed)
    })
}

/// `grpc` on a port of its own: a kubelet speaks no TLS there. Nothing else is served on it.
async fn grpc_probes(listener: TcpListener) -> io::Result<HealthReporter> {
    let (reporter, health) = health_reporter();
    listener.set_nonblocking(true)?;
    let listener = TcpIncoming::from(tokio::net::TcpListener::from_std(listener)?);
    let serving = tonic::transport::Server::builder().add_service(health).serve_with_incoming(listener);
    tokio::spawn(serving);
    Ok(reporter) // `reporter.set_not_serving::<…>()` as the service begins to stop
}

/// `httpGet` with `scheme: HTTPS` on the guarded port: a kubelet has no certificate and no token.
fn probed_guard(trust: Trust, tokens: TokenVerifier, policies: PolicyStore) -> Guard {
    let peers = PeerAuthenticator::new(trust).allow_unauthenticated(); // so policies ask for the peer
    let guard = Guard::builder().peers(peers).tokens(tokens).policies(policies);
    guard.allow_public_route("/livez").allow_public_route("/grpc.health.v1.Health/Check").build()
}
// page: to here

fn shop() -> Router {
    Router::new().route("/livez", get(async || "ok")).route("/orders/{id}", get(async || "an order"))
}

#[tokio::test]
async fn probes_on_a_port_of_their_own_are_answered_while_the_guarded_port_asks_for_a_certificate() {
    let house = House::new();
    let guard = Guard::builder().peers(house.trust()).tokens(house.tokens()).policies(house.policies());
    let guard = guard.build();
    let acceptor = guard.acceptor(&house.identity()).build().unwrap();
    let (guarded, address) = listener();
    let (probes, probed) = listener();
    let ready = Arc::new(AtomicBool::new(false));
    let server = Server::from_listener(guarded, acceptor).unwrap();
    let server = http_probes(server, probes, ready.clone()).unwrap();
    tokio::spawn(ztlib_axum::serve(server, GuardedRouter::new(guard, shop()), std::future::pending()));

    let probe = async |path| plain(probed, empty(house.get(Version::HTTP_11, path, None))).await.status();
    assert_eq!((probe("/livez").await.as_u16(), probe("/readyz").await.as_u16()), (200, 503));
    ready.store(true, Ordering::Relaxed);
    assert_eq!(probe("/readyz").await.as_u16(), 200);
    // The service is not there, with or without a token.
    let request = empty(house.get(Version::HTTP_11, "/orders/7", Some("alice")));
    assert_eq!(plain(probed, request).await.status().as_u16(), 404);
    // And on the guarded port a probe without a certificate gets no connection.
    let request = empty(house.get(Version::HTTP_11, "/livez", None));
    assert!(house.client(None).send(address, request).await.is_err());
}

async fn health(channel: Channel) -> Result<i32, tonic::Status> {
    let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    answer.map(|answer| answer.into_inner().status)
}

#[tokio::test]
async fn grpc_probes_on_a_port_of_their_own_are_answered_without_tls() {
    let (probes, probed) = listener();
    let reporter = grpc_probes(probes).await.unwrap();
    let channel = Endpoint::from_shared(format!("http://{probed}")).unwrap().connect().await.unwrap();
    assert_eq!(health(channel.clone()).await.unwrap(), ServingStatus::Serving as i32);
    reporter.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    assert_eq!(health(channel).await.unwrap(), ServingStatus::NotServing as i32);
}

#[tokio::test]
async fn probes_on_the_guarded_port_need_no_certificate_and_open_nothing_else() {
    let house = House::new();
    let guard = probed_guard(house.trust(), house.tokens(), house.policies_for_peers());
    let acceptor = guard.acceptor(&house.identity()).build().unwrap();
    let (guarded, address) = listener();
    let (_reporter, health) = health_reporter();
    let shop = GuardedRouter::with_grpc(guard, shop(), Routes::new(health).into_axum_router());
    let server = Server::from_listener(guarded, acceptor).unwrap();
    tokio::spawn(ztlib_axum::serve(server, shop, std::future::pending()));

    let (kubelet, frontend) = (house.client(None), house.client(Some(&house.frontend())));
    for version in VERSIONS {
        let ask = async |path, subject| {
            told(&kubelet.send(address, empty(house.get(version, path, subject))).await.unwrap())
        };
        assert_eq!(ask("/livez", None).await, says(200, "ok"), "{version:?}");
        // Without a certificate a token does not help: the policies ask for the peer.
        assert_eq!(ask("/orders/7", Some("alice")).await, says(403, "not-yours"));
        assert_eq!(ask("/orders/7", None).await, says(401, "unauthenticated"));
        for path in ["/livez/", "/readyz"] {
            assert_eq!(ask(path, None).await, says(401, "unauthenticated"), "{path}");
        }
        let order = empty(house.get(version, "/orders/7", Some("alice")));
        assert_eq!(told(&frontend.send(address, order).await.unwrap()), says(200, "an order"));
    }
    // gRPC over TLS, as `grpc_health_probe` sends it: one message of no bytes.
    let call = async |method: &str| {
        let mut call = house.get(Version::HTTP_2, &format!("/grpc.health.v1.Health/{method}"), None);
        call = call.method(Method::POST).header("content-type", "application/grpc");
        let call = call.body(http_body_util::Full::from(&[0_u8; 5][..])).unwrap();
        let answer = kubelet.send(address, call).await.unwrap();
        answer.headers().get("grpc-status").map(|status| status.to_str().unwrap().to_owned())
    };
    assert_eq!(call("Check").await, None, "it answers with a message");
    assert_eq!(call("Watch").await.as_deref(), Some("16"));
}

//! With axum-server: by ztlib's acceptor, or by axum-server's own with what it saw handed over.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request};
use axum::middleware::{AddExtension, map_request};
use axum::routing::get;
use axum::{Extension, Router};
use axum_server::accept::Accept;
use axum_server::tls::TlsService;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use http::Version;
use rustls::RootCertStore;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio::net::TcpStream;
use tower::Layer as _;
use ztlib::authenticate::peer::{PeerAuthenticator, PeerCertificates};
use ztlib::enforce::{Guard, GuardBuilder, Ready};
use ztlib::tls::{Acceptor, Connection, TlsStream};
use ztlib_axum::{GuardedRouter, PeerIdentity};
use ztlib_testing::Events;

use crate::{Caller, House, VERSIONS, empty, listener, says, told};

// page: from here
/// axum-server's connections, by ztlib's handshake.
#[derive(Clone)]
struct Mtls(Acceptor);

type Accepted<T, S> = Pin<Box<dyn Future<Output = io::Result<(T, S)>> + Send>>;

impl<S: Send + 'static> Accept<TcpStream, S> for Mtls {
    type Stream = TlsStream<TcpStream>;
    type Service = AddExtension<S, Connection>;
    type Future = Accepted<Self::Stream, Self::Service>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let acceptor = self.0.clone();
        Box::pin(async move {
            let remote = stream.peer_addr()?;
            let (stream, connection) = acceptor.accept(stream, remote).await.map_err(io::Error::other)?;
            Ok((stream, Extension(connection).layer(service)))
        })
    }
}

async fn serve(listener: TcpListener, acceptor: Acceptor, shop: GuardedRouter) -> io::Result<()> {
    let shop = shop.layer_outside(map_request(of_connection));
    let server = axum_server::from_tcp(listener)?.acceptor(Mtls(acceptor));
    server.serve(shop.into_make_service_with_connect_info::<SocketAddr>()).await
}

/// What the handshake showed, in each request.
async fn of_connection(Extension(connection): Extension<Connection>, mut request: Request) -> Request {
    connection.extend(request.extensions_mut());
    request
}
// page: to here

// page: from here
/// axum-server's own handshake; what it saw is handed over, once a connection.
#[derive(Clone)]
struct HandsOver(RustlsAcceptor);

impl<S: Send + 'static> Accept<TcpStream, S> for HandsOver {
    type Stream = tokio_rustls::server::TlsStream<TcpStream>;
    type Service = AddExtension<TlsService<S>, PeerCertificates>;
    type Future = Accepted<Self::Stream, Self::Service>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let accepted = self.0.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = accepted.await?;
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
            Ok((stream, Extension(PeerCertificates::foreign(chain)).layer(service)))
        })
    }
}

async fn serve_with_its_own(
    listener: TcpListener,
    mut config: rustls::ServerConfig, // with a client verifier that requires a certificate
    peers: PeerAuthenticator,
    guard: impl FnOnce(PeerAuthenticator) -> GuardBuilder<Ready>,
) -> io::Result<()> {
    // rustls does not ask its verifier about a resumed session: none is resumed.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let guard = guard(peers.trust_foreign_acceptor()).build();
    let shop = GuardedRouter::new(guard, Router::new().route("/orders/{id}", get(order)));
    let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(Arc::new(config)));
    let server = axum_server::from_tcp(listener)?.acceptor(HandsOver(acceptor));
    server.serve(shop.into_make_service_with_connect_info::<SocketAddr>()).await
}
// page: to here

async fn order(peer: PeerIdentity, ConnectInfo(from): ConnectInfo<SocketAddr>) -> String {
    format!("an order for {} at {}", *peer, from.ip())
}

/// What holds of both.
async fn check(house: &House, address: SocketAddr) {
    let frontend = house.client(Some(&house.frontend()));
    for version in VERSIONS {
        let ask = async |subject| {
            let request = empty(house.get(version, "/orders/7", subject));
            told(&frontend.send(address, request).await.unwrap())
        };
        let good = says(200, "an order for spiffe://shop.example/frontend at 127.0.0.1");
        assert_eq!(ask(Some("alice")).await, good, "{version:?}");
        let seen = Caller {
            peer: Some("spiffe://shop.example/frontend".to_owned()),
            address: Some("127.0.0.1".to_owned()),
            ..Caller::alice()
        };
        assert_eq!(house.seen(), [seen]);
        assert_eq!(ask(Some("bob")).await, says(403, "no-role"));
        assert_eq!(ask(None).await, says(401, "unauthenticated"));
        house.seen();
    }
    // No certificate, and one of another authority: no HTTP is spoken.
    let stranger = ztlib_testing::Authority::new("another").issue_spiffe("spiffe://shop.example/frontend");
    for peer in [None, Some(&stranger)] {
        let request = empty(house.get(Version::HTTP_11, "/orders/7", Some("alice")));
        assert!(house.client(peer).send(address, request).await.is_err());
    }
    assert_eq!(house.seen(), []);
}

#[tokio::test]
async fn axum_server_accepts_by_ztlibs_handshake() {
    let house = House::new();
    let guard = Guard::builder().peers(house.trust()).tokens(house.tokens()).policies(house.policies());
    let guard = guard.build();
    let acceptor = guard.acceptor(&house.identity()).build().unwrap();
    let shop = GuardedRouter::new(guard, Router::new().route("/orders/{id}", get(order)));
    let (listener, address) = listener();
    tokio::spawn(serve(listener, acceptor, shop));
    check(&house, address).await;
}

#[tokio::test]
async fn axum_servers_own_certificates_are_handed_over_and_judged_again() {
    let house = House::new();
    let events = Events::new();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(house.authority.certificate()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let server = house.server();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.unwrap())
        .with_single_cert(server.chain(), server.key())
        .unwrap();
    let (listener, address) = listener();
    let (tokens, policies, audit) = (house.tokens(), house.policies(), events.clone());
    let guard = move |peers| Guard::builder().peers(peers).tokens(tokens).policies(policies).audit(audit);
    let peers = PeerAuthenticator::new(house.trust());
    tokio::spawn(serve_with_its_own(listener, config, peers, guard));
    check(&house, address).await;
    events.take();

    // rustls is content with any certificate of the root; to ztlib it vouches for SPIFFE IDs alone.
    let nameless = house.authority.leaf().dns("frontend.shop.example").issue();
    let request = empty(house.get(Version::HTTP_11, "/orders/7", Some("alice")));
    let answer = house.client(Some(&nameless)).send(address, request).await.unwrap();
    assert_eq!(told(&answer), says(401, "unauthenticated"));
    assert_eq!(events.take()[0].reason(), Some("no-authorities"));
    assert_eq!(house.seen(), []);
}

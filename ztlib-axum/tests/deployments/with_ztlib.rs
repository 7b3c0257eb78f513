//! On its own, with ztlib's server.

use std::error::Error;
use std::net::{SocketAddr, TcpListener};

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use tokio::sync::oneshot;
use ztlib::enforce::Guard;
use ztlib::tls::{Server, ServerIdentity};
use ztlib_axum::{GuardedRouter, PeerIdentity};

use crate::{Caller, House, VERSIONS, empty, listener, says, told};

// page: from here
async fn serve(
    guard: Guard,
    identity: &ServerIdentity,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<(), Box<dyn Error>> {
    let acceptor = guard.acceptor(identity).build()?;
    let shop = GuardedRouter::new(guard, Router::new().route("/orders/{id}", get(order)));
    ztlib_axum::serve(Server::from_listener(listener, acceptor)?, shop, stop).await;
    Ok(())
}

async fn order(peer: PeerIdentity, ConnectInfo(from): ConnectInfo<SocketAddr>) -> String {
    format!("an order for {} at {}", *peer, from.ip())
}
// page: to here

#[tokio::test]
async fn on_its_own_peers_tokens_and_addresses_are_there_in_both_protocols() {
    let house = House::new();
    let guard = Guard::builder().peers(house.trust()).tokens(house.tokens()).policies(house.policies());
    let (listener, address) = listener();
    let (stop, stopped) = oneshot::channel::<()>();
    let identity = house.identity();
    let serving = tokio::spawn(async move {
        let stopped = async { stopped.await.unwrap_or_default() };
        serve(guard.build(), &identity, listener, stopped).await.map_err(|error| error.to_string())
    });
    let frontend = house.client(Some(&house.frontend()));
    for version in VERSIONS {
        let ask = async |path: &str, subject| {
            told(&frontend.send(address, empty(house.get(version, path, subject))).await.unwrap())
        };
        let good = says(200, "an order for spiffe://shop.example/frontend at 127.0.0.1");
        assert_eq!(ask("/orders/7", Some("alice")).await, good, "{version:?}");
        let seen = Caller {
            peer: Some("spiffe://shop.example/frontend".to_owned()),
            address: Some("127.0.0.1".to_owned()),
            ..Caller::alice()
        };
        assert_eq!(house.seen(), [seen]);
        assert_eq!(ask("/orders/7", Some("bob")).await, says(403, "no-role"));
        assert_eq!(ask("/orders/7", None).await, says(401, "unauthenticated"));
        house.seen();
        // Without a certificate, no HTTP.
        let request = empty(house.get(version, "/orders/7", Some("alice")));
        assert!(house.client(None).send(address, request).await.is_err());
        assert_eq!(house.seen(), []);
    }
    stop.send(()).unwrap();
    assert_eq!(serving.await.unwrap(), Ok(()));
}

//! Behind a mesh's proxy on the same machine, which does mTLS: plain HTTP comes in.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use tokio::net::TcpListener;
use ztlib::authenticate::token::TokenVerifier;
use ztlib::enforce::Guard;
use ztlib::policies::PolicyStore;
use ztlib_axum::GuardedRouter;

use crate::{Caller, House, VERSIONS, empty, plain, says, tokio_listener, told};

// page: from here
async fn serve(tokens: TokenVerifier, policies: PolicyStore, listener: TcpListener) -> std::io::Result<()> {
    let guard = Guard::builder().allow_unauthenticated_peers().tokens(tokens).policies(policies).build();
    let shop = GuardedRouter::new(guard, Router::new().route("/orders/{id}", get(order)));
    axum::serve(listener, shop.into_make_service_with_connect_info::<SocketAddr>()).await
}

async fn order(ConnectInfo(from): ConnectInfo<SocketAddr>) -> String {
    format!("an order, through {}", from.ip())
}
// page: to here

#[tokio::test]
async fn behind_a_mesh_the_token_says_who_calls_and_the_address_is_the_proxys() {
    let house = House::new();
    let (listener, address) = tokio_listener();
    tokio::spawn(serve(house.tokens(), house.policies(), listener));
    for version in VERSIONS {
        let ask =
            async |subject| told(&plain(address, empty(house.get(version, "/orders/7", subject))).await);
        assert_eq!(ask(Some("alice")).await, says(200, "an order, through 127.0.0.1"), "{version:?}");
        assert_eq!(house.seen(), [Caller { address: Some("127.0.0.1".to_owned()), ..Caller::alice() }]);
        assert_eq!(ask(Some("bob")).await, says(403, "no-role"));
        assert_eq!(ask(None).await, says(401, "unauthenticated"));
        house.seen();
    }
}

/// A guard that requires peers is not loosened by the server that it is put into.
#[tokio::test]
async fn a_guard_that_requires_peers_refuses_everything_that_came_without_tls() {
    let house = House::new();
    let events = ztlib_testing::Events::new();
    let guard = Guard::builder().peers(house.trust()).tokens(house.tokens()).policies(house.policies());
    let shop = Router::new().route("/orders/{id}", get(async || "an order"));
    let shop = GuardedRouter::new(guard.audit(events.clone()).build(), shop);
    let (listener, address) = tokio_listener();
    tokio::spawn(async { axum::serve(listener, shop.into_make_service()).await });
    let answer = plain(address, empty(house.get(VERSIONS[0], "/orders/7", Some("alice")))).await;
    assert_eq!(told(&answer), says(401, "unauthenticated"));
    assert_eq!(events.take()[0].reason(), Some("missing-certificate"));
}

//! Behind a load balancer that ends TLS: the peer is nobody, whatever headers say.

use http::Version;

use crate::{Caller, House, VERSIONS, empty, plain, says, tokio_listener, told};

#[path = "../../examples/deployments/behind_a_balancer.rs"]
mod lines;

use lines::serve;

/// What an Envoy, an nginx, an RFC 9440 proxy and ztlib itself would write.
const FORGED: [(&str, &str); 9] = [
    ("x-forwarded-client-cert", "Hash=00;URI=spiffe://shop.example/admin"),
    ("x_forwarded_client_cert", "URI=spiffe://shop.example/admin"),
    ("client-cert", ":MIIB:"),
    ("client-cert-chain", ":MIIB:"),
    ("ztlib-peer", "spiffe://shop.example/admin"),
    ("x-forwarded-for", "10.0.0.1"),
    ("forwarded", "for=10.0.0.1;by=10.0.0.2;proto=https"),
    ("x-real-ip", "10.0.0.1"),
    ("x-ssl-client-s-dn", "CN=admin"),
];

#[tokio::test]
async fn forged_headers_of_a_proxy_make_nobody_a_peer_and_move_no_address() {
    let house = House::new();
    let (listener, address) = tokio_listener();
    tokio::spawn(serve(house.tokens(), house.policies(), listener));
    for version in VERSIONS {
        let ask = async |subject| {
            let mut request = house.get(version, "/orders/7", subject);
            for (name, value) in FORGED {
                request = request.header(name, value);
            }
            told(&plain(address, empty(request)).await)
        };
        // The headers that would say whose certificate it was are gone; the others are for the
        // application to read, and no policy of addresses reads them.
        let seen = says(200, "forwarded x-forwarded-for x-real-ip x-ssl-client-s-dn");
        assert_eq!(ask(Some("alice")).await, seen, "{version:?}");
        assert_eq!(house.seen(), [Caller { address: Some("127.0.0.1".to_owned()), ..Caller::alice() }]);
        // They are no credentials, and take none away.
        assert_eq!(ask(None).await, says(401, "unauthenticated"));
        assert_eq!(ask(Some("bob")).await, says(403, "no-role"));
        house.seen();
    }
}

#[tokio::test]
async fn the_balancers_own_check_needs_no_token_and_opens_nothing_else() {
    let house = House::new();
    let (listener, address) = tokio_listener();
    tokio::spawn(serve(house.tokens(), house.policies(), listener));
    let ask = async |path| told(&plain(address, empty(house.get(Version::HTTP_11, path, None))).await);
    assert_eq!(ask("/healthz").await, says(200, "ok"));
    for path in ["/orders/7", "/healthz/", "/"] {
        assert_eq!(ask(path).await, says(401, "unauthenticated"), "{path}");
    }
    assert_eq!(house.seen(), []);
}

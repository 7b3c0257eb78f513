//! The service of the README, run over sockets: it refuses by default.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set itself up has failed")]

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::Full;
use tonic::service::Routes;
use ztlib::authenticate::peer::Trust;
use ztlib::authenticate::token::{Algorithm, Issuer, KeySet, TokenVerifier};
use ztlib::enforce::Guard;
use ztlib::observe::JsonLinesSink;
use ztlib::policies::PolicyStore;
use ztlib::tls::{Server, ServerIdentity};
use ztlib_testing::{Authority, HttpsClient, Issued, TokenIssuer};
use ztlib_tonic::GuardedRoutes;

/// The lines of the README up to the port, which is any free one here.
async fn service() -> Result<(Server, GuardedRoutes), Box<dyn Error>> {
    // README: from here
    let read = |name: &str| std::fs::read(name).map_err(|error| format!("{name}: {error}"));
    let trust = Trust::builder().trust_pem("shop.example".parse()?, &read("roots.pem")?)?.build()?;
    let issuer = Issuer::new("https://id.example").audience("shop").algorithms([Algorithm::ES256]);
    let issuer = issuer.keys(KeySet::from_jwks(&read("jwks.json")?)?);
    let tokens = TokenVerifier::builder().issuer(issuer).build()?;
    let policies = PolicyStore::from_manifest("policies/policies.toml").allow_unsigned().load()?; // for trying: sign in production
    policies.watch()?; // a change of the files is in force within a second
    let guard = Guard::builder().peers(&trust).tokens(tokens).policies(policies);
    let guard = guard.audit(JsonLinesSink::new(std::io::stdout(), 1024)).build();
    let identity = ServerIdentity::from_pem(&read("server.pem")?, &read("server.key")?)?;
    let acceptor = guard.acceptor(&identity).http2_only().build()?;
    let (_, health) = tonic_health::server::health_reporter(); // a generated service; yours is one too
    let inventory = GuardedRoutes::new(guard, Routes::new(health));
    // README: to here
    Ok((Server::bind("127.0.0.1:0", acceptor).await?, inventory))
}

/// What the service finds in its folder. It is the folder of this process from then on.
fn move_into_a_folder(authority: &Authority, id: &TokenIssuer) {
    let artifacts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/artifacts");
    let digests = std::fs::read_to_string(artifacts.join("SHA256SUMS")).unwrap();
    let digest = digests.lines().find_map(|line| line.strip_suffix("  rbac.wasm")).unwrap();
    let server = authority.leaf().dns("localhost").for_servers().issue();
    let manifest = format!(
        r#"
        format = 1
        [[policy]]
        name = "rbac"
        module = "rbac.wasm"
        sha256 = "{digest}"
        config = "rbac.yaml"
        reasons = ["no-rule", "no-role"]
        "#
    );
    let config = "
        roles: { claims: [/roles] }
        permissions:
          clerk: [{ methods: [POST], routes: [/grpc.health.v1.Health/Check] }]
        ";

    let folder = std::env::temp_dir().join(format!("ztlib-ten-lines-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("policies")).unwrap();
    std::env::set_current_dir(&folder).unwrap();
    std::fs::copy(artifacts.join("rbac.wasm"), "policies/rbac.wasm").unwrap();
    std::fs::write("roots.pem", authority.certificate_pem()).unwrap();
    std::fs::write("jwks.json", id.jwks()).unwrap();
    std::fs::write("policies/policies.toml", manifest).unwrap();
    std::fs::write("policies/rbac.yaml", config).unwrap();
    std::fs::write("server.pem", server.chain_pem()).unwrap();
    std::fs::write("server.key", server.key_pem()).unwrap();
}

/// The gRPC status of an empty call over a connection of its own: from the headers of a
/// trailers-only reply, and 0 for a reply with a message.
async fn call(
    address: SocketAddr,
    authority: &Authority,
    peer: Option<&Issued>,
    method: &str,
    token: Option<&str>,
) -> Result<u16, String> {
    let identity = peer.map(|peer| (peer.chain(), peer.key()));
    let client = HttpsClient::new(authority.certificate(), identity).unwrap();
    let mut request = Request::post(format!("https://localhost/grpc.health.v1.Health/{method}"))
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    // One message of no bytes: not compressed, four bytes of length.
    let request = request.body(Full::new(Bytes::from_static(&[0; 5]))).unwrap();
    let response = client.send(address, request).await.map_err(|error| error.to_string())?;
    assert_eq!(response.status(), StatusCode::OK);
    match response.headers().get("grpc-status") {
        Some(status) => Ok(status.to_str().unwrap().parse().unwrap()),
        None => {
            assert!(response.body().len() > 5, "a reply without status and without message");
            Ok(0)
        }
    }
}

#[tokio::test]
async fn the_service_of_the_readme_refuses_by_default() {
    const PERMISSION_DENIED: u16 = 7;
    const UNAUTHENTICATED: u16 = 16;
    let authority = Authority::new("example root");
    let id = TokenIssuer::new("https://id.example");
    let folder = std::env::temp_dir().join(format!("ztlib-ten-lines-{}", std::process::id()));
    move_into_a_folder(&authority, &id);
    let (server, inventory) = service().await.unwrap();
    let address = server.local_addr().unwrap();
    let serving = tokio::spawn(ztlib_tonic::serve(server, inventory, std::future::pending()));

    let shop = authority.issue_spiffe("spiffe://shop.example/shop");
    let good = id.token().subject("ann").audience("shop").claim("roles", ["clerk"]).sign();
    let visitor = id.token().subject("bob").audience("shop").sign();
    let elsewhere = id.token().subject("ann").audience("bank").claim("roles", ["clerk"]).sign();
    for (method, token, status) in [
        ("Check", Some(&good), 0),
        ("Check", None, UNAUTHENTICATED),
        ("Check", Some(&elsewhere), UNAUTHENTICATED),
        ("Check", Some(&visitor), PERMISSION_DENIED),
        ("Watch", Some(&good), PERMISSION_DENIED),
        ("NoSuchMethod", Some(&good), PERMISSION_DENIED),
        ("NoSuchMethod", None, UNAUTHENTICATED),
    ] {
        let token = token.map(String::as_str);
        let got = call(address, &authority, Some(&shop), method, token).await;
        assert_eq!(got, Ok(status), "{method}, token: {}", token.is_some());
    }

    // Without a certificate, or with one of another authority, no gRPC is spoken.
    let stranger = Authority::new("another root").issue_spiffe("spiffe://shop.example/shop");
    for peer in [None, Some(&stranger)] {
        let answer = call(address, &authority, peer, "Check", Some(&good)).await;
        assert!(answer.is_err(), "{answer:?}");
    }
    serving.abort();
    std::fs::remove_dir_all(folder).unwrap();
}

/// The lines between two others, without their indentation.
fn lines_between(text: &str, from: &str, to: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).skip_while(|line| !line.contains(from)).skip(1);
    lines.take_while(|line| !line.contains(to)).map(str::to_owned).collect()
}

#[test]
fn the_readmes_show_the_service_that_is_tested() {
    let tested = lines_between(include_str!("ten_lines.rs"), "README: from here", "README: to here");
    assert!(tested.len() >= 10);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(here.join("README.md")).unwrap();
    assert_eq!(lines_between(&readme, "async fn main()", "ztlib_tonic::serve("), tested);
    let block = readme.split("```rust,no_run\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    match std::fs::read_to_string(here.join("../README.md")) {
        Ok(root) => assert!(root.contains(block), "the root README shows another service than this crate's"),
        Err(_) => eprintln!("skipped: the repository's README is not beside this crate"),
    }
}

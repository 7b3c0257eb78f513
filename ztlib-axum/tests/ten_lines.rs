//! The service of the README, run over sockets: it refuses by default.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set itself up has failed")]

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use ztlib::authenticate::peer::Trust;
use ztlib::authenticate::token::{Algorithm, Issuer, KeySet, TokenVerifier};
use ztlib::enforce::Guard;
use ztlib::observe::JsonLinesSink;
use ztlib::policies::PolicyStore;
use ztlib::tls::{Server, ServerIdentity};
use ztlib_axum::GuardedRouter;
use ztlib_testing::{Authority, HttpsClient, Issued, TokenIssuer};

/// The lines of the README up to the port, which is any free one here.
async fn service() -> Result<(Server, GuardedRouter), Box<dyn Error>> {
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
    let acceptor = guard.acceptor(&identity).build()?;
    let shop = GuardedRouter::new(guard, Router::new().route("/orders/{id}", get(async || "an order")));
    // README: to here
    Ok((Server::bind("127.0.0.1:0", acceptor).await?, shop))
}

/// What the service finds in its folder: what `cargo run --example quickstart -- --serve demo`
/// writes there. It is the folder of this process from then on.
fn move_into_a_folder(authority: &Authority, id: &TokenIssuer) {
    let artifacts = here().join("../plugins/artifacts");
    let digests = std::fs::read_to_string(artifacts.join("SHA256SUMS")).unwrap();
    let folder = std::env::temp_dir().join(format!("ztlib-ten-lines-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("policies")).unwrap();
    std::env::set_current_dir(&folder).unwrap();
    let mut manifest = String::from("format = 1\n");
    for (name, module, settings) in [
        ("peers", "peer-allow-list.wasm", "reasons = ['peer-not-allowed']"),
        ("rbac", "rbac.wasm", "reasons = ['no-rule', 'no-role']"),
        ("step-up", "step-up.wasm", "reasons = ['step-up-required']\nmay-abstain = true"),
    ] {
        let digest = digests.lines().find_map(|line| line.strip_suffix(&format!("  {module}"))).unwrap();
        std::fs::copy(artifacts.join(module), format!("policies/{name}.wasm")).unwrap();
        let config = here().join(format!("../examples/quickstart/policies/{name}.yaml"));
        std::fs::copy(config, format!("policies/{name}.yaml")).unwrap();
        manifest.push_str(&format!(
            "[[policy]]\nname = '{name}'\nmodule = '{name}.wasm'\nsha256 = '{digest}'\nconfig = '{name}.yaml'\n{settings}\n"
        ));
    }
    let server = authority.leaf().dns("localhost").for_servers().issue();
    std::fs::write("roots.pem", authority.certificate_pem()).unwrap();
    std::fs::write("jwks.json", id.jwks()).unwrap();
    std::fs::write("policies/policies.toml", manifest).unwrap();
    std::fs::write("server.pem", server.chain_pem()).unwrap();
    std::fs::write("server.key", server.key_pem()).unwrap();
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

struct Caller {
    client: HttpsClient,
    address: SocketAddr,
}

impl Caller {
    fn new(authority: &Authority, peer: Option<&Issued>, address: SocketAddr) -> Self {
        let identity = peer.map(|peer| (peer.chain(), peer.key()));
        Self { client: HttpsClient::new(authority.certificate(), identity).unwrap(), address }
    }

    /// The status and the body.
    async fn get(&self, path: &str, token: Option<&str>) -> Result<(StatusCode, String), String> {
        let mut request = Request::get(path).header("host", "localhost");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::new())).unwrap();
        let response = self.client.send(self.address, request).await.map_err(|error| error.to_string())?;
        let body = String::from_utf8_lossy(response.body()).into_owned();
        Ok((response.status(), body))
    }
}

#[tokio::test]
async fn the_service_of_the_readme_refuses_by_default() {
    let authority = Authority::new("example root");
    let id = TokenIssuer::new("https://id.example");
    let folder = std::env::temp_dir().join(format!("ztlib-ten-lines-{}", std::process::id()));
    move_into_a_folder(&authority, &id);
    let (server, shop) = service().await.unwrap();
    let address = server.local_addr().unwrap();
    let serving = tokio::spawn(ztlib_axum::serve(server, shop, std::future::pending()));

    let frontend = authority.issue_spiffe("spiffe://shop.example/frontend");
    let caller = Caller::new(&authority, Some(&frontend), address);
    let viewer = id.token().subject("alice").audience("shop").claim("roles", ["viewer"]).sign();
    let visitor = id.token().subject("bob").audience("shop").sign();
    let elsewhere = id.token().subject("alice").audience("bank").claim("roles", ["viewer"]).sign();

    // What the policies allow.
    assert_eq!(caller.get("/orders/7", Some(&viewer)).await, Ok((StatusCode::OK, "an order".to_owned())));

    // Everything else is refused.
    for (path, token, status, code) in [
        ("/orders/7", None, StatusCode::UNAUTHORIZED, "unauthenticated"),
        ("/orders/7", Some(&elsewhere), StatusCode::UNAUTHORIZED, "unauthenticated"),
        ("/orders/7", Some(&visitor), StatusCode::FORBIDDEN, "no-role"),
        ("/", Some(&viewer), StatusCode::FORBIDDEN, "no-route"),
        ("/admin", Some(&viewer), StatusCode::FORBIDDEN, "no-route"),
        ("//orders/7", Some(&viewer), StatusCode::BAD_REQUEST, "path-empty-segment"),
    ] {
        let (got, body) = caller.get(path, token.map(String::as_str)).await.unwrap();
        assert_eq!(got, status, "{path}: {body}");
        assert!(body.contains(&format!("\"code\":\"{code}\"")), "{path}: {body}");
    }

    // Without a certificate, or with one of another authority, no HTTP is spoken.
    let stranger = Authority::new("another root").issue_spiffe("spiffe://shop.example/frontend");
    for peer in [None, Some(&stranger)] {
        let answer = Caller::new(&authority, peer, address).get("/orders/7", Some(&viewer)).await;
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
    let readme = std::fs::read_to_string(here().join("README.md")).unwrap();
    assert_eq!(lines_between(&readme, "async fn main()", "ztlib_axum::serve("), tested);
    let block = readme.split("```rust,no_run\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    match std::fs::read_to_string(here().join("../README.md")) {
        Ok(root) => assert!(root.contains(block), "the root README shows another service than this crate's"),
        Err(_) => eprintln!("skipped: the repository's README is not beside this crate"),
    }
}

/// What stands in quotes behind each of these words.
fn quoted<'t>(text: &'t str, before: &str) -> Vec<&'t str> {
    text.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn the_readme_reads_what_the_quickstart_writes_and_takes_whom_it_issues_for() {
    let tested =
        lines_between(include_str!("ten_lines.rs"), "README: from here", "README: to here").join("\n");
    let quickstart = here().join("../examples/quickstart");
    let Ok(written) = std::fs::read_to_string(quickstart.join("serve.rs")) else {
        eprintln!("skipped: the quickstart is not beside this crate");
        return;
    };
    let world = std::fs::read_to_string(quickstart.join("world.rs")).unwrap();
    let files = quoted(&tested, "read(\"");
    assert_eq!(files.len(), 4);
    for file in files {
        assert!(written.contains(&format!("write(\"{file}\".into()")), "the quickstart writes no {file}");
    }
    assert_eq!(quoted(&tested, "from_manifest(\""), ["policies/policies.toml"]);
    assert!(world.contains("self.folder.join(\"policies\")") && world.contains("join(\"policies.toml\")"));
    assert_eq!(quoted(&tested, "Issuer::new(\""), quoted(&world, "const ISSUER: &str = \""));
    assert_eq!(quoted(&tested, ".audience(\"").first(), quoted(&world, ".audience(\"").first());
    assert_eq!(quoted(&tested, "trust_pem(\""), quoted(&world, ".trust(\""));
    // Beside the quickstart, on a port of its own.
    let readme = std::fs::read_to_string(here().join("README.md")).unwrap();
    for port in quoted(&readme, "Server::bind(\"127.0.0.1:") {
        assert!(!written.contains(port), "the quickstart listens on {port}, too");
    }
}

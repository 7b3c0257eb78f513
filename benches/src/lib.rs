//! What the benchmarks share: one peer, one user, one rule set, a guard around a router.

#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a benchmark that cannot be set up ends")]

use axum::Router;
use axum::routing::get;
use http::{Extensions, Request};
use ztlib::authenticate::peer::{PeerAuthenticator, Trust};
use ztlib::authenticate::token::{Algorithm, Issuer, KeySet, TokenAuthenticator, TokenVerifier};
use ztlib::enforce::Guard;
use ztlib::policies::{PolicyStore, PolicySetBuilder};
use ztlib::tls::Acceptor;
use ztlib_testing::{Authority, Issued, TokenIssuer, peer_extensions};

/// The components as they are committed.
pub const RBAC: &[u8] = include_bytes!("../../plugins/artifacts/rbac.wasm");
/// Reads nothing and allows.
pub const ALLOW_ALL: &[u8] = include_bytes!("../../plugins/artifacts/allow-all.wasm");

/// The caller of every benchmark.
#[derive(Debug)]
pub struct Caller {
    /// The authority of servers and peers.
    pub mesh: Authority,
    /// The calling service.
    pub peer: Issued,
    /// The issuer of tokens.
    pub issuer: TokenIssuer,
    /// The user's token: subject, audience, two roles, a few scopes.
    pub token: String,
}

impl Caller {
    /// A caller whose token is signed with this algorithm.
    pub fn new(algorithm: Algorithm) -> Self {
        let mesh = Authority::new("bench mesh");
        let peer = mesh.issue_spiffe("spiffe://bench.example/frontend");
        let issuer = TokenIssuer::with_algorithm("https://id.bench.example", algorithm);
        let token = issuer.token().subject("user-4711").audience("shop").scope("orders:read orders:write");
        let token = token.claim("roles", ["role2", "admin"]).sign();
        Self { mesh, peer, issuer, token }
    }

    /// Who is trusted.
    pub fn trust(&self) -> Trust {
        let domain = "bench.example".parse().expect("a trust domain");
        let builder = Trust::builder().trust(domain, [self.mesh.certificate()]).expect("roots");
        builder.build().expect("trust")
    }

    /// What verifies the token.
    pub fn verifier(&self) -> TokenVerifier {
        let keys = KeySet::from_jwks(&self.issuer.jwks()).expect("keys");
        let issuer =
            Issuer::new(self.issuer.name()).audience("shop").algorithms([self.issuer.algorithm()]).keys(keys);
        TokenVerifier::builder().issuer(issuer).build().expect("a verifier")
    }

    /// An acceptor as servers have it.
    pub fn acceptor(&self, trust: &Trust) -> Acceptor {
        let server = self.mesh.leaf().dns("localhost").for_servers().issue();
        let builder = Acceptor::builder().identity(server.chain(), server.key()).expect("an identity");
        builder.peers(trust).build().expect("an acceptor")
    }

    /// What a connection of the peer leaves in each request.
    pub async fn extensions(&self, trust: &Trust) -> Extensions {
        peer_extensions(trust, Some(&self.peer), ztlib::SystemClock).await.expect("a handshake")
    }
}

/// The router that everything is measured around.
pub fn router() -> Router {
    Router::new().route("/orders/{id}", get(|| async { "hello" }))
}

/// A request to it.
pub fn request(extensions: &Extensions, token: Option<&str>) -> Request<axum::body::Body> {
    let mut request = Request::get("/orders/7").header("host", "localhost");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut request = request.body(axum::body::Body::empty()).expect("a request");
    *request.extensions_mut() = extensions.clone();
    request
}

/// One policy that reads nothing and allows.
pub fn allow_all() -> PolicyStore {
    PolicySetBuilder::new().component("allow-all", ALLOW_ALL).load().expect("the policy")
}

/// Role-based access control with this many rules, of which one matches.
pub fn rbac(rules: usize) -> PolicyStore {
    let rule = |n: usize| serde_json::json!({ "methods": ["GET"], "routes": [format!("/api/v{n}/users/{{id}}")], "actions": [format!("a{n}")] });
    let mut all: Vec<_> = (1..rules).map(rule).collect();
    all.push(
        serde_json::json!({ "methods": ["GET"], "routes": ["/orders/{id}"], "actions": ["orders.read"] }),
    );
    let config = serde_json::json!({ "roles": { "claims": ["/roles"] }, "permissions": { "admin": all } });
    let builder =
        PolicySetBuilder::new().component("rbac", RBAC).reasons(["no-rule", "no-role"]).config(config);
    builder.load().expect("the policy")
}

/// The whole guard.
pub fn guard(caller: &Caller, trust: &Trust, policies: PolicyStore) -> Guard {
    Guard::builder()
        .peers(PeerAuthenticator::new(trust.clone()))
        .tokens(TokenAuthenticator::new(caller.verifier()))
        .policies(policies)
        .build()
}

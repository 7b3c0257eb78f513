//! The callers: who sends what, and what must come of it.

use std::time::{Duration, SystemTime};

use ztlib_testing::Issued;

use crate::world::World;

/// One request and the decision that it must meet.
pub struct Scene {
    pub caller: &'static str,
    /// The client certificate that the caller presents.
    pub peer: Option<Issued>,
    pub token: Option<String>,
    pub request: Ask,
    pub expected: Expected,
}

pub enum Ask {
    Http(&'static str, &'static str),
    /// A method of the inventory service; the message is an empty one.
    Grpc(&'static str),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The handler answered.
    Allow,
    /// The handshake failed: no request was read.
    NoConnection,
    /// Refused: status (HTTP) or code (gRPC), and the precise reason in the audit event.
    Refused(u16, &'static str),
}

use Ask::{Grpc, Http};
use Expected::{Allow, NoConnection, Refused};

const PERMISSION_DENIED: u16 = 7;
const UNAUTHENTICATED: u16 = 16;

pub fn all(world: &World) -> Vec<Scene> {
    let now = SystemTime::now();
    let frontend = || Some(world.service("frontend"));
    let token = |subject: &str, roles: &[&str]| Some(world.token(subject, roles).sign());
    let scene = |caller, peer, token, request, expected| Scene { caller, peer, token, request, expected };
    let just_now = Duration::from_secs(20);
    vec![
        // Peers: decided before a request is read, or by policy.
        scene("no certificate", None, None, Http("GET", "/orders/7"), NoConnection),
        scene(
            "expired certificate",
            Some(world.mesh.leaf().spiffe("spiffe://shop.example/frontend").expired_at(now).issue()),
            None,
            Http("GET", "/orders/7"),
            NoConnection,
        ),
        scene(
            "another mesh's CA",
            Some(world.stranger.issue_spiffe("spiffe://shop.example/frontend")),
            None,
            Http("GET", "/orders/7"),
            NoConnection,
        ),
        scene(
            "reporting, for alice",
            Some(world.service("reporting")),
            token("alice", &["viewer"]),
            Http("GET", "/orders/7"),
            Refused(403, "peer-not-allowed"),
        ),
        // Tokens.
        scene(
            "frontend, no token",
            frontend(),
            None,
            Http("GET", "/orders/7"),
            Refused(401, "token-missing"),
        ),
        scene(
            "frontend, token for another service",
            frontend(),
            Some(world.tokens.token().subject("alice").audience("bank").sign()),
            Http("GET", "/orders/7"),
            Refused(401, "token-audience"),
        ),
        scene(
            "frontend, expired token",
            frontend(),
            Some(world.token("alice", &["viewer"]).expired().sign()),
            Http("GET", "/orders/7"),
            Refused(401, "token-expired"),
        ),
        scene(
            "frontend, unsigned token",
            frontend(),
            Some(world.token("alice", &["admin"]).unsigned().sign()),
            Http("GET", "/orders/7"),
            Refused(401, "token-malformed"),
        ),
        // PolicyStore.
        scene(
            "frontend, for alice",
            frontend(),
            token("alice", &["viewer"]),
            Http("GET", "/orders/7"),
            Allow,
        ),
        scene(
            "frontend, for alice",
            frontend(),
            token("alice", &["viewer"]),
            Http("DELETE", "/orders/7"),
            Refused(403, "no-role"),
        ),
        scene(
            "frontend, for root",
            frontend(),
            token("root", &["admin"]),
            Http("DELETE", "/orders/7"),
            Allow,
        ),
        scene(
            "frontend, for root",
            frontend(),
            token("root", &["admin"]),
            Http("POST", "/orders/7/refund"),
            Refused(401, "step-up-required"),
        ),
        scene(
            "frontend, for root after MFA",
            frontend(),
            Some(world.token("root", &["admin"]).claim("amr", ["mfa"]).authenticated_ago(just_now).sign()),
            Http("POST", "/orders/7/refund"),
            Allow,
        ),
        scene(
            "frontend, for alice",
            frontend(),
            token("alice", &["viewer"]),
            Http("GET", "/orders/7/invoice"),
            Refused(403, "no-role"),
        ),
        scene(
            "frontend, for alice of finance",
            frontend(),
            Some(world.token("alice", &["viewer"]).claim("groups", ["finance"]).sign()),
            Http("GET", "/orders/7/invoice"),
            Allow,
        ),
        // Paths.
        scene(
            "frontend, for root",
            frontend(),
            token("root", &["admin"]),
            Http("GET", "/admin"),
            Refused(403, "no-route"),
        ),
        scene(
            "frontend, for root",
            frontend(),
            token("root", &["admin"]),
            Http("GET", "//orders/7"),
            Refused(400, "path-empty-segment"),
        ),
        scene(
            "frontend, for root",
            frontend(),
            token("root", &["admin"]),
            Http("GET", "/orders/%2E%2E"),
            Refused(400, "path-dot-segment"),
        ),
        scene("frontend, no token", frontend(), None, Http("GET", "/healthz"), Allow),
        // gRPC: the same guard, in the words of gRPC.
        scene("frontend, for carl", frontend(), token("carl", &["clerk"]), Grpc("Reserve"), Allow),
        scene("frontend, for carl", frontend(), token("carl", &["clerk"]), Grpc("Watch"), Allow),
        scene(
            "frontend, for alice",
            frontend(),
            token("alice", &["viewer"]),
            Grpc("Reserve"),
            Refused(PERMISSION_DENIED, "no-role"),
        ),
        scene(
            "frontend, no token",
            frontend(),
            None,
            Grpc("Reserve"),
            Refused(UNAUTHENTICATED, "token-missing"),
        ),
        scene(
            "frontend, no token",
            frontend(),
            None,
            Grpc("NoSuchMethod"),
            Refused(UNAUTHENTICATED, "token-missing"),
        ),
    ]
}

/// The scenes after clerks may call only the methods that they need.
pub fn after_the_promotion(world: &World) -> Vec<Scene> {
    let clerk = |request, expected| Scene {
        caller: "frontend, for carl",
        peer: Some(world.service("frontend")),
        token: Some(world.token("carl", &["clerk"]).sign()),
        request,
        expected,
    };
    vec![clerk(Grpc("Watch"), Allow), clerk(Grpc("NoSuchMethod"), Refused(PERMISSION_DENIED, "no-rule"))]
}

/// The scenes after alice was made an admin in the policy's own configuration, while the service
/// runs.
pub fn after_the_change(world: &World) -> Vec<Scene> {
    vec![Scene {
        caller: "frontend, for alice",
        peer: Some(world.service("frontend")),
        token: Some(world.token("alice", &["viewer"]).sign()),
        request: Http("DELETE", "/orders/7"),
        expected: Allow,
    }]
}

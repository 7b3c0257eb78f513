//! Several issuers and one service: the subject, the roles and the scopes of one are not those of
//! another (findings E1), through the real guard.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test"
)]

mod support;

use http::Request;
use http_body_util::Full;
use serde_json::{Value as Json, json};
use support::{Answered, World};
use ztlib::Clock as _;
use ztlib::authenticate::token::{Algorithm, Issuer, KeySet, TokenAuthenticator, TokenVerifier};
use ztlib::authorize::NativePolicy;
use ztlib::authorize::{Answer, Fault, Outcome, Read, Reader, Value};
use ztlib::enforce::{Guard, MatchedRoute};
use ztlib::policies::{PolicyStore, PolicySetBuilder};
use ztlib_testing::TokenIssuer;

macro_rules! artifact {
    ($name:literal) => {
        include_bytes!(concat!("../../plugins/artifacts/", $name, ".wasm"))
    };
}

/// `rbac` as it was compiled against 0.1.1, before issuers could be told apart.
const OLD_RBAC: &[u8] = include_bytes!("../../plugins/compat/v0_1_1_rbac.wasm");

/// As the README of `rbac` has it.
fn rbac() -> Json {
    json!({
        "roles": {
            "claims": ["/roles"],
            "document": {"name": "roles", "pointer": "/users/{subject}"},
        },
        "permissions": {"admin": [{"methods": ["*"], "routes": ["/**"]}]},
    })
}

struct Two {
    world: World,
    partner: TokenIssuer,
    guard: Guard,
}

impl Two {
    fn guarding(policies: PolicyStore) -> Self {
        let (world, partner) = (World::new(), TokenIssuer::new("https://partner.example"));
        let issuer = |id: &TokenIssuer| {
            let keys = KeySet::from_jwks(&id.jwks()).unwrap();
            Issuer::new(id.name()).audience("shop").algorithms([Algorithm::ES256]).keys(keys)
        };
        let verifier = TokenVerifier::builder().issuer(issuer(&world.id)).issuer(issuer(&partner));
        let guard = Guard::builder().peers(world.peers());
        let guard = guard.tokens(TokenAuthenticator::new(verifier.build().unwrap())).policies(policies);
        let guard = guard.clock(world.clock.clone()).audit(world.events.clone()).build();
        Self { world, partner, guard }
    }

    fn with(set: PolicySetBuilder) -> Self {
        let set = set.document(
            "roles",
            json!({"users": {"alice": ["admin"]}, "of": {"https://partner.example": {"carol": ["admin"]}}}),
        );
        Self::guarding(set.load().unwrap())
    }

    /// What comes of a request with these claims, of the service's own issuer or of the partner.
    async fn ask(&self, own: bool, claims: Json) -> Answered {
        let issuer = if own { &self.world.id } else { &self.partner };
        let mut token = issuer.token_at(self.world.clock.now()).audience("shop");
        for (name, value) in claims.as_object().unwrap() {
            token = match name.as_str() {
                "sub" => token.subject(value.as_str().unwrap()),
                name => token.claim(name, value.clone()),
            };
        }
        let mut request = Request::builder()
            .uri("/orders/7")
            .header("host", "shop.test")
            .header("authorization", format!("Bearer {}", token.sign()))
            .body(Full::default())
            .unwrap();
        *request.extensions_mut() = self.world.frontend().await;
        request.extensions_mut().insert(MatchedRoute::new("/orders/{id}").with_param("id", "7"));
        self.world.send(&self.guard, request).await
    }

    /// The status, and the reason where it is refused.
    async fn say(&self, own: bool, claims: Json) -> (u16, String) {
        let answered = self.ask(own, claims).await;
        let reason = if answered.status == 200 { String::new() } else { answered.reason().to_owned() };
        (answered.status, reason)
    }
}

fn ready(config: Json) -> PolicySetBuilder {
    PolicySetBuilder::new()
        .component("rbac", artifact!("rbac"))
        .reasons(["no-rule", "no-role"])
        .config(config)
}

#[tokio::test]
async fn the_partners_alice_and_the_partners_admin_are_strangers() {
    let two = Two::with(ready(rbac()));
    assert_eq!(two.say(true, json!({"sub": "alice"})).await.0, 200);
    assert_eq!(two.say(true, json!({"sub": "mallory", "roles": ["admin"]})).await.0, 200);
    let refused = (403, "no-role".to_owned());
    // Whatever was remembered of our own, and again once theirs is.
    for _ in 0..3 {
        assert_eq!(two.say(false, json!({"sub": "alice"})).await, refused);
        assert_eq!(two.say(false, json!({"sub": "mallory", "roles": ["admin"]})).await, refused);
        assert_eq!(two.say(true, json!({"sub": "alice"})).await.0, 200);
    }
}

#[tokio::test]
async fn a_document_under_the_issuer_keeps_subjects_apart() {
    let mut config = rbac();
    config["roles"]["document"]["pointer"] = json!("/of/{issuer}/{subject}");
    let two = Two::with(ready(config));
    assert_eq!(two.say(false, json!({"sub": "carol"})).await.0, 200);
    assert_eq!(two.say(true, json!({"sub": "carol"})).await, (403, "no-role".to_owned()));
    assert_eq!(two.say(false, json!({"sub": "alice"})).await, (403, "no-role".to_owned()));
}

#[tokio::test]
async fn scopes_and_logins_are_those_of_the_home_issuer_too() {
    let scopes = json!({"rules": [{"methods": ["GET"], "routes": ["/**"], "scopes": ["read"]}]});
    let set = PolicySetBuilder::new().component("token-scope", artifact!("token-scope"));
    let two = Two::with(set.reasons(["no-rule", "missing-scope"]).config(scopes));
    assert_eq!(two.say(true, json!({"scope": "read"})).await.0, 200);
    assert_eq!(two.say(false, json!({"scope": "read"})).await, (403, "missing-scope".to_owned()));

    let logins = json!({"rules": [{"methods": ["GET"], "routes": ["/**"], "acr": ["gold"]}]});
    let set = PolicySetBuilder::new().component("step-up", artifact!("step-up"));
    let two = Two::with(set.reasons(["step-up-required"]).config(logins));
    assert_eq!(two.say(true, json!({"acr": "gold"})).await.0, 200);
    assert_eq!(two.say(false, json!({"acr": "gold"})).await, (401, "step-up-required".to_owned()));
}

/// A policy that cannot know of issuers allows nothing on the word of a second one, and goes on as
/// before for the first.
#[tokio::test]
async fn a_policy_that_was_compiled_before_allows_no_stranger() {
    let set = PolicySetBuilder::new().component("rbac", OLD_RBAC).reasons(["no-rule", "no-role"]);
    let two = Two::with(set.config(rbac()));
    for _ in 0..3 {
        assert_eq!(two.say(true, json!({"sub": "alice"})).await.0, 200);
        assert_eq!(two.say(true, json!({"sub": "bob", "roles": "admin"})).await.0, 200);
        let fault = (503, "issuer-not-asked".to_owned());
        assert_eq!(two.say(false, json!({"sub": "alice"})).await, fault);
        assert_eq!(two.say(false, json!({"sub": "mallory", "roles": ["admin"]})).await, fault);
        assert_eq!(two.say(false, json!({"sub": "mallory"})).await, (403, "no-role".to_owned()));
    }
}

/// Allows alice, by whatever read says so.
struct Alice(Vec<Read>, &'static [&'static str]);

impl NativePolicy for Alice {
    fn decide(&self, question: &mut Reader, outcome: &mut Outcome) -> Result<Answer, Fault> {
        let mut alice = true;
        for read in &self.0 {
            let value = question.read(read.clone())?;
            alice &= value != Value::Bool(false) && value != Value::Absent;
        }
        for (at, source) in self.1.iter().enumerate() {
            outcome.copy_to_request_header(&format!("x-{at}"), source)?;
        }
        Ok(if alice { Answer::Allow } else { Answer::Deny })
    }
}

#[tokio::test]
async fn each_way_to_go_by_an_issuers_word_is_a_fault_where_nobody_asked_whose_it_is() {
    let claims = json!({
        "sub": "alice", "scope": "read", "roles": ["admin"], "level": 3, "staff": true, "auth_time": 1,
        "amr": ["mfa"], "acr": "gold", "until": 4_000_000_000_u64,
    });
    let document = |pointer: &str| Read::DataContains("roles".into(), pointer.into(), "admin".into());
    let words = [
        Read::Subject,
        Read::HasScope("read".into()),
        Read::Scopes,
        Read::HasAudience("shop".into()),
        Read::ClaimString("/sub".into()),
        Read::ClaimInt("/level".into()),
        Read::ClaimBool("/staff".into()),
        Read::ClaimJson("/roles".into()),
        Read::ClaimContains("/roles".into(), "admin".into()),
        Read::BeforeClaim("/until".into()),
        Read::AuthenticatedWithin(u32::MAX),
        Read::UsesMethod("mfa".into()),
        Read::AcrIs("gold".into()),
        document("/users/{subject}"),
        document("/users/{claim:/sub}"),
        Read::DataString("roles".into(), "/name/{claim:/sub}".into()),
        Read::DataJson("roles".into(), "/users/{subject}".into()),
    ];
    for read in words {
        let roles = json!({"users": {"alice": ["admin"]}, "name": {"alice": "a"}});
        let two = |policy: Alice| {
            Two::guarding(
                PolicySetBuilder::new().native("alice", policy).document("roles", &roles).load().unwrap(),
            )
        };
        let careless = two(Alice(vec![read.clone()], &[]));
        assert_eq!(careless.say(true, claims.clone()).await.0, 200, "{read}");
        assert_eq!(careless.say(false, claims.clone()).await, (503, "issuer-not-asked".to_owned()), "{read}");
        // Who asks may decide as they like.
        let careful = two(Alice(vec![Read::Issuer, read.clone()], &[]));
        assert_eq!(careful.say(false, claims.clone()).await.0, 200, "{read}");
    }
    for (copies, status) in [
        (&["{subject}"][..], 503),
        (&["{claim:/sub}"], 503),
        (&["{subject}", "{issuer}"], 200),
        (&["{peer}", "{param:id}"], 200),
    ] {
        let two =
            Two::guarding(PolicySetBuilder::new().native("copies", Alice(vec![], copies)).load().unwrap());
        assert_eq!(two.say(true, claims.clone()).await.0, 200, "{copies:?}");
        assert_eq!(two.say(false, claims.clone()).await.0, status, "{copies:?}");
    }
}

//! What the tests of enforcement share: one throwaway world, a handler that counts, and what was
//! audited.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(missing_docs, unreachable_pub, reason = "a test")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer, Service, ServiceExt as _, service_fn};
use ztlib::Clock as _;
use ztlib::authenticate::peer::{PeerAuthenticator, Trust};
use ztlib::authenticate::token::{Algorithm, Issuer, KeySet, TokenAuthenticator, TokenVerifier};
use ztlib::authorize::NativePolicy;
use ztlib::authorize::{Answer, Fault, Outcome, Read, Reader, Value};
use ztlib::enforce::{
    Guard, GuardBuilder, MatchedRoute, Protocol, Ready, Refusal, ResponseBody, GuardLayer,
};
use ztlib::observe::{AuditEvent, AuditSink};
use ztlib::policies::{PolicyStore, PolicySetBuilder};
use ztlib_testing::{Authority, ManualClock, TokenDraft, TokenIssuer, peer_extensions};

pub const FRONTEND: &str = "spiffe://example.org/frontend";

/// One authority, one issuer, one clock.
pub struct World {
    pub clock: ManualClock,
    pub mesh: Authority,
    pub trust: Trust,
    pub id: TokenIssuer,
    pub events: Events,
    pub handler: Handler,
}

impl World {
    pub fn new() -> Self {
        let mesh = Authority::new("example root");
        let roots = [mesh.certificate()];
        let trust = Trust::builder().trust("example.org".parse().unwrap(), roots).unwrap().build().unwrap();
        Self {
            clock: ManualClock::default(),
            mesh,
            trust,
            id: TokenIssuer::new("https://id.example"),
            events: Events::default(),
            handler: Handler::default(),
        }
    }

    pub fn peers(&self) -> PeerAuthenticator {
        PeerAuthenticator::new(self.trust.clone())
    }

    pub fn tokens(&self) -> TokenAuthenticator {
        let issuer = Issuer::new(self.id.name()).audience("shop").algorithms([Algorithm::ES256]);
        let keys = KeySet::from_jwks(&self.id.jwks()).unwrap();
        TokenAuthenticator::new(TokenVerifier::builder().issuer(issuer.keys(keys)).build().unwrap())
    }

    pub fn guard(&self, policies: PolicyStore) -> GuardBuilder<Ready> {
        let builder = Guard::builder().peers(self.peers()).tokens(self.tokens()).policies(policies);
        builder.clock(self.clock.clone()).audit(self.events.clone())
    }

    /// A good token of `alice`, to be spoilt.
    pub fn token(&self) -> TokenDraft<'_> {
        self.id.token_at(self.clock.now()).subject("alice").audience("shop")
    }

    /// What each request of the frontend carries after its handshake.
    pub async fn frontend(&self) -> Extensions {
        let leaf = self.mesh.issue_spiffe(FRONTEND);
        peer_extensions(&self.trust, Some(&leaf), self.clock.clone()).await.unwrap()
    }

    /// A request of alice through the frontend, that nothing is wrong with.
    pub async fn request(&self) -> Request<Full<Bytes>> {
        self.request_of(&self.frontend().await)
    }

    pub fn request_of(&self, peer: &Extensions) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .uri("/orders/7")
            .header("host", "shop.test")
            .header("authorization", format!("Bearer {}", self.token().sign()))
            .body(Full::default())
            .unwrap();
        *request.extensions_mut() = peer.clone();
        request.extensions_mut().insert(MatchedRoute::new("/orders/{id}").with_param("id", "7"));
        request
    }

    /// Sends a request through the guard to the world's handler.
    pub async fn send(&self, guard: &Guard, request: Request<Full<Bytes>>) -> Answered {
        self.through(&GuardLayer::new(guard.clone()), request).await
    }

    pub async fn through<L, R>(&self, layer: &L, request: Request<Full<Bytes>>) -> Answered
    where
        L: Layer<HandlerService>,
        L::Service: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible>,
        R: http_body::Body<Data = Bytes>,
        R::Error: std::fmt::Debug,
    {
        let response = layer.layer(self.handler.service()).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answered {
            refusal: parts.extensions.get::<Refusal>().cloned(),
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
    pub refusal: Option<Refusal>,
}

impl Answered {
    /// The precise reason, for the operator; `passed` where there was no refusal.
    pub fn reason(&self) -> &str {
        self.refusal.as_ref().map_or("passed", |refusal| refusal.cause().code())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A handler that counts its calls and keeps the requests that it saw.
#[derive(Clone, Default)]
pub struct Handler {
    calls: Arc<AtomicUsize>,
    seen: Arc<Mutex<Option<http::request::Parts>>>,
}

pub type HandlerService =
    tower::util::BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, Infallible>;

impl Handler {
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// The last request that reached it.
    pub fn seen(&self) -> http::request::Parts {
        self.seen.lock().unwrap().clone().expect("no request reached the handler")
    }

    pub fn service(&self) -> HandlerService {
        let handler = self.clone();
        tower::util::BoxCloneSyncService::new(service_fn(move |request: Request<Full<Bytes>>| {
            handler.calls.fetch_add(1, Ordering::SeqCst);
            *handler.seen.lock().unwrap() = Some(request.into_parts().0);
            async {
                let mut response = Response::new(Full::from("handled"));
                response.headers_mut().insert("x-powered-by", "a handler".parse().unwrap());
                Ok::<_, Infallible>(response)
            }
        }))
    }
}

/// What was audited.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Vec<AuditEvent>>>);

impl AuditSink for Events {
    fn record(&self, event: AuditEvent) {
        self.0.lock().unwrap().push(event);
    }
}

impl Events {
    pub fn take(&self) -> Vec<AuditEvent> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// The one event since the last look.
    pub fn one(&self) -> AuditEvent {
        let mut events = self.take();
        assert_eq!(events.len(), 1, "not exactly one event: {events:#?}");
        events.remove(0)
    }
}

/// A native policy from a function.
pub struct By<F>(pub F);

impl<F> NativePolicy for By<F>
where
    F: Fn(&mut Reader, &mut Outcome) -> Result<Answer, Fault> + Send + Sync + 'static,
{
    fn decide(&self, question: &mut Reader, outcome: &mut Outcome) -> Result<Answer, Fault> {
        (self.0)(question, outcome)
    }
}

/// The reasons that policies of these tests may give.
pub const REASONS: [&str; 3] = ["no-role", "not-yours", "step-up-required"];

/// A set with one policy.
pub fn deciding<F>(decide: F) -> PolicyStore
where
    F: Fn(&mut Reader, &mut Outcome) -> Result<Answer, Fault> + Send + Sync + 'static,
{
    PolicySetBuilder::new().native("test", By(decide)).reasons(REASONS).load().unwrap()
}

pub fn allow() -> PolicyStore {
    deciding(|_, _| Ok(Answer::Allow))
}

pub fn deny() -> PolicyStore {
    deciding(|_, outcome| {
        outcome.reason("no-role")?;
        outcome.message("ask the owner of the shop")?;
        Ok(Answer::Deny)
    })
}

pub fn text(question: &mut Reader, read: Read) -> Result<Option<String>, Fault> {
    Ok(match question.read(read)? {
        Value::Text(text) => Some(text.to_string()),
        _ => None,
    })
}

/// As a client of gRPC asks a service of it.
pub fn over_grpc(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    let matched = request.extensions_mut().remove::<MatchedRoute>().unwrap_or_default();
    request.extensions_mut().insert(matched.served_in(Protocol::Grpc));
    request
}

/// That a body type of the guard can be named: what layers outside of it see.
pub type GuardedBody = ResponseBody<Full<Bytes>>;

//! A real guard for tests, and callers that it knows.

#![allow(clippy::expect_used, reason = "a test aid that cannot be made stops the test")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::request::Builder;
use http::{Method, Request};
use serde::Serialize;
use ztlib::Clock;
use ztlib::authenticate::peer::{PeerAuthenticator, PeerCertificates, Trust};
use ztlib::authenticate::token::{Issuer, KeySet, TokenAuthenticator, TokenVerifier};
use ztlib::authorize::{Answer, Fault, NativePolicy, Outcome, Reader};
use ztlib::enforce::{Guard, GuardBuilder, Ready};
use ztlib::policies::{PolicySetBuilder, PolicyStore};

use crate::{Authority, Issued, ManualClock, TokenIssuer, a_day};

/// A guard with roots, keys and a clock of its own, and the callers that it knows.
///
/// It is the guard of a service, so a test shows what callers get: the same checks of certificate
/// and token, the same policies, the same refusals. Only the TLS connection is left out.
///
/// - The trust domain is `test` ([`trust_domain`](Self::trust_domain) adds others), the issuer
///   `https://id.test`, the audience `test`.
/// - A caller has a token and a peer certificate, unless the test takes one away.
/// - The clock stands still until the test moves it.
///
/// ```
/// use http::{Request, Response, StatusCode};
/// use tower::{Layer as _, ServiceExt as _, service_fn};
/// use ztlib::enforce::GuardLayer;
/// use ztlib_testing::TestGuard;
///
/// # tokio_test::block_on(async {
/// let test = TestGuard::allow_all();
/// let handler = service_fn(|_: Request<()>| async { Ok::<_, std::io::Error>(Response::new(())) });
/// let service = GuardLayer::new(test.guard()).layer(handler);
///
/// let alice = test.caller("alice").role("clerk").get("/orders/7").body(()).unwrap();
/// assert_eq!(service.clone().oneshot(alice).await.unwrap().status(), StatusCode::OK);
///
/// // Even where everything is allowed, a caller must be known.
/// let nobody = test.caller("alice").without_token().get("/orders/7").body(()).unwrap();
/// assert_eq!(service.oneshot(nobody).await.unwrap().status(), StatusCode::UNAUTHORIZED);
/// # });
/// ```
#[derive(Clone)]
pub struct TestGuard(Arc<Parts>);

struct Parts {
    /// By trust domain: a root vouches for one domain.
    authorities: Mutex<BTreeMap<String, Arc<Authority>>>,
    trust: Trust,
    issuer: TokenIssuer,
    clock: ManualClock,
    guard: Guard,
}

/// The trust domain that every test guard takes.
const DOMAIN: &str = "test";

/// Trust in this authority, for this domain.
fn trusting(domain: &str, authority: &Authority) -> Trust {
    let domain = domain.parse().expect("a trust domain");
    let trust = Trust::builder().trust(domain, [authority.certificate()]);
    trust.and_then(|trust| trust.build()).expect("a fresh root")
}

/// Allows every caller that is known.
struct AllowAll;

impl NativePolicy for AllowAll {
    fn decide(&self, _: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
        Ok(Answer::Allow)
    }
}

impl TestGuard {
    /// Allows every request of a caller that it knows.
    ///
    /// # Panics
    /// Never with the policy that it has.
    pub fn allow_all() -> Self {
        let policies = PolicySetBuilder::new().native("allow-all", AllowAll).load();
        Self::new(policies.expect("a native policy loads"))
    }

    /// Decides by these policies.
    pub fn new(policies: PolicyStore) -> Self {
        Self::with(policies, |guard| guard)
    }

    /// Decides by these policies, with further settings: public routes, an audit sink, a form of
    /// refusals. Settings that were said here before are those of the test: the clock, for one.
    ///
    /// # Panics
    /// Never with the roots and keys that it has.
    pub fn with(
        policies: PolicyStore,
        settings: impl FnOnce(GuardBuilder<Ready>) -> GuardBuilder<Ready>,
    ) -> Self {
        let authority = Authority::new("test root");
        let issuer = TokenIssuer::new("https://id.test");
        let clock = ManualClock::new(a_day());
        let trust = trusting(DOMAIN, &authority);
        let keys = KeySet::from_jwks(&issuer.jwks()).expect("fresh keys");
        let known = Issuer::new(issuer.name()).audience("test").algorithms([issuer.algorithm()]).keys(keys);
        let tokens = TokenVerifier::builder().issuer(known).build().expect("a fresh issuer");
        let guard = Guard::builder()
            // There is no TLS in such a test; the chain is verified all the same.
            .peers(PeerAuthenticator::new(trust.clone()).trust_foreign_acceptor())
            .tokens(TokenAuthenticator::new(tokens))
            .policies(policies)
            .clock(clock.clone());
        let guard = settings(guard).build();
        let authorities = Mutex::new(BTreeMap::from([(DOMAIN.to_owned(), Arc::new(authority))]));
        Self(Arc::new(Parts { authorities, trust, issuer, clock, guard }))
    }

    /// Takes peers of this trust domain, too, as the service does whose policies name them. It has a
    /// root of its own. Clones take them as well.
    ///
    /// ```
    /// use http::{Request, Response, StatusCode};
    /// use tower::{Layer as _, ServiceExt as _, service_fn};
    /// use ztlib::enforce::GuardLayer;
    /// use ztlib_testing::TestGuard;
    ///
    /// # tokio_test::block_on(async {
    /// let test = TestGuard::allow_all().trust_domain("shop.example");
    /// let handler = service_fn(|_: Request<()>| async { Ok::<_, std::io::Error>(Response::new(())) });
    /// let service = GuardLayer::new(test.guard()).layer(handler);
    ///
    /// let ours = test.caller("alice").peer("spiffe://shop.example/frontend");
    /// let ours = ours.get("/orders/7").body(()).unwrap();
    /// assert_eq!(service.clone().oneshot(ours).await.unwrap().status(), StatusCode::OK);
    ///
    /// let theirs = test.caller("alice").peer("spiffe://partner.example/frontend");
    /// let theirs = theirs.get("/orders/7").body(()).unwrap();
    /// assert_eq!(service.oneshot(theirs).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    /// # });
    /// ```
    ///
    /// # Panics
    /// `domain` is not a trust domain (SPIFFE-ID section 2.1).
    #[must_use]
    pub fn trust_domain(self, domain: &str) -> Self {
        let mut authorities = self.0.authorities.lock().unwrap_or_else(PoisonError::into_inner);
        if !authorities.contains_key(domain) {
            let authority = Authority::new("test root of another trust domain");
            self.0.trust.update(trusting(domain, &authority)).expect("a fresh root is nobody else's");
            authorities.insert(domain.to_owned(), Arc::new(authority));
        }
        drop(authorities);
        self
    }

    /// The guard, for a `GuardedRouter`, `GuardedRoutes` or `GuardLayer`.
    pub fn guard(&self) -> Guard {
        self.0.guard.clone()
    }

    /// The clock by which it judges.
    pub fn clock(&self) -> &ManualClock {
        &self.0.clock
    }

    /// The authority of a SPIFFE ID's trust domain.
    fn authority_of(&self, id: &str) -> Arc<Authority> {
        let domain = id.strip_prefix("spiffe://").and_then(|rest| rest.split('/').next());
        let authorities = self.0.authorities.lock().unwrap_or_else(PoisonError::into_inner);
        let known = domain.and_then(|domain| authorities.get(domain)).or_else(|| authorities.get(DOMAIN));
        Arc::clone(known.expect("the first domain stays"))
    }

    /// A caller with a token for this subject, through the peer `spiffe://test/client`.
    pub fn caller(&self, subject: &str) -> TestCaller {
        TestCaller {
            test: self.clone(),
            subject: subject.to_owned(),
            roles: Vec::new(),
            claims: Vec::new(),
            has_token: true,
            peer: Some("spiffe://test/client".to_owned()),
        }
    }
}

/// A caller that a [`TestGuard`] knows. Made by [`TestGuard::caller`].
#[derive(Clone)]
#[must_use = "a caller calls with `get`, `request` or `sign`"]
pub struct TestCaller {
    test: TestGuard,
    subject: String,
    roles: Vec<String>,
    claims: Vec<(String, serde_json::Value)>,
    has_token: bool,
    peer: Option<String>,
}

impl TestCaller {
    /// One role more in the claim `roles`.
    pub fn role(mut self, role: &str) -> Self {
        self.roles.push(role.to_owned());
        self
    }

    /// These scopes, parted by spaces, in the claim `scope`.
    pub fn scope(self, scope: &str) -> Self {
        self.claim("scope", scope)
    }

    /// One claim more, in place of one of that name.
    ///
    /// # Panics
    /// The value cannot be written as JSON.
    pub fn claim(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("a claim is JSON");
        self.claims.push((name.to_owned(), value));
        self
    }

    /// Calls through another peer. One of a trust domain that the guard does not take has a
    /// certificate of the root of `test`, and is refused.
    pub fn peer(mut self, spiffe_id: &str) -> Self {
        self.peer = Some(spiffe_id.to_owned());
        self
    }

    /// Sends no token.
    pub fn without_token(mut self) -> Self {
        self.has_token = false;
        self
    }

    /// Shows no certificate.
    pub fn without_peer(mut self) -> Self {
        self.peer = None;
        self
    }

    /// A GET of this caller, to be given a body.
    pub fn get(&self, path: &str) -> Builder {
        self.request(Method::GET, path)
    }

    /// A request of this caller, to be given headers and a body.
    pub fn request(&self, method: Method, path: &str) -> Builder {
        let mut builder = Request::builder().method(method).uri(path).header("host", "service.test");
        if let Some(token) = self.token() {
            builder = builder.header("authorization", format!("Bearer {token}"));
        }
        if let Some(peer) = self.issued() {
            builder = builder.extension(PeerCertificates::foreign(peer.chain()));
        }
        builder
    }

    /// Makes a request that is there already one of this caller: `Authorization` is replaced. With
    /// tower's `map_request` every request of a generated gRPC client is signed by it.
    ///
    /// # Panics
    /// Never: a token is a value of a header.
    pub fn sign<B>(&self, mut request: Request<B>) -> Request<B> {
        if let Some(token) = self.token() {
            let value = format!("Bearer {token}").try_into().expect("a token is a header's value");
            request.headers_mut().insert("authorization", value);
        }
        if let Some(peer) = self.issued() {
            request.extensions_mut().insert(PeerCertificates::foreign(peer.chain()));
        }
        request
    }

    /// The token, good for five minutes of the test's clock.
    fn token(&self) -> Option<String> {
        let token =
            self.test.0.issuer.token_at(self.test.0.clock.now()).subject(&self.subject).audience("test");
        let mut token = token.expires_in(Duration::from_secs(300));
        if !self.roles.is_empty() {
            token = token.claim("roles", &self.roles);
        }
        for (name, value) in &self.claims {
            token = token.claim(name, value);
        }
        self.has_token.then(|| token.sign())
    }

    fn issued(&self) -> Option<Issued> {
        self.peer.as_deref().map(|id| self.test.authority_of(id).issue_spiffe(id))
    }
}

//! The service: a thin shell around [`TokenAuthenticator`].

use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use crate::authenticate::token::TokenAuthenticator;
use crate::authenticate::token::TokenError;
use crate::authenticate::token::VerifiedClaims;
use crate::clock::SharedClock;
use crate::enforce::Established;
use crate::enforce::respond::{Cause, Protocol, Refusal, ReplyTo, ResponseBody, ResponseFuture};

/// Passes requests whose token is good. Made by
/// [`AuthenticateTokenLayer`](crate::enforce::layers::AuthenticateTokenLayer).
#[derive(Debug, Clone)]
pub struct AuthenticateToken<S> {
    inner: S,
    authenticator: TokenAuthenticator,
    clock: SharedClock,
    protocol: Protocol,
}

impl<S> AuthenticateToken<S> {
    pub(super) fn new(
        inner: S,
        authenticator: TokenAuthenticator,
        clock: SharedClock,
        protocol: Protocol,
    ) -> Self {
        Self { inner, authenticator, clock, protocol }
    }

    /// The judgement. On success, the request's extensions hold what the handler needs.
    fn judge<B>(&self, request: &mut Request<B>) -> Result<(), TokenError> {
        // Claims already in the extensions have no say in who is calling.
        request.extensions_mut().remove::<VerifiedClaims>();
        let claims = self.authenticator.authenticate(request.headers(), self.clock.now())?;
        if let Some(claims) = &claims {
            request.extensions_mut().insert(claims.clone());
        }
        request.extensions_mut().insert(Established(claims));
        Ok(())
    }
}

impl<S, B, R> Service<Request<B>> for AuthenticateToken<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let caller = ReplyTo::of(request.method(), request.version(), request.headers());
        match self.judge(&mut request) {
            Ok(()) => ResponseFuture::passed(self.inner.call(request), caller),
            Err(error) => ResponseFuture::refused(
                Refusal::by_one_stage(Cause::Token(error)).answer(caller, self.protocol),
            ),
        }
    }
}
#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use http::StatusCode;
    use http::header::WWW_AUTHENTICATE;
    use http_body_util::BodyExt as _;
    use tower::{ServiceExt as _, service_fn};
    use tower_layer::Layer as _;
    use ztlib_testing::TokenIssuer;

    use super::*;
    use crate::Clock;
    use crate::authenticate::token::{Algorithm, Issuer, KeySet, TokenVerifier};
    use crate::enforce::layers::AuthenticateTokenLayer;

    #[derive(Clone, Copy)]
    struct At(SystemTime);

    impl Clock for At {
        fn now(&self) -> SystemTime {
            self.0
        }
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_767_225_600)
    }

    fn authenticator(id: &TokenIssuer) -> TokenAuthenticator {
        let keys = KeySet::from_jwks(&id.jwks()).unwrap();
        let issuer = Issuer::new(id.name()).audience("shop").algorithms([Algorithm::ES256]).keys(keys);
        TokenAuthenticator::new(TokenVerifier::builder().issuer(issuer).build().unwrap())
    }

    fn request(token: Option<&str>) -> Request<()> {
        let request = Request::builder();
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        request.body(()).unwrap()
    }

    fn refused_with<B>(response: &Response<B>) -> Option<&str> {
        response.extensions().get::<Refusal>().map(|refusal| refusal.cause().code())
    }

    /// Runs a request through the layer, to a handler that answers with the subject it sees.
    async fn ask(authenticator: TokenAuthenticator, request: Request<()>) -> Response<String> {
        let handler = service_fn(|request: Request<()>| async move {
            let claims = request.extensions().get::<VerifiedClaims>();
            Ok::<_, Infallible>(Response::new(format!("subject {:?}", claims.map(|claims| claims.subject()))))
        });
        let answer = AuthenticateTokenLayer::new(authenticator)
            .clock(At(now()))
            .layer(handler)
            .oneshot(request)
            .await
            .unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Response::from_parts(parts, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_good_token_reaches_the_handler_as_claims() {
        let id = TokenIssuer::new("https://id.example");
        let token = id.token_at(now()).subject("u1").audience("shop").sign();
        let response = ask(authenticator(&id), request(Some(&token))).await;
        assert_eq!(
            (response.status(), response.body().as_str()),
            (StatusCode::OK, "subject Some(Some(\"u1\"))")
        );
    }

    #[tokio::test]
    async fn a_missing_token_is_challenged_without_an_error_code() {
        let id = TokenIssuer::new("https://id.example");
        let response = ask(authenticator(&id), request(None)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
        assert_eq!(refused_with(&response), Some("token-missing"));
        let anonymous = ask(authenticator(&id).allow_missing_token(), request(None)).await;
        assert_eq!(anonymous.body(), "subject None");
    }

    #[tokio::test]
    async fn the_answer_is_the_same_for_every_fault_of_a_token() {
        let id = TokenIssuer::new("https://id.example");
        let token = || id.token_at(now()).subject("u1").audience("shop");
        let faults = [
            (token().signed_by_unknown_key().sign(), "token-signature"),
            (token().header("kid", "unknown").sign(), "token-unknown-key"),
            (token().claim("aud", "bank").sign(), "token-audience"),
            (token().claim("iss", "https://evil.example").sign(), "token-unknown-issuer"),
            (token().expired().sign(), "token-expired"),
            (token().critical(&["x"]).sign(), "token-critical-header"),
        ];
        let mut bodies = std::collections::BTreeSet::new();
        for (fault, code) in faults {
            let response = ask(authenticator(&id).allow_missing_token(), request(Some(&fault))).await;
            assert_eq!(refused_with(&response), Some(code));
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer error=\"invalid_token\"");
            // Everything but the id is the same.
            let id = response.extensions().get::<Refusal>().unwrap().id().to_string();
            bodies.insert(response.body().replace(&id, ""));
        }
        assert_eq!(bodies.len(), 1, "{bodies:?}");
    }

    #[tokio::test]
    async fn claims_that_stood_in_the_extensions_before_are_removed() {
        let id = TokenIssuer::new("https://id.example");
        let token = id.token_at(now()).subject("u1").audience("shop").sign();
        let mut headers = http::HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        let earlier = authenticator(&id).authenticate(&headers, now()).unwrap().unwrap();
        let mut request = request(None);
        request.extensions_mut().insert(earlier);
        let response = ask(authenticator(&id).allow_missing_token(), request).await;
        assert_eq!(response.body(), "subject None");
    }

    #[tokio::test]
    async fn readiness_is_that_of_the_inner_service_and_refusing_does_not_call_it() {
        let id = TokenIssuer::new("https://id.example");
        let layer = AuthenticateTokenLayer::new(authenticator(&id)).clock(At(now()));
        let (mut service, mut handle) =
            tower_test::mock::spawn_with(|inner: tower_test::mock::Mock<Request<()>, Response<String>>| {
                layer.layer(inner)
            });
        handle.allow(0);
        assert!(service.poll_ready().is_pending());
        handle.allow(1);
        assert!(service.poll_ready().is_ready());
        let refused = service.call(request(None)).await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert!(handle.poll_request().is_pending(), "the inner service was not called");

        let token = id.token_at(now()).audience("shop").sign();
        assert!(service.poll_ready().is_ready());
        let answer = service.call(request(Some(&token)));
        let (_, send) = handle.next_request().await.unwrap();
        send.send_response(Response::new("inner".to_owned()));
        let body = answer.await.unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "inner");
    }
}

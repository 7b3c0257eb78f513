//! The token layer of jwt-authorizer, on the axum that it supports, and the floor under any token:
//! `jsonwebtoken::decode`.

use std::convert::Infallible;

use axum07::Router;
use axum07::body::Body;
use axum07::routing::get;
use http::{HeaderValue, Request, StatusCode};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode};
use jwt_authorizer::{IntoLayer as _, JwtAuthorizer};
use tower::Service;
use ztlib_benches::Caller;

use crate::Failure;
use crate::measure::now;
use crate::ours::PATH;

/// axum 0.7, bare or behind jwt-authorizer.
#[derive(Debug)]
pub struct Old {
    router: axum07::routing::RouterIntoService<Body>,
    bearer: HeaderValue,
}

impl Old {
    fn router() -> Router {
        Router::new().route("/api/v190/users/:id/items/:item", get(|| async { "hello" })).with_state(())
    }

    /// No layer.
    ///
    /// # Errors
    /// The token cannot stand in a header.
    pub fn bare(token: &str) -> Result<Self, Failure> {
        let bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
        Ok(Self { router: Self::router().into_service(), bearer })
    }

    /// As <https://docs.rs/jwt-authorizer/0.15.0/jwt_authorizer/> shows it: the key set, a
    /// validation with issuer and audience, the layer.
    ///
    /// # Errors
    /// The key set is not taken.
    pub fn guarded(caller: &Caller, token: &str) -> Result<Self, Failure> {
        let validation =
            jwt_authorizer::Validation::new().iss(&[caller.issuer.name()]).aud(&["shop"]).nbf(true);
        let keys = String::from_utf8(caller.issuer.jwks())?;
        let builder: JwtAuthorizer<serde_json::Value> = JwtAuthorizer::from_jwks_text(&keys);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let authorizer = runtime.block_on(builder.validation(validation).build())?;
        let router = Self::router().layer(authorizer.into_layer());
        let bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
        Ok(Self { router: router.into_service(), bearer })
    }

    /// The status of the answer, with this token or the caller's own.
    pub fn status(&mut self, bearer: Option<HeaderValue>) -> StatusCode {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = http::Uri::from_static(PATH);
        let headers = request.headers_mut();
        headers.insert(http::header::HOST, HeaderValue::from_static("localhost"));
        headers.insert(http::header::AUTHORIZATION, bearer.unwrap_or_else(|| self.bearer.clone()));
        let answer: Result<_, Infallible> = now(self.router.call(request));
        answer.map_or(StatusCode::INTERNAL_SERVER_ERROR, |answer| answer.status())
    }

    /// Calls it this many times.
    ///
    /// # Panics
    /// The answer is not a 200.
    pub fn run(&mut self, times: u64) {
        for _ in 0..times {
            assert_eq!(self.status(None), StatusCode::OK);
        }
    }
}

/// `jsonwebtoken::decode` with the checks that a verifier has to make, and a key that is parsed
/// once.
pub struct Decoder {
    key: DecodingKey,
    validation: Validation,
}

impl Decoder {
    /// For the caller's issuer.
    ///
    /// # Errors
    /// The key set is not taken.
    pub fn new(caller: &Caller) -> Result<Self, Failure> {
        let set: JwkSet = serde_json::from_slice(&caller.issuer.jwks())?;
        let key = DecodingKey::from_jwk(set.keys.first().ok_or("no key")?)?;
        let mut validation = Validation::new(caller.issuer.algorithm().name().parse()?);
        validation.validate_nbf = true;
        validation.set_audience(&["shop"]);
        validation.set_issuer(&[caller.issuer.name()]);
        Ok(Self { key, validation })
    }

    /// Whether the token is good.
    pub fn decode(&self, token: &str) -> bool {
        decode::<serde_json::Value>(token, &self.key, &self.validation).is_ok()
    }
}

//! What handlers take: the proof that the guard let the request through, and who is calling.

use std::ops::Deref;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;

/// The [`Permit`](ztlib::enforce::Permit) of this request. A handler that takes it cannot run
/// without the guard.
#[derive(Debug, Clone)]
pub struct Permit(pub ztlib::enforce::Permit);

/// Who is calling.
#[derive(Debug, Clone)]
pub struct Principal(pub ztlib::authenticate::Principal);

/// The mTLS peer. Where the guard takes callers without a certificate, ask for
/// `Option<PeerIdentity>` through [`Principal`].
#[derive(Debug, Clone)]
pub struct PeerIdentity(pub ztlib::authenticate::peer::PeerIdentity);

/// The claims of the verified token in a shape of the application's own.
#[derive(Debug, Clone)]
pub struct Claims<T>(pub T);

/// A handler asked for what the guard did not establish: it runs outside of a guard, on a public
/// route, or for a caller without certificate or token. The caller gets 500 and learns nothing; it
/// is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotGuarded {
    what: &'static str,
}

impl std::fmt::Display for NotGuarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a handler asked for {}, which the guard did not establish", self.what)
    }
}

impl std::error::Error for NotGuarded {}

impl IntoResponse for NotGuarded {
    fn into_response(self) -> Response {
        tracing::error!(target: "ztlib::guard", "{self}");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

fn permit(parts: &Parts) -> Result<&ztlib::enforce::Permit, NotGuarded> {
    parts.extensions.get().ok_or(NotGuarded { what: "a permit" })
}

impl<S: Sync> FromRequestParts<S> for Permit {
    type Rejection = NotGuarded;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotGuarded> {
        permit(parts).cloned().map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = NotGuarded;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotGuarded> {
        Ok(Self(permit(parts)?.principal().clone()))
    }
}

impl<S: Sync> FromRequestParts<S> for PeerIdentity {
    type Rejection = NotGuarded;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotGuarded> {
        permit(parts)?.principal().peer().cloned().map(Self).ok_or(NotGuarded { what: "a peer identity" })
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Claims<T> {
    type Rejection = NotGuarded;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotGuarded> {
        let claims = permit(parts)?.principal().claims().ok_or(NotGuarded { what: "claims" })?;
        claims
            .deserialize()
            .map(Self)
            .map_err(|_| NotGuarded { what: "claims of a shape that the token does not have" })
    }
}

impl Deref for Permit {
    type Target = ztlib::enforce::Permit;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Deref for Principal {
    type Target = ztlib::authenticate::Principal;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Deref for PeerIdentity {
    type Target = ztlib::authenticate::peer::PeerIdentity;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

//! A refusal as a handler's error.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use ztlib::enforce::{Protocol, Refusal};

/// A [`Refusal`] that a handler can return: `guard.ask(…)?` in a handler whose error is `Refused`.
#[derive(Debug, Clone)]
pub struct Refused(pub Box<Refusal>);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(Box::new(refusal))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.0.into_response::<Body>(Protocol::Http).map(Body::new)
    }
}

//! The table of refusals: what each says in HTTP and in gRPC, and how much the caller may learn.

use std::fmt;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::body::ResponseBody;
use super::caller::{Protocol, ReplyTo};
use super::form::{RefusalForm, reform};
use super::grpc_status;
use crate::authenticate::peer::PeerError;
use crate::authenticate::token::{TokenError, TokenErrorKind};
use crate::authorize::{Denial, Fault, FaultOrigin, StepUp};
use crate::request_id::RequestId;
use ztlib_contract::target::TargetError;

/// The answer to a denial, a fault, a failed authentication, or a request that cannot be judged.
///
/// Its `Debug` and [`Refusal::cause`] hold the full reason, for the operator.
/// [`Refusal::into_response`] contains only what the caller may know. Layers outside find the
/// refusal in the extensions of the response.
#[derive(Debug, Clone)]
pub struct Refusal {
    id: RequestId,
    cause: Cause,
    challenge: Challenge,
}

/// Why a request was refused.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Cause {
    /// The path, the host or the method cannot be judged.
    Target(TargetError),
    /// The connection's peer could not be authenticated.
    Peer(PeerError),
    /// The bearer token is missing or is not good.
    Token(TokenError),
    /// A policy denied.
    Denial(Denial),
    /// No route matches the request, and a policy denied it.
    NoRoute(Denial),
    /// No decision could be reached.
    Fault(Fault),
}

/// The scheme that a 401 names: `Bearer` if the guard takes tokens, otherwise a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Challenge {
    Bearer,
    Certificate,
}

/// One row of the table.
struct Row {
    status: StatusCode,
    grpc: u8,
    title: &'static str,
}

/// Why a request that matches no route is refused.
const NO_ROUTE: &str = "no-route";

const INVALID_ARGUMENT: u8 = 3;
const PERMISSION_DENIED: u8 = 7;
const UNAVAILABLE: u8 = 14;
const UNAUTHENTICATED: u8 = 16;

impl Refusal {
    pub(crate) fn new(id: RequestId, cause: Cause, challenge: Challenge) -> Self {
        Self { id, cause, challenge }
    }

    /// The refusal of a layer that works alone. No guard leaves an audit event for it, so it is
    /// logged here.
    pub(crate) fn by_one_stage(cause: Cause) -> Self {
        let challenge =
            if matches!(cause, Cause::Peer(_)) { Challenge::Certificate } else { Challenge::Bearer };
        let id = RequestId::next();
        tracing::info!(target: "ztlib::refusal", %id, stage = cause.stage(), reason = cause.code(), detail = ?cause.to_string());
        Self::new(id, cause, challenge)
    }

    /// The id that the caller and the audit event share.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// The full reason, for the operator.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// The denial, if a policy denied.
    pub fn denial(&self) -> Option<&Denial> {
        match &self.cause {
            Cause::Denial(denial) | Cause::NoRoute(denial) => Some(denial),
            _ => None,
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.row().status
    }

    /// The gRPC status code.
    pub fn grpc_code(&self) -> u8 {
        self.row().grpc
    }

    /// The stable code that the caller receives. All faults of credentials share one code, and so
    /// do all faults of the service. For a fault of the request itself, the caller learns the
    /// precise code.
    pub fn code(&self) -> &str {
        match &self.cause {
            Cause::Target(error) => error.code(),
            Cause::Peer(_) | Cause::Token(_) => "unauthenticated",
            Cause::Denial(denial) => denial.reason().as_str(),
            Cause::NoRoute(_) => NO_ROUTE,
            Cause::Fault(fault) => match fault.origin() {
                FaultOrigin::Request => fault.code(),
                FaultOrigin::Service => "fault",
            },
        }
    }

    /// The text for the caller, if a policy gave one or the request itself is at fault.
    pub fn message(&self) -> Option<String> {
        match &self.cause {
            Cause::Target(error) => Some(error.to_string()),
            Cause::Denial(denial) => denial.message().map(str::to_owned),
            Cause::Peer(_) | Cause::Token(_) | Cause::NoRoute(_) | Cause::Fault(_) => None,
        }
    }

    fn row(&self) -> Row {
        let row = |status, grpc, title| Row { status, grpc, title };
        match &self.cause {
            Cause::Target(_) => {
                row(StatusCode::BAD_REQUEST, INVALID_ARGUMENT, "the request cannot be judged")
            }
            Cause::Fault(fault) if fault.origin() == FaultOrigin::Request => {
                row(StatusCode::BAD_REQUEST, INVALID_ARGUMENT, "the request cannot be judged")
            }
            Cause::Peer(_) | Cause::Token(_) => {
                row(StatusCode::UNAUTHORIZED, UNAUTHENTICATED, "the caller is not authenticated")
            }
            Cause::Denial(denial) if denial.step_up().is_some() => {
                row(StatusCode::UNAUTHORIZED, UNAUTHENTICATED, "a stronger or fresher login is needed")
            }
            Cause::Denial(_) | Cause::NoRoute(_) => {
                row(StatusCode::FORBIDDEN, PERMISSION_DENIED, "the request is not permitted")
            }
            Cause::Fault(_) => {
                row(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, "no decision could be reached")
            }
        }
    }

    /// The response to the caller in this protocol:
    ///
    /// - a request that cannot be judged, because of its path, host or method, or what a policy
    ///   reads from it ([`FaultOrigin::Request`]): 400, INVALID_ARGUMENT
    /// - no token: 401, UNAUTHENTICATED, `Bearer` (without an error code, by RFC 6750 section 3.1)
    /// - a token that is not good: 401, UNAUTHENTICATED, `Bearer error="invalid_token"`, whatever
    ///   is wrong with it
    /// - no good peer: 401, UNAUTHENTICATED, `Bearer`, or `Client-Certificate` if the guard takes
    ///   no tokens
    /// - a denial: 403, PERMISSION_DENIED
    /// - no route matches, and a policy denies (`no-route`): 403, PERMISSION_DENIED
    /// - a denial that asks for step-up: 401, UNAUTHENTICATED,
    ///   `Bearer error="insufficient_user_authentication"` (RFC 9470 section 3)
    /// - a fault of the service: 503, UNAVAILABLE
    pub fn into_response<B>(self, protocol: Protocol) -> Response<ResponseBody<B>> {
        let (bytes, head) = self.into_parts(protocol);
        head.map(|()| ResponseBody::refusal(bytes))
    }

    fn into_parts(self, protocol: Protocol) -> (Bytes, Response<()>) {
        let (bytes, mut headers) = match protocol {
            Protocol::Http => self.problem(),
            Protocol::Grpc => (Bytes::new(), self.trailers()),
        };
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        // A refusal is only valid for this caller at this moment.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let mut response = Response::new(());
        *response.status_mut() = match protocol {
            Protocol::Http => self.status(),
            Protocol::Grpc => StatusCode::OK,
        };
        *response.headers_mut() = headers;
        response.extensions_mut().insert(self);
        (bytes, response)
    }

    /// The response to this caller, from a service that speaks `served`.
    pub(crate) fn answer<B>(self, caller: ReplyTo, served: Protocol) -> Response<ResponseBody<B>> {
        let (bytes, head) = self.into_parts(caller.protocol(served));
        caller.fit_refusal(head, bytes)
    }

    /// The same, in a custom form over HTTP if there is one.
    pub(crate) fn answer_in_form<B>(
        self,
        caller: ReplyTo,
        served: Protocol,
        form: &dyn RefusalForm,
        request: &Parts,
    ) -> Response<ResponseBody<B>> {
        let protocol = caller.protocol(served);
        let (mut bytes, mut head) = self.clone().into_parts(protocol);
        if protocol == Protocol::Http {
            reform(form, &self, request, &mut head, &mut bytes);
        }
        caller.fit_refusal(head, bytes)
    }

    fn problem(&self) -> (Bytes, HeaderMap) {
        let row = self.row();
        let mut body = serde_json::json!({
            "type": "about:blank",
            "title": row.title,
            "status": row.status.as_u16(),
            "code": self.code(),
            "id": self.id.to_string(),
        });
        if let (Some(members), Some(message)) = (body.as_object_mut(), self.message()) {
            members.insert("detail".to_owned(), message.into());
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        (Bytes::from(body.to_string()), headers)
    }

    fn trailers(&self) -> HeaderMap {
        let row = self.row();
        let message = self.message().unwrap_or_else(|| row.title.to_owned());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(u16::from(row.grpc)));
        let text = grpc_status::percent_encode(&message);
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(HeaderName::from_static("grpc-message"), value);
        }
        let details = grpc_status::details(row.grpc, &message, self.code(), &self.id.to_string());
        if let Ok(value) = HeaderValue::try_from(details) {
            headers.insert(HeaderName::from_static("grpc-status-details-bin"), value);
        }
        headers
    }

    fn challenge(&self) -> Option<HeaderValue> {
        let step_up = |step_up: &StepUp| {
            // Both values were checked to fit a quoted string when the policy set them.
            let mut text = "Bearer error=\"insufficient_user_authentication\"".to_owned();
            if let Some(acr) = step_up.acr() {
                text.push_str(&format!(", acr_values=\"{acr}\""));
            }
            if let Some(max_age) = step_up.max_age() {
                text.push_str(&format!(", max_age={max_age}"));
            }
            HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
        };
        match (&self.cause, self.challenge) {
            (Cause::Token(error), _) if error.kind() == TokenErrorKind::Missing => {
                Some(HeaderValue::from_static("Bearer"))
            }
            (Cause::Token(_), _) => Some(HeaderValue::from_static("Bearer error=\"invalid_token\"")),
            (Cause::Peer(_), Challenge::Bearer) => Some(HeaderValue::from_static("Bearer")),
            (Cause::Peer(_), Challenge::Certificate) => Some(HeaderValue::from_static("Client-Certificate")),
            (Cause::Denial(denial), _) => denial.step_up().map(step_up),
            (Cause::Target(_) | Cause::NoRoute(_) | Cause::Fault(_), _) => None,
        }
    }
}

impl Cause {
    /// The stage that refused: `enforce`, `peer`, `token` or `authorize`.
    pub fn stage(&self) -> &'static str {
        match self {
            Self::Target(_) => "enforce",
            Self::Peer(_) => "peer",
            Self::Token(_) => "token",
            Self::Denial(_) | Self::NoRoute(_) | Self::Fault(_) => "authorize",
        }
    }

    /// The precise code, for the operator. The caller receives [`Refusal::code`].
    pub fn code(&self) -> &str {
        match self {
            Self::Target(error) => error.code(),
            Self::Peer(error) => error.code(),
            Self::Token(error) => error.code(),
            Self::Denial(denial) => denial.reason().as_str(),
            Self::NoRoute(_) => NO_ROUTE,
            Self::Fault(fault) => fault.code(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(error) => error.fmt(f),
            Self::Peer(error) => error.fmt(f),
            Self::Token(error) => error.fmt(f),
            Self::Denial(denial) => write!(f, "policy `{}` denied: {}", denial.policy(), denial.reason()),
            Self::NoRoute(denial) => {
                let (policy, reason) = (denial.policy(), denial.reason());
                write!(f, "no route matches, and policy `{policy}` denied: {reason}")
            }
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

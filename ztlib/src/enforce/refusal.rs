//! One table: what a refusal says in HTTP and in gRPC, and how much the caller may learn.

use std::fmt;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, UPGRADE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};

use super::body::ResponseBody;
use super::grpc_status;
use super::target::TargetError;
use crate::authenticate::peer::PeerError;
use crate::authenticate::token::{TokenError, TokenErrorKind};
use crate::authorize::{Denial, Fault, StepUp};
use crate::observe::RequestId;

/// In which protocol's words a caller is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the adapters handle both")]
pub enum Protocol {
    /// A status and a `application/problem+json` body (RFC 9457).
    Http,
    /// A trailers-only reply with `grpc-status` and details.
    Grpc,
}

impl Protocol {
    /// The protocol that a request speaks, by its content type: gRPC has one of its own.
    fn of(headers: &HeaderMap) -> Self {
        let grpc = headers.get(CONTENT_TYPE).is_some_and(|value| {
            let rest = value.as_bytes().strip_prefix(b"application/grpc");
            // Not "application/grpc-web": its trailers are in the body, so it is answered as HTTP.
            rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
        });
        if grpc { Self::Grpc } else { Self::Http }
    }
}

/// What of a request its refusal hangs on, taken before the request is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    protocol: Protocol,
    /// The caller may have sent more in the hope of another protocol.
    pub(super) hopes: bool,
}

impl Caller {
    pub(crate) fn of(method: &Method, version: Version, headers: &HeaderMap) -> Self {
        // HTTP/2 has no upgrade, and a tunnel there is a stream of its own.
        let hopes =
            version <= Version::HTTP_11 && (method == Method::CONNECT || headers.contains_key(UPGRADE));
        Self { protocol: Protocol::of(headers), hopes }
    }

    /// Ends the connection after this answer where the caller hoped for another protocol and does not get it: what it has sent
    /// already is not to be read as a request (RFC 9931).
    pub(super) fn close<B>(hopes: bool, response: &mut Response<B>) {
        if hopes && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// What the caller gets for a denial, a fault, a failed authentication, or a request that cannot be judged.
///
/// Its `Debug` and [`Refusal::cause`] hold the whole reason, for the operator; [`Refusal::into_response`] says what the
/// caller may know. An outer layer finds it in the extensions of the response.
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
    /// No decision could be reached.
    Fault(Fault),
}

/// The scheme to name in a 401: a guard that takes tokens asks for one, one that does not asks for a certificate.
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

const INVALID_ARGUMENT: u8 = 3;
const PERMISSION_DENIED: u8 = 7;
const UNAVAILABLE: u8 = 14;
const UNAUTHENTICATED: u8 = 16;

impl Refusal {
    pub(crate) fn new(id: RequestId, cause: Cause, challenge: Challenge) -> Self {
        Self { id, cause, challenge }
    }

    /// The refusal of a stage that works alone. There is no guard to leave an audit event, so it is logged here.
    pub(crate) fn by_one_stage(cause: Cause) -> Self {
        let challenge =
            if matches!(cause, Cause::Peer(_)) { Challenge::Certificate } else { Challenge::Bearer };
        let id = RequestId::next();
        tracing::info!(target: "ztlib::refusal", %id, stage = cause.stage(), reason = cause.code(), detail = ?cause.to_string());
        Self::new(id, cause, challenge)
    }

    /// The id that the caller sees and that the audit event carries.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// The whole reason, for the operator.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// The denial, where a policy denied.
    pub fn denial(&self) -> Option<&Denial> {
        match &self.cause {
            Cause::Denial(denial) => Some(denial),
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

    /// The stable code that the caller gets. It is the same for every fault of a credential, and for every fault of a policy.
    pub fn code(&self) -> &str {
        match &self.cause {
            Cause::Target(error) => error.code(),
            Cause::Peer(_) | Cause::Token(_) => "unauthenticated",
            Cause::Denial(denial) => denial.reason().as_str(),
            Cause::Fault(_) => "fault",
        }
    }

    /// The text for the caller, where a policy gave one or the request itself is at fault.
    pub fn message(&self) -> Option<String> {
        match &self.cause {
            Cause::Target(error) => Some(error.to_string()),
            Cause::Denial(denial) => denial.message().map(str::to_owned),
            Cause::Peer(_) | Cause::Token(_) | Cause::Fault(_) => None,
        }
    }

    fn row(&self) -> Row {
        let row = |status, grpc, title| Row { status, grpc, title };
        match &self.cause {
            Cause::Target(_) => {
                row(StatusCode::BAD_REQUEST, INVALID_ARGUMENT, "the request cannot be judged")
            }
            Cause::Peer(_) | Cause::Token(_) => {
                row(StatusCode::UNAUTHORIZED, UNAUTHENTICATED, "the caller is not authenticated")
            }
            Cause::Denial(denial) if denial.step_up().is_some() => {
                row(StatusCode::UNAUTHORIZED, UNAUTHENTICATED, "a stronger or fresher login is needed")
            }
            Cause::Denial(_) => row(StatusCode::FORBIDDEN, PERMISSION_DENIED, "the request is not permitted"),
            Cause::Fault(_) => {
                row(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, "no decision could be reached")
            }
        }
    }

    /// The response that tells the caller, in the words of the protocol.
    ///
    /// | cause | HTTP | gRPC | `WWW-Authenticate` |
    /// |---|---|---|---|
    /// | the request cannot be judged | 400 | INVALID_ARGUMENT | |
    /// | no token | 401 | UNAUTHENTICATED | `Bearer` (RFC 6750 section 3.1: no error where nothing was tried) |
    /// | a token that is not good | 401 | UNAUTHENTICATED | `Bearer error="invalid_token"`, whatever is wrong with it |
    /// | no good peer | 401 | UNAUTHENTICATED | `Bearer`, or `Client-Certificate` where no tokens are taken |
    /// | a denial | 403 | PERMISSION_DENIED | |
    /// | a denial that asks for step-up | 401 | UNAUTHENTICATED | `Bearer error="insufficient_user_authentication"` (RFC 9470 section 3) |
    /// | a fault | 503 | UNAVAILABLE | |
    pub fn into_response<B>(self, protocol: Protocol) -> Response<ResponseBody<B>> {
        let (bytes, mut headers) = match protocol {
            Protocol::Http => self.problem(),
            Protocol::Grpc => (Bytes::new(), self.trailers()),
        };
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        // A refusal is about this caller at this moment.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let mut response = Response::new(ResponseBody::refusal(bytes));
        *response.status_mut() = match protocol {
            Protocol::Http => self.status(),
            Protocol::Grpc => StatusCode::OK,
        };
        *response.headers_mut() = headers;
        response.extensions_mut().insert(self);
        response
    }

    /// The response to this caller.
    pub(crate) fn answer<B>(self, caller: Caller) -> Response<ResponseBody<B>> {
        let mut response = self.into_response(caller.protocol);
        Caller::close(caller.hopes, &mut response);
        response
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
            // Both parts were checked to fit a quoted string when the policy gave them.
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
            (Cause::Target(_) | Cause::Fault(_), _) => None,
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
            Self::Denial(_) | Self::Fault(_) => "authorize",
        }
    }

    /// The precise code, for the operator: the caller gets [`Refusal::code`].
    pub fn code(&self) -> &str {
        match self {
            Self::Target(error) => error.code(),
            Self::Peer(error) => error.code(),
            Self::Token(error) => error.code(),
            Self::Denial(denial) => denial.reason().as_str(),
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
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

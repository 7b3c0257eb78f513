//! What a caller gets, read from a response in either protocol.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::Value;

use crate::scenario::ScenarioError;

/// The response header by which the handlers of a stack say which of them ran.
pub(super) const REACHED: HeaderName = HeaderName::from_static("x-reached");

/// What a gRPC status says where there is nothing to add.
const USUAL_MESSAGES: [&str; 5] = [
    "the request cannot be judged",
    "the request is not permitted",
    "no decision could be reached",
    "the caller is not authenticated",
    "a stronger or fresher login is needed",
];

/// What the caller gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the model and the stacks make it")]
pub struct Reply {
    /// What ran: a route's template, or `fallback`. None for a refusal; then the rest says how.
    pub reached: Option<String>,
    /// The HTTP status of a refusal, where HTTP was spoken.
    pub status: Option<u16>,
    /// The gRPC code of a refusal, where gRPC was spoken.
    pub grpc: Option<u8>,
    /// The code that the caller is told.
    pub code: Option<String>,
    /// The message that the caller is told, beyond the status's own.
    pub message: Option<String>,
    /// `WWW-Authenticate`.
    pub challenge: Option<String>,
    /// The id of the audit event, as the caller is told.
    pub id: Option<String>,
}

impl Reply {
    /// What a response says, trailers-only gRPC or `application/problem+json`.
    ///
    /// # Errors
    /// A refusal that is neither.
    pub fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Self, ScenarioError> {
        let text =
            |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if let Some(reached) = text(REACHED) {
            return Ok(Self { reached: Some(reached), ..Self::default() });
        }
        // UNIMPLEMENTED is tonic's own word for a service that it does not have; a guard never says
        // it.
        if text(HeaderName::from_static("grpc-status")).as_deref() == Some("12") {
            return Ok(Self { reached: Some("fallback".to_owned()), ..Self::default() });
        }
        let content_type = text(CONTENT_TYPE).unwrap_or_default();
        let challenge = text(WWW_AUTHENTICATE);
        match content_type.as_str() {
            "application/problem+json" => Self::from_problem(status, body, challenge),
            "application/grpc" => Self::from_trailers(status, headers, challenge),
            other => {
                Err(ScenarioError::new(format!("a refusal of {status} with the content type `{other}`")))
            }
        }
    }

    fn from_problem(
        status: StatusCode,
        body: &[u8],
        challenge: Option<String>,
    ) -> Result<Self, ScenarioError> {
        let problem: Value =
            serde_json::from_slice(body).map_err(|error| ScenarioError::because("the problem", &error))?;
        let text = |name: &str| problem.get(name).and_then(Value::as_str).map(str::to_owned);
        if problem.get("status").and_then(Value::as_u64) != Some(status.as_u16().into()) {
            return Err(ScenarioError::new(format!("a problem of another status than {status}: {problem}")));
        }
        Ok(Self {
            status: Some(status.as_u16()),
            code: text("code"),
            message: text("detail"),
            id: text("id"),
            challenge,
            ..Self::default()
        })
    }

    fn from_trailers(
        status: StatusCode,
        headers: &HeaderMap,
        challenge: Option<String>,
    ) -> Result<Self, ScenarioError> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = text("grpc-status").and_then(|value| value.parse().ok());
        let details = text("grpc-status-details-bin").and_then(|value| STANDARD_NO_PAD.decode(value).ok());
        let (Some(grpc), Some(details), StatusCode::OK) = (number, details, status) else {
            return Err(ScenarioError::new(format!("no trailers-only refusal: {status} {headers:?}")));
        };
        // google.rpc.Status { code, message, details: [Any { type, ErrorInfo { reason, domain,
        // metadata: { id } } }] }
        let any = field(&details, 3);
        let info = any
            .and_then(|any| field(any, 2))
            .ok_or_else(|| ScenarioError::new("a status without details"))?;
        let entry = field(info, 3);
        let utf8 = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let message =
            field(&details, 2).map(utf8).filter(|message| !USUAL_MESSAGES.contains(&message.as_str()));
        Ok(Self {
            grpc: Some(grpc),
            code: field(info, 1).map(utf8),
            message,
            id: entry.and_then(|entry| field(entry, 2)).map(utf8),
            challenge,
            ..Self::default()
        })
    }
}

/// The first length-delimited field of this number in a protobuf message; other wire types are
/// skipped.
fn field(mut message: &[u8], wanted: u64) -> Option<&[u8]> {
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match tag & 7 {
            0 => drop(varint(&mut message)?),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (value, rest) = message.split_at_checked(length)?;
                if tag >> 3 == wanted {
                    return Some(value);
                }
                message = rest;
            }
            _ => return None,
        }
    }
    None
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

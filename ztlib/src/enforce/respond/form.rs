//! Custom forms of refusals: a login page for browsers, or your own error format.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderName, Response, StatusCode};

use super::refusal::Refusal;
use crate::authorize::StepUp;
use crate::request_id::RequestId;

/// What the caller may be told about a refusal. A form cannot reveal more than this.
pub struct Told<'r>(&'r Refusal);

/// Prints only what the methods return, so a form that prints it reveals no secret.
impl fmt::Debug for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (status, code) = (self.status(), self.code());
        f.debug_struct("Told").field("status", &status).field("code", &code).field("id", &self.id()).finish()
    }
}

impl Told<'_> {
    /// The status of ztlib's own answer.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The stable code. All faults of credentials share one code, and so do all faults of the
    /// service.
    pub fn code(&self) -> &str {
        self.0.code()
    }

    /// The text for the caller, if a policy gave one or the request itself is at fault.
    pub fn message(&self) -> Option<String> {
        self.0.message()
    }

    /// The id by which an operator finds the audit event.
    pub fn id(&self) -> RequestId {
        self.0.id()
    }

    /// The login that would help, if a policy asks for one.
    pub fn step_up(&self) -> Option<&StepUp> {
        self.0.denial().and_then(|denial| denial.step_up())
    }
}

/// Answers refusals over HTTP in a custom form. Refusals over gRPC do not change.
///
/// Any `Fn(&Told, &Parts) -> Option<Response<Bytes>>` is one. `None` leaves ztlib's own answer
/// (`application/problem+json`, RFC 9457). The status must be a redirect or an error. An answer
/// with another status is discarded: a success would be a lie, and a 304 would reveal what the
/// caller has cached. So is the answer of a form that panics. `Cache-Control: no-store` and the
/// challenge of a 401 are kept; headers of the connection itself (RFC 9110 section 7.6.1) are
/// removed.
///
/// ```
/// use bytes::Bytes;
/// use http::{Response, StatusCode, header, request::Parts};
/// use ztlib::enforce::{Guard, Told};
/// # use ztlib::{authorize::*, policies::PolicySetBuilder};
/// # struct Nobody;
/// # impl NativePolicy for Nobody {
/// #     fn decide(&self, _: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
/// #         Ok(Answer::Deny)
/// #     }
/// # }
/// # let policies = PolicySetBuilder::new().native("nobody", Nobody).load()?;
///
/// /// Redirects browsers to the login; all other callers get the usual answer.
/// fn login(told: &Told<'_>, request: &Parts) -> Option<Response<Bytes>> {
///     let accepts = request.headers.get(header::ACCEPT)?.to_str().ok()?;
///     if told.status() != StatusCode::UNAUTHORIZED || !accepts.contains("text/html") {
///         return None;
///     }
///     let redirect =
///         Response::builder().status(StatusCode::SEE_OTHER).header(header::LOCATION, "/login");
///     redirect.body(Bytes::new()).ok()
/// }
///
/// let guard = Guard::builder().allow_unauthenticated_peers().allow_requests_without_token();
/// let guard = guard.policies(policies).refusal_form(login).build();
/// # Ok::<(), ztlib::policies::LoadError>(())
/// ```
pub trait RefusalForm: Send + Sync + 'static {
    /// The answer to this refused request, or `None` for ztlib's own.
    fn form(&self, told: &Told<'_>, request: &Parts) -> Option<Response<Bytes>>;
}

impl<F> RefusalForm for F
where
    F: Fn(&Told<'_>, &Parts) -> Option<Response<Bytes>> + Send + Sync + 'static,
{
    fn form(&self, told: &Told<'_>, request: &Parts) -> Option<Response<Bytes>> {
        self(told, request)
    }
}

/// Replaces ztlib's own answer with that of a form.
pub(super) fn reform(
    form: &dyn RefusalForm,
    refusal: &Refusal,
    request: &Parts,
    own: &mut Response<()>,
    bytes: &mut Bytes,
) {
    let formed = catch_unwind(AssertUnwindSafe(|| form.form(&Told(refusal), request)));
    let formed = match formed {
        Ok(None) => return,
        Ok(Some(formed)) if is_refusal(formed.status()) => formed,
        Ok(Some(formed)) => {
            let status = formed.status().as_u16();
            tracing::error!(target: "ztlib::refusal", status, "the refusal form returned a status that does not refuse: its answer is discarded");
            return;
        }
        Err(_) => {
            tracing::error!(target: "ztlib::refusal", "the refusal form panicked: its answer is discarded");
            return;
        }
    };
    let (head, body) = formed.into_parts();
    *own.status_mut() = head.status;
    own.headers_mut().remove(CONTENT_TYPE);
    for (name, value) in &head.headers {
        if !OURS.contains(name) && name != "keep-alive" && name != "proxy-connection" {
            own.headers_mut().append(name, value.clone());
        }
    }
    *bytes = body;
}

/// Headers that a form cannot set: those of the refusal, and those of the connection.
const OURS: [HeaderName; 8] =
    [CACHE_CONTROL, WWW_AUTHENTICATE, CONTENT_LENGTH, CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// Whether an answer with this status refuses the request.
fn is_refusal(status: StatusCode) -> bool {
    let redirects = status.is_redirection() && status != StatusCode::NOT_MODIFIED;
    redirects || status.is_client_error() || status.is_server_error()
}

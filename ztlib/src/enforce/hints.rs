//! Warnings that are logged once, about setups that are wrong but cause no visible error.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};

use super::respond::Cause;
use crate::authorize::{Read, Trace};

/// The number of answers that are checked. A layer in the wrong place shows in each, so later
/// answers need not pay for it.
const ANSWERS: u32 = 1000;

const REQUEST_ID: &str = "x-request-id";

/// Which warnings a guard has logged.
#[derive(Debug, Default)]
pub(super) struct Hints {
    cors: AtomicBool,
    request_id: AtomicBool,
    certificate: AtomicBool,
    address: AtomicBool,
    answers: AtomicU32,
}

/// What of a request is needed to see in its answer which layers stand inside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LetThrough {
    has_origin: bool,
    has_request_id: bool,
}

impl Hints {
    /// Refusals that are caused by how the service is put together.
    pub(super) fn refused(&self, parts: &Parts, cause: &Cause) {
        // A preflight has no credentials (Fetch standard, "CORS-preflight request"), so a guard
        // refuses it. If one arrives here, the layer that should answer it is missing or is inside
        // the guard.
        let is_preflight = parts.method == Method::OPTIONS
            && parts.headers.contains_key(ORIGIN)
            && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if is_preflight && first(&self.cors) {
            tracing::warn!(
                target: "ztlib::guard",
                "a CORS preflight was refused: put the layer that answers preflights outside of the \
                 guard (`layer_outside`); inside, it sees neither preflights nor refusals"
            );
        }
        // Where ztlib's server requires a certificate, no such request arrives.
        if matches!(cause, Cause::Peer(error) if error.code() == "missing-certificate")
            && first(&self.certificate)
        {
            tracing::warn!(
                target: "ztlib::guard",
                "a request came without a client certificate, and this guard requires one: where the \
                 server in front asks for none (`axum::serve`, TLS that ends elsewhere), serve with \
                 ztlib, hand the certificates over (`PeerCertificates`), or build the guard with \
                 `allow_unauthenticated_peers()`"
            );
        }
    }

    /// Looks at a request that was let through, where its answer is to be looked at.
    pub(super) fn let_through(&self, headers: &HeaderMap) -> Option<LetThrough> {
        if self.answers.load(Ordering::Relaxed) >= ANSWERS {
            return None;
        }
        self.answers.fetch_add(1, Ordering::Relaxed);
        Some(LetThrough {
            has_origin: headers.contains_key(ORIGIN),
            has_request_id: headers.contains_key(REQUEST_ID),
        })
    }

    /// Looks at what the service inside answered.
    pub(super) fn answered(&self, request: LetThrough, answer: &HeaderMap) {
        if request.has_origin && answer.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) && first(&self.cors) {
            tracing::warn!(
                target: "ztlib::guard",
                "an answer came out of the guard with `access-control-allow-origin`: the CORS layer \
                 stands inside of the guard, where it sees neither preflights nor refusals; put it \
                 outside (`layer_outside`)"
            );
        }
        if !request.has_request_id && answer.contains_key(REQUEST_ID) && first(&self.request_id) {
            tracing::warn!(
                target: "ztlib::guard",
                "an answer came out of the guard with an `x-request-id` that its request did not have: \
                 the layer that sets request ids stands inside of the guard, so audit events and \
                 refusals have none; put it outside (`layer_outside`)"
            );
        }
    }

    /// A policy asked for the caller's address, but the server did not provide it.
    pub(super) fn without_address(&self, trace: &Trace) {
        if self.address.load(Ordering::Relaxed) {
            return;
        }
        let asks = trace.reads().any(|(read, _)| matches!(read, Read::RemoteIp | Read::RemoteIpIn(_)));
        if asks && first(&self.address) {
            tracing::warn!(
                target: "ztlib::guard",
                "a policy asks for the caller's address, but the server does not provide it: serve \
                 with ztlib, or with axum's `into_make_service_with_connect_info::<SocketAddr>()`"
            );
        }
    }
}

fn first(told: &AtomicBool) -> bool {
    !told.swap(true, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorize::Value;

    fn request(method: &str, headers: &[&str]) -> Parts {
        let mut request = http::Request::builder().method(method);
        for name in headers {
            request = request.header(*name, "x");
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_refused_preflight_is_told_of_and_no_other_refusal() {
        let hints = Hints::default();
        let cause = Cause::Target(ztlib_contract::target::TargetError::PathEncodedSlash);
        for (method, headers) in [
            ("GET", &["origin", "access-control-request-method"][..]),
            ("OPTIONS", &["origin"]),
            ("OPTIONS", &["access-control-request-method"]),
            ("OPTIONS", &[]),
        ] {
            hints.refused(&request(method, headers), &cause);
            assert!(!hints.cors.load(Ordering::Relaxed), "{method} {headers:?}");
        }
        hints.refused(&request("OPTIONS", &["origin", "access-control-request-method"]), &cause);
        assert!(hints.cors.load(Ordering::Relaxed));
        assert!(!hints.certificate.load(Ordering::Relaxed));
    }

    #[cfg(feature = "peers")]
    #[test]
    fn a_request_without_the_required_certificate_is_told_of_and_one_with_a_bad_one_is_not() {
        use crate::authenticate::peer::PeerError;
        let hints = Hints::default();
        hints.refused(&request("GET", &[]), &Cause::Peer(PeerError::Expired));
        hints.refused(&request("GET", &[]), &Cause::Peer(PeerError::ForeignAcceptor));
        assert!(!hints.certificate.load(Ordering::Relaxed));
        hints.refused(&request("GET", &[]), &Cause::Peer(PeerError::MissingCertificate));
        assert!(hints.certificate.load(Ordering::Relaxed));
    }

    #[test]
    fn layers_that_stand_inside_show_in_an_answer() {
        let told = |sent: &[&str], answered: &[&str]| {
            let hints = Hints::default();
            let judged = hints.let_through(&request("GET", sent).headers).unwrap();
            hints.answered(judged, &request("GET", answered).headers);
            (hints.cors.load(Ordering::Relaxed), hints.request_id.load(Ordering::Relaxed))
        };
        assert_eq!(told(&["origin"], &["access-control-allow-origin"]), (true, false));
        assert_eq!(told(&[], &["x-request-id"]), (false, true));
        // What is no sign of it.
        assert_eq!(told(&[], &["access-control-allow-origin"]), (false, false));
        assert_eq!(told(&["origin"], &["vary"]), (false, false));
        assert_eq!(told(&["x-request-id"], &["x-request-id"]), (false, false));
        assert_eq!(told(&["x-request-id"], &[]), (false, false));
    }

    #[test]
    fn only_the_first_thousand_answers_are_looked_at() {
        let hints = Hints::default();
        for _ in 0..ANSWERS {
            assert!(hints.let_through(&HeaderMap::new()).is_some());
        }
        assert!(hints.let_through(&HeaderMap::new()).is_none());
    }

    #[test]
    fn a_missing_address_is_told_of_where_a_policy_asks_for_it() {
        let hints = Hints::default();
        let mut trace = Trace::default();
        trace.record(Read::Path, Value::Absent);
        hints.without_address(&trace);
        assert!(!hints.address.load(Ordering::Relaxed));
        trace.record(Read::RemoteIpIn("10.0.0.0/8".into()), Value::Bool(false));
        hints.without_address(&trace);
        assert!(hints.address.load(Ordering::Relaxed));
    }
}

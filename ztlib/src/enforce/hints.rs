//! Warnings that are logged once, about setups that are wrong but cause no visible error.

use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::request::Parts;

use crate::authorize::{Read, Trace};

/// Which warnings a guard has logged.
#[derive(Debug, Default)]
pub(super) struct Hints {
    preflight: AtomicBool,
    address: AtomicBool,
}

impl Hints {
    /// A preflight has no credentials (Fetch standard, "CORS-preflight request"), so a guard
    /// refuses it. If one arrives here, the layer that should answer it is missing or is inside the
    /// guard.
    pub(super) fn refused(&self, parts: &Parts) {
        let is_preflight = parts.method == Method::OPTIONS
            && parts.headers.contains_key(ORIGIN)
            && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if is_preflight && !self.preflight.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "ztlib::guard",
                "a CORS preflight was refused: put the layer that answers preflights outside of the \
                 guard (`layer_outside`); inside, it sees neither preflights nor refusals"
            );
        }
    }

    /// A policy asked for the caller's address, but the server did not provide it.
    pub(super) fn without_address(&self, trace: &Trace) {
        if self.address.load(Ordering::Relaxed) {
            return;
        }
        let asks = trace.reads().any(|(read, _)| matches!(read, Read::RemoteIp | Read::RemoteIpIn(_)));
        if asks && !self.address.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "ztlib::guard",
                "a policy asks for the caller's address, but the server does not provide it: serve \
                 with ztlib, or with axum's `into_make_service_with_connect_info::<SocketAddr>()`"
            );
        }
    }
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
        for (method, headers) in [
            ("GET", &["origin", "access-control-request-method"][..]),
            ("OPTIONS", &["origin"]),
            ("OPTIONS", &["access-control-request-method"]),
            ("OPTIONS", &[]),
        ] {
            hints.refused(&request(method, headers));
            assert!(!hints.preflight.load(Ordering::Relaxed), "{method} {headers:?}");
        }
        hints.refused(&request("OPTIONS", &["origin", "access-control-request-method"]));
        assert!(hints.preflight.load(Ordering::Relaxed));
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

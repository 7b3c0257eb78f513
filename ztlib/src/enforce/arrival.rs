//! One pass over the headers of a request that has just arrived.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use crate::authorize::same_spelling;
use crate::origin::Forwarded;

/// Removes headers that no caller may set, and returns the correlation ids that the caller sent, if
/// they are well-formed.
pub(super) fn take_in(headers: &mut HeaderMap) -> Option<Arc<Forwarded>> {
    let mut forwarded = Forwarded { trace_parent: None, request_id: None };
    let mut claimed = false;
    let text = |value: &HeaderValue, good: fn(&str) -> bool| {
        value.to_str().ok().filter(|text| good(text)).map(Into::into)
    };
    for (name, value) in headers.iter() {
        match name.as_str() {
            "traceparent" if forwarded.trace_parent.is_none() => {
                forwarded.trace_parent = text(value, is_trace_parent);
            }
            "x-request-id" if forwarded.request_id.is_none() => {
                forwarded.request_id = text(value, |id| (1..=128).contains(&id.len()));
            }
            name => claimed |= is_claimed(name),
        }
    }
    if claimed {
        let names: Vec<_> = headers.keys().filter(|name| is_claimed(name.as_str())).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
    (forwarded.trace_parent.is_some() || forwarded.request_id.is_some()).then(|| Arc::new(forwarded))
}

/// Headers under ztlib's own name, and those in which a proxy reports a client certificate
/// (Envoy's, and RFC 9440), in any spelling. TLS ends here, so they can only be the caller's own
/// claims.
fn is_claimed(name: &str) -> bool {
    const CLAIMED: [&str; 3] = ["x-forwarded-client-cert", "client-cert", "client-cert-chain"];
    name.starts_with("ztlib-")
        || name.starts_with("ztlib_")
        || CLAIMED.iter().any(|claimed| same_spelling(name, claimed))
}

/// W3C Trace Context section 3.2: `00-` 32 hex `-` 16 hex `-` 2 hex.
fn is_trace_parent(value: &str) -> bool {
    let hex = |text: Option<&str>, length: usize| {
        text.is_some_and(|text| {
            text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let mut fields = value.split('-');
    hex(fields.next(), 2)
        && hex(fields.next(), 32)
        && hex(fields.next(), 16)
        && hex(fields.next(), 2)
        && fields.next().is_none()
}

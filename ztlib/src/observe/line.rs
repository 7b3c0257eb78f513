//! An audit event as one line of JSON.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use super::audit::AuditEvent;
use super::redaction::AuditedRead;
use crate::authenticate::peer::PeerIdentity;
use crate::authorize::Revision;
use crate::authorize::Value;
use crate::request_id::RequestId;

/// The members of a line, in order. Absent ones are left out.
#[derive(Serialize)]
struct Line<'e> {
    /// Milliseconds since 1970.
    time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'e str>,
    #[serde(serialize_with = "shown")]
    id: RequestId,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown_if_any")]
    parent: Option<RequestId>,
    verdict: &'static str,
    enforced: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown_if_any")]
    revision: Option<Revision>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reads: Vec<Read<'e>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    log: Vec<Logged<'e>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown_if_any")]
    peer: Option<&'e PeerIdentity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_fingerprint: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_ip: Option<std::net::IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<Object<'e>>,
    /// Labels with values that are shown.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'e str, &'e str>,
    /// The names of labels with hidden values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels_hidden: Vec<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_parent: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fuel: Option<u64>,
    cached: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticate_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorize_us: Option<f64>,
}

#[derive(Serialize)]
struct Read<'e> {
    read: &'e str,
    #[serde(serialize_with = "shown_or_hidden")]
    value: Option<&'e Value>,
}

#[derive(Serialize)]
struct Object<'e> {
    kind: &'e str,
    id: &'e str,
}

#[derive(Serialize)]
struct Logged<'e> {
    policy: &'e str,
    line: &'e str,
}

/// The line, without its line break.
pub(super) fn of(event: &AuditEvent) -> String {
    let micros = |took: Duration| took.as_nanos() as f64 / 1000.0;
    let since = event.time().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (peer, claims) = (event.principal().peer(), event.principal().claims());
    let (mut labels, mut labels_hidden) = (BTreeMap::new(), Vec::new());
    for (name, value) in event.labels() {
        match value {
            Some(value) => drop(labels.insert(name, value)),
            None => labels_hidden.push(name),
        }
    }
    let reads = event.reads();
    let line = Line {
        time: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        service: event.service(),
        instance: event.instance(),
        id: event.id(),
        parent: event.parent(),
        verdict: event.verdict().as_str(),
        enforced: event.enforced(),
        reason: event.reason(),
        detail: event.detail(),
        policy: event.policy(),
        revision: event.revision(),
        reads: reads
            .iter()
            .map(|read: &AuditedRead| Read { read: read.read(), value: read.value() })
            .collect(),
        log: event.log().into_iter().map(|(policy, line)| Logged { policy, line }).collect(),
        peer,
        peer_fingerprint: peer.map(PeerIdentity::fingerprint_hex),
        issuer: claims.map(|claims| claims.issuer()),
        subject: claims.and_then(|claims| claims.subject()),
        remote_ip: event.principal().remote_ip(),
        action: event.action(),
        object: event.object().map(|(kind, id)| Object { kind, id }),
        labels,
        labels_hidden,
        method: event.method().map(http::Method::as_str),
        host: event.host(),
        path: event.path(),
        route: event.route(),
        trace_parent: event.trace_parent(),
        request_id: event.request_id(),
        fuel: Some(event.fuel()).filter(|fuel| *fuel > 0),
        cached: event.cached(),
        authenticate_us: event.authenticate().map(micros),
        authorize_us: event.authorize().map(micros),
    };
    // Serialization cannot fail here: all keys are strings and all numbers finite.
    escape(serde_json::to_string(&line).unwrap_or_default())
}

fn shown<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn shown_if_any<S: Serializer>(value: &Option<impl Display>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

/// A shown text has quotes of its own, so it cannot be mistaken for this word.
fn shown_or_hidden<S: Serializer>(value: &Option<impl Display>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_str("(hidden)"),
    }
}

/// JSON escapes ASCII controls. A terminal or viewer may also act on DEL, the C1 controls, line
/// separators and marks that change the direction of text.
fn escape(json: String) -> String {
    let acts = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    // ASCII controls are already escaped, except DEL.
    if (json.is_ascii() && !json.contains('\u{7f}')) || !json.contains(acts) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        // All of them are in the basic plane, so four digits suffice.
        if acts(c) { escaped.push_str(&format!("\\u{:04x}", u32::from(c))) } else { escaped.push(c) }
    }
    escaped
}

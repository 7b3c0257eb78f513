//! Turns a record back into a question. Only candidates are asked it, so the result is a comparison
//! and never a permit.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value as Json};
use ztlib_contract::cases::encoded;

use super::record::{Record, Recorded, Shelf, Subject, Unreadable};
use crate::authorize::ReadFault;
use crate::authorize::{Asked, Labels, Question, Signalled};
use crate::authorize::{Caller, Claims, PeerFacts};
use crate::authorize::{Params, RequestFacts, Target};
use crate::clock::unix_seconds;
use ztlib_contract::facts::ClaimLimits;
use ztlib_contract::{Attribute, Kind};

/// The question that was recorded. To read anything that the record lacks is a fault. The error
/// says what is wrong with the record, which can only happen to one from a file.
pub(crate) fn question(record: &Arc<Record>, hidden: &Arc<[Attribute]>) -> Result<Question, String> {
    let asked = match &record.subject {
        Subject::Action(name) => Asked::Action(name.clone()),
        Subject::Request { .. } => Asked::Request(request(record)?),
    };
    let mut labels = Labels::new();
    for (attribute, value) in record.known() {
        if let (Kind::Label, Recorded::Text(value)) = (attribute.kind, value) {
            labels = labels.with(attribute.name.clone(), value.as_ref());
        }
    }
    let question = Question::new(caller(record)?, asked, labels, record.now());
    let shelf = Shelf { record: record.clone(), hidden: hidden.clone() };
    Ok(question.recorded(signals(record), Arc::new(shelf)))
}

fn request(record: &Record) -> Result<RequestFacts, String> {
    let (mut host, mut path, mut params) = ("", "/", Params::default());
    let (mut headers, mut query) = (HeaderMap::new(), String::new());
    for (attribute, value) in record.known() {
        let name: &str = &attribute.name;
        match (attribute.kind, value) {
            (Kind::Host, Recorded::Text(text)) => host = text,
            (Kind::Path, Recorded::Text(text)) => path = text,
            (Kind::Param, Recorded::Text(text)) => params.push(name, text),
            (Kind::Param, Recorded::Unreadable(_)) => {
                params.push(name, "");
                params.push(name, "");
            }
            (Kind::Header, Recorded::Values(values)) => put_header(&mut headers, name, values)?,
            (Kind::Query, Recorded::Text(text)) => {
                push_query(&mut query, name);
                query.extend(["=", &encoded(text)]);
            }
            (Kind::Query, Recorded::Unreadable(why)) => {
                push_query(&mut query, name);
                match why {
                    Unreadable::Several => {
                        push_query(&mut query, name);
                    }
                    Unreadable::NotUtf8 => query.push_str("=%FF"),
                    Unreadable::Malformed | Unreadable::Failed => query.push_str("=%"),
                }
            }
            _ => {}
        }
    }
    for (_, value) in record.known() {
        let Recorded::Names(names) = value else { continue };
        for name in names {
            let name = header_name(name)?;
            if !headers.contains_key(&name) {
                headers.try_append(name, HeaderValue::from_static("")).map_err(|_| TOO_MANY_HEADERS)?;
            }
        }
    }
    let (method, route) = match &record.subject {
        Subject::Request { method, route } => (method.clone(), route.clone()),
        Subject::Action(_) => return Err("a question of the application's own has no request".to_owned()),
    };
    // The path is in the target; only the query of the URI is read.
    let uri = if query.is_empty() { "/".to_owned() } else { format!("/?{query}") };
    let built = http::Request::builder().method(method).uri(uri).body(());
    let mut parts =
        built.map_err(|error| format!("the record does not make a request: {error}"))?.into_parts().0;
    parts.headers = headers;
    Ok(RequestFacts { parts: Box::new(parts), target: Target::new(host, path), route, params })
}

const TOO_MANY_HEADERS: &str = "no request has so many headers";

fn put_header(headers: &mut HeaderMap, name: &str, values: &[Option<Box<str>>]) -> Result<(), String> {
    let name = header_name(name)?;
    for value in values {
        // Invalid UTF-8 stands for a value that was not UTF-8.
        let value = HeaderValue::from_bytes(value.as_deref().map_or(b"\xff", str::as_bytes));
        let value = value.map_err(|_| format!("the header `{name}` cannot have this value"))?;
        headers.try_append(&name, value).map_err(|_| TOO_MANY_HEADERS)?;
    }
    Ok(())
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    name.parse().map_err(|_| format!("`{}` is not a header name", name.escape_debug()))
}

fn push_query(query: &mut String, name: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(&encoded(name));
    if name.is_empty() {
        // A pair without name and value would be lost.
        query.push('=');
    }
}

fn caller(record: &Record) -> Result<Caller, String> {
    let (mut peer, mut address, mut claims) = (None, None, Vec::new());
    for (attribute, value) in record.known() {
        match (attribute.kind, value) {
            (Kind::Peer, Recorded::Spiffe(id)) => {
                let id = id.parse().map_err(|error| format!("the peer is not a SPIFFE ID: {error}"))?;
                peer = Some(PeerFacts::spiffe(id));
            }
            (Kind::Peer, Recorded::Named { authority, dns_names }) => {
                let names: Vec<&str> = dns_names.iter().map(AsRef::as_ref).collect();
                peer = Some(PeerFacts::named(authority, names));
            }
            (Kind::RemoteIp, Recorded::Address(ip)) => address = Some(*ip),
            (Kind::Claim, Recorded::Claim(value)) => claims.push((&*attribute.name, value)),
            _ => {}
        }
    }
    let claims = if record.has_token {
        let claims = put_together(claims)?;
        let claims =
            Claims::described(claims, unix_seconds(record.now()), !record.is_foreign, ClaimLimits::RECORD);
        Some(claims.map_err(|error| format!("no verified token has such claims: {error}"))?)
    } else {
        None
    };
    Ok(Caller::new(peer.map(Arc::new), claims.map(Arc::new), address))
}

/// An object in which each pointer leads to its value. A pointer into an array leads into an object
/// here. Nobody can see the difference, since a value above it can be read only if it was recorded
/// itself.
fn put_together(mut claims: Vec<(&str, &Json)>) -> Result<Map<String, Json>, String> {
    // Claims that contain others come first.
    claims.sort_by_key(|(pointer, _)| pointer.len());
    let mut all = Json::Object(Map::new());
    let mut taken: Vec<Attribute> = Vec::new();
    for (pointer, value) in claims {
        if taken.iter().any(|above| above.covers(Kind::Claim, pointer)) {
            continue;
        }
        let mut at = &mut all;
        for segment in pointer.split('/').skip(1) {
            let segment = segment.replace("~1", "/").replace("~0", "~");
            let Json::Object(members) = at else { return Err("a claim is inside of a string".to_owned()) };
            at = members.entry(segment).or_insert_with(|| Json::Object(Map::new()));
        }
        *at = value.clone();
        taken.push(Attribute::claim(pointer));
    }
    match all {
        Json::Object(members) => Ok(members),
        _ => Err("the claims must be an object".to_owned()),
    }
}

fn signals(record: &Record) -> Vec<(Box<str>, Signalled)> {
    let signal = |(attribute, value): (&Attribute, &Recorded)| {
        let said = match value {
            Recorded::Text(text) => Ok(Some(text.as_ref().into())),
            Recorded::Unreadable(_) => {
                Err(ReadFault::SignalFailed("it failed when it was recorded".to_owned()))
            }
            _ => Ok(None),
        };
        (attribute.kind == Kind::Signal).then(|| (attribute.name.clone(), said))
    };
    record.known().filter_map(signal).collect()
}

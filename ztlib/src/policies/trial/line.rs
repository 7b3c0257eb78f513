//! One record as one line of JSON, and back.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use ztlib_contract::cases::verdict_named;

use super::conclusion::Conclusion;
use super::record::{JudgedBy, Reads, Record, Recorded, Subject, Unreadable};
use super::recorder::MAX_ATTRIBUTES;
use super::recording::bad;
use crate::authorize::RevisionName;
use crate::digest::Digest;
use crate::load_error::LoadError;
use crate::policies::cases::CaseVerdict;
use crate::policies::files::Format;
use crate::request_id::RequestId;
use ztlib_contract::{Attribute, Kind, UnknownAttribute};

const KIND: &str = "ztlib-recording";
const FORMAT: u64 = 1;

/// The first line of a file.
pub(crate) fn head(hidden: &[Attribute]) -> Json {
    let hidden: Vec<String> = hidden.iter().map(Attribute::spelled).collect();
    json!({ "format": FORMAT, "kind": KIND, "hidden": hidden })
}

/// Reads the hidden attributes from the first line.
pub(crate) fn read_head(text: &str) -> Result<Vec<Attribute>, LoadError> {
    let wrong = |why: &str| {
        bad("not-a-recording", &format!("{why}: a recording is a file that `Recording::save` wrote"))
    };
    let mut head = Members::of(text).map_err(|why| wrong(&why))?;
    if head.take("kind").as_ref().and_then(Json::as_str) != Some(KIND) {
        return Err(wrong("the first line does not describe a recording"));
    }
    if head.take("format").as_ref().and_then(Json::as_u64) != Some(FORMAT) {
        return Err(wrong(
            "the file's format is not supported: read it with the version of ztlib that wrote it",
        ));
    }
    let hidden = texts(head.take("hidden")).map_err(|why| wrong(&why))?;
    head.end().map_err(|why| wrong(&why))?;
    hidden.iter().map(|name| Ok(name.parse()?)).collect()
}

pub(crate) fn of(record: &Record) -> Json {
    let mut attributes = Map::new();
    for (attribute, value) in record.known() {
        attributes.insert(attribute.spelled(), value_of(attribute, value));
    }
    let mut line = json!({
        "id": record.id.to_string(),
        "time": record.time,
        "token": record.has_token,
        "attributes": attributes,
        "judged-by": record.judged_by.revision.to_string(),
        "policies": record.judged_by.policies.to_string(),
        "decision": record.enforced,
        "reads": record.printed_reads(),
    });
    let mut put = |name: &str, value: Json| {
        if let Json::Object(members) = &mut line {
            members.insert(name.to_owned(), value);
        }
    };
    if let Some(parent) = record.parent {
        put("parent", json!(parent.to_string()));
    }
    // Without this member, the token is of the home issuer, as all were before it was recorded.
    if record.is_foreign {
        put("from-home-issuer", json!(false));
    }
    match &record.subject {
        Subject::Action(action) => put("action", json!(action.as_ref())),
        Subject::Request { method, route } => {
            put("method", json!(method.as_str()));
            put("route", json!(route.as_deref()));
        }
    }
    line
}

fn value_of(attribute: &Attribute, value: &Recorded) -> Json {
    match value {
        // `[null]` is a claim with the value null.
        Recorded::Absent if attribute.kind == Kind::Claim => json!([]),
        Recorded::Absent => Json::Null,
        Recorded::Text(text) => json!(text),
        Recorded::Values(values) => json!(values),
        Recorded::Names(names) => json!(names),
        Recorded::Claim(claim) => json!([claim]),
        Recorded::Spiffe(id) => json!({ "spiffe-id": id }),
        Recorded::Named { authority, dns_names } => json!({ "authority": authority, "dns-names": dns_names }),
        Recorded::Address(ip) => json!(ip.to_string()),
        Recorded::Unreadable(why) => {
            let word = Unreadable::ALL.iter().find(|(one, _)| one == why).map(|(_, word)| *word);
            json!({ "unreadable": word })
        }
    }
}

/// Parses a line, or says what is wrong with it.
pub(crate) fn read(text: &str) -> Result<Record, String> {
    let mut line = Members::of(text)?;
    let id = line.text("id")?;
    let id = RequestId::parse(&id).ok_or("`id` is 32 hexadecimal digits")?;
    let time = line.take("time").as_ref().and_then(Json::as_u64);
    let time = time.filter(|time| *time <= MAX_TIME).ok_or("`time` must be in milliseconds since 1970")?;
    let subject = match line.take("action") {
        Some(Json::String(action)) => Subject::Action(action.into()),
        Some(_) => return Err("`action` must be a string".to_owned()),
        None => {
            let method = line.text("method")?.parse().map_err(|_| "`method` must be an HTTP method")?;
            let route = match line.take("route") {
                Some(Json::Null) => None,
                Some(Json::String(route)) => Some(route.into()),
                _ => return Err("`route` must be a string or null".to_owned()),
            };
            Subject::Request { method, route }
        }
    };
    let has_token =
        line.take("token").as_ref().and_then(Json::as_bool).ok_or("`token` must be true or false")?;
    let is_foreign = match line.take("from-home-issuer") {
        None => false,
        Some(Json::Bool(home)) if has_token => !home,
        Some(_) => return Err("`from-home-issuer` must be true or false, and needs a token".to_owned()),
    };
    let Some(Json::Object(attributes)) = line.take("attributes") else {
        return Err("`attributes` must be an object".to_owned());
    };
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(format!("a record has at most {MAX_ATTRIBUTES} attributes"));
    }
    let (mut wanted, mut values) = (Vec::new(), Vec::new());
    for (name, value) in attributes {
        let attribute: Attribute = name.parse().map_err(|error: UnknownAttribute| error.to_string())?;
        if wanted.contains(&attribute) {
            return Err(format!("the attribute `{attribute}` appears twice"));
        }
        values.push(Some(read_value(&attribute, value)?));
        wanted.push(attribute);
    }
    let judged_by = judged_by(&mut line)?;
    let parent = match line.take("parent") {
        None => None,
        Some(parent) => {
            let parent = parent.as_str().and_then(RequestId::parse);
            Some(parent.ok_or("`parent` is 32 hexadecimal digits")?)
        }
    };
    let Some(Json::Object(decision)) = line.take("decision") else {
        return Err("`decision` must be an object".to_owned());
    };
    let enforced = conclusion(Members(decision))?;
    let reads = texts(line.take("reads"))?;
    line.end()?;
    let wanted: Arc<[Attribute]> = wanted.into();
    Ok(Record {
        id,
        time,
        subject,
        has_token,
        is_foreign,
        wanted,
        values: values.into(),
        parent,
        judged_by,
        enforced,
        reads: Reads::Printed(reads.into()),
    })
}

/// The revision's name, and the digest of its policies without their documents. If the digest is
/// missing, the name may be a whole digest. Otherwise, this matches nothing in force.
fn judged_by(line: &mut Members) -> Result<JudgedBy, String> {
    let named = line.text("judged-by")?;
    let revision = RevisionName::parse(&named).ok_or("`judged-by` must be 12 hexadecimal digits")?;
    let policies = match line.take("policies") {
        None => Digest::parse(&named).unwrap_or_else(|| Digest::of(named.as_bytes())),
        Some(policies) => {
            let policies = policies.as_str().and_then(Digest::parse);
            policies.ok_or("`policies` must be 64 hexadecimal digits")?
        }
    };
    Ok(JudgedBy { revision, policies })
}

/// The end of the year 9999, in milliseconds since 1970.
const MAX_TIME: u64 = 253_402_300_799_999;

fn read_value(attribute: &Attribute, value: Json) -> Result<Recorded, String> {
    let wrong = || format!("the value of `{attribute}` has the wrong form");
    if let Json::Object(members) = &value
        && let Some(word) = members.get("unreadable")
    {
        let why = Unreadable::ALL.iter().find(|(_, own)| word.as_str() == Some(own)).map(|(why, _)| *why);
        let fits = match attribute.kind {
            Kind::Param => why == Some(Unreadable::Several),
            Kind::Query => why.is_some_and(|why| why != Unreadable::Failed),
            Kind::Signal => why == Some(Unreadable::Failed),
            _ => false,
        };
        return why.filter(|_| fits && members.len() == 1).map(Recorded::Unreadable).ok_or_else(wrong);
    }
    Ok(match (attribute.kind, value) {
        (Kind::Host | Kind::Path, Json::String(text)) => Recorded::Text(text.into()),
        (Kind::Param | Kind::Query | Kind::Label | Kind::Signal, Json::String(text)) => {
            Recorded::Text(text.into())
        }
        (
            Kind::Param | Kind::Query | Kind::Label | Kind::Signal | Kind::Peer | Kind::RemoteIp,
            Json::Null,
        ) => Recorded::Absent,
        (Kind::RemoteIp, Json::String(ip)) => Recorded::Address(ip.parse().map_err(|_| wrong())?),
        (Kind::Header, Json::Array(items)) => {
            let one = |item: Json| match item {
                Json::Null => Ok(None),
                Json::String(text) => Ok(Some(text.into())),
                _ => Err(wrong()),
            };
            Recorded::Values(items.into_iter().map(one).collect::<Result<_, _>>()?)
        }
        (Kind::HeaderNames, names) => Recorded::Names(texts(Some(names))?.into_iter().collect()),
        (Kind::Claim, Json::Array(mut items)) => match (items.pop(), items.is_empty()) {
            (None, _) => Recorded::Absent,
            (Some(claim), true) => Recorded::Claim(claim),
            (Some(_), false) => return Err(wrong()),
        },
        (Kind::Peer, Json::Object(peer)) => {
            let mut peer = Members(peer);
            let recorded = if peer.0.contains_key("spiffe-id") {
                Recorded::Spiffe(peer.text("spiffe-id")?.into())
            } else {
                let authority = peer.text("authority")?.into();
                Recorded::Named { authority, dns_names: texts(peer.take("dns-names"))?.into() }
            };
            peer.end()?;
            recorded
        }
        _ => return Err(wrong()),
    })
}

fn conclusion(mut decision: Members) -> Result<Conclusion, String> {
    let verdict =
        verdict_named(&decision.text("verdict")?).filter(|verdict| *verdict != CaseVerdict::Abstain);
    let verdict = verdict.ok_or("`verdict` must be allow, deny, fault or bad-request")?;
    let mut optional = |name: &str| decision.0.contains_key(name).then(|| decision.text(name)).transpose();
    let (policy, reason, step_up) = (optional("policy")?, optional("reason")?, optional("step-up")?);
    let obligations = match decision.take("obligations") {
        None => Vec::new(),
        some => texts(some)?,
    };
    decision.end()?;
    // They are printed unchanged.
    let texts = [&policy, &reason].into_iter().flatten().map(String::as_str);
    let is_odd = texts.chain(obligations.iter().map(AsRef::as_ref)).any(acts);
    if is_odd {
        return Err("`policy`, `reason` and `obligations` must not contain control or direction characters"
            .to_owned());
    }
    let (policy, reason, step_up) = (policy.map(Into::into), reason.map(Into::into), step_up.map(Into::into));
    Ok(Conclusion { verdict, policy, reason, step_up, obligations })
}

/// Whether a text contains characters that act on a terminal or a line.
fn acts(text: &str) -> bool {
    let acts = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().any(acts)
}

fn texts(value: Option<Json>) -> Result<Vec<Box<str>>, String> {
    let Some(Json::Array(items)) = value else {
        return Err("a list of strings is missing".to_owned());
    };
    let text = |item| match item {
        Json::String(text) => Ok(text.into()),
        _ => Err("a list of strings contains something else".to_owned()),
    };
    items.into_iter().map(text).collect()
}

/// The members of an object, each taken once.
struct Members(Map<String, Json>);

impl Members {
    /// Strict: refuses duplicate members.
    fn of(text: &str) -> Result<Self, String> {
        match Format::Json.parse(text) {
            Ok(Json::Object(members)) => Ok(Self(members)),
            Ok(_) => Err("the line is not an object".to_owned()),
            Err((why, _)) => Err(why),
        }
    }

    fn take(&mut self, name: &str) -> Option<Json> {
        self.0.remove(name)
    }

    fn text(&mut self, name: &str) -> Result<String, String> {
        match self.take(name) {
            Some(Json::String(text)) => Ok(text),
            Some(_) => Err(format!("`{name}` must be a string")),
            None => Err(format!("`{name}` is missing")),
        }
    }

    fn end(self) -> Result<(), String> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("the member `{name}` is unknown")),
        }
    }
}

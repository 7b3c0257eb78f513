//! A file of cases: TOML → cases, or the line in which it is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};
use serde_json::{Map, Value as Json};
use toml::de::DeValue;

use super::case::{Case, Facts, Request, Subject};
use super::expectation::{At, Expectation, HeaderWanted, Headers, StepUpWanted, Verdict};
use super::toml_value::{json, members, moment, plain, texts_of, wrong};
use crate::authenticate::Principal;
use crate::authenticate::peer::{PeerIdentity, SpiffeId};
use crate::authenticate::token::VerifiedClaims;
use crate::authorize::outcome::Reason;
use crate::authorize::policy::LoadError;
use crate::authorize::policy::error::shown;
use crate::authorize::policy::toml_table::{Table, Text, closest};
use crate::authorize::question::Labels;
use crate::authorize::request::{Params, Target};
use crate::clock::{from_unix_seconds, unix_seconds};
use crate::enforce::{check_parameter, check_target};

/// The largest file of cases, in bytes.
pub(crate) const MAX_FILE_BYTES: usize = 256 << 10;
/// The most cases and callers of one file.
const MAX_CASES: usize = 512;
/// 23 November 2026, a Monday, 00:00 UTC: when nothing else is said. The SDK's native harness has the same.
const MONDAY: u64 = 1_795_392_000;
/// The host that a request names when nothing else is said; the same there.
const HOST: &str = "service.test";

const TOP_KEYS: [&str; 3] = ["format", "caller", "case"];
const CALLER_KEYS: [&str; 3] = ["peer", "claims", "remote-ip"];
const PEER_KEYS: [&str; 2] = ["authority", "dns-names"];
const STEP_UP_KEYS: [&str; 2] = ["acr", "max-age"];
const REQUEST_KEYS: [&str; 7] = ["method", "host", "path", "query", "route", "params", "headers"];
const CASE_KEYS: [&str; 25] = [
    "name",
    "action",
    "method",
    "host",
    "path",
    "query",
    "route",
    "params",
    "headers",
    "labels",
    "signals",
    "documents",
    "caller",
    "peer",
    "claims",
    "remote-ip",
    "now",
    "expect",
    "reason",
    "policy",
    "message",
    "step-up",
    "request-headers",
    "response-headers",
    "reads",
];

/// Reads a file of cases. `bare` are cases that need expect nothing: questions.
pub(super) fn parse(file: &Path, text: &str, bare: bool) -> Result<Vec<Case>, LoadError> {
    if text.len() > MAX_FILE_BYTES {
        let text = format!("the file is larger than {MAX_FILE_BYTES} bytes");
        return Err(LoadError::new("file-too-large", text).at(file, None));
    }
    let text = Text { file, text };
    let parsed = text.parse()?;
    let top = text.table(&parsed, &TOP_KEYS)?;
    match top.integer("format")? {
        Some(1) => {}
        Some(_) => {
            return Err(top.error("format", "unknown-format", "this ztlib reads cases of `format = 1`"));
        }
        None => return Err(top.missing("format", "write `format = 1` at the top")),
    }
    let callers = callers(&top)?;
    let tables = top.tables("case", &CASE_KEYS)?;
    if tables.is_empty() {
        return Err(top.missing("case", "write one: `[[case]]`"));
    }
    if tables.len() > MAX_CASES {
        let text = format!("a file has at most {MAX_CASES} cases: write another file");
        return Err(top.error("case", "too-many-cases", &text));
    }
    let mut names = BTreeSet::new();
    let mut cases = Vec::with_capacity(tables.len());
    for table in &tables {
        let case = case(table, &callers, bare)?;
        if !names.insert(case.name.clone()) {
            let text = format!("an earlier case is named `{}` too: choose another name", shown(&case.name));
            return Err(table.error("name", "duplicate-name", &text));
        }
        cases.push(case);
    }
    Ok(cases)
}

/// A caller as it is written down: claims are read for each case, since they hang on its moment.
#[derive(Default, Clone)]
struct Caller {
    peer: Option<PeerIdentity>,
    claims: Option<Map<String, Json>>,
    remote_ip: Option<IpAddr>,
}

fn callers<'t>(top: &Table<'t>) -> Result<BTreeMap<&'t str, Caller>, LoadError> {
    let names: Vec<&str> = members(top, "caller")?.into_iter().map(|(name, _)| name).collect();
    if names.len() > MAX_CASES {
        return Err(top.error(
            "caller",
            "too-many-cases",
            &format!("a file has at most {MAX_CASES} callers"),
        ));
    }
    let Some(all) = top.table("caller", &names)? else { return Ok(BTreeMap::new()) };
    let callers = names.into_iter().map(|name| match all.table(name, &CALLER_KEYS)? {
        Some(table) => Ok((name, caller(&table, Caller::default())?)),
        None => Ok((name, Caller::default())),
    });
    callers.collect()
}

/// What a table says about a caller, over what is known already.
fn caller(table: &Table<'_>, known: Caller) -> Result<Caller, LoadError> {
    let mut caller = known;
    if let Some(peer) = peer(table)? {
        caller.peer = Some(peer);
    }
    if let Some(value) = table.raw("claims") {
        match json(table, value)? {
            Json::Object(claims) => caller.claims = Some(claims),
            _ => {
                return Err(wrong(table, value, "`claims` is a table: write `claims = { sub = \"alice\" }`"));
            }
        }
    }
    if let Some(address) = table.text("remote-ip")? {
        let parsed = address.parse().map_err(|_| {
            table.error("remote-ip", "bad-address", &format!("`{}` is not an IP address", shown(address)))
        });
        caller.remote_ip = Some(parsed?);
    }
    Ok(caller)
}

/// A SPIFFE ID, or the authority and the DNS names of a peer without one.
fn peer(table: &Table<'_>) -> Result<Option<PeerIdentity>, LoadError> {
    let Some(value) = table.raw("peer") else { return Ok(None) };
    if let DeValue::String(id) = value.get_ref() {
        let parsed = SpiffeId::parse(id).map_err(|error| {
            table.error("peer", "bad-peer", &format!("`{}` is not a SPIFFE ID: {error}", shown(id)))
        });
        return Ok(Some(PeerIdentity::rehearsed(parsed?)));
    }
    let form = "`peer` is a SPIFFE ID in quotes, or a table: `{ authority = \"partners\", dns-names = [\"a.example\"] }`";
    if !matches!(value.get_ref(), DeValue::Table(_)) {
        return Err(wrong(table, value, form));
    }
    let Some(named) = table.table("peer", &PEER_KEYS)? else { return Ok(None) };
    let authority = named.required_text("authority", "name the authority that vouches for the peer")?;
    let names = named.texts("dns-names")?;
    if names.is_empty() {
        return Err(named.missing("dns-names", "a peer without a SPIFFE ID has at least one DNS name"));
    }
    Ok(Some(PeerIdentity::rehearsed_named(authority, &names)))
}

fn case(table: &Table<'_>, callers: &BTreeMap<&str, Caller>, bare: bool) -> Result<Case, LoadError> {
    let name = table.required_text("name", "say in a sentence what the case shows")?;
    if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
        return Err(table.error("name", "bad-name", "a case's name is one line of 1 to 200 bytes"));
    }
    let now = moment(table, "now")?.unwrap_or_else(|| from_unix_seconds(MONDAY));
    let known = match table.text("caller")? {
        None => Caller::default(),
        Some(name) => callers.get(name).cloned().ok_or_else(|| {
            let names: Vec<&str> = callers.keys().copied().collect();
            let advice = closest(name, &names).map_or_else(
                || format!("write `[caller.{}]`", shown(name)),
                |close| format!("did you mean `{close}`?"),
            );
            table.error(
                "caller",
                "unknown-caller",
                &format!("there is no caller `{}`: {advice}", shown(name)),
            )
        })?,
    };
    let caller = caller(table, known)?;
    let claims = caller.claims.map(|claims| VerifiedClaims::rehearsed(claims, unix_seconds(now)));
    let claims = claims.transpose().map_err(|error| {
        let key = if table.raw("claims").is_some() { "claims" } else { "caller" };
        table.error(key, "bad-claims", &format!("no verified token has such claims: {error}"))
    })?;
    let mut labels = Labels::new();
    for (name, value) in texts_of(table, "labels")? {
        labels = labels.with(name, value);
    }
    let mut documents = BTreeMap::new();
    for (name, value) in members(table, "documents")? {
        documents.insert(name.into(), Arc::new(json(table, value)?));
    }
    let facts = Facts {
        subject: subject(table)?,
        principal: Principal::new(caller.peer, claims),
        labels,
        now,
        signals: signals(table)?,
        documents,
    };
    Ok(Case {
        name: name.into(),
        line: table.line("name"),
        facts: facts.calling_from(caller.remote_ip),
        expect: expectation(table, bare)?,
    })
}

/// Signals: a text or a number; `false` where the service knows that there is none.
fn signals(table: &Table<'_>) -> Result<BTreeMap<Box<str>, Option<String>>, LoadError> {
    let signals = members(table, "signals")?.into_iter().map(|(name, value)| match value.get_ref() {
        DeValue::Boolean(false) => Ok((name.into(), None)),
        DeValue::Boolean(true) => Err(wrong(
            table,
            value,
            "a signal is a text or a number, or `false` where it is known to be absent",
        )),
        other => match plain(other) {
            Some(text) => Ok((name.into(), Some(text))),
            None => Err(wrong(
                table,
                value,
                "a signal is a text or a number, or `false` where it is known to be absent",
            )),
        },
    });
    signals.collect()
}

fn subject(table: &Table<'_>) -> Result<Subject, LoadError> {
    let Some(action) = table.text("action")? else { return request(table) };
    if let Some(key) = REQUEST_KEYS.into_iter().find(|key| table.raw(key).is_some()) {
        let text = format!("a question of the application's own has no `{key}`: leave out this or `action`");
        return Err(table.error(key, "action-and-request", &text));
    }
    Ok(Subject::Action(action.into()))
}

/// A request as the guard would take it: what it refuses before any policy is asked cannot be a case.
fn request(table: &Table<'_>) -> Result<Subject, LoadError> {
    let path = table.required_text("path", "name the request's path (or an `action`)")?;
    let method = table.text("method")?.unwrap_or("GET");
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| table.error("method", "bad-request", &format!("`{}` is not a method", shown(method))))?;
    let host = table.text("host")?.unwrap_or(HOST);
    let refused = |key: &str, text: String| table.error(key, "bad-request", &text);
    if path.contains(['?', '#']) {
        return Err(refused(
            "path",
            "a path has no `?` and no `#`: write `query = { name = \"value\" }`".to_owned(),
        ));
    }
    // As in HTTP/2: the host is in the target, and no header.
    let mut target = format!("https://{host}{path}");
    for (index, (name, value)) in texts_of(table, "query")?.into_iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.push_str(&encoded(&name));
        target.push('=');
        target.push_str(&encoded(&value));
    }
    let mut request = http::Request::builder().method(method).uri(&target);
    for (name, value) in members(table, "headers")? {
        let bad = || wrong(table, value, &format!("`{}` cannot be a header with this value", shown(name)));
        let header: HeaderName = name.parse().map_err(|_| bad())?;
        let values = match value.get_ref() {
            DeValue::Array(items) => items.iter().map(|item| plain(item.get_ref())).collect(),
            single => vec![plain(single)],
        };
        for text in values {
            let text = HeaderValue::from_str(&text.ok_or_else(bad)?).map_err(|_| bad())?;
            request = request.header(&header, text);
        }
    }
    let request =
        request.body(()).map_err(|error| refused("path", format!("this is no request: {error}")))?;
    let parts = request.into_parts().0;
    let checked = check_target(&parts, path).map_err(|error| {
        refused("path", format!("no policy is asked about this request: {error} ({})", error.code()))
    })?;
    let mut params = Params::default();
    for (name, value) in texts_of(table, "params")? {
        check_parameter(&value).map_err(|error| refused("params", error.to_string()))?;
        params.push(&name, &value);
    }
    let target = Target::new(&checked.host, path);
    let route = table.text("route")?.map(Into::into);
    Ok(Subject::Request(Box::new(Request { parts, target, route, params })))
}

/// A part of a query, escaped.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn expectation(table: &Table<'_>, bare: bool) -> Result<Expectation, LoadError> {
    let at = |key: &str| table.line(key);
    let text = |key: &str| {
        Ok::<_, LoadError>(table.text(key)?.map(|value| At { line: at(key), value: Box::<str>::from(value) }))
    };
    let verdict = match table.text("expect")? {
        None if bare => None,
        None => return Err(table.missing("expect", "one of allow, deny, abstain and fault")),
        Some(name) => Some(Verdict::parse(name).ok_or_else(|| {
            let advice = closest(name, &Verdict::NAMES).map_or_else(
                || format!("it is one of {}", Verdict::NAMES.join(", ")),
                |close| format!("did you mean `{close}`?"),
            );
            table.error("expect", "unknown-verdict", &format!("`{}` is no verdict: {advice}", shown(name)))
        })?),
    };
    let belongs = |key: &str, to: &[Verdict]| {
        if table.raw(key).is_some() && verdict.is_some_and(|verdict| !to.contains(&verdict)) {
            let to: Vec<String> = to.iter().map(|verdict| format!("`expect = \"{verdict}\"`")).collect();
            return Err(table.error(
                key,
                "wrong-expectation",
                &format!("`{key}` goes with {}", to.join(" or ")),
            ));
        }
        Ok(())
    };
    for key in ["reason", "policy"] {
        belongs(key, &[Verdict::Deny, Verdict::Fault])?;
    }
    for key in ["message", "step-up"] {
        belongs(key, &[Verdict::Deny])?;
    }
    for key in ["request-headers", "response-headers"] {
        belongs(key, &[Verdict::Allow])?;
    }
    let reason = text("reason")?;
    match &reason {
        Some(At { value, .. }) if Reason::parse(value).is_err() => {
            let text = format!("`{}` is no code: 1 to 64 of `a-z`, `0-9` and `-`", shown(value));
            return Err(table.error("reason", "bad-reason", &text));
        }
        None if verdict == Some(Verdict::Deny) => {
            return Err(table.missing(
                "reason",
                "a denial for the wrong reason is no success (`denied` where the policy gives none)",
            ));
        }
        _ => {}
    }
    let step_up = table.table("step-up", &STEP_UP_KEYS)?;
    let step_up = step_up.map(|wanted| {
        let max_age = wanted.integer("max-age")?.map(u32::try_from).transpose();
        let max_age =
            max_age.map_err(|_| wanted.error("max-age", "wrong-type", "the number is too large"))?;
        let value = StepUpWanted { acr: wanted.text("acr")?.map(Into::into), max_age };
        Ok::<_, LoadError>(At { line: at("step-up"), value })
    });
    let reads = table.raw("reads").map(|_| {
        let reads = table.texts("reads")?.into_iter().map(Into::into).collect();
        Ok::<_, LoadError>(At { line: at("reads"), value: reads })
    });
    Ok(Expectation {
        verdict: verdict.map(|value| At { line: at("expect"), value }),
        reason,
        policy: text("policy")?,
        message: text("message")?,
        step_up: step_up.transpose()?,
        request_headers: headers(table, "request-headers")?,
        response_headers: headers(table, "response-headers")?,
        reads: reads.transpose()?,
    })
}

/// Header changes: a text, `true` for whatever value, `false` for a header that is removed.
fn headers(table: &Table<'_>, key: &str) -> Result<Option<At<Headers>>, LoadError> {
    if table.raw(key).is_none() {
        return Ok(None);
    }
    let wanted = members(table, key)?.into_iter().map(|(name, value)| {
        let wanted = match value.get_ref() {
            DeValue::Boolean(true) => HeaderWanted::Set,
            DeValue::Boolean(false) => HeaderWanted::Removed,
            DeValue::String(text) => HeaderWanted::SetTo(text.as_ref().into()),
            _ => {
                let text =
                    "a header is a text, `true` where any value will do, or `false` where it is removed";
                return Err(wrong(table, value, text));
            }
        };
        Ok((name.to_ascii_lowercase().into(), wanted))
    });
    let value = wanted.collect::<Result<Headers, LoadError>>()?;
    Ok(Some(At { line: table.line(key), value }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(case: &str) -> Result<Vec<Case>, LoadError> {
        parse(Path::new("t.toml"), &format!("format = 1\n[[case]]\nname = 'c'\n{case}\n"), false)
    }

    /// The code and the line.
    fn error(case: &str) -> (&'static str, usize) {
        let error = read(case).err().unwrap_or_else(|| panic!("{case} is taken"));
        assert_eq!(error.file(), Some("t.toml"), "{error}");
        (error.code(), error.line().unwrap())
    }

    #[test]
    fn each_mistake_is_named_with_its_line() {
        let good = "path = '/'\nexpect = 'allow'";
        assert!(read(good).is_ok());
        for (case, code, line) in [
            ("expect = 'allow'", "missing-key", 2),
            ("path = '/'", "missing-key", 2),
            ("path = '/'\nexpect = 'allowed'", "unknown-verdict", 5),
            ("path = '/'\nexpect = 'deny'", "missing-key", 2),
            ("path = '/'\nexpect = 'deny'\nreason = 'No Role'", "bad-reason", 6),
            ("path = '/'\nexpect = 'allow'\nreason = 'no-role'", "wrong-expectation", 6),
            ("path = '/'\nexpect = 'deny'\nreason = 'x'\nrequest-headers = {}", "wrong-expectation", 7),
            ("path = '/'\nexpect = 'allow'\nexpect = 'deny'", "malformed-file", 6),
            ("path = '/'\nexpect = 'allow'\nlabel = {}", "unknown-key", 6),
            ("path = '/'\nexpect = 'allow'\nlabels = { a = [] }", "wrong-type", 6),
            ("path = '/'\nexpect = 'allow'\nlabels = 'a'", "wrong-type", 6),
            ("path = '/a/../b'\nexpect = 'allow'", "bad-request", 4),
            ("path = '/a?b=c'\nexpect = 'allow'", "bad-request", 4),
            ("path = 'a'\nexpect = 'allow'", "bad-request", 4),
            ("path = '/'\nmethod = 'G T'\nexpect = 'allow'", "bad-request", 5),
            ("path = '/'\nmethod = 'CONNECT'\nexpect = 'allow'", "bad-request", 4),
            ("path = '/'\nhost = 'a b'\nexpect = 'allow'", "bad-request", 4),
            ("path = '/'\nheaders = { 'a b' = 'c' }\nexpect = 'allow'", "wrong-type", 5),
            ("path = '/'\nparams = { id = 'a/../b' }\nexpect = 'allow'", "bad-request", 5),
            ("path = '/'\npeer = 'http://a'\nexpect = 'allow'", "bad-peer", 5),
            ("path = '/'\npeer = { authority = 'a' }\nexpect = 'allow'", "missing-key", 5),
            ("path = '/'\npeer = { authority = 'a', dns-name = ['b'] }\nexpect = 'allow'", "unknown-key", 5),
            ("path = '/'\nclaims = { sub = 7 }\nexpect = 'allow'", "bad-claims", 5),
            ("path = '/'\nclaims = { exp = 2026-01-01 }\nexpect = 'allow'", "wrong-type", 5),
            ("path = '/'\nclaims = { x = nan }\nexpect = 'allow'", "wrong-type", 5),
            ("path = '/'\nclaims = 'sub'\nexpect = 'allow'", "wrong-type", 5),
            ("path = '/'\nremote-ip = 'localhost'\nexpect = 'allow'", "bad-address", 5),
            ("path = '/'\ncaller = 'alice'\nexpect = 'allow'", "unknown-caller", 5),
            ("path = '/'\nsignals = { risk = true }\nexpect = 'allow'", "wrong-type", 5),
            ("path = '/'\nnow = 2026-11-23\nexpect = 'allow'", "wrong-type", 5),
            ("path = '/'\nnow = -1\nexpect = 'allow'", "wrong-type", 5),
            ("action = 'a'\npath = '/'\nexpect = 'allow'", "action-and-request", 5),
            (
                "path = '/'\nexpect = 'allow'\n[[case]]\nname = 'c'\npath = '/'\nexpect = 'allow'",
                "duplicate-name",
                7,
            ),
        ] {
            assert_eq!(error(case), (code, line), "{case}");
        }
    }

    #[test]
    fn a_file_says_which_format_it_is_and_is_bounded() {
        let code = |text: &str| parse(Path::new("t.toml"), text, false).unwrap_err().code();
        assert_eq!(code("[[case]]\nname = 'c'"), "missing-key");
        assert_eq!(code("format = 2"), "unknown-format");
        assert_eq!(code("format = 1"), "missing-key");
        assert_eq!(code(&format!("format = 1\n#{}", " ".repeat(MAX_FILE_BYTES))), "file-too-large");
        let cases = |count: usize| {
            let case = |n| format!("[[case]]\nname = '{n}'\npath = '/'\nexpect = 'allow'\n");
            format!("format = 1\n{}", (0..count).map(case).collect::<String>())
        };
        assert_eq!(parse(Path::new("t.toml"), &cases(MAX_CASES), false).unwrap().len(), MAX_CASES);
        assert_eq!(code(&cases(MAX_CASES + 1)), "too-many-cases");
        let deep = format!(
            "format = 1\n[[case]]\nname = 'c'\npath = '/'\nexpect = 'allow'\nclaims = {{ a = {}{} }}",
            "[".repeat(40),
            "]".repeat(40)
        );
        assert_eq!(code(&deep), "wrong-type");
    }

    #[test]
    fn a_typo_is_told_what_was_meant() {
        let text = |case: &str| read(case).unwrap_err().to_string();
        assert!(text("path = '/'\nexpct = 'allow'").contains("did you mean `expect`?"));
        assert!(text("path = '/'\nexpect = 'denny'").contains("did you mean `deny`?"));
        let callers = "format = 1\n[caller.alice]\npeer = 'spiffe://a.test/x'\n[[case]]\nname = 'c'\ncaller = 'alise'\npath = '/'\nexpect = 'allow'";
        let error = parse(Path::new("t.toml"), callers, false).unwrap_err();
        assert!(error.to_string().contains("did you mean `alice`?"), "{error}");
    }

    #[test]
    fn what_stands_in_a_case_is_in_the_place_of_the_callers() {
        let text = "format = 1\n[caller.a]\npeer = 'spiffe://a.test/x'\nclaims = { sub = 'a' }\nremote-ip = '192.0.2.1'\n[[case]]\nname = 'c'\ncaller = 'a'\nclaims = { sub = 'b' }\npath = '/'\nexpect = 'allow'";
        let cases = parse(Path::new("t.toml"), text, false).unwrap();
        let principal = &cases[0].facts.principal;
        assert_eq!(principal.claims().unwrap().subject(), Some("b"));
        assert_eq!(principal.peer().unwrap().to_string(), "spiffe://a.test/x");
        assert_eq!(principal.remote_ip().unwrap().to_string(), "192.0.2.1");
    }

    #[test]
    fn a_query_is_what_the_policy_decodes_from_it() {
        let cases = read("path = '/'\nquery = { 'a b' = 'c&d=é', n = 7 }\nexpect = 'allow'").unwrap();
        let Subject::Request(request) = &cases[0].facts.subject else { panic!() };
        let mut pairs: Vec<&str> = request.parts.uri.query().unwrap().split('&').collect();
        pairs.sort_unstable();
        assert_eq!(pairs, ["a%20b=c%26d%3D%C3%A9", "n=7"]);
        assert_eq!(request.target.host(), "service.test");
    }
}

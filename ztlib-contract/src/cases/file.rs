//! A file of cases: TOML → cases, or the line in which it is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value as Json};
use toml::de::DeValue;

use super::case::{Case, Facts, Request, Subject};
use super::checks;
use super::possible::{
    is_authority, is_dns_name, is_grpc, is_host, is_sent, is_taken_out, is_workload, params, times,
};
use super::value::{json, members, moment, plain, texts_of};
use super::{Error, Expectation, Table, Text, closest, encoded, shown};
use crate::facts::{Caller, Labels, Params, PeerFacts};
use crate::from_unix_seconds;

/// The largest file of cases, in bytes.
pub const MAX_FILE_BYTES: usize = 256 << 10;
/// The most cases and callers of one file.
const MAX_CASES: usize = 512;
/// 23 November 2026, a Monday, 00:00 UTC: when nothing else is said.
const MONDAY: u64 = 1_795_392_000;
/// The host that a request names when nothing else is said.
const HOST: &str = "service.test";

const TOP_KEYS: [&str; 4] = ["format", "home-issuer", "caller", "case"];
const CALLER_KEYS: [&str; 3] = ["peer", "claims", "remote-ip"];
const PEER_KEYS: [&str; 2] = ["authority", "dns-names"];
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

/// Reads a file of at most 256 KiB with at most 512 cases and 512 callers. `bare` are cases that
/// need expect nothing: questions.
///
/// # Errors
/// The first mistake: what is no TOML, unknown keys, values of another type, names that are there
/// twice, a missing expectation, and what the guard would not take.
pub(super) fn read(file: &Path, text: &str, bare: bool) -> Result<Vec<Case>, Error> {
    if text.len() > MAX_FILE_BYTES {
        let text = format!("the file is larger than {MAX_FILE_BYTES} bytes");
        return Err(Error::new(file, None, "file-too-large", text));
    }
    let text = Text::new(file, text);
    let parsed = text.parse()?;
    let top = text.table(&parsed, &TOP_KEYS)?;
    match top.integer("format")? {
        Some(1) => {}
        Some(_) => {
            let text = "this ztlib reads cases of `format = 1`";
            return Err(top.error("format", "unknown-format", text));
        }
        None => return Err(top.missing("format", "write `format = 1` at the top")),
    }
    let home = top.text("home-issuer")?;
    let callers = callers(&top)?;
    let tables = top.tables("case", &CASE_KEYS)?;
    if tables.is_empty() {
        return Err(top.missing("case", "write one: `[[case]]`"));
    }
    if tables.len() > MAX_CASES {
        let text = format!("a file has at most {MAX_CASES} cases: write another file");
        return Err(top.error("case", "too-many-cases", text));
    }
    let mut names = BTreeSet::new();
    let mut cases = Vec::with_capacity(tables.len());
    for table in &tables {
        let case = case(table, &callers, home, bare)?;
        if !names.insert(case.name.clone()) {
            let text = format!("an earlier case is named `{}` too: choose another name", shown(&case.name));
            return Err(table.error("name", "duplicate-name", text));
        }
        cases.push(case);
    }
    Ok(cases)
}

/// The home issuer that a file of cases names; none where it names none.
///
/// # Errors
/// What is no TOML, an unknown key at the top, a value of another type.
pub fn home_issuer(file: &Path, text: &str) -> Result<Option<String>, Error> {
    let text = Text::new(file, text);
    let parsed = text.parse()?;
    Ok(text.table(&parsed, &TOP_KEYS)?.text("home-issuer")?.map(str::to_owned))
}

/// A request as a case writes it down.
pub(super) struct Written {
    pub(super) method: String,
    pub(super) host: String,
    pub(super) path: String,
    /// Decoded, in the order of the file.
    pub(super) query: Vec<(String, String)>,
    /// Each header with its values; names in whatever case.
    pub(super) headers: Vec<(String, Vec<String>)>,
}

impl Written {
    /// The whole URI. As in HTTP/2, the host is in it, and in no header.
    pub(super) fn uri(&self) -> String {
        let mut uri = format!("https://{}{}", self.host, self.path);
        for (index, (name, value)) in self.query.iter().enumerate() {
            uri.push(if index == 0 { '?' } else { '&' });
            uri.push_str(&encoded(name));
            uri.push('=');
            uri.push_str(&encoded(value));
        }
        uri
    }
}

/// A caller as it is written down: claims are completed for each case, since they depend on its
/// moment.
struct Named {
    peer: Option<Arc<PeerFacts>>,
    claims: Option<Map<String, Json>>,
    remote_ip: Option<IpAddr>,
}

fn callers<'t>(top: &Table<'t>) -> Result<BTreeMap<&'t str, Named>, Error> {
    let names: Vec<&str> = members(top, "caller")?.into_iter().map(|(name, _)| name).collect();
    if names.len() > MAX_CASES {
        let text = format!("a file has at most {MAX_CASES} callers");
        return Err(top.error("caller", "too-many-cases", text));
    }
    let mut callers = BTreeMap::new();
    if let Some(all) = top.table("caller", &names)? {
        for name in names {
            if let Some(table) = all.table(name, &CALLER_KEYS)? {
                callers.insert(name, caller(&table, None)?);
            }
        }
    }
    Ok(callers)
}

/// What a table says about a caller, over what is known already.
fn caller(table: &Table<'_>, known: Option<&Named>) -> Result<Named, Error> {
    let mut caller = Named {
        peer: peer(table)?.map(Arc::new).or_else(|| known?.peer.clone()),
        claims: known.and_then(|known| known.claims.clone()),
        remote_ip: known.and_then(|known| known.remote_ip),
    };
    if let Some(value) = table.raw("claims") {
        let Json::Object(claims) = json(table, value)? else {
            return Err(table.wrong(value, "`claims` must be a table: write `claims = { sub = \"alice\" }`"));
        };
        caller.claims = Some(claims);
    }
    if let Some(address) = table.text("remote-ip")? {
        let parsed = address.parse().map_err(|_| {
            table.error("remote-ip", "bad-address", format!("`{}` is not an IP address", shown(address)))
        });
        caller.remote_ip = Some(parsed?);
    }
    Ok(caller)
}

/// A SPIFFE ID, or the authority and the DNS names of a peer without one.
fn peer(table: &Table<'_>) -> Result<Option<PeerFacts>, Error> {
    let Some(value) = table.raw("peer") else { return Ok(None) };
    if let DeValue::String(id) = value.get_ref() {
        let peer = checks::spiffe_peer(id).map_err(|what| {
            table.error("peer", "bad-peer", format!("`{}` is not a SPIFFE ID: {what}", shown(id)))
        })?;
        if !is_workload(id) {
            let text = format!("`{}` names a trust domain: a peer's ID has a path", shown(id));
            return Err(table.error("peer", "bad-peer", text));
        }
        return Ok(Some(peer));
    }
    let form = "`peer` is a SPIFFE ID in quotes, or a table: `{ authority = \"partners\", dns-names = [\"a.example\"] }`";
    if !matches!(value.get_ref(), DeValue::Table(_)) {
        return Err(table.wrong(value, form));
    }
    let Some(named) = table.table("peer", &PEER_KEYS)? else { return Ok(None) };
    let authority = named.required_text("authority", "name the authority that vouches for the peer")?;
    let names = named.texts("dns-names")?;
    if names.is_empty() {
        return Err(named.missing("dns-names", "a peer without a SPIFFE ID has at least one DNS name"));
    }
    if !is_authority(authority) {
        let text = format!(
            "`{}` is not the name of an authority: 1 to 64 of `a-z`, `0-9` and `-`",
            shown(authority)
        );
        return Err(named.error("authority", "bad-peer", text));
    }
    if let Some(name) = names.iter().find(|name| !is_dns_name(name)) {
        let text =
            format!("`{}` is not an identity: a host name without a wildcard, and no address", shown(name));
        return Err(named.error("dns-names", "bad-peer", text));
    }
    Ok(Some(PeerFacts::named(authority, names)))
}

fn case(
    table: &Table<'_>,
    callers: &BTreeMap<&str, Named>,
    home: Option<&str>,
    bare: bool,
) -> Result<Case, Error> {
    let name = table.required_text("name", "say in a sentence what the case shows")?;
    if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
        return Err(table.error("name", "bad-name", "a case's name is one line of 1 to 200 bytes"));
    }
    let now = moment(table, "now")?.unwrap_or(MONDAY);
    let known = match table.text("caller")? {
        None => None,
        Some(name) => Some(callers.get(name).ok_or_else(|| {
            let names: Vec<&str> = callers.keys().copied().collect();
            let advice = closest(name, &names).map_or_else(
                || format!("write `[caller.{}]`", shown(name)),
                |close| format!("did you mean `{close}`?"),
            );
            let text = format!("there is no caller `{}`: {advice}", shown(name));
            table.error("caller", "unknown-caller", text)
        })?),
    };
    let caller = caller(table, known)?;
    let claims = caller.claims.map(|mut claims| {
        if let Some(home) = home {
            claims.entry("iss").or_insert_with(|| home.into());
        }
        let is_home = home.is_none_or(|home| claims.get("iss").and_then(Json::as_str) == Some(home));
        let wrong = times(&claims, now);
        let claims = checks::claims(claims, now, is_home)?;
        wrong.map_or(Ok(claims), |wrong| Err(("bad-claims", wrong)))
    });
    let claims = claims.transpose();
    let claims = claims.map_err(|(code, text)| {
        let key = if table.has("claims") { "claims" } else { "caller" };
        table.error(key, code, text)
    })?;
    let labels = texts_of(table, "labels")?;
    let documents = members(table, "documents")?.into_iter();
    let documents = documents.map(|(name, value)| Ok((name.into(), Arc::new(json(table, value)?))));
    let documents = documents.collect::<Result<_, Error>>()?;
    let facts = Facts {
        subject: subject(table)?,
        caller: Caller::new(caller.peer, claims.map(Arc::new), caller.remote_ip),
        labels: labels.into_iter().fold(Labels::new(), |labels, (name, value)| labels.with(name, value)),
        now: from_unix_seconds(now),
        signals: signals(table)?,
        documents,
    };
    Ok(Case { name: name.into(), line: table.line("name"), facts, expect: Expectation::read(table, bare)? })
}

/// Signals: a text or a number; `false` where the service knows that there is none.
fn signals(table: &Table<'_>) -> Result<BTreeMap<Box<str>, Option<String>>, Error> {
    let signals = members(table, "signals")?.into_iter().map(|(name, value)| {
        let signal = match value.get_ref() {
            DeValue::Boolean(yes) => (!yes).then_some(None),
            other => plain(other).map(Some),
        };
        let signal = signal.ok_or_else(|| {
            table.wrong(
                value,
                "a signal must be a text or a number, or `false` where it is known to be absent",
            )
        });
        Ok((name.into(), signal?))
    });
    signals.collect()
}

fn subject(table: &Table<'_>) -> Result<Subject, Error> {
    let Some(action) = table.text("action")? else {
        let (written, is_grpc) = written(table)?;
        let path = written.path.as_str();
        let said = texts_of(table, "params")?;
        let route = table.text("route")?;
        if is_grpc && route.is_some_and(|route| route != path) {
            let text = format!("of a gRPC call the route is the path: write `route = \"{}\"`", shown(path));
            return Err(table.error("route", "contradiction", text));
        }
        let params = params(table, path, route, &said)?;
        for (_, value) in &params {
            checks::check_parameter(value).map_err(|text| table.error("path", "bad-request", text))?;
        }
        let mut all = Params::default();
        for (name, value) in &params {
            all.push(name, value);
        }
        let (parts, target) =
            checks::target(&written).map_err(|text| table.error("path", "bad-request", text))?;
        return Ok(Subject::Request(Box::new(Request {
            parts,
            target,
            route: route.map(Into::into),
            params: all,
        })));
    };
    if let Some(key) = REQUEST_KEYS.into_iter().find(|key| table.has(key)) {
        let text = format!("a question of the application's own has no `{key}`: leave out this or `action`");
        return Err(table.error(key, "action-and-request", text));
    }
    Ok(Subject::Action(action.into()))
}

/// The request as it is written down, and whether it calls a method of gRPC.
fn written(table: &Table<'_>) -> Result<(Written, bool), Error> {
    let path = table.required_text("path", "name the request's path (or an `action`)")?;
    let method = table.text("method")?.unwrap_or("GET");
    if !checks::is_method(method) {
        return Err(table.error("method", "bad-request", format!("`{}` is not a method", shown(method))));
    }
    let host = table.text("host")?.unwrap_or(HOST);
    if !is_host(host) {
        return Err(table.error("host", "bad-request", format!("`{}` is not a host", shown(host))));
    }
    if path.contains(['?', '#']) {
        let text = "a path has no `?` and no `#`: write `query = { name = \"value\" }`";
        return Err(table.error("path", "bad-request", text));
    }
    let query = texts_of(table, "query")?;
    let mut headers: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in members(table, "headers")? {
        if headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            let text = format!("the header `{}` stands there twice: write its values in a list", shown(name));
            return Err(table.at(value, "duplicate-name", text));
        }
        if is_taken_out(name) {
            let text = format!(
                "no policy sees the header `{}`: the guard takes it out of every request",
                shown(name)
            );
            return Err(table.at(value, "bad-request", text));
        }
        let values: Option<Vec<String>> = match value.get_ref() {
            DeValue::Array(items) => items.iter().map(|item| plain(item.get_ref())).collect(),
            single => plain(single).map(|single| vec![single]),
        };
        let fits = |values: &Vec<String>| checks::is_header(name, values) && is_sent(name, values);
        let values = values.filter(fits);
        let values = values.ok_or_else(|| {
            table.wrong(value, format!("`{}` cannot be a header with this value", shown(name)))
        })?;
        headers.push((name.to_owned(), values));
    }
    let written =
        Written { method: method.to_owned(), host: host.to_owned(), path: path.to_owned(), query, headers };
    let is_grpc = is_grpc(&written);
    // Before what the router found is looked at.
    checks::target(&written).map_err(|text| table.error("path", "bad-request", text))?;
    Ok((written, is_grpc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Case>, Error> {
        read(Path::new("t.toml"), text, false)
    }

    fn one(case: &str) -> Result<Case, Error> {
        let cases = parse(&format!("format = 1\n[[case]]\nname = 'c'\n{case}\n"));
        cases.map(|mut cases| cases.remove(0))
    }

    /// The code and the line.
    fn mistake(case: &str) -> (&'static str, usize) {
        let error = one(case).err().unwrap_or_else(|| panic!("{case} is taken"));
        assert_eq!(error.file(), Path::new("t.toml"), "{error}");
        (error.code(), error.line().unwrap())
    }

    #[test]
    fn each_mistake_is_named_with_its_line() {
        assert!(one("path = '/'\nexpect = 'allow'").is_ok());
        for (case, code, line) in [
            ("expect = 'allow'", "missing-key", 2),
            ("path = '/'", "missing-key", 2),
            ("path = '/'\nexpect = 'allowed'", "unknown-verdict", 5),
            ("path = '/'\nexpect = 'deny'", "missing-key", 2),
            ("path = '/'\nexpect = 'deny'\nreason = 'No Role'", "bad-reason", 6),
            ("path = '/'\nexpect = 'allow'\nreason = 'no-role'", "wrong-expectation", 6),
            ("path = '/'\nexpect = 'deny'\nreason = 'x'\nrequest-headers = {}", "wrong-expectation", 7),
            ("path = '/'\nexpect = 'allow'\nrequest-headers = { a = 7 }", "wrong-type", 6),
            (
                "path = '/'\nexpect = 'deny'\nreason = 'x'\nstep-up = { max-age = 4294967296 }",
                "wrong-type",
                7,
            ),
            ("path = '/'\nexpect = 'allow'\nreads = ['a', 'a']", "duplicate-name", 6),
            ("path = '/'\nexpect = 'allow'\nexpect = 'deny'", "malformed-file", 6),
            ("path = '/'\nexpect = 'allow'\nlabel = {}", "unknown-key", 6),
            ("path = '/'\nexpect = 'allow'\nlabels = { a = [] }", "wrong-type", 6),
            ("path = '/'\nexpect = 'allow'\nlabels = 'a'", "wrong-type", 6),
            ("path = '/a?b=c'\nexpect = 'allow'", "bad-request", 4),
            ("path = 'a'\nexpect = 'allow'", "bad-request", 4),
            ("path = '/'\nmethod = 'G T'\nexpect = 'allow'", "bad-request", 5),
            ("path = '/'\nheaders = { a = [[]] }\nexpect = 'allow'", "wrong-type", 5),
            ("path = '/'\nheaders = {\n a = \"\\n\" }\nexpect = 'allow'", "wrong-type", 6),
            ("path = '/%2E%2E'\nroute = '/{id}'\nexpect = 'allow'", "bad-request", 4),
            ("path = '/'\nhost = ''\nexpect = 'allow'", "bad-request", 5),
            ("path = '/'\nhost = 'a.test/b'\nexpect = 'allow'", "bad-request", 5),
            ("path = '/'\nhost = 'a.test?b='\nexpect = 'allow'", "bad-request", 5),
            ("path = '/'\nhost = 'a@b.test'\nexpect = 'allow'", "bad-request", 5),
            ("path = '/'\nhost = 'a.test#b'\nexpect = 'allow'", "bad-request", 5),
            ("path = '/'\nheaders = { X-A = '1',\n x-a = '2' }\nexpect = 'allow'", "duplicate-name", 6),
            ("path = '/'\nheaders = { x-a = [] }\nexpect = 'allow'", "wrong-type", 5),
            ("path = '/'\nheaders = { Content-Length = 'a' }\nexpect = 'allow'", "wrong-type", 5),
            ("path = '/'\nheaders = { content-length = [1, 1] }\nexpect = 'allow'", "wrong-type", 5),
            ("path = '/'\npeer = 'spiffe://a.test'\nexpect = 'allow'", "bad-peer", 5),
            ("path = '/'\nheaders = { Ztlib-Peer = 'a' }\nexpect = 'allow'", "bad-request", 5),
            ("path = '/'\nheaders = { x_forwarded-client-cert = 'a' }\nexpect = 'allow'", "bad-request", 5),
            ("path = '/'\nparams = { id = '7' }\nexpect = 'allow'", "contradiction", 5),
            ("path = '/a%2Fb'\nexpect = 'allow'", "bad-request", 4),
            ("path = '/a'\nroute = 'a'\nexpect = 'allow'", "bad-route", 5),
            ("path = '/a'\nroute = '/{'\nexpect = 'allow'", "bad-route", 5),
            ("path = '/a/b'\nroute = '/{x}/{x}'\nexpect = 'allow'", "bad-route", 5),
            ("path = '/a'\nroute = '/b'\nexpect = 'allow'", "contradiction", 5),
            ("path = '/orders/7'\nroute = '/orders/:id'\nexpect = 'allow'", "contradiction", 5),
            ("path = '/o/7/l'\nroute = '/o/{id}'\nexpect = 'allow'", "contradiction", 5),
            ("path = '/o/'\nroute = '/o/{id}'\nexpect = 'allow'", "contradiction", 5),
            ("path = '/a.B/C'\nroute = '/a.B/D'\nexpect = 'allow'", "contradiction", 5),
            (
                "path = '/a.B/C'\nmethod = 'POST'\nheaders = { content-type = 'application/grpc+proto' }\nroute = '/a.B/{*rest}'\nexpect = 'allow'",
                "contradiction",
                7,
            ),
            ("path = '/o/7'\nroute = '/o/{id}'\nparams = { id = 8 }\nexpect = 'allow'", "contradiction", 6),
            ("path = '/o/7'\nroute = '/o/{id}'\nparams = { di = 7 }\nexpect = 'allow'", "contradiction", 6),
            (
                "path = '/o/%20'\nroute = '/o/{id}'\nparams = { id = '%20' }\nexpect = 'allow'",
                "contradiction",
                6,
            ),
            ("path = '/'\npeer = { authority = 'A', dns-names = ['b'] }\nexpect = 'allow'", "bad-peer", 5),
            (
                "path = '/'\npeer = { authority = 'a', dns-names = ['8.8.8.8'] }\nexpect = 'allow'",
                "bad-peer",
                5,
            ),
            (
                "path = '/'\npeer = { authority = 'a', dns-names = ['b', '*.b'] }\nexpect = 'allow'",
                "bad-peer",
                5,
            ),
            (
                "path = '/'\npeer = { authority = 'a', dns-names = ['b'], spiffe = 'spiffe://a/b' }",
                "unknown-key",
                5,
            ),
            ("path = '/'\nnow = 9\nclaims = { exp = 9 }\nexpect = 'allow'", "bad-claims", 6),
            ("path = '/'\nnow = 9\nclaims = { nbf = 15 }\nexpect = 'allow'", "bad-claims", 6),
            ("path = '/'\nnow = 9\nclaims = { iat = 15 }\nexpect = 'allow'", "bad-claims", 6),
            ("path = '/'\nnow = 9\nclaims = { iat = 13, exp = 12 }\nexpect = 'allow'", "bad-claims", 6),
            ("path = '/'\npeer = 'http://a'\nexpect = 'allow'", "bad-peer", 5),
            ("path = '/'\npeer = 7\nexpect = 'allow'", "wrong-type", 5),
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
            ("path = '/'\nexpect = 'allow'\n[[case]]\nname = ''", "bad-name", 7),
            (
                "path = '/'\nexpect = 'allow'\n[[case]]\nname = 'c'\npath = '/'\nexpect = 'allow'",
                "duplicate-name",
                7,
            ),
        ] {
            assert_eq!(mistake(case), (code, line), "{case}");
        }
    }

    /// Of several mistakes the same is told, whatever the order of the file.
    #[test]
    fn the_callers_come_first_then_who_calls_then_what_is_asked_then_what_is_expected() {
        let mut case = "expect = 'allowed'\nlabels = 7\nsignals = 7\npath = 'a'\nquery = 7\nmethod = 'G T'\nclaims = { sub = 7 }\nremote-ip = 'x'\npeer = 'x'\nnow = -1\n".to_owned();
        for (code, line, mended, with) in [
            ("wrong-type", 13, "now = -1", "now = 1"),
            ("bad-peer", 12, "peer = 'x'", "peer = 'spiffe://a.test/x'"),
            ("bad-address", 11, "remote-ip = 'x'", "remote-ip = '::1'"),
            ("bad-claims", 10, "sub = 7", "sub = 'a'"),
            ("wrong-type", 5, "labels = 7", "labels = {}"),
            ("bad-request", 9, "G T", "GET"),
            ("wrong-type", 8, "query = 7", "query = {}"),
            ("bad-request", 7, "path = 'a'", "path = '/a'"),
            ("wrong-type", 6, "signals = 7", "signals = {}"),
            ("unknown-verdict", 4, "allowed", "allow"),
        ] {
            assert_eq!(mistake(&case), (code, line), "{case}");
            let text = format!("format = 1\n[caller.a]\npeer = 'x'\n[[case]]\nname = 'c'\n{case}");
            assert_eq!(parse(&text).err().map(|error| error.line()), Some(Some(3)), "{case}");
            case = case.replace(mended, with);
        }
        assert!(one(&case).is_ok());
    }

    #[test]
    fn a_file_says_which_format_it_is_and_is_bounded() {
        let code = |text: &str| parse(text).err().unwrap().code();
        assert_eq!(code("[[case]]\nname = 'c'"), "missing-key");
        assert_eq!(code("format = 2"), "unknown-format");
        let error = parse("format = 2").err().unwrap().to_string();
        assert_eq!(error, "t.toml:1: this ztlib reads cases of `format = 1` (unknown-format)");
        assert_eq!(code("format = 1"), "missing-key");
        assert_eq!(code(&format!("format = 1\n#{}", " ".repeat(MAX_FILE_BYTES))), "file-too-large");
        let cases = |count: usize| {
            let case = |n| format!("[[case]]\nname = '{n}'\npath = '/'\nexpect = 'allow'\n");
            format!("format = 1\n{}", (0..count).map(case).collect::<String>())
        };
        assert_eq!(parse(&cases(MAX_CASES)).ok().unwrap().len(), MAX_CASES);
        assert_eq!(code(&cases(MAX_CASES + 1)), "too-many-cases");
        let callers = |count: usize| {
            let callers: String = (0..count).map(|n| format!("[caller.c{n}]\n")).collect();
            format!("format = 1\n{callers}[[case]]\nname = 'c'\npath = '/'\nexpect = 'allow'\n")
        };
        assert!(parse(&callers(MAX_CASES)).is_ok());
        assert_eq!(code(&callers(MAX_CASES + 1)), "too-many-cases");
        let deep = |depth: usize| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            format!("path = '/'\nexpect = 'allow'\nclaims = {{ a = {open}{close} }}")
        };
        assert!(one(&deep(31)).is_ok());
        assert_eq!(mistake(&deep(32)), ("wrong-type", 6));
    }

    #[test]
    fn a_typo_is_told_what_was_meant() {
        let text = |case: &str| one(case).err().unwrap().to_string();
        assert!(text("path = '/'\nexpct = 'allow'").contains("did you mean `expect`?"));
        assert!(text("path = '/'\nexpect = 'denny'").contains("did you mean `deny`?"));
        let callers = "format = 1\n[caller.alice]\npeer = 'spiffe://a.test/x'\n[[case]]\nname = 'c'\ncaller = 'alise'\npath = '/'\nexpect = 'allow'";
        let error = parse(callers).err().unwrap();
        assert!(error.to_string().contains("did you mean `alice`?"), "{error}");
    }

    #[test]
    fn a_case_is_what_it_says_with_the_defaults_of_the_format() {
        let case = one("path = '/'\nexpect = 'allow'\nclaims = {}").ok().unwrap();
        assert_eq!((&*case.name, case.line, case.facts.now), ("c", 3, from_unix_seconds(MONDAY)));
        let caller = &case.facts.caller;
        assert!(caller.peer.is_none() && caller.remote_ip.is_none());
        let claims = caller.claims.as_ref().unwrap();
        assert_eq!(
            (claims.claim_int("/exp"), claims.is_home_issuer()),
            (Ok(Some(MONDAY as i64 + 300)), true)
        );
        let Subject::Request(request) = &case.facts.subject else { panic!() };
        assert_eq!(
            (request.parts.method.as_str(), request.parts.uri.to_string().as_str()),
            ("GET", "https://service.test/")
        );
        assert!(request.route.is_none() && request.params.iter().next().is_none());
        let case = one(
            "action = 'a'\nexpect = 'allow'\nsignals = { risk = 3, posture = false }\nlabels = { b = true, a = 0x10 }",
        );
        let case = case.ok().unwrap();
        assert!(matches!(&case.facts.subject, Subject::Action(name) if **name == *"a"));
        assert_eq!(
            case.facts.signals,
            BTreeMap::from([("posture".into(), None), ("risk".into(), Some("3".into()))])
        );
        let labels = &case.facts.labels;
        assert_eq!((labels.label("b"), labels.label("a")), (Some("true"), Some("16")));
    }

    #[test]
    fn parameters_come_of_path_and_route_also_where_the_case_does_not_say_them() {
        let params = |case: &str| match one(case).ok().unwrap().facts.subject {
            Subject::Request(request) => {
                let pairs = request.params.iter();
                pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
            }
            Subject::Action(_) => panic!("{case}"),
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let shop =
            "path = '/shops/a%20b/files/c%2Fd/e'\nroute = '/shops/{shop}/files/{*rest}'\nexpect = 'allow'";
        assert_eq!(params(shop), [pair("shop", "a b"), pair("rest", "c/d/e")]);
        assert_eq!(params(&format!("{shop}\nparams = {{ rest = 'c/d/e' }}")), params(shop));
        let number = "path = '/o/7'\nroute = '/o/{id}'\nparams = { id = 7 }\nexpect = 'allow'";
        assert_eq!(params(number), [pair("id", "7")]);
        assert_eq!(params("path = '/a.B/C'\nroute = '/a.B/C'\nexpect = 'allow'"), []);
        assert_eq!(params("path = '/o/7'\nexpect = 'allow'"), []);
    }

    #[test]
    fn only_a_bare_question_expects_nothing() {
        let text = "format = 1\n[[case]]\nname = 'c'\npath = '/'";
        let bare = read(Path::new("t.toml"), text, true).ok().unwrap().remove(0);
        assert!(bare.expect.verdict.is_none());
        assert_eq!(parse(text).err().unwrap().code(), "missing-key");
    }
}

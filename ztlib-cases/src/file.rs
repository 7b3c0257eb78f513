//! A file of cases: TOML → cases, or the line in which it is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use serde_json::{Map, Value as Json};
use toml::de::DeValue;

use crate::possible::{
    is_authority, is_dns_name, is_grpc, is_host, is_sent, is_taken_out, is_workload, params, times,
};
use crate::value::{json, members, moment, plain, texts_of};
use crate::{Asked, Case, Checks, Error, Expectation, Request, Table, Text, closest, shown};

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
/// twice, a missing expectation, and what the [`Checks`] refuse.
pub fn read<C: Checks>(file: &Path, text: &str, bare: bool) -> Result<Vec<Case<C>>, Error> {
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
            let text = format!("this {} reads cases of `format = 1`", C::READER);
            return Err(top.error("format", "unknown-format", text));
        }
        None => return Err(top.missing("format", "write `format = 1` at the top")),
    }
    let home = top.text("home-issuer")?;
    let callers = callers::<C>(&top)?;
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

/// A caller as it is written down: claims are completed for each case, since they hang on its
/// moment.
struct Caller<P> {
    peer: Option<P>,
    claims: Option<Map<String, Json>>,
    remote_ip: Option<IpAddr>,
}

fn callers<'t, C: Checks>(top: &Table<'t>) -> Result<BTreeMap<&'t str, Caller<C::Peer>>, Error> {
    let names: Vec<&str> = members(top, "caller")?.into_iter().map(|(name, _)| name).collect();
    if names.len() > MAX_CASES {
        let text = format!("a file has at most {MAX_CASES} callers");
        return Err(top.error("caller", "too-many-cases", text));
    }
    let mut callers = BTreeMap::new();
    if let Some(all) = top.table("caller", &names)? {
        for name in names {
            if let Some(table) = all.table(name, &CALLER_KEYS)? {
                callers.insert(name, caller::<C>(&table, None)?);
            }
        }
    }
    Ok(callers)
}

/// What a table says about a caller, over what is known already.
fn caller<C: Checks>(table: &Table<'_>, known: Option<&Caller<C::Peer>>) -> Result<Caller<C::Peer>, Error> {
    let mut caller = Caller {
        peer: peer::<C>(table)?.or_else(|| known?.peer.clone()),
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
fn peer<C: Checks>(table: &Table<'_>) -> Result<Option<C::Peer>, Error> {
    let Some(value) = table.raw("peer") else { return Ok(None) };
    if let DeValue::String(id) = value.get_ref() {
        let peer = C::spiffe_peer(id).map_err(|what| {
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
        let text =
            format!("`{}` is no name of an authority: 1 to 64 of `a-z`, `0-9` and `-`", shown(authority));
        return Err(named.error("authority", "bad-peer", text));
    }
    if let Some(name) = names.iter().find(|name| !is_dns_name(name)) {
        let text =
            format!("`{}` is no identity: a host name without a wildcard, and no address", shown(name));
        return Err(named.error("dns-names", "bad-peer", text));
    }
    Ok(Some(C::named_peer(authority, &names)))
}

fn case<C: Checks>(
    table: &Table<'_>,
    callers: &BTreeMap<&str, Caller<C::Peer>>,
    home: Option<&str>,
    bare: bool,
) -> Result<Case<C>, Error> {
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
    let caller = caller::<C>(table, known)?;
    let claims = caller.claims.map(|mut claims| {
        if let Some(home) = home {
            claims.entry("iss").or_insert_with(|| home.into());
        }
        let is_home = home.is_none_or(|home| claims.get("iss").and_then(Json::as_str) == Some(home));
        let wrong = times(&claims, now);
        let claims = C::claims(claims, now, is_home)?;
        wrong.map_or(Ok(claims), |wrong| Err(("bad-claims", wrong)))
    });
    let claims = claims.transpose();
    let claims = claims.map_err(|(code, text)| {
        let key = if table.has("claims") { "claims" } else { "caller" };
        table.error(key, code, text)
    })?;
    let labels = texts_of(table, "labels")?;
    let documents = members(table, "documents")?.into_iter();
    let documents = documents.map(|(name, value)| Ok((name.to_owned(), json(table, value)?)));
    Ok(Case {
        name: name.to_owned(),
        line: table.line("name"),
        peer: caller.peer,
        claims,
        remote_ip: caller.remote_ip,
        now,
        labels,
        documents: documents.collect::<Result<_, Error>>()?,
        asked: asked::<C>(table)?,
        signals: signals(table)?,
        expect: Expectation::read(table, bare)?,
    })
}

/// Signals: a text or a number; `false` where the service knows that there is none.
fn signals(table: &Table<'_>) -> Result<BTreeMap<String, Option<String>>, Error> {
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
        Ok((name.to_owned(), signal?))
    });
    signals.collect()
}

fn asked<C: Checks>(table: &Table<'_>) -> Result<Asked<C::Target>, Error> {
    let Some(action) = table.text("action")? else {
        let (target, path, is_grpc) = target::<C>(table)?;
        let said = texts_of(table, "params")?;
        let route = table.text("route")?;
        if is_grpc && route.is_some_and(|route| route != path) {
            let text = format!("of a gRPC call the route is the path: write `route = \"{}\"`", shown(path));
            return Err(table.error("route", "contradiction", text));
        }
        let params = params(table, path, route, &said)?;
        for (_, value) in &params {
            C::check_parameter(value).map_err(|text| table.error("path", "bad-request", text))?;
        }
        return Ok(Asked::Request { target, params, route: route.map(str::to_owned) });
    };
    if let Some(key) = REQUEST_KEYS.into_iter().find(|key| table.has(key)) {
        let text = format!("a question of the application's own has no `{key}`: leave out this or `action`");
        return Err(table.error(key, "action-and-request", text));
    }
    Ok(Asked::Action(action.to_owned()))
}

/// The request, its path, and whether it calls a method of gRPC.
fn target<'t, C: Checks>(table: &Table<'t>) -> Result<(C::Target, &'t str, bool), Error> {
    let path = table.required_text("path", "name the request's path (or an `action`)")?;
    let method = table.text("method")?.unwrap_or("GET");
    if !C::is_method(method) {
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
        let fits = |values: &Vec<String>| C::is_header(name, values) && is_sent(name, values);
        let values = values.filter(fits);
        let values = values.ok_or_else(|| {
            table.wrong(value, format!("`{}` cannot be a header with this value", shown(name)))
        })?;
        headers.push((name.to_owned(), values));
    }
    let request =
        Request { method: method.to_owned(), host: host.to_owned(), path: path.to_owned(), query, headers };
    let is_grpc = is_grpc(&request);
    let target = C::target(request).map_err(|text| table.error("path", "bad-request", text))?;
    Ok((target, path, is_grpc))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes whatever the format has.
    struct Anything;

    impl Checks for Anything {
        const READER: &'static str = "test";
        type Peer = String;
        type Claims = (Map<String, Json>, u64, bool);
        type Target = Request;

        fn spiffe_peer(id: &str) -> Result<String, String> {
            if id.starts_with("spiffe://") { Ok(id.to_owned()) } else { Err("it is another".to_owned()) }
        }

        fn named_peer(authority: &str, dns_names: &[&str]) -> String {
            format!("{authority}/{}", dns_names.join(","))
        }

        fn claims(
            claims: Map<String, Json>,
            now: u64,
            is_home: bool,
        ) -> Result<Self::Claims, (&'static str, String)> {
            match claims.contains_key("forged") {
                true => Err(("bad-claims", "nobody has them".to_owned())),
                false => Ok((claims, now, is_home)),
            }
        }

        fn is_method(method: &str) -> bool {
            !method.contains(' ')
        }

        fn is_header(name: &str, values: &[String]) -> bool {
            values.iter().chain([&name.to_owned()]).all(|text| !text.contains('\n'))
        }

        fn target(request: Request) -> Result<Request, String> {
            if request.path.starts_with('/') { Ok(request) } else { Err("it does not begin".to_owned()) }
        }

        fn check_parameter(value: &str) -> Result<(), String> {
            if value == ".." { Err("it leads up".to_owned()) } else { Ok(()) }
        }
    }

    fn parse(text: &str) -> Result<Vec<Case<Anything>>, Error> {
        read(Path::new("t.toml"), text, false)
    }

    fn one(case: &str) -> Result<Case<Anything>, Error> {
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
            ("path = '/'\nclaims = { forged = true }\nexpect = 'allow'", "bad-claims", 5),
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
        let mut case = "expect = 'allowed'\nlabels = 7\nsignals = 7\npath = 'a'\nquery = 7\nmethod = 'G T'\nclaims = { forged = true }\nremote-ip = 'x'\npeer = 'x'\nnow = -1\n".to_owned();
        for (code, line, mended, with) in [
            ("wrong-type", 13, "now = -1", "now = 1"),
            ("bad-peer", 12, "peer = 'x'", "peer = 'spiffe://a.test/x'"),
            ("bad-address", 11, "remote-ip = 'x'", "remote-ip = '::1'"),
            ("bad-claims", 10, "forged = true", "sub = 'a'"),
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
        assert_eq!(error, "t.toml:1: this test reads cases of `format = 1` (unknown-format)");
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
        assert_eq!((case.name.as_str(), case.line, case.now), ("c", 3, MONDAY));
        assert_eq!((case.peer, case.remote_ip), (None, None));
        assert_eq!(case.claims, Some((Map::new(), MONDAY, true)));
        let Asked::Request { target, route: None, params } = case.asked else { panic!() };
        assert_eq!((target.method.as_str(), target.uri().as_str()), ("GET", "https://service.test/"));
        assert!(params.is_empty());
        let case = one(
            "action = 'a'\nexpect = 'allow'\nsignals = { risk = 3, posture = false }\nlabels = { b = true, a = 0x10 }",
        );
        let case = case.ok().unwrap();
        assert!(matches!(&case.asked, Asked::Action(name) if name == "a"));
        assert_eq!(
            case.signals,
            BTreeMap::from([("posture".into(), None), ("risk".into(), Some("3".into()))])
        );
        assert_eq!(case.labels, [("b".into(), "true".into()), ("a".into(), "16".into())]);
    }

    #[test]
    fn parameters_come_of_path_and_route_also_where_the_case_does_not_say_them() {
        let params = |case: &str| match one(case).ok().unwrap().asked {
            Asked::Request { params, .. } => params,
            Asked::Action(_) => panic!("{case}"),
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
    fn what_stands_in_a_case_is_in_the_place_of_the_callers() {
        let text = "format = 1\n[caller.a]\npeer = 'spiffe://a.test/x'\nclaims = { sub = 'a' }\nremote-ip = '192.0.2.1'\n[[case]]\nname = 'c'\ncaller = 'a'\nclaims = { sub = 'b' }\npath = '/'\nexpect = 'allow'";
        let case = parse(text).ok().unwrap().remove(0);
        assert_eq!(case.claims.unwrap().0["sub"], "b");
        assert_eq!(case.peer.as_deref(), Some("spiffe://a.test/x"));
        assert_eq!(case.remote_ip.unwrap().to_string(), "192.0.2.1");
    }

    #[test]
    fn only_a_bare_question_expects_nothing() {
        let text = "format = 1\n[[case]]\nname = 'c'\npath = '/'";
        let bare = read::<Anything>(Path::new("t.toml"), text, true).ok().unwrap().remove(0);
        assert!(bare.expect.verdict.is_none());
        assert_eq!(parse(text).err().unwrap().code(), "missing-key");
    }
}

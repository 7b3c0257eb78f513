//! A file of cases: TOML → facts and expectations, or the line in which it is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::DeValue;

use super::error::{Problem, shown};
use super::expectation::{self, Expectation};
use super::refused::{check_spiffe_id, misshapen};
use super::request::subject;
use super::table::{Table, Text, closest, plain};
use super::value::{json, moment};
use crate::testing::Facts;
use crate::testing::facts::Peer;

/// The largest file of cases, in bytes.
pub(super) const MAX_FILE_BYTES: usize = 256 << 10;
/// The most cases and callers of one file.
const MAX_CASES: usize = 512;

// What a token has of which a case does not say so, as in the sandbox; `LIFE` in seconds.
const ISSUER: &str = "https://issuer.test";
pub(super) const AUDIENCE: &str = "service.test";
const LIFE: u64 = 300;

const TOP_KEYS: [&str; 3] = ["format", "caller", "case"];
const CALLER_KEYS: [&str; 3] = ["peer", "claims", "remote-ip"];
const PEER_KEYS: [&str; 2] = ["authority", "dns-names"];
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

/// One case. Its documents and signals are put over those of the set when it is run.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) facts: Facts,
    /// None: known to be absent.
    pub(super) signals: BTreeMap<String, Option<String>>,
    pub(super) documents: BTreeMap<String, Json>,
    pub(super) expect: Expectation,
}

pub(super) fn parse(file: &Path, text: &str) -> Result<Vec<Case>, Problem> {
    if text.len() > MAX_FILE_BYTES {
        let text = format!("the file is larger than {MAX_FILE_BYTES} bytes");
        return Err(Problem::new(file, None, "file-too-large", text));
    }
    let text = Text { file, text };
    let parsed = text.parse()?;
    let top = Table::new(text, parsed.get_ref(), parsed.span(), &TOP_KEYS)?;
    match top.integer("format")? {
        Some(1) => {}
        Some(_) => {
            return Err(top.error("format", "unknown-format", "this SDK reads cases of `format = 1`"));
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
        return Err(top.error("case", "too-many-cases", text));
    }
    let mut names = BTreeSet::new();
    let mut cases = Vec::with_capacity(tables.len());
    for table in &tables {
        let case = case(table, &callers)?;
        if !names.insert(case.name.clone()) {
            let text = format!("an earlier case is named `{}` too: choose another name", shown(&case.name));
            return Err(table.error("name", "duplicate-name", text));
        }
        cases.push(case);
    }
    Ok(cases)
}

/// A caller as it is written down: claims are completed for each case, since they hang on its moment.
#[derive(Default, Clone)]
struct Caller {
    peer: Option<Peer>,
    claims: Option<Map<String, Json>>,
    remote_ip: Option<IpAddr>,
}

fn callers<'t>(top: &Table<'t>) -> Result<BTreeMap<&'t str, Caller>, Problem> {
    let names: Vec<&str> = top.members("caller")?.into_iter().map(|(name, _)| name).collect();
    if names.len() > MAX_CASES {
        let text = format!("a file has at most {MAX_CASES} callers");
        return Err(top.error("caller", "too-many-cases", text));
    }
    let Some(all) = top.table("caller", &names)? else { return Ok(BTreeMap::new()) };
    let callers = names.into_iter().map(|name| match all.table(name, &CALLER_KEYS)? {
        Some(table) => Ok((name, caller(&table, Caller::default())?)),
        None => Ok((name, Caller::default())),
    });
    callers.collect()
}

/// What a table says about a caller, over what is known already.
fn caller(table: &Table<'_>, mut caller: Caller) -> Result<Caller, Problem> {
    if let Some(value) = table.raw("peer") {
        caller.peer = Some(peer(table, value)?);
    }
    if let Some(value) = table.raw("claims") {
        let Json::Object(claims) = json(table, value)? else {
            return Err(table.wrong(value, "`claims` is a table: write `claims = { sub = \"alice\" }`"));
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
fn peer(table: &Table<'_>, value: &Spanned<DeValue<'_>>) -> Result<Peer, Problem> {
    if let DeValue::String(id) = value.get_ref() {
        check_spiffe_id(id).map_err(|what| {
            table.error("peer", "bad-peer", format!("`{}` is not a SPIFFE ID: {what}", shown(id)))
        })?;
        return Ok(Peer::Spiffe(id.as_ref().to_owned()));
    }
    let form = "`peer` is a SPIFFE ID in quotes, or a table: `{ authority = \"partners\", dns-names = [\"a.example\"] }`";
    if !matches!(value.get_ref(), DeValue::Table(_)) {
        return Err(table.wrong(value, form));
    }
    let named = table.table("peer", &PEER_KEYS)?.ok_or_else(|| table.wrong(value, form))?;
    let authority = named.required_text("authority", "name the authority that vouches for the peer")?;
    // As the host has them: sorted, in lower case, each once.
    let names: BTreeSet<String> =
        named.texts("dns-names")?.into_iter().map(str::to_ascii_lowercase).collect();
    if names.is_empty() {
        return Err(named.missing("dns-names", "a peer without a SPIFFE ID has at least one DNS name"));
    }
    Ok(Peer::Named { authority: authority.to_owned(), dns_names: names.into_iter().collect() })
}

fn case(table: &Table<'_>, callers: &BTreeMap<&str, Caller>) -> Result<Case, Problem> {
    let name = table.required_text("name", "say in a sentence what the case shows")?;
    if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
        return Err(table.error("name", "bad-name", "a case's name is one line of 1 to 200 bytes"));
    }
    let mut facts = subject(table)?;
    if let Some(now) = moment(table, "now")? {
        facts.now = now;
    }
    let known = match table.text("caller")? {
        None => Caller::default(),
        Some(name) => callers.get(name).cloned().ok_or_else(|| unknown_caller(table, name, callers))?,
    };
    let caller = caller(table, known)?;
    facts.claims = caller.claims.map(|claims| verified(table, claims, facts.now)).transpose()?;
    (facts.peer, facts.remote_ip) = (caller.peer, caller.remote_ip);
    facts.labels = table.texts_of("labels")?.into_iter().collect();
    let documents = table.members("documents")?.into_iter();
    let documents = documents.map(|(name, value)| Ok((name.to_owned(), json(table, value)?)));
    Ok(Case {
        name: name.to_owned(),
        line: table.line("name"),
        facts,
        signals: signals(table)?,
        documents: documents.collect::<Result<_, Problem>>()?,
        expect: expectation::read(table)?,
    })
}

fn unknown_caller(table: &Table<'_>, name: &str, callers: &BTreeMap<&str, Caller>) -> Problem {
    let names: Vec<&str> = callers.keys().copied().collect();
    let advice = closest(name, &names).map_or_else(
        || format!("write `[caller.{}]`", shown(name)),
        |close| format!("did you mean `{close}`?"),
    );
    table.error("caller", "unknown-caller", format!("there is no caller `{}`: {advice}", shown(name)))
}

/// The claims of a token that was verified: it always says who issued it, for whom, and until when.
fn verified(table: &Table<'_>, mut claims: Map<String, Json>, now: u64) -> Result<Json, Problem> {
    let key = if table.raw("claims").is_some() { "claims" } else { "caller" };
    claims.entry("iss").or_insert_with(|| ISSUER.into());
    claims.entry("aud").or_insert_with(|| AUDIENCE.into());
    claims.entry("exp").or_insert_with(|| now.saturating_add(LIFE).into());
    if let Some(name) = misshapen(&claims) {
        let text = format!(
            "no verified token has such claims: the claim `{name}` is not of the form that it has to be"
        );
        return Err(table.error(key, "bad-claims", text));
    }
    // The harness compares whole seconds only.
    if claims.get("auth_time").is_some_and(|login| !login.is_u64()) {
        let text =
            "natively `auth_time` is a whole number: leave out its fraction, or run the case in the sandbox";
        return Err(table.error(key, "not-native", text));
    }
    Ok(Json::Object(claims))
}

/// Signals: a text or a number; `false` where the service knows that there is none.
fn signals(table: &Table<'_>) -> Result<BTreeMap<String, Option<String>>, Problem> {
    let signals =
        table.members("signals")?.into_iter().map(|(name, value)| match value.get_ref() {
            DeValue::Boolean(false) => Ok((name.to_owned(), None)),
            DeValue::String(_) | DeValue::Integer(_) if plain(value.get_ref()).is_some() => {
                Ok((name.to_owned(), plain(value.get_ref())))
            }
            _ => Err(table
                .wrong(value, "a signal is a text or a number, or `false` where it is known to be absent")),
        });
    signals.collect()
}

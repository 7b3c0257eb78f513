//! What a file of cases says, as facts that the harness can lay down.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value as Json};
use ztlib_cases::{Asked, Checks, Expectation, Request, shown};

use super::error::Problem;
use super::refused::{
    canonical_host, check_parameter, check_path, check_spiffe_id, is_header_name, is_header_value, is_method,
    is_too_large, misshapen,
};
use crate::testing::Facts;
use crate::testing::facts::Peer;

// What a token has of which a case does not say so, as in the sandbox; `LIFE` in seconds.
const ISSUER: &str = "https://issuer.test";
const AUDIENCE: &str = "service.test";
const LIFE: u64 = 300;
/// The longest request target that HTTP libraries take, in bytes.
const MAX_TARGET_BYTES: usize = 65_534;

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
    Ok(ztlib_cases::read::<Guarded>(file, text, false)?.into_iter().map(case).collect())
}

fn case(case: ztlib_cases::Case<Guarded>) -> Case {
    let mut facts = match case.asked {
        Asked::Action(name) => Facts::action(&name),
        Asked::Request { target, route, params } => {
            let facts = params.iter().fold(target, |facts, (name, value)| facts.param(name, value));
            match route {
                Some(route) => facts.route(&route),
                None => facts,
            }
        }
    };
    (facts.peer, facts.remote_ip) = (case.peer, case.remote_ip);
    if let Some((claims, is_home)) = case.claims {
        (facts.claims, facts.is_home) = (Some(claims), is_home);
    }
    facts.labels = case.labels.into_iter().collect();
    facts.now = case.now;
    Case {
        name: case.name,
        line: case.line,
        facts,
        signals: case.signals,
        documents: case.documents,
        expect: case.expect,
    }
}

/// What the guard would take.
enum Guarded {}

impl Checks for Guarded {
    const READER: &'static str = "SDK";

    type Peer = Peer;
    /// And whether they are of the home issuer.
    type Claims = (Json, bool);
    type Target = Facts;

    fn spiffe_peer(id: &str) -> Result<Peer, String> {
        check_spiffe_id(id)?;
        Ok(Peer::Spiffe(id.to_owned()))
    }

    fn named_peer(authority: &str, dns_names: &[&str]) -> Peer {
        // As the host has them: sorted, in lower case, each once.
        let names: BTreeSet<String> = dns_names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Peer::Named { authority: authority.to_owned(), dns_names: names.into_iter().collect() }
    }

    /// The claims of a token that was verified: it always says who issued it, for whom, and until when.
    fn claims(
        mut claims: Map<String, Json>,
        now: u64,
        is_home: bool,
    ) -> Result<(Json, bool), (&'static str, String)> {
        claims.entry("iss").or_insert_with(|| ISSUER.into());
        claims.entry("aud").or_insert_with(|| AUDIENCE.into());
        claims.entry("exp").or_insert_with(|| now.saturating_add(LIFE).into());
        if is_too_large(&claims) {
            let text = "no verified token has such claims: a token has room for 8192 bytes and 512 members";
            return Err(("bad-claims", text.to_owned()));
        }
        if let Some(name) = misshapen(&claims) {
            let text = format!(
                "no verified token has such claims: the claim `{name}` is not of the form that it has to be"
            );
            return Err(("bad-claims", text));
        }
        // The harness compares whole seconds only.
        if claims.get("auth_time").is_some_and(|login| !login.is_u64()) {
            let text = "natively `auth_time` is a whole number: leave out its fraction, or run the case in the sandbox";
            return Err(("not-native", text.to_owned()));
        }
        Ok((Json::Object(claims), is_home))
    }

    fn is_method(method: &str) -> bool {
        is_method(method)
    }

    fn is_header(name: &str, values: &[String]) -> bool {
        is_header_name(name) && values.iter().all(|value| is_header_value(value))
    }

    fn target(request: Request) -> Result<Facts, String> {
        let unasked = |what: &str| format!("no policy is asked about this request: {what}");
        if request.method == "CONNECT" {
            return Err(unasked("CONNECT is not served (method-connect)"));
        }
        check_path(&request.path).map_err(unasked)?;
        let named = canonical_host(&request.host);
        let named = named.ok_or_else(|| unasked("the host is malformed (host-malformed)"))?;
        if request.uri().len() > MAX_TARGET_BYTES {
            return Err("this is no request: its target is too long".to_owned());
        }
        let mut facts = Facts::request(&request.method, &request.path).host(&named.0);
        for (name, value) in &request.query {
            facts = facts.query(name, value);
        }
        for (name, values) in &request.headers {
            let single = match name.to_ascii_lowercase().as_str() {
                "host" => values.len() < 2 && values.iter().all(|host| agrees(host, &named)),
                "content-type" => values.len() < 2,
                _ => true,
            };
            if !single {
                let text = format!("the header `{}` is repeated, or names another host", shown(name));
                return Err(unasked(&text));
            }
            facts = values.iter().fold(facts, |facts, value| facts.header(name, value));
        }
        Ok(facts)
    }

    fn check_parameter(value: &str) -> Result<(), String> {
        Ok(check_parameter(value)?)
    }
}

/// Whether a `Host` header names the same as the request's target.
fn agrees(header: &str, named: &(String, Option<u16>)) -> bool {
    canonical_host(header).is_some_and(|(host, port)| {
        host == named.0 && port.zip(named.1).is_none_or(|(port, other)| port == other)
    })
}

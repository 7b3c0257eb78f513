//! `policy explain`: what is decided about one question, and why.

use std::path::Path;

use serde_json::{Map, Value as Json, json};
use ztlib::authorize::{Read, Value};
use ztlib::policies::cases::{CaseResult, Cases, Draft, Timing};

use crate::Ended;
use crate::args::Explain;
use crate::failure::{Failure, USAGE};
use crate::show::{Desk, outcome, reads, result_json, timing, timing_json};

/// How often a question is asked to see how long it takes.
const TIMES: u32 = 200;
/// What a question of the command line is called.
const HERE: &str = "the command line";
/// What to do where it is not known whether an issuer is the home issuer.
const NO_HOME: &str = "the files of cases name no home issuer, or several, so the `iss` of the claims counts as the home issuer: \
                       give `--home-issuer ISSUER`, the first issuer of the service";

pub(crate) fn run(explain: &Explain, desk: &mut Desk<'_>) -> Result<Ended, Failure> {
    let draft = Draft::load(&explain.manifest)?;
    let home = explain.home_issuer.as_deref().or_else(|| home_of(&draft));
    let (cases, name) = match &explain.case {
        Some(name) => (named(&draft, name, explain.policy.as_deref())?, name.as_str()),
        None => (question(explain, home)?, HERE),
    };
    let report = draft.simulate(&cases)?;
    let result = report.results().find(|result| result.case() == name);
    let timing = draft.time(&cases, name, TIMES)?;
    let (Some(result), Some(timing)) = (result, timing) else {
        return Err(Failure::new(USAGE, "unknown-case", format!("there is no case `{name}`")));
    };
    let is_unknown = explain.case.is_none() && home.is_none() && claims_an_issuer(explain);
    let warnings: Vec<&str> = is_unknown.then_some(NO_HOME).into_iter().collect();
    if desk.json {
        let mut value = result_json(result);
        if let Json::Object(members) = &mut value {
            members.insert("revision".to_owned(), json!(draft.revision().to_string()));
            members.insert("digest".to_owned(), json!(draft.revision().digest()));
            members.insert("time".to_owned(), timing_json(&timing));
            let narrower = narrower(result).map(|(read, ask)| json!({ "read": read, "ask": ask }));
            members.insert("narrower".to_owned(), narrower.collect());
            if explain.case.is_none() {
                members.insert("home_issuer".to_owned(), json!(home));
            }
            members.insert("warnings".to_owned(), warnings.into());
        }
        desk.value(&value)?;
    } else {
        print(&draft, result, &timing, desk)?;
        for warning in warnings {
            desk.line(&format!("warning: {warning}"))?;
        }
    }
    Ok(if result.passed() { Ended::Well } else { Ended::Failed })
}

fn print(draft: &Draft, result: &CaseResult, took: &Timing, desk: &mut Desk<'_>) -> std::io::Result<()> {
    if result.case() != HERE {
        desk.line(&format!("{}:{}: {}", result.file().display(), result.line(), result.case()))?;
    }
    desk.line(&outcome(result))?;
    let evaluation = result.evaluation();
    if let Err(fault) = evaluation.result() {
        desk.line(&format!("because: {fault}"))?;
    }
    if let Some(message) = result.message() {
        desk.line(&format!("told to the caller: {message}"))?;
    }
    for (of_request, name, value) in result.headers() {
        let of = if of_request { "request" } else { "response" };
        let to = value.map_or_else(|| "removed".to_owned(), |value| format!("set to `{value}`"));
        desk.line(&format!("{of} header {name}: {to}"))?;
    }
    let made = reads(result);
    desk.line(if made.is_empty() { "it read nothing" } else { "it read" })?;
    for read in made {
        desk.line(&format!("  {read}"))?;
    }
    if result.case() == HERE && read_no_route(result) {
        desk.line("no route was given, and the policy looks for one: `--route '/orders/{id}'`, as the router has it")?;
    }
    for (read, instead) in narrower(result) {
        desk.line(&format!(
            "remembered only for those for whom `{read}` gives the same; where that varies, ask {instead}"
        ))?;
    }
    for (policy, line) in evaluation.log() {
        desk.line(&format!("log of `{policy}`: {}", line.escape_debug()))?;
    }
    for difference in result.differences() {
        desk.line(&difference.to_string())?;
    }
    desk.line(&format!("fuel: {}", evaluation.fuel()))?;
    desk.line(&format!("time: {}", timing(took)))?;
    desk.line(&format!("revision: {}", draft.revision()))
}

/// Whether it went by a request without a route: easily forgotten on a command line, and then no
/// rule applies.
fn read_no_route(result: &CaseResult) -> bool {
    result.evaluation().trace().reads().any(|(read, value)| (read, value) == (&Read::Route, &Value::Absent))
}

/// Reads that may keep the decision from being found again, and what to ask instead.
fn narrower(result: &CaseResult) -> impl Iterator<Item = (String, &'static str)> {
    let reads = result.evaluation().trace().reads();
    reads.filter_map(|(read, _)| Some((read.to_string(), read.narrower()?)))
}

/// The home issuer of the set's files of cases, where those that name one agree.
fn home_of(draft: &Draft) -> Option<&str> {
    let mut homes = draft.cases().iter().filter_map(Cases::home_issuer);
    let first = homes.next()?;
    homes.all(|other| other == first).then_some(first)
}

/// Whether the claims of the command line say who issued them.
fn claims_an_issuer(explain: &Explain) -> bool {
    let claims = explain.claims.as_deref().and_then(|claims| serde_json::from_str::<Json>(claims).ok());
    claims.is_some_and(|claims| claims.get("iss").is_some_and(|iss| !iss.is_null()))
}

/// The file that has a case of this name.
fn named(draft: &Draft, name: &str, policy: Option<&str>) -> Result<Cases, Failure> {
    let found = draft.cases().iter().find(|cases| {
        policy.is_none_or(|policy| cases.policy() == Some(policy)) && cases.names().any(|own| own == name)
    });
    found.cloned().ok_or_else(|| unknown_case(draft, name))
}

/// That there is no such case, and which there are.
pub(crate) fn unknown_case(draft: &Draft, name: &str) -> Failure {
    let names: Vec<&str> = draft.cases().iter().flat_map(Cases::names).take(20).collect();
    let text = format!("the manifest names no case `{name}`; there are:\n  {}", names.join("\n  "));
    Failure::new(USAGE, "unknown-case", text)
}

/// The question of the command line, as a file of cases would have it: it is read by the same
/// rules.
fn question(explain: &Explain, home: Option<&str>) -> Result<Cases, Failure> {
    if let Some((path, query)) = explain.path.as_deref().and_then(|path| path.split_once('?')) {
        return Err(Failure::new(USAGE, "bad-request", with_query(path, query)));
    }
    let home = home.map(|home| format!("home-issuer = {}\n", json!(home))).unwrap_or_default();
    let mut text = format!("format = 1\n{home}[[case]]\nname = {}\n", json!(HERE));
    let mut put = |key: &str, value: Option<Json>| {
        if let Some(value) = value {
            text.push_str(&format!("{key} = {}\n", toml(&value)));
        }
    };
    let texts = [
        ("action", &explain.action),
        ("path", &explain.path),
        ("method", &explain.method),
        ("host", &explain.host),
        ("route", &explain.route),
        ("peer", &explain.peer),
        ("remote-ip", &explain.remote_ip),
    ];
    for (key, value) in texts {
        put(key, value.as_ref().map(|value| json!(value)));
    }
    let tables = [
        ("params", &explain.params),
        ("query", &explain.queries),
        ("headers", &explain.headers),
        ("labels", &explain.labels),
        ("signals", &explain.signals),
    ];
    for (key, pairs) in tables {
        let members: Map<String, Json> =
            pairs.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        if members.len() < pairs.len() {
            return Err(Failure::new(USAGE, "duplicate-name", format!("one name stands twice in `{key}`")));
        }
        put(key, (!members.is_empty()).then_some(Json::Object(members)));
    }
    put("now", explain.now.map(|now| json!(now)));
    if let Some(claims) = &explain.claims {
        let claims = serde_json::from_str::<Json>(claims);
        let claims = claims
            .map_err(|error| Failure::new(USAGE, "bad-claims", format!("`--claims` is not JSON: {error}")))?;
        put("claims", Some(claims));
    }
    let cases = Cases::parse_questions(Path::new(HERE), &text)
        .map_err(|error| Failure::from(error).exiting(USAGE).without_line())?;
    Ok(match &explain.policy {
        Some(policy) => cases.about(policy),
        None => cases,
    })
}

/// What to write where the query was given with the path.
fn with_query(path: &str, query: &str) -> String {
    let queries: Vec<String> =
        query.split('&').map(|pair| format!(" --query '{}'", pair.escape_debug())).collect();
    format!(
        "a path has no `?`: write `--path '{}'{}` (names and values as they are when they are decoded)",
        path.escape_debug(),
        queries.concat()
    )
}

/// A JSON value as TOML writes it. TOML has no `null`: such a member is left out.
fn toml(value: &Json) -> String {
    match value {
        Json::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            let members: Vec<String> =
                members.map(|(name, value)| format!("{} = {}", json!(name), toml(value))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        Json::Array(items) => {
            let items: Vec<String> = items.iter().filter(|item| !item.is_null()).map(toml).collect();
            format!("[{}]", items.join(", "))
        }
        plain => plain.to_string(),
    }
}

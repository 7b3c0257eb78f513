//! Finds what is suspicious about a set, as far as its cases show.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use http::Method;
use ztlib_contract::escaped as shown;

use super::draft::{Draft, PolicyFacts};
use super::report::{CaseResult, Report, stage};
use super::{Cases, simulate};
use crate::authorize::Answer;
use crate::authorize::Decision;
use crate::authorize::PolicySet;
use crate::authorize::Read;
use crate::authorize::{Params, Target};
use crate::load_error::LoadError;
use crate::policies::files::Folder;
use ztlib_contract::cases::{Case, Facts, Request, Subject};

/// The maximum number of routes in a list.
const MAX_ROUTES: usize = 4096;
/// The largest list, in bytes.
const MAX_ROUTES_BYTES: usize = 1 << 20;

/// A suspicious thing and its place. It prints as `file:line: text (code)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    file: Box<Path>,
    line: usize,
    code: &'static str,
    text: Box<str>,
}

impl Finding {
    /// A stable code: `no-cases`, `reason-never-given`, `never-asked`, `never-decides`,
    /// `signal-never-read`, `document-never-read`, `label-never-read`, `issuer-not-asked`,
    /// `route-untested`, `route-uncovered`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The file that it is about.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line in that file, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// What was found.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} ({})", shown(&self.file.to_string_lossy()), self.line, self.text, self.code)
    }
}

/// A route of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    method: Method,
    template: Box<str>,
    line: usize,
}

/// The routes of a service. As text, each line has a method and a template (`GET /orders/{id}`);
/// empty lines and lines that begin with `#` are skipped.
#[derive(Debug, Clone)]
pub struct Routes {
    file: Box<Path>,
    routes: Vec<Route>,
}

impl Routes {
    /// Reads a list of at most 4096 routes.
    ///
    /// # Errors
    /// [`LoadError`], which names the file and the line.
    pub fn read(file: impl AsRef<Path>) -> Result<Self, LoadError> {
        let file = file.as_ref();
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let text =
            Folder::of(file)?.read_text(name, MAX_ROUTES_BYTES).map_err(|error| error.at(file, None))?;
        Self::parse(file, &text)
    }

    /// Parses the text of a list.
    ///
    /// # Errors
    /// The errors of [`read`](Self::read).
    pub fn parse(file: &Path, text: &str) -> Result<Self, LoadError> {
        let mut routes = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line_number = index.saturating_add(1);
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |text: String| LoadError::new("bad-route", text).at(file, Some(line_number));
            let mut words = line.split_whitespace();
            let (Some(method), Some(template), None) = (words.next(), words.next(), words.next()) else {
                return Err(wrong(format!("`{}` is not a route: write `GET /orders/{{id}}`", shown(line))));
            };
            let method = Method::from_bytes(method.as_bytes())
                .map_err(|_| wrong(format!("`{}` is not a method", shown(method))))?;
            if !template.starts_with('/') {
                return Err(wrong(format!("`{}` does not begin with `/`", shown(template))));
            }
            routes.push(Route { method, template: template.into(), line: line_number });
            if routes.len() > MAX_ROUTES {
                return Err(wrong(format!("a list has at most {MAX_ROUTES} routes")));
            }
        }
        Ok(Self { file: file.into(), routes })
    }
}

pub(crate) fn lint(
    draft: &Draft,
    set: &PolicySet,
    routes: Option<&Routes>,
) -> Result<Vec<Finding>, LoadError> {
    let report = simulate(set, draft.cases(), usize::MAX)?;
    let mut findings = Vec::new();
    let manifest = |line: usize, code: &'static str, text: String| Finding {
        file: draft.manifest().into(),
        line,
        code,
        text: text.into(),
    };
    if report.is_empty() {
        findings.push(manifest(
            1,
            "no-cases",
            "the manifest names no cases: write `tests = [\"tests/*.toml\"]`".to_owned(),
        ));
    } else {
        for policy in draft.policies() {
            let found = about_policy(&policy, &report).into_iter();
            findings.extend(found.map(|(code, text)| manifest(policy.line, code, text)));
        }
        let names = by_any_issuers_word(draft, &report);
        for policy in draft.policies().iter().filter(|policy| names.contains(&policy.name)) {
            let text = format!(
                "policy `{}` allows because of a token and never asks for its issuer: for any but the home issuer that is a fault",
                shown(&policy.name)
            );
            findings.push(manifest(policy.line, "issuer-not-asked", text));
        }
        let unread = never_read(draft, &report).into_iter();
        findings.extend(unread.map(|(code, text)| manifest(1, code, text)));
    }
    if let Some(routes) = routes {
        findings.extend(uncovered(draft, set, routes)?);
    }
    Ok(findings)
}

/// The policies that allowed in a case because of a token and never asked for its issuer, if the
/// cases have several issuers. A service with one issuer need not ask.
fn by_any_issuers_word(draft: &Draft, report: &Report) -> BTreeSet<String> {
    let claims = || {
        let cases = draft.cases().iter().flat_map(Cases::cases);
        cases.filter_map(|case| case.facts.caller.claims.as_ref())
    };
    let issuers: BTreeSet<&str> = claims().map(|claims| claims.issuer()).collect();
    if issuers.len() < 2 && claims().all(|claims| claims.is_home_issuer()) {
        return BTreeSet::new();
    }
    let named = report.results().filter_map(|result| match result.evaluation().result() {
        Ok(Decision::Allow(obligations)) => obligations.on_any_issuers_word.as_deref(),
        Ok(Decision::Deny(_)) => None,
        Err(fault) => fault.policy().filter(|_| fault.code() == "issuer-not-asked"),
    });
    named.map(str::to_owned).collect()
}

/// What the cases show about one policy.
fn about_policy(policy: &PolicyFacts, report: &Report) -> Vec<(&'static str, String)> {
    let name = shown(&policy.name);
    let answers = |result: &CaseResult| {
        let mut own = result.evaluation().answers().filter(|(who, _)| *who == policy.name);
        own.next().map(|(_, answer)| answer)
    };
    let answered: Vec<Answer> = report.results().filter_map(answers).collect();
    let failed = report.results().any(|result| result.decided_by() == Some(&policy.name));
    if answered.is_empty() && !failed {
        let text = format!(
            "policy `{name}` was not asked in any of {} cases: an earlier policy denied each time",
            report.len()
        );
        return vec![("never-asked", text)];
    }
    let mut found = Vec::new();
    if policy.may_abstain && !failed && answered.iter().all(|answer| *answer == Answer::Abstain) {
        let text =
            format!("policy `{name}` abstained in all of {} cases: it decides nothing", answered.len());
        found.push(("never-decides", text));
    }
    let given: BTreeSet<&str> = report
        .results()
        .filter(|result| result.decided_by() == Some(&policy.name))
        .filter_map(CaseResult::reason)
        .collect();
    for reason in policy.reasons.iter().filter(|reason| !given.contains(reason.as_str())) {
        let text = format!("policy `{name}` declares the reason `{}` but gives it in no case", shown(reason));
        found.push(("reason-never-given", text));
    }
    found
}

/// What is declared, or given to a case, and never read.
fn never_read(draft: &Draft, report: &Report) -> Vec<(&'static str, String)> {
    let reads = || report.results().flat_map(|result| result.evaluation().trace().reads());
    let signals: BTreeSet<&str> = reads()
        .filter_map(|(read, _)| match read {
            Read::Signal(name) | Read::SignalAtLeast(name, _) => Some(name.as_ref()),
            _ => None,
        })
        .collect();
    let documents: BTreeSet<&str> = reads()
        .filter_map(|(read, _)| match read {
            Read::DataString(name, _) | Read::DataJson(name, _) | Read::DataContains(name, _, _) => {
                Some(name.as_ref())
            }
            _ => None,
        })
        .collect();
    let labels: BTreeSet<&str> = reads()
        .filter_map(|(read, _)| match read {
            Read::Label(name) => Some(name.as_ref()),
            _ => None,
        })
        .collect();
    let cases = || draft.cases().iter().flat_map(Cases::cases);
    let given: BTreeSet<&str> = cases().flat_map(|case| case.facts.labels.names()).collect();
    let unread = |what: &str, name: &str| format!("no case reads the {what} `{}`", shown(name));
    let mut found = Vec::new();
    for name in draft.signals().filter(|name| !signals.contains(name)) {
        found.push(("signal-never-read", unread("signal", name)));
    }
    for name in draft.documents().filter(|name| !documents.contains(name)) {
        found.push(("document-never-read", unread("document", name)));
    }
    for name in given.difference(&labels) {
        found.push(("label-never-read", unread("label", name)));
    }
    found
}

/// Routes without a case, and routes on which no caller in the cases may pass.
fn uncovered(draft: &Draft, set: &PolicySet, routes: &Routes) -> Result<Vec<Finding>, LoadError> {
    let suites =
        || draft.cases().iter().flat_map(|cases| cases.cases().iter().map(move |case| (cases, case)));
    let mut findings = Vec::new();
    for route in &routes.routes {
        let finding = |code: &'static str, text: String| Finding {
            file: routes.file.clone(),
            line: route.line,
            code,
            text: text.into(),
        };
        let name = format!("{} {}", route.method, shown(&route.template));
        let mut allowed = false;
        for (cases, case) in suites() {
            if allows(set, cases, case, route)? {
                allowed = true;
                break;
            }
        }
        if !allowed {
            findings.push(finding(
                "route-uncovered",
                format!("{name}: no caller in the cases may pass: no policy covers the route"),
            ));
        } else if !suites().any(|(_, case)| asks_about(case, route)) {
            findings.push(finding("route-untested", format!("{name}: no case asks about it")));
        }
    }
    Ok(findings)
}

fn asks_about(case: &Case, route: &Route) -> bool {
    let Subject::Request(request) = &case.facts.subject else { return false };
    request.route.as_deref() == Some(&route.template) && request.parts.method == route.method
}

/// Whether the set would allow the question of a case if it were asked on this route.
fn allows(set: &PolicySet, cases: &Cases, case: &Case, route: &Route) -> Result<bool, LoadError> {
    let whole = cases.clone().about_the_whole_set();
    let mut moved = case.clone();
    moved.expect = ztlib_contract::cases::Expectation::default();
    let Some(facts) = on_route(&case.facts, route) else { return Ok(false) };
    moved.facts = facts;
    let stage = stage(set, &whole, &moved)?;
    let evaluation = stage.evaluate(Box::new(moved.facts.question()));
    Ok(matches!(evaluation.result(), Ok(Decision::Allow(_))))
}

/// The same question on another route. Each parameter keeps its value from the case.
fn on_route(facts: &Facts, route: &Route) -> Option<Facts> {
    let known: Vec<(&str, &str)> = match &facts.subject {
        Subject::Request(request) => request.params.iter().collect(),
        Subject::Action(_) => Vec::new(),
    };
    let (mut path, mut params) = (String::new(), Params::default());
    for segment in route.template.split('/').skip(1) {
        path.push('/');
        let name = segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}'));
        match name.map(|name| name.trim_start_matches('*')) {
            None => path.push_str(segment),
            Some(name) => {
                let plain = |value: &&str| value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
                let value = known.iter().find(|(own, _)| *own == name).map(|(_, value)| *value);
                let value = value.filter(plain).filter(|value| !value.is_empty()).unwrap_or("1");
                path.push_str(value);
                params.push(name, value);
            }
        }
    }
    let (mut parts, host) = match &facts.subject {
        Subject::Request(request) => (request.parts.clone(), request.target.host().to_owned()),
        Subject::Action(_) => (http::Request::new(()).into_parts().0, "service.test".to_owned()),
    };
    parts.method = route.method.clone();
    parts.uri = format!("https://{host}{path}").parse().ok()?;
    let request = Request {
        parts,
        target: Target::new(&host, &path),
        route: Some(route.template.as_ref().into()),
        params,
    };
    Some(Facts { subject: Subject::Request(Box::new(request)), ..facts.clone() })
}

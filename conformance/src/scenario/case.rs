//! One case: a request, who sends it, and what is to become of it.

use serde::Deserialize;

use super::{ScenarioError, Scenarios, unknown};

/// The host of a request that names no other.
pub(crate) const HOST: &str = "shop.test";

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct CaseFile {
    /// What the cases have in common, for the reader.
    #[serde(rename = "about")]
    _about: String,
    #[serde(default)]
    defaults: Defaults,
    #[serde(default, rename = "case")]
    cases: Vec<Case>,
}

/// What holds for the cases of a file that do not say otherwise.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Defaults {
    service: Option<String>,
    peer: Option<String>,
    token: Option<String>,
    request: Option<String>,
    call: Option<String>,
}

/// One request and what is to become of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Case {
    /// A sentence that is true if the case passes. Unique.
    pub name: String,
    /// The file that it stands in.
    #[serde(skip)]
    pub file: String,
    /// The service that is called.
    #[serde(default)]
    pub service: String,
    /// Who connects: a peer of `people.toml`, or `none`.
    #[serde(default)]
    pub peer: String,
    /// What they present: a token of `people.toml`, or `none`.
    #[serde(default)]
    pub token: String,
    /// An HTTP request line without the version: `GET /orders/7`. Either this or `call`.
    pub request: Option<String>,
    /// A gRPC method: `/shop.Inventory/Reserve`.
    pub call: Option<String>,
    /// Further headers: `name: value`. A `host` here takes the place of the usual one.
    #[serde(default)]
    pub headers: Vec<String>,
    /// The request names no host.
    #[serde(default)]
    pub without_host: bool,
    /// What is decided.
    pub decision: Decision,
    /// The precise reason, as the audit event has it.
    pub reason: Option<String>,
    /// The policy that denies or fails.
    pub policy: Option<String>,
    /// The text for the caller.
    pub message: Option<String>,
    /// The value of `WWW-Authenticate`.
    pub challenge: Option<String>,
    /// What runs: a route's template, or `fallback`.
    pub reaches: Option<String>,
    /// The stacks that cannot be asked this, and why.
    pub not_on: Option<NotOn>,
}

/// The stacks that cannot be asked this, and why.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NotOn {
    /// Their names.
    pub stacks: Vec<String>,
    /// Why.
    pub because: String,
}

/// What is decided, as `Verdict` spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(clippy::exhaustive_enums, reason = "a stack must tell all of them apart")]
pub enum Decision {
    /// Let through by the policies.
    Allow,
    /// Let through because its route is public.
    Public,
    /// Denied by a policy.
    Deny,
    /// The peer or the token is not good.
    Unauthenticated,
    /// The request cannot be judged.
    BadRequest,
    /// No decision could be reached.
    Fault,
}

/// What goes over the wire in one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The method.
    pub method: String,
    /// The request target: a path with its query, an absolute URI, `*`.
    pub target: String,
    /// The `Host` header's place: h1 sends it as a header, h2 as `:authority`. None where it is
    /// left out.
    pub host: Option<String>,
    /// All other headers, in order.
    pub headers: Vec<(String, String)>,
    /// Whether it is sent as gRPC is: over HTTP/2, with `te: trailers`.
    pub grpc: bool,
}

impl CaseFile {
    pub(super) fn cases(self, file: &str) -> Result<Vec<Case>, ScenarioError> {
        let Self { defaults, cases, .. } = self;
        let or =
            |own: String, default: &Option<String>, what: &str, name: &str| match (own.is_empty(), default) {
                (false, _) => Ok(own),
                (true, Some(default)) => Ok(default.clone()),
                (true, None) => {
                    Err(ScenarioError(format!("{file} “{name}”: give `{what}`, or a default for the file")))
                }
            };
        let fill = |mut case: Case| {
            case.file = file.to_owned();
            case.service = or(case.service, &defaults.service, "service", &case.name)?;
            case.peer = or(case.peer, &defaults.peer, "peer", &case.name)?;
            case.token = or(case.token, &defaults.token, "token", &case.name)?;
            if case.request.is_none() && case.call.is_none() {
                (case.request, case.call) = (defaults.request.clone(), defaults.call.clone());
            }
            Ok(case)
        };
        cases.into_iter().map(fill).collect()
    }
}

impl Case {
    pub(super) fn check(&self, scenarios: &Scenarios) -> Result<(), ScenarioError> {
        scenarios.service(&self.service)?;
        if self.peer != "none" && !scenarios.people.peers.contains_key(&self.peer) {
            return Err(unknown("peer", &self.peer));
        }
        if self.token != "none" && !scenarios.people.tokens.contains_key(&self.token) {
            return Err(unknown("token", &self.token));
        }
        let passes = matches!(self.decision, Decision::Allow | Decision::Public);
        if passes != self.reason.is_none() {
            return Err(ScenarioError::new("a refusal has a `reason`, and nothing else has one"));
        }
        self.exchange(&[]).map(|_| ())
    }

    /// The request as it is sent with these credentials.
    ///
    /// # Errors
    /// Both `request` and `call` are given, or neither; a header without a colon.
    pub fn exchange(&self, authorization: &[String]) -> Result<Exchange, ScenarioError> {
        let mut headers = Vec::new();
        let mut host = (!self.without_host).then(|| HOST.to_owned());
        for header in &self.headers {
            let (name, value) = header
                .split_once(": ")
                .ok_or_else(|| ScenarioError(format!("`{header}` is not a header: write `name: value`")))?;
            headers.push((name.to_owned(), value.to_owned()));
        }
        // The first `host` stands in the usual place; a second one is sent beside it.
        if let Some(at) = headers.iter().position(|(name, _)| name.eq_ignore_ascii_case("host")) {
            host = Some(headers.remove(at).1);
        }
        headers.extend(authorization.iter().map(|value| ("authorization".to_owned(), value.clone())));
        let (method, target, grpc) = match (&self.request, &self.call) {
            (Some(line), None) => {
                let (method, target) = line
                    .split_once(' ')
                    .ok_or_else(|| ScenarioError(format!("`{line}` is not a request: write `GET /path`")))?;
                (method, target, false)
            }
            (None, Some(call)) => ("POST", call.as_str(), true),
            _ => return Err(ScenarioError::new("give either `request` or `call`")),
        };
        if grpc {
            headers.push(("te".to_owned(), "trailers".to_owned()));
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                headers.push(("content-type".to_owned(), "application/grpc".to_owned()));
            }
        }
        Ok(Exchange { method: method.to_owned(), target: target.to_owned(), host, headers, grpc })
    }

    /// Why this stack cannot be asked, where it cannot.
    pub fn skipped_on(&self, stack: &str) -> Option<&str> {
        let not_on = self.not_on.as_ref()?;
        not_on.stacks.iter().any(|one| one == stack).then_some(not_on.because.as_str())
    }
}

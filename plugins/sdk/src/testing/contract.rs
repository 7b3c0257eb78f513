//! The functions of the contract, answered from facts.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::documents::{CLAIM_OF_WRONG_TYPE, Failure, WRONG_TYPE};
use super::facts::Asked;
use super::host::Host;
use crate::pattern;

impl Host<'_> {
    pub(crate) fn action(&self) -> Option<String> {
        let action = match &self.facts.asked {
            Asked::Action(name) => Some(name.clone()),
            Asked::Request(_) => None,
        };
        self.read("action", &[], Ok(action))
    }

    pub(crate) fn method(&self) -> String {
        self.read("method", &[], self.asked().map(|request| request.method.clone()))
    }

    pub(crate) fn host(&self) -> String {
        self.read("host", &[], self.asked().map(|request| request.host.clone()))
    }

    pub(crate) fn path(&self) -> String {
        self.read("path", &[], self.asked().map(|request| request.path.clone()))
    }

    pub(crate) fn route(&self) -> Option<String> {
        self.read("route", &[], Ok(self.asked().ok().and_then(|request| request.route.clone())))
    }

    pub(crate) fn param(&self, name: &str) -> Option<String> {
        self.read("param", &[&name], self.route_param(name))
    }

    pub(crate) fn path_matches(&self, pattern: &str) -> bool {
        let answer = self.asked().and_then(|request| Ok(pattern::path_matches(pattern, &request.path)?));
        self.read("path-matches", &[&pattern], answer)
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let answer = self.headers_of(name).and_then(single);
        self.read("header", &[&name], answer)
    }

    pub(crate) fn header_values(&self, name: &str) -> Vec<String> {
        self.read("header-values", &[&name], self.headers_of(name))
    }

    pub(crate) fn header_names(&self) -> Vec<String> {
        let names = self.asked().map(|request| {
            let names: BTreeSet<&String> = request.headers.iter().map(|(name, _)| name).collect();
            names.into_iter().cloned().collect::<Vec<_>>()
        });
        self.read("header-names", &[], names)
    }

    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let values = self.asked().map(|request| {
            request.query.iter().filter(|(own, _)| own == name).map(|(_, value)| value.clone()).collect()
        });
        self.read("query", &[&name], values.and_then(single))
    }

    pub(crate) fn label(&self, name: &str) -> Option<String> {
        self.read("label", &[&name], Ok(self.facts.labels.get(name).cloned()))
    }

    pub(crate) fn has_peer(&self) -> bool {
        self.read("has-peer", &[], Ok(self.facts.peer.is_some()))
    }

    pub(crate) fn peer_spiffe_id(&self) -> Option<String> {
        self.read("peer-spiffe-id", &[], Ok(self.spiffe_id().map(str::to_owned)))
    }

    pub(crate) fn peer_trust_domain(&self) -> Option<String> {
        self.read("peer-trust-domain", &[], Ok(self.trust_domain().map(str::to_owned)))
    }

    pub(crate) fn peer_authority(&self) -> Option<String> {
        self.read("peer-authority", &[], Ok(self.named().map(|(authority, _)| authority.to_owned())))
    }

    pub(crate) fn peer_dns_names(&self) -> Vec<String> {
        self.read("peer-dns-names", &[], Ok(self.named().map_or_else(Vec::new, |(_, names)| names.to_vec())))
    }

    pub(crate) fn peer_matches(&self, pattern: &str) -> bool {
        let answer = pattern::spiffe_matches(pattern, self.spiffe_id()).map_err(Failure::from);
        self.read("peer-matches", &[&pattern], answer)
    }

    pub(crate) fn peer_has_dns_name(&self, name: &str) -> bool {
        let names = self.named().map_or(&[][..], |(_, names)| names);
        self.read("peer-has-dns-name", &[&name], Ok(names.iter().any(|own| own.eq_ignore_ascii_case(name))))
    }

    pub(crate) fn has_token(&self) -> bool {
        self.read("has-token", &[], Ok(self.facts.claims.is_some()))
    }

    #[allow(clippy::wrong_self_convention, reason = "it is called so in the contract")]
    pub(crate) fn from_home_issuer(&self) -> bool {
        self.read("from-home-issuer", &[], Ok(self.facts.claims.is_some() && self.facts.is_home))
    }

    pub(crate) fn issuer(&self) -> Option<String> {
        self.read("issuer", &[], Ok(self.registered("iss").and_then(Json::as_str).map(str::to_owned)))
    }

    pub(crate) fn subject(&self) -> Option<String> {
        self.read("subject", &[], Ok(self.registered("sub").and_then(Json::as_str).map(str::to_owned)))
    }

    pub(crate) fn has_scope(&self, scope: &str) -> bool {
        self.read("has-scope", &[&scope], self.all_scopes().map(|all| all.contains(scope)))
    }

    pub(crate) fn scopes(&self) -> Vec<String> {
        let all = self.all_scopes().map(|all| all.into_iter().map(str::to_owned).collect());
        self.read("scopes", &[], all)
    }

    pub(crate) fn has_audience(&self, audience: &str) -> bool {
        let named = self.registered("aud").is_some_and(|aud| holds(aud, audience) == Some(true));
        self.read("has-audience", &[&audience], Ok(named))
    }

    pub(crate) fn claim_string(&self, pointer: &str) -> Option<String> {
        self.read("claim-string", &[&pointer], self.typed(pointer, |json| json.as_str().map(str::to_owned)))
    }

    pub(crate) fn claim_int(&self, pointer: &str) -> Option<i64> {
        self.read("claim-int", &[&pointer], self.typed(pointer, Json::as_i64))
    }

    pub(crate) fn claim_bool(&self, pointer: &str) -> Option<bool> {
        self.read("claim-bool", &[&pointer], self.typed(pointer, Json::as_bool))
    }

    pub(crate) fn claim_json(&self, pointer: &str) -> Option<String> {
        self.read("claim-json", &[&pointer], self.claim(pointer).map(|json| json.map(Json::to_string)))
    }

    pub(crate) fn claim_contains(&self, pointer: &str, value: &str) -> bool {
        let answer = self.claim(pointer).and_then(|json| match json {
            None => Ok(false),
            Some(json) => holds(json, value).ok_or(CLAIM_OF_WRONG_TYPE),
        });
        self.read("claim-contains", &[&pointer, &value], answer)
    }

    pub(crate) fn authenticated_within(&self, seconds: u32) -> bool {
        let answer = self.login().map(|login| {
            let age = login.and_then(|login| self.facts.now.checked_sub(login));
            age.is_some_and(|age| age <= u64::from(seconds))
        });
        self.read("authenticated-within", &[&seconds], answer)
    }

    pub(crate) fn uses_method(&self, method: &str) -> bool {
        let used = self.methods().map(|all| all.contains(&method));
        self.read("uses-method", &[&method], used)
    }

    pub(crate) fn acr_is(&self, value: &str) -> bool {
        let answer = match self.registered("acr") {
            None => Ok(false),
            // An empty one is none.
            Some(json) => json.as_str().map(|acr| !acr.is_empty() && acr == value).ok_or(CLAIM_OF_WRONG_TYPE),
        };
        self.read("acr-is", &[&value], answer)
    }

    pub(crate) fn remote_ip(&self) -> Option<String> {
        self.read("remote-ip", &[], Ok(self.facts.remote_ip.map(|ip| ip.to_canonical().to_string())))
    }

    pub(crate) fn remote_ip_in(&self, cidr: &str) -> bool {
        self.read("remote-ip-in", &[&cidr], pattern::ip_in(cidr, self.facts.remote_ip).map_err(Failure::from))
    }

    pub(crate) fn before(&self, unix_seconds: u64) -> bool {
        self.read("before", &[&unix_seconds], Ok(self.facts.now < unix_seconds))
    }

    pub(crate) fn before_claim(&self, pointer: &str) -> bool {
        let moment = self.typed(pointer, Json::as_i64);
        let answer = moment
            .map(|moment| moment.is_some_and(|at| u64::try_from(at).is_ok_and(|at| self.facts.now < at)));
        self.read("before-claim", &[&pointer], answer)
    }

    pub(crate) fn in_window(&self, schedule: &str) -> bool {
        self.read(
            "in-window",
            &[&schedule],
            pattern::in_window(schedule, self.facts.now).map_err(Failure::from),
        )
    }

    pub(crate) fn now(&self) -> u64 {
        self.read("now", &[], Ok(self.facts.now))
    }

    pub(crate) fn signal(&self, name: &str) -> Option<String> {
        self.read("signal", &[&name], self.signal_value(name).map(|value| value.map(str::to_owned)))
    }

    pub(crate) fn signal_at_least(&self, name: &str, number: i64) -> bool {
        let answer = self.signal_value(name).and_then(|value| match value {
            None => Ok(false),
            Some(text) => text.parse::<i64>().map(|value| value >= number).map_err(|_| WRONG_TYPE),
        });
        self.read("signal-at-least", &[&name, &number], answer)
    }

    pub(crate) fn data_string(&self, document: &str, pointer: &str) -> Option<String> {
        let answer = self
            .data(document, pointer)
            .and_then(|json| json.map(|json| json.as_str().map(str::to_owned).ok_or(WRONG_TYPE)).transpose());
        self.read("data-string", &[&document, &pointer], answer)
    }

    pub(crate) fn data_json(&self, document: &str, pointer: &str) -> Option<String> {
        let answer = self.data(document, pointer).map(|json| json.map(Json::to_string));
        self.read("data-json", &[&document, &pointer], answer)
    }

    pub(crate) fn data_contains(&self, document: &str, pointer: &str, value: &str) -> bool {
        let answer = self.data(document, pointer).map(|json| {
            json.is_some_and(|json| match json {
                Json::Object(members) => members.contains_key(value),
                json => holds(json, value) == Some(true),
            })
        });
        self.read("data-contains", &[&document, &pointer, &value], answer)
    }

    pub(crate) fn reason(&self, code: &str) {
        self.attach(|outcome| outcome.reason(code));
    }

    pub(crate) fn message(&self, text: &str) {
        self.attach(|outcome| outcome.message(text));
    }

    pub(crate) fn challenge_step_up(&self, acr: Option<&str>, max_age: Option<u32>) {
        self.attach(|outcome| outcome.challenge_step_up(acr, max_age));
    }

    pub(crate) fn set_request_header(&self, name: &str, value: &str) {
        self.attach(|outcome| outcome.request_header(name, Some(value)));
    }

    pub(crate) fn remove_request_header(&self, name: &str) {
        self.attach(|outcome| outcome.request_header(name, None));
    }

    pub(crate) fn set_response_header(&self, name: &str, value: &str) {
        self.attach(|outcome| outcome.response_header(name, Some(value)));
    }

    pub(crate) fn remove_response_header(&self, name: &str) {
        self.attach(|outcome| outcome.response_header(name, None));
    }

    pub(crate) fn copy_to_request_header(&self, name: &str, source: &str) {
        let source = self.source(source, false);
        self.attach(|outcome| outcome.copy_to_request(name, source));
    }

    pub(crate) fn copy_to_request_header_or_remove(&self, name: &str, source: &str) {
        let source = self.source(source, true);
        self.attach(|outcome| outcome.copy_to_request(name, source));
    }

    pub(crate) fn copy_to_response_header(&self, name: &str, source: &str) {
        let source = self.source(source, false);
        self.attach(|outcome| outcome.copy_to_response(name, source));
    }

    pub(crate) fn copy_to_response_header_or_remove(&self, name: &str, source: &str) {
        let source = self.source(source, true);
        self.attach(|outcome| outcome.copy_to_response(name, source));
    }

    pub(crate) fn log(&self, text: &str) {
        self.attach(|outcome| outcome.log(text));
    }
}

fn single(values: Vec<String>) -> Result<Option<String>, Failure> {
    match values.len() {
        0 | 1 => Ok(values.into_iter().next()),
        _ => Err(("read-several-values", "there are several values where one was asked for")),
    }
}

/// Whether a value is this string or an array that holds it; none where it is neither a string nor an array.
fn holds(json: &Json, value: &str) -> Option<bool> {
    match json {
        Json::String(text) => Some(text == value),
        Json::Array(items) => Some(items.iter().any(|item| item.as_str() == Some(value))),
        _ => None,
    }
}

//! What a copied header is a copy of.

use serde_json::Value as Json;

use super::documents::{Failure, check_pointer};
use super::host::{Host, SECRET_HEADERS, is_header_name};
use super::outcome::spelling;

/// A symbol that was looked through, and what becomes of the header where it stands for nothing.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) text: String,
    pub(super) or_remove: bool,
}

impl Host<'_> {
    /// Checks a source as the host does when the policy says it. No read: what it stands for is not looked at.
    pub(super) fn source(&self, text: &str, or_remove: bool) -> Result<Source, Failure> {
        const FORM: Failure = malformed("a source is one symbol: it begins with `{` and ends with `}`");
        let symbol = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or(FORM)?;
        if symbol.contains(['{', '}']) {
            return Err(FORM);
        }
        match symbol.split_once(':') {
            None => match symbol {
                "subject" | "issuer" | "peer" | "trust-domain" | "remote-ip" | "request-id" => {}
                _ => return Err(malformed("there is no such symbol")),
            },
            Some(("claim", pointer)) => {
                check_pointer(pointer).map_err(|(_, what)| malformed(what))?;
                if pointer.is_empty() {
                    return Err(malformed("a claim is named by a JSON pointer that is not empty"));
                }
            }
            Some(("param" | "label", name)) => check_name(name)?,
            Some(("header", name)) => {
                check_name(name)?;
                let name = name.to_ascii_lowercase();
                if !is_header_name(&name) {
                    return Err(malformed("this is not a header name"));
                }
                let mut secrets =
                    SECRET_HEADERS.into_iter().chain(self.facts.secret_headers.iter().map(String::as_str));
                if secrets.any(|secret| spelling(secret) == spelling(&name)) {
                    return Err((
                        "outcome-secret-source",
                        "the header carries a secret and cannot be copied",
                    ));
                }
            }
            Some(_) => return Err(malformed("there is no such symbol")),
        }
        Ok(Source { text: text.to_owned(), or_remove })
    }
}

impl Source {
    /// What it stands for; none where that is absent.
    pub(super) fn value(&self, host: &Host<'_>) -> Result<Option<String>, Failure> {
        let symbol = self.text.trim_matches(['{', '}']);
        let registered = |name| Ok(host.registered(name).and_then(Json::as_str).map(str::to_owned));
        match symbol.split_once(':') {
            Some(("claim", pointer)) => Ok(host.typed(pointer, Json::as_str)?.map(str::to_owned)),
            Some(("param", name)) => host.route_param(name),
            Some(("label", name)) => Ok(host.facts.labels.get(name).cloned()),
            Some((_, name)) => match host.headers_of(name)?.as_slice() {
                [] => Ok(None),
                [value] => Ok(Some(value.clone())),
                _ => Err(("read-several-values", "there are several values where one was asked for")),
            },
            None => match symbol {
                "subject" => registered("sub"),
                "issuer" => registered("iss"),
                "peer" => Ok(host.spiffe_id().map(str::to_owned)),
                "trust-domain" => Ok(host.trust_domain().map(str::to_owned)),
                "remote-ip" => Ok(host.facts.remote_ip.map(|ip| ip.to_canonical().to_string())),
                // In the harness no audit event is left: an id of the form that the host gives.
                _ => Ok(Some("0".repeat(32))),
            },
        }
    }
}

const fn malformed(text: &'static str) -> Failure {
    ("outcome-malformed-source", text)
}

fn check_name(name: &str) -> Result<(), Failure> {
    match name.len() {
        0 => Err(malformed("the symbol names nothing")),
        1..=128 => Ok(()),
        _ => Err(malformed("a name in a symbol is at most 128 bytes")),
    }
}

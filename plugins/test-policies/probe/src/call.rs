//! Every function of the contract by its name.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use ztlib_policy::Question;

/// A function that takes its arguments as strings; none where it gives no value.
pub(crate) type Function = fn(&Question<'_>, &[String]) -> Option<Value>;

/// What a function gave.
pub(crate) enum Value {
    Bool(bool),
    Number(i64),
    Text(String),
    Texts(Vec<String>),
    Absent,
}

impl Value {
    pub(crate) fn is_yes(&self) -> bool {
        match self {
            Self::Bool(yes) => *yes,
            Self::Number(number) => *number != 0,
            Self::Text(_) => true,
            Self::Texts(texts) => !texts.is_empty(),
            Self::Absent => false,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(true) => f.write_str("yes"),
            Self::Bool(false) => f.write_str("no"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
            Self::Texts(texts) => f.write_str(&texts.join(",")),
            Self::Absent => f.write_str("absent"),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Number(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Number(value as i64)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<String>> for Value {
    fn from(value: Vec<String>) -> Self {
        Self::Texts(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Into::into)
    }
}

/// A function of the contract and the number of its parameters.
#[allow(clippy::unit_arg, reason = "a row of the table stays a line")]
pub(crate) fn function(name: &str) -> Option<(Function, usize)> {
    Some(match name {
        "action" => (|q, _| Some(q.action().into()), 0),
        "method" => (|q, _| Some(q.method().into()), 0),
        "host" => (|q, _| Some(q.host().into()), 0),
        "path" => (|q, _| Some(q.path().into()), 0),
        "route" => (|q, _| Some(q.route().into()), 0),
        "param" => (|q, a| Some(q.param(text(a, 0)).into()), 1),
        "path-matches" => (|q, a| Some(q.path_matches(text(a, 0)).into()), 1),
        "header" => (|q, a| Some(q.header(text(a, 0)).into()), 1),
        "has-header" => (|q, a| Some(q.has_header(text(a, 0)).into()), 1),
        "header-values" => (|q, a| Some(q.header_values(text(a, 0)).into()), 1),
        "header-names" => (|q, _| Some(q.header_names().into()), 0),
        "query" => (|q, a| Some(q.query(text(a, 0)).into()), 1),
        "label" => (|q, a| Some(q.label(text(a, 0)).into()), 1),
        "has-peer" => (|q, _| Some(q.has_peer().into()), 0),
        "peer-spiffe-id" => (|q, _| Some(q.peer_spiffe_id().into()), 0),
        "peer-trust-domain" => (|q, _| Some(q.peer_trust_domain().into()), 0),
        "peer-authority" => (|q, _| Some(q.peer_authority().into()), 0),
        "peer-dns-names" => (|q, _| Some(q.peer_dns_names().into()), 0),
        "peer-matches" => (|q, a| Some(q.peer_matches(text(a, 0)).into()), 1),
        "peer-has-dns-name" => (|q, a| Some(q.peer_has_dns_name(text(a, 0)).into()), 1),
        "has-token" => (|q, _| Some(q.has_token().into()), 0),
        "from-home-issuer" => (|q, _| Some(q.from_home_issuer().into()), 0),
        "issuer" => (|q, _| Some(q.issuer().into()), 0),
        "subject" => (|q, _| Some(q.subject().into()), 0),
        "has-scope" => (|q, a| Some(q.has_scope(text(a, 0)).into()), 1),
        "scopes" => (|q, _| Some(q.scopes().into()), 0),
        "has-audience" => (|q, a| Some(q.has_audience(text(a, 0)).into()), 1),
        "claim-string" => (|q, a| Some(q.claim_string(text(a, 0)).into()), 1),
        "claim-int" => (|q, a| Some(q.claim_int(text(a, 0)).into()), 1),
        "claim-bool" => (|q, a| Some(q.claim_bool(text(a, 0)).into()), 1),
        "claim-json" => (|q, a| Some(q.claim_json(text(a, 0)).into()), 1),
        "claim-contains" => (|q, a| Some(q.claim_contains(text(a, 0), text(a, 1)).into()), 2),
        "authenticated-within" => (|q, a| Some(q.authenticated_within(number(a, 0)).into()), 1),
        "uses-method" => (|q, a| Some(q.uses_method(text(a, 0)).into()), 1),
        "acr-is" => (|q, a| Some(q.acr_is(text(a, 0)).into()), 1),
        "remote-ip" => (|q, _| Some(q.remote_ip().into()), 0),
        "remote-ip-in" => (|q, a| Some(q.remote_ip_in(text(a, 0)).into()), 1),
        "before" => (|q, a| Some(q.before(number(a, 0)).into()), 1),
        "before-claim" => (|q, a| Some(q.before_claim(text(a, 0)).into()), 1),
        "in-window" => (|q, a| Some(q.in_window(text(a, 0)).into()), 1),
        "now" => (|q, _| Some(q.now().into()), 0),
        "signal" => (|q, a| Some(q.signal(text(a, 0)).into()), 1),
        "signal-at-least" => (|q, a| Some(q.signal_at_least(text(a, 0), number(a, 1)).into()), 2),
        "data-string" => (|q, a| Some(q.data_string(text(a, 0), text(a, 1)).into()), 2),
        "data-json" => (|q, a| Some(q.data_json(text(a, 0), text(a, 1)).into()), 2),
        "data-contains" => (|q, a| Some(q.data_contains(text(a, 0), text(a, 1), text(a, 2)).into()), 3),
        "reason" => (|q, a| nothing(q.reason(text(a, 0))), 1),
        "message" => (|q, a| nothing(q.message(text(a, 0))), 1),
        "challenge-step-up" => {
            (|q, a| nothing(q.challenge_step_up(optional(a, 0), optional(a, 1).map(parse))), 2)
        }
        "set-request-header" => (|q, a| nothing(q.set_request_header(text(a, 0), text(a, 1))), 2),
        "remove-request-header" => (|q, a| nothing(q.remove_request_header(text(a, 0))), 1),
        "set-response-header" => (|q, a| nothing(q.set_response_header(text(a, 0), text(a, 1))), 2),
        "remove-response-header" => (|q, a| nothing(q.remove_response_header(text(a, 0))), 1),
        "copy-to-request-header" => (|q, a| nothing(q.copy_to_request_header(text(a, 0), text(a, 1))), 2),
        "copy-to-request-header-or-remove" => {
            (|q, a| nothing(q.copy_to_request_header_or_remove(text(a, 0), text(a, 1))), 2)
        }
        "copy-to-response-header" => (|q, a| nothing(q.copy_to_response_header(text(a, 0), text(a, 1))), 2),
        "copy-to-response-header-or-remove" => {
            (|q, a| nothing(q.copy_to_response_header_or_remove(text(a, 0), text(a, 1))), 2)
        }
        "log" => (|q, a| nothing(q.log(text(a, 0))), 1),
        _ => return None,
    })
}

fn nothing((): ()) -> Option<Value> {
    None
}

fn text(arguments: &[String], at: usize) -> &str {
    arguments.get(at).map_or("", String::as_str)
}

fn optional(arguments: &[String], at: usize) -> Option<&str> {
    Some(text(arguments, at)).filter(|text| !text.is_empty())
}

fn number<N: core::str::FromStr + Default>(arguments: &[String], at: usize) -> N {
    parse(text(arguments, at))
}

/// A text that is not a number is 0: a test that writes such a thing sees it in the trace.
fn parse<N: core::str::FromStr + Default>(text: &str) -> N {
    text.parse().unwrap_or_default()
}

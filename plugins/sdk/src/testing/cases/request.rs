//! What a case asks about, as the guard would take it.

use toml::Spanned;
use toml::de::DeValue;

use super::error::{Problem, shown};
use super::file::AUDIENCE;
use super::refused::{
    canonical_host, check_method, check_parameter, check_path, is_header_name, is_header_value,
};
use super::table::{Table, plain};
use crate::testing::Facts;

const REQUEST_KEYS: [&str; 7] = ["method", "host", "path", "query", "route", "params", "headers"];
/// The longest request target that HTTP libraries take, in bytes.
const MAX_TARGET_BYTES: usize = 65_534;

/// What is asked about: an action, or a request as the guard would take it.
pub(super) fn subject(table: &Table<'_>) -> Result<Facts, Problem> {
    let Some(action) = table.text("action")? else { return request(table) };
    if let Some(key) = REQUEST_KEYS.into_iter().find(|key| table.raw(key).is_some()) {
        let text = format!("a question of the application's own has no `{key}`: leave out this or `action`");
        return Err(table.error(key, "action-and-request", text));
    }
    Ok(Facts::action(action))
}

fn request(table: &Table<'_>) -> Result<Facts, Problem> {
    let path = table.required_text("path", "name the request's path (or an `action`)")?;
    let refused = |key: &str, text: String| table.error(key, "bad-request", text);
    let unasked = |what: &str| format!("no policy is asked about this request: {what}");
    if path.contains(['?', '#']) {
        let text = "a path has no `?` and no `#`: write `query = { name = \"value\" }`";
        return Err(refused("path", text.to_owned()));
    }
    let method = table.text("method")?.unwrap_or("GET");
    check_method(method).map_err(|what| refused("method", format!("`{}` {what}", shown(method))))?;
    if method == "CONNECT" {
        return Err(refused("path", unasked("CONNECT is not served (method-connect)")));
    }
    check_path(path).map_err(|what| refused("path", unasked(what)))?;
    let mut facts = Facts::request(method, path);
    // The host that a request names is the audience of its token, when nothing else is said.
    let mut named = (AUDIENCE.to_owned(), None);
    if let Some(host) = table.text("host")? {
        named = canonical_host(host)
            .ok_or_else(|| refused("path", unasked("the host is malformed (host-malformed)")))?;
        facts = facts.host(&named.0);
    }
    let query = table.texts_of("query")?;
    let escaped = query.iter().map(|(name, value)| escaped_bytes(name) + escaped_bytes(value) + 2);
    if "https://".len() + named.0.len() + path.len() + escaped.sum::<usize>() > MAX_TARGET_BYTES {
        return Err(refused("path", "this is no request: its target is too long".to_owned()));
    }
    for (name, value) in query {
        facts = facts.query(&name, &value);
    }
    if let Some(route) = table.text("route")? {
        facts = facts.route(route);
    }
    for (name, value) in table.texts_of("params")? {
        check_parameter(&value).map_err(|what| refused("params", what.to_owned()))?;
        facts = facts.param(&name, &value);
    }
    for (name, value) in table.members("headers")? {
        let values = header_values(name, value).ok_or_else(|| {
            table.wrong(value, format!("`{}` cannot be a header with this value", shown(name)))
        })?;
        let single = match name.to_ascii_lowercase().as_str() {
            "host" => values.len() < 2 && values.iter().all(|host| agrees(host, &named)),
            "content-type" => values.len() < 2,
            _ => true,
        };
        if !single {
            let text = format!("the header `{}` is repeated, or names another host", shown(name));
            return Err(refused("path", unasked(&text)));
        }
        for value in values {
            facts = facts.header(name, &value);
        }
    }
    Ok(facts)
}

/// Whether a `Host` header names the same as the request's target.
fn agrees(header: &str, named: &(String, Option<u16>)) -> bool {
    canonical_host(header).is_some_and(|(host, port)| {
        host == named.0 && port.zip(named.1).is_none_or(|(port, other)| port == other)
    })
}

fn header_values(name: &str, value: &Spanned<DeValue<'_>>) -> Option<Vec<String>> {
    let values: Option<Vec<String>> = match value.get_ref() {
        DeValue::Array(items) => items.iter().map(|item| plain(item.get_ref())).collect(),
        single => plain(single).map(|single| vec![single]),
    };
    values.filter(|values| is_header_name(name) && values.iter().all(|value| is_header_value(value)))
}

/// How long a part of a query is in the target.
fn escaped_bytes(text: &str) -> usize {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|byte| if plain(byte) { 1 } else { 3 }).sum()
}

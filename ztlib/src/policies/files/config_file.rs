//! The file of a configuration: finds the line that a policy refused.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::load_error::LoadError;

/// The file that a configuration was read from.
#[derive(Clone)]
pub(crate) struct ConfigFile {
    pub(crate) file: Box<Path>,
    pub(crate) text: Arc<str>,
}

impl ConfigFile {
    /// Adds this file to an error of `configure`, and the line if it can be found. `config` is what
    /// the policy received.
    pub(crate) fn locate(&self, error: LoadError, config: &[u8]) -> LoadError {
        if error.code() != "configure-refused" {
            return error;
        }
        // The policy's text follows the host's.
        let said = error.text().split_once(": ").map_or("", |(_, said)| said);
        let line = self.line(said, config);
        error.at(&self.file, line)
    }

    /// The line of a mistake. A policy written with the SDK names the path of a member and, in
    /// backticks, what is wrong there ("rules[0].routes: `/x` is there twice"). If the
    /// configuration has that at this path, and only one line of the file has it, this is the line.
    /// Otherwise no line is given.
    fn line(&self, said: &str, config: &[u8]) -> Option<usize> {
        let config: Json = serde_json::from_slice(config).ok()?;
        let at = follow(&config, said);
        let wrong = said.split('`').nth(1).filter(|wrong| !wrong.is_empty())?;
        let is_member = at.as_object().is_some_and(|members| members.contains_key(wrong));
        if !is_member && !holds(at, wrong) {
            return None;
        }
        let mut lines = self.text.lines().enumerate().filter(|(_, line)| has(line, wrong));
        let (line, _) = lines.next()?;
        lines.next().is_none().then(|| line.saturating_add(1))
    }
}

/// Follows the path at the beginning of a text, as far as it leads: "permissions.clerk[0].routes:
/// …".
fn follow<'c>(config: &'c Json, path: &str) -> &'c Json {
    let (mut at, mut rest) = (config, path);
    loop {
        let next = match at {
            Json::Object(members) => {
                let name = rest.strip_prefix('.').unwrap_or(rest);
                let leads = |member: &&String| {
                    name.strip_prefix(member.as_str()).is_some_and(|rest| rest.starts_with(['.', '[', ':']))
                };
                let member = members.keys().filter(leads).max_by_key(|member| member.len());
                member.and_then(|member| Some((members.get(member)?, name.strip_prefix(member.as_str())?)))
            }
            Json::Array(items) => rest.strip_prefix('[').and_then(|rest| {
                let (number, rest) = rest.split_once(']')?;
                Some((items.get(number.parse::<usize>().ok()?)?, rest))
            }),
            _ => None,
        };
        let Some(next) = next else { return at };
        (at, rest) = next;
    }
}

/// Whether a text is one of the values in `json`.
fn holds(json: &Json, text: &str) -> bool {
    match json {
        Json::String(value) => value == text,
        Json::Array(items) => items.iter().any(|item| holds(item, text)),
        Json::Object(members) => members.values().any(|member| holds(member, text)),
        _ => false,
    }
}

/// Whether a line contains a text, and not only as part of a longer one.
fn has(line: &str, text: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '/' | '.' | '{' | '}');
    line.match_indices(text).any(|(at, found)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        let after = line.get(at.saturating_add(found.len())..).and_then(|after| after.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "\
rules:
  - methods: [GET]
    routes:
      - /orders
      - /orders/:id
  - method: [GET]
    routes: [/orders]
    scopes:
      - read
";

    /// Findings D4: the line is that of the mistake, or none is given.
    #[test]
    fn the_line_is_that_of_the_mistake_or_none() {
        let config = serde_json::json!({"rules": [
            {"methods": ["GET"], "routes": ["/orders", "/orders/:id"]},
            {"method": ["GET"], "routes": ["/orders"], "scopes": ["read"]},
        ]});
        let file = ConfigFile { file: Path::new("rules.yaml").into(), text: YAML.into() };
        for (said, line) in [
            ("rules[0]: the route `/orders/:id` matches no request", Some(5)),
            ("rules[0].routes: `/orders/:id` is there twice", Some(5)),
            ("rules[1]: unknown member `method`; known are: methods, routes", Some(6)),
            ("rules[1].scopes[0]: `read` is not one scope", Some(9)),
            // It is in two lines.
            ("rules[0].routes: `/orders` is there twice", None),
            // It is in the file, but not at that path.
            ("rules[0]: the member `scopes` is missing", None),
            ("rules[0].scopes[0]: `write` is not one scope", None),
            ("rules: the list is empty", None),
            ("``: nothing", None),
            ("", None),
        ] {
            let said = format!("`configure` refused the configuration: {said}: correct it");
            let error = LoadError::new("configure-refused", said.clone());
            let error = file.locate(error, config.to_string().as_bytes());
            assert_eq!((error.file(), error.line()), (Some("rules.yaml"), line), "{said}");
        }
        let other = file.locate(LoadError::new("fuel-spent", "`read`"), b"{}");
        assert_eq!(other.file(), None, "only mistakes of the configuration name its file");
    }
}

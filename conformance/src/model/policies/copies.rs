//! `probe`: what goes along with an allow.

use serde::Deserialize;
use serde_json::Value;

use super::Facts;

/// `probe`, as far as the scenarios use it: it allows, and copies to headers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Copies {
    decide: Decide,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decide {
    #[serde(rename = "do")]
    calls: Vec<Call>,
    answer: Allows,
}

#[derive(Deserialize)]
enum Allows {
    #[serde(rename = "allow")]
    Allow,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    call: String,
    with: [String; 2],
}

impl Copies {
    pub(super) fn carry_out(&self, facts: &Facts<'_>) -> Result<(), &'static str> {
        let Allows::Allow = self.decide.answer;
        for Call { call, with: [_, source] } in &self.decide.calls {
            let claim = |name: &str| match facts.caller.claims.as_ref().and_then(|claims| claims.get(name)) {
                None => Ok(None),
                Some(Value::String(text)) => Ok(Some(text.as_str())),
                Some(_) => Err("read-wrong-type"),
            };
            let value = match source.as_str() {
                "{subject}" => claim("sub")?,
                "{peer}" => facts.caller.peer.as_ref().and_then(|peer| peer.spiffe_id.as_deref()),
                other => match other.strip_prefix("{claim:/").and_then(|rest| rest.strip_suffix('}')) {
                    Some(name) => claim(name)?,
                    None => return Err("outcome-malformed-source"),
                },
            };
            match value {
                None if call.ends_with("-or-remove") => {}
                None => return Err("obligation-source-absent"),
                Some(text) => {
                    let fits = !text.is_empty() && text.trim() == text && text.len() <= 1024;
                    if !fits || !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
                        return Err("obligation-unusable-value");
                    }
                }
            }
        }
        Ok(())
    }
}

//! What a policy attaches to its answer, checked as the host checks it by default.

use super::documents::Failure;
use super::host::{Host, is_header_name};
use super::source::Source;
use super::verdict::{HeaderChange, Read, StepUp, Verdict};
use crate::Answer;

#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    pub(super) reason: Option<String>,
    message: Option<String>,
    step_up: Option<StepUp>,
    request_headers: Vec<Header>,
    response_headers: Vec<Header>,
    log: Vec<String>,
    log_bytes: usize,
}

/// A header to set, to remove or to copy.
#[derive(Debug, Clone)]
struct Header {
    name: String,
    to: To,
}

#[derive(Debug, Clone)]
enum To {
    Nothing,
    Value(String),
    Copy(Source),
}

/// Headers that frame the message, belong to the connection, carry credentials or say for whom a proxy speaks. Besides
/// these, all that begin with "grpc-" or "ztlib-".
const RESERVED: [&str; 24] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "content-encoding",
    "content-type",
    "host",
    "expect",
    "http2-settings",
    "date",
    "authorization",
    "proxy-authorization",
    "proxy-authenticate",
    "www-authenticate",
    "cookie",
    "set-cookie",
    "dpop",
    "x-forwarded-client-cert",
    "client-cert",
    "client-cert-chain",
];

impl Outcome {
    /// The verdict, with the headers that are copied as the host would settle them for these facts. Only an allow obliges to
    /// anything, and a question of the application's own has no header to copy to: otherwise they are left out.
    pub(super) fn into_verdict(
        self,
        answer: Answer,
        trace: Vec<Read>,
        host: &Host<'_>,
    ) -> Result<Verdict, (&'static str, String)> {
        let Self { reason, message, step_up, request_headers, response_headers, log, log_bytes: _ } = self;
        let applied = answer == Answer::Allow && host.asked().is_ok();
        let settle = |headers: Vec<Header>| -> Result<Vec<HeaderChange>, (&'static str, String)> {
            let mut changes = Vec::new();
            for Header { name, to } in headers {
                let value = match to {
                    To::Nothing => None,
                    To::Value(value) => Some(value),
                    To::Copy(_) if !applied => continue,
                    To::Copy(source) => copied(&name, &source, host)?,
                };
                changes.push(HeaderChange { name, value });
            }
            Ok(changes)
        };
        let (request_headers, response_headers) = (settle(request_headers)?, settle(response_headers)?);
        Ok(Verdict { answer, reason, message, step_up, request_headers, response_headers, log, trace })
    }

    pub(super) fn reason(&mut self, code: &str) -> Result<(), Failure> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=64).contains(&code.len()) || !code.bytes().all(letter) {
            return Err(("outcome-malformed-reason", "a reason is 1 to 64 of `a-z`, `0-9` and `-`"));
        }
        self.reason = Some(code.to_owned());
        Ok(())
    }

    pub(super) fn message(&mut self, text: &str) -> Result<(), Failure> {
        let directs = |c: char| matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if text.len() > 512 {
            return Err(("outcome-budget", "a message is at most 512 bytes"));
        }
        if text.chars().any(|c| c.is_control() || directs(c)) {
            return Err(("outcome-malformed-message", "a message holds no control characters"));
        }
        self.message = Some(text.to_owned());
        Ok(())
    }

    pub(super) fn challenge_step_up(
        &mut self,
        acr: Option<&str>,
        max_age: Option<u32>,
    ) -> Result<(), Failure> {
        let fits = |acr: &str| {
            let visible = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
            (1..=256).contains(&acr.len()) && acr.bytes().all(visible)
        };
        if (acr.is_none() && max_age.is_none()) || !acr.is_none_or(fits) {
            return Err((
                "outcome-malformed-step-up",
                "a challenge names a context class of visible ASCII without quotes, or a maximum age, or both",
            ));
        }
        self.step_up = Some(StepUp { acr: acr.map(str::to_owned), max_age });
        Ok(())
    }

    pub(super) fn request_header(&mut self, name: &str, value: Option<&str>) -> Result<(), Failure> {
        let header = self.header(name, value.map_or(To::Nothing, |value| To::Value(value.to_owned())))?;
        put(&mut self.request_headers, header);
        Ok(())
    }

    pub(super) fn response_header(&mut self, name: &str, value: Option<&str>) -> Result<(), Failure> {
        let header = self.header(name, value.map_or(To::Nothing, |value| To::Value(value.to_owned())))?;
        put(&mut self.response_headers, header);
        Ok(())
    }

    pub(super) fn copy_to_request(
        &mut self,
        name: &str,
        source: Result<Source, Failure>,
    ) -> Result<(), Failure> {
        let header = self.header(name, To::Copy(source?))?;
        put(&mut self.request_headers, header);
        Ok(())
    }

    pub(super) fn copy_to_response(
        &mut self,
        name: &str,
        source: Result<Source, Failure>,
    ) -> Result<(), Failure> {
        let header = self.header(name, To::Copy(source?))?;
        put(&mut self.response_headers, header);
        Ok(())
    }

    pub(super) fn log(&mut self, text: &str) -> Result<(), Failure> {
        self.log_bytes += text.len() + 16;
        if self.log_bytes > 4096 {
            return Err((
                "outcome-budget",
                "the lines of the log are at most 4096 bytes, 16 for each counted in",
            ));
        }
        self.log.push(text.to_owned());
        Ok(())
    }

    /// The sources of what the service is to be given copies of.
    pub(super) fn copied_to_request(&self) -> impl Iterator<Item = &str> {
        self.request_headers.iter().filter_map(|header| match &header.to {
            To::Copy(source) => Some(source.text.as_str()),
            To::Nothing | To::Value(_) => None,
        })
    }

    fn header(&self, name: &str, to: To) -> Result<Header, Failure> {
        if self.request_headers.len() + self.response_headers.len() >= 16 {
            return Err(("outcome-budget", "a policy changes at most 16 headers"));
        }
        let name = name.to_ascii_lowercase();
        let fits = match &to {
            To::Value(value) => is_header_value(value),
            To::Nothing | To::Copy(_) => true,
        };
        if !is_header_name(&name) || !fits {
            return Err((
                "outcome-malformed-header",
                "the header's name or value cannot stand in an HTTP message",
            ));
        }
        // The host strips all spellings of a header, so each is as good as the header itself.
        let spelled = spelling(&name);
        if RESERVED.contains(&spelled.as_str())
            || spelled.starts_with("grpc-")
            || spelled.starts_with("ztlib-")
        {
            return Err(("outcome-reserved-header", "the header is not for policies to change"));
        }
        if matches!(&to, To::Value(value) if value.len() > 1024) {
            return Err(("outcome-budget", "the value of a header is at most 1024 bytes"));
        }
        Ok(Header { name, to })
    }
}

/// The value of a copied header; none where it is to be removed.
fn copied(name: &str, source: &Source, host: &Host<'_>) -> Result<Option<String>, (&'static str, String)> {
    let wrong = |what: &str| format!("the header `{name}` is to be a copy of `{}`: {what}", source.text);
    let value = source.value(host).map_err(|(code, text)| (code, wrong(text)))?;
    match value {
        None if source.or_remove => Ok(None),
        None => Err(("obligation-source-absent", wrong("it is absent"))),
        Some(value) if value.len() > 1024 => {
            Err(("obligation-unusable-value", wrong("its value is longer than 1024 bytes")))
        }
        Some(value) if value.is_empty() || !is_header_value(&value) => {
            Err(("obligation-unusable-value", wrong("its value cannot stand in a header")))
        }
        Some(value) => Ok(Some(value)),
    }
}

fn is_header_value(value: &str) -> bool {
    value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && value.trim() == value
}

/// A header's name for somebody who takes `_` for `-`.
pub(super) fn spelling(name: &str) -> String {
    name.replace('_', "-")
}

/// The last word on a header holds.
fn put(headers: &mut Vec<Header>, header: Header) {
    headers.retain(|earlier| spelling(&earlier.name) != spelling(&header.name));
    headers.push(header);
}

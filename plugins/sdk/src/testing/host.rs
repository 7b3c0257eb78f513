//! The host's side of the contract, from facts.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::documents::{CLAIM_OF_WRONG_TYPE, Failure, check_pointer, find, malformed};
use super::facts::{Asked, Facts, Peer, Request, Signal};
use super::outcome::Outcome;
use super::sealed::Constants;
use super::shown::Shown;
use super::verdict::{Fault, Read, Verdict};
use crate::Answer;
use crate::pattern::{Malformed, symbols};

/// Headers that carry secrets in every service.
pub(super) const SECRET_HEADERS: [&str; 5] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "dpop"];

/// The host's default bound on the number of reads.
const MAX_READS: usize = 256;

/// Answers a policy from facts and writes down what it asked.
#[derive(Debug)]
pub(crate) struct Host<'f> {
    pub(super) facts: &'f Facts,
    /// What a sealed policy put aside; none where the policy was configured here.
    constants: Option<&'f Constants>,
    record: RefCell<Record>,
}

#[derive(Debug, Default)]
struct Record {
    calls: usize,
    trace: Vec<Read>,
    outcome: Outcome,
    /// In a document, under what an issuer says and not under the issuer.
    looked_under_a_name: bool,
}

impl Record {
    /// Whether the policy goes by what an issuer says, or has it copied, and never asked which one it is.
    fn takes_any_issuers_word(&self) -> bool {
        let function = |read: &Read| read.call.split('(').next().unwrap_or_default().to_owned();
        if self.trace.iter().any(|read| matches!(&*function(read), "issuer" | "from-home-issuer")) {
            return false;
        }
        let heard = self.trace.iter().any(|read| {
            matches!(
                &*function(read),
                "subject"
                    | "has-scope"
                    | "scopes"
                    | "has-audience"
                    | "claim-string"
                    | "claim-int"
                    | "claim-bool"
                    | "claim-json"
                    | "claim-contains"
                    | "authenticated-within"
                    | "uses-method"
                    | "acr-is"
                    | "before-claim"
            )
        });
        let copied = || self.outcome.copied_to_request().any(is_word);
        let told = || self.outcome.copied_to_request().any(|source| source == "{issuer}");
        heard || self.looked_under_a_name || (copied() && !told())
    }
}

/// Whether a symbol in a text stands for what an issuer says.
fn is_word(text: &str) -> bool {
    symbols(text).any(|symbol| symbol == "subject" || symbol.starts_with("claim:"))
}

impl From<Malformed> for Failure {
    fn from(Malformed(text): Malformed) -> Self {
        malformed(text)
    }
}

impl<'f> Host<'f> {
    pub(super) fn new(facts: &'f Facts) -> Self {
        Self { facts, constants: None, record: RefCell::default() }
    }

    pub(super) fn with_constants(facts: &'f Facts, constants: &'f Constants) -> Self {
        Self { facts, constants: Some(constants), record: RefCell::default() }
    }

    /// Not a read: nothing is written down.
    pub(crate) fn constant(&self, key: &str) -> Option<Vec<u8>> {
        self.constants.and_then(|constants| constants.get(key)).cloned()
    }

    pub(super) fn verdict(&self, answer: Answer) -> Result<Verdict, Fault> {
        if let Some(wrong) = &self.facts.wrong {
            return Err(self.fault("test-facts", wrong));
        }
        let record = self.record.borrow();
        if let (Some(reason), Some(declared), Answer::Deny) =
            (&record.outcome.reason, &self.facts.reasons, answer)
            && !declared.contains(reason)
        {
            let text = format!("the manifest declares no reason `{reason}` for this policy");
            return Err(self.fault("outcome-undeclared-reason", &text));
        }
        if answer == Answer::Allow && !self.facts.is_home && record.takes_any_issuers_word() {
            let text = "the token is not of the home issuer, and the policy allows by what it says without asking for the issuer";
            return Err(self.fault("issuer-not-asked", text));
        }
        let settled = record.outcome.clone().into_verdict(answer, record.trace.clone(), self);
        settled.map_err(|(code, text)| self.fault(code, &text))
    }

    pub(super) fn fault(&self, code: &'static str, text: &str) -> Fault {
        Fault { code, text: text.to_owned(), trace: self.record.borrow().trace.clone() }
    }

    /// Make a read: answer it, write it down. Where it fails the evaluation ends here.
    pub(super) fn read<T: Shown>(
        &self,
        function: &str,
        arguments: &[&dyn Shown],
        answer: Result<T, Failure>,
    ) -> T {
        let mut call = function.to_owned();
        for (at, argument) in arguments.iter().enumerate() {
            call.push_str(if at == 0 { "(" } else { ", " });
            argument.show(&mut call);
        }
        if !arguments.is_empty() {
            call.push(')');
        }
        if let Some(wrong) = &self.facts.wrong {
            self.stop("test-facts", wrong);
        }
        match answer {
            Err((code, text)) => self.stop(code, &format!("{call}: {text}")),
            Ok(value) => {
                let mut shown = String::new();
                value.show(&mut shown);
                let mut record = self.record.borrow_mut();
                record.calls += 1;
                if record.calls > MAX_READS {
                    drop(record);
                    self.stop("read-budget", "the budget for reads is spent");
                }
                if !record.trace.iter().any(|read| read.call == call) {
                    record.trace.push(Read { call, value: shown });
                }
                value
            }
        }
    }

    /// Attach something to the answer. Where it cannot be used the evaluation ends here.
    pub(super) fn attach(&self, change: impl FnOnce(&mut Outcome) -> Result<(), Failure>) {
        let result = change(&mut self.record.borrow_mut().outcome);
        if let Err((code, text)) = result {
            self.stop(code, text);
        }
    }

    /// End the evaluation: unwind past the policy to where it was asked. No panic message is printed.
    fn stop(&self, code: &'static str, text: &str) -> ! {
        std::panic::resume_unwind(Box::new(self.fault(code, text)))
    }

    pub(super) fn asked(&self) -> Result<&'f Request, Failure> {
        match &self.facts.asked {
            Asked::Request(request) => Ok(request),
            Asked::Action(_) => Err(("read-no-request", "the application asked a question of its own")),
        }
    }

    pub(super) fn claim(&self, pointer: &str) -> Result<Option<&'f Json>, Failure> {
        check_pointer(pointer)?;
        // In a claim's pointer braces are ordinary characters.
        Ok(self.facts.claims.as_ref().and_then(|claims| claims.pointer(pointer)))
    }

    pub(super) fn typed<T>(
        &self,
        pointer: &str,
        cast: impl FnOnce(&'f Json) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        self.claim(pointer)?.map(|json| cast(json).ok_or(CLAIM_OF_WRONG_TYPE)).transpose()
    }

    /// A claim that ztlib itself gives meaning to, where it is of the right type.
    pub(super) fn registered(&self, name: &str) -> Option<&'f Json> {
        self.facts.claims.as_ref().and_then(|claims| claims.get(name))
    }

    /// One text with a space between scopes (RFC 8693 section 4.2), or a list of them. What is odd is a fault for who asks.
    pub(super) fn all_scopes(&self) -> Result<BTreeSet<&'f str>, Failure> {
        let letter = |byte: u8| matches!(byte, b'!'..=b'~') && byte != b'"' && byte != b'\\';
        let scope = |text: &'f str| text.bytes().all(letter).then_some(text).ok_or(CLAIM_OF_WRONG_TYPE);
        match self.registered("scope") {
            None => Ok(BTreeSet::new()),
            Some(Json::String(text)) => text.split(' ').filter(|text| !text.is_empty()).map(scope).collect(),
            Some(json) => texts(json)?.into_iter().map(scope).collect(),
        }
    }

    /// The methods of the login (RFC 8176).
    pub(super) fn methods(&self) -> Result<Vec<&'f str>, Failure> {
        self.registered("amr").map_or(Ok(Vec::new()), texts)
    }

    /// When the caller logged in: a number, of which a fraction is left out.
    pub(super) fn login(&self) -> Result<Option<u64>, Failure> {
        const LATEST: f64 = 253_402_300_799.0;
        let Some(json) = self.registered("auth_time") else { return Ok(None) };
        let seconds = json.as_f64().filter(|seconds| (0.0..=LATEST).contains(seconds));
        seconds.map(|seconds| Some(seconds as u64)).ok_or(CLAIM_OF_WRONG_TYPE)
    }

    pub(super) fn spiffe_id(&self) -> Option<&'f str> {
        match &self.facts.peer {
            Some(Peer::Spiffe(id)) => Some(id),
            _ => None,
        }
    }

    pub(super) fn trust_domain(&self) -> Option<&'f str> {
        self.spiffe_id().and_then(|id| id.strip_prefix("spiffe://")).and_then(|id| id.split('/').next())
    }

    pub(super) fn named(&self) -> Option<(&'f str, &'f [String])> {
        match &self.facts.peer {
            Some(Peer::Named { authority, dns_names }) => Some((authority, dns_names)),
            _ => None,
        }
    }

    /// A name that stands twice in the route's template has two values.
    pub(super) fn route_param(&self, name: &str) -> Result<Option<String>, Failure> {
        let params = self.asked().map_or(&[][..], |request| &request.params);
        let mut values = params.iter().filter(|(own, _)| own == name).map(|(_, value)| value.clone());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(("read-several-values", "there are several values where one was asked for")),
        }
    }

    pub(super) fn headers_of(&self, name: &str) -> Result<Vec<String>, Failure> {
        let request = self.asked()?;
        let name = name.to_ascii_lowercase();
        if !is_header_name(&name) {
            return Err(malformed("this is not a header name"));
        }
        if SECRET_HEADERS.contains(&name.as_str()) || self.facts.secret_headers.contains(&name) {
            return Err(("read-secret", "the header carries a secret and cannot be read"));
        }
        Ok(request.headers.iter().filter(|(own, _)| *own == name).map(|(_, value)| value.clone()).collect())
    }

    pub(super) fn signal_value(&self, name: &str) -> Result<Option<&'f str>, Failure> {
        match self.facts.signals.get(name) {
            Some(Signal::Value(value)) => Ok(Some(value)),
            Some(Signal::Absent) => Ok(None),
            Some(Signal::Failing) => Err(("read-signal-failed", "the signal could not be had")),
            None => Err(("read-undeclared-signal", "the manifest declares no signal of this name")),
        }
    }

    pub(super) fn data(&self, document: &str, pointer: &str) -> Result<Option<&'f Json>, Failure> {
        if is_word(pointer) && !symbols(pointer).any(|symbol| symbol == "issuer") {
            self.record.borrow_mut().looked_under_a_name = true;
        }
        let undeclared = ("read-undeclared-document", "the manifest declares no document of this name");
        let document = self.facts.documents.get(document).ok_or(undeclared)?;
        find(document, pointer, &|name| self.symbol(name))
    }

    pub(super) fn symbol(&self, name: &str) -> Result<Option<String>, Failure> {
        if let Some(param) = name.strip_prefix("param:") {
            return self.route_param(param);
        }
        if let Some(pointer) = name.strip_prefix("claim:") {
            return Ok(self.typed(pointer, Json::as_str)?.map(str::to_owned));
        }
        match name {
            "subject" => Ok(self.registered("sub").and_then(Json::as_str).map(str::to_owned)),
            "issuer" => Ok(self.registered("iss").and_then(Json::as_str).map(str::to_owned)),
            "peer" => Ok(self.spiffe_id().map(str::to_owned)),
            _ => Err(malformed("a symbol is {issuer}, {subject}, {peer}, {param:NAME} or {claim:/POINTER}")),
        }
    }
}

/// RFC 9110 section 5.1: a token, here already in lower case.
pub(super) fn is_header_name(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(token)
}

/// Texts that are not empty.
fn texts(json: &Json) -> Result<Vec<&str>, Failure> {
    let all: Option<Vec<&str>> = json.as_array().and_then(|items| {
        let mut all = Vec::new();
        for item in items {
            all.push(item.as_str().filter(|text| !text.is_empty())?);
        }
        Some(all)
    });
    all.ok_or(CLAIM_OF_WRONG_TYPE)
}

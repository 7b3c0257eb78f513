//! The question: everything that a policy may ask about, and nothing that it may not.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderName;

use super::documents::{Symbols, check_pointer};
use super::fact::Fact;
use super::facts::{Caller, ClaimError, Claims, Labels, RequestFacts};
use super::read::{Read, ReadFault, Value};
use super::time::unix_seconds;
use super::view::View;

/// The longest that the text of a failed signal may be in an audit event, in bytes.
const MAX_SIGNAL_ERROR_BYTES: usize = 256;

/// One question: may this caller do this, now? It owns what it is about, so that a sandbox can
/// hold it.
#[derive(Debug)]
pub struct Question {
    /// Who asks.
    pub caller: Caller,
    /// What is asked about.
    pub asked: Asked,
    /// What the application says about it.
    pub labels: Labels,
    /// The request's one moment: every read of time sees it.
    pub now: SystemTime,
    /// Signals that were asked for already: each is asked once a question.
    signals: Vec<(Box<str>, Signalled)>,
    /// Where it was put together from a record: what that has.
    recorded: Option<Box<FromRecord>>,
}

/// What the source of signals said.
pub type Signalled = Result<Option<Arc<str>>, ReadFault>;

/// A record of an earlier question.
#[derive(Debug)]
struct FromRecord {
    has: Arc<dyn Has>,
    missing: Option<(Read, ReadFault)>,
}

/// What a record has of the question that it was made of.
pub trait Has: std::fmt::Debug + Send + Sync {
    /// # Errors
    /// [`ReadFault::NotRecorded`], [`ReadFault::Hidden`].
    fn check(&self, read: &Read) -> Result<(), ReadFault>;
}

/// What is asked about.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every question is about a request, and a box would be an allocation for each"
)]
pub enum Asked {
    /// May this request pass?
    Request(RequestFacts),
    /// A question of the application's own, by name.
    Action(Arc<str>),
}

impl Question {
    /// A question by this caller.
    pub fn new(caller: Caller, asked: Asked, labels: Labels, now: SystemTime) -> Self {
        Self { caller, asked, labels, now, signals: Vec::new(), recorded: None }
    }

    /// A question that is put together from a record: what the record does not have is a fault to
    /// read.
    pub fn recorded(self, signals: Vec<(Box<str>, Signalled)>, has: Arc<dyn Has>) -> Self {
        Self { signals, recorded: Some(Box::new(FromRecord { has, missing: None })), ..self }
    }

    /// The first read that the record did not have, and how it was missing, whatever a policy made
    /// of the fault.
    pub fn missing(&self) -> Option<(&Read, &ReadFault)> {
        self.recorded.as_ref()?.missing.as_ref().map(|(read, fault)| (read, fault))
    }

    /// The same question, to be judged elsewhere, with the signals that were asked for.
    pub fn copy(&self, view: &View) -> Self {
        let asked = match &self.asked {
            Asked::Request(facts) => Asked::Request(facts.copy(view)),
            Asked::Action(name) => Asked::Action(name.clone()),
        };
        let copy = Self::new(self.caller.clone(), asked, self.labels.clone(), self.now);
        Self { signals: self.signals.clone(), ..copy }
    }

    /// What the source said of a signal, where it was asked.
    pub fn signalled(&self, name: &str) -> Option<&Signalled> {
        self.signals.iter().find(|(asked, _)| **asked == *name).map(|(_, said)| said)
    }

    /// Answers one read.
    pub fn answer(&mut self, read: &Read, view: &View) -> Result<Value, ReadFault> {
        self.fact(read, view).map(|fact| fact.to_value())
    }

    /// What a read returns. Every fact that a policy learns, and every fact that a look-up compares,
    /// comes through here.
    pub fn fact<'q>(&'q mut self, read: &Read, view: &'q View) -> Result<Fact<'q>, ReadFault> {
        if let Read::Signal(name) | Read::SignalAtLeast(name, _) = read {
            self.ask_signal(name, view)?;
        }
        if self.recorded.is_some() {
            self.check_recorded(read, view)?;
        }
        self.known(read, view)
    }

    /// A read that no question could answer is the same fault here as there; any other one has to
    /// be in the record.
    fn check_recorded(&mut self, read: &Read, view: &View) -> Result<(), ReadFault> {
        use ReadFault::{Malformed, NoRequest, Secret, UndeclaredDocument, UndeclaredSignal};
        if matches!(
            self.known(read, view),
            Err(Malformed(_) | NoRequest | Secret | UndeclaredDocument | UndeclaredSignal)
        ) {
            return Ok(());
        }
        let Some(record) = &mut self.recorded else { return Ok(()) };
        record.has.check(read).inspect_err(|fault| {
            record.missing.get_or_insert_with(|| (read.clone(), fault.clone()));
        })
    }

    fn known<'q>(&'q self, read: &Read, view: &'q View) -> Result<Fact<'q>, ReadFault> {
        let peer = self.caller.peer.as_deref();
        let claims = self.caller.claims.as_deref();
        let text = |text: Option<&'q str>| Ok(Fact::text(text));
        let yes = |yes: bool| Ok(Fact::Bool(yes));
        match read {
            Read::Action => match &self.asked {
                Asked::Action(name) => text(Some(name)),
                Asked::Request(_) => Ok(Fact::Absent),
            },
            Read::Method => text(Some(self.request()?.parts.method.as_str())),
            Read::Host => text(Some(self.request()?.target.host())),
            Read::Path => text(Some(self.request()?.target.path())),
            // Absent, and no fault, for a question of the application's own: absent matches no
            // rule.
            Read::Route => text(self.request().ok().and_then(|request| request.route.as_deref())),
            Read::Param(name) => text(self.param(name)?),
            Read::PathMatches(pattern) => {
                yes(ztlib_pattern::path_matches(pattern, self.request()?.target.path())?)
            }
            Read::Header(name) => self.request()?.header(name, view),
            Read::HasHeader(name) => yes(self.request()?.has_header(name, view)?),
            Read::HeaderValues(name) => self.request()?.header_values(name, view),
            Read::HeaderNames => {
                let names: BTreeSet<&str> =
                    self.request()?.parts.headers.keys().map(HeaderName::as_str).collect();
                Ok(Fact::list(names))
            }
            Read::Query(name) => self.request()?.query(name),
            Read::Label(name) => text(self.labels.label(name)),

            Read::HasPeer => yes(peer.is_some()),
            Read::PeerSpiffeId => text(peer.and_then(|p| p.spiffe_id()).map(|id| id.as_str())),
            Read::PeerTrustDomain => {
                text(peer.and_then(|p| p.spiffe_id()).map(|id| id.trust_domain().as_str()))
            }
            Read::PeerAuthority => text(peer.and_then(|p| p.authority())),
            Read::PeerDnsNames => {
                Ok(Fact::list(peer.map_or(&[][..], |p| p.dns_names()).iter().map(AsRef::as_ref)))
            }
            Read::PeerMatches(pattern) => {
                let id = peer.and_then(|p| p.spiffe_id()).map(|id| id.as_str());
                yes(ztlib_pattern::spiffe_matches(pattern, id)?)
            }
            Read::PeerHasDnsName(name) => {
                yes(peer.is_some_and(|p| p.dns_names().iter().any(|n| n.eq_ignore_ascii_case(name))))
            }
            Read::HasToken => yes(claims.is_some()),
            Read::FromHomeIssuer => yes(claims.is_some_and(Claims::is_home_issuer)),
            Read::Issuer => text(claims.map(Claims::issuer)),
            Read::Subject => text(claims.and_then(Claims::subject)),
            Read::HasScope(scope) => {
                yes(self.claim("/scope", |c| c.has_scope(scope).map(Some))?.unwrap_or_default())
            }
            Read::Scopes => {
                // Sorted, each once, since the token was verified.
                let scopes = self.claim("/scope", |c| c.scopes().map(Some))?.unwrap_or_default();
                Ok(Fact::list(scopes.iter().map(String::as_str)))
            }
            Read::HasAudience(audience) => yes(claims.is_some_and(|c| c.has_audience(audience))),
            Read::ClaimString(pointer) => text(self.claim(pointer, |c| c.claim_string(pointer))?),
            Read::ClaimInt(pointer) => {
                Ok(self.claim(pointer, |c| c.claim_int(pointer))?.map_or(Fact::Absent, Fact::Int))
            }
            Read::ClaimBool(pointer) => {
                Ok(self.claim(pointer, |c| c.claim_bool(pointer))?.map_or(Fact::Absent, Fact::Bool))
            }
            Read::ClaimJson(pointer) => Ok(Fact::text(self.claim(pointer, |c| c.claim_json(pointer))?)),
            Read::ClaimContains(pointer, value) => {
                yes(self.claim(pointer, |c| c.claim_contains(pointer, value).map(Some))?.unwrap_or(false))
            }
            Read::AuthenticatedWithin(seconds) => {
                let login = self.claim("/auth_time", Claims::auth_time)?.map(unix_seconds);
                // A login in the future is not a login yet.
                let age = login.and_then(|login| self.now_seconds().checked_sub(login));
                yes(age.is_some_and(|age| age <= u64::from(*seconds)))
            }
            Read::UsesMethod(method) => {
                let used = self.claim("/amr", |c| c.amr().map(Some))?.unwrap_or_default();
                yes(used.iter().any(|used| **used == **method))
            }
            Read::AcrIs(acr) => yes(self.claim("/acr", Claims::acr)? == Some(acr)),

            Read::RemoteIp => Ok(Fact::text(self.caller.remote_ip.map(|ip| ip.to_canonical().to_string()))),
            Read::RemoteIpIn(cidr) => yes(ztlib_pattern::ip_in(cidr, self.caller.remote_ip)?),
            Read::Before(moment) => yes(self.now_seconds() < *moment),
            Read::BeforeClaim(pointer) => {
                let moment = self.claim(pointer, |c| c.claim_int(pointer))?;
                // A moment before 1970 is over.
                yes(moment.is_some_and(|m| u64::try_from(m).is_ok_and(|m| self.now_seconds() < m)))
            }
            Read::InWindow(schedule) => yes(ztlib_pattern::in_window(schedule, self.now_seconds())?),
            Read::Now => Ok(Fact::Time(self.now_seconds())),
            Read::DataString(document, pointer) => view.documents.string(document, pointer, self),
            Read::DataJson(document, pointer) => view.documents.json(document, pointer, self),
            Read::DataContains(document, pointer, value) => {
                view.documents.contains(document, pointer, value, self)
            }
            Read::Signal(name) => text(self.signal(name)?),
            Read::SignalAtLeast(name, number) => yes(match self.signal(name)? {
                None => false,
                Some(text) => text.parse::<i64>().map_err(|_| ReadFault::WrongType("an integer"))? >= *number,
            }),
        }
    }

    /// The request.
    ///
    /// # Errors
    /// [`ReadFault::NoRequest`] for a question of the application's own.
    pub fn request(&self) -> Result<&RequestFacts, ReadFault> {
        match &self.asked {
            Asked::Request(facts) => Ok(facts),
            Asked::Action(_) => Err(ReadFault::NoRequest),
        }
    }

    fn now_seconds(&self) -> u64 {
        unix_seconds(self.now)
    }

    /// Absent for a question of the application's own.
    fn param(&self, name: &str) -> Result<Option<&str>, ReadFault> {
        self.request().map_or(Ok(None), |request| request.param(name))
    }

    /// A claim; absent where there is no token, but a malformed pointer is a fault even then:
    /// whether a policy is wrong must not depend on who calls.
    fn claim<'q, T>(
        &'q self,
        pointer: &str,
        of: impl FnOnce(&'q Claims) -> Result<Option<T>, ClaimError>,
    ) -> Result<Option<T>, ReadFault> {
        match self.caller.claims.as_deref() {
            None => check_pointer(pointer).map(|()| None),
            Some(claims) => of(claims).map_err(|error| match error {
                ClaimError::WrongType { expected, .. } => ReadFault::ClaimOfWrongType(expected),
                _ => ReadFault::Malformed("a JSON pointer is empty or begins with `/` (RFC 6901)"),
            }),
        }
    }

    /// Asks the source, once a question.
    fn ask_signal(&mut self, name: &str, view: &View) -> Result<(), ReadFault> {
        if !view.declared_signals.contains(name) {
            return Err(ReadFault::UndeclaredSignal);
        }
        if self.signals.iter().any(|(asked, _)| **asked == *name) {
            return Ok(());
        }
        let value = match &view.signal_source {
            None => Err(ReadFault::SignalFailed("the service has no source of signals".to_owned())),
            Some(source) => {
                source.signal(name, &self.caller).map(|value| value.map(Into::into)).map_err(|error| {
                    let mut text = error.to_string();
                    text.truncate(text.floor_char_boundary(MAX_SIGNAL_ERROR_BYTES));
                    ReadFault::SignalFailed(text)
                })
            }
        };
        self.signals.push((name.into(), value));
        Ok(())
    }

    /// What the source said.
    fn signal(&self, name: &str) -> Result<Option<&str>, ReadFault> {
        match self.signalled(name) {
            Some(Ok(value)) => Ok(value.as_deref()),
            Some(Err(fault)) => Err(fault.clone()),
            None => Err(ReadFault::UndeclaredSignal),
        }
    }
}

impl Symbols for Question {
    fn symbol(&self, name: &str) -> Result<Option<Cow<'_, str>>, ReadFault> {
        if let Some(param) = name.strip_prefix("param:") {
            return Ok(self.param(param)?.map(Cow::Borrowed));
        }
        if let Some(pointer) = name.strip_prefix("claim:") {
            return Ok(self.claim(pointer, |c| c.claim_string(pointer))?.map(Cow::Borrowed));
        }
        match name {
            "subject" => Ok(self.caller.claims.as_deref().and_then(Claims::subject).map(Cow::Borrowed)),
            "issuer" => Ok(self.caller.claims.as_deref().map(|claims| Cow::Borrowed(claims.issuer()))),
            "peer" => Ok(self
                .caller
                .peer
                .as_deref()
                .and_then(|p| p.spiffe_id())
                .map(|id| Cow::Borrowed(id.as_str()))),
            _ => Err(ReadFault::Malformed(
                "a symbol is {issuer}, {subject}, {peer}, {param:NAME} or {claim:/POINTER}",
            )),
        }
    }
}

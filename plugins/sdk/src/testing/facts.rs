//! The facts of a test.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderName;
use serde_json::{Map, Value as Json};
use ztlib_contract::facts::{Caller, ClaimLimits, Claims, Labels, Params, PeerFacts, RequestFacts, Target};
use ztlib_contract::{
    Asked as Ask, Documents, Question, SignalError, SignalSource, View, cases, from_unix_seconds,
};

/// The facts that a policy can ask about. What a test does not lay down is absent, or (documents,
/// signals) undeclared.
///
/// A fact that cannot be one (claims that are no JSON object, an address that is none) is kept as
/// it is and is a [`Fault`](super::Fault) with the code `test-facts` when the policy is asked: a
/// broken test does not pass.
#[derive(Debug, Clone)]
pub struct Facts {
    pub(super) asked: Asked,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) peer: Option<PeerFacts>,
    pub(super) claims: Option<Map<String, Json>>,
    /// Whether they are of the home issuer.
    pub(super) is_home: bool,
    pub(super) remote_ip: Option<IpAddr>,
    pub(super) now: u64,
    pub(super) signals: BTreeMap<String, Signal>,
    pub(super) documents: BTreeMap<String, Json>,
    pub(super) secret_headers: BTreeSet<String>,
    pub(super) reasons: Option<BTreeSet<String>>,
    pub(super) wrong: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Asked {
    Request(Request),
    Action(String),
    /// What a file of cases says.
    Case(Box<cases::Facts>),
}

#[derive(Debug, Clone)]
pub(super) struct Request {
    method: String,
    host: String,
    path: String,
    route: Option<String>,
    params: Params,
    headers: Vec<(String, String)>,
    query: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
pub(super) enum Signal {
    Value(String),
    Absent,
    Failing,
}

/// The signals of a test.
struct Given(BTreeMap<String, Signal>);

impl SignalSource for Given {
    fn signal(&self, name: &str, _: &Caller) -> Result<Option<String>, SignalError> {
        match self.0.get(name) {
            Some(Signal::Value(value)) => Ok(Some(value.clone())),
            Some(Signal::Absent) => Ok(None),
            Some(Signal::Failing) | None => Err(SignalError::new("the test says so")),
        }
    }
}

impl Request {
    fn facts(&self) -> Result<RequestFacts, String> {
        let mut uri = format!("https://{}{}", self.host, self.path);
        for (at, (name, value)) in self.query.iter().enumerate() {
            uri.push(if at == 0 { '?' } else { '&' });
            uri.push_str(&cases::encoded(name));
            uri.push('=');
            uri.push_str(&cases::encoded(value));
        }
        let mut built = http::Request::builder().method(self.method.as_str()).uri(uri);
        for (name, value) in &self.headers {
            built = built.header(name, value.as_bytes());
        }
        let parts = built.body(()).map_err(|error| format!("this is not a request: {error}"))?.into_parts().0;
        Ok(RequestFacts {
            parts: Box::new(parts),
            target: Target::new(&self.host, &self.path),
            route: self.route.as_deref().map(Into::into),
            params: self.params.clone(),
        })
    }
}

impl Facts {
    /// A request to the host "service.test", from nobody, that matched no route, at the beginning
    /// of Monday, 23 November 2026 (1 795 392 000 seconds since 1970).
    pub fn request(method: &str, path: &str) -> Self {
        Self::about(Asked::Request(Request {
            method: method.to_owned(),
            host: "service.test".to_owned(),
            path: path.to_owned(),
            route: None,
            params: Params::default(),
            headers: Vec::new(),
            query: Vec::new(),
        }))
    }

    /// A question of the application's own; otherwise as [`request`](Self::request).
    pub fn action(name: &str) -> Self {
        Self::about(Asked::Action(name.to_owned()))
    }

    fn about(asked: Asked) -> Self {
        Self {
            asked,
            labels: BTreeMap::new(),
            peer: None,
            claims: None,
            is_home: true,
            remote_ip: None,
            now: 1_795_392_000,
            signals: BTreeMap::new(),
            documents: BTreeMap::new(),
            secret_headers: BTreeSet::new(),
            reasons: None,
            wrong: None,
        }
    }

    /// The host that the request names.
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        self.of_request("host", |request| host.clone_into(&mut request.host))
    }

    /// The template of the route that matched.
    #[must_use]
    pub fn route(self, template: &str) -> Self {
        self.of_request("route", |request| request.route = Some(template.to_owned()))
    }

    /// A parameter of the route.
    #[must_use]
    pub fn param(self, name: &str, value: &str) -> Self {
        self.of_request("param", |request| request.params.push(name, value))
    }

    /// One more header.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.of_request("header", |request| {
            request.headers.push((name.to_ascii_lowercase(), value.to_owned()))
        })
    }

    /// One more query parameter, decoded.
    #[must_use]
    pub fn query(self, name: &str, value: &str) -> Self {
        self.of_request("query", |request| request.query.push((name.to_owned(), value.to_owned())))
    }

    /// A label that the application attached.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// A peer with a SPIFFE ID.
    #[must_use]
    pub fn peer(mut self, spiffe_id: &str) -> Self {
        match spiffe_id.parse() {
            Ok(id) => self.peer = Some(PeerFacts::spiffe(id)),
            Err(error) => self.wrong = Some(format!("`{spiffe_id}` is not a SPIFFE ID: {error}")),
        }
        self
    }

    /// A peer without SPIFFE ID: the name of the authority that vouches for it, and its DNS names.
    #[must_use]
    pub fn named_peer(mut self, authority: &str, dns_names: &[&str]) -> Self {
        self.peer = Some(PeerFacts::named(authority, dns_names));
        self
    }

    /// A verified token with these claims, a JSON object. What every verified token has (`iss`,
    /// `aud`, `exp`) is put in where it is left out.
    #[must_use]
    pub fn token(mut self, claims: &str) -> Self {
        match serde_json::from_str(claims) {
            Ok(Json::Object(claims)) => self.claims = Some(claims),
            _ => self.wrong = Some("the claims are not a JSON object".to_owned()),
        }
        self
    }

    /// The token is of another issuer than the service's home issuer:
    /// [`from_home_issuer`](crate::Question::from_home_issuer) is false.
    #[must_use]
    pub fn of_another_issuer(mut self) -> Self {
        self.is_home = false;
        self
    }

    /// The caller's IP address.
    #[must_use]
    pub fn remote_ip(mut self, address: &str) -> Self {
        match address.parse() {
            Ok(address) => self.remote_ip = Some(address),
            Err(_) => self.wrong = Some(format!("`{address}` is not an IP address")),
        }
        self
    }

    /// The moment, in seconds since 1970.
    #[must_use]
    pub fn now(mut self, unix_seconds: u64) -> Self {
        self.now = unix_seconds;
        self
    }

    /// A declared signal and its value.
    #[must_use]
    pub fn signal(mut self, name: &str, value: &str) -> Self {
        self.signals.insert(name.to_owned(), Signal::Value(value.to_owned()));
        self
    }

    /// A declared signal of which the service knows that there is none.
    #[must_use]
    pub fn absent_signal(mut self, name: &str) -> Self {
        self.signals.insert(name.to_owned(), Signal::Absent);
        self
    }

    /// A declared signal whose source is down: a fault to read.
    #[must_use]
    pub fn failing_signal(mut self, name: &str) -> Self {
        self.signals.insert(name.to_owned(), Signal::Failing);
        self
    }

    /// A declared document, as JSON.
    #[must_use]
    pub fn document(mut self, name: &str, json: &str) -> Self {
        match serde_json::from_str(json) {
            Ok(json) => drop(self.documents.insert(name.to_owned(), json)),
            Err(_) => self.wrong = Some(format!("the document `{name}` is not JSON")),
        }
        self
    }

    /// One more header that the service keeps from policies.
    #[must_use]
    pub fn secret_header(mut self, name: &str) -> Self {
        self.secret_headers.insert(name.to_ascii_lowercase());
        self
    }

    /// The reasons that the manifest declares for the policy. Without this any code will do.
    #[must_use]
    pub fn reasons(mut self, codes: &[&str]) -> Self {
        self.reasons = Some(codes.iter().map(|&code| code.to_owned()).collect());
        self
    }

    /// The question that they are about; or what cannot be.
    pub(super) fn question(&self) -> Result<Question, String> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let asked = match &self.asked {
            Asked::Case(case) => return Ok(case.question()),
            Asked::Action(name) => Ask::Action(name.as_str().into()),
            Asked::Request(request) => Ask::Request(request.facts()?),
        };
        let claims = self.claims.clone().map(|claims| {
            Claims::described(claims, self.now, self.is_home, ClaimLimits::RECORD)
                .map(Arc::new)
                .map_err(|error| format!("no verified token has such claims: {error}"))
        });
        let caller = Caller::new(self.peer.clone().map(Arc::new), claims.transpose()?, self.remote_ip);
        let labels = self.labels.iter();
        let labels = labels.fold(Labels::new(), |all, (name, value)| all.with(name.as_str(), value.as_str()));
        Ok(Question::new(caller, asked, labels, from_unix_seconds(self.now)))
    }

    /// What the policy set would bring.
    pub(super) fn view(&self) -> Result<View, String> {
        let secret = |name: &String| {
            name.parse::<HeaderName>().map_err(|_| format!("`{name}` is not the name of a header"))
        };
        let documents = self.documents.iter();
        let documents =
            documents.map(|(name, json)| (name.as_str().into(), Arc::new(json.clone()))).collect();
        Ok(View {
            documents: Arc::new(Documents(documents)),
            declared_signals: Arc::new(self.signals.keys().map(|name| name.as_str().into()).collect()),
            secret_headers: Arc::new(self.secret_headers.iter().map(secret).collect::<Result<_, _>>()?),
            signal_source: Some(Arc::new(Given(self.signals.clone()))),
        })
    }

    pub(super) fn of_case(facts: cases::Facts) -> Self {
        Self::about(Asked::Case(Box::new(facts)))
    }

    /// Whether there is a request whose headers an allow changes.
    pub(super) fn has_request(&self) -> bool {
        match &self.asked {
            Asked::Request(_) => true,
            Asked::Action(_) => false,
            Asked::Case(facts) => matches!(facts.subject, cases::Subject::Request(_)),
        }
    }

    fn of_request(mut self, what: &str, change: impl FnOnce(&mut Request)) -> Self {
        match &mut self.asked {
            Asked::Request(request) => change(request),
            Asked::Action(_) | Asked::Case(_) => {
                self.wrong = Some(format!("a question of the application's own has no {what}"))
            }
        }
        self
    }
}

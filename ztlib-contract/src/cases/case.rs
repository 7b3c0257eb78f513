//! One case: what is asked, and by whom.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use http::request::Parts;
use serde_json::Value as Json;

use super::Expectation;
use crate::facts::{Caller, Labels, Params, RequestFacts, Target};
use crate::{Asked, Documents, Question, SignalError, SignalSource, View};

/// One case of a file.
#[derive(Debug, Clone)]
pub struct Case {
    /// A sentence of 1 to 200 bytes without control characters, each once in a file.
    pub name: Box<str>,
    /// The line of the name, from 1.
    pub line: usize,
    /// What is asked, by whom, when.
    pub facts: Facts,
    /// What is expected.
    pub expect: Expectation,
}

/// What is asked, by whom, when, and what the service knows.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What is asked about.
    pub subject: Subject,
    /// Who asks.
    pub caller: Caller,
    /// What the application says about it.
    pub labels: Labels,
    /// When.
    pub now: SystemTime,
    /// What the service supplies; none: known to be absent.
    pub signals: BTreeMap<Box<str>, Option<String>>,
    /// In the place of the set's own.
    pub documents: BTreeMap<Box<str>, Arc<Json>>,
}

/// What a case asks about.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A question of the application's own.
    Action(Arc<str>),
    /// A request, and what the router found.
    Request(Box<Request>),
}

/// A request, and what the router found.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method, URI and headers.
    pub parts: Parts,
    /// Host and path, checked.
    pub target: Target,
    /// The template of the route; `None`: no route has matched.
    pub route: Option<Arc<str>>,
    /// The parameters of the route, decoded.
    pub params: Params,
}

impl Facts {
    /// The question, made anew: an evaluation takes it.
    pub fn question(&self) -> Question {
        let asked = match &self.subject {
            Subject::Action(name) => Asked::Action(name.clone()),
            Subject::Request(request) => Asked::Request(RequestFacts {
                parts: Box::new(request.parts.clone()),
                target: request.target.clone(),
                route: request.route.clone(),
                params: request.params.clone(),
            }),
        };
        Question::new(self.caller.clone(), asked, self.labels.clone(), self.now)
    }

    /// What the set brings to this case: its own view, with the case's signals and documents.
    pub fn view(&self, own: &View) -> View {
        let mut view = own.clone();
        view.signal_source = Some(Arc::new(Given(self.signals.clone())));
        if !self.documents.is_empty() {
            let mut documents = own.documents.0.clone();
            documents.extend(self.documents.iter().map(|(name, json)| (name.clone(), json.clone())));
            view.documents = Arc::new(Documents(documents));
        }
        view
    }
}

/// The signals of a case. One that it does not give cannot be had, so that a policy which asks for
/// it is a fault: a case has to say that a signal is absent.
struct Given(BTreeMap<Box<str>, Option<String>>);

impl SignalSource for Given {
    fn signal(&self, name: &str, _about: &Caller) -> Result<Option<String>, SignalError> {
        self.0.get(name).cloned().ok_or_else(|| SignalError::new("the case does not give it"))
    }
}

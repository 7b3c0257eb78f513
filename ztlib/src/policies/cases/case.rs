//! One case: what is asked, and by whom.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use http::request::Parts;
use serde_json::Value as Json;
use ztlib_cases::Expectation;

use crate::authorize::Caller;
use crate::authorize::Documents;
use crate::authorize::{Asked, Labels, Question, View};
use crate::authorize::{Params, RequestFacts, Target};
use crate::authorize::{SignalError, SignalSource};

/// One case of a file.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: Box<str>,
    pub(crate) line: usize,
    pub(crate) facts: Facts,
    pub(crate) expect: Expectation,
}

/// What is asked, by whom, when, and what the service knows.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) subject: Subject,
    pub(crate) caller: Caller,
    pub(crate) labels: Labels,
    pub(crate) now: SystemTime,
    /// What the service supplies; none: known to be absent.
    pub(crate) signals: BTreeMap<Box<str>, Option<String>>,
    /// In the place of the set's own.
    pub(crate) documents: BTreeMap<Box<str>, Arc<Json>>,
}

#[derive(Debug, Clone)]
pub(crate) enum Subject {
    Action(Arc<str>),
    Request(Box<Request>),
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) parts: Parts,
    pub(crate) target: Target,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) params: Params,
}

impl Facts {
    /// The question, made anew: an evaluation takes it.
    pub(crate) fn question(&self) -> Question {
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
    pub(crate) fn view(&self, own: &View) -> View {
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

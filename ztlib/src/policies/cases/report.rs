//! The results of cases.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use http::HeaderValue;
use ztlib_contract::cases::{CaseVerdict, HeaderChange, Said, StepUp, closest, shown};

use super::Cases;
use crate::authorize::Answer;
use crate::authorize::{CacheLimits, DecisionCache};
use crate::authorize::{Decision, Fault, FaultOrigin};
use crate::authorize::{Evaluation, PolicySet};
use crate::clock::Stopwatch;
use crate::load_error::LoadError;
use crate::request_id::RequestId;
use ztlib_contract::cases::Case;

/// The results of the cases that were run, in order.
#[derive(Debug, Default)]
pub struct Report(Vec<CaseResult>);

impl Report {
    /// All cases that were run.
    pub fn results(&self) -> impl ExactSizeIterator<Item = &CaseResult> {
        self.0.iter()
    }

    /// All differences between expected and actual results.
    pub fn failures(&self) -> impl Iterator<Item = &Difference> {
        self.0.iter().flat_map(|result| &result.differences)
    }

    /// How many cases passed.
    pub fn passed(&self) -> usize {
        self.0.iter().filter(|result| result.passed()).count()
    }

    /// How many cases were run.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no case was run.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, result: CaseResult) {
        self.0.push(result);
    }
}

/// The result of one case.
#[derive(Debug)]
pub struct CaseResult {
    file: Box<Path>,
    line: usize,
    case: Box<str>,
    about: Option<Box<str>>,
    said: Said<HeaderValue>,
    evaluation: Evaluation,
    differences: Vec<Difference>,
}

/// A difference between the expected and the actual result. It prints as `file:line: case: text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    file: Box<Path>,
    line: usize,
    case: Box<str>,
    text: Box<str>,
}

impl Difference {
    /// The file of the case.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line of the expectation, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The name of the case.
    pub fn case(&self) -> &str {
        &self.case
    }

    /// The expected and the actual result.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = shown(&self.file.to_string_lossy());
        write!(f, "{file}:{}: case `{}`: {}", self.line, shown(&self.case), self.text)
    }
}

/// How long a case takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The mean time in a fresh sandbox.
    pub fresh: Duration,
    /// The shortest time in a fresh sandbox.
    pub fastest: Duration,
    /// The longest time in a fresh sandbox.
    pub slowest: Duration,
    /// The mean time from the decision cache. `None` if the decision cannot be cached (a fault, or
    /// a set with native policies).
    pub remembered: Option<Duration>,
}

impl CaseResult {
    /// Runs a case.
    pub(crate) fn of(set: &PolicySet, cases: &Cases, case: &Case) -> Result<Self, LoadError> {
        let stage = stage(set, cases, case)?;
        let mut evaluation = stage.evaluate(Box::new(case.facts.question()));
        let said = said(&stage, &mut evaluation, cases.policy().is_some());
        let reads = evaluation.trace().reads().map(|(read, value)| format!("{read}={value}"));
        let differences = case.expect.differences(&said, reads);
        let differences = differences.into_iter().map(|(line, text)| Difference {
            file: cases.file().into(),
            line,
            case: case.name.clone(),
            text: text.into(),
        });
        Ok(Self {
            file: cases.file().into(),
            line: case.line,
            case: case.name.clone(),
            about: cases.policy().map(Into::into),
            differences: differences.collect(),
            said,
            evaluation,
        })
    }

    /// The name of the case.
    pub fn case(&self) -> &str {
        &self.case
    }

    /// The file of the case.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line of its name, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The policy that was asked alone; `None` if the whole set was asked.
    pub fn policy(&self) -> Option<&str> {
        self.about.as_deref()
    }

    /// Whether everything was as expected.
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }

    /// What was not as expected.
    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }

    /// The actual verdict.
    pub fn verdict(&self) -> CaseVerdict {
        self.said.verdict
    }

    /// The reason of a denial, or the code of a fault.
    pub fn reason(&self) -> Option<&str> {
        self.said.reason.as_deref()
    }

    /// The policy that denied or failed.
    pub fn decided_by(&self) -> Option<&str> {
        self.said.policy.as_deref()
    }

    /// The message for the caller of a denial.
    pub fn message(&self) -> Option<&str> {
        self.said.message.as_deref()
    }

    /// The changed headers: whether the header belongs to the request (or else the response), its
    /// name, and its new value (`None` if it is removed).
    pub fn headers(&self) -> impl Iterator<Item = (bool, &str, Option<&str>)> {
        let of_request = self.said.request_headers.iter().map(|change| (true, change));
        let all = of_request.chain(self.said.response_headers.iter().map(|change| (false, change)));
        all.map(|(of_request, change)| {
            let value = change.value.as_ref().map(|value| value.to_str().unwrap_or_default());
            (of_request, change.name.as_str(), value)
        })
    }

    /// The decision with its trace, log and fuel.
    pub fn evaluation(&self) -> &Evaluation {
        &self.evaluation
    }
}

/// The set prepared for one case, or one of its policies alone.
pub(crate) fn stage(set: &PolicySet, cases: &Cases, case: &Case) -> Result<PolicySet, LoadError> {
    let at = |text: String, line| Err(LoadError::new("unknown-name", text).at(cases.file(), Some(line)));
    let meant = |name: &str, names: &[&str]| {
        let close = closest(name, names).map(|close| format!(": did you mean `{close}`?"));
        format!("`{}`{}", shown(name), close.unwrap_or_default())
    };
    let names: Vec<&str> = set.names().collect();
    if let Some(name) = cases.policy().filter(|name| !names.contains(name)) {
        return at(format!("the set has no policy {}", meant(name, &names)), case.line);
    }
    if let Some(expected) = &case.expect.policy
        && !names.contains(&expected.value.as_ref())
        && *expected.value != *crate::authorize::SET_NAME
    {
        return at(format!("the set has no policy {}", meant(&expected.value, &names)), expected.line);
    }
    if cases.policy().is_none()
        && let Some(expected) = case.expect.verdict.as_ref().filter(|at| at.value == CaseVerdict::Abstain)
    {
        return at("a set never abstains: expect `allow` or `deny`".to_owned(), expected.line);
    }
    let signals: Vec<&str> = set.view().declared_signals.iter().map(AsRef::as_ref).collect();
    if let Some(name) = case.facts.signals.keys().find(|name| !signals.contains(&name.as_ref())) {
        return at(format!("the set declares no signal {}", meant(name, &signals)), case.line);
    }
    let documents: Vec<&str> = set.view().documents.0.keys().map(AsRef::as_ref).collect();
    if let Some(name) = case.facts.documents.keys().find(|name| !documents.contains(&name.as_ref())) {
        return at(format!("the set declares no document {}", meant(name, &documents)), case.line);
    }
    Ok(set.result(cases.policy(), case.facts.view(set.view())))
}

/// Measures a case: `times` times fresh, and as often from the cache.
pub(crate) fn time(set: &PolicySet, cases: &Cases, case: &Case, times: u32) -> Result<Timing, LoadError> {
    let stage = stage(set, cases, case)?;
    let times = times.clamp(1, 1_000_000);
    let (mut sum, mut fastest, mut slowest) = (Duration::ZERO, Duration::MAX, Duration::ZERO);
    for _ in 0..times {
        let question = Box::new(case.facts.question());
        let watch = Stopwatch::start();
        let evaluation = stage.evaluate(question);
        let took = watch.elapsed();
        drop(evaluation);
        sum = sum.saturating_add(took);
        (fastest, slowest) = (fastest.min(took), slowest.max(took));
    }
    let cache = DecisionCache::new(CacheLimits::default());
    // The first run is evaluated and stored, the second is found in the shared cache. After that,
    // it is found in this thread's own entries.
    let warmed = (0..2).map(|_| cache.decide(&stage, case.facts.question())).last();
    let mut remembered = None;
    if warmed.is_some_and(|decided| decided.cached) {
        let mut sum = Duration::ZERO;
        for _ in 0..times {
            let question = case.facts.question();
            let watch = Stopwatch::start();
            let decided = cache.decide(&stage, question);
            let took = watch.elapsed();
            drop(decided);
            sum = sum.saturating_add(took);
        }
        remembered = Some(sum / times);
    }
    Ok(Timing { fresh: sum / times, fastest, slowest, remembered })
}

fn said(stage: &PolicySet, evaluation: &mut Evaluation, alone: bool) -> Said<HeaderValue> {
    let fault = |error: &Fault| Said {
        policy: error.policy().map(Into::into),
        reason: Some(error.code().into()),
        detail: Some(error.detail().into()).filter(|detail: &String| !detail.is_empty()),
        ..Said::new(match error.origin() {
            FaultOrigin::Request => CaseVerdict::BadRequest,
            FaultOrigin::Service => CaseVerdict::Fault,
        })
    };
    let abstained = evaluation.answers.last().is_some_and(|(_, answer)| *answer == Answer::Abstain);
    match &evaluation.result {
        Err(error) => fault(error),
        Ok(_) if alone && abstained => Said::new(CaseVerdict::Abstain),
        Ok(Decision::Deny(denial)) => {
            let step_up = denial
                .step_up()
                .map(|wanted| StepUp { acr: wanted.acr().map(Into::into), max_age: wanted.max_age() });
            Said {
                policy: Some(denial.policy().into()),
                reason: Some(denial.reason().as_str().into()),
                message: denial.message().map(Into::into),
                step_up: step_up.unwrap_or_default(),
                ..Said::new(CaseVerdict::Deny)
            }
        }
        // Copied values are looked up as for a request.
        Ok(Decision::Allow(obligations)) => {
            match obligations.settle(&mut evaluation.question, stage.view(), &RequestId::next()) {
                Ok(settled) => Said {
                    request_headers: changes(settled.request),
                    response_headers: changes(settled.response),
                    ..Said::new(CaseVerdict::Allow)
                },
                Err(error) => fault(&error),
            }
        }
    }
}

fn changes(settled: Vec<ztlib_contract::HeaderChange>) -> Vec<HeaderChange<HeaderValue>> {
    let changes = settled.into_iter();
    changes.map(|change| HeaderChange { name: change.name.as_str().into(), value: change.value }).collect()
}

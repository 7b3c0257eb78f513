//! Engines: what makes policies of bytes, and what a policy promises.

use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::budget::Budget;
use super::decision::Fault;
use super::facts::{Caller, Labels};
use super::outcome::{Answer, Outcome, OutcomeLimits};
use super::question::{Asked, Question};
use super::reader::{ReadLimits, Reader};
use super::view::View;

/// A policy that can be asked.
pub trait Policy: Send + Sync + 'static {
    /// Answers one question. The call comes back whatever happened: a policy that stops early, or
    /// panics, is a fault in the result.
    fn evaluate(&self, call: Box<Call>) -> Evaluated;

    /// Whether *every* fact that it learns comes through the reader. Only then is what it decides
    /// remembered: a policy that says so and looks at a clock of its own makes stale decisions.
    fn is_tracked(&self) -> bool;
}

/// Makes policies: of a module and its configuration.
pub trait Engine: Send + Sync + 'static {
    /// Checks, compiles and configures. It may take seconds: never on the path of a request. What
    /// is there already, under the same names, is not made again.
    ///
    /// # Errors
    /// [`EngineError`] says what is wrong with the module, its configuration or its budget.
    fn load(
        &self,
        source: Source<'_>,
        config: Arc<[u8]>,
        budget: &Budget,
    ) -> Result<Arc<dyn Policy>, EngineError>;

    /// How it runs on this machine, in a word for operators: `pool-with-scan`.
    fn describe(&self) -> String;
}

/// What a policy is made of.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "code that loads a policy gives all of it")]
pub struct Source<'s> {
    /// A digest of the bytes: equal names mean equal bytes.
    pub name: [u8; 32],
    /// The module.
    pub bytes: &'s [u8],
    /// A digest of the bytes, the configuration and the budget.
    pub made_of: [u8; 32],
}

/// What one evaluation of one policy is given and gives back.
pub struct Call {
    /// Answers and records reads.
    pub reader: Reader,
    /// Takes what goes with the answer.
    pub outcome: Outcome,
}

impl Call {
    /// For starting a policy when there is no question: there is nothing to read.
    pub fn without_question() -> Self {
        let question = Question::new(Caller::default(), Asked::Action("".into()), Labels::new(), UNIX_EPOCH);
        let nothing = ReadLimits { calls: 0, bytes: 0 };
        Self {
            reader: Reader::new(Box::new(question), View::default(), nothing),
            outcome: Outcome::new(OutcomeLimits::default()),
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("reader", &self.reader).finish_non_exhaustive()
    }
}

/// The result of one evaluation.
#[derive(Debug)]
#[allow(clippy::exhaustive_structs, reason = "an engine says all of it")]
pub struct Evaluated {
    /// The call, with what was read and attached.
    pub call: Box<Call>,
    /// The answer, or why there is none.
    pub result: Result<Answer, Fault>,
    /// Fuel used; 0 where the engine does not count.
    pub fuel: u64,
}

/// Why a policy cannot be loaded.
#[derive(Clone, PartialEq, Eq)]
pub struct EngineError {
    code: &'static str,
    text: Box<str>,
}

impl EngineError {
    /// An error with a stable code, and a text that says what to do.
    pub fn new(code: &'static str, text: impl Into<Box<str>>) -> Self {
        Self { code, text: text.into() }
    }

    /// The same, saying besides what to do.
    #[must_use]
    pub fn advising(mut self, advice: &str) -> Self {
        self.text = format!("{}: {advice}", self.text).into();
        self
    }

    /// A stable code: `not-a-component`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What is wrong and what to do.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text, self.code)
    }
}

impl fmt::Debug for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for EngineError {}

//! What came out of an evaluation.

use std::fmt;

use ztlib_contract::{FaultOrigin, Trace};

use crate::Answer;

/// What a policy said, and everything that went with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The answer.
    pub answer: Answer,
    /// The reason of a denial.
    pub reason: Option<String>,
    /// The message for the caller.
    pub message: Option<String>,
    /// The challenge for a stronger or fresher login.
    pub step_up: Option<StepUp>,
    /// Headers of the request to set or remove, in the order of the calls that hold.
    pub request_headers: Vec<HeaderChange>,
    /// Headers of the response to set or remove.
    pub response_headers: Vec<HeaderChange>,
    /// Lines for the audit event.
    pub log: Vec<String>,
    /// The reads, in order, each once.
    pub trace: Vec<Read>,
}

impl Verdict {
    /// The reads as text, `has-scope("orders:read")=yes`, in order: what the decision hangs on, and
    /// what keys it in the host's cache.
    pub fn reads(&self) -> Vec<String> {
        self.trace.iter().map(ToString::to_string).collect()
    }
}

/// One read and what it gave, as the host prints them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The function with its arguments: `has-scope("orders:read")`.
    pub call: String,
    /// `yes`, `no`, `absent`, a number, a text in quotes, or a list of them.
    pub value: String,
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.call, self.value)
    }
}

/// What a caller is asked for (RFC 9470).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepUp {
    /// The authentication context class.
    pub acr: Option<String>,
    /// The greatest age of the login, in seconds.
    pub max_age: Option<u32>,
}

/// A header to set, or to remove where it has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderChange {
    /// The name, in lower case.
    pub name: String,
    /// The value.
    pub value: Option<String>,
}

/// Why no answer was reached. The host refuses the request and says that it was a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The host's code for it: `read-malformed-argument`, `outcome-malformed-header`, `trap`…
    pub code: &'static str,
    /// The call that failed and what is wrong with it.
    pub text: String,
    /// The reads until then.
    pub trace: Vec<Read>,
    is_bad_request: bool,
}

impl Fault {
    pub(super) fn of(fault: &ztlib_contract::Fault, trace: &Trace) -> Self {
        Self {
            code: fault.code(),
            text: fault.detail().to_owned(),
            trace: reads(trace),
            is_bad_request: fault.origin() == FaultOrigin::Request,
        }
    }

    /// Whether it is the caller's doing: what was sent cannot be read in the one way that was asked
    /// for (a header that is there twice, a claim of another type). The host answers such a request
    /// with 400 and the verdict `bad-request`, and a case expects `bad-request`.
    pub fn is_bad_request(&self) -> bool {
        self.is_bad_request
    }
}

/// The reads of a trace as the host prints them.
pub(super) fn reads(trace: &Trace) -> Vec<Read> {
    trace.reads().map(|(read, value)| Read { call: read.to_string(), value: value.to_string() }).collect()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}

impl std::error::Error for Fault {}

//! What the whole set says.

use std::fmt;
use std::sync::Arc;

use super::facts::{Caller, Claims};
use super::obligation::Obligation;
use super::outcome::{Outcome, Reason, StepUp};
use super::outcome_fault::OutcomeFault;
use super::read::{Read, ReadFault};

/// The longest that a read may be in the text of a fault, in bytes.
const MAX_SHOWN_READ: usize = 256;

/// What the whole policy set says. Closed: callers must handle both.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "callers must handle both")]
pub enum Decision {
    /// The request may pass, and these obligations go with it.
    Allow(Obligations),
    /// The request is refused.
    Deny(Denial),
}

impl Decision {
    /// Whether it can be said of this caller. What a policy allows on the word of an issuer ("the
    /// subject is alice", "it has the role admin") without asking whose word that is, it allows
    /// on the word of the home issuer: for a caller whom another issuer vouches for there is no
    /// decision.
    ///
    /// # Errors
    /// The fault `issuer-not-asked`, in that policy.
    pub fn check_issuer(&self, caller: &Caller) -> Result<(), Fault> {
        let Self::Allow(Obligations { on_any_issuers_word: Some(policy), .. }) = self else { return Ok(()) };
        if caller.claims.as_deref().is_none_or(Claims::is_home_issuer) {
            return Ok(());
        }
        let detail = "the token is not of the home issuer, and the policy allows by what it says without asking for the \
                      issuer: ask `from-home-issuer` or `issuer`, or look into documents under `{issuer}`";
        Err(Fault::new("issuer-not-asked", detail).in_policy(policy))
    }

    /// The bytes that it holds, for bounds.
    pub fn size(&self) -> usize {
        let headers = |obligations: &[Obligation]| obligations.iter().map(Obligation::size).sum::<usize>();
        let held = match self {
            Self::Allow(obligations) => headers(&obligations.request) + headers(&obligations.response),
            // The policy's name is shared by all entries.
            Self::Deny(denial) => {
                let acr = denial.step_up.as_ref().and_then(StepUp::acr).map_or(0, str::len);
                denial.reason.as_str().len() + denial.message.as_deref().map_or(0, str::len) + acr
            }
        };
        size_of::<Self>() + held
    }
}

/// What must be done to the request and the response of an allow. What is to be copied from the
/// request stands here as a symbol ([`Outcome::copy_to_request_header`]): the same for everybody
/// for whom the decision is the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Obligations {
    /// Changes to the request.
    pub request: Vec<Obligation>,
    /// Changes to the response.
    pub response: Vec<Obligation>,
    /// The first policy that allowed on the word of an issuer without asking which one it is. It
    /// holds for the home issuer's word.
    pub on_any_issuers_word: Option<Arc<str>>,
}

impl Obligations {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }

    /// Adds what one policy asks for. Two policies that want different things of one header are a
    /// fault: whichever went last would silently win.
    pub fn add(&mut self, outcome: &mut Outcome) -> Result<(), OutcomeFault> {
        merge(&mut self.request, std::mem::take(&mut outcome.request_headers))?;
        merge(&mut self.response, std::mem::take(&mut outcome.response_headers))
    }
}

fn merge(all: &mut Vec<Obligation>, new: Vec<Obligation>) -> Result<(), OutcomeFault> {
    for obligation in new {
        let Some(earlier) = all.iter_mut().find(|earlier| earlier.is_about_the_same(&obligation)) else {
            all.push(obligation);
            continue;
        };
        if !earlier.agree(&obligation) {
            return Err(OutcomeFault::ConflictingHeader(obligation.name));
        }
    }
    Ok(())
}

/// A policy's deny with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The policy that denied.
    pub policy: Arc<str>,
    /// Why.
    pub reason: Reason,
    /// The text for the caller.
    pub message: Option<Box<str>>,
    /// The login that would help.
    pub step_up: Option<StepUp>,
}

impl Denial {
    /// The policy that denied, by its name in the manifest; `policy-set` where no policy allowed.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// The reason that it gave; `denied` where it gave none, `abstained` for a required policy that
    /// said nothing, `no-policy-allowed` where every policy abstained.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The text for the caller.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// The login that would help.
    pub fn step_up(&self) -> Option<&StepUp> {
        self.step_up.as_ref()
    }
}

/// Whose doing it is that no decision could be reached. A fault refuses either way; this says what
/// the caller is told, and whether an operator is to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "code that tells faults apart must handle both")]
pub enum FaultOrigin {
    /// What the caller sent cannot be read in the one way that a policy asked for: 400, verdict
    /// `bad-request`. To send the same again does not help, and any caller can bring it about.
    Request,
    /// The service: its policies, documents, signals, or the sandbox: 503, verdict `fault`.
    Service,
}

/// No decision could be reached. It refuses, and is never mistaken for a denial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    policy: Option<Arc<str>>,
    code: &'static str,
    detail: Box<str>,
    origin: FaultOrigin,
}

impl Fault {
    /// A fault of the service; see [`Fault::from`] a [`ReadFault`] for those of a request.
    pub fn new(code: &'static str, detail: impl Into<Box<str>>) -> Self {
        Self { policy: None, code, detail: detail.into(), origin: FaultOrigin::Service }
    }

    /// The same by this origin.
    pub fn of(mut self, origin: FaultOrigin) -> Self {
        self.origin = origin;
        self
    }

    /// The same in this policy, unless it is in one already.
    pub fn in_policy(mut self, policy: &Arc<str>) -> Self {
        self.policy.get_or_insert_with(|| policy.clone());
        self
    }

    /// The same with the read that failed, cut where it is long.
    pub fn about(self, read: &Read) -> Self {
        let mut read = read.to_string();
        read.truncate(read.floor_char_boundary(MAX_SHOWN_READ));
        Self { detail: format!("{read}: {}", self.detail).into(), ..self }
    }

    /// The policy in which it happened.
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// A stable code: `fuel-spent`, `trap`, `read-secret`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Whose doing it is.
    pub fn origin(&self) -> FaultOrigin {
        self.origin
    }

    /// The detail, for the operator only.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.policy {
            Some(policy) => write!(f, "policy `{policy}`: {} ({})", self.detail, self.code),
            None => write!(f, "{} ({})", self.detail, self.code),
        }
    }
}

impl std::error::Error for Fault {}

impl From<ReadFault> for Fault {
    fn from(fault: ReadFault) -> Self {
        Self::new(fault.code(), fault.to_string()).of(fault.origin())
    }
}

impl From<OutcomeFault> for Fault {
    fn from(fault: OutcomeFault) -> Self {
        Self::new(fault.code(), fault.to_string())
    }
}

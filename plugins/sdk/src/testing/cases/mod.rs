//! Tests as data: the files of cases that the sandbox runs and that stand as the gate at load, run
//! natively.
//!
//! The format is that of `ztlib::policies::cases`, with the same keys, defaults and errors:
//!
//! ```
//! use std::path::Path;
//! use ztlib_policy::testing::Cases;
//! use ztlib_policy::{Answer, Policy, Question};
//!
//! struct Clerks;
//! impl Policy for Clerks {
//!     fn configure(_: &[u8]) -> Result<Self, String> {
//!         Ok(Clerks)
//!     }
//!     fn decide(&self, question: &Question) -> Answer {
//!         if question.claim_contains("/roles", "clerk") {
//!             Answer::Allow
//!         } else {
//!             question.deny("no-role")
//!         }
//!     }
//! }
//!
//! let text = r#"
//! format = 1
//! [[case]]
//! name = "a clerk may"
//! path = "/orders"
//! claims = { roles = ["clerk"] }
//! expect = "allow"
//! reads = ['claim-contains("/roles", "clerk")=yes']
//! [[case]]
//! name = "a guest may"
//! path = "/orders"
//! claims = { roles = ["guest"] }
//! expect = "allow"
//! "#;
//! let cases = Cases::parse(Path::new("t.toml"), text)?.reasons(&["no-role"]);
//! let error = cases.check(&Clerks).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "t.toml:13: case `a guest may`: expected allow, got deny `no-role`"
//! );
//! # Ok::<(), ztlib_policy::testing::CasesError>(())
//! ```
//!
//! In a `#[test]` (which runs in the folder of its package) a file is one line, and where it fails
//! each difference is one:
//!
//! ```no_run
//! # use ztlib_policy::testing::{Cases, CasesError};
//! # fn the_cases_hold(policy: &impl ztlib_policy::testing::Decide) -> Result<(), CasesError> {
//! Cases::read("tests/roles.toml")?.reasons(&["no-rule", "no-role"]).check(policy)
//! # }
//! ```
//!
//! # What differs from the sandbox
//!
//! - The policy is asked alone, as where the manifest names the cases for one policy: it may
//!   abstain, and a `policy` that is expected has to be the one of [`about`](Cases::about).
//! - What the manifest would declare is declared here: reasons, documents, signals, secret headers.
//!   Without [`reasons`](Cases::reasons) any code will do.
//! - Nothing spends fuel, memory or time. A case that expects such a fault, or what only a whole
//!   set says (`abstained`), is an error with the code `not-native`.

mod error;
mod said;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use serde_json::Value as Json;
use ztlib_contract::cases::{self, Case, MAX_FILE_BYTES, shown};

use super::facts::{Facts, Signal};
use super::{Fault, Sealed, Verdict, decide};
use crate::Policy;
use crate::constants::Constant;
use said::said;

pub use error::{CasesError, Problem};

/// What faults of the sandbox and words of a whole set are named: no policy that is asked natively
/// and alone gives them.
const NOT_NATIVE: [&str; 13] = [
    "fuel-spent",
    "deadline-passed",
    "memory-limit",
    "table-limit",
    "stack-overflow",
    "pool-exhausted",
    "bad-argument",
    "bad-answer",
    "read-outside-decide",
    "constant-outside-configure",
    "outcome-conflicting-header",
    "abstained",
    "no-policy-allowed",
];

/// The cases of one file, about one policy, and what the manifest would declare for it.
#[derive(Debug, Clone)]
pub struct Cases {
    cases: cases::Cases,
    name: Option<String>,
    reasons: Option<BTreeSet<String>>,
    documents: BTreeMap<String, Json>,
    signals: BTreeSet<String>,
    secret_headers: BTreeSet<String>,
    wrong: Option<String>,
}

/// A policy that can be asked natively: any [`Policy`], and one that is [`Sealed`].
pub trait Decide {
    /// What it says where these are the facts.
    ///
    /// # Errors
    /// As [`decide`](super::decide).
    fn decide_on(&self, facts: &Facts) -> Result<Verdict, Fault>;
}

impl<P: Policy> Decide for P {
    fn decide_on(&self, facts: &Facts) -> Result<Verdict, Fault> {
        decide(self, facts)
    }
}

impl<P: Policy + for<'a> Constant<'a>> Decide for Sealed<P> {
    fn decide_on(&self, facts: &Facts) -> Result<Verdict, Fault> {
        self.decide(facts)
    }
}

impl Cases {
    /// Reads a file of at most 256 KiB, 512 cases and 512 callers.
    ///
    /// # Errors
    /// [`CasesError`] with the line in which the file is wrong: unknown keys, a missing
    /// expectation, names that are there twice.
    pub fn read(file: impl AsRef<Path>) -> Result<Self, CasesError> {
        let file = file.as_ref();
        let mut text = String::new();
        // One byte more than it may have, so that a larger one is refused and not cut.
        let limit = MAX_FILE_BYTES as u64 + 1;
        let read = std::fs::File::open(file).and_then(|open| open.take(limit).read_to_string(&mut text));
        read.map_err(|error| Problem::new(file, None, "unreadable-file", error.to_string()))?;
        Self::parse(file, &text)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(file: &Path, text: &str) -> Result<Self, CasesError> {
        Ok(Self {
            cases: cases::Cases::parse(file, text).map_err(Problem::from)?,
            name: None,
            reasons: None,
            documents: BTreeMap::new(),
            signals: BTreeSet::new(),
            secret_headers: BTreeSet::new(),
            wrong: None,
        })
    }

    /// The name that the manifest gives the policy, for cases that say who denied.
    #[must_use]
    pub fn about(mut self, policy: &str) -> Self {
        self.name = Some(policy.to_owned());
        self
    }

    /// The reasons that the manifest declares: another is the fault `outcome-undeclared-reason`.
    #[must_use]
    pub fn reasons(mut self, codes: &[&str]) -> Self {
        self.reasons = Some(codes.iter().map(|&code| code.to_owned()).collect());
        self
    }

    /// A document that the manifest declares, as JSON. A case may put another in its place.
    #[must_use]
    pub fn document(mut self, name: &str, json: &str) -> Self {
        match serde_json::from_str(json) {
            Ok(json) => drop(self.documents.insert(name.to_owned(), json)),
            Err(_) => self.wrong = Some(format!("the document `{}` is not JSON", shown(name))),
        }
        self
    }

    /// A signal that the manifest declares. Its values are the cases': where one gives none, it
    /// cannot be had.
    #[must_use]
    pub fn signal(mut self, name: &str) -> Self {
        self.signals.insert(name.to_owned());
        self
    }

    /// One more header that the manifest keeps from policies.
    #[must_use]
    pub fn secret_header(mut self, name: &str) -> Self {
        self.secret_headers.insert(name.to_ascii_lowercase());
        self
    }

    /// How many cases there are.
    #[allow(clippy::len_without_is_empty, reason = "a file has at least one")]
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Asks the policy every case.
    ///
    /// # Errors
    /// [`CasesError`] with every difference between what was expected and what was said, and with
    /// whatever natively cannot be asked.
    pub fn check(&self, policy: &impl Decide) -> Result<(), CasesError> {
        if let Some(wrong) = &self.wrong {
            return Err(Problem::new(self.cases.file(), None, "test-facts", wrong.as_str()).into());
        }
        let problems: Vec<Problem> =
            self.cases.cases().iter().flat_map(|case| self.check_case(case, policy)).collect();
        if problems.is_empty() { Ok(()) } else { Err(CasesError(problems)) }
    }

    fn check_case(&self, case: &Case, policy: &impl Decide) -> Vec<Problem> {
        let problem = |line: usize, code: &'static str, text: String| {
            Problem::new(self.cases.file(), Some(line), code, text).in_case(&case.name)
        };
        let facts = match self.facts(case) {
            Ok(facts) => facts,
            Err((line, code, text)) => return vec![problem(line, code, text)],
        };
        let result = policy.decide_on(&facts);
        if let Err(fault) = &result
            && fault.code == "test-facts"
        {
            return vec![problem(case.line, fault.code, fault.text.clone())];
        }
        let trace = result.as_ref().map_or_else(|fault| &fault.trace, |verdict| &verdict.trace);
        let reads: Vec<String> = trace.iter().map(ToString::to_string).collect();
        let said = said(result, self.name.as_deref(), facts.has_request());
        let differences = case.expect.differences(&said, reads.into_iter());
        differences.into_iter().map(|(line, text)| problem(line, "case-failed", text)).collect()
    }

    /// The facts of a case with what the manifest declares; or the line, the code and the reason
    /// why it cannot be asked.
    fn facts(&self, case: &Case) -> Result<Facts, (usize, &'static str, String)> {
        if let Some(reason) = &case.expect.reason {
            let code = reason.value.as_str();
            let own = self.reasons.as_ref().is_some_and(|reasons| reasons.contains(code));
            if NOT_NATIVE.contains(&code) && !own {
                let text = format!(
                    "`{code}` comes of the sandbox or of a whole set: natively, one policy is asked alone"
                );
                return Err((reason.line, "not-native", text));
            }
        }
        if let Some(expected) = &case.expect.policy
            && self.name.as_ref() != Some(&expected.value)
        {
            let name = shown(&expected.value);
            return Err(match &self.name {
                None => {
                    let text = format!("natively a policy has no name: write `.about(\"{name}\")`");
                    (expected.line, "not-native", text)
                }
                Some(own) => {
                    let text = format!("only `{}` is asked here, and no policy `{name}`", shown(own));
                    (expected.line, "unknown-name", text)
                }
            });
        }
        let given = &case.facts;
        if let Some(name) = given.signals.keys().find(|name| !self.signals.contains(name.as_ref())) {
            let name = shown(name);
            let text = format!("no signal `{name}` is declared: write `.signal(\"{name}\")`");
            return Err((case.line, "unknown-name", text));
        }
        if let Some(name) = given.documents.keys().find(|name| !self.documents.contains_key(name.as_ref())) {
            let name = shown(name);
            let text = format!("no document `{name}` is declared: write `.document(\"{name}\", …)`");
            return Err((case.line, "unknown-name", text));
        }
        let mut facts = Facts::of_case(given.clone());
        facts.reasons.clone_from(&self.reasons);
        facts.secret_headers.clone_from(&self.secret_headers);
        facts.documents.clone_from(&self.documents);
        facts.documents.extend(
            given.documents.iter().map(|(name, json)| (name.as_ref().to_owned(), json.as_ref().clone())),
        );
        let signals = self.signals.iter().map(|name| {
            let signal = match given.signals.get(name.as_str()) {
                None => Signal::Failing,
                Some(None) => Signal::Absent,
                Some(Some(value)) => Signal::Value(value.clone()),
            };
            (name.clone(), signal)
        });
        facts.signals = signals.collect();
        Ok(facts)
    }
}

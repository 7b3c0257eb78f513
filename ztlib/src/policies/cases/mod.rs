//! Tests of policies, as data: questions with the answers that they should have.
//!
//! A policy set has files of cases beside it. They are run by hand (`ztlib policy test`), by the
//! tests of a program, and whenever the set is loaded: a manifest that names them (`tests =
//! ["tests/*.toml"]`, for the whole set or for one policy) is refused with the code `cases-failed`,
//! the file and the line where one of them gives another answer, and what was in force stays in
//! force.
//!
//! # A file of cases
//!
//! ```toml
//! format = 1
//! home-issuer = "https://id.shop.test"        # may be left out: then whoever issued a case's token is at home
//!
//! [caller.alice]                              # may be left out: callers that several cases have
//! peer = "spiffe://shop.test/gateway"         # or { authority = "partners", dns-names = ["a.example"] }
//! claims = { sub = "alice", roles = ["clerk"] }
//! remote-ip = "192.0.2.7"
//!
//! [[case]]
//! name = "a clerk reads an order"             # a sentence; each once in a file
//! caller = "alice"                            # or peer, claims, remote-ip right here; what is here is in the place of the caller's
//! method = "GET"                              # the default
//! host = "service.test"                       # the default
//! path = "/orders/7"                          # or action = "orders.approve", a question of the application's own
//! query = { full = "yes" }
//! route = "/orders/{id}"                      # as the router has it, of a gRPC call the path; without it no route has matched
//! params = { id = "7" }                       # may be left out: they come of path and route, and have to agree with them
//! headers = { accept = "text/html", x-tag = ["a", "b"] }
//! labels = { owner = "alice" }
//! signals = { risk = 3, posture = false }     # false: known to be absent; one that is not here cannot be had
//! documents = { roles = { alice = "admin" } } # in the place of the set's own
//! now = 2026-11-23T08:00:00Z                  # or seconds since 1970; the default is 2026-11-23T00:00:00Z, a Monday
//!
//! expect = "allow"                            # allow, deny, abstain (a policy alone), fault, bad-request
//! request-headers = { x-tenant = "acme", x-old = false, x-id = true } # all that are changed; false: removed, true: to whatever
//! response-headers = {}
//! reads = ['action=absent', 'route="/orders/{id}"'] # the whole trace, as `ztlib policy explain` prints it
//!
//! [[case]]
//! name = "nobody else does"
//! path = "/orders/7"
//! route = "/orders/{id}"
//! expect = "deny"
//! reason = "no-role"                          # a denial's reason is not left out; with a fault or a bad request: its code
//! policy = "rbac"                             # who denied
//! message = "ask your team lead"
//! step-up = { acr = "urn:example:strong", max-age = 300 }
//! ```
//!
//! Where no decision is reached, it is `bad-request` where what the caller sent cannot be read as a
//! policy asks for it (a header that is there twice, a claim of another type: 400), and else
//! `fault` (503), as in the guard. A denial has the reason that the policy gave, also where the
//! guard, as no route matches, tells the caller `no-route` in its place: it is the guard that knows
//! this, and cases ask the policies.
//!
//! Where a service takes tokens of several issuers, `home-issuer` names the first of them, and a
//! case's token of another issuer (`claims = { iss = "https://partner.test", sub = "alice" }`) is that of a stranger with the same name: see `from-home-issuer` in the contract.
//!
//! A token of which the case does not say so has the home issuer, or `https://issuer.test`, the audience `service.test` and five minutes to live: one that was verified always has them.
//! Claims take at most 8 KiB as JSON and have 512 members: each case has a copy of its caller's. A
//! file has at most 256 KiB, 512 cases and 512 callers; a set at most 2048 cases in 64 files for
//! each pattern. Unknown keys, and keys and names that are there twice, are errors. So is a
//! question that cannot occur: a request that the guard refuses before it asks a policy (a path
//! that is not in normal form), a header that it takes out, a route that does not match the path,
//! parameters that are not in them (`contradiction`), a route that no router has (`bad-route`), a
//! token that is not valid at the case's moment, an address in the place of a peer's name.
//!
//! # Why callers may be made up here
//!
//! Nothing else can make a [`PeerIdentity`](crate::authenticate::peer::PeerIdentity) or
//! [`VerifiedClaims`](crate::authenticate::token::VerifiedClaims) than what verifies them. The
//! callers of cases are made within this crate, never leave it, and have expired in 1970: whatever
//! checks them for a request would refuse them. A rehearsal ends in a [`Report`]; there is no
//! [`Permit`](crate::enforce::Permit) in it.

mod case;
mod coverage;
mod draft;
mod file;
mod gate;
mod lint;
mod report;

use std::path::Path;

use ztlib_cases::MAX_FILE_BYTES;

use crate::authorize::PolicySet;
use crate::load_error::LoadError;
use case::Case;

pub use coverage::Coverage;
pub use draft::{Draft, PolicyFacts};
pub use lint::{Finding, Route, Routes};
pub use report::{Difference, CaseResult, Report, Timing};
#[doc(inline)]
pub use ztlib_cases::Verdict;

pub(crate) use gate::{gate, read as read_named};

/// The cases of one file, about a whole set or about one policy alone.
///
/// ```
/// use std::path::Path;
/// use ztlib::policies::cases::Cases;
///
/// let file = Path::new("tests/night.toml");
/// let cases = Cases::parse(file, "format = 1\n[[case]]\nname = 'all pass'\npath = '/'\nexpect = 'allow'")?;
/// assert_eq!(cases.len(), 1);
///
/// let error = Cases::parse(file, "format = 1\n[[case]]\nname = 'all pass'\npat = '/'\nexpect = 'allow'").unwrap_err();
/// assert_eq!(error.to_string(), "tests/night.toml:4: there is no key `pat` here: did you mean `path`? (unknown-key)");
/// # Ok::<(), ztlib::policies::LoadError>(())
/// ```
#[derive(Clone)]
pub struct Cases {
    file: Box<Path>,
    policy: Option<Box<str>>,
    home_issuer: Option<Box<str>>,
    cases: Vec<Case>,
}

impl std::fmt::Debug for Cases {
    /// How many, without what their callers claim.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cases")
            .field("file", &self.file)
            .field("policy", &self.policy)
            .field("cases", &self.len())
            .finish()
    }
}

impl Cases {
    /// Reads a file.
    ///
    /// # Errors
    /// [`LoadError`], naming the file and the line.
    pub fn read(file: impl AsRef<Path>) -> Result<Self, LoadError> {
        let file = file.as_ref();
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let text = super::files::Folder::of(file)?.read_text(name, MAX_FILE_BYTES);
        Self::parse(file, &text.map_err(|error| error.at(file, None))?)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(file: &Path, text: &str) -> Result<Self, LoadError> {
        Self::of(file, text, false)
    }

    /// Reads cases that need expect nothing: what comes of them is looked at by a person.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse_questions(file: &Path, text: &str) -> Result<Self, LoadError> {
        Self::of(file, text, true)
    }

    fn of(file: &Path, text: &str, bare: bool) -> Result<Self, LoadError> {
        // First, since it refuses a text that is too large before it is parsed.
        let cases = file::parse(file, text, bare)?;
        let home_issuer = ztlib_cases::home_issuer(file, text)?.map(Into::into);
        Ok(Self { file: file.into(), policy: None, home_issuer, cases })
    }

    /// The same cases, about this policy alone: no other is asked, and it may abstain.
    #[must_use]
    pub fn about(self, policy: &str) -> Self {
        Self { policy: Some(policy.into()), ..self }
    }

    /// The file that they were read from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The policy that they are about; none: the whole set.
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// The home issuer that the file names (`home-issuer`). None: whoever issued a case's token is
    /// at home.
    pub fn home_issuer(&self) -> Option<&str> {
        self.home_issuer.as_deref()
    }

    /// The names of the cases, in the order of the file.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.cases.iter().map(|case| case.name.as_ref())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether there are none. A file has at least one.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }
}

/// Runs cases until so many have failed.
pub(crate) fn simulate(set: &PolicySet, suites: &[Cases], most_failures: usize) -> Result<Report, LoadError> {
    let mut report = Report::default();
    let mut failed = 0_usize;
    for cases in suites {
        for case in &cases.cases {
            let rehearsal = CaseResult::of(set, cases, case)?;
            failed = failed.saturating_add(usize::from(!rehearsal.passed()));
            report.push(rehearsal);
            if failed >= most_failures {
                return Ok(report);
            }
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests;

//! Tests of policies, as data: questions with the answers that they should have.
//!
//! A policy set has files of cases next to it. You can run them by hand (`ztlib policy test`) or
//! from a program's tests, and they run whenever the set is loaded. A manifest names its files with
//! `tests = ["tests/*.toml"]`, for the whole set or for one policy. If a case has another answer,
//! the set is refused with the code `cases-failed`, the file and the line, and the current set
//! stays in force.
//!
//! # A file of cases
//!
//! ```toml
//! format = 1
//! home-issuer = "https://id.shop.test"        # optional; without it, every issuer counts as home
//!
//! [caller.alice]                              # optional: a caller for several cases
//! peer = "spiffe://shop.test/gateway"
//! # or peer = { authority = "partners", dns-names = ["a.example"] }
//! claims = { sub = "alice", roles = ["clerk"] }
//! remote-ip = "192.0.2.7"
//!
//! [[case]]
//! name = "a clerk reads an order"             # a sentence, unique in the file
//! caller = "alice"                            # peer, claims, remote-ip here replace the caller's
//! method = "GET"                              # the default
//! host = "service.test"                       # the default
//! path = "/orders/7"                          # or action = "orders.approve", for `Guard::ask`
//! query = { full = "yes" }
//! route = "/orders/{id}"                      # the router's template; for gRPC the path
//! params = { id = "7" }                       # optional: derived from path and route
//! headers = { accept = "text/html", x-tag = ["a", "b"] }
//! labels = { owner = "alice" }
//! signals = { risk = 3, posture = false }     # false: absent; all others fail
//! documents = { roles = { alice = "admin" } } # replace the set's own
//! now = 2026-11-23T08:00:00Z                  # default: 2026-11-23T00:00:00Z; or in seconds
//!
//! expect = "allow"                            # or deny, abstain (one policy), fault, bad-request
//! # All changed headers; false: removed, true: any value.
//! request-headers = { x-tenant = "acme", x-old = false, x-id = true }
//! response-headers = {}
//! # The whole trace, as `ztlib policy explain` prints it.
//! reads = ['action=absent', 'route="/orders/{id}"']
//!
//! [[case]]
//! name = "nobody else does"
//! path = "/orders/7"
//! route = "/orders/{id}"
//! expect = "deny"
//! reason = "no-role"                          # required for a denial; for a fault: its code
//! policy = "rbac"                             # the one that denied
//! message = "ask your team lead"
//! step-up = { acr = "urn:example:strong", max-age = 300 }
//! ```
//!
//! If no decision is reached, the verdict is the guard's: `bad-request` (400) if a policy cannot
//! read what the caller sent (a header that is present twice, a claim of another type), and
//! otherwise `fault` (503). A denial has the policy's reason, even where the guard would tell the
//! caller `no-route`: only the guard knows whether a route matches, and cases ask the policies.
//!
//! If a service takes tokens of several issuers, `home-issuer` names the first of them. A case's
//! token of another issuer (`claims = { iss = "https://partner.test", sub = "alice" }`) then
//! belongs to a stranger of the same name: see `from-home-issuer` in the contract.
//!
//! Unless the case says otherwise, a token has the home issuer (or `https://issuer.test`), the
//! audience `service.test` and five minutes to live, since every verified token has these.
//!
//! Limits: claims have at most 512 members and 8 KiB as JSON, since each case copies those of its
//! caller. A file has at most 256 KiB, 512 cases and 512 callers. A set has at most 2048 cases, and
//! each pattern names at most 64 files.
//!
//! Unknown keys and duplicate keys or names are errors. So are questions that cannot occur: a
//! request that the guard refuses before it asks a policy (a path that is not in normal form), a
//! header that it removes, a route that does not match the path or the parameters
//! (`contradiction`), a route that no router accepts (`bad-route`), a token that is not valid at
//! the case's time, or an address in place of a peer's name.
//!
//! # Why a case may invent its caller
//!
//! A case describes its caller by facts ([`Caller`](crate::authorize::Caller)). Facts prove
//! nothing: a [`Permit`](crate::enforce::Permit) needs a
//! [`PeerIdentity`](crate::authenticate::peer::PeerIdentity) or
//! [`VerifiedClaims`](crate::authenticate::token::VerifiedClaims), which only verification can
//! make. Running cases only produces a [`Report`].

mod coverage;
mod draft;
mod gate;
mod lint;
mod report;

use std::path::Path;

use ztlib_contract::cases::MAX_FILE_BYTES;

use crate::authorize::PolicySet;
use crate::load_error::LoadError;

pub use coverage::Coverage;
pub use draft::{Draft, PolicyFacts};
pub use lint::{Finding, Route, Routes};
pub use report::{CaseResult, Difference, Report, Timing};
#[doc(inline)]
pub use ztlib_contract::cases::{CaseVerdict, Cases, Error};

pub(crate) use gate::gate;

/// Reads a file of cases.
///
/// # Errors
/// [`LoadError`], which names the file and the line.
pub fn read(file: impl AsRef<Path>) -> Result<Cases, LoadError> {
    let file = file.as_ref();
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let text = super::files::Folder::of(file)?.read_text(name, MAX_FILE_BYTES);
    Ok(Cases::parse(file, &text.map_err(|error| error.at(file, None))?)?)
}

/// Runs cases until `most_failures` have failed.
pub(crate) fn simulate(set: &PolicySet, suites: &[Cases], most_failures: usize) -> Result<Report, LoadError> {
    let mut report = Report::default();
    let mut failed = 0_usize;
    for cases in suites {
        for case in cases.cases() {
            let result = CaseResult::of(set, cases, case)?;
            failed = failed.saturating_add(usize::from(!result.passed()));
            report.push(result);
            if failed >= most_failures {
                return Ok(report);
            }
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests;

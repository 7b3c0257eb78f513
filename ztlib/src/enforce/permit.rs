//! The permit: proof that a request was let through. Only this folder can make one.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::authenticate::Principal;
use crate::authenticate::token::VerifiedClaims;
use crate::authorize::Revision;
use crate::observe::{AuditEvent, Verdict};
use crate::request_id::RequestId;

/// Proof that the guard let this request through. A handler that takes a `Permit` cannot run
/// without the guard.
///
/// Code outside of the guard cannot make one:
///
/// ```compile_fail
/// let forged = ztlib::enforce::Permit { principal: todo!() };
/// ```
#[derive(Clone)]
pub struct Permit(AuditEvent);

impl Permit {
    /// Only the judgement calls this, for an event that lets the request through.
    pub(super) fn new(event: AuditEvent) -> Self {
        Self(event)
    }

    /// The id of this request's audit event.
    pub fn id(&self) -> RequestId {
        self.0.id()
    }

    /// Who is calling. On a public route this is [anonymous](Principal::anonymous), apart from the
    /// address.
    pub fn principal(&self) -> &Principal {
        self.0.principal()
    }

    /// The moment at which this permit stops being reliable, as far as time alone decides. It is
    /// the earliest of:
    ///
    /// - the end of the token: `exp` with the issuer's leeway, or its maximum age
    ///   ([`VerifiedClaims::valid_until`]);
    /// - the end of the peer's identity: its certificate, an authority above it, or a revocation
    ///   list
    ///   ([`PeerIdentity::valid_until`](crate::authenticate::peer::PeerIdentity::valid_until));
    /// - the next moment at which a read of time (`before`, `in-window`, `authenticated-within`, …)
    ///   would tell the policies something else. They might still allow, so ask again.
    ///
    /// `None` if time alone ends nothing. The value belongs to this request, even if the decision
    /// came from the cache. Anything that outlives the request (a stream, a job, a session) must
    /// ask again by then, with [`Guard::ask`](super::Guard::ask). Documents, signals, policies and
    /// revocations may change sooner, and a native policy may read a clock that the guard cannot
    /// see.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ztlib::Clock as _;
    /// use ztlib::authenticate::Principal;
    /// use ztlib::authorize::NativePolicy;
    /// use ztlib::policies::PolicySetBuilder;
    /// use ztlib::authorize::{Answer, Fault, Labels, Outcome, Read, Reader, Value};
    /// use ztlib::enforce::Guard;
    /// use ztlib_testing::ManualClock;
    ///
    /// /// The sale is open until 2026-01-01T01:00:00Z.
    /// struct WhileOpen;
    /// impl NativePolicy for WhileOpen {
    ///     fn decide(&self, question: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
    ///         let open = question.read(Read::Before(1_767_229_200))? == Value::Bool(true);
    ///         Ok(if open { Answer::Allow } else { Answer::Deny })
    ///     }
    /// }
    ///
    /// let clock = ManualClock::default(); // 2026-01-01T00:00:00Z
    /// let policies = PolicySetBuilder::new().native("while-open", WhileOpen).load()?;
    /// let guard = Guard::builder().allow_unauthenticated_peers().allow_requests_without_token();
    /// let guard = guard.policies(policies).clock(clock.clone()).build();
    /// let ask = || guard.ask(&Principal::anonymous(), "sale.enter", Labels::new());
    ///
    /// let Ok(permit) = ask() else { panic!("the sale is open") };
    /// let end = permit.valid_until().expect("the policy asked for the time");
    /// assert_eq!(end, clock.now() + Duration::from_secs(3600));
    /// clock.set(end - Duration::from_secs(1));
    /// assert!(ask().is_ok());
    /// clock.set(end);
    /// assert!(ask().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn valid_until(&self) -> Option<SystemTime> {
        let token = self.principal().claims().map(VerifiedClaims::valid_until);
        // An identity is valid for the whole of its last second.
        let peer =
            self.principal().peer().and_then(|peer| peer.valid_until().checked_add(Duration::from_secs(1)));
        // A moment beyond the platform's last `SystemTime` ends nothing.
        let change = self.0.changes_at().and_then(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at)));
        [token, peer, change].into_iter().flatten().min()
    }

    /// The policy set that allowed the request. `None` if no policy was asked: on a public route,
    /// or if an earlier refusal was only observed.
    pub fn revision(&self) -> Option<Revision> {
        self.0.revision()
    }

    /// Whether this is a real allow. False only under `observe_only`, for a request that would have
    /// been refused.
    pub fn enforced(&self) -> bool {
        matches!(self.0.verdict(), Verdict::Allow | Verdict::Public)
    }

    /// Whether the route is public, so that the caller was not authenticated.
    pub fn is_public(&self) -> bool {
        self.0.verdict() == Verdict::Public
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("id", &self.id())
            .field("principal", &self.principal())
            .field("revision", &self.revision())
            .field("enforced", &self.enforced())
            .field("is_public", &self.is_public())
            .finish()
    }
}

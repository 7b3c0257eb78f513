//! The permit: proof that a request was let through. It is made in this folder only.

use std::fmt;

use crate::authenticate::Principal;
use crate::authorize::policy::Revision;
use crate::observe::{AuditEvent, RequestId, Verdict};

/// Proof that the guard let this request through. A handler that takes a `Permit` cannot run without the guard.
///
/// It cannot be made outside of the guard:
///
/// ```compile_fail
/// let forged = ztlib::enforce::Permit { principal: todo!() };
/// ```
#[derive(Clone)]
pub struct Permit(AuditEvent);

impl Permit {
    /// Only the judgement makes one, for an event that lets the request through.
    pub(super) fn new(event: AuditEvent) -> Self {
        Self(event)
    }

    /// The id that the audit event of this request carries.
    pub fn id(&self) -> RequestId {
        self.0.id()
    }

    /// Who is calling. On a public route this is [anonymous](Principal::anonymous), save for the address.
    pub fn principal(&self) -> &Principal {
        self.0.principal()
    }

    /// The policy set that allowed it; none where no policy was asked (a public route, or a refusal that was only observed).
    pub fn revision(&self) -> Option<Revision> {
        self.0.revision()
    }

    /// Whether this is a real allow. False only under `observe_only`, where the request would have been refused.
    pub fn enforced(&self) -> bool {
        matches!(self.0.verdict(), Verdict::Allow | Verdict::Public)
    }

    /// Whether the route is public, so that nobody was asked who they are.
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

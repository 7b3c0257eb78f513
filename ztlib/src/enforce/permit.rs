//! The permit: proof that a request was let through. It is made in this folder only.

use std::sync::Arc;

use crate::authenticate::Principal;
use crate::authorize::policy::Revision;
use crate::observe::RequestId;

/// Proof that the guard let this request through. A handler that takes a `Permit` cannot run without the guard.
///
/// It cannot be made outside of the guard:
///
/// ```compile_fail
/// let forged = ztlib::enforce::Permit { principal: todo!() };
/// ```
#[derive(Debug, Clone)]
pub struct Permit(Arc<Contents>);

#[derive(Debug)]
struct Contents {
    id: RequestId,
    principal: Principal,
    revision: Option<Revision>,
    standing: Standing,
}

/// Why the request went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The policies allowed it.
    Allowed,
    /// Its route is public by `allow_public_route`.
    Public,
    /// It would have been refused, and the guard only observes.
    Observed,
}

impl Permit {
    pub(crate) fn new(
        id: RequestId,
        principal: Principal,
        revision: Option<Revision>,
        standing: Standing,
    ) -> Self {
        Self(Arc::new(Contents { id, principal, revision, standing }))
    }

    /// The id that the audit event of this request carries.
    pub fn id(&self) -> &RequestId {
        &self.0.id
    }

    /// Who is calling. On a public route this is [anonymous](Principal::anonymous), save for the address.
    pub fn principal(&self) -> &Principal {
        &self.0.principal
    }

    /// The policy set that allowed it; none where no policy was asked (a public route, or a refusal that was only observed).
    pub fn revision(&self) -> Option<&Revision> {
        self.0.revision.as_ref()
    }

    /// Whether this is a real allow. False only under `observe_only`, where the request would have been refused.
    pub fn enforced(&self) -> bool {
        self.0.standing != Standing::Observed
    }

    /// Whether the route is public, so that nobody was asked who they are.
    pub fn is_public(&self) -> bool {
        self.0.standing == Standing::Public
    }
}

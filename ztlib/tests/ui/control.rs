//~ compiles
use ztlib::policies::Policies;
use ztlib::authorize::Decision;
use ztlib::enforce::{Guard, Permit, ZeroTrustLayer};

pub fn complete(policies: Policies) -> ZeroTrustLayer {
    ZeroTrustLayer::new(Guard::builder().allow_unauthenticated_peers().allow_requests_without_token().policies(policies).build())
}

pub fn looks(permit: &Permit) -> bool {
    permit.enforced()
}

pub fn both(decision: Decision) -> bool {
    match decision {
        Decision::Allow(_) => true,
        Decision::Deny(_) => false,
    }
}

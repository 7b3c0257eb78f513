//~ compiles
use ztlib::policies::PolicyStore;
use ztlib::authorize::Decision;
use ztlib::enforce::{Guard, Permit, GuardLayer};

pub fn complete(policies: PolicyStore) -> GuardLayer {
    GuardLayer::new(Guard::builder().allow_unauthenticated_peers().allow_requests_without_token().policies(policies).build())
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

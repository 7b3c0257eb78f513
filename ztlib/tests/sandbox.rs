//! What a policy can do to its host: nothing. One test a behaviour.

use std::time::SystemTime;

use ztlib::authenticate::Principal;
use ztlib::authorize::policy::{Evaluation, Policies, PolicySetBuilder};
use ztlib::authorize::{Decision, Labels};

const ALLOW_ALL: &[u8] = include_bytes!("../../plugins/artifacts/allow-all.wasm");
const DENY_ALL: &[u8] = include_bytes!("../../plugins/artifacts/deny-all.wasm");

fn ask(policies: &Policies) -> Evaluation {
    policies.rehearse(Principal::anonymous(), "test", Labels::new(), SystemTime::UNIX_EPOCH)
}

#[test]
fn a_component_is_loaded_and_asked() {
    let policies = PolicySetBuilder::new().component("allow-all", ALLOW_ALL).load().unwrap();
    assert!(matches!(ask(&policies).result(), Ok(Decision::Allow(_))), "{:?}", ask(&policies));
    let policies = PolicySetBuilder::new().component("deny-all", DENY_ALL).load().unwrap();
    assert!(matches!(ask(&policies).result(), Ok(Decision::Deny(_))), "{:?}", ask(&policies));
}

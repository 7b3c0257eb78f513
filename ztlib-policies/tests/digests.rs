//! The digests are those of the bytes: a manifest that pins one loads the component.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use aws_lc_rs::digest::{SHA256, digest};
use ztlib_policies::{
    CONDITIONS, CONDITIONS_SHA256, PEER_ALLOW_LIST, PEER_ALLOW_LIST_SHA256, RBAC, RBAC_SHA256, STEP_UP,
    STEP_UP_SHA256, TOKEN_SCOPE, TOKEN_SCOPE_SHA256,
};

#[test]
fn a_digest_is_that_of_its_bytes() {
    for (name, bytes, expected) in [
        ("rbac", RBAC, RBAC_SHA256),
        ("peer-allow-list", PEER_ALLOW_LIST, PEER_ALLOW_LIST_SHA256),
        ("token-scope", TOKEN_SCOPE, TOKEN_SCOPE_SHA256),
        ("step-up", STEP_UP, STEP_UP_SHA256),
        ("conditions", CONDITIONS, CONDITIONS_SHA256),
    ] {
        let sum = digest(&SHA256, bytes);
        let found: String = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, expected, "{name}: run plugins/build.sh");
    }
}

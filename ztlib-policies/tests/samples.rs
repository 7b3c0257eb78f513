//! Each policy with its sample, in the sandbox: the set does not load unless its cases hold.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use ztlib::authorize::{Caller, SignalError, SignalSource};
use ztlib::policies::PolicyStore;
use ztlib_policies::{
    CONDITIONS, CONDITIONS_REASONS, CONDITIONS_SHA256, PEER_ALLOW_LIST, PEER_ALLOW_LIST_REASONS,
    PEER_ALLOW_LIST_SHA256, RBAC, RBAC_REASONS, RBAC_SHA256, STEP_UP, STEP_UP_REASONS, STEP_UP_SHA256,
    TOKEN_SCOPE, TOKEN_SCOPE_REASONS, TOKEN_SCOPE_SHA256,
};

/// A set that declares signals needs a source; a case has its own.
struct NoSignals;

impl SignalSource for NoSignals {
    fn signal(&self, _: &str, _: &Caller) -> Result<Option<String>, SignalError> {
        Err(SignalError::new("a case has its own"))
    }
}

/// Loads a policy with its sample as its configuration and these cases as its gate.
fn load(name: &str, (bytes, sha256): (&[u8], &str), manifest: &str, cases: &str) -> Result<(), String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/policies").join(name);
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("samples-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("policy.wasm"), bytes).unwrap();
    fs::copy(sources.join("sample.yaml"), folder.join("sample.yaml")).unwrap();
    fs::write(folder.join("cases.toml"), cases).unwrap();
    fs::write(folder.join("roles.json"), "{}").unwrap();
    let (signals, rest) = manifest.split_once('\n').unwrap();
    let manifest = format!(
        "format = 1\n{signals}\n[[policy]]\nname = '{name}'\nmodule = 'policy.wasm'\nsha256 = '{sha256}'\nconfig = 'sample.yaml'\ntests = ['cases.toml']\n{rest}\n"
    );
    fs::write(folder.join("policies.toml"), manifest).unwrap();
    let loaded =
        PolicyStore::from_manifest(folder.join("policies.toml")).allow_unsigned().signals(NoSignals).load();
    fs::remove_dir_all(&folder).unwrap();
    loaded.map(drop).map_err(|error| error.to_string())
}

#[test]
fn the_cases_of_each_sample_hold_in_the_sandbox_and_a_wrong_one_does_not() {
    let reasons = |reasons: &[&str]| format!("reasons = {reasons:?}");
    for (name, component, manifest) in [
        (
            "rbac",
            (RBAC, RBAC_SHA256),
            format!("\n{}\n[[document]]\nname = 'roles'\nfile = 'roles.json'", reasons(&RBAC_REASONS)),
        ),
        (
            "peer-allow-list",
            (PEER_ALLOW_LIST, PEER_ALLOW_LIST_SHA256),
            format!("\n{}", reasons(&PEER_ALLOW_LIST_REASONS)),
        ),
        ("token-scope", (TOKEN_SCOPE, TOKEN_SCOPE_SHA256), format!("\n{}", reasons(&TOKEN_SCOPE_REASONS))),
        (
            "step-up",
            (STEP_UP, STEP_UP_SHA256),
            format!("\n{}\nmay-abstain = true", reasons(&STEP_UP_REASONS)),
        ),
        (
            "conditions",
            (CONDITIONS, CONDITIONS_SHA256),
            format!("signals = ['risk', 'load']\n{}\nmay-abstain = true", reasons(&CONDITIONS_REASONS)),
        ),
    ] {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/policies").join(name);
        let cases = fs::read_to_string(cases.join("tests/sample.toml")).unwrap();
        assert_eq!(load(name, component, &manifest, &cases), Ok(()), "{name}");

        let wrong = cases.replacen("expect = \"allow\"", "expect = \"deny\"\nreason = \"denied\"", 1);
        let error = load(name, component, &manifest, &wrong).unwrap_err();
        assert!(error.contains("got allow"), "{name}: {error}");
    }
}

//! The cases that all four languages are held to in the sandbox (`ztlib/tests/languages.rs`),
//! natively.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use ztlib_office_hours::OfficeHours;
use ztlib_policy::Policy;
use ztlib_policy::testing::{Cases, CasesError, Sealed};

const FILE: &str = "../tests/office-hours.toml";
const REASONS: [&str; 4] = ["no-rule", "no-role", "closed", "login-too-old"];

/// As the host does it: YAML is made into JSON, and JSON is what the policy gets.
fn config() -> Vec<u8> {
    let value: serde_json::Value = serde_norway::from_str(include_str!("../../sample.yaml")).unwrap();
    serde_json::to_vec(&value).unwrap()
}

fn policy() -> Sealed<OfficeHours> {
    Sealed::configure(&config()).unwrap()
}

#[test]
fn the_cases_hold_natively() -> Result<(), CasesError> {
    let cases = Cases::read(FILE)?.reasons(&REASONS);
    assert_eq!(cases.len(), 12, "as many as in the sandbox");
    cases.check(&policy())
}

#[test]
fn they_hold_where_the_policy_is_not_sealed() -> Result<(), CasesError> {
    Cases::read(FILE)?.reasons(&REASONS).check(&OfficeHours::configure(&config()).unwrap())
}

/// Whatever a case expects, it is looked at: another expectation in its place fails, alone, in its
/// line.
#[test]
fn a_changed_expectation_is_reported_with_its_line() {
    let text = std::fs::read_to_string(FILE).unwrap();
    let changes = [
        ("reason = \"", "reason = \"not-"),
        ("message = \"", "message = \"not "),
        ("step-up = { max-age = 900", "step-up = { max-age = 901"),
        ("request-headers = { x-tenant = \"acme\"", "request-headers = { x-tenant = \"emca\""),
        ("expect = \"bad-request\"", "expect = \"abstain\""),
        ("reads = ['route", "reads = ['action=absent', 'route"),
        ("reads = [", "reads = ['action=absent',"),
    ];
    let mut changed = 0;
    for (at, line) in text.lines().enumerate() {
        let Some((from, to)) = changes.iter().find(|(from, _)| line.starts_with(from)) else { continue };
        let mut lines: Vec<&str> = text.lines().collect();
        let other = line.replacen(from, to, 1);
        *lines.get_mut(at).unwrap() = &other;
        let cases = Cases::parse(Path::new("t.toml"), &lines.join("\n")).unwrap();
        let error = cases.reasons(&REASONS).check(&policy()).unwrap_err();
        let problems: Vec<_> = error.problems().map(|problem| (problem.code(), problem.line())).collect();
        assert_eq!(problems, [("case-failed", Some(at + 1))], "{other}: {error}");
        changed += 1;
    }
    assert!(changed > 20, "{changed}");
}

//! The scenarios of `conformance/` on the bare tower stack, compared with the reference model.

#![allow(clippy::panic, reason = "scenarios that cannot be read end the test")]

use std::io::Write as _;
use std::path::Path;

use ztlib_conformance::scenario::{Cast, Decision, Scenarios};
use ztlib_conformance::stack::{BareStack, run};

fn scenarios() -> Scenarios {
    Scenarios::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance")))
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_bare_stack_and_the_model_agree_on_every_scenario() {
    let scenarios = scenarios();
    let cast = Cast::new(&scenarios).unwrap_or_else(|error| panic!("{error}"));
    let report = run(&cast, &mut BareStack::new()).unwrap_or_else(|error| panic!("{error}"));
    // Not `println!`: how many cases ran is to be seen where the test passes too.
    let _ = writeln!(std::io::stderr(), "{}", report.summary());
    assert_eq!(report.ran, scenarios.cases.len());
    assert!(report.from_cache > 100, "the second time, what policies decided comes from the cache");
    report.verdict(150).unwrap_or_else(|disagreements| panic!("{disagreements}"));
}

#[test]
fn a_wrong_expectation_is_a_disagreement_that_shows_both_answers() {
    let mut scenarios = scenarios();
    let name = "a viewer reads an order through the frontend";
    scenarios.cases.retain(|case| case.name == name);
    scenarios.cases[0].decision = Decision::Deny;
    scenarios.cases[0].reason = Some("no-role".to_owned());
    let cast = Cast::new(&scenarios).unwrap();
    let report = run(&cast, &mut BareStack::new()).unwrap();
    let disagreements = report.verdict(1).unwrap_err();
    for shown in [
        name,
        "model and the case differ in the decision",
        "model: Answer { decision: Allow",
        "bare: Answer { decision: Allow",
    ] {
        assert!(disagreements.contains(shown), "{disagreements}");
    }
    assert!(report.verdict(2).unwrap_err().contains("at least 2"));
}

//! When a candidate is good enough to be put in force, and what keeps it from being so.

use std::time::{Duration, Instant};

use serde_json::json;
use ztlib::authorize::Answer;
use ztlib::policies::PolicySetBuilder;
use ztlib::policies::trial::{PromotionRule, RecordingRules};

use crate::sets::{ALLOW_ALL, Folder, allows, ed25519};
use crate::stage::{Stage, classes, judged};
use crate::support::By;

fn after(requests: u64) -> PromotionRule {
    PromotionRule::new(requests, Duration::ZERO)
}

#[test]
fn a_candidate_that_does_not_load_is_no_failure_of_what_is_in_force() {
    let policies = PolicySetBuilder::new().component("p", ALLOW_ALL).load().unwrap();
    let error = policies.candidate(PolicySetBuilder::new().component("p", b"no component")).unwrap_err();
    assert_eq!(error.code(), "not-a-component");
    assert_eq!(policies.candidate_from_manifest("nowhere").unwrap_err().code(), "not-from-manifest");
    let status = policies.status();
    assert_eq!((status.failures, status.last_error, status.loads), (0, None, 1));
}

#[test]
fn each_thing_that_a_rule_asks_for_is_asked_for() {
    let stage = Stage::new(classes(&["public"]).load().unwrap());
    let recorder = stage.policies.record(RecordingRules::new()).unwrap();
    assert!(stage.ask("public") && !stage.ask("secret"));
    stage.clock.advance(Duration::from_secs(59));
    assert!(stage.ask("public"));
    let hour = Duration::from_secs(3600);
    let refused = |set: PolicySetBuilder, rule: PromotionRule| {
        let candidate = stage.policies.candidate(set).unwrap();
        let before = stage.policies.status().revision;
        let error = candidate.check(&rule, &candidate.replay(&recorder.recording())).unwrap_err();
        assert_eq!(stage.policies.status().revision, before, "{error}");
        (error.code(), error.to_string())
    };
    let same = || classes(&["public", "new"]);
    assert_eq!(refused(same(), after(4)).0, "too-little-evidence");
    let (code, text) = refused(same(), PromotionRule::new(3, hour));
    assert_eq!(code, "too-little-evidence");
    assert_eq!(text, "the candidate has judged 3 of 3 requests over 59 of 3600 seconds: continue the trial");
    let (code, text) = refused(classes(&[]), after(3));
    assert_eq!(code, "would-change");
    assert!(text.ends_with("2 of 3 would change: 2 allow → deny (classes: wrong-class)"), "{text}");
    assert_eq!(refused(classes(&[]), after(3).allow_loosening()).0, "would-change");
    let looser = || classes(&["public", "secret"]);
    assert_eq!(refused(looser(), after(3)).0, "would-change");
    assert_eq!(refused(looser(), after(3).allow_tightening()).0, "would-change");
    let renamed = || {
        let denies = |_: &mut ztlib::authorize::Reader, _: &mut ztlib::authorize::Outcome| Ok(Answer::Deny);
        PolicySetBuilder::new().native("other", By(denies))
    };
    assert_eq!(refused(renamed(), after(3).allow_tightening()).0, "would-change");
    let failing = || PolicySetBuilder::new().native("f", By(|_: &mut _, _: &mut _| Err(ztlib_fault())));
    let everything =
        || after(3).allow_loosening().allow_tightening().allow_other_denials().allow_other_obligations();
    assert_eq!(refused(failing(), everything()).0, "would-fault");
    let asks_more = PolicySetBuilder::new().native(
        "m",
        By(|question: &mut ztlib::authorize::Reader, _: &mut _| {
            // That the read failed it keeps to itself.
            let _ = question.read(ztlib::authorize::Read::Label("owner".into()));
            Ok(Answer::Allow)
        }),
    );
    assert_eq!(refused(asks_more, everything()).0, "not-judged");
    // And each verb lets through what it names.
    for (set, rule) in [
        (same(), PromotionRule::new(3, Duration::from_secs(59))),
        (looser(), after(3).allow_loosening()),
        (renamed(), after(3).allow_tightening().allow_other_denials()),
    ] {
        let candidate = stage.policies.candidate(set).unwrap();
        candidate.check(&rule, &candidate.replay(&recorder.recording())).unwrap();
    }
}

fn ztlib_fault() -> ztlib::authorize::Fault {
    ztlib::authorize::ReadFault::NotUtf8.into()
}

#[test]
fn evidence_against_other_policies_or_about_another_candidate_is_none() {
    let stage = Stage::new(classes(&["public"]).load().unwrap());
    let recorder = stage.policies.record(RecordingRules::new()).unwrap();
    assert!(stage.ask("public"));
    let candidate = stage.policies.candidate(classes(&["public", "new"])).unwrap();
    let other = stage.policies.candidate(classes(&["public", "newer"])).unwrap();
    let found = candidate.replay(&recorder.recording());
    assert_eq!(other.check(&after(1), &found).unwrap_err().code(), "other-candidate");
    stage.policies.replace(classes(&["public", "meanwhile"])).unwrap();
    assert_eq!(candidate.check(&after(1), &found).unwrap_err().code(), "stale-evidence");
    // Of both sets: that is none either.
    assert!(stage.ask("public"));
    let mixed = candidate.replay(&recorder.recording());
    assert_eq!(
        (mixed.judged(), candidate.check(&after(1), &mixed).unwrap_err().code()),
        (2, "stale-evidence")
    );
    recorder.clear();
    assert!(stage.ask("public"));
    candidate.check(&after(1), &candidate.replay(&recorder.recording())).unwrap();
}

#[test]
#[allow(clippy::disallowed_methods, reason = "this one measures")]
fn what_a_candidate_has_compiled_is_not_compiled_again() {
    const RBAC: &[u8] = include_bytes!("../../../plugins/artifacts/rbac.wasm");
    let policies = PolicySetBuilder::new().component("p", ALLOW_ALL).load().unwrap();
    let rbac = |role: &str| {
        let granted = json!([{ "methods": ["GET"], "routes": ["/orders/{id}"] }]);
        let config = json!({ "roles": { "claims": ["/roles"] }, "permissions": { role: granted } });
        PolicySetBuilder::new().component("rbac", RBAC).reasons(["no-role", "no-rule"]).config(config)
    };
    let timed = |role: &str| {
        let began = Instant::now();
        (policies.candidate(rbac(role)).unwrap(), began.elapsed())
    };
    let (_first, compiled) = timed("clerk");
    // Mended, and mended again: only the configuration is another one.
    let again = ["a", "b", "c", "d", "e"].map(|role| timed(role).1).into_iter().min().unwrap();
    assert!(again < compiled / 2, "{compiled:?}, then {again:?}");
    // Nor when its files are put in the place of those in force.
    let loaded = ["f", "g", "h"].map(|role| {
        let began = Instant::now();
        policies.replace(rbac(role)).unwrap();
        began.elapsed()
    });
    assert!(loaded.into_iter().min().unwrap() < compiled / 2, "{compiled:?}, then {loaded:?}");
}

#[test]
fn one_change_is_too_much_for_a_rule_however_much_agrees() {
    let stage = Stage::new(classes(&["public"]).load().unwrap());
    let candidate = stage.policies.candidate(classes(&["public", "new"])).unwrap();
    let shadow = stage.shadow(&candidate);
    let rule = PromotionRule::new(3, Duration::from_secs(60));
    let checked = || candidate.check(&rule, &shadow.differences()).map_err(|error| error.code());
    assert!(stage.ask("public") && stage.ask("public") && stage.ask("public"));
    judged(&shadow, 3);
    assert_eq!(checked(), Err("too-little-evidence"), "within one second");
    stage.clock.advance(Duration::from_secs(60));
    assert!(stage.ask("public"));
    judged(&shadow, 4);
    assert_eq!(checked(), Ok(()));
    assert!(!stage.ask("new"));
    judged(&shadow, 5);
    assert_eq!(checked(), Err("would-change"));
    assert_ne!(stage.policies.status().revision, candidate.revision(), "a trial changes nothing");
}

/// Signed sets: the candidate is held to the same keys and versions.
#[test]
fn a_signed_candidate_is_under_the_same_keys_and_versions() {
    let (folder, next) = (Folder::new(), Folder::new());
    let key = ed25519();
    folder.sign(&folder.draft(3, "allow.wasm", ""), &key);
    let policies = folder.trusting(&key).load().unwrap();
    let load = || policies.candidate_from_manifest(next.manifest());
    next.put("policies.toml", next.draft(4, "deny.wasm", ""));
    assert_eq!(load().unwrap_err().code(), "unsigned-set");
    next.sign(&next.draft(4, "deny.wasm", ""), &ed25519());
    assert_eq!(load().unwrap_err().code(), "bad-signature");
    next.sign(&next.draft(2, "deny.wasm", ""), &key);
    assert_eq!(load().unwrap_err().code(), "older-version");
    next.sign(&next.draft(4, "deny.wasm", ""), &key);
    load().unwrap();
    assert_eq!(policies.status().highest_version, Some(3), "a trial raises no version");
    assert!(allows(&policies));
}

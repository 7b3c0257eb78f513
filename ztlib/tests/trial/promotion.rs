//! How a candidate comes in force, and what keeps it out.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use ztlib::authorize::Answer;
use ztlib::authorize::policy::trial::{PromotionRule, RecordingRules};
use ztlib::authorize::policy::{Policies, PolicySetBuilder};

use crate::sets::{ALLOW_ALL, DENY_ALL, Folder, allows, document, ed25519};
use crate::stage::{PATIENCE, Stage, classes};
use crate::support::By;

fn after(requests: u64) -> PromotionRule {
    PromotionRule::new(requests, Duration::ZERO)
}

#[test]
fn a_candidate_is_promoted_whole_once_and_can_be_rolled_back() {
    let policies = PolicySetBuilder::new().component("p", DENY_ALL).load().unwrap();
    let first = policies.status().revision;
    let candidate = policies.candidate(PolicySetBuilder::new().component("p", ALLOW_ALL)).unwrap();
    assert!(!allows(&policies));
    let revision = candidate.promote().unwrap();
    assert!(allows(&policies));
    assert_eq!((policies.status().revision, revision), (candidate.revision(), candidate.revision()));
    assert_eq!(policies.status().kept, [first]);
    assert_eq!(candidate.promote().unwrap_err().code(), "already-promoted");
    // What was made in code is what is loaded again.
    assert_eq!(policies.reload().unwrap(), revision);
    assert_eq!(policies.rollback().unwrap(), first);
    assert!(!allows(&policies));
    assert_eq!(candidate.promote().unwrap_err().code(), "already-promoted");
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
        let error = candidate.promote_if(&rule, &candidate.replay(&recorder.recording())).unwrap_err();
        assert_eq!(stage.policies.status().revision, before, "{error}");
        (error.code(), error.to_string())
    };
    let same = || classes(&["public", "new"]);
    assert_eq!(refused(same(), after(4)).0, "too-little-evidence");
    let (code, text) = refused(same(), PromotionRule::new(3, hour));
    assert_eq!(code, "too-little-evidence");
    assert_eq!(text, "the candidate has judged 3 of 3 requests over 59 of 3600 seconds: go on trying it");
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
        candidate.promote_if(&rule, &candidate.replay(&recorder.recording())).unwrap();
        stage.policies.rollback().unwrap();
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
    assert_eq!(other.promote_if(&after(1), &found).unwrap_err().code(), "other-candidate");
    stage.policies.replace(classes(&["public", "meanwhile"])).unwrap();
    assert_eq!(candidate.promote_if(&after(1), &found).unwrap_err().code(), "stale-evidence");
    // Of both sets: that is none either.
    assert!(stage.ask("public"));
    let mixed = candidate.replay(&recorder.recording());
    assert_eq!(
        (mixed.judged(), candidate.promote_if(&after(1), &mixed).unwrap_err().code()),
        (2, "stale-evidence")
    );
    recorder.clear();
    assert!(stage.ask("public"));
    candidate.promote_if(&after(1), &candidate.replay(&recorder.recording())).unwrap();
}

#[test]
fn a_shadow_promotes_as_soon_as_its_rule_allows_and_not_before() {
    let stage = Stage::new(classes(&["public"]).load().unwrap());
    let candidate = stage.policies.candidate(classes(&["public", "new"])).unwrap();
    let shadow = stage.shadow(&candidate);
    shadow.promote_when(PromotionRule::new(3, Duration::from_secs(60)));
    assert!(stage.ask("public") && stage.ask("public") && stage.ask("public"));
    stage.judged(3);
    assert!(!candidate_is_in_force(&stage, &candidate), "within one second");
    let held_back = || stage.policies.status().trial.unwrap().held_back;
    assert_eq!(held_back(), Some("too-little-evidence"));
    stage.clock.advance(Duration::from_secs(60));
    assert!(stage.ask("public"));
    assert!(stage.policies.wait_until(PATIENCE, |status| {
        status.trial.as_ref().is_some_and(|trial| trial.promoted.is_some() && trial.ended)
    }));
    assert!(candidate_is_in_force(&stage, &candidate));
    assert_eq!(held_back(), None);
    assert!(stage.ask("new"));
    assert_eq!(candidate.promote().unwrap_err().code(), "already-promoted");
    drop(shadow);
    assert!(stage.ask("new"), "it stays in force");
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
    let (first, compiled) = timed("clerk");
    // Mended, and mended again: only the configuration is another one.
    let again = ["a", "b", "c", "d", "e"].map(|role| timed(role).1).into_iter().min().unwrap();
    assert!(again < compiled / 2, "{compiled:?}, then {again:?}");
    // Nor when it is promoted and its files come after it.
    first.promote().unwrap();
    let loaded = ["f", "g", "h"].map(|role| {
        let began = Instant::now();
        policies.replace(rbac(role)).unwrap();
        began.elapsed()
    });
    assert!(loaded.into_iter().min().unwrap() < compiled / 2, "{compiled:?}, then {loaded:?}");
}

/// P1: while policies change, no evidence against others puts a candidate in force that these would not have let through.
#[test]
fn no_race_promotes_on_evidence_against_other_policies() {
    for _ in 0..4 {
        // The candidate agrees with the first set, and loosens the second.
        let stage = Stage::new(classes(&["public", "new"]).load().unwrap());
        let candidate = stage.policies.candidate(classes(&["public", "new", "newer"])).unwrap();
        let shadow = stage.shadow(&candidate);
        shadow.promote_when(after(5));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        stage.ask("new");
                    }
                });
            }
            for _ in 0..200 {
                let strict = stage.policies.replace(classes(&["public"])).unwrap();
                for _ in 0..50 {
                    assert_eq!(stage.policies.status().revision, strict);
                    std::thread::yield_now();
                }
                if stage.policies.status().trial.unwrap().promoted.is_some() {
                    break;
                }
                stage.policies.replace(classes(&["public", "new"])).unwrap();
                std::thread::yield_now();
            }
            // Left alone, the set that it agrees with is replaced.
            if stage.policies.status().trial.unwrap().promoted.is_none() {
                stage.policies.replace(classes(&["public", "new"])).unwrap();
            }
            let promoted = stage.policies.wait_until(PATIENCE, |status| {
                status.trial.as_ref().is_some_and(|trial| trial.promoted.is_some())
            });
            done.store(true, Ordering::Relaxed);
            assert!(promoted);
        });
        assert_eq!(candidate.promote().unwrap_err().code(), "already-promoted");
    }
}

fn candidate_is_in_force(stage: &Stage, candidate: &ztlib::authorize::policy::trial::Candidate) -> bool {
    stage.policies.status().revision == candidate.revision()
}

#[test]
fn one_change_keeps_a_rule_from_promoting_however_much_agrees() {
    let stage = Stage::new(classes(&["public"]).load().unwrap());
    let candidate = stage.policies.candidate(classes(&["public", "new"])).unwrap();
    let shadow = stage.shadow(&candidate);
    assert!(!stage.ask("new"));
    shadow.promote_when(after(1));
    for _ in 0..50 {
        assert!(stage.ask("public"));
    }
    stage.judged(51);
    assert!(!candidate_is_in_force(&stage, &candidate));
    let trial = stage.policies.status().trial.unwrap();
    assert_eq!((trial.held_back, trial.promoted), (Some("would-change"), None));
    // By hand it may be.
    candidate.promote().unwrap();
    assert!(stage.ask("new"));
    assert!(stage.policies.wait_until(PATIENCE, |status| {
        status.trial.as_ref().is_some_and(|trial| trial.promoted.is_some() && trial.ended)
    }));
}

#[test]
fn an_ended_shadow_promotes_nothing() {
    for _ in 0..20 {
        let stage = Stage::new(classes(&["public"]).load().unwrap());
        let candidate = stage.policies.candidate(classes(&["public", "new"])).unwrap();
        let shadow = stage.shadow(&candidate);
        shadow.promote_when(after(200));
        for _ in 0..100 {
            stage.ask("public");
        }
        // Some wait in the queue still.
        shadow.end();
        let at_the_end = stage.policies.status().revision;
        for _ in 0..200 {
            stage.ask("public");
        }
        assert_eq!(stage.policies.status().revision, at_the_end);
        assert_ne!(at_the_end, candidate.revision());
    }
}

/// Signed sets: the candidate is held to the same keys and versions, before and when it is promoted.
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
    let candidate = load().unwrap();
    assert_eq!(policies.status().highest_version, Some(3), "not raised yet");
    // Meanwhile a higher one comes in force: the candidate is too old then, by hand, too.
    folder.sign(&folder.draft(5, "allow.wasm", ""), &key);
    policies.reload().unwrap();
    assert_eq!(candidate.promote().unwrap_err().code(), "older-version");
    assert!(allows(&policies));
    next.sign(&next.draft(6, "deny.wasm", ""), &key);
    load().unwrap().promote().unwrap();
    assert!(!allows(&policies));
    let status = policies.status();
    assert_eq!((status.version, status.highest_version, status.last_error), (Some(6), Some(6), None));
    assert_eq!(policies.reload().unwrap_err().code(), "older-version", "the files are those of before");
}

/// The files in place go on saying what they said: that must not undo a promotion.
#[test]
fn whoever_watches_does_not_put_the_old_files_back_until_they_say_something_else() {
    let (folder, next) = (Folder::new(), Folder::new());
    let roles = |contents: &str| {
        folder.put("roles.json", contents);
        folder
            .put("policies.toml", folder.draft(1, "allow.wasm", &document("roles", "roles.json", contents)));
    };
    roles("[1]");
    let policies = Policies::from_manifest(folder.manifest()).allow_unsigned().load().unwrap();
    policies.watch().unwrap();
    next.put("roles.json", "[1]");
    next.put("policies.toml", next.draft(1, "deny.wasm", &document("roles", "roles.json", "[1]")));
    let candidate = policies.candidate_from_manifest(next.manifest()).unwrap();
    let promoted = candidate.promote().unwrap();
    assert!(!allows(&policies));
    // Another document in the old files: it is taken over, the old policies are not.
    roles("[2]");
    assert!(policies.wait_until(PATIENCE, |status| status.revision != promoted), "{:?}", policies.status());
    assert!(!allows(&policies));
    // Other policies: they are loaded.
    folder.put("policies.toml", folder.draft(1, "any.wasm", ""));
    assert!(policies.wait_until(PATIENCE, |status| status.loads >= 3), "{:?}", policies.status());
    assert!(allows(&policies));
    fs::metadata(next.manifest()).unwrap();
}

//! What is recorded, what never is, and how much of it.

use ztlib::authenticate::Principal;
use ztlib::authorize::Labels;
use ztlib::authorize::{Answer, Outcome, Read, Reader};
use ztlib::policies::PolicySetBuilder;
use ztlib::policies::trial::{Attribute, Recording, RecordingRules};

use crate::sets::Folder;
use crate::stage::{Stage, classes};
use crate::support::{By, World};

#[test]
fn nothing_is_recorded_unless_it_was_asked_for_and_only_until_the_recorder_is_dropped() {
    let stage = Stage::new(classes(&["public"]).load().unwrap());
    assert!(stage.ask("public"));
    let recorder = stage.policies.record(RecordingRules::new()).unwrap();
    assert!(recorder.recording().is_empty());
    assert!(stage.ask("public"));
    assert_eq!(recorder.recording().len(), 1);
    let second = stage.policies.record(RecordingRules::new());
    assert_eq!(second.unwrap_err().code(), "already-recording");
    drop(recorder);
    assert!(stage.ask("public"));
    assert_eq!(stage.policies.record(RecordingRules::new()).unwrap().recording().len(), 0);
}

#[test]
fn the_oldest_make_room_within_both_bounds() {
    let stage = Stage::new(classes(&["public"]).load().unwrap());
    let recorder = stage.policies.record(RecordingRules::new().records(5)).unwrap();
    for _ in 0..8 {
        stage.ask("secret");
    }
    let recording = recorder.recording();
    assert_eq!((recording.len(), recording.evicted()), (5, 3));
    drop(recorder);

    let bytes = 64 * 1024;
    let recorder = stage.policies.record(RecordingRules::new().bytes(bytes)).unwrap();
    let long = "x".repeat(2000);
    for _ in 0..200 {
        stage.ask(&long);
    }
    let recording = recorder.recording();
    let len = recording.len();
    assert!((8..=16).contains(&len), "{len} records of 4000 bytes and what goes with them");
    assert_eq!(recording.evicted() + len as u64, 200);
    drop(recorder);

    // What is too large alone is not kept, and nothing makes room for it.
    let recorder = stage.policies.record(RecordingRules::new().bytes(1)).unwrap();
    stage.ask("public");
    assert_eq!((recorder.recording().len(), recorder.recording().evicted()), (0, 1));
}

/// A policy that may make names of what callers send wants no more than the bound.
#[test]
fn the_attributes_are_bounded() {
    let decide = |question: &mut Reader, _: &mut Outcome| {
        let name = match question.read(Read::Action)? {
            ztlib::authorize::Value::Text(name) => name.to_string(),
            _ => String::new(),
        };
        question.read(Read::Label(name.as_str().into()))?;
        Ok(Answer::Allow)
    };
    let stage = Stage::new(PolicySetBuilder::new().native("p", By(decide)).load().unwrap());
    let recorder = stage.policies.record(RecordingRules::new()).unwrap();
    for n in 0..400 {
        stage.guard.ask(&Principal::anonymous(), &format!("a{n}"), Labels::new()).unwrap();
    }
    stage.guard.ask(&Principal::anonymous(), &"long".repeat(100), Labels::new()).unwrap();
    assert_eq!(recorder.attributes().len(), 256);
    let candidate = stage.policies.candidate(PolicySetBuilder::new().native("p", By(decide))).unwrap();
    let found = candidate.replay(&recorder.recording());
    assert_eq!((found.judged(), found.not_judged(), found.differing()), (256, 145, 0), "{found}");
}

/// P8: no token, key or certificate is in a recording, nor what is hidden by rule, nor what
/// policies have not read.
#[tokio::test]
async fn no_secret_is_in_a_recording_its_debug_or_its_file() {
    let world = World::new();
    let peer = world.frontend().await;
    let reads = [
        Read::Header("x-tag".into()),
        Read::ClaimString("/tenant".into()),
        Read::ClaimString("/ssn".into()),
        Read::ClaimContains("/ssn".into(), "123-45-6789".into()),
        Read::PeerSpiffeId,
        Read::HeaderNames,
    ];
    let decide = move |question: &mut Reader, outcome: &mut Outcome| {
        for read in reads.clone() {
            question.read(read)?;
        }
        outcome.set_request_header("x-of-policy", "made-of-a-secret")?;
        Ok(Answer::Allow)
    };
    let set = PolicySetBuilder::new().native("p", By(decide)).secret_header("x-api-key");
    let policies = set.load().unwrap();
    let guard = world.guard(policies.clone()).build();
    let rules = RecordingRules::new().also("header:authorization".parse().unwrap());
    let rules = rules.also(Attribute::header("x-api-key")).hide(Attribute::claim("/ssn"));
    let open = policies.record(RecordingRules::new().hide("route".parse().unwrap()));
    assert_eq!(open.unwrap_err().code(), "cannot-hide");
    let recorder = policies.record(rules).unwrap();
    let token =
        world.token().claim("tenant", "acme").claim("ssn", "123-45-6789").claim("unread", "not-asked-for");
    let token = token.sign();
    let mut request = world.request_of(&peer);
    for (name, value) in [
        ("authorization", format!("Bearer {token}")),
        ("cookie", "session=in-the-jar".to_owned()),
        ("x-api-key", "key-of-the-api".to_owned()),
        ("x-tag", "blue".to_owned()),
        ("x-unread", "not-asked-for".to_owned()),
    ] {
        request
            .headers_mut()
            .insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    assert_eq!(world.send(&guard, request).await.reason(), "passed");
    let recording = recorder.recording();
    let mut file = Vec::new();
    recording.write(&mut file).unwrap();
    let file = String::from_utf8(file).unwrap();
    for there in ["acme", "blue", "spiffe://example.org/frontend", "\"x-api-key\"", "claim:/ssn"] {
        assert!(file.contains(there), "{there}: {file}");
    }
    let signature = token.rsplit('.').next().unwrap();
    let nowhere = [
        token.as_str(),
        signature,
        "in-the-jar",
        "key-of-the-api",
        "123-45-6789",
        "not-asked-for",
        "made-of-a-secret",
    ];
    let debug = format!("{recorder:?} {recording:?}");
    for secret in nowhere {
        assert!(!file.contains(secret), "{secret}: {file}");
        assert!(!debug.contains(secret), "{secret}: {debug}");
    }
    for private in ["acme", "blue"] {
        assert!(!debug.contains(private), "{debug}");
    }
    assert!(file.contains(r#""claim-contains=(hidden)""#), "{file}");
    // The reads that are shown of it follow the rule of audit events.
    assert!(file.contains(r#"header(\"x-tag\")=(hidden)"#), "{file}");
}

#[test]
fn a_file_is_private_whole_and_read_again() {
    let folder = Folder::new();
    let stage = Stage::new(classes(&["public"]).load().unwrap());
    let recorder = stage.policies.record(RecordingRules::new()).unwrap();
    assert!(stage.ask("public") && !stage.ask("secret"));
    let file = folder.at("traffic.jsonl");
    recorder.recording().save(&file).unwrap();
    recorder.recording().save(&file).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let read = Recording::read(&file).unwrap();
    let candidate = stage.policies.candidate(classes(&["public", "secret"])).unwrap();
    assert_eq!(candidate.replay(&read), candidate.replay(&recorder.recording()));
    assert_eq!(
        candidate.replay(&read).summary(),
        "1 of 2 would change: 1 deny (classes: wrong-class) → allow"
    );
    let missing = Recording::read(folder.at("nothing.jsonl")).unwrap_err();
    assert_eq!(missing.code(), "recording-not-readable");
}

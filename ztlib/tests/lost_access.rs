//! P4 where policies come and go: what somebody has lost in a document stays lost through rollbacks
//! and failing cases; and no older set comes back by a detour.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "support/sets.rs"]
mod sets;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use ztlib::authorize::NativePolicy;
use ztlib::authorize::{Answer, Fault, Outcome, Read, Reader, Value};
use ztlib::policies::cases;
use ztlib::policies::trial::Recording;
use ztlib::policies::{PolicyStore, PolicySetBuilder, Status};

use sets::{Folder, allows, ed25519};

const LONG: Duration = Duration::from_secs(20);
const ROLES: &str = "[[document]]\nname = 'roles'\nfile = 'roles.json'\n";

/// Allows where the document contains alice.
struct In(&'static str);

impl NativePolicy for In {
    fn decide(&self, question: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
        let read = Read::DataContains(self.0.into(), "".into(), "alice".into());
        Ok(if question.read(read)? == Value::Bool(true) { Answer::Allow } else { Answer::Deny })
    }
}

fn set(name: &str, document: &[&str]) -> PolicySetBuilder {
    PolicySetBuilder::new().native(name, In("roles")).document("roles", document)
}

#[test]
fn a_case_that_hangs_on_a_document_holds_up_no_lost_access() {
    let folder = Folder::new();
    folder.write("probe.wasm", sets::PROBE);
    folder.write("roles.json", r#"["alice"]"#);
    let asks = r#"{"call": "data-contains", "with": ["roles", "", "alice"]}"#;
    let decide = format!(r#"{{"if": {asks}, "then": {{"answer": "allow"}}, "else": {{"answer": "deny"}}}}"#);
    folder.write("p.json", format!(r#"{{"decide": {decide}}}"#));
    folder.write("cases.toml", "format = 1\n[[case]]\nname = 'alice may'\npath = '/'\nexpect = 'allow'\n");
    let more = format!("config = 'p.json'\ntests = ['cases.toml']\n{ROLES}");
    folder.put("policies.toml", folder.draft(1, "probe.wasm", &more));
    let policies = PolicyStore::from_manifest(folder.manifest()).allow_unsigned().load().unwrap();
    assert!(allows(&policies));
    folder.put("roles.json", "[]");
    policies.reload().unwrap();
    assert!(!allows(&policies));
    // A policy that changes has to pass, as before.
    folder.put("policies.toml", folder.draft(2, "deny.wasm", &format!("tests = ['cases.toml']\n{ROLES}")));
    assert_eq!(policies.reload().unwrap_err().code(), "cases-failed");
}

#[test]
fn what_the_program_set_outlasts_every_rollback_and_a_document_that_nobody_looked_at_ends_them() {
    let policies = set("a", &["alice"]).load().unwrap();
    assert!(allows(&policies));
    policies.replace(PolicySetBuilder::new().component("b", sets::ALLOW_ALL)).unwrap();
    policies.replace(set("c", &["alice"])).unwrap();
    policies.set_document("roles", Vec::<String>::new()).unwrap();
    assert!(!allows(&policies));
    policies.rollback().unwrap();
    policies.rollback().unwrap();
    assert!(!allows(&policies), "alice has lost it");

    let policies = set("a", &["alice"]).load().unwrap();
    policies.replace(PolicySetBuilder::new().component("b", sets::DENY_ALL)).unwrap();
    assert_eq!(policies.rollback().unwrap_err().code(), "stale-document");
    assert!(!allows(&policies));
}

#[test]
fn documents_of_an_older_version_do_not_come_back_after_a_rollback() {
    let folder = Folder::new();
    let key = ed25519();
    folder.write("probe.wasm", sets::PROBE);
    let asks = r#"{"call": "data-contains", "with": ["roles", "", "alice"]}"#;
    let decide = format!(r#"{{"if": {asks}, "then": {{"answer": "allow"}}, "else": {{"answer": "deny"}}}}"#);
    let config = format!(r#"{{"decide": {decide}}}"#);
    folder.write("p.json", &config);
    let by_roles = format!("config = 'p.json'\nconfig-sha256 = '{}'\n", sets::digest(&config));
    let sign = |version, module, config: &str, roles| {
        folder.put("roles.json", roles);
        let roles = sets::document("roles", "roles.json", roles);
        folder.sign(&folder.draft(version, module, &format!("{config}{roles}")), &key);
    };
    let alice = r#"["alice"]"#;
    sign(5, "probe.wasm", &by_roles, alice);
    let policies = folder.trusting(&key).load().unwrap();
    sign(7, "deny.wasm", "", alice);
    policies.reload().unwrap();
    policies.rollback().unwrap();
    assert!(allows(&policies));
    policies.watch().unwrap();
    // The policies of 8 are those that were rolled back from; its documents are taken over.
    sign(8, "deny.wasm", "", "[]");
    assert!(policies.wait_until(LONG, |status| status.highest_version == Some(8)), "{:?}", policies.status());
    assert!(!allows(&policies), "alice has lost it");
    sign(7, "deny.wasm", "", alice);
    let refused = |code| {
        move |status: &Status| status.last_error.as_ref().is_some_and(|(error, _)| error.code() == code)
    };
    assert!(policies.wait_until(LONG, refused("older-version")), "{:?}", policies.status());
    assert!(!allows(&policies));
    // Nor do 8's policies come in force by it, until somebody says so.
    sign(8, "deny.wasm", "", "[]");
    assert!(policies.wait_until(LONG, |status| status.last_error.is_none()));
    assert_eq!(policies.status().version, Some(5));
    policies.reload().unwrap();
    assert_eq!(policies.status().version, Some(8));
}

#[test]
fn two_handles_on_one_mark_do_not_lower_it() {
    let (folder, other) = (Folder::new(), Folder::new());
    let key = ed25519();
    let mark = other.at("mark");
    folder.sign(&folder.draft(5, "allow.wasm", ""), &key);
    let load = || folder.trusting(&key).keep_version_in(&mark).load();
    let (one, behind) = (load().unwrap(), load().unwrap());
    folder.sign(&folder.draft(8, "allow.wasm", ""), &key);
    one.reload().unwrap();
    folder.sign(&folder.draft(6, "deny.wasm", ""), &key);
    assert_eq!(behind.reload().unwrap_err().code(), "older-version");
    assert_eq!(load().unwrap_err().code(), "older-version", "after a restart");
    folder.sign(&folder.draft(8, "allow.wasm", ""), &key);
    assert!(load().is_ok());
}

fn recording(attributes: &str, policy: &str) -> String {
    let (id, digest) = ("0".repeat(31) + "1", "0".repeat(64));
    let decision = format!(r#"{{"verdict":"deny","policy":"{policy}","reason":"r"}}"#);
    format!(
        "{{\"format\":1,\"kind\":\"ztlib-recording\",\"hidden\":[]}}\n{{\"id\":\"{id}\",\"time\":1,\"action\":\"a\",\"token\":false,\"attributes\":{{{attributes}}},\"judged-by\":\"{digest}\",\"decision\":{decision},\"reads\":[]}}\n"
    )
}

#[test]
fn a_recording_neither_acts_on_a_terminal_nor_takes_minutes_to_read() {
    let parse = |text: String| Recording::parse(Path::new("r"), text.as_bytes());
    assert!(parse(recording("", "p")).is_ok());
    for text in ["\\u001b[2J", "a\\n0 of 1 would change", "\\u202ea"] {
        let error = parse(recording("", text)).unwrap_err();
        assert!(error.to_string().contains("control or direction"), "{error}");
    }
    let mut many = String::new();
    for n in 0..257 {
        write!(many, "{}\"label:{n}\":null", if n == 0 { "" } else { "," }).unwrap();
    }
    let error = parse(recording(&many, "p")).unwrap_err();
    assert!(error.to_string().contains("at most 256 attributes"), "{error}");
}

#[test]
fn the_parts_of_a_manifest_are_counted_before_any_is_read() {
    let folder = Folder::new();
    let mut documents = String::new();
    for n in 0..65 {
        write!(documents, "[[document]]\nname = 'd{n}'\nfile = 'missing.json'\n").unwrap();
    }
    folder.put("policies.toml", folder.draft(1, "allow.wasm", &documents));
    let error = cases::Draft::load(folder.manifest()).err().unwrap();
    assert_eq!(error.code(), "too-many-parts");
}

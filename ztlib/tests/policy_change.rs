//! Ask, change the policies, ask again: manifests and their mistakes, reloads, and what happens to
//! answers in flight.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set itself up has failed"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use ztlib::authenticate::Principal;
use ztlib::authorize::{
    Answer, Decision, Fault, Labels, Outcome, Read, Reader, SignalError, SignalSource, Value,
};
use ztlib::authorize::{Evaluation, NativePolicy};
use ztlib::policies::{LoadError, PolicySetBuilder, PolicyStore};

const ALLOW_ALL: &[u8] = include_bytes!("../../plugins/artifacts/allow-all.wasm");
/// Allows, too, and takes any configuration.
const ANY_CONFIG: &[u8] = include_bytes!("../../plugins/artifacts/float-nan.wasm");
const FLIP_FLOP: &[u8] = include_bytes!("../../plugins/artifacts/flip-flop.wasm");
const DENY_ALL: &[u8] = include_bytes!("../../plugins/artifacts/deny-all.wasm");

fn digest(bytes: &[u8]) -> String {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes)
        .as_ref()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// A folder that is gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    /// With both components and a manifest, in which `ALLOW` and `DENY` stand for their digests.
    fn new(manifest: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ztlib-policies-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let folder = Self(path);
        folder.write("allow-all.wasm", ALLOW_ALL);
        folder.write("deny-all.wasm", DENY_ALL);
        folder.write("any-config.wasm", ANY_CONFIG);
        folder.manifest(manifest);
        folder
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), contents).unwrap();
    }

    /// Replaces the manifest as one should: by a rename.
    fn manifest(&self, manifest: &str) {
        let manifest = manifest.replace("ALLOW", &digest(ALLOW_ALL));
        let manifest = manifest.replace("DENY", &digest(DENY_ALL)).replace("ANY", &digest(ANY_CONFIG));
        self.write("next", manifest);
        fs::rename(self.0.join("next"), self.path()).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.0.join("policies.toml")
    }

    fn load(&self) -> Result<PolicyStore, LoadError> {
        PolicyStore::from_manifest(self.path()).allow_unsigned().signals(NoSignals).load()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct NoSignals;
impl SignalSource for NoSignals {
    fn signal(&self, _: &str, _: &ztlib::authorize::Caller) -> Result<Option<String>, SignalError> {
        Ok(None)
    }
}

fn ask(policies: &PolicyStore) -> Evaluation {
    policies.simulate(Principal::anonymous(), "test", Labels::new(), SystemTime::UNIX_EPOCH)
}

fn allows(policies: &PolicyStore) -> bool {
    matches!(ask(policies).result(), Ok(Decision::Allow(_)))
}

const ALLOW: &str = "format = 1\n[[policy]]\nname = 'p'\nmodule = 'allow-all.wasm'\nsha256 = 'ALLOW'\n";
const DENY: &str = "format = 1\n[[policy]]\nname = 'p'\nmodule = 'deny-all.wasm'\nsha256 = 'DENY'\n";

#[test]
fn a_manifest_says_all_there_is_to_say() {
    let folder = Folder::new(
        r#"
format = 1
signals = ["risk"]
secret-headers = ["X-Api-Key"]

[[policy]]
name = "gate"
module = "any-config.wasm"
sha256 = "ANY"
config = "gate.yaml"
reasons = ["no-role"]

[policy.budget]
fuel = 1_000_000
wall-clock-ms = 50
reads = 16

[[policy]]
name = "extra"
module = "allow-all.wasm"
sha256 = "ALLOW"
may-abstain = true

[[document]]
name = "roles"
file = "data/roles.json"
"#,
    );
    fs::create_dir(folder.0.join("data")).unwrap();
    folder.write("gate.yaml", "a: 1\n");
    folder.write("data/roles.json", r#"{"admin": ["alice"]}"#);
    let policies = folder.load().unwrap();
    assert!(allows(&policies));
    let answers: Vec<String> = ask(&policies).answers().map(|(policy, _)| policy.to_owned()).collect();
    assert_eq!(answers, ["gate", "extra"]);
}

#[test]
fn an_unsigned_set_needs_a_verb() {
    let folder = Folder::new(ALLOW);
    let error = PolicyStore::from_manifest(folder.path()).load().unwrap_err();
    assert_eq!(error.code(), "unsigned-set");
    assert!(error.to_string().contains("allow_unsigned()"), "{error}");
    assert!(PolicyStore::from_manifest(folder.path()).allow_unsigned().load().is_ok());
}

#[test]
fn mistakes_in_a_manifest_name_their_line_and_what_to_do() {
    let policy = |lines: &str| {
        format!("format = 1\n[[policy]]\nname = 'p'\nmodule = 'allow-all.wasm'\nsha256 = 'ALLOW'\n{lines}")
    };
    let document = |lines: &str| format!("{ALLOW}[[document]]\n{lines}");
    let cases: Vec<(String, &str, Option<usize>, &str)> = vec![
        ("".into(), "missing-key", Some(1), "format = 1"),
        ("format = 2".into(), "unknown-format", Some(1), "format = 1"),
        ("format = '1'".into(), "wrong-type", Some(1), "whole number"),
        ("format = -1".into(), "wrong-type", Some(1), "whole number"),
        ("format = 1\nformat = 1".into(), "malformed-file", Some(2), "duplicate"),
        ("format = 1\n\n\nx = ".into(), "malformed-file", Some(4), ""),
        ("format = 1".into(), "no-policies", None, "add one"),
        ("format = 1\npolicies = []".into(), "unknown-key", Some(2), "did you mean `policy`?"),
        (
            "format = 1\nwhatever = 1".into(),
            "unknown-key",
            Some(2),
            "the keys are format, version, for, policy",
        ),
        ("format = 1\npolicy = 'x'".into(), "wrong-type", Some(2), "[[policy]]"),
        ("format = 1\npolicy = ['x']".into(), "wrong-type", Some(2), "[[policy]]"),
        ("format = 1\n[policy]\nname = 'x'".into(), "wrong-type", Some(2), "[[policy]]"),
        (policy("modul = 'x'"), "unknown-key", Some(6), "did you mean `module`?"),
        (policy("may_abstain = true"), "unknown-key", Some(6), "did you mean `may-abstain`?"),
        (policy("may-abstain = 'yes'"), "wrong-type", Some(6), "`true` or `false`"),
        (policy("reasons = 'no-role'"), "wrong-type", Some(6), "a list"),
        (policy("reasons = ['a', 'a']"), "duplicate-name", Some(6), "`a` twice"),
        (policy("reasons = ['No Role']"), "bad-reason", Some(3), "`No Role`"),
        (policy("[policy.budget]\nfule = 1"), "unknown-key", Some(7), "did you mean `fuel`?"),
        (
            policy("[policy.budget]\nmemory-bytes = 1_000_000_000_000"),
            "budget-too-large",
            Some(6),
            "`memory-bytes`",
        ),
        (policy("[policy.budget]\nmodule-bytes = 100"), "file-too-large", Some(4), "100 bytes"),
        (policy("config = 'nothing.yaml'"), "file-not-found", Some(6), "`nothing.yaml`"),
        (policy("config = 'allow-all.wasm'"), "file-not-utf8", Some(6), "UTF-8"),
        (policy("config = 'bad.txt'"), "unknown-format", Some(6), ".yaml"),
        (policy("config = 'bad.yaml'"), "malformed-file", Some(1), "`a` appears twice"),
        ("format = 1\n[[policy]]\nmodule = 'x'".into(), "missing-key", Some(2), "`name`"),
        ("format = 1\n[[policy]]\nname = 'p'".into(), "missing-key", Some(2), "`module`"),
        (
            "format = 1\n[[policy]]\nname = 'p'\nmodule = 'allow-all.wasm'".into(),
            "missing-key",
            Some(2),
            "sha256 = \"",
        ),
        (
            "format = 1\n[[policy]]\nname = 'P!'\nmodule = 'allow-all.wasm'\nsha256 = 'ALLOW'".into(),
            "bad-name",
            Some(3),
            "`P!`",
        ),
        (ALLOW.replace("'p'", "'policy-set'"), "bad-name", Some(3), "policy-set"),
        (
            format!("{ALLOW}{}", ALLOW.replace("format = 1\n", "")),
            "duplicate-name",
            Some(7),
            "earlier policy",
        ),
        (ALLOW.replace("'ALLOW'", "'abc'"), "bad-digest", Some(5), "sha256sum"),
        (ALLOW.replace("'ALLOW'", "'DENY'"), "digest-mismatch", Some(5), "pin its digest"),
        (ALLOW.replace("allow-all.wasm", "nothing.wasm"), "file-not-found", Some(4), "`nothing.wasm`"),
        (ALLOW.replace("allow-all.wasm", "/etc/passwd"), "path-leaves-folder", Some(4), "relative"),
        (ALLOW.replace("allow-all.wasm", "../x/allow-all.wasm"), "path-leaves-folder", Some(4), "`..`"),
        (ALLOW.replace("allow-all.wasm", "a/../allow-all.wasm"), "path-leaves-folder", Some(4), "`..`"),
        (ALLOW.replace("allow-all.wasm", ""), "path-leaves-folder", Some(4), "relative"),
        (ALLOW.replace("allow-all.wasm", "data"), "file-not-readable", Some(4), "not a file"),
        (document("name = 'd'"), "missing-key", Some(6), "`file`"),
        (document("name = 'd'\nfile = 'bad.json'"), "malformed-file", Some(3), "twice"),
        (document("name = 'd'\nfile = 'ok.json'\nsha256 = 'ALLOW'"), "digest-mismatch", Some(9), "ok.json"),
        (
            document("name = 'd'\nfile = 'ok.json'\n[[document]]\nname = 'd'\nfile = 'ok.json'"),
            "duplicate-name",
            Some(10),
            "two documents are named `d`",
        ),
        (document("name = 'D'\nfile = 'ok.json'"), "bad-name", None, "`D`"),
        (format!("signals = ['a b']\n{ALLOW}"), "bad-name", None, "`a b`"),
        (format!("secret-headers = ['a b']\n{ALLOW}"), "bad-name", None, "`a b`"),
    ];
    for (manifest, code, line, says) in cases {
        let folder = Folder::new(&manifest);
        folder.write("bad.txt", "a");
        folder.write("bad.yaml", "a: 1\nb: 2\na: 3\n");
        folder.write("bad.json", "{\"a\": 1,\n\"b\": 2,\n\"a\": 3}");
        folder.write("ok.json", "{}");
        fs::create_dir(folder.0.join("data")).unwrap();
        let error = folder.load().unwrap_err();
        assert_eq!((error.code(), error.line()), (code, line), "{manifest}\n{error}");
        assert!(error.to_string().contains(says), "{manifest}\n{error}\nshould say {says}");
        assert!(error.file().is_some() || line.is_none(), "{manifest}\n{error}");
    }
    let missing =
        PolicyStore::from_manifest("/nonexistent/policies.toml").allow_unsigned().load().unwrap_err();
    assert_eq!(missing.code(), "file-not-readable");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_manifest_is_an_error_and_nothing_worse(at in 0_usize..150, with: u8, cut in 0_usize..200) {
        let mut manifest = format!("signals = ['s']\n{ALLOW}[[document]]\nname = 'd'\nfile = 'd.json'\n").into_bytes();
        let length = manifest.len();
        manifest[at % length] = with;
        manifest.truncate(cut.max(1));
        let folder = Folder::new("");
        folder.write("policies.toml", manifest);
        folder.write("d.json", "{}");
        if let Err(error) = folder.load() {
            prop_assert!(!error.to_string().contains(char::is_control), "{}", error);
            prop_assert!(error.to_string().len() < 2048);
        }
    }
}

#[test]
fn declared_signals_need_a_source() {
    let folder = Folder::new(&format!("signals = ['risk']\n{ALLOW}"));
    assert_eq!(
        PolicyStore::from_manifest(folder.path()).allow_unsigned().load().unwrap_err().code(),
        "no-signal-source"
    );
    assert!(folder.load().is_ok());
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_out_of_the_folder_is_refused() {
    let outside = Folder::new(ALLOW);
    let folder = Folder::new(&ALLOW.replace("allow-all.wasm", "link.wasm"));
    std::os::unix::fs::symlink(outside.0.join("allow-all.wasm"), folder.0.join("link.wasm")).unwrap();
    assert_eq!(folder.load().unwrap_err().code(), "path-leaves-folder");
    fs::remove_file(folder.0.join("link.wasm")).unwrap();
    std::os::unix::fs::symlink("allow-all.wasm", folder.0.join("link.wasm")).unwrap();
    assert!(folder.load().is_ok());
}

/// Findings D4: the place of a mistake in a configuration is the configuration, not the manifest
/// that names it.
#[test]
fn what_a_policy_refuses_is_placed_in_the_file_of_its_configuration() {
    let rbac = include_bytes!("../../plugins/artifacts/rbac.wasm");
    let manifest = format!(
        "format = 1\n[[policy]]\nname = 'rbac'\nmodule = 'rbac.wasm'\nsha256 = '{}'\nconfig = 'CONFIG'\n",
        digest(rbac)
    );
    let refused = |file: &str, config: &str| {
        let folder = Folder::new(&manifest.replace("CONFIG", file));
        folder.write("rbac.wasm", rbac);
        folder.write(file, config);
        let error = folder.load().unwrap_err();
        assert_eq!((error.code(), error.policy()), ("configure-refused", Some("rbac")), "{error}");
        (Path::new(error.file().unwrap()).file_name().unwrap().to_str().unwrap().to_owned(), error.line())
    };
    let yaml = "roles:\n  claims: [/roles]\npermissions:\n  clerk:\n    - methods: [GET]\n      routes:\n        - /orders\n        - ROUTE\n";
    let said = refused("rbac.yaml", &yaml.replace("ROUTE", "/orders/:id"));
    assert_eq!(said, ("rbac.yaml".to_owned(), Some(8)));
    // Where the same text is in another line, too, none is said.
    assert_eq!(refused("rbac.yaml", &yaml.replace("ROUTE", "/orders")), ("rbac.yaml".to_owned(), None));
    let toml =
        "[roles]\nclaims = ['/roles']\n[[permissions.clerk]]\nmethods = ['Get']\nroutes = ['/orders']\n";
    assert_eq!(refused("rbac.toml", toml), ("rbac.toml".to_owned(), Some(4)));
    let json = "{\n \"roles\": {\n  \"claim\": []\n },\n \"permissions\": {}\n}";
    assert_eq!(refused("rbac.json", json), ("rbac.json".to_owned(), Some(3)));
}

#[test]
fn the_last_good_revision_stays_on_every_kind_of_bad_candidate() {
    let folder = Folder::new(ALLOW);
    let policies = folder.load().unwrap();
    let good = policies.status().revision;
    folder.write("truncated.wasm", &ALLOW_ALL[..ALLOW_ALL.len() / 2]);
    let candidate = |name: &str| {
        let artifacts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/artifacts");
        if let Ok(bytes) = fs::read(artifacts.join(name)) {
            folder.write(name, bytes);
        }
        let bytes = fs::read(folder.0.join(name)).unwrap();
        ALLOW.replace("allow-all.wasm", name).replace("ALLOW", &digest(&bytes))
    };
    let mut failures = 0;
    for (manifest, code) in [
        (String::new(), "missing-key"),
        ("format = 1\n[[pol".to_owned(), "malformed-file"),
        (ALLOW.replace("'ALLOW'", "'DENY'"), "digest-mismatch"),
        (ALLOW.replace("allow-all.wasm", "truncated.wasm"), "digest-mismatch"),
        (candidate("truncated.wasm"), "not-a-component"),
        (candidate("forbidden-import.wasm"), "forbidden-import"),
        (candidate("future-contract.wasm"), "wrong-contract"),
        (candidate("no-guard.wasm"), "missing-export"),
        // Fuel before time, on a slow machine too.
        (candidate("endless-configure.wasm") + "[policy.budget]\nwall-clock-ms = 5000\n", "fuel-spent"),
        (candidate("read-during-configure.wasm"), "read-outside-decide"),
        (candidate("trap-in-configure.wasm"), "trap"),
        (candidate("rbac.wasm"), "configure-refused"),
    ] {
        folder.manifest(&manifest);
        assert_eq!(policies.reload().unwrap_err().code(), code, "{manifest}");
        failures += 1;
        let status = policies.status();
        assert_eq!((status.revision, status.loads, status.failures), (good, 1, failures));
        assert_eq!(status.last_error.unwrap().0.code(), code);
        assert!(allows(&policies));
    }
    folder.manifest(DENY);
    let new = policies.reload().unwrap();
    assert_ne!(new, good);
    assert!(policies.status().last_error.is_none());
    assert!(!allows(&policies));
    fs::remove_file(folder.path()).unwrap();
    assert!(policies.reload().is_err());
    assert_eq!(policies.status().revision, new);
}

#[test]
fn equal_sets_have_equal_revisions_and_every_difference_shows() {
    let revision = |manifest: &str, config: &str, document: &str| {
        let folder = Folder::new(manifest);
        folder.write("flip-flop.wasm", FLIP_FLOP);
        folder.write("c.yaml", config);
        folder.write("d.json", document);
        folder.load().unwrap().status().revision
    };
    let any = ALLOW.replace("allow-all.wasm", "any-config.wasm").replace("ALLOW", "ANY");
    let base = format!("{any}config = 'c.yaml'\n[[document]]\nname = 'd'\nfile = 'd.json'\n");
    let first = revision(&base, "a: 1", "{}");
    assert_eq!(revision(&base, "a: 1", "{}"), first);
    assert_eq!(revision(&format!("# a comment\n{base}"), "{\"a\": 1} # the same", " { } "), first);
    for (manifest, config, document) in [
        (base.clone(), "a: 2", "{}"),
        (base.clone(), "a: 1", "[]"),
        (base.replace("'p'", "'q'"), "a: 1", "{}"),
        (base.replace("name = 'd'", "name = 'e'"), "a: 1", "{}"),
        (base.replace("any-config.wasm", "flip-flop.wasm").replace("ANY", &digest(FLIP_FLOP)), "a: 1", "{}"),
        (base.replace("config =", "may-abstain = true\nconfig ="), "a: 1", "{}"),
        (base.replace("config =", "reasons = ['r']\nconfig ="), "a: 1", "{}"),
        (
            base.replace("config = 'c.yaml'", "config = 'c.yaml'\n[policy.budget]\nfuel = 9_000_000"),
            "a: 1",
            "{}",
        ),
        (format!("signals = ['s']\n{base}"), "a: 1", "{}"),
        (format!("secret-headers = ['s']\n{base}"), "a: 1", "{}"),
    ] {
        assert_ne!(revision(&manifest, config, document), first, "{manifest}");
    }
    assert_eq!(first.to_string().len(), 12);
    assert!(first.digest().starts_with(&first.to_string()));
}

#[test]
fn a_change_on_disk_is_in_force_without_being_asked_for() {
    let folder = Folder::new(ALLOW);
    let policies = folder.load().unwrap();
    policies.watch().unwrap();
    policies.watch().unwrap();
    let first = policies.status().revision;
    folder.manifest(DENY);
    assert!(policies.wait_until(Duration::from_secs(20), |status| status.revision != first));
    assert!(!allows(&policies));

    // What cannot be loaded is reported and changes nothing; what can be loaded then heals it.
    folder.manifest("format = 1");
    assert!(policies.wait_until(Duration::from_secs(20), |status| status.last_error.is_some()));
    assert!(!allows(&policies));
    folder.manifest(ALLOW);
    assert!(policies.wait_until(Duration::from_secs(20), |status| status.revision == first));
    assert!(policies.status().last_error.is_none());
    assert!(allows(&policies));
}

#[test]
fn a_change_of_what_the_manifest_names_is_noticed_too() {
    let folder = Folder::new(&format!("{ALLOW}[[document]]\nname = 'd'\nfile = 'd.json'\n"));
    folder.write("d.json", "{}");
    let policies = folder.load().unwrap();
    policies.watch().unwrap();
    let first = policies.status().revision;
    folder.write("d.json", r#"{"a": 1}"#);
    assert!(policies.wait_until(Duration::from_secs(20), |status| status.revision != first));
}

#[cfg(unix)]
#[test]
fn swapping_a_link_to_the_whole_folder_is_noticed() {
    // As Kubernetes mounts a ConfigMap: the files are links into `..data`, which is a link to a
    // folder of its own.
    let folder = Folder::new(ALLOW);
    for (version, manifest) in [("..one", ALLOW), ("..two", DENY)] {
        let place = folder.0.join(version);
        fs::create_dir(&place).unwrap();
        folder.manifest(manifest);
        fs::rename(folder.path(), place.join("policies.toml")).unwrap();
    }
    let link = |to: &str, from: &str| std::os::unix::fs::symlink(to, folder.0.join(from)).unwrap();
    link("..one", "..data");
    link("..data/policies.toml", "policies.toml");
    let policies = folder.load().unwrap();
    policies.watch().unwrap();
    assert!(allows(&policies));
    let first = policies.status().revision;
    link("..two", "..data.next");
    fs::rename(folder.0.join("..data.next"), folder.0.join("..data")).unwrap();
    assert!(policies.wait_until(Duration::from_secs(20), |status| status.revision != first));
    assert!(!allows(&policies));
}

#[test]
fn a_set_made_in_code_has_no_files_to_watch() {
    let policies = PolicySetBuilder::new().component("p", ALLOW_ALL).load().unwrap();
    assert_eq!(policies.watch().unwrap_err().code(), "not-watchable");
    let revision = policies.status().revision;
    assert_eq!(policies.reload().unwrap(), revision);
}

#[test]
fn another_set_takes_the_place_of_one_made_in_code() {
    let policies = PolicySetBuilder::new().component("p", ALLOW_ALL).load().unwrap();
    let other_handle = policies.clone();
    let first = policies.status().revision;
    assert_ne!(policies.replace(PolicySetBuilder::new().component("p", DENY_ALL)).unwrap(), first);
    assert!(!allows(&other_handle));
    assert_eq!(policies.replace(PolicySetBuilder::new()).unwrap_err().code(), "no-policies");
    assert!(!allows(&other_handle));
    assert_eq!(policies.status().failures, 1);
}

/// Allows where the document `d` says so at `/on`, and denies otherwise.
struct AsTheDocumentSays;
impl NativePolicy for AsTheDocumentSays {
    fn decide(&self, question: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
        let on = question.read(Read::DataString("d".into(), "/on".into()))? == Value::Text("yes".into());
        Ok(if on { Answer::Allow } else { Answer::Deny })
    }
}

#[test]
fn a_document_changes_in_place_and_outlasts_reloads() {
    let policies = PolicySetBuilder::new()
        .native("p", AsTheDocumentSays)
        .component("q", ALLOW_ALL)
        .document("d", [("on", "yes")].into_iter().collect::<std::collections::BTreeMap<_, _>>())
        .load()
        .unwrap();
    assert!(allows(&policies));
    let first = policies.status().revision;
    let off: std::collections::BTreeMap<_, _> = [("on", "no")].into();
    assert_ne!(policies.set_document("d", off).unwrap(), first);
    assert!(!allows(&policies));
    policies.reload().unwrap();
    assert!(!allows(&policies), "the program's word is newer than what the set was made with");
    assert!(policies.replace(PolicySetBuilder::new()).is_err());
    policies.set_document("d", [1, 2]).unwrap();
    assert!(policies.status().last_error.is_some(), "a new document does not heal a bad candidate");
    let error = policies.set_document("e", "no").unwrap_err();
    assert_eq!(error.code(), "undeclared-document");
}

/// Waits inside of its evaluation until the test has changed the policies.
struct Waits(Arc<Barrier>, Mutex<u32>);
impl NativePolicy for Waits {
    fn decide(&self, question: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
        question.read(Read::DataString("d".into(), "/on".into()))?;
        let mut runs = self.1.lock().unwrap();
        *runs += 1;
        if *runs == 1 {
            drop(runs);
            self.0.wait();
            self.0.wait();
        }
        Ok(Answer::Allow)
    }
}

/// Reads the same document under another pointer, and denies where it is not the one that the first
/// policy saw.
struct SeesTheSame;
impl NativePolicy for SeesTheSame {
    fn decide(&self, question: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
        let whole = question.read(Read::DataJson("d".into(), "".into()))?;
        let part = question.read(Read::DataString("d".into(), "/on".into()))?;
        let (Value::Text(whole), Value::Text(part)) = (whole, part) else { return Ok(Answer::Deny) };
        Ok(if *whole == *format!(r#"{{"on":"{part}"}}"#) { Answer::Allow } else { Answer::Deny })
    }
}

#[test]
fn an_evaluation_in_flight_keeps_the_revision_that_it_began_with() {
    let document = |on: &'static str| std::collections::BTreeMap::from([("on", on)]);
    let barrier = Arc::new(Barrier::new(2));
    let policies = PolicySetBuilder::new()
        .native("waits", Waits(barrier.clone(), Mutex::new(0)))
        .native("same", SeesTheSame)
        .component("wasm", ALLOW_ALL)
        .document("d", document("old"))
        .load()
        .unwrap();
    let old = policies.status().revision;
    let in_flight = {
        let policies = policies.clone();
        std::thread::spawn(move || ask(&policies))
    };
    barrier.wait();
    policies.set_document("d", document("new")).unwrap();
    let replacement = PolicySetBuilder::new().component("wasm", DENY_ALL).document("d", document("new"));
    let new = policies.replace(replacement).unwrap();
    // The call has returned: whoever asks now is judged by the new revision, while the old
    // evaluation still runs.
    assert_eq!(ask(&policies).revision(), new);
    assert!(!allows(&policies));
    barrier.wait();
    let evaluation = in_flight.join().unwrap();
    assert_eq!(evaluation.revision(), old);
    assert!(matches!(evaluation.result(), Ok(Decision::Allow(_))), "{:?}", evaluation.result());
    let seen =
        evaluation.trace().reads().find(|(read, _)| matches!(read, Read::DataJson(..))).unwrap().1.clone();
    assert_eq!(seen, Value::Text(r#"{"on":"old"}"#.into()));
}

#[test]
fn under_constant_reloads_every_answer_is_that_of_its_revision() {
    let policies = PolicySetBuilder::new().component("p", ALLOW_ALL).load().unwrap();
    let allow = policies.status().revision;
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let evaluation = ask(&policies);
                        let allowed = matches!(evaluation.result(), Ok(Decision::Allow(_)));
                        assert_eq!(allowed, evaluation.revision() == allow);
                    }
                })
            })
            .collect();
        for round in 0..40 {
            let bytes = if round % 2 == 0 { DENY_ALL } else { ALLOW_ALL };
            policies.replace(PolicySetBuilder::new().component("p", bytes)).unwrap();
            if askers.iter().all(|asker| asker.is_finished()) {
                break;
            }
        }
    });
}

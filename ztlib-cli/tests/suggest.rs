//! `policy suggest`: from what a service recorded to a set that allows it, and nothing else.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says what it shows by its name, and fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("suggest-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// Writes a recording: method, route or action, peer, roles, verdict.
    fn record(&self, name: &str, records: &[(&str, &str, &str, &[&str], &str)]) {
        let mut text = String::from("{\"format\":1,\"kind\":\"ztlib-recording\",\"hidden\":[]}\n");
        for (n, (method, route, peer, roles, verdict)) in records.iter().enumerate() {
            let mut record = json!({
                "id": format!("{n:032x}"), "time": 1_767_225_600_000_u64 + n as u64, "token": true,
                "attributes": {
                    "peer": { "spiffe-id": format!("spiffe://shop.example/{peer}") },
                    "claim:/roles": [roles],
                },
                "judged-by": "0".repeat(64), "reads": [],
                "decision": match *verdict {
                    "deny" => json!({ "verdict": "deny", "policy": "first", "reason": "no-rule" }),
                    verdict => json!({ "verdict": verdict }),
                },
            });
            match *method {
                "action" => record["action"] = json!(route),
                method => (record["method"], record["route"]) = (json!(method), json!(route)),
            }
            text.push_str(&format!("{record}\n"));
        }
        fs::write(self.0.join(name), text).unwrap();
    }

    fn says(&self, arguments: &[&str]) -> (i32, String) {
        let command = Command::new(env!("CARGO_BIN_EXE_ztlib")).args(arguments).current_dir(&self.0).output();
        let output = command.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const SEEN: [(&str, &str, &str, &[&str], &str); 6] = [
    ("GET", "/orders/{id}", "web", &["clerk"], "allow"),
    ("GET", "/orders/{id}", "web", &["admin", "clerk"], "allow"),
    ("DELETE", "/orders/{id}", "web", &["admin", "clerk"], "allow"),
    ("POST", "/shop.Inventory/Reserve", "web", &["clerk"], "allow"),
    ("GET", "/reports/{month}", "reporting", &["auditor"], "allow"),
    ("action", "invoices.read", "web", &["accountant"], "allow"),
];

#[test]
fn what_was_seen_is_allowed_and_what_was_not_is_refused() {
    let folder = Folder::new("whole");
    folder.record("traffic.jsonl", &SEEN);
    let suggest = ["policy", "suggest", "traffic.jsonl", "--out", "first"];
    let (exit, text) = folder.says(&suggest);
    assert_eq!(exit, 0, "{text}");
    assert!(text.contains("6 of 6 requests are allowed by it"), "{text}");
    assert!(text.contains("against the recording: 0 of 6 would change"), "{text}");

    let (exit, text) = folder.says(&["policy", "test", "first/policies.toml"]);
    assert_eq!(exit, 0, "{text}");
    let (exit, text) =
        folder.says(&["policy", "replay", "first/policies.toml", "--recorded", "traffic.jsonl"]);
    assert_eq!((exit, text.trim()), (0, "0 of 6 would change"));

    // Each differs in one thing from what was seen.
    let others: [(&str, &str, &str, &[&str], &str); 7] = [
        ("GET", "/orders/{id}", "batch", &["clerk"], "deny"),
        ("GET", "/orders/{id}", "web", &[], "deny"),
        ("GET", "/orders/{id}", "web", &["auditor"], "deny"),
        ("DELETE", "/orders/{id}", "web", &["clerk"], "deny"),
        ("HEAD", "/orders/{id}", "web", &["clerk"], "deny"),
        ("POST", "/shop.Inventory/Watch", "web", &["clerk"], "deny"),
        ("action", "invoices.write", "web", &["accountant"], "deny"),
    ];
    folder.record("others.jsonl", &others);
    let (_, text) =
        folder.says(&["--json", "policy", "replay", "first/policies.toml", "--recorded", "others.jsonl"]);
    let found: Value = serde_json::from_str(&text).unwrap();
    // They were denied, and stay denied: for another reason, but none is allowed.
    assert_eq!(found["judged"], 7, "{found}");
    assert!(!found.to_string().contains("\"allow\""), "{found}");

    // It overwrites nothing.
    let (exit, text) = folder.says(&suggest);
    assert_eq!(exit, 3);
    assert!(text.contains("`first` is there already"), "{text}");
}

#[test]
fn a_recording_of_denials_is_taken_by_the_verb_alone() {
    let folder = Folder::new("denied");
    let denied: Vec<_> = SEEN.iter().map(|(a, b, c, d, _)| (*a, *b, *c, *d, "deny")).collect();
    folder.record("traffic.jsonl", &denied);
    let suggest = ["policy", "suggest", "traffic.jsonl", "--out", "first"];
    let (exit, text) = folder.says(&suggest);
    assert_eq!(exit, 3);
    assert!(text.contains("take them all the same (`--allow-denied`)"), "{text}");
    assert!(!folder.0.join("first").exists());

    let (exit, text) = folder.says(&[&suggest[..], &["--allow-denied"]].concat());
    assert_eq!(exit, 0, "{text}");
    assert!(text.contains("6 of 6 requests are allowed by it"), "{text}");
    assert_eq!(folder.says(&["policy", "test", "first/policies.toml"]).0, 0);
}

#[test]
fn bad_input_is_named() {
    let folder = Folder::new("bad");
    fs::write(folder.0.join("no.jsonl"), "{}\n").unwrap();
    let (exit, text) = folder.says(&["policy", "suggest", "no.jsonl", "--out", "first"]);
    assert_eq!(exit, 3);
    assert!(text.contains("no.jsonl:1:"), "{text}");
    folder.record("traffic.jsonl", &SEEN);
    let (exit, text) =
        folder.says(&["policy", "suggest", "traffic.jsonl", "--out", "first", "--role-claim", "roles"]);
    assert_eq!(exit, 2);
    assert!(text.contains("is not a JSON pointer"), "{text}");
}

//! The command as people and programs call it.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says what it shows by its name, and fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A folder with the policy `token-scope`, which wants the scope `orders:read` on /orders/{id}.
struct Folder(PathBuf);

const CASES: &str = r#"format = 1
[[case]]
name = "who has the scope may"
path = "/orders/7"
route = "/orders/{id}"
claims = { sub = "alice", scope = "orders:read" }
expect = "allow"

[[case]]
name = "who lacks it may not"
path = "/orders/7"
route = "/orders/{id}"
claims = { sub = "bob" }
expect = "deny"
reason = "missing-scope"
"#;

impl Folder {
    fn new(name: &str) -> Self {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("desk-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("tests")).unwrap();
        let folder = Self(folder);
        let sum = folder.artifact("token-scope", "scope.wasm");
        folder.write(
            "policies.toml",
            &format!(
                "format = 1\n[[policy]]\nname = \"scope\"\nmodule = \"scope.wasm\"\nsha256 = \"{sum}\"\nconfig = \"scope.yaml\"\nreasons = [\"missing-scope\", \"no-rule\"]\ntests = [\"tests/*.toml\"]\n"
            ),
        );
        folder.write(
            "scope.yaml",
            "rules:\n- methods: [\"*\"]\n  routes: [\"/orders/{id}\"]\n  scopes: [\"orders:read\"]\n",
        );
        folder.write("tests/scope.toml", CASES);
        folder
    }

    /// Copies a committed component; gives its digest.
    fn artifact(&self, name: &str, to: &str) -> String {
        let artifacts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/artifacts");
        fs::copy(artifacts.join(format!("{name}.wasm")), self.0.join(to)).unwrap();
        let sums = fs::read_to_string(artifacts.join("SHA256SUMS")).unwrap();
        sums.lines().find_map(|line| line.strip_suffix(&format!("  {name}.wasm"))).unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ztlib")).args(arguments).current_dir(&self.0).output().unwrap()
    }

    /// The exit code and what was printed, errors after the rest.
    fn says(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.run(&[arguments, &["--json"]].concat());
        let value = serde_json::from_slice(&output.stdout);
        (output.status.code().unwrap(), value.unwrap_or_else(|error| panic!("{error}: {output:?}")))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn cases_that_pass_end_well_and_a_reason_that_was_never_given_is_named() {
    let folder = Folder::new("pass");
    let (exit, text) = folder.says(&["policy", "test"]);
    assert_eq!(exit, 0, "{text}");
    assert_eq!(
        text,
        "2 of 2 cases passed\npolicy `scope`: allowed 1, denied 1, abstained 0, faults 0\n  reason `missing-scope`: given once\n  reason `no-rule`: never given\n"
    );
    let (exit, value) = folder.json(&["policy", "test"]);
    assert_eq!((exit, &value["passed"], &value["failed"]), (0, &Value::from(2), &Value::from(0)));
    assert_eq!(value["coverage"][0]["reasons"]["no-rule"], 0);
    assert_eq!(value["cases"][1]["reason"], "missing-scope");
}

#[test]
fn a_case_that_fails_is_named_with_file_and_line_and_the_exit_code_is_1() {
    let folder = Folder::new("fail");
    folder.write(
        "tests/scope.toml",
        &CASES.replace("expect = \"allow\"", "expect = \"deny\"\nreason = \"no-rule\""),
    );
    let (exit, text) = folder.says(&["policy", "test"]);
    assert_eq!(exit, 1);
    assert!(
        text.starts_with(
            "tests/scope.toml:7: case `who has the scope may`: expected deny, got allow\n1 of 2"
        ),
        "{text}"
    );
    let (exit, value) = folder.json(&["policy", "test"]);
    assert_eq!((exit, &value["cases"][0]["differences"][0]["line"]), (1, &Value::from(7)));
}

#[test]
fn a_wrong_command_line_ends_with_2_and_what_was_meant() {
    let folder = Folder::new("usage");
    for (arguments, part) in [
        (&["polcy", "test"][..], "a similar subcommand exists: 'policy'"),
        (&["policy", "tset"], "a similar subcommand exists: 'test'"),
        (&["policy", "test", "--jsn"], "a similar argument exists: '--json'"),
        (&["policy", "explain"], "--path <PATH>"),
        (&["policy", "explain", "--path", "/", "--header", "a"], "write NAME=VALUE"),
        (&["policy", "explain", "--path", "a"], "the path does not begin with `/` (path-not-absolute)"),
        (&["policy", "explain", "--path", "/o?a=b&c=d"], "write `--path '/o' --query 'a=b' --query 'c=d'`"),
        (&["policy", "explain", "--path", "/", "--claims", "{"], "`--claims` is not JSON"),
        (
            &["policy", "explain", "--path", "/orders/7", "--route", "/orders/{id}", "--param", "id=8"],
            "path and route give the parameter `id` the value `7` (contradiction)",
        ),
        (
            &["policy", "explain", "--path", "/orders/7", "--route", "/orders/:id"],
            "a parameter is written `{id}`, the end of a path `{*rest}` (contradiction)",
        ),
        (
            &["policy", "explain", "--path", "/", "--label", "a=1", "--label", "a=2"],
            "one name stands twice in `labels`",
        ),
        (&["policy", "explain", "--case", "nobody"], "who has the scope may"),
        (&["policy", "bench", "--case", "nobody"], "who has the scope may"),
        (&["policy", "new", "No Name"], "cannot be a policy's name"),
        (&["policy", "new", "name", "--sdk", "tests"], "is not the SDK's folder"),
        (&["policy", "sign"], "--key <FILE>"),
        (&["policy", "verify"], "--trust <FILE>"),
        (&["completions", "cmd"], "possible values"),
    ] {
        let (exit, text) = folder.says(arguments);
        assert_eq!(exit, 2, "{arguments:?}: {text}");
        assert!(text.contains(part), "{arguments:?}: {text}");
    }
}

#[test]
fn what_cannot_be_loaded_ends_with_3_and_the_place() {
    let folder = Folder::new("broken");
    let (exit, text) = folder.says(&["policy", "test", "policy.toml"]);
    assert_eq!(exit, 3);
    assert!(text.starts_with("error: policy.toml: the file cannot be read: "), "{text}");
    assert!(text.ends_with(": correct the path, or change to its folder (file-not-found)\n"), "{text}");
    let (exit, text) = folder.says(&["policy", "test", "."]);
    assert!(
        exit == 3 && text.starts_with("error: .: give the path of the manifest, `policies.toml`"),
        "{text}"
    );
    fs::rename(folder.0.join("scope.wasm"), folder.0.join("kept.wasm")).unwrap();
    let (exit, text) = folder.says(&["policy", "test"]);
    assert_eq!(exit, 3);
    assert!(
        text.starts_with("error: policies.toml:4: policy `scope`: `scope.wasm` cannot be read: "),
        "{text}"
    );
    assert!(text.contains("`ztlib policy build`"), "{text}");
    fs::rename(folder.0.join("kept.wasm"), folder.0.join("scope.wasm")).unwrap();
    folder.write("tests/more.toml", "format = 1\n[[case]]\nname = \"c\"\npat = \"/\"\n");
    let (exit, text) = folder.says(&["policy", "test"]);
    assert_eq!(
        (exit, text.as_str()),
        (3, "error: tests/more.toml:4: there is no key `pat` here: did you mean `path`? (unknown-key)\n")
    );
    let (exit, value) = folder.json(&["set", "lint"]);
    assert_eq!(exit, 3);
    assert_eq!(
        (&value["error"]["code"], &value["error"]["line"]),
        (&Value::from("unknown-key"), &Value::from(4))
    );
    let (exit, text) = folder.says(&["policy", "build"]);
    assert_eq!(exit, 3);
    assert!(text.contains("ztlib policy new"), "{text}");
}

#[test]
fn a_question_is_explained_with_every_read() {
    let folder = Folder::new("explain");
    let (exit, text) = folder.says(&["policy", "explain", "--case", "who lacks it may not"]);
    assert_eq!(exit, 0, "{text}");
    for part in [
        "deny `missing-scope` by `scope`",
        "told to the caller: the scope orders:read is needed",
        "  has-scope(\"orders:read\")=no",
        "fuel: ",
        "time: fresh ",
        "remembered ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let asked = [
        "policy",
        "explain",
        "--path",
        "/orders/7",
        "--route",
        "/orders/{id}",
        "--claims",
        r#"{"scope": "a orders:read", "x": null, "deep": [{"a": 1.5}]}"#,
        "--header",
        "x-a=\"b\\",
        "--remote-ip",
        "::1",
        "--now",
        "7",
    ];
    let (exit, value) = folder.json(&asked);
    assert_eq!((exit, &value["verdict"]), (0, &Value::from("allow")), "{value}");
    assert!(value["reads"].as_array().unwrap().contains(&Value::from("has-scope(\"orders:read\")=yes")));
    assert!(value["time"]["remembered_ns"].is_u64() && value["time"]["fresh_ns"].is_u64(), "{value}");
    let (_, value) = folder.json(&["policy", "explain", "--action", "orders.approve", "--policy", "scope"]);
    assert_eq!(value["reason"], "no-rule");
}

#[test]
fn claims_of_another_issuer_are_explained_as_the_service_would_judge_them() {
    let folder = Folder::new("issuers");
    let claims = r#"{"iss": "https://partner.example", "scope": "orders:read"}"#;
    let asked = ["policy", "explain", "--path", "/orders/7", "--route", "/orders/{id}", "--claims", claims];
    let warned = "warning: the files of cases name no home issuer, or several";
    let (exit, text) = folder.says(&asked);
    assert!(exit == 0 && text.starts_with("allow") && text.contains(warned), "{text}");
    let (_, value) = folder.json(&asked);
    assert!(value["home_issuer"].is_null() && value["warnings"].as_array().unwrap().len() == 1, "{value}");

    let given = [&asked[..], &["--home-issuer", "https://id.example"]].concat();
    let (exit, text) = folder.says(&given);
    assert!(exit == 0 && text.starts_with("deny `missing-scope`") && !text.contains("warning"), "{text}");
    assert!(text.contains("  from-home-issuer=no\n"), "{text}");

    // Files of cases that name one need not all do so; where two disagree, neither counts.
    let with =
        |home: &str| CASES.replacen("format = 1\n", &format!("format = 1\nhome-issuer = \"{home}\"\n"), 1);
    folder.write("tests/more.toml", &with("https://id.example"));
    let (_, value) = folder.json(&asked);
    assert_eq!((&value["verdict"], &value["home_issuer"]), (&"deny".into(), &"https://id.example".into()));
    assert_eq!(value["warnings"], serde_json::json!([]));
    folder.write("tests/other.toml", &with("https://other.example"));
    let (_, text) = folder.says(&asked);
    assert!(text.starts_with("allow") && text.contains(warned), "{text}");
}

#[test]
fn a_read_that_keeps_decisions_from_being_shared_is_named_with_what_to_ask_instead() {
    let folder = Folder::new("narrower");
    let digest = folder.artifact("probe", "probe.wasm");
    let calls = r#"[{ "call": "now" }, { "call": "has-scope", "with": ["a"] }]"#;
    folder.write("probe.json", &format!(r#"{{ "decide": {{ "do": {calls}, "answer": "allow" }} }}"#));
    folder.write(
        "probe.toml",
        &format!("format = 1\n[[policy]]\nname = 'probe'\nmodule = 'probe.wasm'\nsha256 = '{digest}'\nconfig = 'probe.json'\n"),
    );
    let asked = ["policy", "explain", "probe.toml", "--path", "/"];
    let (exit, text) = folder.says(&asked);
    assert_eq!(exit, 0, "{text}");
    assert!(text.contains("for whom `now` gives the same; where that varies, ask `before`"), "{text}");
    let (_, value) = folder.json(&asked);
    assert_eq!(value["narrower"].as_array().unwrap().len(), 1, "{value}");
    assert_eq!(value["narrower"][0]["read"], "now");
    // Parameters come of path and route, and need not be given.
    let calls = r#"[{ "call": "param", "with": ["id"] }, { "call": "param", "with": ["rest"] }]"#;
    folder.write("probe.json", &format!(r#"{{ "decide": {{ "do": {calls}, "answer": "allow" }} }}"#));
    let asked = ["policy", "explain", "probe.toml", "--path", "/o/a%20b/c/d", "--route", "/o/{id}/{*rest}"];
    let (exit, value) = folder.json(&asked);
    assert_eq!(
        (exit, &value["reads"]),
        (0, &serde_json::json!(["param(\"id\")=\"a b\"", "param(\"rest\")=\"c/d\""]))
    );
    // One name for a revision, here and in an audit log.
    assert!(value["digest"].as_str().unwrap().starts_with(value["revision"].as_str().unwrap()), "{value}");
    assert_eq!(value["revision"].as_str().unwrap().len(), 12);
}

#[test]
fn a_set_is_linted_for_what_its_cases_and_routes_show() {
    let folder = Folder::new("lint");
    folder.write("routes.txt", "# the shop\nGET /orders/{id}\nPOST /orders/{id}\nGET /admin/{*rest}\n");
    let (exit, text) = folder.says(&["set", "lint", "--routes", "routes.txt"]);
    assert_eq!(exit, 1);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "policies.toml:3: policy `scope` declares the reason `no-rule` but gives it in no case (reason-never-given)",
            "routes.txt:3: POST /orders/{id}: no case asks about it (route-untested)",
            "routes.txt:4: GET /admin/{*rest}: no caller in the cases may pass: no policy covers the route (route-uncovered)",
        ]
    );
    folder.write(
        "tests/more.toml",
        "format = 1\n[[case]]\nname = \"no rule\"\npath = \"/\"\nexpect = \"deny\"\nreason = \"no-rule\"\n",
    );
    assert_eq!(folder.says(&["set", "lint"]), (0, "nothing odd\n".to_owned()));
    folder.write("routes.txt", "GET\n");
    let (exit, text) = folder.says(&["set", "lint", "--routes", "routes.txt"]);
    assert_eq!(exit, 3);
    assert!(text.contains("routes.txt:1: `GET` is not a route"), "{text}");
}

#[test]
fn a_component_and_a_set_are_looked_through() {
    let folder = Folder::new("inspect");
    let (exit, value) = folder.json(&["policy", "inspect", "scope.wasm"]);
    assert_eq!(exit, 0);
    assert_eq!(value["sha256"].as_str().unwrap().len(), 64);
    assert!(
        value["imports"]
            .as_array()
            .unwrap()
            .iter()
            .all(|name| name.as_str().unwrap().starts_with("ztlib:policy/"))
    );
    let (exit, text) = folder.says(&["policy", "inspect"]);
    assert_eq!(exit, 0);
    assert!(
        text.contains("budget: fuel 10000000") && text.contains("reads has-scope(\"orders:read\")"),
        "{text}"
    );
    let (exit, value) = folder.json(&["policy", "bench", "--times", "10"]);
    assert_eq!((exit, value["cases"].as_array().unwrap().len()), (0, 2));
    folder.write("no.wasm", "text");
    let (exit, text) = folder.says(&["policy", "inspect", "no.wasm"]);
    assert_eq!(exit, 3);
    assert!(text.contains("not-a-component"), "{text}");
}

#[test]
fn completions_are_printed_for_every_shell() {
    let folder = Folder::new("completions");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (exit, text) = folder.says(&["completions", shell]);
        assert!(exit == 0 && text.contains("explain"), "{shell}");
    }
}

#[test]
fn a_new_policy_overwrites_nothing() {
    let folder = Folder::new("new");
    let (exit, text) = folder.says(&["policy", "new", "night-shift"]);
    assert!(exit == 2 && text.contains("--sdk"), "{text}");
    assert!(!folder.0.join("night-shift").exists(), "what cargo would not find is not made");
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/sdk");
    let new = ["policy", "new", "night-shift", "--sdk", sdk.to_str().unwrap()];
    let (exit, value) = folder.json(&new);
    assert_eq!((exit, value["files"].as_array().unwrap().len()), (0, 8), "{value}");
    let text = fs::read_to_string(folder.0.join("night-shift/Cargo.toml")).unwrap();
    assert!(text.contains("ztlib-policy = { path = ") && !text.contains('@'), "{text}");
    let (exit, text) = folder.says(&new);
    assert_eq!(exit, 3);
    assert!(text.contains("is there already"), "{text}");
}

/// What a service recorded: alice has the scope, bob has not.
fn recorded(decisions: [&str; 2]) -> String {
    let mut lines = "{\"format\":1,\"kind\":\"ztlib-recording\",\"hidden\":[]}\n".to_owned();
    let deny = r#"{"verdict":"deny","policy":"scope","reason":"missing-scope"}"#;
    for (number, (scope, decision)) in ["[\"orders:read\"]", "[]"].into_iter().zip(decisions).enumerate() {
        let decision = if decision == "allow" { "{\"verdict\":\"allow\"}" } else { deny };
        lines.push_str(&format!(
            "{{\"id\":\"{number:032x}\",\"time\":1767225600000,\"method\":\"GET\",\"route\":\"/orders/{{id}}\",\"token\":true,\"attributes\":{{\"claim:/scope\":{scope}}},\"judged-by\":\"{:064x}\",\"decision\":{decision},\"reads\":[]}}\n",
            7
        ));
    }
    lines
}

#[test]
fn replay_says_what_would_change_and_exits_with_one_for_it() {
    let folder = Folder::new("replay");
    folder.write("traffic.jsonl", &recorded(["allow", "deny"]));
    let replay = ["policy", "replay", "--recorded", "traffic.jsonl"];
    assert_eq!(folder.says(&replay), (0, "0 of 2 would change\n".to_owned()));
    folder.write("traffic.jsonl", &recorded(["allow", "allow"]));
    let (exit, text) = folder.says(&replay);
    let expected = "1 of 2 would change: 1 allow → deny (scope: missing-scope)\n  1 × allow → deny (scope: missing-scope), as GET /orders/{id} (00000000000000000000000000000001): ";
    assert_eq!(exit, 1);
    assert!(text.starts_with(expected) && text.contains("has-scope(\"orders:read\")=no"), "{text}");
    let (exit, value) = folder.json(&replay);
    assert_eq!((exit, &value["differing"], &value["groups"][0]["count"]), (1, &1.into(), &1.into()));
    assert_eq!(value["groups"][0]["to"]["reason"], "missing-scope");
    // What was not recorded is not guessed.
    folder.write(
        "traffic.jsonl",
        &recorded(["allow", "deny"]).replace("\"claim:/scope\":[\"orders:read\"]", ""),
    );
    let (exit, text) = folder.says(&replay);
    assert_eq!(exit, 1);
    assert!(text.contains("1 not judged: has-scope(\"orders:read\") was not recorded"), "{text}");
}

#[test]
fn a_recording_that_cannot_be_read_is_named_with_its_line() {
    let folder = Folder::new("bad-recording");
    let bent = recorded(["allow", "deny"]).replacen("\"token\":true", "\"token\":7", 1);
    folder.write("bent.jsonl", &bent);
    folder.write("empty.jsonl", bent.lines().next().unwrap());
    for (file, says) in [
        ("bent.jsonl", "error: bent.jsonl:2: `token` must be true or false (bad-record)"),
        ("empty.jsonl", "error: empty.jsonl holds no records"),
        ("policies.toml", "error: policies.toml:1: "),
        ("nowhere.jsonl", "error: nowhere.jsonl: the recording cannot be read: "),
    ] {
        let (exit, text) = folder.says(&["policy", "replay", "--recorded", file]);
        assert_eq!(exit, 3, "{text}");
        assert!(text.starts_with(says), "{text}");
    }
}

//! `policy sign` and `policy verify`, with keys that openssl makes where it is there.

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
use std::process::Command;

use serde_json::Value;
use ztlib::policies::{PolicyStore, SigningKey, pin};

/// What openssl is told to make each kind of key, and how it signs with one.
const KINDS: [(&str, &[&str], &[&str]); 2] = [
    ("ed25519", &["-algorithm", "ed25519"], &["pkeyutl", "-sign", "-rawin", "-inkey", "signer.pem", "-in"]),
    (
        "p256",
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        &["dgst", "-sha256", "-sign", "signer.pem"],
    ),
];

/// A set that is to be signed: one policy with its configuration and cases, and two documents.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("signing-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("tests")).unwrap();
        let folder = Self(folder);
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/artifacts/token-scope.wasm");
        fs::copy(module, folder.0.join("scope.wasm")).unwrap();
        folder.write(
            "scope.yaml",
            "rules:\n- methods: [\"*\"]\n  routes: [\"/orders/{id}\"]\n  scopes: [\"orders:read\"]\n",
        );
        folder.write(
            "tests/scope.toml",
            "format = 1\n[[case]]\nname = \"none\"\npath = \"/\"\nexpect = \"deny\"\nreason = \"no-rule\"\n",
        );
        folder.write("roles.json", "{}");
        folder.write("open.json", "{}");
        folder.write(
            "policies.toml",
            "format = 1\nversion = 3\nfor = \"shop\"\n[[policy]]\nname = \"scope\"\nmodule = \"scope.wasm\"\nconfig = \"scope.yaml\"\nreasons = [\"missing-scope\", \"no-rule\"]\ntests = [\"tests/*.toml\"]\n\n[[document]]\nname = \"roles\"\nfile = \"roles.json\"\nsha256 = \"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\"\n\n[[document]]\nname = \"open\"\nfile = \"open.json\"\nallow-unsigned = true\n",
        );
        pin(folder.0.join("policies.toml"), |_| true).unwrap();
        folder
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    /// A key pair of the library's own.
    fn key(&self, name: &str) -> String {
        let (key, private) = SigningKey::generate().unwrap();
        self.write(&format!("{name}.pem"), &private);
        self.write(&format!("{name}.pub"), &key.public_key_pem());
        key.id().to_string()
    }

    fn openssl(&self, arguments: &[&str]) -> bool {
        let status = Command::new("openssl").args(arguments).current_dir(&self.0).output();
        status.is_ok_and(|output| output.status.success())
    }

    /// The exit code and what was printed, errors after the rest.
    fn says(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_ztlib")).args(arguments).current_dir(&self.0).output();
        let output = output.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let (exit, text) = self.says(&[arguments, &["--json"]].concat());
        (exit, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    /// The code and the line of the error.
    fn error(&self, arguments: &[&str]) -> (String, Option<u64>) {
        let (exit, value) = self.json(arguments);
        assert_eq!(exit, 3, "{value}");
        let code = value["error"]["code"].as_str().unwrap_or_else(|| panic!("{value}"));
        (code.to_owned(), value["error"]["line"].as_u64())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const VERIFY: [&str; 4] = ["policy", "verify", "--trust", "signer.pub"];
const SIGN: [&str; 4] = ["policy", "sign", "--key", "signer.pem"];

#[test]
fn what_is_signed_is_verified_and_says_what_is_bound_and_what_is_not() {
    let folder = Folder::new("both");
    let id = folder.key("signer");
    let (exit, text) = folder.says(&SIGN);
    assert_eq!(exit, 0, "{text}");
    assert!(
        text.starts_with(&format!("policies.toml.sig: signed by the key {id}\nversion 3\nfor shop\n")),
        "{text}"
    );
    let (exit, text) = folder.says(&VERIFY);
    assert_eq!(exit, 0, "{text}");
    let lines: Vec<&str> = text.lines().map(|line| line.split(", sha256 ").next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            &format!("policies.toml: signed by the key {id}, of signer.pub"),
            "version 3",
            "for shop",
            "bound: module `scope.wasm` of `scope`",
            "bound: config `scope.yaml` of `scope`",
            "bound: document `roles.json` of `roles`",
            "not bound: cases `tests/scope.toml` of `scope`: anyone who can write it decides what the set has to pass before it is in force, and nothing about a request",
            "not bound: document `open.json` of `open`: anyone who can write it decides what is in it (`allow-unsigned`)",
        ]
    );
    let (exit, value) = folder.json(&VERIFY);
    assert_eq!((exit, value["signer"].as_str(), value["version"].as_u64()), (0, Some(&*id), Some(3)));
    assert_eq!(value["unsigned_documents"], serde_json::json!(["open"]));
    let files = value["files"].as_array().unwrap();
    assert_eq!(files.len(), 5);
    assert_eq!(
        (&files[0]["role"], &files[0]["line"], &files[0]["bound"]),
        (&Value::from("module"), &Value::from(6), &Value::from(true))
    );
    assert_eq!(value["for"], serde_json::json!(["shop"]));
    // Asked as the service that it is for, and as another.
    assert_eq!(folder.says(&[&VERIFY[..], &["--service", "shop"]].concat()).0, 0);
    let other = [&VERIFY[..], &["--service", "billing"]].concat();
    assert_eq!(folder.error(&other).0, "other-service");
    // It is what a service loads.
    let loader = PolicyStore::from_manifest(folder.0.join("policies.toml"))
        .trust_key(folder.read("signer.pub"))
        .service("shop");
    assert_eq!(loader.load().unwrap().status().signer.unwrap().to_string(), id);
}

#[test]
fn one_of_several_trusted_keys_is_enough_and_is_named() {
    let folder = Folder::new("several");
    folder.key("old");
    let id = folder.key("signer");
    assert_eq!(folder.says(&SIGN).0, 0);
    let (exit, text) = folder.says(&["policy", "verify", "--trust", "old.pub", "--trust", "signer.pub"]);
    assert_eq!(exit, 0, "{text}");
    assert!(text.starts_with(&format!("policies.toml: signed by the key {id}, of signer.pub\n")), "{text}");
    folder.write("both.pub", &(folder.read("old.pub") + &folder.read("signer.pub")));
    assert_eq!(folder.says(&["policy", "verify", "--trust", "both.pub"]).0, 0);
    let error = folder.error(&["policy", "verify", "--trust", "old.pub"]);
    assert_eq!(error, ("bad-signature".to_owned(), None), "another key's signature");
}

#[test]
fn what_was_changed_after_it_was_signed_is_refused_and_the_place_is_named() {
    let folder = Folder::new("tampered");
    folder.key("signer");
    assert_eq!(folder.says(&SIGN).0, 0);
    let manifest = folder.read("policies.toml");
    folder.write("policies.toml", &manifest.replace("version = 3", "version = 4"));
    assert_eq!(folder.error(&VERIFY), ("bad-signature".to_owned(), None));
    folder.write("policies.toml", &manifest);
    assert_eq!(folder.says(&VERIFY).0, 0);
    let line_of = |key: &str| {
        let at = manifest.lines().position(|line| line.starts_with(key)).unwrap();
        u64::try_from(at + 1).unwrap()
    };
    for (file, line) in [
        ("scope.wasm", line_of("sha256")),
        ("scope.yaml", line_of("config-sha256")),
        ("roles.json", line_of("file = \"roles.json\"") + 1),
    ] {
        let before = fs::read(folder.0.join(file)).unwrap();
        fs::write(folder.0.join(file), [&before[..], b" "].concat()).unwrap();
        assert_eq!(folder.error(&VERIFY), ("digest-mismatch".to_owned(), Some(line)), "{file}");
        fs::write(folder.0.join(file), before).unwrap();
    }
    // What is not bound may change, and is said to be open.
    folder.write("open.json", "{\"a\": 1}");
    assert_eq!(folder.says(&VERIFY).0, 0);
    fs::remove_file(folder.0.join("policies.toml.sig")).unwrap();
    assert_eq!(folder.error(&VERIFY), ("unsigned-set".to_owned(), None));
    folder.write("policies.toml.sig", "no signature\n");
    assert_eq!(folder.error(&VERIFY), ("malformed-signature".to_owned(), None));
}

#[test]
fn what_is_not_complete_is_not_signed() {
    let folder = Folder::new("incomplete");
    folder.key("signer");
    let manifest = folder.read("policies.toml");
    let without =
        |key: &str| manifest.lines().filter(|line| !line.starts_with(key)).collect::<Vec<_>>().join("\n");
    for key in ["version", "for", "config-sha256", "sha256"] {
        folder.write("policies.toml", &without(key));
        assert_eq!(folder.error(&SIGN).0, "missing-key", "{key}");
        assert!(!folder.0.join("policies.toml.sig").exists(), "{key}");
    }
    let (_, text) = folder.says(&SIGN);
    assert!(text.contains("pin the module: `sha256 = \""), "{text}");
    folder.write("policies.toml", &without("nothing"));
    assert_eq!(folder.says(&SIGN).0, 0);
}

#[test]
fn keys_that_are_none_are_named_by_their_file() {
    let folder = Folder::new("keys");
    folder.key("signer");
    assert_eq!(folder.says(&SIGN).0, 0);
    for (arguments, code, begins) in [
        (["policy", "sign", "--key", "signer.pub"], "bad-key", "error: signer.pub: the key cannot sign"),
        (
            ["policy", "sign", "--key", "none.pem"],
            "file-not-found",
            "error: none.pem: the key cannot be read",
        ),
        (
            ["policy", "verify", "--trust", "signer.pem"],
            "bad-key",
            "error: signer.pem: the key cannot be trusted",
        ),
        (
            ["policy", "verify", "--trust", "none.pub"],
            "file-not-found",
            "error: none.pub: the key cannot be read",
        ),
    ] {
        assert_eq!(folder.error(&arguments).0, code);
        let (_, text) = folder.says(&arguments);
        assert!(text.starts_with(begins), "{text}");
        assert!(!text.contains(folder.read("signer.pem").lines().nth(1).unwrap()), "the key is in the error");
    }
}

#[test]
fn keys_and_signatures_of_openssl_are_taken() {
    for (name, kind, sign) in KINDS {
        let folder = Folder::new(name);
        let made = folder.openssl(&[&["genpkey"], kind, &["-out", "signer.pem"]].concat())
            && folder.openssl(&["pkey", "-in", "signer.pem", "-pubout", "-out", "signer.pub"]);
        if !made {
            eprintln!("SKIPPED: {name}, since openssl is not here or does not know it");
            continue;
        }
        let (exit, text) = folder.says(&SIGN);
        assert_eq!(exit, 0, "{name}: {text}");
        let (exit, text) = folder.says(&VERIFY);
        assert_eq!(exit, 0, "{name}: {text}");
        fs::remove_file(folder.0.join("policies.toml.sig")).unwrap();
        let signed = match name {
            "p256" => folder.openssl(&[sign, &["-out", "policies.toml.sig", "policies.toml"]].concat()),
            _ => folder.openssl(&[sign, &["policies.toml", "-out", "policies.toml.sig"]].concat()),
        };
        assert!(signed, "{name}");
        let (exit, text) = folder.says(&VERIFY);
        assert_eq!(exit, 0, "{name}, signed by openssl: {text}");
        folder.write("policies.toml", &folder.read("policies.toml").replace("version = 3", "version = 2"));
        assert_eq!(folder.error(&VERIFY).0, "bad-signature", "{name}");
    }
}

#[test]
fn the_page_for_operators_shows_commands_that_work() {
    let folder = Folder::new("page");
    if !folder.openssl(&["genpkey", "-algorithm", "ed25519", "-out", "probe.pem"]) {
        eprintln!("SKIPPED: openssl is not here or does not know Ed25519");
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let page = fs::read_to_string(page).unwrap();
    let signing = page.split("## Signing").nth(1).unwrap();
    let commands = signing.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_ztlib")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let output =
        Command::new("sh").args(["-ec", commands]).current_dir(&folder.0).env("PATH", path).output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("\npolicies.toml: signed by the key ") && text.contains("\nnot bound: "), "{text}");
}

#[test]
fn what_fails_its_own_cases_is_not_signed_unless_that_is_said() {
    let folder = Folder::new("failing");
    folder.key("signer");
    folder.write(
        "tests/scope.toml",
        "format = 1\n[[case]]\nname = \"all\"\npath = \"/\"\nexpect = \"allow\"\n",
    );
    let (exit, text) = folder.says(&SIGN);
    assert_eq!(exit, 1, "{text}");
    assert!(
        text.contains("tests/scope.toml:5: case `all`: expected allow") && text.contains("--no-test"),
        "{text}"
    );
    assert!(!folder.0.join("policies.toml.sig").exists());
    let (exit, text) = folder.says(&[&SIGN[..], &["--no-test"]].concat());
    assert_eq!(exit, 0, "{text}");
    // What does not even load is no better.
    folder.write("scope.wasm", "no module");
    assert_eq!(folder.says(&["policy", "pin"]).0, 0);
    assert_eq!(folder.error(&SIGN).0, "not-a-component");
}

#[test]
fn a_changed_configuration_is_pinned_without_a_compiler() {
    let folder = Folder::new("pin");
    folder.key("signer");
    assert_eq!(folder.says(&SIGN).0, 0);
    folder.write("scope.yaml", &folder.read("scope.yaml").replace("orders:read", "orders:write"));
    let (exit, text) = folder.says(&SIGN);
    assert!(exit == 3 && text.contains("`ztlib policy pin`"), "{text}");
    let (exit, text) = folder.says(&["policy", "pin"]);
    assert_eq!(exit, 0);
    assert!(text.starts_with("scope.wasm and its configuration: pinned, sha256 "), "{text}");
    let (_, value) = folder.json(&["policy", "pin"]);
    assert_eq!(
        (&value["pinned"][0]["module"], &value["pinned"][0]["changed"]),
        (&Value::from("scope.wasm"), &Value::from(false))
    );
    // What was signed under this number before is not what is signed now: services would refuse it.
    let (exit, text) = folder.says(&SIGN);
    assert!(exit == 0 && text.contains("\nwarning: this replaces an earlier signature"), "{text}");
    let (exit, text) = folder.says(&SIGN);
    assert!(exit == 0 && !text.contains("warning"), "the same again: {text}");
}

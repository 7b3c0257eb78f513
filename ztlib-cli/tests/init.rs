//! `init`, `desk keys` and `desk token`: what they write, and what they refuse. That the services
//! compile, refuse and say why is in `init_builds.rs`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it shows by its name, and fails by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use ztlib::authenticate::token::{Algorithm, BearerToken, Issuer, KeySet, TokenVerifier};

/// A folder of this test, in which the command runs.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("init-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// The exit code and what was printed, errors after the rest.
    fn says(&self, arguments: &[&str]) -> (i32, String) {
        let output =
            Command::new(env!("CARGO_BIN_EXE_ztlib")).args(arguments).current_dir(&self.0).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    /// What a command that ends well prints.
    fn runs(&self, arguments: &[&str]) -> String {
        let (exit, text) = self.says(arguments);
        assert_eq!(exit, 0, "{arguments:?}: {text}");
        text
    }

    /// The exit code, and the code of the error.
    fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let (exit, text) = self.says(&[arguments, &["--json"]].concat());
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        (exit, value["error"]["code"].as_str().unwrap_or_default().to_owned())
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    /// Every file, with its content.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path.strip_prefix(&self.0).unwrap().to_owned(), fs::read(&path).unwrap());
                }
            }
        }
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The files that hold private keys.
const SECRET: [&str; 4] = ["server.key", "frontend.key", "batch.key", "token-key.json"];

#[test]
fn what_is_written_is_named_and_nothing_in_it_is_left_to_fill_in() {
    for framework in ["axum", "tonic"] {
        let folder = Folder::new(&format!("whole-{framework}"));
        let said = folder.runs(&["init", framework, "my-shop"]);
        let files = folder.files();
        let named: Vec<&str> = said.lines().filter(|line| line.starts_with("my-shop/")).collect();
        assert_eq!(named.len(), files.len(), "{said}");
        for (path, content) in &files {
            assert!(named.contains(&path.to_str().unwrap()), "{path:?} is not named");
            let text = String::from_utf8_lossy(content);
            let is_text = path.extension().is_none_or(|extension| extension != "wasm");
            let left = text
                .split('@')
                .nth(1)
                .filter(|word| word.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
            assert!(!is_text || left.is_none_or(str::is_empty), "{path:?}: {left:?}");
        }
        assert!(
            said.ends_with("next: cd my-shop && cargo run; README.md has the lines to call it\n"),
            "{said}"
        );
        assert!(folder.read("my-shop/Cargo.toml").contains("name = \"my-shop\""));
        assert!(folder.read("my-shop/src/main.rs").contains("my_shop::settings(guard)"));
    }
}

#[test]
fn the_profile_is_the_one_of_the_readme() {
    let folder = Folder::new("profile");
    folder.runs(&["init", "axum", "shop"]);
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let table =
        readme.split("[profile.dev.package]\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(folder.read("shop/Cargo.toml").contains(table), "the README's table is another one");
}

#[cfg(unix)]
#[test]
fn private_keys_are_their_owners_and_git_ignores_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new("modes");
    folder.runs(&["init", "axum", "shop"]);
    for entry in fs::read_dir(folder.0.join("shop/desk")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let others = entry.metadata().unwrap().permissions().mode() & 0o077;
        let has_key =
            fs::read_to_string(entry.path()).unwrap().contains("PRIVATE KEY") || name == "token-key.json";
        assert_eq!(has_key, SECRET.contains(&name.as_str()), "{name}");
        assert_eq!(has_key, others == 0, "{name}: {others:o}");
    }
    assert_eq!(folder.read("shop/desk/.gitignore"), "*\n");
    assert!(folder.read("shop/.gitignore").lines().any(|line| line == "/desk"));
}

#[test]
fn the_policies_pass_their_cases_and_leave_nothing_uncovered() {
    for (framework, routes) in [
        ("axum", "GET /orders/{id}\nDELETE /orders/{id}\n"),
        ("tonic", "POST /orders.v1.Orders/Show\nPOST /orders.v1.Orders/Cancel\n"),
    ] {
        let folder = Folder::new(&format!("cases-{framework}"));
        folder.runs(&["init", framework, "shop"]);
        let manifest = "shop/policies/policies.toml";
        let said = folder.runs(&["policy", "test", manifest]);
        assert!(said.starts_with("6 of 6 cases passed\n"), "{said}");
        fs::write(folder.0.join("routes"), routes).unwrap();
        folder.runs(&["set", "lint", manifest, "--routes", "routes"]);
        let said = folder.runs(&["policy", "explain", manifest, "--case", "a viewer cancels none"]);
        assert!(said.contains("\ndeny `no-role` by `rbac`\n"), "{said}");
        assert!(said.contains("claim-contains(\"/roles\", \"admin\")=no"), "{said}");
        // A service that lets a viewer cancel would not load.
        let rbac = folder.0.join("shop/policies/rbac.yaml");
        fs::write(&rbac, fs::read_to_string(&rbac).unwrap().replace("viewer:", "admin2:")).unwrap();
        let (exit, said) = folder.says(&["policy", "test", manifest]);
        assert_eq!(exit, 1, "{said}");
        assert!(said.contains("expected allow, got deny"), "{said}");
    }
}

#[test]
fn a_folder_with_something_in_it_is_refused_and_stays_as_it_is() {
    let folder = Folder::new("full");
    fs::create_dir_all(folder.0.join("shop")).unwrap();
    fs::write(folder.0.join("shop/notes"), "mine").unwrap();
    fs::write(folder.0.join("file"), "mine").unwrap();
    let before = folder.files();
    for arguments in
        [&["init", "axum", "shop"][..], &["init", "tonic", "shop"], &["desk", "keys", "shop", "shop"]]
    {
        assert_eq!(folder.fails(arguments), (3, "folder-not-empty".to_owned()), "{arguments:?}");
    }
    assert_eq!(folder.fails(&["init", "axum", "file"]), (3, "not-a-folder".to_owned()));
    assert_eq!(folder.fails(&["init", "axum", "--name", "shop"]), (3, "folder-not-empty".to_owned()));
    assert_eq!(folder.files(), before);
    // An empty one is taken, also the one that one is in.
    let empty = Folder::new("empty");
    let said = empty.runs(&["init", "axum", "--name", "shop"]);
    assert!(said.starts_with("Cargo.toml\n") && said.contains("\nnext: cargo run;"), "{said}");
    assert_eq!(empty.fails(&["init", "axum", "--name", "shop"]), (3, "folder-not-empty".to_owned()));
}

#[test]
fn a_name_that_cargo_does_not_build_is_refused() {
    let folder = Folder::new("names");
    for (name, part) in [
        ("Shop", "use 1 to 40 of `a-z`, `0-9` and `-`"),
        ("my shop", "use 1 to 40"),
        ("7shop", "a letter first"),
        ("shop-", "use 1 to 40"),
        ("shöp", "use 1 to 40"),
        (&"s".repeat(41), "use 1 to 40"),
        ("fn", "a word of Rust's own"),
        ("test", "a word of Rust's own"),
        ("core", "a word of Rust's own"),
        ("build", "a folder of cargo's own"),
        ("tokio", "a crate that the service depends on"),
        ("ztlib-axum", "a crate that the service depends on"),
    ] {
        for arguments in [&["init", "axum", name][..], &["init", "tonic", "shop", "--name", name]] {
            let (exit, text) = folder.says(arguments);
            assert_eq!(exit, 2, "{arguments:?}: {text}");
            assert!(text.contains("cannot be a service's name") && text.contains(part), "{text}");
            assert_eq!(folder.fails(arguments), (2, "bad-name".to_owned()));
        }
    }
    assert_eq!(folder.fails(&["init", "axum", "/"]), (2, "bad-name".to_owned()));
    assert_eq!(folder.fails(&["desk", "keys", "a b"]), (2, "bad-name".to_owned()));
    let (exit, text) = folder.says(&["init", "actix", "shop"]);
    assert!(exit == 2 && text.contains("possible values: axum, tonic"), "{text}");
    assert_eq!(folder.fails(&["init", "axum", "shop", "--ztlib", "."]), (2, "no-ztlib".to_owned()));
    assert!(folder.files().is_empty());
    folder.runs(&["init", "axum", "Any Folder", "--name", "shop"]);
}

/// The verifier of a service with the keys in `desk`.
fn verifier(folder: &Folder, audience: &str) -> TokenVerifier {
    let keys = KeySet::from_jwks(folder.read("desk/jwks.json").as_bytes()).unwrap();
    let issuer = Issuer::new("https://id.shop.example").audience(audience).algorithms([Algorithm::ES256]);
    TokenVerifier::builder().issuer(issuer.keys(keys)).build().unwrap()
}

#[test]
fn a_token_is_one_of_the_key_set_and_expires_after_15_minutes() {
    let folder = Folder::new("token");
    folder.runs(&["desk", "keys", "shop"]);
    let token = folder.runs(&[
        "desk",
        "token",
        "alice",
        "--role",
        "viewer",
        "--claims",
        r#"{"scope":"orders:read"}"#,
    ]);
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    let issued = UNIX_EPOCH + Duration::from_secs(claims["iat"].as_u64().unwrap());
    assert_eq!((&claims["roles"], &claims["scope"]), (&json!(["viewer"]), &json!("orders:read")));

    let token = BearerToken::new(token.trim()).unwrap();
    let last = issued + Duration::from_secs(15 * 60 - 1);
    let shop = verifier(&folder, "shop");
    assert_eq!(shop.verify(&token, last).unwrap().subject(), Some("alice"));
    let expired = shop.verify(&token, last + Duration::from_secs(1)).unwrap_err();
    assert_eq!(expired.code(), "token-expired");
    assert_eq!(verifier(&folder, "bank").verify(&token, last).unwrap_err().code(), "token-audience");

    // Keys made anew have another key.
    fs::remove_dir_all(folder.0.join("desk")).unwrap();
    folder.runs(&["desk", "keys", "shop"]);
    assert_eq!(verifier(&folder, "shop").verify(&token, last).unwrap_err().code(), "token-signature");
}

#[test]
fn a_token_without_a_key_is_none_and_says_how_to_get_one() {
    let folder = Folder::new("no-key");
    let (exit, text) = folder.says(&["desk", "token", "alice"]);
    assert_eq!(exit, 3);
    assert!(text.contains("token-key.json") && text.contains("ztlib desk keys NAME"), "{text}");
    folder.runs(&["desk", "keys", "shop", "keys"]);
    folder.runs(&["desk", "token", "alice", "--keys", "keys"]);
    for broken in ["", "{}", r#"{"issuer":"a","audience":"b","until":1,"pkcs8":"AAAA"}"#] {
        fs::write(folder.0.join("keys/token-key.json"), broken).unwrap();
        assert_eq!(
            folder.fails(&["desk", "token", "alice", "--keys", "keys"]),
            (3, "no-token-key".to_owned())
        );
    }
}

#[test]
fn claims_are_an_object_and_leave_the_tokens_own_alone() {
    let folder = Folder::new("claims");
    folder.runs(&["desk", "keys", "shop"]);
    for (claims, part) in [
        ("{", "is not JSON"),
        ("[1]", "is a JSON object"),
        (r#"{"exp":4102444800}"#, "cannot say `exp`"),
        (r#"{"iss":"https://id.other.example"}"#, "cannot say `iss`"),
        (r#"{"roles":["admin"]}"#, "both say `roles`"),
    ] {
        let arguments = ["desk", "token", "alice", "--role", "viewer", "--claims", claims];
        let (exit, text) = folder.says(&arguments);
        assert!(exit == 2 && text.contains(part), "{claims}: {text}");
        assert_eq!(folder.fails(&arguments), (2, "bad-claims".to_owned()));
    }
}

//! What the tests of policy sets on disk share: a throwaway folder, a manifest that fits it, keys.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ztlib::authenticate::Principal;
use ztlib::authorize::Evaluation;
use ztlib::authorize::{Decision, Labels};
use ztlib::policies::{ManifestOptions, PolicyStore, SigningKey};

pub const ALLOW_ALL: &[u8] = include_bytes!("../../../plugins/artifacts/allow-all.wasm");
pub const DENY_ALL: &[u8] = include_bytes!("../../../plugins/artifacts/deny-all.wasm");
/// Allows, too, and takes any configuration.
pub const ANY_CONFIG: &[u8] = include_bytes!("../../../plugins/artifacts/float-nan.wasm");
/// Calls what its configuration says.
pub const PROBE: &[u8] = include_bytes!("../../../plugins/artifacts/probe.wasm");

pub fn digest(bytes: impl AsRef<[u8]>) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes.as_ref());
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// A folder that is gone when the test is over.
pub struct Folder(pub PathBuf);

impl Folder {
    /// With the components that most tests use.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ztlib-sets-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let folder = Self(path);
        folder.write("allow.wasm", ALLOW_ALL);
        folder.write("deny.wasm", DENY_ALL);
        folder.write("any.wasm", ANY_CONFIG);
        folder
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn manifest(&self) -> PathBuf {
        self.at("policies.toml")
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.at(name)).unwrap()
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.at(name), contents).unwrap();
    }

    /// Replaces a file as one should: by a rename.
    pub fn put(&self, name: &str, contents: impl AsRef<[u8]>) {
        let next = format!("{name}.next");
        self.write(&next, contents);
        fs::rename(self.at(&next), self.at(name)).unwrap();
    }

    /// A manifest with one policy, and whatever else.
    pub fn draft(&self, version: u64, module: &str, more: &str) -> String {
        let digest = digest(self.read(module));
        format!(
            "format = 1\nversion = {version}\nfor = 'shop'\n[[policy]]\nname = 'p'\nmodule = '{module}'\nsha256 = '{digest}'\n{more}"
        )
    }

    /// Puts a manifest there, and its signature.
    pub fn sign(&self, manifest: &str, key: &SigningKey) {
        self.put("policies.toml.sig", key.sign(manifest.as_bytes()).unwrap());
        self.put("policies.toml", manifest);
    }

    pub fn trusting(&self, key: &SigningKey) -> ManifestOptions {
        PolicyStore::from_manifest(self.manifest()).trust_key(key.public_key_pem()).service("shop")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A line that pins a document of the folder.
pub fn document(name: &str, file: &str, contents: &str) -> String {
    format!("[[document]]\nname = '{name}'\nfile = '{file}'\nsha256 = '{}'\n", digest(contents))
}

pub fn ed25519() -> SigningKey {
    SigningKey::generate().unwrap().0
}

pub fn pem(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(der))
}

pub fn p256() -> SigningKey {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    SigningKey::from_pem(pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref()).as_bytes()).unwrap()
}

pub fn ask(policies: &PolicyStore) -> Evaluation {
    policies.simulate(Principal::anonymous(), "test", Labels::new(), SystemTime::UNIX_EPOCH)
}

pub fn allows(policies: &PolicyStore) -> bool {
    matches!(ask(policies).result(), Ok(Decision::Allow(_)))
}

/// Whether a program is installed; where it is not, the test says so and is skipped.
#[allow(clippy::print_stderr, reason = "what was not checked is said aloud")]
pub fn installed(program: &str) -> bool {
    let found = std::process::Command::new(program).arg("version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: `{program}` is not installed, so nothing was checked against it");
    }
    found
}

//! `policy sign` and `policy verify`: who vouches for a manifest, and for what.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use ztlib::policies::cases::Draft;
use ztlib::policies::{FileRole, KeyId, NamedFile, PolicyStore, SigningKey, TrustedKey, Verified};

use crate::Ended;
use crate::args::{Sign, Verify};
use crate::failure::{BROKEN, FAILED, Failure};
use crate::show::Desk;

pub(crate) fn sign(sign: &Sign, desk: &mut Desk<'_>) -> Result<Ended, Failure> {
    let key = SigningKey::from_pem(&read(&sign.key)?);
    let key = key.map_err(|error| Failure::from(error).within(&sign.key))?;
    if !sign.no_test {
        test(&sign.manifest)?;
    }
    let mut signature = sign.manifest.clone().into_os_string();
    signature.push(".sig");
    let signature = PathBuf::from(signature);
    // As a service that trusts this key finds it.
    let verify = || {
        let trusting = PolicyStore::from_manifest(&sign.manifest);
        trusting.trust_key(key.public_key_pem()).allow_any_service().verify()
    };
    let replaces = signature.exists() && verify().is_err();
    key.sign_manifest(&sign.manifest)?;
    let verified = verify()?;
    let signature = signature.display().to_string();
    if desk.json {
        let mut value = verified_json(&verified, None);
        if let Value::Object(members) = &mut value {
            members.insert("signature".to_owned(), json!(signature));
            members.insert("replaces_signature".to_owned(), json!(replaces));
        }
        desk.value(&value)?;
    } else {
        desk.line(&format!("{signature}: signed by the key {}", key.id()))?;
        print(&verified, desk)?;
        if let Some(version) = verified.version.filter(|_| replaces) {
            desk.line(&replaced(version))?;
        }
    }
    Ok(Ended::Well)
}

/// What to look at where an earlier signature was over something else. Its version stands in no
/// file any more.
fn replaced(version: u64) -> String {
    format!(
        "warning: this replaces an earlier signature, of another manifest or by another key. If that was signed as version {version} or higher, \
         services that had it in force refuse this one (`version-reused`, `older-version`): raise `version` and sign again"
    )
}

/// What does not load, or fails its own cases, is refused by every service; so it is not signed.
fn test(manifest: &Path) -> Result<(), Failure> {
    let report = Draft::load(manifest)?.run()?;
    let Some(first) = report.failures().next() else { return Ok(()) };
    let failed = report.len() - report.passed();
    let text = format!(
        "{first}\n{failed} of {} cases fail, so nothing is signed (`--no-test` signs all the same)",
        report.len()
    );
    Err(Failure::new(FAILED, "cases-failed", text))
}

pub(crate) fn verify(verify: &Verify, desk: &mut Desk<'_>) -> Result<Ended, Failure> {
    let mut trusting = PolicyStore::from_manifest(&verify.manifest);
    let mut known: Vec<(KeyId, &Path)> = Vec::new();
    for file in &verify.trust {
        let pem = read(file)?;
        let keys = TrustedKey::all_from_pem(&pem).map_err(|error| Failure::from(error).within(file))?;
        known.extend(keys.iter().map(|key| (key.id(), file.as_path())));
        trusting = trusting.trust_key(&pem);
    }
    trusting = match &verify.service {
        Some(service) => trusting.service(service),
        None => trusting.allow_any_service(),
    };
    let verified = trusting.verify()?;
    let signer = known.iter().find(|(id, _)| Some(*id) == verified.signer).map(|(_, file)| *file);
    if desk.json {
        desk.value(&verified_json(&verified, signer))?;
    } else {
        let id = verified.signer.map(|id| id.to_string()).unwrap_or_default();
        let file = signer.map(|file| format!(", of {}", file.display())).unwrap_or_default();
        desk.line(&format!("{}: signed by the key {id}{file}", verify.manifest.display()))?;
        print(&verified, desk)?;
    }
    Ok(Ended::Well)
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|error| {
        let code =
            if error.kind() == std::io::ErrorKind::NotFound { "file-not-found" } else { "file-not-readable" };
        Failure::new(BROKEN, code, format!("the key cannot be read: {error}")).within(file)
    })
}

fn print(verified: &Verified, desk: &mut Desk<'_>) -> std::io::Result<()> {
    if let Some(version) = verified.version {
        desk.line(&format!("version {version}"))?;
    }
    if !verified.services.is_empty() {
        desk.line(&format!("for {}", verified.services.join(", ")))?;
    }
    for file in verified.files.iter().filter(|file| file.bound) {
        desk.line(&format!("bound: {file}, sha256 {}", file.sha256))?;
    }
    for file in verified.files.iter().filter(|file| !file.bound) {
        desk.line(&format!("not bound: {file}: {}", left_open(file)))?;
    }
    Ok(())
}

/// What anyone who can write a file that is not bound can do.
fn left_open(file: &NamedFile) -> &'static str {
    match file.role {
        FileRole::Cases => {
            "anyone who can write it decides what the set has to pass before it is in force, and nothing about a request"
        }
        _ => "anyone who can write it decides what is in it (`allow-unsigned`)",
    }
}

fn verified_json(verified: &Verified, signer: Option<&Path>) -> Value {
    let files: Vec<Value> = verified
        .files
        .iter()
        .map(|file| {
            json!({
                "file": file.file, "role": file.role.as_str(), "of": file.of, "sha256": file.sha256,
                "bound": file.bound, "line": file.line,
            })
        })
        .collect();
    json!({
        "signer": verified.signer.map(|id| id.to_string()),
        "key": signer.map(|file| file.display().to_string()),
        "version": verified.version,
        "for": verified.services,
        "files": files,
        "unsigned_documents": verified.unsigned_documents,
    })
}

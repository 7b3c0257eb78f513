//! `init`: a folder with a guarded service that compiles, and refuses.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use ztlib::{Clock as _, SystemClock};

use crate::Ended;
use crate::args::{Framework, Init};
use crate::failure::{Failure, USAGE};
use crate::keys::{self, DAYS};
use crate::names;
use crate::new_files::{self, NewFile};
use crate::show::Desk;
use crate::token::MINUTES;

/// The version of ztlib's crates that is asked for where they are released: all have one version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Whether cargo finds ztlib's crates without a folder. To be set when they are released.
const IS_RELEASED: bool = false;

/// The checkout that this command was built from, where it was built from one.
const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The crates of ztlib that a service depends on, as `Cargo.toml` names them.
const CRATES: [(&str, &str); 4] = [
    ("@ZTLIB@", "ztlib"),
    ("@ZTLIB_AXUM@", "ztlib-axum"),
    ("@ZTLIB_TONIC@", "ztlib-tonic"),
    ("@ZTLIB_TESTING@", "ztlib-testing"),
];

const PROFILE: &str = include_str!("../template/service/profile.toml.in");
const KEYS: &str = include_str!("../template/service/keys.md.in");

/// The files of an axum service: what they are named, and what is in them.
const AXUM: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../template/service/axum/Cargo.toml.in")),
    ("README.md", include_str!("../template/service/axum/README.md.in")),
    (".gitignore", include_str!("../template/service/gitignore.in")),
    ("src/main.rs", include_str!("../template/service/axum/src/main.rs.in")),
    ("src/lib.rs", include_str!("../template/service/axum/src/lib.rs.in")),
    ("tests/service.rs", include_str!("../template/service/axum/tests/service.rs.in")),
    ("policies/policies.toml", include_str!("../template/service/policies/policies.toml.in")),
    ("policies/peers.yaml", include_str!("../template/service/axum/policies/peers.yaml.in")),
    ("policies/rbac.yaml", include_str!("../template/service/axum/policies/rbac.yaml.in")),
    ("policies/cases/orders.toml", include_str!("../template/service/axum/policies/cases/orders.toml.in")),
];

/// The files of a tonic service.
const TONIC: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../template/service/tonic/Cargo.toml.in")),
    ("README.md", include_str!("../template/service/tonic/README.md.in")),
    (".gitignore", include_str!("../template/service/gitignore.in")),
    ("build.rs", include_str!("../template/service/tonic/build.rs.in")),
    ("src/main.rs", include_str!("../template/service/tonic/src/main.rs.in")),
    ("src/lib.rs", include_str!("../template/service/tonic/src/lib.rs.in")),
    ("tests/service.rs", include_str!("../template/service/tonic/tests/service.rs.in")),
    ("policies/policies.toml", include_str!("../template/service/policies/policies.toml.in")),
    ("policies/peers.yaml", include_str!("../template/service/tonic/policies/peers.yaml.in")),
    ("policies/rbac.yaml", include_str!("../template/service/tonic/policies/rbac.yaml.in")),
    ("policies/cases/orders.toml", include_str!("../template/service/tonic/policies/cases/orders.toml.in")),
];

pub(crate) fn run(init: &Init, desk: &mut Desk<'_>) -> Result<Ended, Failure> {
    let name = match &init.name {
        Some(name) => name.clone(),
        None => name_of(&init.folder)?,
    };
    names::check(&name)?;
    let folder = new_files::empty(&init.folder)?;
    let checkout = checkout(init.ztlib.as_deref())?;
    let files = service(&name, init.framework, checkout.as_deref())?;
    let written = new_files::write_all(&folder, &files)?;
    if desk.json {
        let from = checkout.as_deref().map(Path::display).map(|path| path.to_string());
        desk.value(&json!({ "name": name, "files": written, "ztlib": from }))?;
        return Ok(Ended::Well);
    }
    for file in &written {
        desk.line(file)?;
    }
    if let Some(checkout) = &checkout {
        desk.line(&format!("it takes the crates of ztlib from {}", checkout.display()))?;
    }
    let go =
        if folder.as_os_str().is_empty() { String::new() } else { format!("cd {} && ", folder.display()) };
    desk.line(&format!("next: {go}cargo run; README.md has the lines to call it"))?;
    Ok(Ended::Well)
}

/// Everything that a new service consists of.
fn service(name: &str, framework: Framework, checkout: Option<&Path>) -> Result<Vec<NewFile>, Failure> {
    let templates = match framework {
        Framework::Axum => AXUM,
        Framework::Tonic => TONIC,
    };
    let mut values = vec![
        ("@PROFILE@", PROFILE.to_owned()),
        ("@KEYS@", KEYS.to_owned()),
        ("@NAME@", name.to_owned()),
        ("@CRATE@", name.replace('-', "_")),
        ("@DAYS@", DAYS.to_string()),
        ("@MINUTES@", MINUTES.to_string()),
        ("@PEERS_SHA256@", ztlib_policies::PEER_ALLOW_LIST_SHA256.trim().to_owned()),
        ("@PEERS_REASONS@", quoted(&ztlib_policies::PEER_ALLOW_LIST_REASONS)),
        ("@RBAC_SHA256@", ztlib_policies::RBAC_SHA256.trim().to_owned()),
        ("@RBAC_REASONS@", quoted(&ztlib_policies::RBAC_REASONS)),
    ];
    for (placeholder, of) in CRATES {
        values.push((placeholder, dependency(of, checkout)?));
    }
    let fill = |text: &str| values.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    let mut files: Vec<NewFile> =
        templates.iter().map(|(file, text)| NewFile::new(*file, fill(text))).collect();
    files.push(NewFile::new("policies/peers.wasm", ztlib_policies::PEER_ALLOW_LIST));
    files.push(NewFile::new("policies/rbac.wasm", ztlib_policies::RBAC));
    // With the versions that ztlib is tested with, nothing has to be looked for on the network.
    if let Some(lock) = checkout.and_then(|checkout| fs::read(checkout.join("Cargo.lock")).ok()) {
        files.push(NewFile::new("Cargo.lock", lock));
    }
    files.extend(keys::make(name, SystemClock.now())?.into_iter().map(|file| file.within(keys::FOLDER)));
    Ok(files)
}

/// `"a", "b"`.
fn quoted(reasons: &[&str]) -> String {
    reasons.iter().map(|reason| format!("\"{reason}\"")).collect::<Vec<_>>().join(", ")
}

/// The line of `Cargo.toml` for one of ztlib's crates.
fn dependency(of: &str, checkout: Option<&Path>) -> Result<String, Failure> {
    let Some(checkout) = checkout else { return Ok(format!("{of} = \"{VERSION}\"")) };
    let path = checkout.join(of);
    let shown = path.to_str().ok_or_else(|| no_ztlib(&path, "its path is not UTF-8"))?;
    // A JSON text is a TOML text.
    Ok(format!("{of} = {{ path = {} }}", json!(shown)))
}

/// A service without a name of its own has its folder's.
fn name_of(folder: &Path) -> Result<String, Failure> {
    // `.` and `..` have a name once they are resolved; a folder that is not there yet has no links.
    let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    match real.file_name().map(|name| name.to_str()) {
        Some(Some(name)) => Ok(name.to_owned()),
        _ => {
            let text = format!("`{}` is no name for a service: give it one (`--name`)", folder.display());
            Err(Failure::new(USAGE, "bad-name", text))
        }
    }
}

/// Where ztlib's crates are taken from; nowhere, once they are released.
///
/// # Errors
/// `no-ztlib`.
fn checkout(given: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    match given {
        Some(path) => is_checkout(path).map(Some),
        None if IS_RELEASED => Ok(None),
        None => is_checkout(Path::new(BUILT_FROM)).map(Some).map_err(|_| {
            let text = "ztlib's crates are not released yet, and the checkout that this command was built from is gone: say where one is (`--ztlib PATH`)";
            Failure::new(USAGE, "no-ztlib", text)
        }),
    }
}

fn is_checkout(path: &Path) -> Result<PathBuf, Failure> {
    let real = fs::canonicalize(path).map_err(|error| no_ztlib(path, &error.to_string()))?;
    for (_, of) in CRATES {
        let manifest = real.join(of).join("Cargo.toml");
        let text = fs::read_to_string(&manifest)
            .map_err(|error| no_ztlib(path, &format!("{}: {error}", manifest.display())))?;
        if !text.contains(&format!("name = \"{of}\"")) {
            return Err(no_ztlib(path, &format!("{} is another package's", manifest.display())));
        }
    }
    Ok(real)
}

fn no_ztlib(path: &Path, why: &str) -> Failure {
    Failure::new(USAGE, "no-ztlib", format!("`{}` is not a checkout of ztlib: {why}", path.display()))
}

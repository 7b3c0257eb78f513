//! `policy new`: a folder with a policy that compiles.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::Ended;
use crate::args::New;
use crate::failure::{BROKEN, Failure, USAGE};
use crate::names::is_well_formed;
use crate::show::Desk;

/// The version of the SDK that is asked for where none is at hand: both are released together.
const SDK_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Whether cargo finds the SDK without a folder. To be set when it is released.
const SDK_IS_RELEASED: bool = false;

/// The files of a policy: what they are named, and what is in them.
const FILES: [(&str, &str); 7] = [
    ("Cargo.toml", include_str!("../template/Cargo.toml.in")),
    ("src/lib.rs", include_str!("../template/src/lib.rs.in")),
    ("policies.toml", include_str!("../template/policies.toml.in")),
    ("@NAME@.yaml", include_str!("../template/config.yaml.in")),
    ("tests/roles.toml", include_str!("../template/tests/roles.toml.in")),
    ("README.md", include_str!("../template/README.md.in")),
    (".gitignore", include_str!("../template/gitignore.in")),
];

pub(crate) fn run(new: &New, desk: &mut Desk<'_>) -> Result<Ended, Failure> {
    check(&new.name)?;
    let folder = Path::new(&new.name);
    if folder.exists() {
        let text = format!("`{}` is there already: choose another name, or another folder", new.name);
        return Err(Failure::new(BROKEN, "already-there", text));
    }
    let (sdk, lock) = match &new.sdk {
        None if !SDK_IS_RELEASED => return Err(Failure::new(USAGE, "no-sdk", UNRELEASED)),
        None => (format!("ztlib-policy = \"{SDK_VERSION}\""), None),
        Some(path) => at(path)?,
    };
    let fill = |text: &str| {
        text.replace("@NAME@", &new.name).replace("@SDK@", &sdk).replace("@ZEROS@", &"0".repeat(64))
    };
    let mut written = Vec::new();
    for (name, text) in FILES {
        let file = folder.join(fill(name));
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&file, fill(text))?;
        written.push(file.display().to_string());
    }
    // With the versions that the SDK is tested with, nothing has to be looked for on the network.
    if let Some(lock) = lock {
        let file = folder.join("Cargo.lock");
        fs::write(&file, lock)?;
        written.push(file.display().to_string());
    }
    if desk.json {
        desk.value(&json!({ "name": new.name, "files": written }))?;
    } else {
        for file in &written {
            desk.line(file)?;
        }
        desk.line(&format!("next: cd {} && ztlib policy build && ztlib policy test", new.name))?;
    }
    Ok(Ended::Well)
}

const UNRELEASED: &str = "the SDK `ztlib-policy` is not released yet, and cargo would not find it: say where it is (`--sdk ztlib/plugins/sdk`, in a checkout of ztlib)";

/// The name stands in a crate's name, a policy's and a file's.
fn check(name: &str) -> Result<(), Failure> {
    if is_well_formed(name, 64) {
        return Ok(());
    }
    let text = format!(
        "`{}` cannot be a policy's name: use 1 to 64 of `a-z`, `0-9` and `-`, a letter first",
        name.escape_debug()
    );
    Err(Failure::new(USAGE, "bad-name", text))
}

/// The dependency on an SDK in a folder, and the versions that lie beside it.
fn at(path: &Path) -> Result<(String, Option<Vec<u8>>), Failure> {
    let missing = |why: &str| {
        let text = format!(
            "`{}` is not the SDK's folder: {why} (in a checkout of ztlib it is plugins/sdk)",
            path.display()
        );
        Failure::new(USAGE, "no-sdk", text)
    };
    let real = fs::canonicalize(path).map_err(|error| missing(&error.to_string()))?;
    let manifest =
        fs::read_to_string(real.join("Cargo.toml")).map_err(|error| missing(&error.to_string()))?;
    if !manifest.contains("name = \"ztlib-policy\"") {
        return Err(missing("its Cargo.toml is another package's"));
    }
    let shown = real.to_str().ok_or_else(|| missing("its path is not UTF-8"))?;
    let lock = real.parent().and_then(|workspace| fs::read(workspace.join("Cargo.lock")).ok());
    // A JSON text is a TOML text.
    Ok((format!("ztlib-policy = {{ path = {} }}", json!(shown)), lock))
}

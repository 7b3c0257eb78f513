//! `policy build`: source → component, and its digest into the manifest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use ztlib::policies::{LoadError, Module, Pinned, pin, sha256};

use crate::Ended;
use crate::args::Build;
use crate::component::componentize;
use crate::failure::{BROKEN, Failure};
use crate::show::Desk;
use crate::toolchain::Toolchain;

pub(crate) fn run(build: &Build, desk: &mut Desk<'_>) -> Result<Ended, Failure> {
    let broken = |code: &str, text: String| Failure::new(BROKEN, code, text);
    let folder = fs::canonicalize(&build.folder)
        .map_err(|error| broken("file-not-found", format!("{}: {error}", build.folder.display())))?;
    if !folder.join("Cargo.toml").is_file() {
        let text = format!(
            "there is no Cargo.toml in `{}`: go to the policy's folder, or make one with `ztlib policy new NAME`",
            build.folder.display()
        );
        return Err(broken("file-not-found", text));
    }
    let toolchain = Toolchain::find()?;
    let crate_ = Crate::of(&folder, &toolchain, build.offline)?;
    let no_std = fs::read_to_string(&crate_.source).is_ok_and(|text| is_no_std(&text));
    // What the compiler says goes to stderr, so that what this prints can be read by programs.
    let status = toolchain
        .build(&folder, no_std, build.offline)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(broken("not-compilable", "the policy does not compile: see above".to_owned()));
    }
    let module =
        crate_.target.join("wasm32-unknown-unknown/release").join(format!("{}.wasm", crate_.library));
    let component = fs::read(&module).map_err(|error| {
        broken("file-not-found", format!("{}: {error}: is `cdylib` in `crate-type`?", module.display()))
    })?;
    let component = componentize(&component).map_err(|error| {
        broken(
            "not-a-policy",
            format!("the module is not a policy: {error}: does the crate call `export_policy!`?"),
        )
    })?;
    let (looked_at, sha256) = (Module::inspect(&component).map_err(LoadError::from)?, sha256(&component));
    let name = format!("{}.wasm", crate_.package);
    fs::write(folder.join(&name), &component)?;
    let manifest = folder.join("policies.toml");
    let pinned = if manifest.is_file() { pin(&manifest, |module| module == name)? } else { Vec::new() };
    if desk.json {
        desk.value(&json!({
            "module": name, "bytes": looked_at.bytes, "sha256": sha256, "functions": looked_at.functions,
            "toolchain": toolchain.name(), "pinned": !pinned.is_empty(),
            "config_sha256": pinned.first().and_then(|pinned| pinned.config_sha256.as_deref()),
        }))?;
    } else {
        desk.line(&format!("built {name} with {}", toolchain.name()))?;
        desk.line(&format!(
            "module: {} bytes, {} functions, sha256 {}",
            looked_at.bytes, looked_at.functions, sha256
        ))?;
        let told = match pinned.first() {
            None => "no policies.toml names it: write one",
            Some(Pinned { config_sha256: None, .. }) => "its digest is pinned in policies.toml",
            Some(_) => "its digest and that of its configuration are pinned in policies.toml",
        };
        desk.line(told)?;
    }
    Ok(Ended::Well)
}

/// Whether a crate does without the standard library: it says so in an attribute of its own, or to
/// `export_policy!`. The same word in a comment or in a text says nothing.
fn is_no_std(source: &str) -> bool {
    let code = code(source);
    let inside = |from: &str, to: char| {
        code.split(from).skip(1).any(|rest| {
            let inside = rest.split(to).next().unwrap_or_default();
            inside.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "no_std")
        })
    };
    inside("#![", ']') || inside("export_policy!", ';')
}

/// Rust without its comments, its texts and the space around tokens. Enough to find attributes by;
/// it parses nothing.
fn code(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let token = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at.saturating_add(2))
        } else if c == '"' {
            text_length(rest)
        } else {
            if !c.is_whitespace() {
                code.push(c);
            }
            c.len_utf8()
        };
        rest = rest.get(token..).unwrap_or_default();
    }
    code
}

/// How long a text in quotes is, with them.
fn text_length(quoted: &str) -> usize {
    let mut escaped = false;
    for (at, c) in quoted.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at.saturating_add(1),
            _ => escaped = c == '\\' && !escaped,
        }
    }
    quoted.len()
}

/// What cargo says about a policy's crate.
struct Crate {
    package: String,
    library: String,
    source: PathBuf,
    target: PathBuf,
}

impl Crate {
    fn of(folder: &Path, toolchain: &Toolchain, offline: bool) -> Result<Self, Failure> {
        let mut cargo = toolchain.cargo();
        cargo.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(folder);
        if offline {
            cargo.arg("--offline");
        }
        let output = cargo.stderr(Stdio::inherit()).output()?;
        let found = serde_json::from_slice::<Value>(&output.stdout)
            .ok()
            .and_then(|metadata| Self::read(&metadata, folder));
        found.ok_or_else(|| {
            let text =
                "cargo finds no library with `crate-type = [\"cdylib\", \"rlib\"]` in this folder: see above";
            Failure::new(BROKEN, "not-a-policy", text)
        })
    }

    fn read(metadata: &Value, folder: &Path) -> Option<Self> {
        let here = folder.join("Cargo.toml");
        let packages = metadata.get("packages")?.as_array()?;
        let package = packages.iter().find(|package| {
            package.get("manifest_path").and_then(Value::as_str).is_some_and(|path| Path::new(path) == here)
        })?;
        let library = package.get("targets")?.as_array()?.iter().find(|target| {
            let kinds = target.get("crate_types").and_then(Value::as_array);
            kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
        })?;
        Some(Self {
            package: package.get("name")?.as_str()?.to_owned(),
            library: library.get("name")?.as_str()?.replace('-', "_"),
            source: library.get("src_path")?.as_str()?.into(),
            target: metadata.get("target_directory")?.as_str()?.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_crate_says_of_itself_makes_it_one_without_the_standard_library() {
        for (source, expected) in [
            ("#![no_std]", true),
            ("#![cfg_attr(target_arch = \"wasm32\", no_std)]", true),
            ("#! [ cfg_attr(\n  target_arch = \"wasm32\", // here\n  no_std,\n) ]", true),
            ("export_policy!(Guarded, sealed, no_std);", true),
            ("ztlib_policy::export_policy!(\n    Guarded,\n    arena = 1024,\n    no_std\n);", true),
            ("// (no_std is not used here)\nexport_policy!(Guarded, sealed);", false),
            ("//! Once it said `#![no_std]`.\nexport_policy!(Guarded);", false),
            ("/* #![no_std] */ export_policy!(Guarded);", false),
            ("const HELP: &str = \"\\\"#![no_std]\"; export_policy!(Guarded);", false),
            ("fn no_std() {}\nexport_policy!(Guarded); // no_std", false),
            ("export_policy!(Guarded); fn f() { no_std() }", false),
            ("#![allow(no_std_is_fine)]", false),
            ("\"", false),
            ("/*", false),
            ("", false),
        ] {
            assert_eq!(is_no_std(source), expected, "{source}");
        }
    }
}

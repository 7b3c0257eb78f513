//! Programs that must not compile, each for the reason that its first line names: `//~ E0599` (or
//! `//~ compiles`, the control).
//!
//! rustc is asked directly, with the library that this test run was linked with: that takes a
//! second and fetches nothing, where a second build of all dependencies takes minutes. Cargo gives
//! `rustc` its place through the toolchain that runs the tests.

#![allow(missing_docs, unreachable_pub, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// Checks every program of the folder against the library `name`. Gives how many must not compile.
pub fn check(folder: &Path, name: &str) -> usize {
    let mut programs: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    programs.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    programs.sort();
    let expected = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let first = text.lines().next().unwrap_or_default();
        first
            .strip_prefix("//~ ")
            .unwrap_or_else(|| panic!("{}: the first line says no `//~ …`", path.display()))
            .trim()
            .to_owned()
    };
    let (controls, bad): (Vec<_>, Vec<_>) =
        programs.into_iter().partition(|path| expected(path) == "compiles");
    assert!(!controls.is_empty(), "without a control it could be the harness that fails");
    let library = libraries(name)
        .into_iter()
        .find(|library| controls.iter().all(|control| compile(control, name, library).is_ok()))
        .unwrap_or_else(|| {
            panic!(
                "no library compiles the controls: {:?}",
                libraries(name).first().map(|library| compile(&controls[0], name, library))
            )
        });
    for path in &bad {
        let code = expected(path);
        match compile(path, name, &library) {
            Ok(()) => panic!("{} compiles", path.display()),
            Err(told) => {
                let errors: Vec<_> = told.lines().filter(|line| line.starts_with("error[")).collect();
                let right =
                    !errors.is_empty() && errors.iter().all(|line| line.contains(&format!("[{code}]")));
                assert!(right, "{}: not for {code}:\n{told}", path.display());
            }
        }
    }
    bad.len()
}

/// The builds of the library beside this test, the newest first: others may lie there from builds
/// with other features.
fn libraries(name: &str) -> Vec<PathBuf> {
    let beside = deps();
    let prefix = format!("lib{name}-");
    let mut found: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(beside)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rlib"))
        .filter(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&prefix)))
        .map(|path| (path.metadata().unwrap().modified().unwrap(), path))
        .collect();
    found.sort_by_key(|(modified, _)| std::cmp::Reverse(*modified));
    found.into_iter().map(|(_, path)| path).collect()
}

fn deps() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

fn compile(program: &Path, name: &str, library: &Path) -> Result<(), String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args([
            "--edition=2024",
            "--crate-type=lib",
            "--emit=metadata",
            "--cap-lints=allow",
            "--color=never",
            "--out-dir",
        ])
        .arg(env!("CARGO_TARGET_TMPDIR"))
        .arg("--extern")
        .arg(format!("{name}={}", library.display()))
        .arg("-L")
        .arg(format!("dependency={}", deps().display()))
        .arg(program)
        .output()
        .unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

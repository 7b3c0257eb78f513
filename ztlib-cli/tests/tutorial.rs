//! docs/tutorial.md is a transcript: each command in it is run here, and must say what it says
//! there.

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
use std::process::{Command, Stdio};

/// One command of the transcript, with what it prints.
struct Step {
    /// The index of the line of the prompt, and of the first behind its output.
    lines: (usize, usize),
    command: String,
    output: Vec<String>,
}

/// In blocks of `console`: `$ ` begins a command, `> ` goes on with it.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
            continue;
        }
        if !inside {
            continue;
        }
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { lines: (index, index + 1), command: command.to_owned(), output: Vec::new() });
        } else if let Some(more) =
            line.strip_prefix("> ").filter(|_| steps.last().is_some_and(|step| step.output.is_empty()))
        {
            let step = steps.last_mut().unwrap();
            step.command.push_str(&format!("\n{more}"));
            step.lines.1 = index + 1;
        } else if let Some(step) = steps.last_mut() {
            step.output.push(line.to_owned());
            step.lines.1 = index + 1;
        }
    }
    steps
}

/// What depends on the machine or on the compiler's version is the same everywhere: digests, sizes,
/// times, the toolchain.
fn comparable(line: &str) -> String {
    if let Some((before, _)) = line.split_once(" with ").filter(|_| line.starts_with("built ")) {
        return before.to_owned();
    }
    if ["module: ", "fuel: ", "time: ", "revision: "].iter().any(|begins| line.starts_with(begins)) {
        return line.split(": ").next().unwrap_or_default().to_owned();
    }
    line.to_owned()
}

fn has_toolchain(folder: &Path) -> bool {
    let output = Command::new(env!("CARGO_BIN_EXE_ztlib"))
        .args(["policy", "build", "--json"])
        .arg(folder)
        .output()
        .unwrap();
    !String::from_utf8_lossy(&output.stdout).contains("no-toolchain")
}

#[test]
fn the_tutorial_says_what_the_commands_say() {
    let root = fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
    let tutorial = root.join("docs/tutorial.md");
    let text = fs::read_to_string(&tutorial).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tutorial-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("probe")).unwrap();
    fs::write(folder.join("probe/Cargo.toml"), "").unwrap();
    if !has_toolchain(&folder.join("probe")) {
        eprintln!("SKIPPED: the tutorial, since there is no Rust toolchain for wasm32-unknown-unknown here");
        return;
    }
    fs::remove_dir_all(folder.join("probe")).unwrap();
    // As for a reader who has cloned the repository beside.
    std::os::unix::fs::symlink(&root, folder.join("ztlib")).unwrap();
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_ztlib"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut here = folder.clone();
    let mut told: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut wrong = Vec::new();
    for step in steps(&text) {
        if let Some(into) = step.command.strip_prefix("cd ") {
            here.push(into);
            continue;
        }
        let output = Command::new("sh")
            .args(["-c", &step.command])
            .current_dir(&here)
            .env("PATH", &path)
            .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("tutorial-target"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let said: Vec<String> = said.lines().map(str::to_owned).collect();
        let same = |lines: &[String]| lines.iter().map(|line| comparable(line)).collect::<Vec<_>>();
        if same(&said) != same(&step.output) {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            wrong.push(format!("$ {}\n{}\n{errors}", step.command, said.join("\n")));
        }
        // Lines are counted from the end, so that what was put in before does not shift them.
        let behind = text.lines().count() - step.lines.1;
        let prompt = step.command.lines().count();
        let (from, to) = (told.len() - behind - (step.lines.1 - step.lines.0) + prompt, told.len() - behind);
        told.splice(from..to, said);
    }
    let _ = fs::remove_dir_all(&folder);
    if std::env::var_os("ZTLIB_BLESS").is_some() {
        fs::write(&tutorial, told.join("\n") + "\n").unwrap();
        return;
    }
    assert!(
        wrong.is_empty(),
        "the tutorial says something else (ZTLIB_BLESS=1 writes it anew):\n{}",
        wrong.join("\n")
    );
}

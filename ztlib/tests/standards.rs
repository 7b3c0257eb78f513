//! Each standard that we claim is a table in `docs/standards/`: a rule, and the test that shows it
//! or the reason why there is none. Here the tables are held to their word.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot read its files has failed, and says what it skipped"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The standards that must have a table, and the least number of its rows.
const STANDARDS: &[(&str, usize)] =
    &[("rfc5280-6.1.md", 40), ("rfc5280-6.3.md", 50), ("spiffe-id.md", 8), ("x509-svid.md", 18)];

const HEADER: &str = "| section | rule | test or reason |";

/// The repository; none in a published crate.
fn repository() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if root.join("docs/standards").exists() {
        return Some(root);
    }
    eprintln!("skipped: docs/standards is not beside this crate");
    None
}

/// The names of all functions in the Rust sources below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            functions(&path, found);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.split("fn ").skip(1).map(|after| {
                after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>()
            });
            found.extend(names);
            // The corpora's tests are made by a macro: `name: target,`.
            if name == "corpora.rs" {
                let made = text.lines().filter_map(|line| line.trim().split_once(": "));
                found.extend(made.map(|(name, _)| name.to_owned()));
            }
        }
    }
}

/// What is wrong with one table.
fn faults(file: &str, text: &str, functions: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut rows = text.lines().skip_while(|line| *line != HEADER).skip(2).peekable();
    if rows.peek().is_none() {
        return vec![format!("{file}: no table with the header `{HEADER}`, or no row in it")];
    }
    let mut seen = BTreeSet::new();
    let mut count = 0;
    for row in rows.take_while(|line| line.starts_with('|')) {
        count += 1;
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [section, rule, shown] = cells.as_slice() else {
            faults.push(format!("{file}: not three cells: {row}"));
            continue;
        };
        if section.is_empty() || rule.is_empty() || shown.is_empty() {
            faults.push(format!("{file}: an empty cell: {row}"));
        }
        if !seen.insert((section.to_owned(), rule.to_owned())) {
            faults.push(format!("{file}: twice: {section} {rule}"));
        }
        if let Some(reason) = shown.strip_prefix("not done: ") {
            if reason.trim().len() < 10 {
                faults.push(format!("{file}: {section}: no reason"));
            }
            continue;
        }
        let tests: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        if tests.is_empty() || shown.split('`').step_by(2).any(|between| !between.trim().is_empty()) {
            faults.push(format!("{file}: {section}: neither tests in backticks nor `not done: `: {shown}"));
        }
        for test in tests.iter().filter(|test| !functions.contains(**test)) {
            faults.push(format!("{file}: {section}: no test `{test}`"));
        }
    }
    if count == 0 {
        faults.push(format!("{file}: a table without rows"));
    }
    if STANDARDS.iter().any(|(name, least)| *name == file && count < *least) {
        faults.push(format!("{file}: {count} rows only"));
    }
    faults
}

#[test]
fn each_rule_of_a_standard_has_a_test_or_a_reason() {
    let Some(root) = repository() else { return };
    let mut names = BTreeSet::new();
    functions(&root, &mut names);
    let mut faults_found = Vec::new();
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(root.join("docs/standards")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        faults_found.extend(faults(&file, &fs::read_to_string(&path).unwrap(), &names));
        files.insert(file);
    }
    let lost = STANDARDS.iter().filter(|(file, _)| !files.contains(*file));
    faults_found.extend(lost.map(|(file, _)| format!("{file}: not there")));
    assert!(faults_found.is_empty(), "{}", faults_found.join("\n"));
}

#[test]
fn a_table_with_a_gap_fails() {
    let names = BTreeSet::from(["there".to_owned()]);
    let said = |rows: &str| faults("x.md", &format!("# X\n\n{HEADER}\n|---|---|---|\n{rows}"), &names);
    let none: Vec<String> = Vec::new();
    assert_eq!(said("| 1 | a | `there` |\n| 2 | b | not done: for some reason |\n\nText.\n"), none);
    for (rows, part) in [
        ("", "no row"),
        ("\nText.\n", "without rows"),
        ("| 1 | a |  |\n", "an empty cell"),
        ("| 1 | a | `gone` |\n", "no test `gone`"),
        ("| 1 | a | there |\n", "neither"),
        ("| 1 | a | `there` and more |\n", "neither"),
        ("| 1 | a | not done: |\n", "neither"),
        ("| 1 | a | not done: why |\n", "no reason"),
        ("| 1 | `there` |\n", "not three cells"),
        ("| 1 | a | `there` |\n| 1 | a | `there` |\n", "twice"),
    ] {
        assert!(said(rows).iter().any(|fault| fault.contains(part)), "{rows}: {:?}", said(rows));
    }
    assert!(faults("x.md", "nothing", &names).len() == 1);
}

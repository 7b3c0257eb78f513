//! docs/threats.md says which test shows what, SECURITY.md what is promised. Here both are held to
//! their word: every row is there, every named test exists, every import of the contract and every
//! verb that loosens is listed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot read its files has failed, and says what it skipped"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The repository; none in a published crate, which holds neither SECURITY.md nor the other crates.
fn repository() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if root.join("SECURITY.md").exists() && root.join("plugins").exists() {
        return Some(root);
    }
    eprintln!("skipped: SECURITY.md is not beside this crate");
    None
}

/// All Rust sources below a folder: path and text.
fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}

fn all_sources(root: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    sources(root, &mut found);
    assert!(found.len() > 50, "the sources were not found");
    found
}

/// Whether the character can be in the name of a function.
fn in_a_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// The name that begins a text.
fn name(text: &str) -> &str {
    &text[..text.find(|c| !in_a_name(c)).unwrap_or(text.len())]
}

/// The names of all tests in a source: the first function after each `#[test]` or `#[tokio::test]`.
fn tests(source: &str) -> Vec<&str> {
    let (mut found, mut marked) = (Vec::new(), false);
    for line in source.lines().map(str::trim) {
        marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        if let (true, Some((_, rest))) = (marked, line.split_once("fn ")) {
            found.push(name(rest));
            marked = false;
        }
    }
    found
}

/// What stands in back-ticks.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The cells of the rows of each table whose header has `last` as its last column.
fn rows_of_tables<'s>(document: &'s str, last: &str) -> Vec<Vec<&'s str>> {
    let cells = |line: &'s str| {
        let line = line.trim().strip_prefix('|')?.strip_suffix('|')?;
        Some(line.split('|').map(str::trim).collect::<Vec<_>>())
    };
    let (mut rows, mut inside, mut after_table_row) = (Vec::new(), false, false);
    for line in document.lines() {
        let Some(row) = cells(line) else {
            (inside, after_table_row) = (false, false);
            continue;
        };
        if !after_table_row {
            inside = row.last() == Some(&last);
        } else if inside && !row.iter().all(|cell| cell.chars().all(|c| c == '-')) {
            rows.push(row);
        }
        after_table_row = true;
    }
    rows
}

#[test]
fn every_threat_has_a_row_and_every_named_test_exists() {
    let Some(root) = repository() else { return };
    let threats = fs::read_to_string(root.join("docs/threats.md")).unwrap();
    let sources = all_sources(&root);
    let known: BTreeSet<&str> = sources.iter().flat_map(|(_, text)| tests(text)).collect();

    let rows = rows_of_tables(&threats, "tests");
    let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
    let (mut faults, mut covered) = (Vec::new(), 0);
    for row in &rows {
        let (id, tests) = (row[0], row[row.len() - 1]);
        if let Ok(number) = id.parse::<u32>() {
            *seen.entry(number).or_default() += 1;
        }
        let named: Vec<&str> = code_spans(tests).collect();
        match (tests, named.is_empty()) {
            ("*open*", _) => {}
            (_, true) => faults.push(format!("row {id} names no test and is not *open*")),
            (_, false) => covered += usize::from(id.parse::<u32>().is_ok()),
        }
        for test in named {
            if !test.chars().all(in_a_name) || !known.contains(test) {
                faults.push(format!("row {id} names `{test}`, and there is no such test"));
            }
        }
    }
    for number in 1..=95 {
        match seen.remove(&number) {
            Some(1) => {}
            Some(times) => faults.push(format!("row {number} is there {times} times")),
            None => faults.push(format!("row {number} is missing")),
        }
    }
    faults.extend(seen.keys().map(|number| format!("row {number} is not one of the 95")));
    // The promises and the conditions, too.
    for id in (1..=10).map(|n| format!("P{n}")).chain((1..=13).map(|n| format!("T{n}"))) {
        if rows.iter().filter(|row| row[0] == id).count() != 1 {
            faults.push(format!("{id} does not have exactly one row"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    println!("{covered} of 95 rows are covered by tests");
}

/// Nothing waits without an end: each state of a connection has a row, and each row a test.
#[test]
fn every_state_of_a_connection_names_a_test_that_exists() {
    let Some(root) = repository() else { return };
    let sources = all_sources(&root);
    let known: BTreeSet<&str> = sources.iter().flat_map(|(_, text)| tests(text)).collect();
    let text = fs::read_to_string(root.join("docs/connections.md")).unwrap();
    let rows = rows_of_tables(&text, "tests");
    assert!(rows.len() >= 20, "the table of docs/connections.md has {} rows", rows.len());
    for row in rows {
        let named: Vec<&str> = code_spans(row[row.len() - 1]).collect();
        let unknown: Vec<_> = named.iter().filter(|test| !known.contains(*test)).collect();
        assert!(!named.is_empty() && unknown.is_empty(), "`{}`: there is no {unknown:?}", row[0]);
        assert!(row.len() == 4 && !row[1].is_empty(), "`{}` does not say its timer", row[0]);
    }
}

/// What a policy tried, and what was taken away from the cache: the tables beside them name tests,
/// too.
#[test]
fn the_tables_beside_hostile_guests_and_mutants_name_tests_that_exist() {
    let Some(root) = repository() else { return };
    let sources = all_sources(&root);
    let known: BTreeSet<&str> = sources.iter().flat_map(|(_, text)| tests(text)).collect();
    for (file, last) in
        [("plugins/hostile/README.md", "test"), ("ztlib/tests/mutations/README.md", "the test that fails")]
    {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let rows = rows_of_tables(&text, last);
        let named: Vec<&str> = rows.iter().flat_map(|row| code_spans(row[row.len() - 1])).collect();
        let unknown: Vec<_> = named.iter().filter(|test| !known.contains(*test)).collect();
        assert!(named.len() >= 20 && unknown.is_empty(), "{file}: there is no {unknown:?}");
    }
}

#[test]
fn every_import_of_the_contract_is_listed() {
    let Some(root) = repository() else { return };
    let security = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let listed: BTreeSet<&str> =
        rows_of_tables(&security, "what it is").iter().flat_map(|row| code_spans(row[1])).collect();

    let contract = fs::read_to_string(root.join("ztlib-contract/wit/policy.wit")).unwrap();
    let mut imported = BTreeSet::new();
    let mut interface = "";
    for line in contract.lines() {
        if let Some(name) = line.strip_prefix("interface ") {
            interface = name.trim_end_matches(" {");
        }
        let function = line.trim().split_once(": func(").map(|(name, _)| name.trim_start_matches('%'));
        if let (Some(function), true) = (function, interface != "guard") {
            imported.insert(function);
        }
    }
    assert!(imported.len() > 40, "the contract was not understood: {imported:?}");
    assert_eq!(listed, imported);
}

#[test]
fn every_verb_that_loosens_is_listed() {
    let Some(root) = repository() else { return };
    let security = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let listed: BTreeSet<&str> = rows_of_tables(&security, "what it gives up")
        .iter()
        .flat_map(|row| code_spans(row[0]).filter_map(|verb| verb.rsplit("::").next()))
        .collect();

    let sources = all_sources(&root);
    let library = |path: &Path| {
        ["ztlib/src", "ztlib-axum/src", "ztlib-tonic/src"]
            .iter()
            .any(|folder| path.starts_with(root.join(folder)))
    };
    let public: BTreeSet<&str> = sources
        .iter()
        .filter(|(path, _)| library(path))
        .flat_map(|(_, text)| text.split("pub fn ").skip(1))
        .map(name)
        .collect();
    let loosens = |name: &str| {
        name.starts_with("allow_")
            || name.starts_with("trust_foreign")
            || name.starts_with("dangerous")
            || name.starts_with("observe_only")
    };
    let unlisted: Vec<_> = public.iter().filter(|name| loosens(name) && !listed.contains(*name)).collect();
    assert!(unlisted.is_empty(), "not in SECURITY.md: {unlisted:?}");
    // Whatever calls itself loosening is listed, whatever its name.
    let documented: BTreeSet<&str> = sources
        .iter()
        .filter(|(path, _)| library(path))
        .flat_map(|(_, text)| text.split("/// Loosens").skip(1))
        .filter_map(|rest| rest.split_once("pub fn ").map(|(_, function)| name(function)))
        .collect();
    assert!(documented.len() > 10, "the documentation is not read: {documented:?}");
    let unlisted: Vec<_> = documented.difference(&listed).collect();
    assert!(unlisted.is_empty(), "documented as loosening, and not in SECURITY.md: {unlisted:?}");
    let unknown: Vec<_> = listed.iter().filter(|name| !public.contains(*name)).collect();
    assert!(unknown.is_empty(), "in SECURITY.md, and there is no such verb: {unknown:?}");
}

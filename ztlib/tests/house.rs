//! Which part of the house may know which: read from the `use` lines of the source. What happens to
//! a request knows nothing of where policy sets come from, nothing points at enforcement, and no
//! circle is larger than three files.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may panic; the text is this project's source, cut where ASCII stands"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, and the rooms that each may name. A file in no room stands on the ground: everybody
/// may name it, and it names nobody.
const ARROWS: &[(&str, &[&str])] = &[
    ("authenticate", &[]),
    ("authorize", &["authenticate"]),
    ("observe", &["authenticate", "authorize"]),
    ("policies/files", &["authorize"]),
    ("policies/cases", &["policies/files", "authorize"]),
    ("policies/store", &["policies/cases", "policies/files", "authorize"]),
    ("policies/trial", &["policies/store", "policies/cases", "policies/files", "authorize", "observe"]),
    ("policies", &["policies/store", "policies/files"]),
    ("enforce", &["authenticate", "authorize", "observe", "policies", "policies/store", "tls"]),
    ("tls", &["authenticate"]),
    ("bench", &["authenticate", "authorize", "policies", "policies/store"]),
];

/// The largest circle of files, in files.
const LARGEST_CIRCLE: usize = 3;

/// A file by its path under `src`: `authorize/set.rs`.
type File = String;

struct House {
    files: BTreeMap<File, String>,
}

impl House {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = BTreeMap::new();
        collect(&root, &root, &mut files);
        Self { files }
    }

    /// The file of a module: `authorize::set` or `authorize`.
    fn file_of(&self, module: &[&str]) -> Option<File> {
        let path = module.join("/");
        let candidates = match module.is_empty() {
            true => vec!["lib.rs".to_owned()],
            false => vec![format!("{path}.rs"), format!("{path}/mod.rs")],
        };
        candidates.into_iter().find(|file| self.files.contains_key(file))
    }

    /// The file that a path leads to, through what modules export again.
    fn lead(&self, path: &[&str], depth: usize) -> Option<File> {
        let known = (0..=path.len()).rev().find(|end| self.file_of(&path[..*end]).is_some())?;
        let file = self.file_of(&path[..known])?;
        let Some(item) = path.get(known) else { return Some(file) };
        if depth > 4 {
            return Some(file);
        }
        // Where the module exports the item again, it leads on from there.
        let module = module_of(&file);
        for used in uses(&self.files[&file], true) {
            let Some(target) = absolute(&module, &used) else { continue };
            if target.last().map(String::as_str) == Some(*item) && target.len() > 1 {
                let target: Vec<&str> = target.iter().map(AsRef::as_ref).collect();
                if target != path[..=known] {
                    return self.lead(&target, depth + 1);
                }
            }
        }
        Some(file)
    }

    /// Which files a file names, besides the modules above it.
    fn named_by(&self, file: &File) -> BTreeSet<File> {
        let module = module_of(file);
        let mut named = BTreeSet::new();
        for used in uses(&self.files[file], false) {
            let Some(target) = absolute(&module, &used) else { continue };
            let target: Vec<&str> = target.iter().map(AsRef::as_ref).collect();
            named.extend(self.lead(&target, 0).filter(|target| target != file));
        }
        named.remove("lib.rs");
        named
    }

    fn arrows(&self) -> BTreeMap<File, BTreeSet<File>> {
        // A `mod.rs` is the door of its folder: what it exports is looked through.
        let files = self.files.keys().filter(|file| !file.ends_with("mod.rs") && *file != "lib.rs");
        files.map(|file| (file.clone(), self.named_by(file))).collect()
    }
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<File, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            collect(root, &path, files);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "returned_values.rs" {
            let text = fs::read_to_string(&path).unwrap();
            // Tests may name whom they like.
            let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap().to_owned();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            files.insert(name, code);
        }
    }
}

fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// The room of a file; none on the ground.
fn room(file: &str) -> Option<&'static str> {
    let mut rooms: Vec<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    rooms.sort_by_key(|room| std::cmp::Reverse(room.len()));
    rooms.into_iter().find(|room| {
        file.strip_prefix(room).is_some_and(|rest| rest.starts_with('/') || rest.starts_with('.'))
    })
}

/// The paths of all `use` lines, each taken apart; with `again` only of those that export, without
/// it also the paths that stand in the code.
fn uses(code: &str, again: bool) -> Vec<String> {
    let code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect();
    let mut paths = Vec::new();
    let mut rest = code.as_str();
    while let Some(at) = rest.find("use ") {
        let line = rest[..at].rsplit('\n').next().unwrap();
        let (before, after) = (line.trim(), &rest[at + 4..]);
        let is_use = before.is_empty() || (before.starts_with("pub") && !before.contains("fn "));
        rest = after;
        if !is_use || (again && before.is_empty()) {
            continue;
        }
        let tree = after.split(';').next().unwrap().split_whitespace().collect::<String>();
        expand("", &tree.replace("as_", "as"), &mut paths);
    }
    if !again {
        for start in ["crate::", "super::"] {
            for part in code.split(start).skip(1) {
                let end = part.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
                let path = part[..end.unwrap_or(part.len())].trim_end_matches(':');
                paths.push(format!("{start}{path}"));
            }
        }
    }
    paths
}

fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((head, group)) = tree.split_once('{') else {
        let name = tree.split("::").last().unwrap();
        let path =
            if name == "self" { prefix.trim_end_matches("::").to_owned() } else { format!("{prefix}{tree}") };
        paths.push(path);
        return;
    };
    let (mut depth, mut one) = (0, String::new());
    let inside = &group[..group.rfind('}').unwrap_or(group.len())];
    for c in inside.chars().chain([',']) {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            if !one.is_empty() {
                expand(&format!("{prefix}{head}"), &one, paths);
            }
            one.clear();
        } else {
            one.push(c);
        }
    }
}

/// A path from the crate's root; none for one of another crate.
fn absolute(module: &[String], path: &str) -> Option<Vec<String>> {
    let mut parts = path.split("::").peekable();
    let mut base = match parts.peek().copied()? {
        "crate" => {
            parts.next();
            Vec::new()
        }
        "self" => {
            parts.next();
            module.to_vec()
        }
        "super" => {
            let mut base = module.to_vec();
            while parts.next_if_eq(&"super").is_some() {
                base.pop();
            }
            base
        }
        _ => module.to_vec(),
    };
    base.extend(parts.map(str::to_owned));
    Some(base)
}

#[test]
fn each_room_names_only_the_rooms_that_it_may() {
    let house = House::read();
    let arrows = house.arrows();
    assert!(arrows.values().map(BTreeSet::len).sum::<usize>() > 300, "the `use` lines are not read");
    let mut wrong = Vec::new();
    for (file, named) in &arrows {
        for target in named {
            let (from, to) = (room(file), room(target));
            let is_fine = match (from, to) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(from), Some(to)) => {
                    let (_, may) = ARROWS.iter().find(|(room, _)| *room == from).unwrap();
                    from == to || may.contains(&to)
                }
            };
            if !is_fine {
                wrong.push(format!("{file} names {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} arrows that may not be:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_circle_is_larger_than_three_files() {
    let arrows = House::read().arrows();
    let reach = |from: &File| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(file) = next.pop() {
            for target in arrows.get(&file).into_iter().flatten() {
                if seen.insert(target.clone()) {
                    next.push(target.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&File, BTreeSet<File>> = arrows.keys().map(|file| (file, reach(file))).collect();
    for (file, from) in &reached {
        let circle: Vec<&File> =
            from.iter().filter(|other| reached.get(other).is_some_and(|back| back.contains(*file))).collect();
        assert!(circle.len() <= LARGEST_CIRCLE, "a circle of {} files: {circle:?}", circle.len());
    }
}

/// The check can fail: one import in the wrong place is found.
#[test]
fn one_wrong_import_is_found() {
    let mut house = House::read();
    let file = "authorize/set.rs".to_owned();
    let code = house.files.get_mut(&file).unwrap();
    code.insert_str(0, "use crate::policies::{PolicyStore, Status};\n");
    let named = house.named_by(&file);
    assert!(named.contains("policies/store/reload.rs"), "{named:?}");
    assert_eq!(room("policies/store/reload.rs"), Some("policies/store"));
}

/// The rows of the table of folders in ARCHITECTURE.md: folders, and the names in their text.
fn map() -> Vec<(Vec<String>, Vec<String>)> {
    let page = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let section = page.split("\n## Folders\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let (folders, text) = row[2..].split_once(" | ").unwrap();
        (quoted(folders), quoted(text))
    })
    .collect()
}

fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file and folder below `folder`, without its ending.
fn names_below(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        names.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
        if path.is_dir() && !path.ends_with("target") {
            names_below(&path, names);
        }
    }
}

#[test]
fn the_map_names_what_is_there() {
    let map = map();
    assert!(map.len() > 15, "the table of folders is not read");
    let mut missing = Vec::new();
    for (folders, words) in &map {
        let mut names: BTreeSet<String> = folders.iter().cloned().collect();
        for folder in folders {
            names_below(&repository().join(folder), &mut names);
        }
        let plain = |word: &&String| word.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '/');
        for word in words.iter().filter(plain) {
            let is_path = word.trim_end_matches('/').contains('/');
            let is_there = match is_path {
                true => repository().join(word).exists(),
                false => names.contains(word.trim_end_matches('/')),
            };
            if !is_there {
                missing.push(format!("{folders:?}: `{word}`"));
            }
        }
    }
    assert!(missing.is_empty(), "ARCHITECTURE.md names what is not there:\n{}", missing.join("\n"));
}

/// Every source file and every type that ARCHITECTURE.md or a decision names is in the source.
#[test]
fn the_pages_for_contributors_name_nothing_that_is_gone() {
    let (mut files, mut words) = (Vec::new(), BTreeSet::new());
    for folder in fs::read_dir(repository()).unwrap() {
        let folder = folder.unwrap().path();
        let is_source =
            folder.is_dir() && !["target", ".git", "fuzz"].iter().any(|not| folder.ends_with(not));
        if is_source {
            read_source(&folder, &mut files, &mut words);
        }
    }
    let mut pages = vec![repository().join("ARCHITECTURE.md")];
    let decisions = fs::read_dir(repository().join("docs/decisions")).unwrap();
    pages.extend(decisions.map(|entry| entry.unwrap().path()));
    assert!(pages.len() > 30 && words.len() > 1000, "the pages or the source are not read");
    let mut gone = Vec::new();
    for page in &pages {
        for name in quoted(&fs::read_to_string(page).unwrap()) {
            let is_file = name.ends_with(".rs") && !name.contains(' ');
            let first = name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap();
            let is_type = first.starts_with(|c: char| c.is_ascii_uppercase())
                && first.contains(|c: char| c.is_ascii_lowercase())
                && !name.contains([' ', '-']);
            let is_gone = match (is_file, is_type) {
                (true, _) => !files.iter().any(|file| file.ends_with(&format!("/{name}"))),
                (_, true) => !words.contains(first),
                _ => false,
            };
            if is_gone {
                gone.push(format!("{}: `{name}`", page.file_name().unwrap().to_str().unwrap()));
            }
        }
    }
    assert!(gone.is_empty(), "named, and nowhere in the source:\n{}", gone.join("\n"));
}

fn read_source(folder: &Path, files: &mut Vec<String>, words: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            read_source(&path, files, words);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let split = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            words.extend(split.map(str::to_owned));
            files.push(path.to_str().unwrap().replace('\\', "/"));
        }
    }
}

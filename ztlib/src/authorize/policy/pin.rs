//! Writing the modules' digests into a manifest.

use std::fs;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::LoadError;
use super::digest::Digest;
use super::error::shown;
use super::folder::Folder;
use super::json::line_of;
use super::manifest::MAX_MANIFEST_BYTES;
use super::toml_table::Text;
use super::wasm::Budget;

/// A module whose digest was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// The file, as the manifest names it.
    pub module: String,
    /// Its SHA-256 digest, in hexadecimal digits.
    pub sha256: String,
    /// Whether the manifest had another one, or none.
    pub changed: bool,
}

/// Writes the digests of those modules that a manifest names and `wanted` says yes to into it, in the place of those that are there; everything else in the file stays as it
/// is. The file is replaced by a rename, so that a service which watches it sees the old one or the new one.
///
/// Pinning says "I trust these files": call it for what you have built yourself.
///
/// # Errors
/// [`LoadError`] where the manifest or a module cannot be read, or the manifest cannot be written (`file-not-writable`).
pub fn pin(manifest: impl AsRef<Path>, wanted: impl Fn(&str) -> bool) -> Result<Vec<Pinned>, LoadError> {
    let path = manifest.as_ref();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut folder = Folder::of(path)?;
    let text = folder.read_text(name, MAX_MANIFEST_BYTES).map_err(|error| error.at(path, None))?;
    let source = Text { file: path, text: &text };
    let parsed = source.parse()?;
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut pinned = Vec::new();
    for policy in policies(parsed.get_ref()) {
        let Some((module, at)) =
            policy.get("module").and_then(|value| Some((value.get_ref().as_str()?, value.span())))
        else {
            continue;
        };
        if !wanted(module) {
            continue;
        }
        let line = line_of(&text, at.start);
        let bytes = folder
            .read(module, Budget::maximum().module_bytes)
            .map_err(|error| error.at(path, Some(line)))?;
        let sha256 = Digest::of(&bytes).to_string();
        let known = policy.get("sha256");
        let changed = known.and_then(|value| value.get_ref().as_str()) != Some(&sha256);
        if changed {
            edits.push(match known {
                Some(value) => (value.span(), format!("\"{sha256}\"")),
                None => (at.end..at.end, format!("\nsha256 = \"{sha256}\"")),
            });
        }
        pinned.push(Pinned { module: module.to_owned(), sha256, changed });
    }
    if !edits.is_empty() {
        write(path, &edited(&text, edits)).map_err(|error| {
            let text = format!("`{}` cannot be written: {error}", shown(name));
            LoadError::new("file-not-writable", text).at(path, None)
        })?;
    }
    Ok(pinned)
}

fn policies<'t>(top: &'t DeTable<'t>) -> impl Iterator<Item = &'t DeTable<'t>> {
    let policies = top.get("policy").and_then(|value| value.get_ref().as_array());
    policies.into_iter().flatten().filter_map(|policy| match policy.get_ref() {
        DeValue::Table(policy) => Some(policy),
        _ => None,
    })
}

/// The text with these places replaced, from the last to the first, so that each is still where it was found.
fn edited(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    let mut text = text.to_owned();
    edits.sort_unstable_by_key(|(place, _)| std::cmp::Reverse(place.start));
    for (place, new) in edits {
        text.replace_range(place, &new);
    }
    text
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    fs::write(&beside, text)?;
    if let Ok(metadata) = fs::metadata(path) {
        fs::set_permissions(&beside, metadata.permissions())?;
    }
    fs::rename(&beside, path).inspect_err(|_| drop(fs::remove_file(&beside)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinning_changes_the_digests_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("ztlib-pin-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.wasm"), b"a").unwrap();
        fs::write(folder.join("b.wasm"), b"b").unwrap();
        let manifest = folder.join("policies.toml");
        let before = "format = 1 # one\n[[policy]]\nname = \"a\"\nmodule = \"a.wasm\" # mine\nsha256 = \"00\" # old\n[[policy]]\nmodule = 'b.wasm'\n";
        fs::write(&manifest, before).unwrap();
        let pinned = pin(&manifest, |_| true).unwrap();
        assert!(pinned.iter().all(|pinned| pinned.changed));
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let after = format!(
            "format = 1 # one\n[[policy]]\nname = \"a\"\nmodule = \"a.wasm\" # mine\nsha256 = \"{a}\" # old\n[[policy]]\nmodule = 'b.wasm'\nsha256 = \"{b}\"\n"
        );
        assert_eq!(fs::read_to_string(&manifest).unwrap(), after);
        assert!(pin(&manifest, |_| true).unwrap().iter().all(|pinned| !pinned.changed), "once is enough");
        fs::write(&manifest, "[[policy]]\nmodule = 'c.wasm'\n").unwrap();
        assert_eq!(pin(&manifest, |module| module != "c.wasm"), Ok(vec![]), "another's is left alone");
        let error = pin(&manifest, |_| true).unwrap_err();
        assert_eq!((error.code(), error.line()), ("file-not-found", Some(2)));
        fs::remove_dir_all(&folder).unwrap();
    }
}

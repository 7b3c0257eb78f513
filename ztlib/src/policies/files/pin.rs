//! Writes the digests of modules and their configurations into a manifest.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use ztlib_contract::cases::{line_of, shown};

use super::folder::Folder;
use super::manifest::MAX_MANIFEST_BYTES;
use super::whole_file::{self, Access};
use crate::digest::Digest;
use crate::load_error::LoadError;
use ztlib_contract::Budget;

/// A module whose digest was computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// The file, as the manifest names it.
    pub module: String,
    /// Its SHA-256 digest, in hexadecimal digits.
    pub sha256: String,
    /// The digest of the policy's configuration, if that was computed too.
    pub config_sha256: Option<String>,
    /// Whether the manifest had another digest, or none.
    pub changed: bool,
}

/// Writes the digests of the manifest's modules for which `wanted` returns true, replacing those
/// that are there. Everything else in the file stays unchanged. The file is replaced by a rename,
/// so a service that watches it sees either the old one or the new one.
///
/// The digest of such a policy's configuration (`config-sha256`) is also written, if the manifest
/// already has one or has a `version`: then it is meant to be signed, and a signed manifest binds
/// its configurations. Otherwise it is left out, so that a configuration can be edited without
/// pinning.
///
/// Pinning means "I trust these files". Only pin what you have built yourself.
///
/// # Errors
/// [`LoadError`] if the manifest or a module cannot be read, or the manifest cannot be written
/// (`file-not-writable`).
pub fn pin(manifest: impl AsRef<Path>, wanted: impl Fn(&str) -> bool) -> Result<Vec<Pinned>, LoadError> {
    let path = manifest.as_ref();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut folder = Folder::of(path)?;
    let text = folder.read_text(name, MAX_MANIFEST_BYTES).map_err(|error| error.at(path, None))?;
    let parsed = DeTable::parse(&text).map_err(|error| {
        let line = error.span().map(|span| line_of(&text, span.start));
        LoadError::new("malformed-file", shown(error.message())).at(path, line)
    })?;
    let to_be_signed = parsed.get_ref().contains_key("version");
    let mut edits = Vec::new();
    let mut pinned = Vec::new();
    for (policy, at) in policies(parsed.get_ref()) {
        let is_inline = text.as_bytes().get(at.start) == Some(&b'{');
        let Some((module, at)) = file(policy, "module").filter(|(module, _)| wanted(module)) else {
            continue;
        };
        let mut digest = |file: &str, at: &Range<usize>, limit: usize| {
            let bytes = folder.read(file, limit);
            let bytes = bytes.map_err(|error| error.at(path, Some(line_of(&text, at.start))))?;
            Ok::<_, LoadError>(Digest::of(&bytes).to_string())
        };
        let before = edits.len();
        let sha256 = digest(module, &at, Budget::maximum().module_bytes)?;
        edits.extend(edit(policy, is_inline, "sha256", &sha256, at));
        let mut config_sha256 = None;
        if let Some((config, at)) = file(policy, "config")
            && (to_be_signed || policy.contains_key("config-sha256"))
        {
            // As when loading a manifest: the text of a configuration may be twice as long as its
            // JSON.
            let sha256 = digest(config, &at, Budget::maximum().config_bytes.saturating_mul(2))?;
            edits.extend(edit(policy, is_inline, "config-sha256", &sha256, at));
            config_sha256 = Some(sha256);
        }
        let changed = edits.len() > before;
        pinned.push(Pinned { module: module.to_owned(), sha256, config_sha256, changed });
    }
    if !edits.is_empty() {
        whole_file::write(path, edited(&text, edits).as_bytes(), Access::AsBefore).map_err(|error| {
            let text = format!("`{}` cannot be written: {error}", shown(name));
            LoadError::new("file-not-writable", text).at(path, None)
        })?;
    }
    Ok(pinned)
}

fn policies<'t>(top: &'t DeTable<'t>) -> impl Iterator<Item = (&'t DeTable<'t>, Range<usize>)> {
    let policies = top.get("policy").and_then(|value| value.get_ref().as_array());
    policies.into_iter().flatten().filter_map(|policy| match policy.get_ref() {
        DeValue::Table(table) => Some((table, policy.span())),
        _ => None,
    })
}

/// The file that a key names, and the position of the name.
fn file<'t>(policy: &'t DeTable<'t>, key: &str) -> Option<(&'t str, Range<usize>)> {
    let value = policy.get(key)?;
    Some((value.get_ref().as_str()?, value.span()))
}

/// The edit that gives a key this digest: it replaces the value, or follows the file's name, on a
/// line of its own unless the table is inline.
fn edit(
    policy: &DeTable<'_>,
    is_inline: bool,
    key: &str,
    digest: &str,
    named: Range<usize>,
) -> Option<(Range<usize>, String)> {
    let known: Option<&Spanned<DeValue<'_>>> = policy.get(key);
    match known {
        Some(value) if value.get_ref().as_str() == Some(digest) => None,
        Some(value) => Some((value.span(), format!("\"{digest}\""))),
        None => {
            let parted = if is_inline { ", " } else { "\n" };
            Some((named.end..named.end, format!("{parted}{key} = \"{digest}\"")))
        }
    }
}

/// The text with these ranges replaced, from the last to the first, so that earlier positions stay
/// valid.
fn edited(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    let mut text = text.to_owned();
    edits.sort_unstable_by_key(|(place, _)| std::cmp::Reverse(place.start));
    for (place, new) in edits {
        text.replace_range(place, &new);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        assert_eq!(
            pin(&manifest, |module| module != "c.wasm"),
            Ok(vec![]),
            "the digest of another module stays"
        );
        let error = pin(&manifest, |_| true).unwrap_err();
        assert_eq!((error.code(), error.line()), ("file-not-found", Some(2)));
        // An inline table stays on one line.
        fs::write(&manifest, "policy = [{ module = 'a.wasm' }, { module = 'b.wasm', name = 'b' }]\n")
            .unwrap();
        pin(&manifest, |_| true).unwrap();
        let after = format!(
            "policy = [{{ module = 'a.wasm', sha256 = \"{a}\" }}, {{ module = 'b.wasm', sha256 = \"{b}\", name = 'b' }}]\n"
        );
        assert_eq!(fs::read_to_string(&manifest).unwrap(), after);
        assert!(pin(&manifest, |_| true).unwrap().iter().all(|pinned| !pinned.changed));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_configuration_is_pinned_where_the_manifest_is_to_be_signed() {
        let folder = std::env::temp_dir().join(format!("ztlib-pin-config-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.wasm"), b"a").unwrap();
        fs::write(folder.join("a.yaml"), b"b").unwrap();
        let manifest = folder.join("policies.toml");
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let policy = format!("[[policy]]\nmodule = 'a.wasm'\nsha256 = \"{a}\"\nconfig = 'a.yaml'\n");
        fs::write(&manifest, &policy).unwrap();
        let pinned = pin(&manifest, |_| true).unwrap();
        assert!(pinned.iter().all(|pinned| !pinned.changed && pinned.config_sha256.is_none()));
        for (head, tail) in [("version = 1\n", ""), ("", "config-sha256 = \"00\"\n")] {
            fs::write(&manifest, format!("{head}{policy}{tail}")).unwrap();
            let pinned = pin(&manifest, |_| true).unwrap();
            assert_eq!(pinned.first().unwrap().config_sha256, Some(b.to_string()));
            assert!(pinned.first().unwrap().changed);
            let after = format!("{head}{policy}config-sha256 = \"{b}\"\n");
            assert_eq!(fs::read_to_string(&manifest).unwrap(), after);
            assert!(!pin(&manifest, |_| true).unwrap().first().unwrap().changed, "once is enough");
        }
        fs::remove_file(folder.join("a.yaml")).unwrap();
        let error = pin(&manifest, |_| true).unwrap_err();
        assert_eq!((error.code(), error.line()), ("file-not-found", Some(4)));
        fs::remove_dir_all(&folder).unwrap();
    }
}

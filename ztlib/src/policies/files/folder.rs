//! The folder of a manifest: the only place that it can name files in.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use ztlib_contract::escaped as shown;

use crate::load_error::LoadError;

/// The most files that one pattern may name.
const MAX_MATCHES: usize = 64;

/// The folder of a manifest with everything that was looked for in it.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Without symbolic links.
    root: PathBuf,
    /// As it was named: what errors show.
    named: PathBuf,
    /// The name of the file that it was opened for: others are beside that one.
    own: Box<str>,
    /// Every file that was looked for, found or not, as it was just before.
    looked_for: LookedFor,
}

/// Files with what tells whether they have changed.
pub(crate) type LookedFor = Vec<(PathBuf, Option<Stamp>)>;

/// What tells whether a file has changed, without reading it. It follows symbolic links, so that
/// swapping one shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    real: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    inode: (u64, i64, i64),
}

impl Stamp {
    /// None where there is no such file.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let real = fs::canonicalize(path).ok()?;
        let metadata = fs::metadata(&real).ok()?;
        Some(Self {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            inode: {
                use std::os::unix::fs::MetadataExt;
                (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
            },
            real,
        })
    }
}

impl Folder {
    /// The folder that holds a file.
    pub(crate) fn of(file: &Path) -> Result<Self, LoadError> {
        let named = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let root = fs::canonicalize(named).map_err(|error| {
            LoadError::new("file-not-readable", format!("the folder cannot be opened: {error}"))
                .at(named, None)
        })?;
        let own = file.file_name().unwrap_or_default().to_string_lossy().into();
        Ok(Self { root, named: named.to_owned(), own, looked_for: LookedFor::new() })
    }

    /// What to look for where the folder itself is not there.
    pub(crate) fn missing(file: &Path) -> LookedFor {
        vec![(file.to_owned(), Stamp::of(file))]
    }

    pub(crate) fn into_looked_for(self) -> LookedFor {
        self.looked_for
    }

    /// How a file of the folder is shown in errors.
    pub(crate) fn show(&self, name: &str) -> PathBuf {
        if self.named == Path::new(".") { PathBuf::from(name) } else { self.named.join(name) }
    }

    /// The contents of a file in the folder or below it, if they are at most `limit` bytes.
    pub(crate) fn read(&mut self, name: &str, limit: usize) -> Result<Vec<u8>, LoadError> {
        let relative = Path::new(name);
        let plain = |part| matches!(part, Component::Normal(_));
        if name.is_empty() || !relative.components().all(plain) {
            return Err(LoadError::new(
                "path-leaves-folder",
                format!(
                    "`{}` is not a path inside of the manifest's folder: write it relative to that folder, without `..`",
                    shown(name)
                ),
            ));
        }
        let path = self.named.join(relative);
        if !self.looked_for.iter().any(|(known, _)| *known == path) {
            self.looked_for.push((path.clone(), Stamp::of(&path)));
        }
        let real = fs::canonicalize(&path).map_err(|error| self.unreadable(name, &error))?;
        if !real.starts_with(&self.root) {
            return Err(LoadError::new(
                "path-leaves-folder",
                format!(
                    "`{}` is a symbolic link that leads out of the manifest's folder: put the file itself there",
                    shown(name)
                ),
            ));
        }
        // A device is not even opened. What is read is looked at once more: another may have its
        // name by now.
        let is_file = |found: io::Result<fs::Metadata>| match found {
            Ok(found) if found.is_file() => Ok(()),
            Ok(_) => Err(LoadError::new("file-not-readable", format!("`{}` is not a file", shown(name)))),
            Err(error) => Err(self.unreadable(name, &error)),
        };
        is_file(fs::metadata(&real))?;
        let file = open(&real).map_err(|error| self.unreadable(name, &error))?;
        is_file(file.metadata())?;
        let mut bytes = Vec::new();
        let at_most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        file.take(at_most).read_to_end(&mut bytes).map_err(|error| self.unreadable(name, &error))?;
        if bytes.len() > limit {
            return Err(LoadError::new(
                "file-too-large",
                format!("`{}` is larger than {limit} bytes", shown(name)),
            ));
        }
        Ok(bytes)
    }

    /// The files that a pattern names, sorted: a path, with `*` for any letters in its last part.
    /// The folder that they lie in is looked for too, so that one more file in it is noticed.
    pub(crate) fn matching(&mut self, pattern: &str) -> Result<Vec<String>, LoadError> {
        let Some((before, after)) = pattern.split_once('*') else { return Ok(vec![pattern.to_owned()]) };
        let (folder, prefix) = before.rsplit_once('/').unwrap_or(("", before));
        let plain = |part| matches!(part, Component::Normal(_));
        if after.contains(['*', '/']) || !Path::new(folder).components().all(plain) {
            let text = format!(
                "`{}` cannot be understood: one `*` may stand in the last part of a path inside of the manifest's folder",
                shown(pattern)
            );
            return Err(LoadError::new("bad-pattern", text));
        }
        let path = self.named.join(folder);
        self.looked_for.push((path.clone(), Stamp::of(&path)));
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(|error| self.unreadable(folder, &error))? {
            let entry = entry.map_err(|error| self.unreadable(folder, &error))?;
            let file_name = entry.file_name();
            let Some(name) = file_name.to_str() else { continue };
            let rest = name.strip_prefix(prefix).filter(|_| !name.starts_with('.'));
            if rest.is_some_and(|rest| rest.ends_with(after)) {
                names.push(if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") });
            }
            if names.len() > MAX_MATCHES {
                return Err(LoadError::new(
                    "too-many-files",
                    format!("`{}` names more than {MAX_MATCHES} files", shown(pattern)),
                ));
            }
        }
        names.sort_unstable();
        if names.is_empty() {
            let text = format!("`{}` names no file: write one, or correct the pattern", shown(pattern));
            return Err(LoadError::new("file-not-found", text));
        }
        Ok(names)
    }

    /// The same as text.
    pub(crate) fn read_text(&mut self, name: &str, limit: usize) -> Result<String, LoadError> {
        String::from_utf8(self.read(name, limit)?)
            .map_err(|_| LoadError::new("file-not-utf8", format!("`{}` is not UTF-8 text", shown(name))))
    }

    /// What cannot be read, and what to do where it is not there.
    fn unreadable(&self, name: &str, error: &io::Error) -> LoadError {
        // The place of the error names this one.
        let own = name == &*self.own;
        let (code, advice) = match error.kind() {
            io::ErrorKind::NotFound if own => ("file-not-found", ": correct the path, or go to its folder"),
            io::ErrorKind::NotFound if name.ends_with(".wasm") => {
                ("file-not-found", ": make it (`ztlib policy build`), put it there, or correct the path")
            }
            io::ErrorKind::NotFound => {
                ("file-not-found", ": put it beside the manifest, or correct the path")
            }
            _ => ("file-not-readable", ""),
        };
        let subject = if own { "the file".to_owned() } else { format!("`{}`", shown(name)) };
        LoadError::new(code, format!("{subject} cannot be read: {error}{advice}"))
    }
}

/// Opens without waiting: a pipe that nobody writes to would keep us for ever.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, NONBLOCK);
    options.open(path)
}

/// `O_NONBLOCK`; files do not care.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NONBLOCK: i32 = if cfg!(any(target_arch = "mips", target_arch = "mips64")) { 0x80 } else { 0o4000 };
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
const NONBLOCK: i32 = 4;

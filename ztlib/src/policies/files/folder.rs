//! The folder of a manifest. The manifest can name files only inside of it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use ztlib_contract::escaped as shown;

use crate::load_error::LoadError;

/// The maximum number of files that one pattern may match.
const MAX_MATCHES: usize = 64;

/// The folder of a manifest, with every file that was looked up in it.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Without symbolic links.
    root: PathBuf,
    /// As the caller named it; errors show this.
    named: PathBuf,
    /// The name of the manifest itself. Other files are beside it.
    own: Box<str>,
    /// Every file that was looked up, found or not, with its state just before.
    looked_for: LookedFor,
}

/// Files, each with a stamp that tells whether it has changed.
pub(crate) type LookedFor = Vec<(PathBuf, Option<Stamp>)>;

/// Tells whether a file has changed without reading it. Follows symbolic links, so that it notices
/// if one is swapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    real: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    inode: (u64, i64, i64),
}

impl Stamp {
    /// `None` if there is no such file.
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

    /// What to watch if the folder itself does not exist.
    pub(crate) fn missing(file: &Path) -> LookedFor {
        vec![(file.to_owned(), Stamp::of(file))]
    }

    pub(crate) fn into_looked_for(self) -> LookedFor {
        self.looked_for
    }

    /// The path of a file in the folder, as errors show it.
    pub(crate) fn show(&self, name: &str) -> PathBuf {
        if self.named == Path::new(".") { PathBuf::from(name) } else { self.named.join(name) }
    }

    /// The content of a file in or below the folder, if it is at most `limit` bytes.
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
        // A device is not even opened. The open file is checked again, since another may have taken
        // its name.
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

    /// The files that match a pattern, sorted. A pattern is a path with one `*`, which stands for
    /// any characters, in its last part. The folder is recorded too, so that a new file in it is
    /// noticed.
    pub(crate) fn matching(&mut self, pattern: &str) -> Result<Vec<String>, LoadError> {
        let Some((before, after)) = pattern.split_once('*') else { return Ok(vec![pattern.to_owned()]) };
        let (folder, prefix) = before.rsplit_once('/').unwrap_or(("", before));
        let plain = |part| matches!(part, Component::Normal(_));
        if after.contains(['*', '/']) || !Path::new(folder).components().all(plain) {
            let text = format!(
                "`{}` is not a valid pattern: use a path inside of the manifest's folder, with at most one `*` in its last part",
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
                    format!("`{}` matches more than {MAX_MATCHES} files", shown(pattern)),
                ));
            }
        }
        names.sort_unstable();
        if names.is_empty() {
            let text = format!("`{}` matches no file: add one, or correct the pattern", shown(pattern));
            return Err(LoadError::new("file-not-found", text));
        }
        Ok(names)
    }

    /// As [`read`](Self::read), but returns text.
    pub(crate) fn read_text(&mut self, name: &str, limit: usize) -> Result<String, LoadError> {
        String::from_utf8(self.read(name, limit)?)
            .map_err(|_| LoadError::new("file-not-utf8", format!("`{}` is not UTF-8 text", shown(name))))
    }

    /// The error for a file that cannot be read. If the file is missing, it says what to do.
    fn unreadable(&self, name: &str, error: &io::Error) -> LoadError {
        // The location of the error already names this file.
        let own = name == &*self.own;
        let (code, advice) = match error.kind() {
            io::ErrorKind::NotFound if own => {
                ("file-not-found", ": correct the path, or change to its folder")
            }
            io::ErrorKind::NotFound if name.ends_with(".wasm") => {
                ("file-not-found", ": build it (`ztlib policy build`), copy it there, or correct the path")
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

/// Opens without blocking: a pipe without a writer would block forever.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, NONBLOCK);
    options.open(path)
}

/// `O_NONBLOCK`, which has no effect on files.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NONBLOCK: i32 = if cfg!(any(target_arch = "mips", target_arch = "mips64")) { 0x80 } else { 0o4000 };
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
const NONBLOCK: i32 = 4;

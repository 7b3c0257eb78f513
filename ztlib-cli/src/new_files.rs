//! Files that are not there yet. None is ever written over.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::failure::{BROKEN, Failure};

/// A file that is to be written.
pub(crate) struct NewFile {
    /// Relative to the folder in which it is written.
    name: String,
    content: Vec<u8>,
    is_secret: bool,
}

impl NewFile {
    pub(crate) fn new(name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), content: content.into(), is_secret: false }
    }

    /// Only its owner can read it.
    pub(crate) fn secret(name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { is_secret: true, ..Self::new(name, content) }
    }

    /// The same, in a folder within the folder.
    pub(crate) fn within(self, folder: &str) -> Self {
        Self { name: format!("{folder}/{}", self.name), ..self }
    }

    fn write(&self, folder: &Path) -> Result<String, Failure> {
        let file = folder.join(&self.name);
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::AlreadyExists => {
                Failure::new(BROKEN, "already-there", "it is there already, and nothing is written over")
            }
            _ => Failure::from(error),
        };
        let write = || {
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            // From the first byte on, and not a moment later.
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, if self.is_secret { 0o600 } else { 0o666 });
            options.open(&file)?.write_all(&self.content)
        };
        write().map_err(|error| failed(error).within(&file))?;
        Ok(file.display().to_string())
    }
}

/// Writes them all; gives their paths.
///
/// # Errors
/// One is there already, or cannot be written. Those before it stay.
pub(crate) fn write_all(folder: &Path, files: &[NewFile]) -> Result<Vec<String>, Failure> {
    files.iter().map(|file| file.write(folder)).collect()
}

/// The folder, if nothing is in it: it is not there yet, or empty.
///
/// # Errors
/// `folder-not-empty`, `not-a-folder`, `io`.
pub(crate) fn empty(folder: &Path) -> Result<PathBuf, Failure> {
    // The empty path is no folder to the system; files in it are named without `./`.
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut entries = match fs::read_dir(here) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(folder.to_owned()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            let text = format!("`{}` is not a folder: choose another name", here.display());
            return Err(Failure::new(BROKEN, "not-a-folder", text));
        }
        Err(error) => return Err(Failure::from(error).within(here)),
    };
    match entries.next() {
        None if here == Path::new(".") => Ok(PathBuf::new()),
        None => Ok(folder.to_owned()),
        Some(_) => {
            let text = format!(
                "`{}` is not empty, and nothing is written over: choose another folder, or empty it",
                here.display()
            );
            Err(Failure::new(BROKEN, "folder-not-empty", text))
        }
    }
}

//! The file of an audit log: appended to, and reopened after a rotation.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file that is appended to. Before the first byte after each flush, it checks that the path
/// still leads to this file.
#[derive(Debug)]
pub(super) struct AuditFile {
    path: PathBuf,
    file: File,
    /// Whether nothing was written since the last flush.
    is_between: bool,
    /// Whether the file ends with an unfinished line.
    is_cut: bool,
    /// Whether a failure to reopen the path was already logged.
    told: bool,
}

impl AuditFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // The program may change its working directory later.
        let path = std::path::absolute(path)?;
        let (file, is_cut) = open(&path)?;
        Ok(Self { path, file, is_between: true, is_cut, told: false })
    }

    /// Reopens the path if it now leads to another file.
    fn follow(&mut self) -> io::Result<()> {
        let own = self.file.metadata()?;
        if std::fs::metadata(&self.path).is_ok_and(|there| is_same(&there, &own)) {
            self.told = false;
            return Ok(());
        }
        match open(&self.path) {
            Ok((file, is_cut)) => {
                tracing::info!(target: "ztlib::audit", "the audit log was rotated and its file reopened");
                (self.file, self.is_cut, self.told) = (file, is_cut, false);
                Ok(())
            }
            // A renamed file can still be found; a removed one cannot.
            Err(error) if is_linked(&own) => {
                if !std::mem::replace(&mut self.told, true) {
                    tracing::error!(target: "ztlib::audit", %error, "the audit log was rotated and cannot be reopened: still writing to the old file");
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl Write for AuditFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_between {
            self.follow()?;
            self.is_between = false;
        }
        if self.is_cut {
            self.file.write_all(b"\n")?;
            self.is_cut = false;
        }
        // After a failure, the path may lead to another file at the next attempt.
        self.file.write(bytes).inspect_err(|_| self.is_between = true)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.is_between = true;
        self.file.flush()
    }
}

/// The file, and whether it ends with an unfinished line, left by a process that was killed.
fn open(path: &Path) -> io::Result<(File, bool)> {
    open_unnamed(path).map_err(|error| {
        let shown = ztlib_contract::escaped(&path.to_string_lossy());
        io::Error::new(error.kind(), format!("{shown}: {error}"))
    })
}

/// [`open`], with errors that do not name the file.
fn open_unnamed(path: &Path) -> io::Result<(File, bool)> {
    // Checked before opening: opening a pipe blocks until it has a reader.
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not a regular file"));
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.clone().read(true).open(path) {
        Ok(mut file) => {
            let mut last = *b"\n";
            if file.metadata()?.len() > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            Ok((file, last != *b"\n"))
        }
        // Without read permission the last byte is unknown. An extra empty line does no harm.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok((options.open(path)?, true)),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn is_same(there: &Metadata, own: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (there.dev(), there.ino()) == (own.dev(), own.ino())
}

/// Without file identities, any file at the path is taken for the same one.
#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

#[cfg(unix)]
fn is_linked(own: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(own) > 0
}

#[cfg(not(unix))]
fn is_linked(_: &Metadata) -> bool {
    true
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static NUMBER: AtomicUsize = AtomicUsize::new(0);
            let name =
                format!("ztlib-audit-file-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.path(name)).unwrap_or_else(|error| error.kind().to_string())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn put(file: &mut AuditFile, line: &str) -> io::Result<()> {
        file.write_all(line.as_bytes())?;
        file.flush()
    }

    #[test]
    fn a_file_that_was_renamed_removed_or_cut_is_found_again() {
        let folder = Folder::new();
        let mut file = AuditFile::open(&folder.path("a")).unwrap();
        assert_eq!(fs::metadata(folder.path("a")).unwrap().permissions().mode() & 0o777, 0o600);
        put(&mut file, "1\n").unwrap();
        fs::rename(folder.path("a"), folder.path("a.1")).unwrap();
        put(&mut file, "2\n").unwrap();
        assert_eq!((folder.text("a.1"), folder.text("a")), ("1\n".into(), "2\n".into()));
        // logrotate's `create` makes the new file itself.
        fs::rename(folder.path("a"), folder.path("a.2")).unwrap();
        fs::write(folder.path("a"), "").unwrap();
        put(&mut file, "3\n").unwrap();
        assert_eq!((folder.text("a.2"), folder.text("a")), ("2\n".into(), "3\n".into()));
        // `copytruncate` must leave no hole before the next line.
        fs::copy(folder.path("a"), folder.path("a.3")).unwrap();
        File::options().write(true).open(folder.path("a")).unwrap().set_len(0).unwrap();
        put(&mut file, "4\n").unwrap();
        assert_eq!((folder.text("a.3"), folder.text("a")), ("3\n".into(), "4\n".into()));
        fs::remove_file(folder.path("a")).unwrap();
        put(&mut file, "5\n").unwrap();
        assert_eq!(folder.text("a"), "5\n");
    }

    #[test]
    fn what_is_there_is_appended_to_and_a_line_that_was_cut_is_ended() {
        let folder = Folder::new();
        for (before, after) in [("", "x\n"), ("a\n", "a\nx\n"), ("a\nb", "a\nb\nx\n")] {
            fs::write(folder.path("a"), before).unwrap();
            put(&mut AuditFile::open(&folder.path("a")).unwrap(), "x\n").unwrap();
            assert_eq!(folder.text("a"), after);
        }
    }

    #[test]
    fn where_no_file_can_be_made_the_old_one_is_gone_on_with_unless_it_is_removed() {
        let folder = Folder::new();
        fs::create_dir(folder.path("in")).unwrap();
        let mut file = AuditFile::open(&folder.path("in/a")).unwrap();
        put(&mut file, "1\n").unwrap();
        fs::rename(folder.path("in"), folder.path("away")).unwrap();
        put(&mut file, "2\n").unwrap();
        assert_eq!(folder.text("away/a"), "1\n2\n");
        fs::remove_file(folder.path("away/a")).unwrap();
        assert_eq!(put(&mut file, "3\n").unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::create_dir(folder.path("in")).unwrap();
        put(&mut file, "4\n").unwrap();
        assert_eq!(folder.text("in/a"), "4\n");
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let folder = Folder::new();
        assert_eq!(AuditFile::open(&folder.0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(AuditFile::open(Path::new("/dev/null")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(AuditFile::open(&folder.path("no/a")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

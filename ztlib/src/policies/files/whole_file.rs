//! Files that are replaced as a whole or not at all, whatever happens in between.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Who may read a file after it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anyone whom the system's default allows.
    Default,
    /// Only this user.
    Private,
    /// Anyone who may read the file that it replaces.
    AsBefore,
}

/// Writes a new file beside the one that it replaces, and renames it when all of it is on the disk.
/// A link in the file's place is replaced, and a link in the new file's place is not followed.
pub(crate) fn write(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = Path::new(&beside);
    let _ = fs::remove_file(beside);
    let written = create(beside, access).and_then(|mut file| {
        file.write_all(bytes)?;
        if access == Access::AsBefore
            && let Ok(before) = fs::metadata(path)
        {
            file.set_permissions(before.permissions())?;
        }
        file.sync_all()?;
        fs::rename(beside, path)
    });
    match written {
        Ok(()) => sync_folder(path),
        Err(_) => drop(fs::remove_file(beside)),
    }
    written
}

fn create(path: &Path, access: Access) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if access == Access::Private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = access;
    options.open(path)
}

/// Makes the rename survive a loss of power too, if the system can sync a folder. If not, the file
/// is still there.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_by_nothing_else() {
        let folder = std::env::temp_dir().join(format!("ztlib-whole-file-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("a");
        write(&file, b"one", Access::Private).unwrap();
        write(&file, b"two", Access::AsBefore).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&file), 0o600, "the mode is kept");
            // Someone has put a link where the new file is written first.
            let trap = folder.join(format!("a.{}.new", std::process::id()));
            std::os::unix::fs::symlink(folder.join("elsewhere"), &trap).unwrap();
            write(&file, b"three", Access::Default).unwrap();
            assert!(!folder.join("elsewhere").exists());
        }
        assert!(write(&folder.join("missing/a"), b"", Access::Default).is_err());
        let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["a"], "nothing is left beside it");
        fs::remove_dir_all(&folder).unwrap();
    }
}

//! Which versions may still be loaded. Prevents an old set that was once signed from being put
//! back.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ztlib_contract::escaped as shown;

use crate::digest::Digest;
use crate::load_error::LoadError;
use crate::policies::files::manifest::Signed;
use crate::policies::files::whole_file;
use crate::policies::files::whole_file::Access;

/// The longest mark, in bytes: a number, a space and a digest.
const MAX_MARK_BYTES: u64 = 128;

/// Held while a mark is checked and written.
static RAISING: Mutex<()> = Mutex::new(());

/// The highest version that has been in force, and the requirements for the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Versions {
    /// The minimum that the service was configured with.
    pub(crate) least: u64,
    /// The file that keeps the mark across restarts.
    pub(crate) file: Option<PathBuf>,
    highest: Option<Mark>,
    /// The manifest that was rolled back from. It may be read again, since its documents are data,
    /// and raises nothing.
    left: Option<Digest>,
}

/// A version and the manifest that carried it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    version: u64,
    manifest: Digest,
}

impl Versions {
    /// The highest version that has been in force.
    pub(crate) fn highest(&self) -> Option<u64> {
        self.highest.map(|mark| mark.version)
    }

    /// Allows the manifest that was rolled back from to be read again.
    pub(crate) fn leave(&mut self, manifest: Option<Digest>) {
        self.left = manifest;
    }

    /// Whether this is the manifest that was rolled back from.
    pub(crate) fn was_left(&self, signed: &Signed) -> bool {
        self.left == Some(signed.manifest)
    }

    /// Whether this set may be read: it may follow those that were in force, or it was rolled back
    /// from.
    pub(crate) fn check_readable(&self, signed: &Signed) -> Result<(), LoadError> {
        if self.was_left(signed) { Ok(()) } else { self.check(signed) }
    }

    /// Whether this set may follow those that were in force.
    pub(crate) fn check(&self, signed: &Signed) -> Result<(), LoadError> {
        if signed.version < self.least {
            return Err(older(signed.version, self.least, "the service was configured with that minimum"));
        }
        let Some(highest) = self.mark()? else { return Ok(()) };
        if signed.version < highest.version {
            return Err(older(signed.version, highest.version, "that version has been in force"));
        }
        if signed.version == highest.version && signed.manifest != highest.manifest {
            return Err(LoadError::new(
                "version-reused",
                format!(
                    "another manifest with version {} has been in force: give this one a higher `version` and sign it again",
                    signed.version
                ),
            ));
        }
        Ok(())
    }

    /// Records that this set is about to come into force. The file is written first, so that no
    /// crash can make the next process forget it.
    pub(crate) fn raise(&mut self, signed: &Signed) -> Result<(), LoadError> {
        let mark = Mark { version: signed.version, manifest: signed.manifest };
        if self.highest == Some(mark) {
            return Ok(());
        }
        // Loading takes seconds, and another handle of the process may have raised the version
        // since. Under this lock, none can between the check and the write.
        let _one_at_a_time = RAISING.lock().unwrap_or_else(PoisonError::into_inner);
        self.check(signed)?;
        if let Some(file) = &self.file {
            whole_file::write(file, format!("{} {}\n", mark.version, mark.manifest).as_bytes(), Access::Default).map_err(|error| {
                LoadError::new(
                    "version-not-kept",
                    format!(
                        "the version cannot be recorded: {error}: use a folder that the service can write to, and that nobody who delivers policies can"
                    ),
                )
                .at(file, None)
            })?;
        }
        self.highest = Some(mark);
        Ok(())
    }

    /// The mark of earlier sets: of this handle, or of the process that last wrote the file.
    fn mark(&self) -> Result<Option<Mark>, LoadError> {
        let Some(path) = &self.file else { return Ok(self.highest) };
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(MAX_MARK_BYTES).read_to_string(&mut text));
        let unreadable = |why: &str| {
            LoadError::new(
                "version-mark-unreadable",
                format!(
                    "the highest version so far cannot be read: {why}: restore the file, or remove it if you are sure that the manifest is the newest one"
                ),
            )
            .at(path, None)
        };
        match read {
            Ok(_) => {
                let (version, digest) = text.trim_end().split_once(' ').unwrap_or_default();
                let mark = version.parse().ok().zip(Digest::parse(digest));
                let (version, manifest) =
                    mark.ok_or_else(|| unreadable("it does not hold a version and a digest"))?;
                let own = self.highest.filter(|own| own.version >= version);
                Ok(own.or(Some(Mark { version, manifest })))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.highest),
            Err(error) => Err(unreadable(&shown(&error.to_string()))),
        }
    }
}

fn older(version: u64, than: u64, why: &str) -> LoadError {
    LoadError::new(
        "older-version",
        format!(
            "the set's version is {version}, but at least {than} is required, because {why}: to return to an older set, give it a higher `version` and sign it again"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::files::signature::SigningKey;

    #[test]
    fn what_took_long_to_load_does_not_lower_the_mark_that_another_has_raised_meanwhile() {
        let file = std::env::temp_dir().join(format!("ztlib-mark-{}", std::process::id()));
        let _ = std::fs::remove_file(&file);
        let signer = SigningKey::generate().unwrap().0.id();
        let signed = |version: u64| Signed { signer, version, manifest: Digest::of(&version.to_be_bytes()) };
        let versions = || Versions { file: Some(file.clone()), ..Versions::default() };
        let (mut slow, mut quick) = (versions(), versions());
        slow.check_readable(&signed(5)).unwrap();
        quick.raise(&signed(8)).unwrap();
        assert_eq!(slow.raise(&signed(5)).unwrap_err().code(), "older-version");
        assert_eq!(slow.highest(), None);
        assert_eq!(versions().check(&signed(7)).unwrap_err().code(), "older-version", "after a restart");
        std::fs::remove_file(&file).unwrap();
    }
}

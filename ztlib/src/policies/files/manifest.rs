//! The manifest: it names what a set is made of, and somebody vouches for it.

use std::path::Path;

use super::blueprint::Blueprint;
use super::folder::Folder;
use super::named_file::NamedFile;
use super::signature::{KeyId, Trust};
use crate::digest::Digest;
use crate::load_error::LoadError;

/// The largest manifest, in bytes.
pub(crate) const MAX_MANIFEST_BYTES: usize = 256 << 10;

/// What a manifest says.
pub(crate) struct Manifest {
    pub(crate) blueprint: Blueprint,
    /// What the manifest calls itself; it means something where the set is signed.
    pub(crate) version: Option<u64>,
    /// The services that it is for.
    pub(crate) services: Vec<Box<str>>,
    /// Who vouches for it.
    pub(crate) signed: Option<Signed>,
    /// Documents of a signed set that nobody vouches for.
    pub(crate) unsigned_documents: Vec<Box<str>>,
    /// Every file that it names, in its order.
    pub(crate) files: Vec<NamedFile>,
}

/// What was signed, and by whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed {
    pub(crate) signer: KeyId,
    pub(crate) version: u64,
    /// Of the manifest's bytes.
    pub(crate) manifest: Digest,
}

/// Reads a manifest and all that it names. The manifest is read once: the bytes that are parsed are
/// those that were verified, and nothing of them is looked at before. Everything that it names is
/// read once, too.
#[cfg(feature = "manifest")]
pub(crate) fn read(path: &Path, folder: &mut Folder, trust: &Trust) -> Result<Manifest, LoadError> {
    let name = file_name(path)?;
    let bytes = folder.read(name, MAX_MANIFEST_BYTES).map_err(|error| error.at(path, None))?;
    let signer = trust.vouch(name, &bytes, folder)?;
    let mut manifest = super::manifest_text::parse(path, &bytes, signer.is_some(), folder)?;
    manifest.signed = signer.zip(manifest.version).map(|(signer, version)| Signed {
        signer,
        version,
        manifest: Digest::of(&bytes),
    });
    Ok(manifest)
}

/// The manifest's name in its folder.
pub(crate) fn file_name(path: &Path) -> Result<&str, LoadError> {
    path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
        LoadError::new("file-not-readable", "give the path of the manifest, `policies.toml` for example: this is not the path of a file whose name is UTF-8")
            .at(path, None)
    })
}

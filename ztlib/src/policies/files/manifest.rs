//! The manifest: names the parts of a set and is signed.

use std::path::Path;

use super::blueprint::Blueprint;
use super::folder::Folder;
use super::named_file::NamedFile;
use super::signature::{KeyId, Trust};
use crate::digest::Digest;
use crate::load_error::LoadError;

/// The largest manifest, in bytes.
pub(crate) const MAX_MANIFEST_BYTES: usize = 256 << 10;

/// The content of a manifest.
pub(crate) struct Manifest {
    pub(crate) blueprint: Blueprint,
    /// The version of the manifest; required if the set is signed.
    pub(crate) version: Option<u64>,
    /// The services that the set is for.
    pub(crate) services: Vec<Box<str>>,
    /// The signature, if there is one.
    pub(crate) signed: Option<Signed>,
    /// Documents of a signed set that the signature does not cover.
    pub(crate) unsigned_documents: Vec<Box<str>>,
    /// Every file that the manifest names, in order.
    pub(crate) files: Vec<NamedFile>,
}

/// The signature of a manifest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed {
    pub(crate) signer: KeyId,
    pub(crate) version: u64,
    /// The digest of the manifest's bytes.
    pub(crate) manifest: Digest,
}

/// Reads a manifest and everything that it names. The manifest is read once: the parsed bytes are
/// the verified bytes, and nothing is parsed before verification. Every named file is read once,
/// too.
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

/// The manifest's file name in its folder.
pub(crate) fn file_name(path: &Path) -> Result<&str, LoadError> {
    path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
        LoadError::new("file-not-readable", "give the path of the manifest, `policies.toml` for example: this path does not end with a file name in UTF-8")
            .at(path, None)
    })
}

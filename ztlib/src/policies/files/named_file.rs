//! A file that a manifest names, and whether the manifest binds it.

use std::fmt;

use crate::digest::Digest;

/// A file that a manifest names, with the digest of what it holds. Where the manifest has that
/// digest the file is *bound*: the signer of the manifest vouches for it, too. What is not
/// bound is decided by anyone who can write the file.
///
/// ```
/// use ztlib::policies::{PolicyStore, SigningKey};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("ztlib-named-file-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let manifest = folder.join("policies.toml");
/// let text = "format = 1\nversion = 3\nfor = 'shop'\n\
///     [[document]]\nname = 'roles'\nfile = 'roles.json'\nallow-unsigned = true\n";
/// std::fs::write(&manifest, text)?;
/// std::fs::write(folder.join("roles.json"), "{}")?;
/// let (signer, _private_key_pem) = SigningKey::generate()?;
/// signer.sign_manifest(&manifest)?;
/// let verified = PolicyStore::from_manifest(&manifest)
///     .trust_key(signer.public_key_pem())
///     .service("shop")
///     .verify()?;
/// let open: Vec<String> =
///     verified.files.iter().filter(|file| !file.bound).map(ToString::to_string).collect();
/// assert_eq!(open, ["document `roles.json` of `roles`"]);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedFile {
    /// The file, relative to the manifest's folder: as the manifest names it, or one that a pattern
    /// of it names.
    pub file: String,
    /// What it is in the set.
    pub role: FileRole,
    /// The policy or the document that it belongs to; none: the set as a whole.
    pub of: Option<String>,
    /// The SHA-256 digest of what it holds, in hexadecimal digits.
    pub sha256: String,
    /// Whether the manifest has this digest.
    pub bound: bool,
    /// The line of the manifest that names it, from 1.
    pub line: usize,
}

/// What a file is in a policy set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileRole {
    /// A component. It is always bound.
    Module,
    /// The configuration of a policy. In a signed set it is bound.
    Config,
    /// What policies look things up in. In a signed set it is bound unless the manifest says
    /// `allow-unsigned`.
    Document,
    /// Cases that the set has to pass before it is in force. They are never bound: they decide
    /// nothing about a request.
    Cases,
}

impl NamedFile {
    pub(crate) fn new(role: FileRole, file: &str, of: Option<&str>, bytes: &[u8], line: usize) -> Self {
        Self {
            file: file.to_owned(),
            role,
            of: of.map(str::to_owned),
            sha256: Digest::of(bytes).to_string(),
            bound: false,
            line,
        }
    }

    /// The same, bound or not.
    pub(crate) fn bound_if(self, bound: bool) -> Self {
        Self { bound, ..self }
    }
}

impl fmt::Display for NamedFile {
    /// Its role, its name and what it belongs to, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.role, ztlib_contract::escaped(&self.file))?;
        match &self.of {
            Some(of) => write!(f, " of `{}`", ztlib_contract::escaped(of)),
            None => Ok(()),
        }
    }
}

impl FileRole {
    /// `module`, `config`, `document` or `cases`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::Config => "config",
            Self::Document => "document",
            Self::Cases => "cases",
        }
    }
}

impl fmt::Display for FileRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

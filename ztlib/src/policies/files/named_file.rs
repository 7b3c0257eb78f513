//! A file that a manifest names, and whether the manifest binds it.

use std::fmt;

use crate::digest::Digest;

/// A file that a manifest names, with the digest of its content. If the manifest has that digest,
/// the file is *bound*: the manifest's signature covers it too. The content of an unbound file is
/// up to anyone who can write to it.
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
    /// The file, relative to the manifest's folder: named by the manifest, or matched by one of its
    /// patterns.
    pub file: String,
    /// Its role in the set.
    pub role: FileRole,
    /// The policy or document that it belongs to; `None` for the set as a whole.
    pub of: Option<String>,
    /// The SHA-256 digest of its content, in hexadecimal digits.
    pub sha256: String,
    /// Whether the manifest has this digest.
    pub bound: bool,
    /// The line of the manifest that names it, from 1.
    pub line: usize,
}

/// The role of a file in a policy set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileRole {
    /// A component. Always bound.
    Module,
    /// The configuration of a policy. Bound in a signed set.
    Config,
    /// Data for look-ups by policies. Bound in a signed set unless the manifest says
    /// `allow-unsigned`.
    Document,
    /// Cases that the set must pass before it comes into force. Never bound: they decide nothing
    /// about a request.
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

    /// The same file, bound or not.
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

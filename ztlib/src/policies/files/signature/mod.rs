//! The signature of a manifest: a detached file beside it, made by a key that the service trusts.
//!
//! The signature covers the exact bytes of the manifest, and its file has the same name with `.sig`
//! appended. The digests in the manifest bind everything else in the set, so one signature covers
//! all of it.

#[cfg(feature = "manifest")]
mod signing;
mod version;

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::folder::Folder;
use crate::digest::Digest;
use crate::load_error::LoadError;
use crate::pem;

#[cfg(feature = "manifest")]
pub use signing::SigningKey;
pub(crate) use version::Versions;

/// The maximum number of trusted keys.
const MAX_KEYS: usize = 16;
/// The largest signature file, in bytes. A signature is at most 72 bytes, or 96 as text, and some
/// tools write several lines.
const MAX_SIGNATURE_BYTES: usize = 4096;

/// The bytes before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410, section
/// 4).
const ED25519_PREFIX: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// The bytes before the 64 bytes of an uncompressed P-256 point in its SubjectPublicKeyInfo (RFC
/// 5480, section 2). The last one means "uncompressed" and belongs to the point.
const P256_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// The name of a key: the SHA-256 digest of its SubjectPublicKeyInfo (RFC 5280, section 4.1), as
/// printed by `openssl pkey -pubin -in key.pub -outform DER | sha256sum`. It prints as 64
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Digest);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A public key that may sign policy sets: Ed25519 (RFC 8032) or ECDSA on P-256 with SHA-256.
///
/// ```
/// use ztlib::policies::{SigningKey, TrustedKey};
///
/// let (signer, _private_key_pem) = SigningKey::generate()?;
/// let key = TrustedKey::from_pem(signer.public_key_pem().as_bytes())?;
/// let signature = signer.sign(b"format = 1\n")?;
/// assert!(key.verify(b"format = 1\n", signature.as_bytes()).is_ok());
/// assert_eq!(
///     key.verify(b"format = 2\n", signature.as_bytes()).unwrap_err().code(),
///     "bad-signature"
/// );
/// # Ok::<(), ztlib::policies::LoadError>(())
/// ```
#[derive(Clone)]
pub struct TrustedKey {
    id: KeyId,
    kind: Kind,
    parsed: ParsedPublicKey,
    /// The SubjectPublicKeyInfo.
    spki: Box<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ed25519,
    P256,
}

impl TrustedKey {
    /// A key in PEM (`-----BEGIN PUBLIC KEY-----`), as `cosign generate-key-pair` and `openssl pkey
    /// -pubout` write it.
    ///
    /// # Errors
    /// `bad-key` if there is not exactly one key, or it is of another kind, or a block is not a
    /// key. No block is skipped.
    pub fn from_pem(pem: &[u8]) -> Result<Self, LoadError> {
        let mut keys = all_from_pem(pem)?;
        match (keys.pop(), keys.is_empty()) {
            (Some(key), true) => Ok(key),
            _ => Err(bad_key("the text has more than one key")),
        }
    }

    /// All keys in a PEM text, as [`trust_key`](crate::policies::store::ManifestOptions::trust_key)
    /// accepts them.
    ///
    /// # Errors
    /// `bad-key` if there is no key, or one of another kind, or a block that is not a key. No block
    /// is skipped.
    pub fn all_from_pem(pem: &[u8]) -> Result<Vec<Self>, LoadError> {
        all_from_pem(pem)
    }

    /// The key's name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Checks that this key signed exactly these bytes. The signature is in the form that signing
    /// tools write: base64 text on one line or several, or the raw bytes (DER for ECDSA, 64 bytes
    /// for Ed25519).
    ///
    /// # Errors
    /// `malformed-signature` if it cannot be a signature, `bad-signature` if it belongs to another
    /// key or other bytes.
    pub fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), LoadError> {
        if self.has_signed(signed, &decode(signature)?) { Ok(()) } else { Err(bad_signature(&[self.id])) }
    }

    fn from_spki(spki: &[u8]) -> Result<Self, LoadError> {
        // Two fixed byte patterns, so there is nothing to interpret.
        let p256_point = P256_PREFIX.len().saturating_sub(1);
        let (kind, algorithm, key): (_, &'static dyn VerificationAlgorithm, _) =
            if let (Some(key), 44) = (spki.strip_prefix(ED25519_PREFIX), spki.len()) {
                (Kind::Ed25519, &ED25519, key)
            } else if let (true, 91, Some(key)) =
                (spki.starts_with(P256_PREFIX), spki.len(), spki.get(p256_point..))
            {
                (Kind::P256, &ECDSA_P256_SHA256_ASN1, key)
            } else {
                return Err(bad_key("it is neither an Ed25519 key nor one on P-256"));
            };
        let parsed =
            ParsedPublicKey::new(algorithm, key).map_err(|_| bad_key("it is not a point on its curve"))?;
        Ok(Self { id: KeyId(Digest::of(spki)), kind, parsed, spki: spki.into() })
    }

    fn has_signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(bytes, signature).is_ok()
    }
}

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedKey").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The keys that may sign a set, and whether it must be signed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    keys: Vec<TrustedKey>,
    unsigned_allowed: bool,
}

impl Trust {
    /// Requires no signature. For sets that will not be enforced.
    pub(crate) fn nobody() -> Self {
        Self { keys: Vec::new(), unsigned_allowed: true }
    }

    /// Also trusts all keys in a PEM text.
    pub(crate) fn add_pem(&mut self, pem: &[u8]) -> Result<(), LoadError> {
        for key in all_from_pem(pem)? {
            if self.keys.iter().any(|known| known.id == key.id) {
                continue;
            }
            if self.keys.len() >= MAX_KEYS {
                return Err(LoadError::new(
                    "too-many-keys",
                    format!(
                        "at most {MAX_KEYS} keys are trusted at once: remove those that no longer sign anything"
                    ),
                ));
            }
            self.keys.push(key);
        }
        Ok(())
    }

    pub(crate) fn allow_unsigned(&mut self) {
        self.unsigned_allowed = true;
    }

    /// The key that signed exactly these bytes; `None` only if unsigned sets are allowed.
    pub(crate) fn vouch(
        &self,
        name: &str,
        bytes: &[u8],
        folder: &mut Folder,
    ) -> Result<Option<KeyId>, LoadError> {
        if self.keys.is_empty() {
            return if self.unsigned_allowed { Ok(None) } else { Err(nobody_is_trusted()) };
        }
        let name = signature_name(name);
        let within = |error: LoadError, folder: &Folder| error.at(&folder.show(&name), None);
        let signature = match folder.read(&name, MAX_SIGNATURE_BYTES) {
            Ok(signature) => signature,
            Err(error) if error.code() == "file-not-found" && self.unsigned_allowed => return Ok(None),
            Err(error) if error.code() == "file-not-found" => {
                return Err(within(not_signed(&name), folder));
            }
            Err(error) => return Err(within(error, folder)),
        };
        let signature = decode(&signature).map_err(|error| within(error, folder))?;
        let signer = self.keys.iter().find(|key| key.has_signed(bytes, &signature));
        let ids: Vec<_> = self.keys.iter().map(|key| key.id).collect();
        signer.map(|key| Some(key.id)).ok_or_else(|| within(bad_signature(&ids), folder))
    }
}

/// The name of the file with a manifest's signature.
pub(crate) fn signature_name(manifest: &str) -> String {
    format!("{manifest}.sig")
}

pub(crate) fn nobody_is_trusted() -> LoadError {
    LoadError::new(
        "unsigned-set",
        "no key is trusted to sign policy sets: give one with `trust_key(…)`, or call `allow_unsigned()` if you trust everyone who can write to its folder",
    )
}

fn not_signed(name: &str) -> LoadError {
    LoadError::new(
        "unsigned-set",
        format!(
            "the manifest is not signed: sign it (`ztlib policy sign`) and put its signature there (`{name}`), or call `allow_unsigned()` if you trust everyone who can write to its folder"
        ),
    )
}

fn bad_signature(trusted: &[KeyId]) -> LoadError {
    let ids: Vec<String> = trusted.iter().map(ToString::to_string).collect();
    LoadError::new(
        "bad-signature",
        format!(
            "no trusted key ({}) made this signature, or the manifest has changed since: sign the manifest again with one of these keys",
            ids.join(", ")
        ),
    )
}

fn bad_key(why: &str) -> LoadError {
    LoadError::new(
        "bad-key",
        format!(
            "the key cannot be trusted: {why}: give the public key in PEM (`-----BEGIN PUBLIC KEY-----`), Ed25519 or ECDSA on P-256"
        ),
    )
}

fn all_from_pem(text: &[u8]) -> Result<Vec<TrustedKey>, LoadError> {
    let mut keys = Vec::new();
    for block in pem::read(text).map_err(|error| bad_key(&format!("it is not PEM: {error}")))? {
        match block.label.as_str() {
            "PUBLIC KEY" => keys.push(TrustedKey::from_spki(&block.der)?),
            "CERTIFICATE" => return Err(bad_key("it is a certificate and not a bare key")),
            label => {
                let line = block.line;
                return Err(bad_key(&format!("line {line}: a block `{label}` is not a public key")));
            }
        }
    }
    if keys.is_empty() { Err(bad_key("the text has no key")) } else { Ok(keys) }
}

/// The bytes of a signature, in either form. The third byte of DER (2, since an integer follows) is
/// not a base64 character, and 64 random bytes are never all base64 characters in practice.
fn decode(file: &[u8]) -> Result<Vec<u8>, LoadError> {
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    let signature = if file.iter().all(|b| is_base64(b) || b.is_ascii_whitespace()) {
        let letters: Vec<u8> = file.iter().copied().filter(is_base64).collect();
        STANDARD.decode(letters).unwrap_or_default()
    } else {
        file.to_vec()
    };
    // The smallest DER of an ECDSA signature is 8 bytes, the largest on P-256 is 72; Ed25519 is 64.
    if (8..=72).contains(&signature.len()) {
        return Ok(signature);
    }
    Err(LoadError::new(
        "malformed-signature",
        "this is not a signature: it should be what `cosign sign-blob --key` or `openssl dgst -sha256 -sign` or `openssl pkeyutl -sign -rawin` writes, as it is or in base64",
    ))
}

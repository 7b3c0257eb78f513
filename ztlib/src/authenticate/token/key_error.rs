//! Why a key of a set is not used, and why a set cannot be read.

use std::fmt;

use super::json::JsonFault;

/// Why a key of a set is not used. The rest of the set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRefusal {
    /// The entry is ambiguous: it has two members of one name, or a NUL character in a text.
    #[error("the key cannot be read: {0}")]
    Json(JsonFault),
    /// The entry is not an object, or a member is missing or of the wrong form.
    #[error("the key is malformed: its `{0}` is missing or of the wrong form")]
    Malformed(&'static str),
    /// `kty` or `crv` is not one that ztlib supports: RSA; EC with P-256, P-384; OKP with Ed25519.
    #[error("the key is of a type or on a curve that is not supported")]
    UnsupportedType,
    /// `use` is neither `sig` nor `jwt-svid`, or `key_ops` does not have `verify`.
    #[error("the key is not meant for signatures")]
    NotForSignatures,
    /// `alg` is not supported, or not one for this type and curve.
    #[error("the key's `alg` is not supported or does not fit its type")]
    Algorithm,
    /// The entry holds the private half too: anyone who can read the set can sign.
    #[error("the set contains the private key: replace the key")]
    PrivateKey,
    /// A shared secret in a set of public keys.
    #[error("the key is a shared secret: configure it with `hmac_secret`")]
    Secret,
    /// The RSA modulus has fewer than 2048 or more than 8192 bits, is even, or the exponent is
    /// even, 1 or above 2^33.
    #[error("the RSA key is weak, or too large")]
    WeakRsa,
    /// The modulus has the form that the ROCA fault leaves (CVE-2017-15361).
    #[error("the RSA key was made by a faulty generator (ROCA)")]
    Roca,
    /// The point is not on the curve.
    #[error("the key is not a point on its curve")]
    NotOnCurve,
    /// The Ed25519 point has a small order: anyone can make signatures that it accepts.
    #[error("the Ed25519 key is a point of small order")]
    SmallOrder,
    /// The secret is shorter than the hash of its algorithm.
    #[error("the secret is shorter than its algorithm needs")]
    ShortSecret,
}

impl KeyRefusal {
    /// A stable name for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json(_) => "key-json",
            Self::Malformed(_) => "key-malformed",
            Self::UnsupportedType => "key-unsupported-type",
            Self::NotForSignatures => "key-not-for-signatures",
            Self::Algorithm => "key-algorithm",
            Self::PrivateKey => "key-private",
            Self::Secret => "key-secret",
            Self::WeakRsa => "key-weak-rsa",
            Self::Roca => "key-roca",
            Self::NotOnCurve => "key-not-on-curve",
            Self::SmallOrder => "key-small-order",
            Self::ShortSecret => "key-short-secret",
        }
    }
}

/// A key of a set that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWarning {
    pub(super) position: usize,
    pub(super) key_id: Option<Box<str>>,
    pub(super) refusal: KeyRefusal,
}

impl KeyWarning {
    /// The entry's place in `keys`, from 0.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The entry's `kid`, escaped and cut; none where it has none that can be read.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Why the key is not used.
    pub fn refusal(&self) -> KeyRefusal {
        self.refusal
    }
}

impl fmt::Display for KeyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key_id {
            Some(id) => write!(f, "key {} (`{id}`) of the set is not used: {}", self.position, self.refusal),
            None => write!(f, "key {} of the set is not used: {}", self.position, self.refusal),
        }
    }
}

/// Why a [`KeySet`](super::KeySet) cannot be read.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// The text is longer than [`MAX_KEY_SET_BYTES`](super::MAX_KEY_SET_BYTES).
    #[error("the key set is larger than 1 MiB")]
    TooLarge,
    /// The file cannot be read.
    #[error("the key set's file cannot be read")]
    File(#[source] std::io::Error),
    /// The text is not JSON, or is ambiguous.
    #[error("the key set cannot be read: {0}")]
    Json(JsonFault),
    /// There is no array `keys`.
    #[error("the key set has no array `keys`")]
    NoKeysArray,
    /// There are more than 256 keys.
    #[error("the key set has more than 256 keys")]
    TooManyKeys,
    /// A set of secrets holds a key of another type.
    #[error("the set of secrets holds a key of another type: keep secrets in a set of their own")]
    MixedTypes,
    /// No key of the set can be used.
    #[error("the key set has no key that can check signatures{}", reasons(.warnings))]
    NoUsableKey {
        /// Why each key is not used.
        warnings: Vec<KeyWarning>,
    },
}

/// Why each of the first keys is not used, in one line.
fn reasons(warnings: &[KeyWarning]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> = warnings.iter().take(SHOWN).map(ToString::to_string).collect();
    match (shown.is_empty(), warnings.len().saturating_sub(SHOWN)) {
        (true, _) => ": it is empty".to_owned(),
        (false, 0) => format!(": {}", shown.join("; ")),
        (false, more) => format!(": {}; and {more} more", shown.join("; ")),
    }
}

/// As [`fmt::Display`](std::fmt::Display): what `fn main() -> Result<(), Box<dyn Error>>` prints is
/// this, and it should say what to do.
impl std::fmt::Debug for KeySetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl KeySetError {
    /// A stable name for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "key-set-too-large",
            Self::File(_) => "key-set-file",
            Self::Json(_) => "key-set-json",
            Self::NoKeysArray => "key-set-no-keys-array",
            Self::TooManyKeys => "key-set-too-many-keys",
            Self::MixedTypes => "key-set-mixed-types",
            Self::NoUsableKey { .. } => "key-set-no-usable-key",
        }
    }
}

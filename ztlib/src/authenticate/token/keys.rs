//! Which keys an issuer signs with now.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::Value;

use super::algorithm::Algorithm;
use super::error::{TokenError, shown};
use super::json::{JsonFault, Limits, read_object};
use super::key::{Key, KeyRefusal};

/// The largest JWK set that is read, in bytes.
pub const MAX_KEY_SET_BYTES: usize = 1024 * 1024;

/// The most keys in one set.
const MAX_KEYS: usize = 256;

const KEY_SET_LIMITS: Limits = Limits { depth: 32, members: 16_384 };

/// The public keys of an issuer, from a JWK set (RFC 7517 section 5). Cheap to clone; never changes.
///
/// An entry that cannot be used (another purpose, an unknown type, a weak key) is left out and reported by
/// [`warnings`](Self::warnings): one odd key does not break a set. A set of which nothing is left is an error.
///
/// ```
/// use ztlib::authenticate::token::KeySet;
///
/// let set = KeySet::from_jwks(br#"{"keys":[
///   {"kty":"OKP","crv":"Ed25519","kid":"2026-1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
///   {"kty":"oct","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}]}"#)?;
/// assert_eq!(set.len(), 1);
/// assert_eq!(set.warnings()[0].refusal().code(), "key-secret");
/// # Ok::<(), ztlib::authenticate::token::KeySetError>(())
/// ```
#[derive(Clone)]
pub struct KeySet(Arc<Keyring>);

#[derive(Default)]
struct Keyring {
    keys: Vec<Arc<Key>>,
    by_id: HashMap<String, Arc<Key>>,
    warnings: Vec<KeyWarning>,
}

/// A key of a set that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWarning {
    position: usize,
    refusal: KeyRefusal,
}

impl KeyWarning {
    /// The entry's place in `keys`, from 0.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Why the key is not used.
    pub fn refusal(&self) -> KeyRefusal {
        self.refusal
    }
}

impl fmt::Display for KeyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {} of the set is not used: {}", self.position, self.refusal)
    }
}

/// Why there is no [`KeySet`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// The text is longer than [`MAX_KEY_SET_BYTES`].
    #[error("the key set is larger than 1 MiB")]
    TooLarge,
    /// The file cannot be read.
    #[error("the key set's file cannot be read")]
    File(#[source] std::io::Error),
    /// The text cannot be read in one way only.
    #[error("the key set cannot be read: {0}")]
    Json(JsonFault),
    /// There is no array `keys`.
    #[error("the key set has no array `keys`")]
    NoKeysArray,
    /// There are more than 256 keys.
    #[error("the key set has more than 256 keys")]
    TooManyKeys,
    /// Two keys that check signatures have one `kid`: which of them a token means cannot be known.
    #[error("the key set has two keys `{id}`")]
    DuplicateKeyId {
        /// The `kid`, escaped and cut.
        id: Box<str>,
    },
    /// A set of secrets holds a key of another type.
    #[error("the set of secrets holds a key of another type: keep them in sets of their own")]
    MixedTypes,
    /// No key of the set can be used.
    #[error("the key set has no key that can check signatures{}", first_reason(.warnings))]
    NoUsableKey {
        /// Why each key is not used.
        warnings: Vec<KeyWarning>,
    },
}

fn first_reason(warnings: &[KeyWarning]) -> String {
    warnings.first().map(|warning| format!(": {warning}")).unwrap_or_default()
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
            Self::DuplicateKeyId { .. } => "key-set-duplicate-key-id",
            Self::MixedTypes => "key-set-mixed-types",
            Self::NoUsableKey { .. } => "key-set-no-usable-key",
        }
    }
}

impl KeySet {
    /// Reads a JWK set of public keys: RSA (2048 to 8192 bits), EC on P-256 and P-384, Ed25519. `use`, `key_ops`, `alg` and
    /// `crv` are honoured; a shared secret (`oct`) or a private key in the set is left out.
    ///
    /// # Errors
    /// See [`KeySetError`].
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeySetError> {
        Self::read(json, Key::from_public_jwk)
    }

    /// Reads a JWK set of shared secrets (`oct`), for an issuer whose tokens carry HMACs. Whoever can check such a token can
    /// also make one. A set with a key of another type is refused: what is published must not hold secrets.
    ///
    /// # Errors
    /// See [`KeySetError`].
    pub fn from_secret_jwks(json: &[u8]) -> Result<Self, KeySetError> {
        let set = Self::read(json, Key::from_secret_jwk)?;
        let mixed = set.warnings().iter().any(|warning| warning.refusal == KeyRefusal::UnsupportedType);
        if mixed { Err(KeySetError::MixedTypes) } else { Ok(set) }
    }

    /// Reads a JWK set of public keys from a file. It blocks: call it while starting.
    ///
    /// # Errors
    /// See [`KeySetError`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeySetError> {
        let mut json = Vec::new();
        let file = std::fs::File::open(path).map_err(KeySetError::File)?;
        file.take(MAX_KEY_SET_BYTES as u64 + 1).read_to_end(&mut json).map_err(KeySetError::File)?;
        Self::from_jwks(&json)
    }

    /// A set without keys: no token is believed until it is [replaced](Keys::replace).
    pub fn empty() -> Self {
        Self(Arc::default())
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.0.keys.len()
    }

    /// Whether no key can be used.
    pub fn is_empty(&self) -> bool {
        self.0.keys.is_empty()
    }

    /// The entries that are not used.
    pub fn warnings(&self) -> &[KeyWarning] {
        &self.0.warnings
    }

    pub(super) fn from_secret(secret: &[u8]) -> Option<Self> {
        let key = Arc::new(Key::from_secret(secret)?);
        Some(Self(Arc::new(Keyring { keys: vec![key], ..Keyring::default() })))
    }

    pub(super) fn has_secrets(&self) -> bool {
        self.0.keys.iter().any(|key| key.is_secret())
    }

    pub(super) fn has_key_for(&self, algorithms: &[Algorithm]) -> bool {
        self.0.keys.iter().any(|key| algorithms.iter().any(|&algorithm| key.is_for(algorithm)))
    }

    /// The one key that a token means. A `kid` is a name in this map and nothing else.
    pub(super) fn select(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Arc<Key>, TokenError> {
        if let Some(id) = id {
            let key = self.0.by_id.get(id).ok_or_else(|| TokenError::UnknownKey { hint: shown(id) })?;
            return if key.is_for(algorithm) { Ok(key) } else { Err(TokenError::KeyAlgorithm) };
        }
        let mut fitting = self.0.keys.iter().filter(|key| key.is_for(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            _ => Err(TokenError::AmbiguousKey),
        }
    }

    /// Whether this very key is in the set.
    pub(super) fn holds(&self, key: &Key) -> bool {
        self.0.keys.iter().any(|held| held.is(key))
    }

    fn read(
        json: &[u8],
        key: fn(&serde_json::Map<String, Value>) -> Result<Key, KeyRefusal>,
    ) -> Result<Self, KeySetError> {
        if json.len() > MAX_KEY_SET_BYTES {
            return Err(KeySetError::TooLarge);
        }
        let set = read_object(json, KEY_SET_LIMITS).map_err(KeySetError::Json)?;
        let Some(Value::Array(entries)) = set.get("keys") else { return Err(KeySetError::NoKeysArray) };
        if entries.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let mut ring = Keyring::default();
        let mut ids = HashSet::new();
        for (position, entry) in entries.iter().enumerate() {
            let key = entry.as_object().ok_or(KeyRefusal::Malformed("keys")).and_then(key);
            // A weak or malformed key is still what a token might mean by its id; one for another purpose is not.
            let may_be_meant = !key.as_ref().is_err_and(KeyRefusal::is_of_another_kind);
            let id = entry.get("kid").and_then(Value::as_str);
            if let Some(id) = id.filter(|id| may_be_meant && !ids.insert(*id)) {
                return Err(KeySetError::DuplicateKeyId { id: shown(id) });
            }
            match key {
                Ok(key) => ring.add(Arc::new(key)),
                Err(refusal) => ring.warnings.push(KeyWarning { position, refusal }),
            }
        }
        if ring.keys.is_empty() {
            return Err(KeySetError::NoUsableKey { warnings: ring.warnings });
        }
        Ok(Self(Arc::new(ring)))
    }
}

impl Keyring {
    fn add(&mut self, key: Arc<Key>) {
        if let Some(id) = key.id() {
            self.by_id.insert(id.to_owned(), Arc::clone(&key));
        }
        self.keys.push(key);
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.0.keys).field("warnings", &self.0.warnings).finish()
    }
}

/// The keys of an issuer, which can be replaced while the service runs. Clones are handles to the same keys.
///
/// What fetches keys holds one of these and calls [`replace`](Self::replace); the verifier holds another. Every replacement has
/// a *generation*. Claims that were verified under an earlier one are checked against the keys of now by
/// [`VerifiedClaims::recheck`](super::VerifiedClaims::recheck): a token by a key that was taken out is refused from the next
/// request on.
#[derive(Clone)]
pub struct Keys(Arc<ArcSwap<Current>>);

struct Current {
    generation: u64,
    set: KeySet,
}

impl Keys {
    /// Keys to begin with; their generation is 1.
    pub fn new(set: KeySet) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Current { generation: 1, set })))
    }

    /// Trusts these keys instead, and no others, for every request that arrives after it returns. Gives the new generation.
    /// An issuer of public keys ignores secrets in the set, and the other way round.
    pub fn replace(&self, set: KeySet) -> u64 {
        let before = self.0.rcu(|current| Current { generation: current.generation + 1, set: set.clone() });
        before.generation + 1
    }

    /// How often the keys have been replaced, plus 1.
    pub fn generation(&self) -> u64 {
        self.0.load().generation
    }

    /// The keys of now and their generation, as one.
    pub(super) fn now(&self) -> (KeySet, u64) {
        let current = self.0.load();
        (current.set.clone(), current.generation)
    }
}

impl From<KeySet> for Keys {
    fn from(set: KeySet) -> Self {
        Self::new(set)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.0.load();
        f.debug_struct("Keys").field("generation", &current.generation).field("set", &current.set).finish()
    }
}

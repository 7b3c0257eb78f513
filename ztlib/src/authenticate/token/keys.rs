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
#[derive(thiserror::Error)]
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

/// As [`fmt::Display`](std::fmt::Display): what `fn main() -> Result<(), Box<dyn Error>>` prints is this, and it should say what to do.
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

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;
    use ztlib_testing::TokenIssuer;

    use super::*;

    /// Why the only key of a set is not used, or "used".
    fn judge(jwk: &Value) -> &'static str {
        match KeySet::from_jwks(json!({ "keys": [jwk] }).to_string().as_bytes()) {
            Ok(set) => {
                assert_eq!(set.len(), 1);
                "used"
            }
            Err(KeySetError::NoUsableKey { warnings }) => warnings[0].refusal().code(),
            Err(error) => error.code(),
        }
    }

    fn ec() -> Value {
        let set: Value = serde_json::from_slice(&TokenIssuer::new("i").jwks()).unwrap();
        set["keys"][0].clone()
    }

    fn changed(mut jwk: Value, name: &str, value: Value) -> Value {
        jwk[name] = value;
        jwk
    }

    fn rsa(n: &[u8], e: &[u8]) -> Value {
        json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(e) })
    }

    /// An odd number of this many bits.
    fn modulus(bits: usize) -> Vec<u8> {
        let mut n = vec![0xa7; bits.div_ceil(8)];
        n[0] = 1 << ((bits - 1) % 8);
        n
    }

    #[test]
    fn purpose_algorithm_and_curve_of_a_key_are_honoured() {
        assert_eq!(judge(&ec()), "used");
        assert_eq!(judge(&changed(ec(), "key_ops", json!(["verify"]))), "used");
        for (name, value, code) in [
            ("use", json!("enc"), "key-not-for-signatures"),
            ("use", json!(["sig"]), "key-malformed"),
            ("key_ops", json!(["sign"]), "key-not-for-signatures"),
            ("key_ops", json!([]), "key-not-for-signatures"),
            ("key_ops", json!("verify"), "key-malformed"),
            ("alg", json!("ES384"), "key-algorithm"),
            ("alg", json!("RS256"), "key-algorithm"),
            ("alg", json!("HS256"), "key-algorithm"),
            ("alg", json!("ES512"), "key-algorithm"),
            ("alg", json!(256), "key-malformed"),
            ("crv", json!("P-384"), "key-malformed"),
            ("crv", json!("P-521"), "key-unsupported-type"),
            ("crv", json!("secp256k1"), "key-unsupported-type"),
            ("kty", json!("RSA"), "key-malformed"),
            ("kty", json!("AKP"), "key-unsupported-type"),
            ("kid", json!(7), "key-malformed"),
            ("kid", json!("k".repeat(257)), "key-malformed"),
            ("d", json!("AA"), "key-private"),
            ("x", json!("AA"), "key-malformed"),
            ("y", json!(URL_SAFE_NO_PAD.encode([1; 32])), "key-not-on-curve"),
        ] {
            assert_eq!(judge(&changed(ec(), name, value.clone())), code, "{name} = {value}");
        }
        assert_eq!(judge(&json!({ "kty": "OKP", "crv": "Ed448", "x": "AA" })), "key-unsupported-type");
        assert_eq!(judge(&json!({ "kty": "OKP", "crv": "X25519", "x": "AA" })), "key-unsupported-type");
        assert_eq!(judge(&json!("key")), "key-malformed");
    }

    #[test]
    fn weak_rsa_keys_are_refused() {
        let e = [1, 0, 1];
        for bits in [2048, 2049, 3072, 4096, 8192] {
            assert_eq!(judge(&rsa(&modulus(bits), &e)), "used", "{bits}");
        }
        for bits in [512, 1024, 2047, 8193, 16_384] {
            assert_eq!(judge(&rsa(&modulus(bits), &e)), "key-weak-rsa", "{bits}");
        }
        let n = modulus(2048);
        for weak in [&[1][..], &[2], &[1, 0, 0], &[2, 0, 0, 0, 1]] {
            assert_eq!(judge(&rsa(&n, weak)), "key-weak-rsa", "{weak:?}");
        }
        assert_eq!(judge(&rsa(&n, &[])), "key-malformed");
        assert_eq!(judge(&rsa(&n, &[0, 1, 0, 1])), "key-malformed");
        assert_eq!(judge(&rsa(&[&[0], &n[..]].concat(), &e)), "key-malformed");
        let mut even = n;
        *even.last_mut().unwrap() = 2;
        assert_eq!(judge(&rsa(&even, &e)), "key-weak-rsa");
    }

    #[test]
    fn ed25519_points_of_small_order_are_refused() {
        let okp = |x: [u8; 32]| json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(x) });
        let mut identity = [0; 32];
        identity[0] = 1;
        for sign in [0, 0x80] {
            identity[31] = sign;
            assert_eq!(judge(&okp(identity)), "key-small-order");
        }
        let mut minus_one = [0xff; 32];
        (minus_one[0], minus_one[31]) = (0xec, 0x7f);
        assert_eq!(judge(&okp(minus_one)), "key-small-order");
        assert_eq!(judge(&okp([0; 32])), "key-small-order");
    }

    #[test]
    fn a_modulus_of_the_roca_form_is_refused() {
        // One more than a multiple of every prime from 3 to 167 is a power of 65537 modulo each of them.
        let primes = (3_u32..=167).filter(|n| (2..*n).all(|d| n % d != 0));
        let mut little_endian = vec![1_u8];
        for prime in primes {
            let mut carry = 0;
            for digit in &mut little_endian {
                let product = u32::from(*digit) * prime + carry;
                *digit = (product & 0xff) as u8;
                carry = product >> 8;
            }
            if carry > 0 {
                little_endian.push(carry as u8);
            }
        }
        let mut n: Vec<u8> = little_endian.into_iter().rev().collect();
        n.resize(300, 0);
        *n.last_mut().unwrap() = 1;
        assert_eq!(judge(&rsa(&n, &[1, 0, 1])), "key-roca");
        // 2 is no power of 65537 modulo 3.
        *n.last_mut().unwrap() = 3;
        assert_ne!(judge(&rsa(&n, &[1, 0, 1])), "key-roca");
    }

    #[test]
    fn two_keys_of_one_id_are_refused_unless_one_is_for_another_purpose() {
        let set = |keys: &[Value]| KeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes());
        assert_eq!(set(&[ec(), ec()]).unwrap_err().code(), "key-set-duplicate-key-id");
        let weak = changed(rsa(&modulus(1024), &[1, 0, 1]), "kid", json!("test-key"));
        assert_eq!(set(&[ec(), weak]).unwrap_err().code(), "key-set-duplicate-key-id");
        let encryption = changed(ec(), "use", json!("enc"));
        assert_eq!(set(&[ec(), encryption]).unwrap().len(), 1);
    }

    #[test]
    fn one_odd_key_does_not_break_a_set_and_is_reported() {
        let odd = json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" });
        let set = KeySet::from_jwks(json!({ "keys": [odd, ec()] }).to_string().as_bytes()).unwrap();
        assert_eq!((set.len(), set.warnings().len()), (1, 1));
        assert_eq!(
            set.warnings()[0].to_string(),
            "key 0 of the set is not used: the key is of a type or on a curve that is not supported"
        );
    }

    #[test]
    fn what_is_no_key_set_is_refused() {
        let code = |json: &[u8]| KeySet::from_jwks(json).unwrap_err().code();
        assert_eq!(code(b"<html>"), "key-set-json");
        assert_eq!(code(b"[]"), "key-set-json");
        assert_eq!(code(b"{\"keys\":[],\"keys\":[]}"), "key-set-json");
        assert_eq!(code(b"{}"), "key-set-no-keys-array");
        assert_eq!(code(b"{\"keys\":{}}"), "key-set-no-keys-array");
        assert_eq!(code(b"{\"keys\":[]}"), "key-set-no-usable-key");
        assert_eq!(code(json!({ "keys": vec![0; 257] }).to_string().as_bytes()), "key-set-too-many-keys");
        assert_eq!(code(&vec![b' '; MAX_KEY_SET_BYTES + 1]), "key-set-too-large");
        assert_eq!(KeySet::from_file("/nonexistent/jwks.json").unwrap_err().code(), "key-set-file");
    }

    #[test]
    fn every_replacement_is_a_generation() {
        let keys = Keys::new(KeySet::empty());
        let handle = keys.clone();
        assert_eq!(keys.generation(), 1);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| assert!(handle.replace(KeySet::empty()) > 1)));
            }
        });
        assert_eq!(keys.generation(), 401);
    }
}

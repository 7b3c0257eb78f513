//! The keys that an issuer signs with, and their replacement.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::algorithm::Algorithm;
use super::json::{Limits, read_object};
use super::key::Key;
use super::key_error::{KeyRefusal, KeySetError, KeyWarning};
use super::limits::MAX_KEY_ID_BYTES;
use super::shown::shown;
use crate::live::{Happened, Live, Now};

/// The largest JWK set that is read, in bytes.
pub const MAX_KEY_SET_BYTES: usize = 1024 * 1024;

/// The most keys in one set.
const MAX_KEYS: usize = 256;

/// A key is an object in an array in the set.
const KEY_SET_LIMITS: Limits = Limits { depth: 32, members: 16_384, entries: Some(3) };

/// The public keys of an issuer, from a JWK set (RFC 7517 section 5). Cheap to clone; never
/// changes.
///
/// An entry that cannot be used (another purpose, an unknown type, a weak key, members that can be
/// read in two ways) is left out and reported by [`warnings`](Self::warnings): one odd key does not
/// break a set. A set of which nothing is left is an error.
///
/// A token means the key of its `kid` that fits its `alg` (RFC 7517 section 4.5), so several keys
/// may have one `kid`: an RSA key for RS256 and for PS256, an RSA and an EC key. What is in the set
/// twice is one key. Where two different keys are left, no key is guessed: the token is refused
/// with `token-ambiguous-key`, and all others of the set are believed as ever.
///
/// ```
/// use ztlib::authenticate::token::KeySet;
///
/// let set = KeySet::from_jwks(br#"{"keys":[
///   {"kty":"OKP","crv":"Ed25519","kid":"2026-1",
///    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
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
    by_id: HashMap<String, Vec<Arc<Key>>>,
    /// The entries that are not used, by `kid`.
    unused: HashMap<String, KeyRefusal>,
    /// The `kid`s of secrets that cannot be used.
    doubtful: HashSet<String>,
    warnings: Vec<KeyWarning>,
}

/// Why a set has no key for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// None of this id; perhaps one that is not used.
    Unknown(Option<KeyRefusal>),
    /// No key with this id is for the algorithm.
    Algorithm,
    /// Several different ones fit.
    Ambiguous,
}

impl KeySet {
    /// Reads a JWK set of public keys: RSA (2048 to 8192 bits), EC on P-256 and P-384, Ed25519.
    /// `use`, `key_ops`, `alg` and `crv` are honoured; a shared secret (`oct`) or a private key
    /// in the set is left out.
    ///
    /// # Errors
    /// See [`KeySetError`].
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeySetError> {
        Self::read(json, Key::from_public_jwk)
    }

    /// Reads a JWK set of shared secrets (`oct`), for an issuer whose tokens carry HMACs. Anyone
    /// who can check such a token can also make one. A set with a key of another type is refused:
    /// what is published must not hold secrets.
    ///
    /// Both sides write such a set by hand. So a secret that cannot be used and has the `kid` of
    /// another is taken for a slip in that very key, and tokens of this `kid` are refused as
    /// ambiguous.
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

    /// A set without keys: no token is believed until it is [replaced](KeyStore::replace).
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

    /// The one key that a token means: of its `kid`, where it names one, and fitting its algorithm.
    /// A `kid` is a name in this map and nothing else.
    pub(super) fn select(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Arc<Key>, NoKey> {
        if id.is_some_and(|id| self.0.doubtful.contains(id) && self.0.by_id.contains_key(id)) {
            return Err(NoKey::Ambiguous);
        }
        let meant = match id {
            None => &self.0.keys,
            Some(id) => self.0.by_id.get(id).ok_or_else(|| NoKey::Unknown(self.0.unused.get(id).copied()))?,
        };
        let mut fitting = meant.iter().filter(|key| key.is_for(algorithm));
        let key = fitting.next().ok_or(NoKey::Algorithm)?;
        if fitting.all(|other| other.is_same(key)) { Ok(key) } else { Err(NoKey::Ambiguous) }
    }

    fn read(
        json: &[u8],
        key: fn(&serde_json::Map<String, Value>) -> Result<Key, KeyRefusal>,
    ) -> Result<Self, KeySetError> {
        if json.len() > MAX_KEY_SET_BYTES {
            return Err(KeySetError::TooLarge);
        }
        // Some editors begin a file with a byte order mark; a reader may pass over it (RFC 8259
        // section 8.1).
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let set = read_object(json, KEY_SET_LIMITS).map_err(KeySetError::Json)?;
        let Some(Value::Array(entries)) = set.get("keys") else { return Err(KeySetError::NoKeysArray) };
        if entries.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let mut ring = Keyring::default();
        for (position, entry) in entries.iter().enumerate() {
            match entry.as_object().ok_or(KeyRefusal::Malformed("keys")).and_then(key) {
                Ok(key) => ring.add(key),
                Err(refusal) => ring.leave_out(position, entry, refusal),
            }
        }
        if ring.keys.is_empty() {
            return Err(KeySetError::NoUsableKey { warnings: ring.warnings });
        }
        Ok(Self(Arc::new(ring)))
    }
}

impl Keyring {
    fn add(&mut self, key: Key) {
        if self.keys.iter().any(|known| known.repeats(&key)) {
            return;
        }
        let key = Arc::new(key);
        if let Some(id) = key.id() {
            self.by_id.entry(id.to_owned()).or_default().push(Arc::clone(&key));
        }
        self.keys.push(key);
    }

    fn leave_out(&mut self, position: usize, entry: &Value, refusal: KeyRefusal) {
        let id = entry.get("kid").and_then(Value::as_str);
        if let Some(id) = id.filter(|id| id.len() <= MAX_KEY_ID_BYTES) {
            self.unused.insert(id.to_owned(), refusal);
        }
        let is_secret = matches!(refusal, KeyRefusal::ShortSecret | KeyRefusal::Malformed("k"));
        if let Some(id) = id.filter(|_| is_secret) {
            self.doubtful.insert(id.to_owned());
        }
        self.warnings.push(KeyWarning { position, key_id: id.map(shown), refusal });
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.0.keys).field("warnings", &self.0.warnings).finish()
    }
}

/// The keys of an issuer, which can be replaced while the service runs. Clones are handles to the
/// same keys.
///
/// What fetches keys holds one of these and calls [`replace`](Self::replace); the verifier holds
/// another. Every replacement has a *generation*. Claims that were verified under an earlier one
/// are checked against the keys of now by
/// [`VerifiedClaims::recheck`](super::VerifiedClaims::recheck): a token by a key that was taken out
/// is refused from the next request on.
#[derive(Clone)]
pub struct KeyStore(Arc<Shared>);

struct Shared {
    set: Live<KeySet>,
    missed: Happened,
}

impl KeyStore {
    /// Keys to begin with; their generation is 1.
    pub fn new(set: KeySet) -> Self {
        Self(Arc::new(Shared { set: Live::new(1, set), missed: Happened::default() }))
    }

    /// Trusts these keys instead, and no others, for every request that arrives after it returns.
    /// Gives the new generation. An issuer of public keys ignores secrets in the set, and the
    /// other way round.
    pub fn replace(&self, set: KeySet) -> u64 {
        let next =
            |now: &Now<KeySet>| Ok::<_, Infallible>(Now { generation: now.generation + 1, value: set });
        let Ok(generation) = self.0.set.update(next);
        generation
    }

    /// How often the keys have been replaced, plus 1.
    pub fn generation(&self) -> u64 {
        self.0.set.generation()
    }

    /// Waits until the keys are not those of generation `since`, and returns the generation that they
    /// have then.
    pub async fn changed(&self, since: u64) -> u64 {
        self.0.set.changed(since).await
    }

    /// Waits until tokens named a `kid` that no key of the set has, and returns how many there were.
    /// What fetches keys looks for new ones then.
    ///
    /// `since` is the number that the last call gave, or 0: tokens of the time between two calls
    /// are not missed, and however many they are, they are one event. Nothing of such a token is
    /// verified, so anybody can cause this: fetch at most once in a while, whatever this says.
    ///
    /// ```no_run
    /// # use ztlib::authenticate::token::{KeySet, KeyStore};
    /// # async fn fetch() -> KeySet { KeySet::empty() }
    /// # async fn example(keys: KeyStore) {
    /// let mut seen = 0;
    /// loop {
    ///     seen = keys.missed(seen).await;
    ///     keys.replace(fetch().await);
    ///     tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    /// }
    /// # }
    /// ```
    pub async fn missed(&self, since: u64) -> u64 {
        self.0.missed.next(since).await
    }

    /// A token named a key that is not there.
    pub(super) fn tell_missed(&self) {
        self.0.missed.tell();
    }

    /// The keys of now and their generation, as one.
    pub(super) fn now(&self) -> (KeySet, u64) {
        let now = self.0.set.load();
        (now.value.clone(), now.generation)
    }
}

impl From<KeySet> for KeyStore {
    fn from(set: KeySet) -> Self {
        Self::new(set)
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.0.set.load();
        f.debug_struct("KeyStore").field("generation", &now.generation).field("set", &now.value).finish()
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
        assert_eq!(judge(&changed(ec(), "use", json!("jwt-svid"))), "used");
        for (name, value, code) in [
            ("use", json!("enc"), "key-not-for-signatures"),
            ("use", json!("x509-svid"), "key-not-for-signatures"),
            ("use", json!("SIG"), "key-not-for-signatures"),
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
        // One more than a multiple of every prime from 3 to 167 is a power of 65537 modulo each of
        // them.
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
        // 2 is not a power of 65537 modulo 3.
        *n.last_mut().unwrap() = 3;
        assert_ne!(judge(&rsa(&n, &[1, 0, 1])), "key-roca");
    }

    fn set_of(keys: &[Value]) -> KeySet {
        KeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    /// Another P-256 key under the same name.
    fn other_ec() -> Value {
        let set: Value = serde_json::from_slice(&TokenIssuer::new("i").jwks()).unwrap();
        set["keys"][0].clone()
    }

    #[test]
    fn of_two_keys_of_one_id_a_token_means_the_one_that_fits_its_algorithm() {
        let named = |jwk: Value| changed(jwk, "kid", json!("test-key"));
        let id = Some("test-key");
        let pkcs = named(changed(rsa(&modulus(2048), &[1, 0, 1]), "alg", json!("RS256")));
        let pss = changed(pkcs.clone(), "alg", json!("PS256"));
        let set = set_of(&[pkcs.clone(), pss.clone(), ec()]);
        assert_eq!((set.len(), set.warnings()), (3, &[][..]));
        for algorithm in [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256] {
            assert!(set.select(id, algorithm).unwrap().is_for(algorithm));
            assert!(set.select(None, algorithm).unwrap().is_for(algorithm));
        }
        assert_eq!(set.select(id, Algorithm::RS384).unwrap_err(), NoKey::Algorithm);
        assert_eq!(set.select(Some("other"), Algorithm::ES256).unwrap_err(), NoKey::Unknown(None));
        // One key, said twice in any way, is one key.
        let bare = named(rsa(&modulus(2048), &[1, 0, 1]));
        let set = set_of(&[pkcs.clone(), bare.clone(), pkcs.clone(), bare]);
        assert_eq!(set.len(), 2);
        assert!(set.select(id, Algorithm::RS256).is_ok() && set.select(None, Algorithm::RS256).is_ok());
        assert_eq!(set_of(&[ec(), other_ec(), ec()]).len(), 3, "three issuers, three keys");
        let one = ec();
        assert_eq!(set_of(&[one.clone(), one.clone(), one]).len(), 1);
        // Two different keys that fit: which is meant cannot be known, and nothing else is refused
        // for it.
        let set = set_of(&[ec(), other_ec(), pkcs]);
        assert_eq!(set.select(id, Algorithm::ES256).unwrap_err(), NoKey::Ambiguous);
        assert_eq!(set.select(None, Algorithm::ES256).unwrap_err(), NoKey::Ambiguous);
        assert!(set.select(id, Algorithm::RS256).is_ok());
    }

    #[test]
    fn a_key_that_is_not_used_is_no_candidate_and_condemns_no_other_of_its_id() {
        let named = |jwk: Value| changed(jwk, "kid", json!("test-key"));
        let good = ec();
        let odd = [
            ("key-not-for-signatures", changed(ec(), "use", json!("enc"))),
            ("key-not-for-signatures", changed(ec(), "use", json!("x509-svid"))),
            ("key-not-for-signatures", changed(ec(), "key_ops", json!(["encrypt"]))),
            ("key-weak-rsa", named(rsa(&modulus(1024), &[1, 0, 1]))),
            ("key-malformed", named(json!({ "kty": "RSA", "n": "!", "e": "AQAB" }))),
            ("key-malformed", changed(ec(), "crv", json!(null))),
            ("key-malformed", named(json!({ "kty": "" }))),
            ("key-unsupported-type", named(json!({ "kty": "AKP" }))),
            ("key-unsupported-type", changed(ec(), "crv", json!("P-521"))),
            ("key-algorithm", changed(ec(), "alg", json!("ECDH-ES"))),
            ("key-algorithm", named(changed(rsa(&modulus(2048), &[1, 0, 1]), "alg", json!("RSA-OAEP-256")))),
            ("key-private", changed(ec(), "d", json!("AA"))),
            ("key-private", named(changed(rsa(&modulus(2048), &[1, 0, 1]), "p", json!("AA")))),
            ("key-secret", named(json!({ "kty": "oct", "k": "AA" }))),
            ("key-not-on-curve", changed(ec(), "y", json!(URL_SAFE_NO_PAD.encode([1; 32])))),
        ];
        for (code, odd) in odd {
            for keys in [[odd.clone(), good.clone()], [good.clone(), odd.clone()]] {
                let set = set_of(&keys);
                let warning = &set.warnings()[0];
                assert_eq!(
                    (set.len(), set.warnings().len(), warning.refusal().code()),
                    (1, 1, code),
                    "{odd}"
                );
                assert_eq!(warning.key_id(), Some("test-key"));
                let position = keys.iter().position(|key| *key == odd).unwrap();
                assert_eq!(warning.position(), position);
                assert!(set.select(Some("test-key"), Algorithm::ES256).is_ok(), "{odd}");
            }
            let set = KeySet::from_jwks(json!({ "keys": [odd, odd] }).to_string().as_bytes());
            let error = set.unwrap_err();
            assert_eq!(error.code(), "key-set-no-usable-key");
            assert_eq!(error.to_string().matches("key 1 (`test-key`)").count(), 1, "{error}");
        }
    }

    #[test]
    fn a_secret_that_cannot_be_used_makes_its_id_ambiguous_and_no_other() {
        let secret =
            |id: &str, bytes: &[u8]| json!({ "kty": "oct", "kid": id, "k": URL_SAFE_NO_PAD.encode(bytes) });
        let set = |keys: &[Value]| {
            KeySet::from_secret_jwks(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
        };
        for slip in [secret("a", &[1; 16]), json!({ "kty": "oct", "kid": "a", "k": "A" })] {
            let set = set(&[secret("a", &[7; 32]), slip, secret("b", &[8; 32])]);
            assert_eq!((set.len(), set.warnings().len()), (2, 1));
            assert_eq!(set.select(Some("a"), Algorithm::HS256).unwrap_err(), NoKey::Ambiguous);
            assert!(set.select(Some("b"), Algorithm::HS256).is_ok());
        }
        let encryption = changed(secret("a", &[9; 32]), "use", json!("enc"));
        assert!(set(&[secret("a", &[7; 32]), encryption]).select(Some("a"), Algorithm::HS256).is_ok());
    }

    #[test]
    fn an_entry_that_can_be_read_in_two_ways_condemns_itself_alone() {
        let good = ec().to_string();
        let odd = [
            good.replacen('{', r#"{"alg":"ES384","#, 1),
            good.replacen('{', r#"{"\u006bid":"x","#, 1),
            good.replacen('{', r#"{"x5t":{"a":1,"a":2},"#, 1),
            good.replacen('{', r#"{"nul":"\u0000","#, 1),
            good.replacen('{', r#"{"nul\u0000":1,"#, 1),
        ];
        for odd in odd {
            for text in
                [format!("{odd},{good}"), format!("{good},{odd}"), format!("{odd},{good},\"\\u0000\"")]
            {
                let set = KeySet::from_jwks(format!("{{\"keys\":[{text}]}}").as_bytes()).unwrap();
                assert_eq!(set.len(), 1, "{text}");
                assert!(
                    set.warnings().iter().any(|warning| warning.refusal().code() == "key-json"),
                    "{text}"
                );
            }
        }
        // Outside of the entries nobody can say which of the two is meant.
        let twice = format!(r#"{{"keys":[{good}],"keys":[{good}]}}"#);
        assert_eq!(KeySet::from_jwks(twice.as_bytes()).unwrap_err().code(), "key-set-json");
        let marked = format!("\u{feff}{{\"keys\":[{good}]}}");
        assert_eq!(KeySet::from_jwks(marked.as_bytes()).unwrap().len(), 1);
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
        let keys = KeyStore::new(KeySet::empty());
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

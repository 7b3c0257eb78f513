//! Signing, for tools, in the formats that are verified.

use std::fmt;
use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{ED25519_PREFIX, KeyId, P256_PREFIX, TrustedKey, signature_name};
use crate::load_error::LoadError;
use crate::pem;
use crate::policies::files::folder::Folder;
use crate::policies::files::manifest;
use crate::policies::files::manifest::MAX_MANIFEST_BYTES;
use crate::policies::files::whole_file;
use crate::policies::files::whole_file::Access;

/// A private key that signs policy sets: Ed25519, or ECDSA on P-256. Use it for nothing else, and
/// keep it off the guarded machines: whatever it signs is accepted wherever it is trusted.
///
/// ```
/// use ztlib::policies::SigningKey;
///
/// let (key, private_key_pem) = SigningKey::generate()?;
/// assert_eq!(SigningKey::from_pem(private_key_pem.as_bytes())?.id(), key.id());
/// let error = SigningKey::from_pem(key.public_key_pem().as_bytes()).unwrap_err();
/// assert_eq!(error.code(), "bad-key");
/// # Ok::<(), ztlib::policies::LoadError>(())
/// ```
pub struct SigningKey {
    pair: Pair,
    public: TrustedKey,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl SigningKey {
    /// A private key in PEM (`-----BEGIN PRIVATE KEY-----`, PKCS#8, not encrypted), as written by
    /// `openssl genpkey -algorithm ed25519`. cosign encrypts its private keys in its own format:
    /// sign with cosign itself.
    ///
    /// # Errors
    /// `bad-key` if the text has no such key or more than one, or the key is encrypted or of
    /// another kind. The text is never part of the error.
    pub fn from_pem(pem: &[u8]) -> Result<Self, LoadError> {
        let mut keys = Vec::new();
        for block in pem::read(pem).map_err(|error| bad_key(&format!("it is not PEM: {error}")))? {
            match block.label.as_str() {
                "PRIVATE KEY" => keys.push(Zeroizing::new(block.der)),
                "ENCRYPTED PRIVATE KEY" => return Err(bad_key("it is encrypted")),
                label => {
                    let line = block.line;
                    return Err(bad_key(&format!("line {line}: a block `{label}` is not a private key")));
                }
            }
        }
        let der = match (keys.pop(), keys.is_empty()) {
            (Some(key), true) => key,
            (Some(_), false) => return Err(bad_key("the text has more than one key")),
            (None, _) => return Err(bad_key("the text has no key")),
        };
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der) {
            return Self::new(Pair::Ed25519(pair));
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der)
            .map_err(|_| bad_key("it is neither an Ed25519 key nor one on P-256"))?;
        Self::new(Pair::P256(pair))
    }

    /// Generates an Ed25519 key. Also returns its private part in PEM (PKCS#8): a secret, which
    /// only the signer should be able to read.
    ///
    /// # Errors
    /// `bad-key` if the system's random number generator fails.
    pub fn generate() -> Result<(Self, String), LoadError> {
        let failed = |_| bad_key("the system's random number generator failed");
        let pair = Ed25519KeyPair::generate().map_err(failed)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(failed)?;
        Ok((Self::new(Pair::Ed25519(pair))?, to_pem("PRIVATE KEY", pkcs8.as_ref())))
    }

    fn new(pair: Pair) -> Result<Self, LoadError> {
        let spki = match &pair {
            Pair::Ed25519(pair) => [ED25519_PREFIX, pair.public_key().as_ref()].concat(),
            // The prefix ends with the first byte of the point.
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                [P256_PREFIX, point.get(1..).unwrap_or_default()].concat()
            }
        };
        Ok(Self { public: TrustedKey::from_spki(&spki)?, pair })
    }

    /// The name of the key.
    pub fn id(&self) -> KeyId {
        self.public.id()
    }

    /// The public key in PEM, for services to trust.
    pub fn public_key_pem(&self) -> String {
        to_pem("PUBLIC KEY", &self.public.spki)
    }

    /// The signature of exactly these bytes, as one line of base64: the content of the `.sig` file.
    ///
    /// # Errors
    /// `not-signed` if the system's random number generator fails.
    pub fn sign(&self, bytes: &[u8]) -> Result<String, LoadError> {
        let signature = match &self.pair {
            Pair::Ed25519(pair) => pair.try_sign(bytes),
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), bytes),
        };
        let signature = signature.map_err(|_| {
            LoadError::new("not-signed", "could not sign: the system's random number generator failed")
        })?;
        Ok(format!("{}\n", STANDARD.encode(signature.as_ref())))
    }

    /// Checks that a manifest has all that a signed set needs (a `version`, the services that it is
    /// `for`, the digest of everything that it names, and files that match), signs it, and writes
    /// the signature beside it. Nothing is compiled.
    ///
    /// # Errors
    /// The errors of loading a signed set, except those of compiling; `not-signed` if the signature
    /// cannot be written. An earlier signature then stays.
    pub fn sign_manifest(&self, path: &Path) -> Result<(), LoadError> {
        let mut folder = Folder::of(path)?;
        let name = manifest::file_name(path)?;
        let bytes = folder.read(name, MAX_MANIFEST_BYTES).map_err(|error| error.at(path, None))?;
        crate::policies::files::manifest_text::parse(path, &bytes, true, &mut folder)?;
        let beside = folder.show(&signature_name(name));
        whole_file::write(&beside, self.sign(&bytes)?.as_bytes(), Access::Default).map_err(|error| {
            LoadError::new("not-signed", format!("the signature cannot be written: {error}"))
                .at(&beside, None)
        })
    }
}

impl fmt::Debug for SigningKey {
    /// Shows the name of the key, and nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id()).finish_non_exhaustive()
    }
}

fn bad_key(why: &str) -> LoadError {
    LoadError::new(
        "bad-key",
        format!(
            "the key cannot sign: {why}: give a private key in PEM (PKCS#8, `-----BEGIN PRIVATE KEY-----`), Ed25519 or on P-256; `openssl pkcs8 -topk8 -nocrypt` makes one of other forms and of encrypted ones"
        ),
    )
}

fn to_pem(kind: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {kind}-----\n");
    for (index, letter) in STANDARD.encode(der).chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(letter);
    }
    text.push_str(&format!("\n-----END {kind}-----\n"));
    text
}

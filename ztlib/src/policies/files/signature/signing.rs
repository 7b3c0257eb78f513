//! Signing, for tools: the same formats that are verified.

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

/// A private key that vouches for policy sets: Ed25519, or ECDSA on P-256. Use it for nothing else,
/// and keep it off the machines that are guarded: what it signed is believed wherever it is
/// trusted.
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
    /// A private key in PEM (`-----BEGIN PRIVATE KEY-----`, PKCS#8, not encrypted), as `openssl
    /// genpkey -algorithm ed25519` writes it. cosign's private keys are encrypted in its own
    /// way: sign with cosign itself.
    ///
    /// # Errors
    /// `bad-key` where it is none, is encrypted or is of another kind, or where there is more than
    /// the one key. The text is never part of the error.
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
            (Some(_), false) => return Err(bad_key("there are several keys in the text, and one is wanted")),
            (None, _) => return Err(bad_key("there is none in the text")),
        };
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der) {
            return Self::new(Pair::Ed25519(pair));
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der)
            .map_err(|_| bad_key("it is neither an Ed25519 key nor one on P-256"))?;
        Self::new(Pair::P256(pair))
    }

    /// A new Ed25519 key, and its private part in PEM (PKCS#8): a secret, to be stored where only
    /// the signer reads it.
    ///
    /// # Errors
    /// `bad-key` where the system has no randomness.
    pub fn generate() -> Result<(Self, String), LoadError> {
        let failed = |_| bad_key("none could be made");
        let pair = Ed25519KeyPair::generate().map_err(failed)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(failed)?;
        Ok((Self::new(Pair::Ed25519(pair))?, to_pem("PRIVATE KEY", pkcs8.as_ref())))
    }

    fn new(pair: Pair) -> Result<Self, LoadError> {
        let spki = match &pair {
            Pair::Ed25519(pair) => [ED25519_PREFIX, pair.public_key().as_ref()].concat(),
            // The prefix ends with the point's first byte.
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

    /// The public key in PEM: what services are to trust.
    pub fn public_key_pem(&self) -> String {
        to_pem("PUBLIC KEY", &self.public.spki)
    }

    /// The signature of these very bytes, as one line of base64: what belongs in the `.sig` file.
    ///
    /// # Errors
    /// `not-signed` where the system has no randomness.
    pub fn sign(&self, bytes: &[u8]) -> Result<String, LoadError> {
        let signature = match &self.pair {
            Pair::Ed25519(pair) => pair.try_sign(bytes),
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), bytes),
        };
        let signature = signature.map_err(|_| {
            LoadError::new("not-signed", "the signature could not be made: is there no randomness?")
        })?;
        Ok(format!("{}\n", STANDARD.encode(signature.as_ref())))
    }

    /// Checks that a manifest has all that a signed set needs (a `version`, the services that it is
    /// `for`, the digest of everything that it names, the files themselves as it
    /// describes them), signs it, and puts the signature beside it. Nothing is compiled.
    ///
    /// # Errors
    /// As loading a signed set, except for compiling; `not-signed` where the signature cannot be
    /// written. An earlier signature then stays.
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
    /// Its name, and nothing of the secret.
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

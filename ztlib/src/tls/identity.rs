//! The certificate that the service presents. It can be replaced at run time.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsConfigError;
use crate::live::{Live, Now};
use crate::pem::{self, Block, PemError};

/// The certificate chain and the private key of this service.
///
/// Clones share the identity: after [`replace`](Self::replace), every acceptor that holds a clone
/// presents the new chain, from the next handshake on. `Debug` shows neither chain nor key.
#[derive(Clone)]
pub struct ServerIdentity(Arc<Live<Arc<CertifiedKey>>>);

impl ServerIdentity {
    /// An identity from a chain, leaf first, and the leaf's private key.
    ///
    /// # Errors
    /// If the chain is empty or its leaf malformed, if the key is of an unknown kind, or if it does
    /// not match the leaf.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsConfigError> {
        Ok(Self(Arc::new(Live::new(1, Arc::new(certified(chain, key)?)))))
    }

    /// As [`new`](Self::new), from PEM text: the certificates in `chain` and the one private key in
    /// `key`. Both may be the same text.
    ///
    /// # Errors
    /// The errors of `new`. Also if a block of a text is damaged or of another kind, or if there
    /// are several private keys; no block is skipped.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsConfigError> {
        let (chain, key) = read_pem(chain, key)?;
        Self::new(chain, key)
    }

    /// Presents another chain from the next handshake on, and returns the new generation. On error
    /// the current one stays.
    ///
    /// # Errors
    /// The errors of [`new`](Self::new).
    pub fn replace(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<u64, TlsConfigError> {
        let value = Arc::new(certified(chain, key)?);
        self.0.update(|now| Ok(Now { generation: now.generation + 1, value }))
    }

    /// As [`replace`](Self::replace), from PEM text.
    ///
    /// # Errors
    /// The errors of [`from_pem`](Self::from_pem).
    pub fn replace_pem(&self, chain: &[u8], key: &[u8]) -> Result<u64, TlsConfigError> {
        let (chain, key) = read_pem(chain, key)?;
        self.replace(chain, key)
    }

    /// The generation: 1, plus the number of replacements.
    pub fn generation(&self) -> u64 {
        self.0.generation()
    }

    /// Waits until the generation differs from `since`, and returns it.
    pub async fn changed(&self, since: u64) -> u64 {
        self.0.changed(since).await
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerIdentity")
    }
}

/// Gives the identity to rustls, so that no public signature has a type of rustls.
#[derive(Debug)]
pub(super) struct Resolver(pub(super) ServerIdentity);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.0.load().value))
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, TlsConfigError> {
    if chain.is_empty() {
        return Err(TlsConfigError::NoCertificate);
    }
    let key = provider().key_provider.load_private_key(key).map_err(|_| TlsConfigError::PrivateKey)?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsConfigError::KeyMismatch),
        Err(_) => Err(TlsConfigError::Certificate),
    }
}

fn read_pem(
    chain: &[u8],
    key: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsConfigError> {
    let mut certificates = Vec::new();
    for block in blocks(chain)? {
        match block.label.as_str() {
            CERTIFICATE => certificates.push(CertificateDer::from(block.der)),
            label if is_private_key(label) => {}
            _ => return Err(other_kind(&block)),
        }
    }
    let mut keys = Vec::new();
    for block in blocks(key)? {
        match block.label.as_str() {
            "PRIVATE KEY" => keys.push(PrivateKeyDer::Pkcs8(block.der.into())),
            "RSA PRIVATE KEY" => keys.push(PrivateKeyDer::Pkcs1(block.der.into())),
            "EC PRIVATE KEY" => keys.push(PrivateKeyDer::Sec1(block.der.into())),
            // `openssl ecparam -genkey` writes the curve before the key.
            CERTIFICATE | "EC PARAMETERS" => {}
            _ => return Err(other_kind(&block)),
        }
        if keys.len() > 1 {
            let what = "a second private key: give only one".to_owned();
            return Err(TlsConfigError::Pem { line: block.line, what });
        }
    }
    Ok((certificates, keys.pop().ok_or(TlsConfigError::PrivateKey)?))
}

const CERTIFICATE: &str = "CERTIFICATE";

fn is_private_key(label: &str) -> bool {
    matches!(label, "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "EC PARAMETERS")
}

fn blocks(text: &[u8]) -> Result<Vec<Block>, TlsConfigError> {
    pem::read(text).map_err(|PemError { line, what }| TlsConfigError::Pem { line, what })
}

fn other_kind(block: &Block) -> TlsConfigError {
    let what = match block.label.as_str() {
        "ENCRYPTED PRIVATE KEY" => "the private key is encrypted: give it without a password".to_owned(),
        label => format!("a block `{label}` is neither a certificate nor a private key"),
    };
    TlsConfigError::Pem { line: block.line, what }
}

/// aws-lc-rs with rustls' preferred key exchanges, the post-quantum hybrid first.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::LazyLock<Arc<CryptoProvider>> =
        std::sync::LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> ztlib_testing::Issued {
        ztlib_testing::Authority::new("root").leaf().dns("localhost").for_servers().issue()
    }

    #[test]
    fn no_block_of_an_identity_is_passed_over() {
        let issued = server();
        let (chain, key) = (issued.chain_pem(), issued.key_pem());
        let said = |chain: &str, key: &str| match ServerIdentity::from_pem(chain.as_bytes(), key.as_bytes()) {
            Ok(_) => "ok".to_owned(),
            Err(error) => format!("{}: {error}", error.code()),
        };
        let both = format!("{chain}{key}");
        let curve = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        for (chain, key) in [
            (chain.clone(), key.clone()),
            (both.clone(), both.clone()),
            (format!("\u{feff}{chain}"), format!("\u{feff}{}", key.replace('\n', "\r\n"))),
            (chain.clone(), format!("{curve}{key}")),
        ] {
            assert_eq!(said(&chain, &key), "ok");
        }
        assert_eq!(said("", &key), "no-certificate: the chain has no certificate: give at least the leaf");
        assert!(said(&chain, "").starts_with("private-key: "));
        let second = said(&chain, &format!("{key}{}", server().key_pem()));
        assert_eq!(second, "pem: the PEM text cannot be used: line 6: a second private key: give only one");
        let encrypted = said(&chain, &key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
        assert_eq!(
            encrypted,
            "pem: the PEM text cannot be used: line 1: the private key is encrypted: give it without a password"
        );
        let trusted = said(&chain.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), &key);
        assert_eq!(
            trusted,
            "pem: the PEM text cannot be used: line 1: a block `TRUSTED CERTIFICATE` is neither a certificate nor a private key"
        );
        assert!(said(&chain.replace("-----END", "!!!!\n-----END"), &key).contains("is not base64"));
    }
}

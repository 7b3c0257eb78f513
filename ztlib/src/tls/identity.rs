//! The certificate that the service shows, and can change while it runs.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsConfigError;

/// The certificate chain and the private key of this service.
///
/// Cloning shares: [`replace`](Self::replace) is seen by every acceptor that holds a clone, from the next handshake on.
/// `Debug` shows neither.
#[derive(Clone)]
pub struct ServerIdentity(Arc<ArcSwap<CertifiedKey>>);

impl ServerIdentity {
    /// Takes a chain, the leaf first, and the leaf's private key.
    ///
    /// # Errors
    /// The chain is empty or its leaf is malformed; the key is of an unknown kind; the key is not the leaf's.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsConfigError> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(certified(chain, key)?))))
    }

    /// [`new`](Self::new) from PEM text: all certificates of the first, the first private key of the second.
    ///
    /// # Errors
    /// As `new`, or a text is no PEM.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsConfigError> {
        let (chain, key) = read_pem(chain, key)?;
        Self::new(chain, key)
    }

    /// Shows another chain from the next handshake on. Where that fails the last one stays.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn replace(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), TlsConfigError> {
        self.0.store(Arc::new(certified(chain, key)?));
        Ok(())
    }

    /// [`replace`](Self::replace) from PEM text.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem).
    pub fn replace_pem(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsConfigError> {
        let (chain, key) = read_pem(chain, key)?;
        self.replace(chain, key)
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerIdentity")
    }
}

impl ResolvesServerCert for ServerIdentity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
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
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| TlsConfigError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsConfigError::PrivateKey)?;
    Ok((chain, key))
}

/// aws-lc-rs with the key exchanges that rustls prefers, the post-quantum hybrid first.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::LazyLock<Arc<CryptoProvider>> =
        std::sync::LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

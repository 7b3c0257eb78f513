//! The issuer of a certificate as a signer of lists, and the signature on a list.

use std::sync::LazyLock;

use rustls::crypto::WebPkiSupportedAlgorithms;
use x509_parser::certificate::X509Certificate;

use super::der::{self, BIT_STRING, Damaged, OCTET_STRING, Reader, SEQUENCE};
use crate::authenticate::peer::certificate::Certificate;
use crate::authenticate::peer::distinguished_name::DistinguishedName;

static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> =
    LazyLock::new(|| rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms);

const KEY_USAGE: [u8; 3] = [0x55, 0x1d, 15];
const SUBJECT_KEY_IDENTIFIER: [u8; 3] = [0x55, 0x1d, 14];
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 19];
const CRL_DISTRIBUTION_POINTS: [u8; 3] = [0x55, 0x1d, 31];
/// `cRLSign` among the bits of a key usage (RFC 5280 section 4.2.1.3).
const CRL_SIGN: u16 = 1 << 6;

/// An authority as it stands above a certificate: a name and a key, and what its certificate lets
/// it do.
#[derive(Debug, Clone)]
pub(super) struct Signer {
    pub(super) name: DistinguishedName,
    /// Its `SubjectPublicKeyInfo`, whole.
    pub(super) key: Box<[u8]>,
    pub(super) key_identifier: Option<Box<[u8]>>,
    /// RFC 5280 section 6.3.3 (f): a key usage without `cRLSign` forbids it.
    pub(super) may_sign_lists: bool,
}

impl Signer {
    pub(super) fn read(certificate: &Certificate<'_>) -> Result<Self, Damaged> {
        let x509 = certificate.x509();
        let may_sign_lists = match extension(x509, KEY_USAGE) {
            Some(value) => der::bits(der::only(value, BIT_STRING)?)? & CRL_SIGN != 0,
            None => true,
        };
        // It helps to say what is wrong with a list and decides nothing, so that a malformed one is
        // as good as none.
        let key_identifier = extension(x509, SUBJECT_KEY_IDENTIFIER)
            .and_then(|value| der::only(value, OCTET_STRING).ok())
            .map(Box::from);
        Ok(Self {
            name: certificate.subject().clone(),
            key: certificate.key().into(),
            key_identifier,
            may_sign_lists,
        })
    }
}

/// The value of the extension `cRLDistributionPoints`.
pub(super) fn distribution_points<'c>(certificate: &X509Certificate<'c>) -> Option<&'c [u8]> {
    extension(certificate, CRL_DISTRIBUTION_POINTS)
}

/// Whether the certificate has basic constraints with `cA`.
pub(super) fn is_authority(certificate: &X509Certificate<'_>) -> Result<bool, Damaged> {
    let Some(value) = extension(certificate, BASIC_CONSTRAINTS) else { return Ok(false) };
    let mut reader = Reader::new(der::only(value, SEQUENCE)?);
    match reader.optional(der::BOOLEAN)? {
        Some(boolean) => der::is_true(boolean.value),
        None => Ok(false),
    }
}

fn extension<'c>(certificate: &X509Certificate<'c>, id: [u8; 3]) -> Option<&'c [u8]> {
    certificate
        .extensions()
        .iter()
        .find(|extension| extension.oid.as_bytes() == id)
        .map(|extension| extension.value)
}

/// What a list's signature is about, kept until a key is at hand.
pub(super) struct Signed {
    message: Box<[u8]>,
    /// The content of its `AlgorithmIdentifier`.
    algorithm: Box<[u8]>,
    signature: Box<[u8]>,
}

impl Signed {
    pub(super) fn new(message: &[u8], algorithm: &[u8], bit_string: &[u8]) -> Result<Self, Damaged> {
        Ok(Self {
            message: message.into(),
            algorithm: algorithm.into(),
            signature: whole_bytes(bit_string)?.into(),
        })
    }

    /// Whether this key signed it, by one of the algorithms that certificates may be signed with
    /// too.
    pub(super) fn is_by(&self, key: &[u8]) -> bool {
        let Ok((kind, key)) = read_key(key) else { return false };
        ALGORITHMS
            .all
            .iter()
            .filter(|algorithm| algorithm.signature_alg_id().as_ref() == self.algorithm.as_ref())
            .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == kind)
            .any(|algorithm| algorithm.verify_signature(key, &self.message, &self.signature).is_ok())
    }
}

/// The algorithm and the key in a `SubjectPublicKeyInfo`.
pub(super) fn read_key(info: &[u8]) -> Result<(&[u8], &[u8]), Damaged> {
    let mut reader = Reader::new(der::only(info, SEQUENCE)?);
    let kind = reader.take(SEQUENCE)?.value;
    let key = reader.take(BIT_STRING)?.value;
    reader.end()?;
    Ok((kind, whole_bytes(key)?))
}

fn whole_bytes(bit_string: &[u8]) -> Result<&[u8], Damaged> {
    match bit_string.split_first() {
        Some((0, bytes)) => Ok(bytes),
        _ => Err(Damaged),
    }
}

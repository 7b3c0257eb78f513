//! Whether a key signed a certificate.

use std::sync::LazyLock;

use rustls::crypto::WebPkiSupportedAlgorithms;
use x509_parser::asn1_rs::Any;
use x509_parser::prelude::FromDer as _;

use super::PeerError;
use super::certificate::{Certificate, sequence};

static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> =
    LazyLock::new(|| rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms);

/// The algorithms are those that rustls takes for a handshake; none of them rests on SHA-1 or MD5.
pub(super) fn verify(certificate: &Certificate<'_>, issuer_key: &[u8]) -> Result<(), PeerError> {
    let unsupported = || PeerError::SignatureAlgorithm {
        certificate: certificate.member(),
        oid: certificate.x509().signature_algorithm.algorithm.to_id_string(),
    };
    let bad = || PeerError::BadSignature { certificate: certificate.member() };
    let name = algorithm(certificate.der()).ok_or_else(unsupported)?;
    let (key_kind, key) = split(issuer_key).ok_or_else(bad)?;
    let signature = &certificate.x509().signature_value;
    if signature.unused_bits != 0 {
        return Err(bad());
    }
    let of_that_name = || ALGORITHMS.all.iter().filter(|known| known.signature_alg_id().as_ref() == name);
    if of_that_name().next().is_none() {
        return Err(unsupported());
    }
    let message = certificate.x509().tbs_certificate.as_ref();
    of_that_name()
        .filter(|known| known.public_key_alg_id().as_ref() == key_kind)
        .find(|known| known.verify_signature(key, message, &signature.data).is_ok())
        .map(|_| ())
        .ok_or_else(bad)
}

/// The content of the outer `AlgorithmIdentifier`: what stands between the signed part and the
/// signature.
fn algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (after, _) = Any::from_der(sequence(certificate)?).ok()?;
    Some(Any::from_der(after).ok()?.1.data)
}

/// The content of a key's `AlgorithmIdentifier`, and the key.
fn split(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (after, kind) = Any::from_der(sequence(key)?).ok()?;
    let (rest, bits) = Any::from_der(after).ok()?;
    match bits.data.split_first() {
        Some((0, bits)) if rest.is_empty() => Some((kind.data, bits)),
        _ => None,
    }
}

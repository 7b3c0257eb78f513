//! A leaf certificate, read into the facts that an identity is made of. Nothing is trusted yet.

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::{X509Certificate, X509CertificateParser};
use x509_parser::extensions::{
    BasicConstraints, ExtendedKeyUsage, GeneralName, KeyUsage, SubjectAlternativeName,
};
use x509_parser::nom::Parser as _;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519, OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE,
    OID_X509_EXT_SUBJECT_ALT_NAME, Oid,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Version};

use super::printable::{hex, printable};
use super::{PeerError, SpiffeId};

/// A leaf may have this many subject alternative names.
const MAX_NAMES: usize = 64;
/// A serial number may have this many bytes (RFC 5280 section 4.1.2.2).
const MAX_SERIAL_BYTES: usize = 20;

/// What a well-formed leaf certificate says about its holder.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) claim: Claim,
    /// SHA-256 of the whole certificate.
    pub(crate) fingerprint: [u8; 32],
    pub(crate) issuer: Box<str>,
    pub(crate) serial: Box<str>,
    pub(crate) validity: Validity,
}

/// Who the holder says to be.
#[derive(Debug)]
pub(crate) enum Claim {
    Spiffe(SpiffeId),
    /// Sorted, without repetitions, never empty.
    Dns(Box<[Box<str>]>),
}

/// From when until when, both inclusive, in whole seconds since 1970 (RFC 5280 section 4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
}

impl Validity {
    /// Only what both allow.
    pub(crate) fn narrow(self, other: Self) -> Self {
        Self {
            not_before: self.not_before.max(other.not_before),
            not_after: self.not_after.min(other.not_after),
        }
    }
}

impl Leaf {
    /// Reads the leaf and checks every rule that needs no root: X509-SVID sections 2, 4 and 5.2 for a leaf with a SPIFFE
    /// ID, RFC 5280 for all.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Result<Self, PeerError> {
        let certificate = parse(der)?;
        check_serial(certificate.raw_serial())?;
        let extensions = Extensions::of(&certificate)?;
        let claim = claim(extensions.names()?)?;
        extensions.check_usage(&claim)?;
        check_key(&certificate.subject_pki)?;
        let mut fingerprint = [0; 32];
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
        for (to, from) in fingerprint.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Ok(Self {
            claim,
            fingerprint,
            issuer: printable(&certificate.issuer().to_string()).into(),
            serial: hex(certificate.raw_serial()).into(),
            validity: validity(&certificate),
        })
    }
}

/// Parses the frame of a certificate; extensions are left alone.
pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, PeerError> {
    let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
    let (rest, certificate) = parser
        .parse(der.as_ref())
        .map_err(|_| PeerError::Malformed { what: "not an X.509 certificate in DER" })?;
    if !rest.is_empty() {
        return Err(PeerError::Malformed { what: "bytes after the certificate" });
    }
    if certificate.version() != X509Version::V3 {
        return Err(PeerError::Malformed { what: "not version 3" });
    }
    Ok(certificate)
}

pub(crate) fn validity(certificate: &X509Certificate<'_>) -> Validity {
    let seconds = |timestamp: i64| u64::try_from(timestamp).unwrap_or(0);
    let validity = certificate.validity();
    Validity {
        not_before: seconds(validity.not_before.timestamp()),
        not_after: seconds(validity.not_after.timestamp()),
    }
}

/// Whether the certificate says that it is an authority's, and its key may sign certificates.
pub(crate) fn is_authority(certificate: &X509Certificate<'_>) -> Result<bool, PeerError> {
    let extensions = Extensions::of(certificate)?;
    let may_sign = extensions.key_usage()?.is_none_or(|(usage, _)| usage.key_cert_sign());
    Ok(extensions.is_ca()? && may_sign)
}

/// The extensions of a certificate, none of them there twice.
struct Extensions<'c> {
    basic_constraints: Option<&'c [u8]>,
    key_usage: Option<(&'c [u8], bool)>,
    extended_key_usage: Option<&'c [u8]>,
    subject_alternative_name: Option<&'c [u8]>,
}

impl<'c> Extensions<'c> {
    fn of(certificate: &X509Certificate<'c>) -> Result<Self, PeerError> {
        let mut found = Self {
            basic_constraints: None,
            key_usage: None,
            extended_key_usage: None,
            subject_alternative_name: None,
        };
        let mut seen: Vec<&Oid<'_>> = Vec::new();
        for extension in certificate.extensions() {
            if seen.contains(&&extension.oid) {
                return Err(PeerError::DuplicateExtension);
            }
            seen.push(&extension.oid);
            let oid = &extension.oid;
            if *oid == OID_X509_EXT_BASIC_CONSTRAINTS {
                found.basic_constraints = Some(extension.value);
            } else if *oid == OID_X509_EXT_KEY_USAGE {
                found.key_usage = Some((extension.value, extension.critical));
            } else if *oid == OID_X509_EXT_EXTENDED_KEY_USAGE {
                found.extended_key_usage = Some(extension.value);
            } else if *oid == OID_X509_EXT_SUBJECT_ALT_NAME {
                found.subject_alternative_name = Some(extension.value);
            }
        }
        Ok(found)
    }

    fn is_ca(&self) -> Result<bool, PeerError> {
        let Some(value) = self.basic_constraints else { return Ok(false) };
        let constraints: BasicConstraints = whole(value, "basic constraints")?;
        Ok(constraints.ca)
    }

    fn key_usage(&self) -> Result<Option<(KeyUsage, bool)>, PeerError> {
        let Some((value, critical)) = self.key_usage else { return Ok(None) };
        Ok(Some((whole(value, "key usage")?, critical)))
    }

    fn names(&self) -> Result<Vec<GeneralName<'c>>, PeerError> {
        let Some(value) = self.subject_alternative_name else { return Ok(Vec::new()) };
        let names: SubjectAlternativeName<'_> = whole(value, "subject alternative names")?;
        Ok(names.general_names)
    }

    /// X509-SVID sections 4.1 and 4.3. A leaf without a SPIFFE ID may leave its key usage out, as RFC 5280 section
    /// 4.2.1.3 allows; what it does say is held against it.
    fn check_usage(&self, claim: &Claim) -> Result<(), PeerError> {
        if self.is_ca()? {
            return Err(PeerError::LeafIsCa);
        }
        let spiffe = matches!(claim, Claim::Spiffe(_));
        match self.key_usage()? {
            None if spiffe => return Err(PeerError::KeyUsageMissing),
            None => {}
            Some((usage, _)) if usage.key_cert_sign() => return Err(PeerError::LeafSignsCertificates),
            Some((usage, _)) if usage.crl_sign() => return Err(PeerError::LeafSignsRevocationLists),
            Some((usage, _)) if !usage.digital_signature() => return Err(PeerError::NoDigitalSignature),
            Some((_, critical)) if spiffe && !critical => return Err(PeerError::KeyUsageNotCritical),
            Some(_) => {}
        }
        if let Some(value) = self.extended_key_usage {
            let usage: ExtendedKeyUsage<'_> = whole(value, "extended key usage")?;
            if !usage.client_auth {
                return Err(PeerError::NotForClientAuthentication);
            }
        }
        Ok(())
    }
}

/// An extension's value, read to its last byte.
fn whole<'a, T, E>(value: &'a [u8], what: &'static str) -> Result<T, PeerError>
where
    T: FromDer<'a, E>,
{
    match T::from_der(value) {
        Ok(([], value)) => Ok(value),
        _ => Err(PeerError::Malformed { what }),
    }
}

/// Exactly one identity from the names; only URIs with the scheme `spiffe` and DNS names can become one.
fn claim(names: Vec<GeneralName<'_>>) -> Result<Claim, PeerError> {
    if names.len() > MAX_NAMES {
        return Err(PeerError::TooManyNames { names: names.len(), limit: MAX_NAMES });
    }
    let mut uris = Vec::new();
    let mut hosts = Vec::new();
    for name in &names {
        match name {
            GeneralName::URI(uri) => uris.push(visible(uri)?),
            GeneralName::DNSName(host) => hosts.push(visible(host)?),
            GeneralName::RFC822Name(mail) => {
                visible(mail)?;
            }
            GeneralName::Invalid(_, bytes) => {
                return Err(PeerError::NameCharacter { name: printable(&String::from_utf8_lossy(bytes)) });
            }
            _ => {}
        }
    }
    let is_spiffe = |uri: &&str| uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"));
    if uris.iter().any(is_spiffe) {
        let [uri] = uris.as_slice() else {
            return Err(PeerError::TwoUriNames { uris: uris.len() });
        };
        let id = SpiffeId::parse(uri).map_err(PeerError::SpiffeId)?;
        if id.path().is_empty() {
            return Err(PeerError::NoPath);
        }
        return Ok(Claim::Spiffe(id));
    }
    if hosts.is_empty() {
        return Err(PeerError::NoIdentity);
    }
    if let Some(bad) = hosts.iter().find(|host| !is_plain_host(host)) {
        return Err(PeerError::DnsName { name: printable(bad) });
    }
    hosts.sort_unstable();
    hosts.dedup();
    Ok(Claim::Dns(hosts.into_iter().map(Box::from).collect()))
}

/// `IA5String` allows all of ASCII; a NUL, a line break or a blank in a name is an attempt to be read as another name.
fn visible(name: &str) -> Result<&str, PeerError> {
    if name.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(name)
    } else {
        Err(PeerError::NameCharacter { name: printable(name) })
    }
}

/// A host name as policies compare it: at most 253 bytes, labels of 1 to 63 bytes, lower case, no wildcard, no dot at the
/// end. `xn--` labels stay as they are.
fn is_plain_host(host: &str) -> bool {
    host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
        })
}

fn check_serial(serial: &[u8]) -> Result<(), PeerError> {
    let negative = serial.first().is_none_or(|byte| byte & 0x80 != 0);
    let zero = serial.iter().all(|byte| *byte == 0);
    if negative || zero || serial.len() > MAX_SERIAL_BYTES {
        return Err(PeerError::SerialNumber);
    }
    Ok(())
}

/// What rustls would not use for a client's signature is refused here too: an acceptor that is not ours may be lax.
fn check_key(key: &SubjectPublicKeyInfo<'_>) -> Result<(), PeerError> {
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        let Ok(PublicKey::RSA(rsa)) = key.parsed() else {
            return Err(PeerError::Malformed { what: "RSA key" });
        };
        let bits = bit_length(rsa.modulus);
        return if (2048..=8192).contains(&bits) { Ok(()) } else { Err(PeerError::KeySize { bits }) };
    }
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        let named =
            curve.is_some_and(|oid| oid == OID_EC_P256 || oid == OID_NIST_EC_P384 || oid == OID_NIST_EC_P521);
        return if named { Ok(()) } else { Err(PeerError::KeyKind) };
    }
    if *algorithm == OID_SIG_ED25519 { Ok(()) } else { Err(PeerError::KeyKind) }
}

fn bit_length(big_endian: &[u8]) -> usize {
    let mut bytes = big_endian.iter().copied().skip_while(|byte| *byte == 0);
    match bytes.next() {
        None => 0,
        Some(first) => 8 - first.leading_zeros() as usize + 8 * bytes.count(),
    }
}

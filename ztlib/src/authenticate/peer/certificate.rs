//! One certificate of a chain: read once, and held to the rules that concern no other certificate.

use x509_parser::asn1_rs::{Any, Class};
use x509_parser::certificate::{X509Certificate, X509CertificateParser};
use x509_parser::extensions::{BasicConstraints, ExtendedKeyUsage, KeyUsage, X509Extension};
use x509_parser::nom::Parser as _;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519, OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_CRL_DISTRIBUTION_POINTS,
    OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE, OID_X509_EXT_NAME_CONSTRAINTS,
    OID_X509_EXT_SUBJECT_ALT_NAME, Oid,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Version};

use super::PeerError;
use super::chain_member::{ChainMember, Position};
use super::constraints::NameConstraints;
use super::distinguished_name::DistinguishedName;
use ztlib_contract::printable;

/// A serial number may have this many bytes (RFC 5280 section 4.1.2.2).
const MAX_SERIAL_BYTES: usize = 20;

/// A certificate may have so many extensions; those in use have less than twenty. Each is compared
/// with those before it, and a leaf is read before anybody has vouched for it.
const MAX_EXTENSIONS: usize = 100;

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

/// A certificate whose frame is well-formed. Its extensions are read when they are asked for.
pub(crate) struct Certificate<'c> {
    der: &'c [u8],
    x509: X509Certificate<'c>,
    position: Position,
    subject: DistinguishedName,
    issuer: DistinguishedName,
}

impl<'c> Certificate<'c> {
    /// Reads the frame: X.509 version 3 in DER, to the last byte.
    pub(crate) fn parse(der: &'c [u8], position: Position) -> Result<Self, PeerError> {
        let malformed = |what| PeerError::Malformed { certificate: ChainMember::nameless(position), what };
        let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
        let (rest, x509) = parser.parse(der).map_err(|_| malformed("not an X.509 certificate in DER"))?;
        if !rest.is_empty() {
            return Err(malformed("bytes after the certificate"));
        }
        if x509.version() != X509Version::V3 {
            return Err(malformed("not version 3"));
        }
        if x509.extensions().len() > MAX_EXTENSIONS {
            return Err(malformed("more than 100 extensions"));
        }
        // The reader stops in a name at what it does not understand.
        if sequence(x509.subject().as_raw()).is_none() || sequence(x509.issuer().as_raw()).is_none() {
            return Err(malformed("its subject or issuer is not a name"));
        }
        let subject = DistinguishedName::of(x509.subject());
        let issuer = DistinguishedName::of(x509.issuer());
        Ok(Self { der, x509, position, subject, issuer })
    }

    /// The rules for a certificate wherever it stands: what another reader of X.509 takes it for,
    /// which extensions it has, its serial number, its key (RFC 5280 sections 4.1, 4.2 and
    /// 6.1.4 (o)).
    pub(crate) fn check_form(&self) -> Result<(), PeerError> {
        self.check_extensions()?;
        if self.x509.signature_algorithm != self.x509.tbs_certificate.signature {
            return Err(self.malformed("it names two signature algorithms"));
        }
        let serial = self.x509.raw_serial();
        let negative = serial.first().is_none_or(|byte| byte & 0x80 != 0);
        let zero = serial.iter().all(|byte| *byte == 0);
        // Nobody asks for a root's: some old ones have zero.
        let is_root = self.position == Position::Root;
        if !is_root && (negative || zero || serial.len() > MAX_SERIAL_BYTES) {
            return Err(PeerError::SerialNumber { certificate: self.member() });
        }
        if !is_root && self.issuer.is_empty() {
            return Err(PeerError::NoIssuer { certificate: self.member() });
        }
        self.check_key(&self.x509.subject_pki)?;
        // A second reader, so that nothing is believed of which two readers say different things.
        match webpki::EndEntityCert::try_from(&self.der.into()) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.malformed("not a certificate of RFC 5280")),
        }
    }

    fn check_extensions(&self) -> Result<(), PeerError> {
        let mut seen: Vec<&Oid<'_>> = Vec::new();
        for extension in self.x509.extensions() {
            let oid = &extension.oid;
            if seen.contains(&oid) {
                return Err(PeerError::DuplicateExtension { certificate: self.member(), oid: text_of(oid) });
            }
            seen.push(oid);
            if extension.critical && !self.understands(oid) {
                return Err(PeerError::UnknownCriticalExtension {
                    certificate: self.member(),
                    oid: text_of(oid),
                });
            }
        }
        Ok(())
    }

    /// Certificate policies are not among them: they are not processed, so a critical one refuses.
    /// Name constraints bind what is below, so they mean nothing in a leaf.
    fn understands(&self, oid: &Oid<'_>) -> bool {
        let everywhere = [
            OID_X509_EXT_BASIC_CONSTRAINTS,
            OID_X509_EXT_KEY_USAGE,
            OID_X509_EXT_EXTENDED_KEY_USAGE,
            OID_X509_EXT_SUBJECT_ALT_NAME,
            OID_X509_EXT_CRL_DISTRIBUTION_POINTS,
        ];
        everywhere.contains(oid) || (*oid == OID_X509_EXT_NAME_CONSTRAINTS && self.position != Position::Leaf)
    }

    /// What rustls would not use for a client's signature is refused here too, for every key on the
    /// way.
    fn check_key(&self, key: &SubjectPublicKeyInfo<'_>) -> Result<(), PeerError> {
        // One key has one form, so that it is known again by its bytes. Neither reader asks for the
        // shortest lengths here.
        if !super::revocation::is_plain_key(key.raw) {
            return Err(self.malformed("its key is not in DER"));
        }
        let kind = || Err(PeerError::KeyKind { certificate: self.member() });
        let algorithm = &key.algorithm.algorithm;
        if *algorithm == OID_PKCS1_RSAENCRYPTION {
            let Ok(PublicKey::RSA(rsa)) = key.parsed() else {
                return Err(self.malformed("RSA key"));
            };
            let bits = bit_length(rsa.modulus);
            return if (2048..=8192).contains(&bits) {
                Ok(())
            } else {
                Err(PeerError::KeySize { certificate: self.member(), bits })
            };
        }
        if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
            let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
            let named = curve
                .is_some_and(|oid| oid == OID_EC_P256 || oid == OID_NIST_EC_P384 || oid == OID_NIST_EC_P521);
            // RFC 5480 section 2.2 asks for this form.
            let uncompressed = key.subject_public_key.data.first() == Some(&4);
            return if named && uncompressed { Ok(()) } else { kind() };
        }
        // Its 32 bytes, and not once more an encoded key with its algorithm, which the signature
        // engine takes too.
        let plain = key.subject_public_key.data.len() == 32;
        if *algorithm == OID_SIG_ED25519 && plain { Ok(()) } else { kind() }
    }

    /// Whom an error speaks about.
    pub(crate) fn member(&self) -> ChainMember {
        ChainMember::new(self.position, self.x509.subject())
    }

    pub(crate) fn malformed(&self, what: &'static str) -> PeerError {
        PeerError::Malformed { certificate: self.member(), what }
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    pub(crate) fn der(&self) -> &'c [u8] {
        self.der
    }

    pub(crate) fn x509(&self) -> &X509Certificate<'c> {
        &self.x509
    }

    pub(crate) fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    pub(crate) fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    /// Its issuer has the name that it has itself (RFC 5280 section 6.1).
    pub(crate) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// The public key with its algorithm, as it stands in the certificate.
    pub(crate) fn key(&self) -> &'c [u8] {
        self.x509.subject_pki.raw
    }

    pub(crate) fn validity(&self) -> Validity {
        let seconds = |timestamp: i64| u64::try_from(timestamp).unwrap_or(0);
        let validity = self.x509.validity();
        Validity {
            not_before: seconds(validity.not_before.timestamp()),
            not_after: seconds(validity.not_after.timestamp()),
        }
    }

    fn extension(&self, oid: &Oid<'_>) -> Option<&X509Extension<'c>> {
        self.x509.extensions().iter().find(|extension| extension.oid == *oid)
    }

    /// An extension's value, read to its last byte.
    fn value<T, E>(&self, oid: &Oid<'_>, what: &'static str) -> Result<Option<(T, bool)>, PeerError>
    where
        T: FromDer<'c, E>,
    {
        let Some(extension) = self.extension(oid) else { return Ok(None) };
        match T::from_der(extension.value) {
            Ok(([], value)) => Ok(Some((value, extension.critical))),
            _ => Err(self.malformed(what)),
        }
    }

    /// None where the certificate has no basic constraints, and so is not an authority's.
    pub(crate) fn basic_constraints(&self) -> Result<Option<BasicConstraints>, PeerError> {
        Ok(self.value(&OID_X509_EXT_BASIC_CONSTRAINTS, "basic constraints")?.map(|(value, _)| value))
    }

    pub(crate) fn is_authority(&self) -> Result<bool, PeerError> {
        Ok(self.basic_constraints()?.is_some_and(|constraints| constraints.ca))
    }

    /// What the key may do, and whether that is critical.
    pub(crate) fn key_usage(&self) -> Result<Option<(KeyUsage, bool)>, PeerError> {
        self.value(&OID_X509_EXT_KEY_USAGE, "key usage")
    }

    /// Whether the key may sign certificates, as far as the certificate says.
    pub(crate) fn may_sign_certificates(&self) -> Result<bool, PeerError> {
        Ok(self.key_usage()?.is_none_or(|(usage, _)| usage.key_cert_sign()))
    }

    /// The extended key usage allows client authentication where it is there (RFC 5280 section
    /// 4.2.1.12). The certificates of authorities bind what is below them, as every verifier in
    /// the field has it; *any purpose* counts there, and not in a leaf.
    pub(crate) fn check_purpose(&self) -> Result<(), PeerError> {
        let usage: Option<(ExtendedKeyUsage<'_>, _)> =
            self.value(&OID_X509_EXT_EXTENDED_KEY_USAGE, "extended key usage")?;
        let fits = usage
            .is_none_or(|(usage, _)| usage.client_auth || (usage.any && self.position != Position::Leaf));
        if fits { Ok(()) } else { Err(PeerError::NotForClientAuthentication { certificate: self.member() }) }
    }

    /// Whether its names are critical; none where it has no such extension.
    pub(crate) fn names_are_critical(&self) -> Option<bool> {
        self.extension(&OID_X509_EXT_SUBJECT_ALT_NAME).map(|extension| extension.critical)
    }

    /// The subject alternative names.
    pub(crate) fn names(&self) -> Result<Vec<GeneralName<'c>>, PeerError> {
        const WHAT: &str = "subject alternative names";
        let Some(extension) = self.extension(&OID_X509_EXT_SUBJECT_ALT_NAME) else { return Ok(Vec::new()) };
        let names = sequence(extension.value).and_then(general_names).ok_or_else(|| self.malformed(WHAT))?;
        if names.is_empty() { Err(self.malformed(WHAT)) } else { Ok(names) }
    }

    /// What it says about the names below it.
    pub(crate) fn name_constraints(&self) -> Result<Option<NameConstraints>, PeerError> {
        let Some(extension) = self.extension(&OID_X509_EXT_NAME_CONSTRAINTS) else { return Ok(None) };
        match NameConstraints::read(extension.value) {
            Some(constraints) => Ok(Some(constraints)),
            None => Err(self.malformed("name constraints")),
        }
    }
}

/// One of the names of a certificate, by its tag in RFC 5280's `GeneralName`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GeneralName<'c> {
    pub(crate) tag: u32,
    pub(crate) value: &'c [u8],
}

impl GeneralName<'_> {
    pub(crate) const MAIL: u32 = 1;
    pub(crate) const DNS: u32 = 2;
    pub(crate) const DIRECTORY: u32 = 4;
    pub(crate) const URI: u32 = 6;
    pub(crate) const IP: u32 = 7;
}

/// The content of a SEQUENCE that is all there is.
pub(super) fn sequence(der: &[u8]) -> Option<&[u8]> {
    match Any::from_der(der) {
        Ok(([], any))
            if any.tag() == x509_parser::asn1_rs::Tag::Sequence && any.class() == Class::Universal =>
        {
            Some(any.data)
        }
        _ => None,
    }
}

pub(super) fn general_names(mut content: &[u8]) -> Option<Vec<GeneralName<'_>>> {
    let mut names = Vec::new();
    while !content.is_empty() {
        let (rest, name) = general_name(content)?;
        names.push(name);
        content = rest;
    }
    Some(names)
}

/// The first of them, and what is after it.
pub(super) fn general_name(der: &[u8]) -> Option<(&[u8], GeneralName<'_>)> {
    let (rest, any) = Any::from_der(der).ok()?;
    let tag = any.tag().0;
    // otherName, x400Address, directoryName and ediPartyName hold other values; the rest are plain
    // text or bytes.
    let nested = matches!(tag, 0 | 3 | 4 | 5);
    let fits = any.class() == Class::ContextSpecific && tag <= 8 && any.header.is_constructed() == nested;
    fits.then_some((rest, GeneralName { tag, value: any.data }))
}

fn text_of(oid: &Oid<'_>) -> String {
    printable(&oid.to_id_string())
}

fn bit_length(big_endian: &[u8]) -> usize {
    let mut bytes = big_endian.iter().copied().skip_while(|byte| *byte == 0);
    match bytes.next() {
        None => 0,
        Some(first) => 8 - first.leading_zeros() as usize + 8 * bytes.count(),
    }
}

//! Revocation lists, good ones and such with every particular and defect that a list can have.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, SigningKey as _};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::names::{URI, der};
use super::{Authority, a_day};

const SEQUENCE: u8 = 0x30;

/// A revocation list before it is signed, written byte for byte (RFC 5280 section 5). Made by
/// [`Authority::list`].
///
/// Without further words it is a complete list of version 2 that names nothing, issued a day before
/// [`a_day`] and valid until a day after it, with the number 1 and the identifier of its issuer's
/// key.
#[derive(Debug)]
#[must_use = "nothing is signed before `sign`"]
pub struct RevocationListDraft<'a> {
    authority: &'a Authority,
    version: Option<u8>,
    issuer: Option<Vec<u8>>,
    this_update: SystemTime,
    next_update: Option<SystemTime>,
    entries: Vec<u8>,
    number: Option<Vec<u8>>,
    key_identifier: bool,
    scope: Vec<(u8, Vec<u8>)>,
    scope_is_critical: bool,
    extensions: Vec<u8>,
    signature_is_good: bool,
    algorithm_inside: Option<Vec<u8>>,
}

impl<'a> RevocationListDraft<'a> {
    pub(super) fn new(authority: &'a Authority) -> Self {
        let day = Duration::from_secs(86_400);
        Self {
            authority,
            version: Some(1),
            issuer: None,
            this_update: a_day() - day,
            next_update: Some(a_day() + day),
            entries: Vec::new(),
            number: Some(vec![1]),
            key_identifier: true,
            scope: Vec::new(),
            scope_is_critical: true,
            extensions: Vec::new(),
            signature_is_good: true,
            algorithm_inside: None,
        }
    }

    /// Names this certificate.
    pub fn revoking(self, certificate: &CertificateDer<'_>) -> Self {
        let (_, certificate) =
            X509Certificate::from_der(certificate).expect("a certificate that was made can be read");
        let serial = certificate.raw_serial().to_vec();
        self.revoking_serial(&serial)
    }

    /// Names the certificate with these bytes as its serial number, as they stand in the INTEGER.
    pub fn revoking_serial(self, serial: &[u8]) -> Self {
        self.entry(serial, &[])
    }

    /// Names a serial number with an extension: its object identifier in DER, whether it is
    /// critical, and its value.
    pub fn revoking_with_extension(self, serial: &[u8], id: &[u8], critical: bool, value: &[u8]) -> Self {
        let extensions = der(SEQUENCE, &extension(id, critical, value));
        self.entry(serial, &extensions)
    }

    fn entry(mut self, serial: &[u8], extensions: &[u8]) -> Self {
        let entry = [&der(0x02, serial), &time(self.this_update), extensions].concat();
        self.entries.extend(der(SEQUENCE, &entry));
        self
    }

    /// Issued at the first moment, valid until the second.
    pub fn between(mut self, this_update: SystemTime, next_update: SystemTime) -> Self {
        self.this_update = this_update;
        self.next_update = Some(next_update);
        self
    }

    /// Without a next update.
    pub fn without_next_update(mut self) -> Self {
        self.next_update = None;
        self
    }

    /// With this number (RFC 5280 section 5.2.3).
    pub fn number(mut self, number: u8) -> Self {
        self.number = Some(vec![number]);
        self
    }

    /// With a number of these bytes.
    pub fn long_number(mut self, number: &[u8]) -> Self {
        self.number = Some(number.to_vec());
        self
    }

    /// Without a number.
    pub fn without_number(mut self) -> Self {
        self.number = None;
        self
    }

    /// Does not say which key signed it.
    pub fn without_key_identifier(mut self) -> Self {
        self.key_identifier = false;
        self
    }

    /// Of a distribution point with these names (RFC 5280 section 5.2.5).
    pub fn point(self, uris: &[&str]) -> Self {
        let names: Vec<u8> = uris.iter().flat_map(|uri| der(URI, uri.as_bytes())).collect();
        self.scope(0xa0, der(0xa0, &names))
    }

    /// About the certificates of users only.
    pub fn only_users(self) -> Self {
        self.scope(0x81, vec![0xff])
    }

    /// About the certificates of authorities only.
    pub fn only_authorities(self) -> Self {
        self.scope(0x82, vec![0xff])
    }

    /// About attribute certificates only.
    pub fn only_attributes(self) -> Self {
        self.scope(0x85, vec![0xff])
    }

    /// For some reasons only: the content of the BIT STRING, which begins with the number of unused
    /// bits.
    pub fn only_reasons(self, bits: &[u8]) -> Self {
        self.scope(0x83, bits.to_vec())
    }

    /// An indirect list.
    pub fn indirect(self) -> Self {
        self.scope(0x84, vec![0xff])
    }

    /// Any field of its `IssuingDistributionPoint`, by its tag; fields are written in the order of
    /// their tags.
    pub fn scope(mut self, tag: u8, content: Vec<u8>) -> Self {
        self.scope.push((tag, content));
        self
    }

    /// Its scope is not a critical extension.
    pub fn scope_not_critical(mut self) -> Self {
        self.scope_is_critical = false;
        self
    }

    /// The changes since the list with this number only (RFC 5280 section 5.2.4).
    pub fn delta_of(self, number: u8) -> Self {
        self.extension(&[0x55, 0x1d, 27], true, &der(0x02, &[number]))
    }

    /// With an extension of any kind: its object identifier in DER, whether it is critical, and its
    /// value.
    pub fn extension(mut self, id: &[u8], critical: bool, value: &[u8]) -> Self {
        self.extensions.extend(extension(id, critical, value));
        self
    }

    /// Of version 1, which has no extensions.
    pub fn version_1(mut self) -> Self {
        self.version = None;
        self
    }

    /// With this number in place of the version; 1 means version 2.
    pub fn version_field(mut self, version: u8) -> Self {
        self.version = Some(version);
        self
    }

    /// With this name in DER in place of the issuer's.
    pub fn issuer_name(mut self, name: Vec<u8>) -> Self {
        self.issuer = Some(name);
        self
    }

    /// With another algorithm in the signed part than beside the signature: its object identifier
    /// in DER.
    pub fn algorithm_inside(mut self, id: &[u8]) -> Self {
        self.algorithm_inside = Some(der(SEQUENCE, &der(0x06, id)));
        self
    }

    /// With a signature that does not verify.
    pub fn with_bad_signature(mut self) -> Self {
        self.signature_is_good = false;
        self
    }

    /// Signs it, also where the authority may not sign lists.
    pub fn sign(self) -> CertificateRevocationListDer<'static> {
        let (_, certificate) = X509Certificate::from_der(&self.authority.certificate)
            .expect("a certificate that was made can be read");
        // ecdsa-with-SHA256.
        let algorithm = der(SEQUENCE, &der(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]));
        let mut list = Vec::new();
        if let Some(version) = self.version {
            list.extend(der(0x02, &[version]));
        }
        list.extend(self.algorithm_inside.as_ref().unwrap_or(&algorithm));
        list.extend(self.issuer.as_deref().unwrap_or_else(|| certificate.subject().as_raw()));
        list.extend(time(self.this_update));
        list.extend(self.next_update.map(time).unwrap_or_default());
        if !self.entries.is_empty() {
            list.extend(der(SEQUENCE, &self.entries));
        }
        if self.version.is_some() {
            let extensions = self.all_extensions(&certificate);
            if !extensions.is_empty() {
                list.extend(der(0xa0, &der(SEQUENCE, &extensions)));
            }
        }
        let list = der(SEQUENCE, &list);
        let mut signature = self.authority.key.sign(&list).expect("a list can be signed");
        if let (false, Some(last)) = (self.signature_is_good, signature.last_mut()) {
            *last ^= 1;
        }
        let signature = der(0x03, &[&[0], signature.as_slice()].concat());
        der(SEQUENCE, &[list, algorithm, signature].concat()).into()
    }

    fn all_extensions(&self, certificate: &X509Certificate<'_>) -> Vec<u8> {
        let mut extensions = self.extensions.clone();
        let identifier = certificate.extensions().iter().find(|one| one.oid.as_bytes() == [0x55, 0x1d, 14]);
        // The value is an OCTET STRING of less than 128 bytes.
        if let (true, Some([_, _, identifier @ ..])) = (self.key_identifier, identifier.map(|one| one.value))
        {
            extensions.extend(extension(&[0x55, 0x1d, 35], false, &der(SEQUENCE, &der(0x80, identifier))));
        }
        if let Some(number) = &self.number {
            extensions.extend(extension(&[0x55, 0x1d, 20], false, &der(0x02, number)));
        }
        if !self.scope.is_empty() {
            let mut fields = self.scope.clone();
            fields.sort_by_key(|(tag, _)| tag & 0x1f);
            let fields: Vec<u8> = fields.iter().flat_map(|(tag, content)| der(*tag, content)).collect();
            extensions.extend(extension(&[0x55, 0x1d, 28], self.scope_is_critical, &der(SEQUENCE, &fields)));
        }
        extensions
    }
}

fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { vec![0x01, 0x01, 0xff] } else { Vec::new() };
    der(SEQUENCE, &[der(0x06, id), critical, der(0x04, value)].concat())
}

/// A moment before 2050, as UTCTime.
fn time(moment: SystemTime) -> Vec<u8> {
    // rcgen's own type of moments knows the calendar.
    let mut calendar = CertificateParams::default();
    calendar.not_before = moment.into();
    let moment = calendar.not_before;
    let text = format!(
        "{:02}{:02}{:02}{:02}{:02}{:02}Z",
        moment.year().rem_euclid(100),
        u8::from(moment.month()),
        moment.day(),
        moment.hour(),
        moment.minute(),
        moment.second()
    );
    der(0x17, text.as_bytes())
}

//! Leaf certificates, good ones and such with every defect that a leaf can have.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, PublicKeyData, SerialNumber, SignatureAlgorithm,
};
use rustls_pki_types::PrivatePkcs8KeyDer;

use super::names::{DNS, IP, MAIL, OTHER, URI, add_names, der, push_name};
use super::{Authority, Issued, new_key, new_key_for, sign};

/// A leaf certificate before it is signed. Made by [`Authority::leaf`].
///
/// Without further words it is a certificate for clients and servers with a critical key usage
/// `digitalSignature`, no subject and no name. Names are critical where there is no subject (RFC
/// 5280 section 4.2.1.6).
#[derive(Debug)]
#[must_use = "nothing is signed before `issue`"]
pub struct LeafDraft<'a> {
    pub(super) authority: &'a Authority,
    pub(super) params: CertificateParams,
    /// The subject alternative names, encoded.
    pub(super) names: Vec<u8>,
    pub(super) key: LeafKey,
    /// None: as there is a subject or not.
    pub(super) critical_names: Option<bool>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum LeafKey {
    P256,
    P384,
    Ed25519,
    Rsa2048,
    Rsa1024,
}

impl LeafDraft<'_> {
    /// Adds a URI to the names, whatever it says: a SPIFFE ID, a second one, one in upper case.
    pub fn spiffe(self, id: &str) -> Self {
        self.raw_name(URI, id.as_bytes())
    }

    /// Adds a DNS name, whatever it says.
    pub fn dns(self, name: &str) -> Self {
        self.raw_name(DNS, name.as_bytes())
    }

    /// Adds an IP address.
    pub fn ip(self, address: impl Into<IpAddr>) -> Self {
        match address.into() {
            IpAddr::V4(address) => self.raw_name(IP, &address.octets()),
            IpAddr::V6(address) => self.raw_name(IP, &address.octets()),
        }
    }

    /// Adds an e-mail address, whatever it says.
    pub fn mail(self, address: &str) -> Self {
        self.raw_name(MAIL, address.as_bytes())
    }

    /// Adds an `otherName` of Microsoft's user principal name kind.
    pub fn other_name(self, text: &str) -> Self {
        let oid = der(0x06, &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x14, 0x02, 0x03]);
        let value = der(0xa0, &der(0x0c, text.as_bytes()));
        self.raw_name(OTHER, &[oid, value].concat())
    }

    /// Adds a name of any kind: the tag of RFC 5280's `GeneralName` and its bytes.
    pub fn raw_name(mut self, tag: u8, bytes: &[u8]) -> Self {
        push_name(&mut self.names, tag, bytes);
        self
    }

    /// Marks the names critical or not, whether there is a subject or not.
    pub fn with_critical_names(mut self, critical: bool) -> Self {
        self.critical_names = Some(critical);
        self
    }

    /// Sets the common name of the subject.
    pub fn common_name(mut self, name: &str) -> Self {
        self.params.distinguished_name.push(DnType::CommonName, name);
        self
    }

    /// Valid from the first moment to the second only.
    pub fn valid_between(mut self, from: SystemTime, until: SystemTime) -> Self {
        self.params.not_before = from.into();
        self.params.not_after = until.into();
        self
    }

    /// Expired one second before `now`.
    pub fn expired_at(self, now: SystemTime) -> Self {
        self.valid_between(now - Duration::from_secs(3600), now - Duration::from_secs(1))
    }

    /// Valid from one second after `now`.
    pub fn not_yet_valid_at(self, now: SystemTime) -> Self {
        self.valid_between(now + Duration::from_secs(1), now + Duration::from_secs(3600))
    }

    /// For servers only.
    pub fn for_servers(mut self) -> Self {
        self.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self
    }

    /// For signed mail only.
    pub fn for_mail(mut self) -> Self {
        self.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
        self
    }

    /// Without an extended key usage.
    pub fn for_any_purpose(mut self) -> Self {
        self.params.extended_key_usages.clear();
        self
    }

    /// An authority, though a leaf.
    pub fn as_authority(mut self) -> Self {
        self.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self
    }

    /// May sign certificates, though a leaf.
    pub fn may_sign_certificates(mut self) -> Self {
        self.params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        self
    }

    /// May sign revocation lists, though a leaf.
    pub fn may_sign_revocation_lists(mut self) -> Self {
        self.params.key_usages.push(KeyUsagePurpose::CrlSign);
        self
    }

    /// May agree on keys, not sign.
    pub fn without_digital_signature(mut self) -> Self {
        self.params.key_usages = vec![KeyUsagePurpose::KeyAgreement];
        self
    }

    /// Without a key usage.
    pub fn without_key_usage(mut self) -> Self {
        self.params.key_usages.clear();
        self
    }

    /// With a key usage that is not critical.
    pub fn with_key_usage_not_critical(mut self) -> Self {
        self.params.key_usages.clear();
        let digital_signature = der(0x03, &[7, 0x80]);
        self.params
            .custom_extensions
            .push(CustomExtension::from_oid_content(&[2, 5, 29, 15], digital_signature));
        self
    }

    /// With a critical extension that nobody knows.
    pub fn with_unknown_critical_extension(mut self) -> Self {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], der(0x05, &[]));
        extension.set_criticality(true);
        self.params.custom_extensions.push(extension);
        self
    }

    /// With an extension of any kind, not critical; also one that is there already.
    pub fn with_extension(mut self, oid: &[u64], value: Vec<u8>) -> Self {
        self.params.custom_extensions.push(CustomExtension::from_oid_content(oid, value));
        self
    }

    /// With a distribution point of this one name (RFC 5280 section 4.2.1.13); several calls make
    /// several points.
    pub fn distribution_point(mut self, uri: &str) -> Self {
        self.params.crl_distribution_points.push(CrlDistributionPoint { uris: vec![uri.to_owned()] });
        self
    }

    /// With this serial number, of up to 20 bytes or more.
    pub fn serial(mut self, bytes: &[u8]) -> Self {
        self.params.serial_number = Some(SerialNumber::from_slice(bytes));
        self
    }

    /// With an Ed25519 key.
    pub fn ed25519(mut self) -> Self {
        self.key = LeafKey::Ed25519;
        self
    }

    /// With a key on P-384.
    pub fn p384(mut self) -> Self {
        self.key = LeafKey::P384;
        self
    }

    /// With an RSA key of 2048 bits; it takes a while to find.
    pub fn rsa_2048(mut self) -> Self {
        self.key = LeafKey::Rsa2048;
        self
    }

    /// With an RSA key of 1024 bits whose private half nobody has: it can be shown, not used.
    pub fn rsa_1024(mut self) -> Self {
        self.key = LeafKey::Rsa1024;
        self
    }

    /// Signs it.
    pub fn issue(mut self) -> Issued {
        let nameless = self.params.distinguished_name.iter().next().is_none();
        add_names(&mut self.params, &self.names, self.critical_names.unwrap_or(nameless));
        let key = match self.key {
            LeafKey::P256 | LeafKey::Rsa1024 => new_key(),
            LeafKey::P384 => new_key_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            LeafKey::Ed25519 => new_key_for(&rcgen::PKCS_ED25519),
            LeafKey::Rsa2048 => new_key_for(&rcgen::PKCS_RSA_SHA256),
        };
        let leaf = match self.key {
            LeafKey::Rsa1024 => sign(&self.params, &ShortRsa::new(), self.authority),
            _ => sign(&self.params, &key, self.authority),
        };
        let chain = std::iter::once(leaf).chain(self.authority.above.iter().cloned()).collect();
        Issued { chain, key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() }
    }
}

/// A public RSA key of 1024 bits that no private key belongs to.
pub(super) struct ShortRsa(Vec<u8>);

impl ShortRsa {
    pub(super) fn new() -> Self {
        let modulus: Vec<u8> = [0].into_iter().chain((0..128).map(|at| 0x81 | at)).collect();
        let exponent = [1, 0, 1];
        Self(der(0x30, &[der(0x02, &modulus), der(0x02, &exponent)].concat()))
    }
}

impl PublicKeyData for ShortRsa {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

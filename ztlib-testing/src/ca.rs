//! Throwaway authorities: certificates made on the spot, and every defect that a certificate can have.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "in a test, a certificate that cannot be made ends the test"
)]

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    NameConstraints, PublicKeyData, RevokedCertParams, SerialNumber, SignatureAlgorithm,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// A moment in which everything is valid that was not made otherwise: 2026-01-01T00:00:00Z.
pub fn a_day() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

const URI: u8 = 0x86;
const DNS: u8 = 0x82;
const MAIL: u8 = 0x81;
const IP: u8 = 0x87;
const OTHER: u8 = 0xa0;

/// An authority that signs certificates for tests; it lives as long as the test.
///
/// Everything is valid from the year 2000 to 2100 unless said otherwise, so that no fixture expires, and keys are on
/// P-256 unless said otherwise.
///
/// ```
/// use ztlib_testing::Authority;
///
/// let authority = Authority::new("example root");
/// let payments = authority.issue_spiffe("spiffe://example.org/payments");
/// let server = authority.leaf().dns("localhost").ip([127, 0, 0, 1]).for_servers().issue();
/// assert!(payments.chain_pem().starts_with("-----BEGIN CERTIFICATE-----"));
/// assert_eq!(server.chain().len(), 1);
/// ```
#[derive(Debug)]
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    certificate: CertificateDer<'static>,
    /// What a peer sends above its leaf: this authority's certificate and what is above, without the root.
    above: Vec<CertificateDer<'static>>,
}

impl Authority {
    /// A root.
    pub fn new(name: &str) -> Self {
        Self::draft(name).root()
    }

    /// A certificate of an authority with particulars or defects, made into a root or an intermediate at the end.
    pub fn draft(name: &str) -> AuthorityDraft {
        AuthorityDraft { params: authority_params(name), names: Vec::new(), key: new_key() }
    }

    /// An authority below this one.
    pub fn intermediate(&self, name: &str) -> Self {
        Self::draft(name).below(self)
    }

    /// A certificate for the other authority's name and key, signed by this one.
    pub fn cross_sign(&self, other: &Self) -> CertificateDer<'static> {
        sign(&other.params, &other.key, self)
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// The authority's certificate as PEM.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// A list of certificates that this authority takes back, issued at the first moment and valid until the second
    /// (RFC 5280 section 5).
    pub fn revocation_list(
        &self,
        revoked: &[CertificateDer<'_>],
        this_update: SystemTime,
        next_update: SystemTime,
    ) -> CertificateRevocationListDer<'static> {
        let revoked_certs = revoked
            .iter()
            .map(|certificate| RevokedCertParams {
                serial_number: serial_number(certificate),
                revocation_time: this_update.into(),
                reason_code: None,
                invalidity_date: None,
            })
            .collect();
        let list = CertificateRevocationListParams {
            this_update: this_update.into(),
            next_update: next_update.into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let issuer = Issuer::from_params(&self.params, &self.key);
        list.signed_by(&issuer).expect("a list can be signed").into()
    }

    /// A leaf certificate with this SPIFFE ID, as an SPIRE server would make it.
    pub fn issue_spiffe(&self, id: &str) -> Issued {
        self.leaf().spiffe(id).issue()
    }

    /// A leaf certificate, to be described.
    pub fn leaf(&self) -> LeafDraft<'_> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        LeafDraft { authority: self, params, names: Vec::new(), key: LeafKey::P256 }
    }
}

/// An authority's certificate before it is signed. Made by [`Authority::draft`].
#[derive(Debug)]
#[must_use = "nothing is signed before `root` or `below`"]
pub struct AuthorityDraft {
    params: CertificateParams,
    names: Vec<u8>,
    key: KeyPair,
}

impl AuthorityDraft {
    /// Gives the authority a SPIFFE ID of its own.
    pub fn spiffe(mut self, id: &str) -> Self {
        push_name(&mut self.names, URI, id.as_bytes());
        self
    }

    /// Valid from the first moment to the second only.
    pub fn valid_between(mut self, from: SystemTime, until: SystemTime) -> Self {
        self.params.not_before = from.into();
        self.params.not_after = until.into();
        self
    }

    /// Only for this purpose: `1.3.6.1.5.5.7.3.4` is e-mail.
    pub fn only_for_mail(mut self) -> Self {
        self.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
        self
    }

    /// May vouch for DNS names under this one only.
    pub fn constrained_to_dns(mut self, name: &str) -> Self {
        self.params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(name.to_owned())],
            excluded_subtrees: Vec::new(),
        });
        self
    }

    /// May vouch for URIs of this host only (RFC 5280 section 4.2.1.10).
    pub fn constrained_to_uri_host(mut self, host: &str) -> Self {
        let base = der(0x30, &der(URI, host.as_bytes()));
        let value = der(0x30, &der(0xa0, &base));
        let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], value);
        extension.set_criticality(true);
        self.params.custom_extensions.push(extension);
        self
    }

    /// Not an authority at all: no `cA` in its basic constraints.
    pub fn not_an_authority(mut self) -> Self {
        self.params.is_ca = IsCa::ExplicitNoCa;
        self.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        self
    }

    /// With the other authority's name and key, so that either certificate is above the other's leaves.
    pub fn like(mut self, other: &Authority) -> Self {
        self.params.distinguished_name = other.params.distinguished_name.clone();
        self.key = copy_key(&other.key);
        self
    }

    /// Signs it with its own key.
    pub fn root(mut self) -> Authority {
        add_names(&mut self.params, &self.names, false);
        let certificate = self.params.self_signed(&self.key).expect("a root signs itself").into();
        Authority { params: self.params, key: self.key, certificate, above: Vec::new() }
    }

    /// Signs it with the key of another authority.
    pub fn below(mut self, issuer: &Authority) -> Authority {
        add_names(&mut self.params, &self.names, false);
        let certificate = sign(&self.params, &self.key, issuer);
        let above = std::iter::once(certificate.clone()).chain(issuer.above.iter().cloned()).collect();
        Authority { params: self.params, key: self.key, certificate, above }
    }
}

/// A leaf certificate before it is signed. Made by [`Authority::leaf`].
///
/// Without further words it is a certificate for clients and servers with a critical key usage `digitalSignature`, no
/// subject and no name.
#[derive(Debug)]
#[must_use = "nothing is signed before `issue`"]
pub struct LeafDraft<'a> {
    authority: &'a Authority,
    params: CertificateParams,
    /// The subject alternative names, encoded.
    names: Vec<u8>,
    key: LeafKey,
}

#[derive(Debug, Clone, Copy)]
enum LeafKey {
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
        add_names(&mut self.params, &self.names, false);
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

/// A certificate chain and its private key.
#[derive(Debug)]
pub struct Issued {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Clone for Issued {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl Issued {
    /// The leaf, then the authorities above it, without the root.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    /// The leaf alone.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.chain.first().expect("a chain has a leaf").clone()
    }

    /// The leaf's private key, as PKCS #8.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// The chain as PEM.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect()
    }

    /// The private key as PEM.
    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", self.key.secret_der())
    }

    /// The same key with other certificates above the leaf.
    #[must_use]
    pub fn with_above(mut self, above: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        self.chain.truncate(1);
        self.chain.extend(above);
        self
    }
}

fn serial_number(certificate: &CertificateDer<'_>) -> SerialNumber {
    let (_, certificate) =
        X509Certificate::from_der(certificate).expect("a certificate that was made can be read");
    SerialNumber::from_slice(certificate.raw_serial())
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn new_key() -> KeyPair {
    new_key_for(&rcgen::PKCS_ECDSA_P256_SHA256)
}

fn new_key_for(algorithm: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).expect("a key can be made")
}

fn copy_key(key: &KeyPair) -> KeyPair {
    KeyPair::try_from(key.serialize_der()).expect("a key that was made can be read")
}

fn sign(params: &CertificateParams, key: &impl PublicKeyData, issuer: &Authority) -> CertificateDer<'static> {
    let issuer = Issuer::from_params(&issuer.params, &issuer.key);
    params.signed_by(key, &issuer).expect("a certificate can be signed").into()
}

fn push_name(names: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    names.extend(der(tag, bytes));
}

/// The names go past rcgen, which would refuse the bad ones.
fn add_names(params: &mut CertificateParams, names: &[u8], critical: bool) {
    if names.is_empty() {
        return;
    }
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], der(0x30, names));
    extension.set_criticality(critical);
    params.custom_extensions.push(extension);
}

/// One element of DER: tag, length, value.
fn der(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("test data is shorter than 64 KiB").to_be_bytes();
    let mut out = vec![tag];
    match length {
        [0, short @ ..0x80] => out.push(short),
        [0, long] => out.extend([0x81, long]),
        [high, low] => out.extend([0x82, high, low]),
    }
    out.extend_from_slice(value);
    out
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for (at, character) in text.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            out.push('\n');
        }
        out.push(character);
    }
    out.push_str(&format!("\n-----END {label}-----\n"));
    out
}

/// A public RSA key of 1024 bits that no private key belongs to.
struct ShortRsa(Vec<u8>);

impl ShortRsa {
    fn new() -> Self {
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

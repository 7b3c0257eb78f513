//! Throwaway authorities: certificates made on the spot, and every defect that a certificate can
//! have.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "in a test, a certificate that cannot be made ends the test"
)]

mod issued;
mod leaf;
mod list;
mod names;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, PublicKeyData, RevokedCertParams, SerialNumber, SignatureAlgorithm,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

pub use issued::Issued;
pub use leaf::LeafDraft;
pub use list::RevocationListDraft;

use issued::pem;
use leaf::{LeafKey, ShortRsa};
use names::{DNS, URI, add_names, der, push_name};

/// A moment in which everything is valid that was not made otherwise: 2026-01-01T00:00:00Z.
pub fn a_day() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

/// An authority that signs certificates for tests; it lives as long as the test.
///
/// Everything is valid from the year 2000 to 2100 unless said otherwise, so that no fixture
/// expires, and keys are on P-256 unless said otherwise.
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
    /// What a peer sends above its leaf: this authority's certificate and what is above, without
    /// the root.
    above: Vec<CertificateDer<'static>>,
}

impl Authority {
    /// A root.
    pub fn new(name: &str) -> Self {
        Self::draft(name).root()
    }

    /// A certificate of an authority with particulars or defects, made into a root or an
    /// intermediate at the end.
    pub fn draft(name: &str) -> AuthorityDraft {
        AuthorityDraft {
            params: authority_params(name),
            names: Vec::new(),
            key: new_key(),
            shown: ShownKey::Own,
        }
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

    /// A list of certificates that this authority takes back, issued at the first moment and valid
    /// until the second (RFC 5280 section 5). Its number is the second of its issue, so that of two
    /// lists the later counts.
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
        let number = this_update.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let list = CertificateRevocationListParams {
            this_update: this_update.into(),
            next_update: next_update.into(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let issuer = Issuer::from_params(&self.params, &self.key);
        list.signed_by(&issuer).expect("a list can be signed").into()
    }

    /// A revocation list with particulars or defects.
    pub fn list(&self) -> RevocationListDraft<'_> {
        RevocationListDraft::new(self)
    }

    /// A certificate of this authority after a change of what is signed, signed again.
    pub fn sign_again(
        &self,
        certificate: &CertificateDer<'_>,
        change: impl FnOnce(&mut Vec<u8>),
    ) -> CertificateDer<'static> {
        let (_, read) =
            X509Certificate::from_der(certificate).expect("a certificate that was made can be read");
        let mut signed = read.tbs_certificate.as_ref().to_vec();
        change(&mut signed);
        let key = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(
            &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING,
            &self.key.serialize_der(),
        );
        let random = aws_lc_rs::rand::SystemRandom::new();
        let signature = key.expect("the key is on P-256").sign(&random, &signed).expect("it signs");
        let algorithm = der(0x30, &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]);
        let bits = der(0x03, &[&[0], signature.as_ref()].concat());
        der(0x30, &[signed, algorithm, bits].concat()).into()
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
        LeafDraft { authority: self, params, names: Vec::new(), key: LeafKey::P256, critical_names: None }
    }
}

/// An authority's certificate before it is signed. Made by [`Authority::draft`].
#[derive(Debug)]
#[must_use = "nothing is signed before `root` or `below`"]
pub struct AuthorityDraft {
    params: CertificateParams,
    names: Vec<u8>,
    key: KeyPair,
    shown: ShownKey,
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
    pub fn constrained_to_dns(self, name: &str) -> Self {
        self.constrained(&[(DNS, name.as_bytes())], &[])
    }

    /// May vouch for URIs of this host only (RFC 5280 section 4.2.1.10).
    pub fn constrained_to_uri_host(self, host: &str) -> Self {
        self.constrained(&[(URI, host.as_bytes())], &[])
    }

    /// May vouch for some names only: each constraint is the tag of RFC 5280's `GeneralName` and
    /// its bytes. An empty list is left out.
    pub fn constrained(self, permitted: &[(u8, &[u8])], excluded: &[(u8, &[u8])]) -> Self {
        let list = |tag: u8, bases: &[(u8, &[u8])]| {
            let all: Vec<u8> = bases.iter().flat_map(|(kind, base)| der(0x30, &der(*kind, base))).collect();
            if all.is_empty() { all } else { der(tag, &all) }
        };
        let value = der(0x30, &[list(0xa0, permitted), list(0xa1, excluded)].concat());
        self.with_extension(&[2, 5, 29, 30], true, value)
    }

    /// With an extension of any kind; also one that is there already.
    pub fn with_extension(mut self, oid: &[u64], critical: bool, value: Vec<u8>) -> Self {
        let mut extension = CustomExtension::from_oid_content(oid, value);
        extension.set_criticality(critical);
        self.params.custom_extensions.push(extension);
        self
    }

    /// So many authorities may follow below this one.
    pub fn path_length(mut self, authorities: u8) -> Self {
        self.params.is_ca = IsCa::Ca(BasicConstraints::Constrained(authorities));
        self
    }

    /// May sign revocation lists and no certificates.
    pub fn may_not_sign_certificates(mut self) -> Self {
        self.params.key_usages = vec![KeyUsagePurpose::CrlSign];
        self
    }

    /// Without a key usage.
    pub fn without_key_usage(mut self) -> Self {
        self.params.key_usages.clear();
        self
    }

    /// Without a subject.
    pub fn without_subject(mut self) -> Self {
        self.params.distinguished_name = DistinguishedName::new();
        self
    }

    /// May sign certificates and no revocation lists.
    pub fn may_not_sign_lists(mut self) -> Self {
        self.params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        self
    }

    /// With this serial number.
    pub fn serial(mut self, bytes: &[u8]) -> Self {
        self.params.serial_number = Some(SerialNumber::from_slice(bytes));
        self
    }

    /// With a distribution point of this one name (RFC 5280 section 4.2.1.13).
    pub fn distribution_point(mut self, uri: &str) -> Self {
        self.params.crl_distribution_points.push(CrlDistributionPoint { uris: vec![uri.to_owned()] });
        self
    }

    /// Not an authority at all: no `cA` in its basic constraints.
    pub fn not_an_authority(mut self) -> Self {
        self.params.is_ca = IsCa::ExplicitNoCa;
        self.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        self
    }

    /// With an RSA key of 1024 bits in its certificate, below another authority. What it signs is
    /// signed by another key.
    pub fn rsa_1024(mut self) -> Self {
        self.shown = ShownKey::Rsa1024;
        self
    }

    /// With its public key in the compressed form (RFC 5480 section 2.2) in its certificate, below
    /// another authority.
    pub fn compressed_key(mut self) -> Self {
        self.shown = ShownKey::Compressed;
        self
    }

    /// With its public key in its certificate once more as a key with its algorithm, below another
    /// authority.
    pub fn nested_key(mut self) -> Self {
        self.shown = ShownKey::Nested;
        self
    }

    /// With an Ed25519 key.
    pub fn ed25519(mut self) -> Self {
        self.key = new_key_for(&rcgen::PKCS_ED25519);
        self
    }

    /// With the other authority's name and key, so that either certificate is above the other's
    /// leaves.
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
        let certificate = match self.shown {
            ShownKey::Own => sign(&self.params, &self.key, issuer),
            ShownKey::Rsa1024 => sign(&self.params, &ShortRsa::new(), issuer),
            ShownKey::Compressed => sign(&self.params, &WrittenKey::compressed(&self.key), issuer),
            ShownKey::Nested => sign(&self.params, &WrittenKey::nested(&self.key), issuer),
        };
        let above = std::iter::once(certificate.clone()).chain(issuer.above.iter().cloned()).collect();
        Authority { params: self.params, key: self.key, certificate, above }
    }
}

/// Which key stands in a certificate.
#[derive(Debug)]
enum ShownKey {
    Own,
    Rsa1024,
    Compressed,
    Nested,
}

/// A public key as it stands in a certificate, whatever its private half says.
struct WrittenKey(Vec<u8>, &'static SignatureAlgorithm);

impl WrittenKey {
    fn compressed(key: &KeyPair) -> Self {
        let point = key.public_key_raw();
        let (x, y) = point.get(1..).expect("an uncompressed point").split_at(32);
        let odd = y.last().expect("a coordinate") & 1;
        Self([&[2 | odd], x].concat(), key.algorithm())
    }

    fn nested(key: &KeyPair) -> Self {
        Self(key.subject_public_key_info(), key.algorithm())
    }
}

impl PublicKeyData for WrittenKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.1
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

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

use super::printable::printable;
use super::{PeerError, SpiffeId};
use crate::hex::hex;

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
    pub(crate) fingerprint_hex: Box<str>,
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
            fingerprint_hex: hex(&fingerprint).into(),
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
    if uris.iter().any(|uri| is_spiffe(uri)) {
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

/// Whether the URI means to be a SPIFFE ID, in whatever case its scheme is written: then it must be one.
pub(crate) fn is_spiffe(uri: &str) -> bool {
    uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ztlib_testing::{Authority, LeafDraft, a_day};

    use super::*;

    fn authority() -> Authority {
        Authority::new("root")
    }

    /// The code of the first broken rule, or what the leaf claims.
    fn read(draft: LeafDraft<'_>) -> String {
        match Leaf::read(&draft.issue().certificate()) {
            Ok(Leaf { claim: Claim::Spiffe(id), .. }) => id.to_string(),
            Ok(Leaf { claim: Claim::Dns(names), .. }) => names.join(","),
            Err(error) => error.code().to_owned(),
        }
    }

    #[test]
    fn each_rule_for_leaves_has_its_own_error() {
        let ca = authority();
        let svid = || ca.leaf().spiffe("spiffe://td/a");
        assert_eq!(read(svid()), "spiffe://td/a");
        assert_eq!(read(svid().for_any_purpose()), "spiffe://td/a");
        assert_eq!(read(svid().dns("a.example").common_name("a")), "spiffe://td/a");
        for (draft, code) in [
            (svid().as_authority(), "leaf-is-ca"),
            (svid().may_sign_certificates(), "leaf-signs-certificates"),
            (svid().may_sign_revocation_lists(), "leaf-signs-revocation-lists"),
            (svid().without_digital_signature(), "no-digital-signature"),
            (svid().without_key_usage(), "key-usage-missing"),
            (svid().with_key_usage_not_critical(), "key-usage-not-critical"),
            (svid().for_servers(), "not-for-client-authentication"),
            (svid().for_mail(), "not-for-client-authentication"),
            (svid().rsa_1024(), "key-size"),
            (svid().serial(&[0]), "serial-number"),
            (svid().serial(&[1; 21]), "serial-number"),
            (svid().with_extension(&[2, 5, 29, 17], vec![0x30, 0]), "duplicate-extension"),
        ] {
            assert_eq!(read(draft), code);
        }
    }

    #[test]
    fn usual_keys_are_accepted() {
        let ca = authority();
        let svid = || ca.leaf().spiffe("spiffe://td/a");
        for draft in [svid().p384(), svid().ed25519(), svid().rsa_2048(), svid().serial(&[1; 20])] {
            assert_eq!(read(draft), "spiffe://td/a");
        }
    }

    #[test]
    fn two_uri_sans_are_refused_even_if_equal() {
        let ca = authority();
        let svid = || ca.leaf().spiffe("spiffe://td/a");
        for second in ["spiffe://td/a", "spiffe://td/b", "https://td/a", "Spiffe://td/a"] {
            assert_eq!(read(svid().spiffe(second)), "two-uri-sans", "{second}");
        }
        assert_eq!(read(ca.leaf().spiffe("https://td/a").spiffe("spiffe://td/a")), "two-uri-sans");
    }

    #[test]
    fn spiffe_id_rules_are_named_in_certificates() {
        let ca = authority();
        for (id, code) in [
            ("spiffe://TD/a", "trust-domain-upper-case"),
            ("SPIFFE://td/a", "spiffe-scheme"),
            ("spiffe:td/a", "spiffe-scheme"),
            ("spiffe://td:1/a", "trust-domain-character"),
            ("spiffe://u@td/a", "trust-domain-character"),
            ("spiffe://td/a?q", "path-character"),
            ("spiffe://td/a#f", "path-character"),
            ("spiffe://td/%61", "path-character"),
            ("spiffe://td/a/../b", "path-dot-segment"),
            ("spiffe://td//a", "path-empty-segment"),
            ("spiffe://td/a/", "path-trailing-slash"),
            ("spiffe://td", "spiffe-id-without-path"),
            ("spiffe:///a", "trust-domain-missing"),
        ] {
            assert_eq!(read(ca.leaf().spiffe(id)), code, "{id}");
        }
        let long = |bytes: usize| format!("spiffe://td/{}", "p".repeat(bytes - "spiffe://td/".len()));
        assert_eq!(read(ca.leaf().spiffe(&long(2048))), long(2048));
        assert_eq!(read(ca.leaf().spiffe(&long(2049))), "spiffe-id-too-long");
    }

    #[test]
    fn only_uris_and_dns_names_become_an_identity() {
        let ca = authority();
        let id = "spiffe://td/a";
        for draft in [
            ca.leaf(),
            ca.leaf().common_name(id),
            ca.leaf().common_name("a.example"),
            ca.leaf().mail(id),
            ca.leaf().mail("a@example.org"),
            ca.leaf().other_name(id),
            ca.leaf().ip([192, 0, 2, 1]),
            ca.leaf().spiffe("https://td/a"),
            ca.leaf().raw_name(0x88, &[0x2a, 3]),
        ] {
            assert_eq!(read(draft), "no-identity");
        }
        // A DNS name never becomes a SPIFFE ID.
        assert_eq!(read(ca.leaf().dns(id)), "dns-name");
    }

    #[test]
    fn names_that_are_not_visible_ascii_are_refused() {
        let ca = authority();
        const URI: u8 = 0x86;
        const DNS: u8 = 0x82;
        const MAIL: u8 = 0x81;
        for bytes in [
            &b"spiffe://td/a\0.evil"[..],
            b"spiffe://td/a\n",
            b"spiffe://td/a\rb",
            b" spiffe://td/a",
            b"spiffe://td/a\x7f",
            "spiffe://td/a\u{202e}b".as_bytes(),
            b"spiffe://td/\xff\xfe",
        ] {
            assert_eq!(read(ca.leaf().raw_name(URI, bytes)), "name-character", "{bytes:?}");
            assert_eq!(read(ca.leaf().dns("a.example").raw_name(URI, bytes)), "name-character", "{bytes:?}");
        }
        for bytes in [&b"good.example\0.evil"[..], b"a.example\n", "b\u{fc}cher.example".as_bytes(), b"\xff"]
        {
            assert_eq!(
                read(ca.leaf().spiffe("spiffe://td/a").raw_name(DNS, bytes)),
                "name-character",
                "{bytes:?}"
            );
            assert_eq!(read(ca.leaf().dns("a.example").raw_name(MAIL, bytes)), "name-character", "{bytes:?}");
        }
    }

    #[test]
    fn dns_names_are_plain_hosts_in_lower_case_sorted_and_unique() {
        let ca = authority();
        let draft = ca.leaf().dns("b.example").dns("a.example").dns("b.example").common_name("c.example");
        assert_eq!(read(draft), "a.example,b.example");
        assert_eq!(read(ca.leaf().dns("xn--bcher-kva.example")), "xn--bcher-kva.example");
        for name in [
            "A.example",
            "*.example",
            "a..example",
            ".example",
            "a.example.",
            "-a.example",
            "a-.example",
            "",
            "a b",
        ] {
            let code = if name == "a b" { "name-character" } else { "dns-name" };
            assert_eq!(read(ca.leaf().dns(name)), code, "{name}");
        }
        assert_eq!(read(ca.leaf().dns(&format!("{}.example", "l".repeat(64)))), "dns-name");
        assert_eq!(read(ca.leaf().dns(&["l"; 127].join("."))), ["l"; 127].join("."));
        assert_eq!(read(ca.leaf().dns(&["l"; 128].join("."))), "dns-name");
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let ca = authority();
        let with =
            |names: usize| (0..names).fold(ca.leaf(), |draft, at| draft.dns(&format!("h{at}.example")));
        assert!(read(with(MAX_NAMES)).starts_with("h0.example"));
        assert_eq!(read(with(MAX_NAMES + 1)), "too-many-names");
    }

    #[test]
    fn what_is_no_version_3_certificate_is_malformed() {
        let good = authority().issue_spiffe("spiffe://td/a").certificate().to_vec();
        let code =
            |der: Vec<u8>| Leaf::read(&CertificateDer::from(der)).map_or_else(|error| error.code(), |_| "ok");
        assert_eq!(code(good.clone()), "ok");
        assert_eq!(code(Vec::new()), "malformed-certificate");
        assert_eq!(code(good[..good.len() - 1].to_vec()), "malformed-certificate");
        assert_eq!(code([good.clone(), vec![0]].concat()), "malformed-certificate");
        // [0] { INTEGER 2 } says version 3.
        let version = good.windows(5).position(|bytes| bytes == [0xa0, 3, 2, 1, 2]).unwrap();
        let mut first = good.clone();
        first[version + 4] = 0;
        assert_eq!(code(first), "malformed-certificate");
    }

    #[test]
    fn a_negative_serial_number_is_refused() {
        let issued = authority().leaf().spiffe("spiffe://td/a").serial(&[0x7f, 1, 2, 3, 4, 5, 6, 7]).issue();
        let mut der = issued.certificate().to_vec();
        let at = der.windows(8).position(|bytes| bytes == [0x7f, 1, 2, 3, 4, 5, 6, 7]).unwrap();
        der[at] = 0xff;
        assert_eq!(Leaf::read(&CertificateDer::from(der)).unwrap_err(), PeerError::SerialNumber);
    }

    #[test]
    fn a_curve_without_a_name_is_refused() {
        let mut der = authority().issue_spiffe("spiffe://td/a").certificate().to_vec();
        // The parameters of the key: the OID of P-256 becomes one that nobody has.
        let p256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        let at = der.windows(8).rposition(|bytes| bytes == p256).unwrap();
        der[at + 7] = 0x01;
        assert_eq!(Leaf::read(&CertificateDer::from(der.clone())).unwrap_err(), PeerError::KeyKind);
        // Explicit parameters are a SEQUENCE where the OID of the curve stands.
        der[at - 2] = 0x30;
        assert_eq!(Leaf::read(&CertificateDer::from(der)).unwrap_err(), PeerError::KeyKind);
    }

    #[test]
    fn what_is_logged_is_escaped_and_cut() {
        let ca = Authority::new("evil\n\u{1b}[31m\u{202e}root");
        let leaf = Leaf::read(&ca.leaf().spiffe("spiffe://td/a").serial(&[0x0a, 0xff]).issue().certificate())
            .unwrap();
        assert!(leaf.issuer.is_ascii() && !leaf.issuer.contains(char::is_control), "{}", leaf.issuer);
        assert_eq!(&*leaf.serial, "0aff");
        assert!(leaf.validity.not_before < crate::clock::unix_seconds(a_day()));
        let ca = Authority::new(&"x".repeat(5000));
        let leaf = Leaf::read(&ca.issue_spiffe("spiffe://td/a").certificate()).unwrap();
        assert!(leaf.issuer.len() < 300);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Any byte changed to any other: an error or an identity, never a panic.
        #[test]
        fn no_damaged_certificate_panics(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
            thread_local! {
                static GOOD: Vec<u8> =
                    authority().leaf().spiffe("spiffe://td/a").dns("a.example").issue().certificate().to_vec();
            }
            let mut der = GOOD.with(Clone::clone);
            let at = at.index(der.len());
            der[at] = byte;
            let _ = Leaf::read(&CertificateDer::from(der.clone()));
            der.truncate(cut.index(der.len()));
            prop_assert!(Leaf::read(&CertificateDer::from(der)).is_err());
        }
    }
}

//! A leaf certificate, read into the facts that an identity is made of. Nothing is trusted yet.

use rustls_pki_types::CertificateDer;

use super::certificate::{Certificate, GeneralName, Validity};
use super::chain_member::Position;
use super::{PeerError, SpiffeId, host};
use crate::hex::hex;
use ztlib_contract::printable;

/// A peer may be known by this many DNS names, equal ones counted once. Public authorities sign up
/// to 100, some private ones up to 250. Beyond it the peer is refused rather than known by some of
/// its names: a policy that denies a name would else miss it.
const MAX_HOSTS: usize = 1000;

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
    /// In lower case, sorted, without repetitions, never empty.
    Dns(Box<[Box<str>]>),
}

impl Leaf {
    /// Reads the leaf and checks every rule that needs no root: X509-SVID sections 2, 4 and 5.2 for
    /// a leaf with a SPIFFE ID, RFC 5280 for all.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Result<Self, PeerError> {
        let certificate = Certificate::parse(der, Position::Leaf)?;
        certificate.check_form()?;
        let names = certificate.names()?;
        let claim = claim(&names)?;
        check_usage(&certificate, &claim)?;
        // RFC 5280 section 4.2.1.6, X509-SVID section 3.1: who has no subject has nothing but these
        // names.
        if certificate.subject().is_empty() && certificate.names_are_critical() == Some(false) {
            return Err(PeerError::NamesNotCritical);
        }
        let x509 = certificate.x509();
        let mut fingerprint = [0; 32];
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
        for (to, from) in fingerprint.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Ok(Self {
            claim,
            fingerprint,
            fingerprint_hex: hex(&fingerprint).into(),
            issuer: printable(&x509.issuer().to_string()).into(),
            serial: hex(x509.raw_serial()).into(),
            validity: certificate.validity(),
        })
    }
}

/// X509-SVID sections 4.1 and 4.3. A leaf without a SPIFFE ID may leave its key usage out, as RFC
/// 5280 section 4.2.1.3 allows; what it does say is held against it.
fn check_usage(certificate: &Certificate<'_>, claim: &Claim) -> Result<(), PeerError> {
    if certificate.is_authority()? {
        return Err(PeerError::LeafIsCa);
    }
    let spiffe = matches!(claim, Claim::Spiffe(_));
    match certificate.key_usage()? {
        None if spiffe => return Err(PeerError::KeyUsageMissing),
        None => {}
        Some((usage, _)) if usage.key_cert_sign() => return Err(PeerError::LeafSignsCertificates),
        Some((usage, _)) if usage.crl_sign() => return Err(PeerError::LeafSignsRevocationLists),
        Some((usage, _)) if !usage.digital_signature() => return Err(PeerError::NoDigitalSignature),
        Some((_, critical)) if spiffe && !critical => return Err(PeerError::KeyUsageNotCritical),
        Some(_) => {}
    }
    certificate.check_purpose()
}

/// Exactly one identity from the names; only URIs with the scheme `spiffe` and DNS names can become
/// one.
///
/// The URIs say which kind of peer this is, so each of them must be readable. Of the DNS names of a
/// peer without a SPIFFE ID, those that cannot be an identity are left out; everything else is
/// nobody's concern.
fn claim(names: &[GeneralName<'_>]) -> Result<Claim, PeerError> {
    let of_kind = |tag| names.iter().filter(move |name| name.tag == tag).map(|name| name.value);
    let uris = of_kind(GeneralName::URI).map(visible).collect::<Result<Vec<_>, _>>()?;
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
    let mut hosts: Vec<Box<str>> =
        of_kind(GeneralName::DNS).filter_map(host::identity).map(String::into_boxed_str).collect();
    hosts.sort_unstable();
    hosts.dedup();
    if hosts.len() > MAX_HOSTS {
        return Err(PeerError::TooManyNames { names: hosts.len(), limit: MAX_HOSTS });
    }
    if hosts.is_empty() {
        return Err(match of_kind(GeneralName::DNS).next() {
            Some(name) => PeerError::DnsName { name: printable(&String::from_utf8_lossy(name)) },
            None => PeerError::NoIdentity,
        });
    }
    Ok(Claim::Dns(hosts.into()))
}

/// Whether the URI means to be a SPIFFE ID, in whatever case its scheme is written: then it must be
/// one.
pub(crate) fn is_spiffe(uri: &str) -> bool {
    uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"))
}

/// `IA5String` allows all of ASCII; a NUL, a line break or a blank in a URI is an attempt to be
/// read as another one.
fn visible(uri: &[u8]) -> Result<&str, PeerError> {
    match std::str::from_utf8(uri) {
        Ok(text) if uri.iter().all(u8::is_ascii_graphic) => Ok(text),
        _ => Err(PeerError::NameCharacter { name: printable(&String::from_utf8_lossy(uri)) }),
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
        assert_eq!(read(svid().common_name("a").with_critical_names(true)), "spiffe://td/a");
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
            (svid().with_critical_names(false), "names-not-critical"),
            (ca.leaf().dns("a.example").with_critical_names(false), "names-not-critical"),
            (svid().with_unknown_critical_extension(), "unknown-critical-extension"),
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
    fn uris_that_are_not_visible_ascii_are_refused_and_other_such_names_are_nobody() {
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
        for bytes in
            [&b"good.example\0.evil"[..], b"a.example\n", "b\u{fc}cher.example".as_bytes(), b"\xff", b"a b"]
        {
            let svid = ca.leaf().spiffe("spiffe://td/a").raw_name(DNS, bytes);
            assert_eq!(read(svid), "spiffe://td/a", "{bytes:?}");
            assert_eq!(read(ca.leaf().raw_name(DNS, bytes)), "dns-name", "{bytes:?}");
            let beside = ca.leaf().raw_name(DNS, bytes).raw_name(MAIL, bytes).dns("a.example");
            assert_eq!(read(beside), "a.example", "{bytes:?}");
        }
    }

    #[test]
    fn dns_names_are_plain_hosts_folded_sorted_and_unique() {
        let ca = authority();
        let draft = ca.leaf().dns("b.example").dns("A.example").dns("B.Example").common_name("c.example");
        assert_eq!(read(draft), "a.example,b.example");
        assert_eq!(read(ca.leaf().dns("XN--bcher-kva.example")), "xn--bcher-kva.example");
        assert_eq!(read(ca.leaf().dns("WIN-7Q2K").dns("_ldap.win")), "_ldap.win,win-7q2k");
        assert_eq!(read(ca.leaf().dns(&["l"; 127].join("."))), ["l"; 127].join("."));
    }

    #[test]
    fn a_dns_name_that_cannot_be_an_identity_is_none_and_condemns_nothing_else() {
        let ca = authority();
        let (long_label, long) = (format!("{}.example", "l".repeat(64)), ["l"; 128].join("."));
        for name in [
            "*.example",
            "a.*.example",
            "a..example",
            ".example",
            "a.example.",
            "-a.example",
            "a-.example",
            "",
            "spiffe://td/a",
            &long_label,
            &long,
        ] {
            assert_eq!(read(ca.leaf().dns(name)), "dns-name", "{name}");
            assert_eq!(read(ca.leaf().dns(name).dns("good.example")), "good.example", "{name}");
        }
    }

    #[test]
    fn an_address_is_no_dns_name_in_any_notation() {
        let ca = authority();
        for name in [
            "8.8.8.8",
            "127.1",
            "0x7f.1",
            "0X7F.0.0.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.0x1",
            "999.999.999.999",
            "1.2.3.4.5",
            "0x",
            "::1",
            "[::1]",
            "2001:db8::1",
            "::ffff:8.8.8.8",
            "8.8.8.8.",
            "example.123",
        ] {
            assert_eq!(read(ca.leaf().dns(name)), "dns-name", "{name}");
            assert_eq!(read(ca.leaf().dns(name).dns("a.example")), "a.example", "{name}");
        }
        for name in ["8.8.8.8.example", "1", "a1", "0xfg.a", "x0", "1.a", "0x7g"] {
            let expected = if name == "1" { "dns-name" } else { name };
            assert_eq!(read(ca.leaf().dns(name)), expected, "{name}");
        }
    }

    #[test]
    fn a_peer_has_as_many_dns_names_as_ordinary_certificates_and_a_bound() {
        let ca = authority();
        let with = |names: usize| (0..names).fold(ca.leaf(), |draft, at| draft.dns(&format!("h{at}.ex")));
        assert_eq!(read(with(250)).split(',').count(), 250);
        assert_eq!(read(with(MAX_HOSTS)).split(',').count(), MAX_HOSTS);
        assert_eq!(read(with(MAX_HOSTS + 1)), "too-many-names");
        // Equal ones count once, and what is not an identity does not count; a SPIFFE peer is not
        // asked for its names.
        let same = (0..MAX_HOSTS + 1).fold(ca.leaf(), |draft, _| draft.dns("a.ex").dns("*.ex"));
        assert_eq!(read(same), "a.ex");
        assert_eq!(read(with(MAX_HOSTS + 1).spiffe("spiffe://td/a")), "spiffe://td/a");
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
        assert_eq!(Leaf::read(&CertificateDer::from(der)).unwrap_err().code(), "serial-number");
    }

    #[test]
    fn a_curve_without_a_name_is_refused() {
        let mut der = authority().issue_spiffe("spiffe://td/a").certificate().to_vec();
        // The parameters of the key: the OID of P-256 becomes one that nobody has.
        let p256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        let at = der.windows(8).rposition(|bytes| bytes == p256).unwrap();
        der[at + 7] = 0x01;
        assert_eq!(Leaf::read(&CertificateDer::from(der.clone())).unwrap_err().code(), "key-kind");
        // Explicit parameters are a SEQUENCE where the OID of the curve stands.
        der[at - 2] = 0x30;
        assert_eq!(Leaf::read(&CertificateDer::from(der)).unwrap_err().code(), "key-kind");
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

//! Lists that cannot be used are refused by name when they are given.

use ztlib_testing::RevocationListDraft;

use super::*;
use crate::authenticate::peer::TrustError;

fn fault(kind: Kind, root: &Authority, list: CertificateRevocationListDer<'static>) -> TrustError {
    kind.given([root], [root.list().sign(), list]).build().unwrap_err()
}

#[test]
fn each_list_that_cannot_be_used_has_an_error_of_its_own() {
    type Draft = fn(RevocationListDraft<'_>) -> RevocationListDraft<'_>;
    const FRESHEST: [u8; 3] = [0x55, 0x1d, 46];
    const CERTIFICATE_ISSUER: [u8; 3] = [0x55, 0x1d, 29];
    let rows: [(Draft, &str, &str); 14] = [
        (|list| list.version_1(), "revocation-list-version", "version 1"),
        (|list| list.version_field(2), "revocation-list-version", "version 3"),
        (|list| list.without_next_update(), "revocation-list-without-next-update", "next update"),
        (|list| list.delta_of(3), "revocation-list-delta", "delta"),
        (|list| list.indirect(), "revocation-list-indirect", "indirect"),
        (
            |list| list.revoking_with_extension(&[5], &CERTIFICATE_ISSUER, true, &[0x30, 0]),
            "revocation-list-indirect",
            "indirect",
        ),
        (
            |list| list.extension(&[0x2a, 3, 4], true, &[5, 0]),
            "revocation-list-critical-extension",
            "1.2.3.4",
        ),
        (
            |list| list.extension(&FRESHEST, true, &[0x30, 0]),
            "revocation-list-critical-extension",
            "2.5.29.46",
        ),
        (
            |list| list.revoking_with_extension(&[5], &[0x2a, 3, 5], true, &[5, 0]),
            "revocation-list-critical-extension",
            "1.2.3.5",
        ),
        (|list| list.algorithm_inside(&[0x2b, 0x65, 0x70]), "malformed-revocation-list", "DER"),
        (|list| list.scope(0x81, vec![0xff, 0xff]), "malformed-revocation-list", "DER"),
        (|list| list.only_users().only_authorities(), "malformed-revocation-list", "DER"),
        (|list| list.extension(&[0x55, 0x1d, 20], false, &[2, 1, 1]), "malformed-revocation-list", "DER"),
        (|list| list.scope(0xa0, vec![0xa0, 0]), "malformed-revocation-list", "DER"),
    ];
    for kind in KINDS {
        let root = Authority::new("root");
        for (draft, code, text) in &rows {
            let error = fault(kind, &root, draft(root.list().number(0x2a)).sign());
            let told = error.to_string();
            assert_eq!(error.code(), *code, "{told}");
            assert!(told.contains(text), "{told}");
            assert!(told.contains("revocation list 1 (issuer `CN=root`"), "{told}");
            assert!(told.contains(if matches!(kind, Kind::Domain) { "`td`" } else { "`corp`" }), "{told}");
            // Version 1 has no number, and an extension that is there twice is not read.
            if !["revocation-list-version", "malformed-revocation-list"].contains(code) {
                assert!(told.contains("number 0x2a"), "{told}");
            }
        }
        // The good ones beside them.
        for list in [
            root.list(),
            root.list().extension(&FRESHEST, false, &[0x30, 0]),
            root.list().extension(&[0x2a, 3, 4], false, &[5, 0]),
            root.list().without_number().without_key_identifier(),
        ] {
            assert!(kind.given([&root], [list.sign()]).build().is_ok());
        }
    }
}

#[test]
fn what_is_no_list_says_so_and_how_to_mend_it() {
    let root = Authority::new("root");
    let mut twice = root.list().sign().to_vec();
    twice.extend_from_slice(&twice.clone());
    for bytes in [
        Vec::new(),
        vec![0x30, 0],
        vec![0x30, 0x80, 0, 0],
        b"-----BEGIN X509 CRL-----\n".to_vec(),
        root.certificate().to_vec(),
        twice,
    ] {
        let error = fault(Kind::Domain, &root, CertificateRevocationListDer::from(bytes));
        assert_eq!(error.code(), "malformed-revocation-list");
        assert!(error.to_string().contains("revocation list 1 of `td`"), "{error}");
        assert!(error.to_string().contains("PEM text is decoded first"), "{error}");
    }
}

#[test]
fn odd_object_identifiers_of_extensions_panic_nothing() {
    let root = Authority::new("root");
    for id in [&[][..], &[0x80], &[0x80, 0x80], &[0xff; 20], &[0; 3], &[0x7f, 0xff, 0xff]] {
        let error = fault(Kind::Domain, &root, root.list().extension(id, true, &[5, 0]).sign());
        assert_eq!(error.code(), "revocation-list-critical-extension", "{error}");
        assert!(kind_accepts(&root, root.list().extension(id, false, &[5, 0]).sign()));
    }
}

fn kind_accepts(root: &Authority, list: CertificateRevocationListDer<'static>) -> bool {
    KINDS.iter().all(|kind| kind.given([root], [list.clone()]).build().is_ok())
}

#[test]
fn the_number_of_lists_is_bounded() {
    let root = Authority::new("root");
    let list = root.list().sign();
    for kind in KINDS {
        assert!(kind.given([&root], vec![list.clone(); 1024]).build().is_ok());
        let error = kind.given([&root], vec![list.clone(); 1025]).build().unwrap_err();
        assert_eq!(error.code(), "too-many-revocation-lists");
    }
}

#[test]
fn a_refusal_names_the_certificate_and_the_list() {
    let root = Authority::new("root\n`x`");
    let peer = Kind::Domain.leaf(&root).serial(&[0x37]).issue();
    let list = root.list().number(0x11).revoking(&peer.certificate()).sign();
    let trust = Kind::Domain.given([&root], [list]).build().unwrap();
    let text = identity(&trust, &peer, a_day()).unwrap_err().to_string();
    assert_eq!(
        text,
        "the leaf (serial number 0x37) was revoked by revocation list 0 \
         (issuer `CN=root\\u{a}\\`x\\``, number 0x11)"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever a list is made of, one byte of it changed or its end cut off: no panic, and what
    /// was revoked stays out.
    #[test]
    fn no_damaged_list_of_any_shape_panics_or_opens(
        at in any::<prop::sample::Index>(),
        byte: u8,
        cut in any::<prop::sample::Index>(),
        shape in 0..4_usize,
    ) {
        thread_local! {
            static GOOD: (Authority, Issued, Vec<CertificateRevocationListDer<'static>>) = {
                let root = Authority::new("root");
                let uri = "http://crl.example/1.crl";
                let peer = Kind::Domain.leaf(&root).distribution_point(uri).issue();
                let revoking = || root.list().revoking_serial(&[3]).revoking(&peer.certificate());
                let shapes = vec![
                    revoking().sign(),
                    revoking().point(&[uri]).sign(),
                    revoking().only_users().only_reasons(&[1, 0b0111_1110]).sign(),
                    revoking().revoking_with_extension(&[9], &[0x55, 0x1d, 21], false, &[0x0a, 1, 1]).sign(),
                ];
                (root, peer, shapes)
            };
        }
        GOOD.with(|(root, peer, shapes)| {
            let mut der = shapes[shape].to_vec();
            let at = at.index(der.len());
            der[at] = byte;
            let other = root.list().number(9).point(&["http://crl.example/2.crl"]).sign();
            let damaged = CertificateRevocationListDer::from(der.clone());
            if let Ok(trust) = Kind::Domain.given([root], [damaged, other]).build() {
                assert_ne!(code(&trust, peer, a_day()), IN);
            }
            der.truncate(cut.index(der.len()));
            let _ = Kind::Domain.given([root], [CertificateRevocationListDer::from(der)]).build();
        });
    }

    #[test]
    fn no_bytes_panic_the_reader_of_lists(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let root = thread_local_root();
        let framed = [vec![0x30, 0x82, u8::try_from(bytes.len() >> 8).unwrap(), bytes.len().to_le_bytes()[0]], bytes.clone()];
        for bytes in [bytes, framed.concat()] {
            let _ = Kind::Domain.given([&*root], [CertificateRevocationListDer::from(bytes)]).build();
        }
    }
}

fn thread_local_root() -> std::rc::Rc<Authority> {
    thread_local! {
        static ROOT: std::rc::Rc<Authority> = std::rc::Rc::new(Authority::new("root"));
    }
    ROOT.with(std::rc::Rc::clone)
}

#[test]
fn what_a_list_says_beside_its_serials_is_bounded() {
    let root = Authority::new("root");
    let many = |count: u8| {
        (0..count).fold(root.list(), |list, at| list.extension(&[0x2a, 3, 4, at], false, &[5, 0])).sign()
    };
    let build = |list| Kind::Domain.given([&root], [list]).build().map(drop).map_err(|error| error.code());
    assert_eq!(build(many(90)), Ok(()));
    assert_eq!(build(many(101)), Err("malformed-revocation-list"));
    // A name that no certificate can have, an extension that is longer than any, and the same in an
    // entry.
    let long = vec![b'a'; 70_000];
    let attribute = der(0x30, &[&[6, 3, 0x55, 4, 3][..], &der(0x0c, &long)].concat());
    let named = root.list().issuer_name(der(0x30, &der(0x31, &attribute))).sign();
    assert_eq!(build(named), Err("malformed-revocation-list"));
    assert_eq!(
        build(root.list().extension(&[0x2a, 3, 4], false, &long).sign()),
        Err("malformed-revocation-list")
    );
    let entry = root.list().revoking_with_extension(&[5], &[0x2a, 3, 4], false, &long).sign();
    assert_eq!(build(entry), Err("malformed-revocation-list"));
}

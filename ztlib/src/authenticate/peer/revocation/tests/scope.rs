//! A list speaks for the certificates in its scope.

use super::*;

const ONE: &str = "http://crl.example/1.crl";
const TWO: &str = "http://crl.example/2.crl";

/// A SEQUENCE or other element, for what the drafts cannot write.
/// The relative name `CN=one`, as the content of its SET.
fn relative(name: &str) -> Vec<u8> {
    der(0x30, &[der(0x06, &[0x55, 4, 3]), der(0x0c, name.as_bytes())].concat())
}

/// A distribution point with this content, as the value of the extension.
fn points(contents: &[Vec<u8>]) -> Vec<u8> {
    der(0x30, &contents.iter().flat_map(|content| der(0x30, content)).collect::<Vec<_>>())
}

/// `distributionPoint` with one URI.
fn at(uri: &str) -> Vec<u8> {
    der(0xa0, &der(0xa0, &der(0x86, uri.as_bytes())))
}

#[test]
fn a_shard_and_a_full_list_both_speak_in_any_order() {
    for kind in KINDS {
        let root = Authority::new("root");
        let peer = kind.leaf(&root).distribution_point(ONE).issue();
        let old = || root.list().number(1).between(days(-3), days(2));
        let new = || root.list().number(2).between(days(-1), days(2));
        let revoked = peer.certificate();
        for (lists, expected) in [
            ([old().point(&[ONE]).sign(), new().sign()], IN),
            ([old().point(&[ONE]).sign(), new().revoking(&revoked).sign()], "revoked"),
            ([old().sign(), new().point(&[ONE]).revoking(&revoked).sign()], "revoked"),
            // Neither takes back what the other says, though it is older.
            ([old().point(&[ONE]).revoking(&revoked).sign(), new().sign()], "revoked"),
            ([old().revoking(&revoked).sign(), new().point(&[ONE]).sign()], "revoked"),
        ] {
            assert_eq!(verdict(kind, [&root], &lists, &peer), expected, "{kind:?}");
        }
    }
}

#[test]
fn the_shard_of_another_distribution_point_does_not_speak() {
    for kind in KINDS {
        let root = Authority::new("root");
        let peer = kind.leaf(&root).distribution_point(ONE).issue();
        let one = || root.list().point(&[ONE]);
        let two = root.list().point(&[TWO]).sign();
        assert_eq!(verdict(kind, [&root], std::slice::from_ref(&two), &peer), "revocation-unknown");
        assert_eq!(verdict(kind, [&root], &[one().sign(), two.clone()], &peer), IN);
        let revoking = one().revoking(&peer.certificate()).sign();
        assert_eq!(verdict(kind, [&root], &[revoking, two], &peer), "revoked");
    }
}

#[test]
fn a_shard_does_not_speak_for_a_certificate_without_distribution_points() {
    for kind in KINDS {
        let root = Authority::new("root");
        let peer = kind.leaf(&root).issue();
        let shard = root.list().point(&[ONE]).sign();
        assert_eq!(verdict(kind, [&root], std::slice::from_ref(&shard), &peer), "revocation-unknown");
        assert_eq!(verdict(kind, [&root], &[shard.clone(), root.list().sign()], &peer), IN);
        let full = root.list().revoking(&peer.certificate()).sign();
        assert_eq!(verdict(kind, [&root], &[shard, full], &peer), "revoked");
    }
}

#[test]
fn a_certificate_with_two_distribution_points_is_spoken_for_by_either() {
    for kind in KINDS {
        let root = Authority::new("root");
        let peer = kind.leaf(&root).distribution_point(ONE).distribution_point(TWO).issue();
        let (one, two) = (|| root.list().point(&[ONE]), || root.list().point(&[TWO]));
        assert_eq!(verdict(kind, [&root], &[one().sign()], &peer), IN);
        assert_eq!(verdict(kind, [&root], &[two().sign()], &peer), IN);
        let revoked = peer.certificate();
        assert_eq!(
            verdict(kind, [&root], &[one().sign(), two().revoking(&revoked).sign()], &peer),
            "revoked"
        );
        assert_eq!(
            verdict(kind, [&root], &[one().revoking(&revoked).sign(), two().sign()], &peer),
            "revoked"
        );
        // One list of two points, and a point with two names, one of which fits.
        assert_eq!(verdict(kind, [&root], &[root.list().point(&["ldap://x", TWO]).sign()], &peer), IN);
    }
}

#[test]
fn the_uris_of_distribution_points_are_compared_byte_for_byte() {
    let root = Authority::new("root");
    let peer = Kind::Domain.leaf(&root).distribution_point(ONE).issue();
    for other in [
        "HTTP://crl.example/1.crl",
        "http://CRL.example/1.crl",
        "http://crl.example/1.CRL",
        "http://crl.example/%31.crl",
        "http://crl.example:80/1.crl",
        "http://crl.example/1.crl?",
        "http://crl.example/1.crl/",
        "http://crl.example/1.cr",
        "http://crl.example/1.crl\0",
        "",
    ] {
        let list = root.list().point(&[other]).sign();
        assert_eq!(verdict(Kind::Domain, [&root], &[list], &peer), "revocation-unknown", "{other}");
    }
    assert_eq!(verdict(Kind::Domain, [&root], &[root.list().point(&[ONE]).sign()], &peer), IN);
}

#[test]
fn a_name_of_another_kind_is_another_name() {
    let root = Authority::new("root");
    let peer = Kind::Domain.leaf(&root).distribution_point("crl.example").issue();
    let dns = root.list().scope(0xa0, der(0xa0, &der(0x82, b"crl.example"))).sign();
    assert_eq!(verdict(Kind::Domain, [&root], &[dns], &peer), "revocation-unknown");
}

#[test]
fn a_relative_name_is_the_one_below_the_issuer() {
    let root = Authority::new("root");
    let of = |name: &str| der(0xa0, &der(0xa1, &relative(name)));
    let peer = Kind::Domain.leaf(&root).with_extension(&[2, 5, 29, 31], points(&[of("one")])).issue();
    let list = |name: &str| root.list().scope(0xa0, der(0xa1, &relative(name)));
    assert_eq!(verdict(Kind::Domain, [&root], &[list("one").sign()], &peer), IN);
    assert_eq!(verdict(Kind::Domain, [&root], &[list("two").sign()], &peer), "revocation-unknown");
    let revoking = list("one").revoking(&peer.certificate()).sign();
    assert_eq!(verdict(Kind::Domain, [&root], &[revoking], &peer), "revoked");
    // The same name in full.
    let full: Vec<u8> = [der(0x31, &relative("root")), der(0x31, &relative("one"))].concat();
    let full = root.list().scope(0xa0, der(0xa0, &der(0xa4, &der(0x30, &full))));
    let revoking = full.revoking(&peer.certificate()).sign();
    assert_eq!(verdict(Kind::Domain, [&root], &[revoking], &peer), "revoked");
}

#[test]
fn a_list_at_the_name_of_the_issuer_speaks_for_every_certificate_of_it() {
    let root = Authority::new("root");
    let name = der(0x30, &der(0x31, &relative("Root")));
    let list = || root.list().scope(0xa0, der(0xa0, &der(0xa4, &name)));
    for peer in [Kind::Domain.leaf(&root).issue(), Kind::Domain.leaf(&root).distribution_point(ONE).issue()] {
        assert_eq!(verdict(Kind::Domain, [&root], &[list().sign()], &peer), IN);
        let revoking = list().revoking(&peer.certificate()).sign();
        assert_eq!(verdict(Kind::Domain, [&root], &[revoking], &peer), "revoked");
    }
}

#[test]
fn a_distribution_point_of_another_issuer_is_not_served_by_the_own_lists_of_it() {
    let root = Authority::new("root");
    let other = der(0x30, &der(0x31, &relative("other")));
    let point = [at(ONE), der(0xa2, &der(0xa4, &other))].concat();
    let peer = Kind::Domain.leaf(&root).with_extension(&[2, 5, 29, 31], points(&[point])).issue();
    let shard = root.list().point(&[ONE]).sign();
    assert_eq!(verdict(Kind::Domain, [&root], &[shard], &peer), "revocation-unknown");
    // A list of the issuer about everything speaks all the same.
    assert_eq!(verdict(Kind::Domain, [&root], &[root.list().sign()], &peer), IN);
}

#[test]
fn lists_for_users_and_for_authorities_speak_for_their_kind_alone() {
    for kind in KINDS {
        let root = Authority::new("root");
        let middle = root.intermediate("middle");
        let peer = kind.leaf(&middle).issue();
        let of_middle = middle.list().sign();
        let users = |list: ztlib_testing::RevocationListDraft<'_>| list.only_users().sign();
        let authorities = root.list().only_authorities().sign();
        let ask = |lists: &[_]| verdict(kind, [&root], lists, &peer);
        assert_eq!(ask(&[of_middle.clone(), authorities.clone()]), IN);
        assert_eq!(ask(&[of_middle.clone(), users(root.list())]), "revocation-unknown");
        assert_eq!(ask(&[users(middle.list()), authorities.clone()]), IN);
        let wrong = middle.list().only_authorities().sign();
        assert_eq!(ask(&[wrong, authorities.clone()]), "revocation-unknown");
        // What it says of the other kind is not heard, what it says of its own is.
        let revoked = middle.certificate();
        let of_users = users(root.list().revoking(&revoked));
        assert_eq!(ask(&[of_middle.clone(), authorities, of_users]), IN);
        let of_authorities = root.list().only_authorities().revoking(&revoked).sign();
        assert_eq!(ask(&[of_middle, users(root.list()), of_authorities]), "revoked");
        let revoked = users(middle.list().revoking(&peer.certificate()));
        assert_eq!(ask(&[revoked, root.list().sign()]), "revoked");
    }
}

#[test]
fn lists_of_attribute_certificates_speak_for_nobody_here() {
    let root = Authority::new("root");
    let peer = Kind::Domain.leaf(&root).issue();
    let attributes = root.list().only_attributes().revoking(&peer.certificate()).sign();
    let ask = |lists: &[_]| verdict(Kind::Domain, [&root], lists, &peer);
    assert_eq!(ask(std::slice::from_ref(&attributes)), "revocation-unknown");
    assert_eq!(ask(&[attributes, root.list().sign()]), IN);
}

#[test]
fn a_list_for_some_reasons_revokes_and_does_not_say_that_all_is_well() {
    for kind in KINDS {
        let root = Authority::new("root");
        let peer = kind.leaf(&root).issue();
        // The bits 1 to 3, and 4 to 8.
        let some = || root.list().only_reasons(&[4, 0b0111_0000]);
        let rest = || root.list().only_reasons(&[7, 0b0000_1111, 0b1000_0000]);
        let ask = |lists: &[_]| verdict(kind, [&root], lists, &peer);
        assert_eq!(ask(&[some().sign()]), "revocation-unknown");
        assert_eq!(ask(&[rest().sign()]), "revocation-unknown");
        assert_eq!(ask(&[some().sign(), rest().sign()]), IN);
        assert_eq!(ask(&[some().sign(), root.list().sign()]), IN);
        let revoking = some().revoking(&peer.certificate());
        assert_eq!(ask(&[revoking.sign()]), "revoked");
        let revoking = some().revoking(&peer.certificate());
        assert_eq!(ask(&[revoking.sign(), rest().sign()]), "revoked");
        let revoking = some().revoking(&peer.certificate());
        assert_eq!(ask(&[revoking.sign(), root.list().sign()]), "revoked");
        // Bits that are set where none are used are not there.
        let unused = root.list().only_reasons(&[7, 0xff, 0x7f]);
        assert_eq!(ask(&[unused.sign()]), "revocation-unknown");
        // All reasons but those of attribute certificates are not all.
        let nearly = root.list().only_reasons(&[0, 0b0111_1111]).sign();
        assert_eq!(ask(&[nearly]), "revocation-unknown");
    }
}

#[test]
fn a_distribution_point_for_some_reasons_makes_the_status_known_for_those_alone() {
    let root = Authority::new("root");
    let some = [at(ONE), der(0x81, &[4, 0b0111_0000])].concat();
    let rest = [at(TWO), der(0x81, &[7, 0b0000_1111, 0b1000_0000])].concat();
    let peer = Kind::Domain.leaf(&root).with_extension(&[2, 5, 29, 31], points(&[some, rest])).issue();
    let (one, two) = (|| root.list().point(&[ONE]), || root.list().point(&[TWO]));
    let ask = |lists: &[_]| verdict(Kind::Domain, [&root], lists, &peer);
    assert_eq!(ask(&[one().sign()]), "revocation-unknown");
    assert_eq!(ask(&[one().sign(), two().sign()]), IN);
    assert_eq!(ask(&[root.list().sign()]), IN);
    assert_eq!(ask(&[one().revoking(&peer.certificate()).sign()]), "revoked");
}

#[test]
fn a_scope_counts_whether_it_is_critical_or_not() {
    let root = Authority::new("root");
    let peer = Kind::Domain.leaf(&root).distribution_point(ONE).issue();
    let ask = |lists: &[_]| verdict(Kind::Domain, [&root], lists, &peer);
    assert_eq!(ask(&[root.list().point(&[ONE]).scope_not_critical().sign()]), IN);
    assert_eq!(ask(&[root.list().point(&[TWO]).scope_not_critical().sign()]), "revocation-unknown");
}

#[test]
fn a_scope_that_says_nothing_is_everything_and_true_is_true_in_every_encoding() {
    let root = Authority::new("root");
    let peer = Kind::Domain.leaf(&root).issue();
    let ask =
        |list: ztlib_testing::RevocationListDraft<'_>| verdict(Kind::Domain, [&root], &[list.sign()], &peer);
    let nothing = || root.list().extension(&[0x55, 0x1d, 28], true, &[0x30, 0]);
    assert_eq!(ask(nothing()), IN);
    assert_eq!(ask(nothing().revoking(&peer.certificate())), "revoked");
    assert_eq!(ask(root.list().scope(0x82, vec![0])), IN);
    // BER's other ways to say true: a list about authorities alone does not speak for a leaf.
    for yes in [1, 0x80, 0xff] {
        assert_eq!(ask(root.list().scope(0x82, vec![yes])), "revocation-unknown");
    }
}

#[test]
fn intermediates_have_distribution_points_too() {
    for kind in KINDS {
        let root = Authority::new("root");
        let middle = Authority::draft("middle").distribution_point(ONE).below(&root);
        let peer = kind.leaf(&middle).issue();
        let ask = |of_root: ztlib_testing::RevocationListDraft<'_>| {
            verdict(kind, [&root], &[of_root.sign(), middle.list().sign()], &peer)
        };
        assert_eq!(ask(root.list().point(&[ONE])), IN);
        assert_eq!(ask(root.list().point(&[TWO])), "revocation-unknown");
        assert_eq!(ask(root.list().point(&[ONE]).revoking(&middle.certificate())), "revoked");
    }
}

#[test]
fn malformed_distribution_points_refuse_where_lists_are_asked() {
    let root = Authority::new("root");
    for value in [vec![0x30, 5], vec![0x30, 2, 0x05, 0x00], points(&[vec![0xa0, 0]]), vec![4, 0]] {
        let peer = Kind::Domain.leaf(&root).with_extension(&[2, 5, 29, 31], value.clone()).issue();
        assert_eq!(
            verdict(Kind::Domain, [&root], &[root.list().sign()], &peer),
            "malformed-certificate",
            "{value:?}"
        );
    }
    // Where no lists are given, nobody asks.
    let peer = Kind::Domain.leaf(&root).with_extension(&[2, 5, 29, 31], points(&[vec![0xa0, 0]])).issue();
    assert_eq!(code(&domain(&root).build().unwrap(), &peer, a_day()), IN);
}

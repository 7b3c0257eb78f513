//! A list is chosen by the key that signed it, which must be allowed to.

use super::*;

#[test]
fn the_list_of_the_key_that_signed_counts_and_not_the_newest_of_the_name() {
    for kind in KINDS {
        for identified in [true, false] {
            let (old, new) = (Authority::new("root"), Authority::new("root"));
            let draft = |authority, number| {
                let list = Authority::list(authority).number(number);
                if identified { list } else { list.without_key_identifier() }
            };
            let roots = [&old, &new];
            for authority in roots {
                let peer = kind.leaf(authority).serial(&[55]).issue();
                let (of_old, of_new) = (draft(&old, 1).sign(), draft(&new, 2).sign());
                assert_eq!(verdict(kind, roots, &[of_old, of_new], &peer), IN, "{kind:?} {identified}");
            }
            // Serial number 55 of the one is not that of the other.
            let lists = [draft(&old, 1).revoking_serial(&[55]).sign(), draft(&new, 2).sign()];
            let peer = |authority| kind.leaf(authority).serial(&[55]).issue();
            assert_eq!(verdict(kind, roots, &lists, &peer(&old)), "revoked");
            assert_eq!(verdict(kind, roots, &lists, &peer(&new)), IN);
        }
    }
}

#[test]
fn an_intermediate_with_a_new_key_and_the_old_name_has_lists_of_its_own() {
    for kind in KINDS {
        for identified in [true, false] {
            let root = Authority::new("root");
            let (old, new) = (root.intermediate("issuer"), root.intermediate("issuer"));
            let draft = |authority| {
                let list = Authority::list(authority);
                if identified { list } else { list.without_key_identifier() }
            };
            let lists = [
                root.list().sign(),
                draft(&old).number(1).revoking_serial(&[55]).sign(),
                draft(&new).number(2).sign(),
            ];
            let peer = |authority| kind.leaf(authority).serial(&[55]).issue();
            assert_eq!(verdict(kind, [&root], &lists, &peer(&old)), "revoked");
            assert_eq!(verdict(kind, [&root], &lists, &peer(&new)), IN);
        }
    }
}

#[test]
fn a_list_whose_issuer_is_written_in_another_string_type_is_the_issuers() {
    let root = Authority::new("root");
    let peer = Kind::Domain.leaf(&root).issue();
    // CN=Root as PrintableString, and in another case.
    let name = |name: &[u8; 4]| {
        let mut out = vec![0x30, 15, 0x31, 13, 0x30, 11, 6, 3, 0x55, 4, 3, 0x13, 4];
        out.extend_from_slice(name);
        out
    };
    let list = root.list().issuer_name(name(b"ROOT")).revoking(&peer.certificate()).sign();
    assert_eq!(verdict(Kind::Domain, [&root], &[list], &peer), "revoked");
    let other = root.list().issuer_name(name(b"toor")).revoking(&peer.certificate()).sign();
    assert_eq!(verdict(Kind::Domain, [&root], &[other], &peer), "revocation-unknown");
}

#[test]
fn a_list_by_a_root_that_may_not_sign_lists_is_not_believed() {
    for kind in KINDS {
        let root = Authority::draft("root").may_not_sign_lists().root();
        let peer = kind.leaf(&root).issue();
        for list in [root.list().sign(), root.list().revoking(&peer.certificate()).sign()] {
            let given = || kind.given([&root], [list.clone()]);
            assert_eq!(code(&given().build().unwrap(), &peer, a_day()), "revocation-list-invalid");
            // What was to be asked is not let pass as unknown.
            let lax = given().allow_unknown_revocation_status().build().unwrap();
            assert_eq!(code(&lax, &peer, a_day()), "revocation-list-invalid");
        }
        let root = Authority::new("root");
        let peer = kind.leaf(&root).issue();
        assert_eq!(verdict(kind, [&root], &[root.list().sign()], &peer), IN);
    }
}

#[test]
fn a_list_by_an_intermediate_that_may_not_sign_lists_is_not_believed() {
    for kind in KINDS {
        let root = Authority::new("root");
        let middle = Authority::draft("middle").may_not_sign_lists().below(&root);
        let peer = kind.leaf(&middle).issue();
        let lists = [root.list().sign(), middle.list().sign()];
        assert_eq!(verdict(kind, [&root], &lists, &peer), "revocation-list-invalid");
        let error = identity(&kind.given([&root], lists).build().unwrap(), &peer, a_day()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("revocation list 1 (issuer `CN=middle`, number 0x01)"), "{text}");
        assert!(text.contains("cRLSign"), "{text}");
    }
}

#[test]
fn a_root_of_which_one_certificate_may_sign_lists_may() {
    let root = Authority::new("root");
    let renewed = Authority::draft("x").like(&root).may_not_sign_lists().root();
    let peer = Kind::Domain.leaf(&root).issue();
    for roots in [[&root, &renewed], [&renewed, &root]] {
        assert_eq!(verdict(Kind::Domain, roots, &[root.list().sign()], &peer), IN);
    }
}

#[test]
fn a_list_with_a_bad_signature_is_named_and_opens_nothing() {
    for kind in KINDS {
        let root = Authority::new("root");
        let peer = kind.leaf(&root).issue();
        let damaged = root.list().number(9).with_bad_signature().sign();
        let given = |lists: &[CertificateRevocationListDer<'static>]| kind.given([&root], lists.to_vec());
        let alone = std::slice::from_ref(&damaged);
        let error = identity(&given(alone).build().unwrap(), &peer, a_day()).unwrap_err();
        assert_eq!(error.code(), "revocation-list-invalid");
        let text = error.to_string();
        assert!(text.contains("revocation list 0 (issuer `CN=root`, number 0x09)"), "{text}");
        assert!(text.contains("signature"), "{text}");
        assert!(text.contains("the leaf (serial number 0x"), "{text}");
        let lax = given(alone).allow_unknown_revocation_status().build().unwrap();
        assert_eq!(code(&lax, &peer, a_day()), "revocation-list-invalid");
        // It says that it is of this key, so that an older list does not do in its place.
        let both = [damaged, root.list().number(8).sign()];
        assert_eq!(verdict(kind, [&root], &both, &peer), "revocation-list-invalid");
        // One that does not say so may be of another authority of that name.
        let other = Authority::new("root").list().sign();
        assert_eq!(verdict(kind, [&root], &[other, root.list().sign()], &peer), IN);
    }
}

#[test]
fn another_authority_of_the_name_makes_a_status_neither_known_nor_bad() {
    for kind in KINDS {
        let root = Authority::new("root");
        let namesake = Authority::new("root");
        let peer = kind.leaf(&root).issue();
        let other = namesake.list().revoking(&peer.certificate()).sign();
        let given = || kind.given([&root], [other.clone()]);
        assert_eq!(code(&given().build().unwrap(), &peer, a_day()), "revocation-list-invalid");
        let lax = given().allow_unknown_revocation_status().build().unwrap();
        assert_eq!(code(&lax, &peer, a_day()), IN);
    }
}

#[test]
fn an_intermediate_that_is_revoked_on_one_path_leaves_the_other() {
    for kind in KINDS {
        let (one, two) = (Authority::new("one"), Authority::new("two"));
        let middle = Authority::draft("middle").serial(&[7]).below(&one);
        let crossed = Authority::draft("middle").like(&middle).serial(&[8]).below(&two);
        let peer = kind.leaf(&middle).issue();
        let above = [middle.certificate(), crossed.certificate()];
        for above in orders(&above) {
            let peer = peer.clone().with_above(above);
            let lists = |of_one: u8, of_two: u8| {
                [
                    one.list().revoking_serial(&[of_one]).sign(),
                    two.list().revoking_serial(&[of_two]).sign(),
                    middle.list().sign(),
                ]
            };
            let ask = |lists: &[_]| verdict(kind, [&one, &two], lists, &peer);
            assert_eq!(ask(&lists(7, 7)), IN);
            assert_eq!(ask(&lists(8, 8)), IN);
            assert_eq!(ask(&lists(7, 8)), "revoked");
            assert_eq!(ask(&lists(9, 9)), IN);
        }
    }
}

#[test]
fn a_revoked_leaf_is_not_made_good_by_another_path() {
    for kind in KINDS {
        let (one, two) = (Authority::new("one"), Authority::new("two"));
        let middle = one.intermediate("middle");
        // The same name and key, and it may not sign lists there.
        let crossed = Authority::draft("middle").like(&middle).may_not_sign_lists().below(&two);
        let peer = kind.leaf(&middle).issue();
        let revoking = middle.list().revoking(&peer.certificate()).sign();
        for above in orders(&[middle.certificate(), crossed.certificate()]) {
            let peer = peer.clone().with_above(above);
            let given = |list: &CertificateRevocationListDer<'static>| {
                kind.given([&one, &two], [list.clone()]).allow_unknown_revocation_status().build().unwrap()
            };
            assert_eq!(code(&given(&revoking), &peer, a_day()), "revoked");
            assert_eq!(code(&given(&middle.list().sign()), &peer, a_day()), IN);
        }
        // Nor by leaving the first path out.
        let peer = peer.with_above([crossed.certificate()]);
        let lax = kind.given([&one, &two], [revoking]).allow_unknown_revocation_status().build().unwrap();
        assert_eq!(code(&lax, &peer, a_day()), "revocation-list-invalid");
    }
}

#[test]
fn each_certificate_of_a_long_chain_is_asked_about() {
    let root = Authority::new("root");
    let one = root.intermediate("one");
    let two = one.intermediate("two");
    let three = two.intermediate("three");
    let peer = Kind::Domain.leaf(&three).issue();
    let authorities = [&root, &one, &two, &three];
    let below = [one.certificate(), two.certificate(), three.certificate(), peer.certificate()];
    let lists = |revoked: Option<usize>, without: Option<usize>| -> Vec<_> {
        let all = authorities.iter().zip(&below).enumerate();
        all.filter(|(at, _)| Some(*at) != without)
            .map(|(at, (authority, below))| match revoked {
                Some(revoked) if revoked == at => authority.list().revoking(below).sign(),
                _ => authority.list().sign(),
            })
            .collect()
    };
    let trust = |lists| Kind::Domain.given([&root], lists).build().unwrap();
    assert_eq!(code(&trust(lists(None, None)), &peer, a_day()), IN);
    for (at, name) in ["`CN=one`", "`CN=two`", "`CN=three`", "the leaf"].iter().enumerate() {
        for (lists, expected) in
            [(lists(Some(at), None), "revoked"), (lists(None, Some(at)), "revocation-unknown")]
        {
            let error = identity(&trust(lists), &peer, a_day()).unwrap_err();
            assert_eq!(error.code(), expected);
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "it measures how long something takes")]
fn many_lists_of_many_keys_of_one_name_end_quickly() {
    let root = Authority::new("root");
    let peer = Kind::Domain.leaf(&root).issue();
    let others: Vec<_> = (0..200).map(|_| Authority::new("root").list().sign()).collect();
    let with_own = others.iter().cloned().chain([root.list().sign()]);
    let trust = Kind::Domain.given([&root], with_own).build().unwrap();
    let start = std::time::Instant::now();
    assert_eq!(code(&trust, &peer, a_day()), IN);
    // No signature is verified again: it was done when the roots were read.
    let took = start.elapsed();
    assert!(took < Duration::from_millis(200), "{took:?}");
    let middle = root.intermediate("middle");
    let peer = Kind::Domain.leaf(&middle).issue();
    let others = (0..150).map(|_| Authority::new("middle").list().sign());
    let lists = others.chain([root.list().sign(), middle.list().sign()]);
    let trust = Kind::Domain.given([&root], lists).build().unwrap();
    assert_eq!(code(&trust, &peer, a_day()), "chain-too-complex");
    // What was found out is remembered.
    assert_eq!(code(&trust, &peer, a_day()), IN);
}

#[test]
fn a_list_is_the_issuers_by_the_same_names_by_which_a_path_is_found() {
    for kind in KINDS {
        let root = Authority::new("\u{c4} root");
        let peer = kind.leaf(&root).issue();
        // In another case, and as a BMPString.
        let bmp: Vec<u8> = "\u{e4} Root".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (tag, text) in [(0x0c, "\u{e4} Root".as_bytes()), (0x1e, bmp.as_slice())] {
            let value = der(0x30, &[&[6, 3, 0x55, 4, 3][..], &der(tag, text)].concat());
            let name = der(0x30, &der(0x31, &value));
            let list = root.list().issuer_name(name).revoking(&peer.certificate()).sign();
            // Where an unknown status is allowed, a list that is not found would let the peer pass.
            let trust = kind.given([&root], [list]).allow_unknown_revocation_status().build().unwrap();
            assert_eq!(code(&trust, &peer, a_day()), "revoked", "{kind:?} {tag}");
        }
    }
}

#[test]
fn a_revoked_leaf_is_refused_for_it_whatever_is_revoked_above() {
    let root = Authority::new("root");
    let middle = root.intermediate("middle");
    let peer = Kind::Domain.leaf(&middle).issue();
    let of_root = root.list().revoking(&middle.certificate()).sign();
    let of_middle = middle.list().revoking(&peer.certificate()).sign();
    for lists in orders(&[of_root, of_middle]) {
        let trust = Kind::Domain.given([&root], lists).build().unwrap();
        let told = identity(&trust, &peer, a_day()).unwrap_err().to_string();
        assert!(told.starts_with("the leaf (serial number"), "{told}");
    }
}

//! Lists that are past their next update, and lists from the future.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_stale_list_of_an_authority_in_nobodys_chain_refuses_nobody() {
    for kind in KINDS {
        let root = Authority::new("root");
        let (used, unused) = (root.intermediate("used"), root.intermediate("unused"));
        // The same name as the one that is used, and another key.
        let namesake = root.intermediate("used");
        let peer = kind.leaf(&used).issue();
        for idle in [&unused, &namesake, &Authority::new("stranger")] {
            let stale = idle.list().between(days(-3), days(-1)).sign();
            let lists = [root.list().sign(), used.list().sign(), stale];
            assert_eq!(verdict(kind, [&root], &lists, &peer), IN);
            let trust = kind.given([&root], lists).build().unwrap();
            let other = kind.leaf(idle).issue();
            assert_ne!(code(&trust, &other, a_day()), IN);
        }
        let stale = unused.list().between(days(-3), days(-1)).sign();
        let trust = kind.given([&root], [root.list().sign(), stale]).build().unwrap();
        let theirs = kind.leaf(&unused).issue();
        let error = identity(&trust, &theirs, a_day()).unwrap_err();
        assert_eq!(error.code(), "revocation-list-stale");
        assert!(error.to_string().contains("revocation list 1 (issuer `CN=unused`"), "{error}");
    }
}

#[test]
fn a_stale_list_refuses_those_in_its_scope_alone() {
    const ONE: &str = "http://crl.example/1.crl";
    const TWO: &str = "http://crl.example/2.crl";
    let root = Authority::new("root");
    let peer = |uri| Kind::Domain.leaf(&root).distribution_point(uri).issue();
    let stale = root.list().point(&[ONE]).between(days(-3), days(-1)).sign();
    let lists = [stale, root.list().point(&[TWO]).sign()];
    assert_eq!(verdict(Kind::Domain, [&root], &lists, &peer(ONE)), "revocation-list-stale");
    assert_eq!(verdict(Kind::Domain, [&root], &lists, &peer(TWO)), IN);
    // A full list does not stand for the shard, which may have named it since.
    let lists = [lists[0].clone(), root.list().sign()];
    assert_eq!(verdict(Kind::Domain, [&root], &lists, &peer(ONE)), "revocation-list-stale");
    assert_eq!(verdict(Kind::Domain, [&root], &lists, &peer(TWO)), IN);
}

#[test]
fn a_stale_list_still_revokes_what_it_names() {
    for kind in KINDS {
        let root = Authority::new("root");
        let peer = kind.leaf(&root).issue();
        let stale = || root.list().between(days(-3), days(-1));
        let naming = stale().revoking(&peer.certificate()).sign();
        assert_eq!(verdict(kind, [&root], std::slice::from_ref(&naming), &peer), "revoked");
        let given = || kind.given([&root], [naming.clone()]);
        let lax = given().allow_stale_revocation_lists().build().unwrap();
        assert_eq!(code(&lax, &peer, a_day()), "revoked");
        let lax = given().allow_unknown_revocation_status().build().unwrap();
        assert_eq!(code(&lax, &peer, a_day()), "revoked");
        // Stale is not unknown.
        let lax = kind.given([&root], [stale().sign()]).allow_unknown_revocation_status().build().unwrap();
        assert_eq!(code(&lax, &peer, a_day()), "revocation-list-stale");
        let lax = kind.given([&root], [stale().sign()]).allow_stale_revocation_lists().build().unwrap();
        assert_eq!(code(&lax, &peer, a_day()), IN);
    }
}

#[test]
fn a_later_list_makes_good_for_an_older_one_that_is_stale_and_not_the_other_way_round() {
    let root = Authority::new("root");
    let peer = Kind::Domain.leaf(&root).issue();
    let old = |until| root.list().number(1).between(days(-9), days(until)).sign();
    let new = |until| root.list().number(2).between(days(-5), days(until)).sign();
    let ask = |lists: &[_]| verdict(Kind::Domain, [&root], lists, &peer);
    assert_eq!(ask(&[old(-1), new(1)]), IN);
    assert_eq!(ask(&[old(1), new(-1)]), "revocation-list-stale");
}

#[test]
fn the_end_of_an_identity_is_that_of_the_lists_about_its_own_chain() {
    for kind in KINDS {
        let root = Authority::new("root");
        let (middle, other) = (root.intermediate("middle"), root.intermediate("other"));
        let lists = [
            root.list().between(days(-1), days(5)).sign(),
            middle.list().between(days(-1), days(3)).sign(),
            other.list().between(days(-1), days(1)).sign(),
            middle.list().only_authorities().between(days(-1), days(2)).sign(),
        ];
        let trust = kind.given([&root], lists).build().unwrap();
        let peer = kind.leaf(&middle).issue();
        assert_eq!(identity(&trust, &peer, a_day()).unwrap().valid_until(), days(3));
        assert_eq!(code(&trust, &peer, days(3)), IN);
        let connection = carrying(&peer);
        let error = PeerAuthenticator::new(trust.clone()).authenticate(&connection, days(3) + SECOND);
        let text = error.unwrap_err().to_string();
        assert!(
            text.starts_with(
                "revocation list 1 (issuer `CN=middle`, number 0x01), which speaks about the leaf"
            ),
            "{text}"
        );
        assert_eq!(code(&trust, &peer, days(3) + SECOND), "revocation-list-stale");
        let directly = kind.leaf(&root).issue();
        assert_eq!(identity(&trust, &directly, a_day()).unwrap().valid_until(), days(5));
        assert_eq!(code(&trust, &kind.leaf(&other).issue(), days(1) + SECOND), "revocation-list-stale");
    }
}

#[test]
fn a_list_from_the_future_does_not_speak_yet_and_opens_nothing() {
    for kind in KINDS {
        let root = Authority::new("root");
        let peer = kind.leaf(&root).issue();
        let future = || root.list().number(2).between(days(1), days(3));
        let now = || root.list().number(1).between(days(-1), days(2));
        let given = |lists: &[CertificateRevocationListDer<'static>]| kind.given([&root], lists.to_vec());
        let error = identity(&given(&[future().sign()]).build().unwrap(), &peer, a_day()).unwrap_err();
        assert_eq!(error.code(), "revocation-list-not-yet-valid");
        assert!(error.to_string().contains("revocation list 0 (issuer `CN=root`, number 0x02)"), "{error}");
        let trust = given(&[future().sign()]).build().unwrap();
        assert_eq!(code(&trust, &peer, days(1)), IN);
        // It does not take the place of what is in force.
        let revoked = peer.certificate();
        assert_eq!(verdict(kind, [&root], &[now().sign(), future().sign()], &peer), IN);
        let lists = [now().revoking(&revoked).sign(), future().sign()];
        assert_eq!(verdict(kind, [&root], &lists, &peer), "revoked");
        // When it has begun, it does.
        let trust = given(&lists).build().unwrap();
        assert_eq!(code(&trust, &peer, days(1) - SECOND), "revoked");
        assert_eq!(code(&trust, &peer, days(1)), IN);
        // What it names is revoked at once: it is this clock that may be behind.
        let lists = [now().sign(), future().revoking(&revoked).sign()];
        assert_eq!(verdict(kind, [&root], &lists, &peer), "revoked");
        let lists = [future().revoking(&revoked).sign()];
        assert_eq!(verdict(kind, [&root], &lists, &peer), "revoked");
    }
}

#[test]
fn an_open_connection_goes_over_to_the_list_that_was_dated_ahead() {
    let root = Authority::new("root");
    let peer = Kind::Domain.leaf(&root).issue();
    let lists = [
        root.list().number(1).between(days(-1), days(1)).sign(),
        root.list().number(2).between(days(1), days(3)).sign(),
    ];
    let trust = Kind::Domain.given([&root], lists).build().unwrap();
    let connection = carrying(&peer);
    for (now, expected) in [
        (a_day(), "spiffe://td/a"),
        (days(1), "spiffe://td/a"),
        (days(1) + SECOND, "spiffe://td/a"),
        (days(3), "spiffe://td/a"),
        (days(3) + SECOND, "revocation-list-stale"),
        (days(3), "spiffe://td/a"),
    ] {
        assert_eq!(judge(&trust, &connection, now), expected);
    }
    // A connection that came too early for the only list.
    let ahead = root.list().between(days(1), days(3)).sign();
    let trust = Kind::Domain.given([&root], [ahead]).build().unwrap();
    let connection = carrying(&peer);
    assert_eq!(judge(&trust, &connection, a_day()), "revocation-list-not-yet-valid");
    assert_eq!(judge(&trust, &connection, days(1)), "spiffe://td/a");
}

#[test]
fn the_gravest_of_several_faults_is_told() {
    let root = Authority::new("root");
    let middle = root.intermediate("middle");
    let peer = Kind::Domain.leaf(&middle).issue();
    let stale = middle.list().between(days(-3), days(-1)).sign();
    let revoking = root.list().revoking(&middle.certificate()).sign();
    let ask = |lists: &[_]| verdict(Kind::Domain, [&root], lists, &peer);
    assert_eq!(ask(&[stale.clone(), revoking]), "revoked");
    assert_eq!(ask(&[stale]), "revocation-list-stale");
}

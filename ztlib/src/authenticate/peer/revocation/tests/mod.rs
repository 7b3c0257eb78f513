//! What every list does, and what the tests of the parts stand on.

use std::time::{Duration, SystemTime};

use http::Extensions;
use proptest::prelude::*;
use ztlib_testing::{Authority, Issued, LeafDraft, a_day};

use rustls_pki_types::CertificateRevocationListDer;

use crate::authenticate::peer::{
    PeerAuthenticator, PeerCertificates, PeerError, PeerIdentity, Trust, TrustBuilder,
};

mod faults;
mod scope;
mod series;
mod signers;
mod time;

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    let mut out = vec![tag];
    match length {
        [0, 0, 0, short @ ..0x80] => out.push(short),
        long => {
            let digits = &long[long.iter().take_while(|digit| **digit == 0).count()..];
            out.push(0x80 + u8::try_from(digits.len()).unwrap());
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(content);
    out
}

fn days(days: i64) -> SystemTime {
    let by = Duration::from_secs(days.unsigned_abs() * 86_400);
    if days < 0 { a_day() - by } else { a_day() + by }
}

fn domain(root: &Authority) -> TrustBuilder {
    Trust::builder().trust("td".parse().unwrap(), [root.certificate()]).unwrap()
}

fn listing(
    builder: TrustBuilder,
    lists: impl IntoIterator<Item = CertificateRevocationListDer<'static>>,
) -> TrustBuilder {
    builder.trust_revocations(&"td".parse().unwrap(), lists).unwrap()
}

fn carrying(peer: &Issued) -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(PeerCertificates::presented(peer.chain()));
    extensions
}

fn judge(trust: &Trust, extensions: &Extensions, now: SystemTime) -> String {
    match PeerAuthenticator::new(trust.clone()).authenticate(extensions, now) {
        Ok(identity) => identity.unwrap().to_string(),
        Err(error) => error.code().to_owned(),
    }
}

/// The two kinds of containers that lists are given to. What holds for one holds for the other.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Domain,
    Authority,
}

const KINDS: [Kind; 2] = [Kind::Domain, Kind::Authority];

/// What a peer that is let in is called, in either kind.
const IN: &str = "in";

impl Kind {
    /// A leaf with an identity of the kind.
    fn leaf(self, authority: &Authority) -> LeafDraft<'_> {
        match self {
            Self::Domain => authority.leaf().spiffe("spiffe://td/a"),
            Self::Authority => authority.leaf().dns("a.example"),
        }
    }

    fn given<'a>(
        self,
        roots: impl IntoIterator<Item = &'a Authority>,
        lists: impl IntoIterator<Item = CertificateRevocationListDer<'static>>,
    ) -> TrustBuilder {
        let roots: Vec<_> = roots.into_iter().map(Authority::certificate).collect();
        let domain = || "td".parse().unwrap();
        match self {
            Self::Domain => {
                Trust::builder().trust(domain(), roots).unwrap().trust_revocations(&domain(), lists).unwrap()
            }
            Self::Authority => Trust::builder()
                .authority("corp", roots)
                .unwrap()
                .authority_revocations("corp", lists)
                .unwrap(),
        }
    }
}

fn identity(trust: &Trust, peer: &Issued, now: SystemTime) -> Result<PeerIdentity, PeerError> {
    PeerAuthenticator::new(trust.clone()).authenticate(&carrying(peer), now).map(Option::unwrap)
}

/// [`IN`], or the code of the refusal.
fn code(trust: &Trust, peer: &Issued, now: SystemTime) -> &'static str {
    identity(trust, peer, now).map_or_else(|error| error.code(), |_| IN)
}

/// The verdict on the peer, which is the same in whatever order the lists are given.
fn verdict<'a>(
    kind: Kind,
    roots: impl IntoIterator<Item = &'a Authority> + Clone,
    lists: &[CertificateRevocationListDer<'static>],
    peer: &Issued,
) -> &'static str {
    let verdicts: Vec<_> = orders(lists)
        .into_iter()
        .map(|lists| code(&kind.given(roots.clone(), lists).build().unwrap(), peer, a_day()))
        .collect();
    assert!(verdicts.iter().all(|one| *one == verdicts[0]), "the order decides: {verdicts:?}");
    verdicts[0]
}

/// Every order of a few lists.
fn orders<T: Clone>(of: &[T]) -> Vec<Vec<T>> {
    let Some((last, rest)) = of.split_last() else { return vec![Vec::new()] };
    let mut found = Vec::new();
    for order in orders(rest) {
        for at in 0..=order.len() {
            let mut order = order.clone();
            order.insert(at, last.clone());
            found.push(order);
        }
    }
    found
}

#[test]
fn a_revoked_leaf_is_refused() {
    let root = Authority::new("root");
    let (good, bad) = (root.issue_spiffe("spiffe://td/good"), root.issue_spiffe("spiffe://td/bad"));
    let list = root.revocation_list(&[bad.certificate()], days(-1), days(1));
    let trust = listing(domain(&root), [list]).build().unwrap();
    assert_eq!(judge(&trust, &carrying(&good), a_day()), "spiffe://td/good");
    assert_eq!(judge(&trust, &carrying(&bad), a_day()), "revoked");
}

#[test]
fn a_revoked_intermediate_is_refused() {
    let root = Authority::new("root");
    let middle = root.intermediate("middle");
    let peer = middle.issue_spiffe("spiffe://td/a");
    let of_middle = middle.revocation_list(&[], days(-1), days(1));
    let build = |of_root| listing(domain(&root), [of_root, of_middle.clone()]).build().unwrap();
    let trust = build(root.revocation_list(&[], days(-1), days(1)));
    assert_eq!(judge(&trust, &carrying(&peer), a_day()), "spiffe://td/a");
    let trust = build(root.revocation_list(&[middle.certificate()], days(-1), days(1)));
    assert_eq!(judge(&trust, &carrying(&peer), a_day()), "revoked");
}

#[test]
fn a_revocation_reaches_open_connections() {
    let root = Authority::new("root");
    let peer = root.issue_spiffe("spiffe://td/a");
    let extensions = carrying(&peer);
    let build = |revoked: &[_]| {
        listing(domain(&root), [root.revocation_list(revoked, days(-1), days(1))]).build().unwrap()
    };
    let trust = build(&[]);
    assert_eq!(judge(&trust, &extensions, a_day()), "spiffe://td/a");
    trust.replace(build(&[peer.certificate()]));
    assert_eq!(judge(&trust, &extensions, a_day()), "revoked");
}

#[test]
fn where_no_list_speaks_about_a_certificate_it_is_refused_without_a_verb() {
    let root = Authority::new("root");
    let middle = root.intermediate("middle");
    let peer = carrying(&middle.issue_spiffe("spiffe://td/a"));
    let only_of_root = || listing(domain(&root), [root.revocation_list(&[], days(-1), days(1))]);
    assert_eq!(judge(&only_of_root().build().unwrap(), &peer, a_day()), "revocation-unknown");
    let lax = only_of_root().allow_unknown_revocation_status().build().unwrap();
    assert_eq!(judge(&lax, &peer, a_day()), "spiffe://td/a");
    // Without any lists nothing is asked.
    assert_eq!(judge(&domain(&root).build().unwrap(), &peer, a_day()), "spiffe://td/a");
}

#[test]
fn a_stale_list_refuses_without_a_verb_also_on_open_connections() {
    let root = Authority::new("root");
    let peer = carrying(&root.issue_spiffe("spiffe://td/a"));
    let given = || listing(domain(&root), [root.revocation_list(&[], days(-1), days(1))]);
    let trust = given().build().unwrap();
    let second = Duration::from_secs(1);
    assert_eq!(judge(&trust, &peer, days(1) - second), "spiffe://td/a");
    assert_eq!(judge(&trust, &peer, days(1) + second), "revocation-list-stale");
    let fresh = carrying(&root.issue_spiffe("spiffe://td/b"));
    assert_eq!(judge(&trust, &fresh, days(1) + second), "revocation-list-stale");
    let lax = given().allow_stale_revocation_lists().build().unwrap();
    assert_eq!(judge(&lax, &peer, days(1) + second), "spiffe://td/a");
}

#[test]
fn the_newest_list_of_an_issuer_counts_in_any_order() {
    let root = Authority::new("root");
    let peer = root.issue_spiffe("spiffe://td/a");
    let old = root.revocation_list(&[], days(-3), days(-1));
    let new = root.revocation_list(&[peer.certificate()], days(-1), days(1));
    for lists in [[old.clone(), new.clone()], [new, old]] {
        let trust = listing(domain(&root), lists).build().unwrap();
        assert_eq!(judge(&trust, &carrying(&peer), a_day()), "revoked");
    }
}

#[test]
fn a_list_that_another_key_signed_is_of_no_use() {
    let root = Authority::new("root");
    let forger = Authority::new("root");
    let peer = carrying(&root.issue_spiffe("spiffe://td/a"));
    let trust = listing(domain(&root), [forger.revocation_list(&[], days(-1), days(1))]).build().unwrap();
    assert_eq!(judge(&trust, &peer, a_day()), "revocation-list-invalid");
}

#[test]
fn lists_of_one_domain_say_nothing_about_another() {
    let (a, b) = (Authority::new("a"), Authority::new("b"));
    let builder = || {
        Trust::builder()
            .trust("a".parse().unwrap(), [a.certificate()])
            .unwrap()
            .authority("b", [b.certificate()])
            .unwrap()
    };
    let peer = b.leaf().dns("x.example").issue();
    let list = b.revocation_list(&[peer.certificate()], days(-1), days(1));
    let trust = builder().authority_revocations("b", [list]).unwrap().build().unwrap();
    assert_eq!(judge(&trust, &carrying(&peer), a_day()), "revoked");
    assert_eq!(judge(&trust, &carrying(&a.issue_spiffe("spiffe://a/x")), a_day()), "spiffe://a/x");
}

#[test]
fn lists_that_cannot_be_used_are_refused_at_build_time() {
    let root = Authority::new("root");
    let garbage = || CertificateRevocationListDer::from(vec![0x30, 3, 1, 2, 3]);
    let domain_name = "td".parse().unwrap();
    assert_eq!(listing(domain(&root), [garbage()]).build().unwrap_err().code(), "malformed-revocation-list");
    let empty = domain(&root).trust_revocations(&domain_name, []).unwrap_err();
    assert_eq!(empty.code(), "no-revocation-lists");
    let list = root.revocation_list(&[], days(-1), days(1));
    let nobodys = domain(&root).trust_revocations(&"other".parse().unwrap(), [list]).unwrap();
    assert_eq!(nobodys.build().unwrap_err().code(), "no-roots");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_damaged_list_panics(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        thread_local! {
            static GOOD: (Authority, Issued, Vec<u8>) = {
                let root = Authority::new("root");
                let peer = root.issue_spiffe("spiffe://td/a");
                let list = root.revocation_list(&[peer.certificate()], days(-1), days(1)).to_vec();
                (root, peer, list)
            };
        }
        GOOD.with(|(root, peer, good)| {
            let mut der = good.clone();
            let at = at.index(der.len());
            let changed = der[at] != byte;
            der[at] = byte;
            let list = CertificateRevocationListDer::from(der.clone());
            if let Ok(trust) = listing(domain(root), [list]).build() {
                let answer = judge(&trust, &carrying(peer), a_day());
                assert!(answer != "spiffe://td/a", "a damaged list lets the revoked peer in");
                assert!(changed || answer == "revoked");
            }
            der.truncate(cut.index(der.len()));
            let _ = listing(domain(root), [CertificateRevocationListDer::from(der)]).build();
        });
    }
}

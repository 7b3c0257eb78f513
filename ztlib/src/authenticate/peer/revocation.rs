//! Which certificates were taken back: the revocation lists of one trust domain or authority (RFC 5280 section 5).

use std::time::Duration;

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, OwnedCertRevocationList, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use super::PeerError;
use super::path::Path;

/// What is said where no list speaks, or where it speaks no more. Both refuse unless a verb was called.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RevocationPolicy {
    pub(super) allow_unknown: bool,
    pub(super) allow_stale: bool,
}

/// The newest list of each issuer and scope.
#[derive(Default)]
pub(super) struct Revocation {
    lists: Vec<Dated>,
    policy: RevocationPolicy,
}

struct Dated {
    list: CertRevocationList<'static>,
    this_update: i64,
    next_update: i64,
}

impl Revocation {
    /// `Err` is the index of the list that cannot be read.
    pub(super) fn read(
        given: &[CertificateRevocationListDer<'static>],
        policy: RevocationPolicy,
    ) -> Result<Self, usize> {
        let mut lists: Vec<Dated> = Vec::new();
        for (index, der) in given.iter().enumerate() {
            let new = Dated::read(der).ok_or(index)?;
            match lists.iter_mut().find(|known| known.same_scope(&new)) {
                Some(known) if known.this_update < new.this_update => *known = new,
                Some(_) => {}
                None => lists.push(new),
            }
        }
        Ok(Self { lists, policy })
    }

    /// Until when the lists speak, in seconds since 1970, where that bounds anything.
    fn until(&self) -> Option<u64> {
        if self.policy.allow_stale {
            return None;
        }
        self.lists.iter().map(|list| u64::try_from(list.next_update).unwrap_or(0)).min()
    }

    /// Asks about each certificate of a path that holds otherwise. `Ok` is until when the lists speak.
    pub(super) fn check(&self, path: &Path<'_, '_>, now: u64) -> Result<Option<u64>, PeerError> {
        let lists: Vec<_> = self.lists.iter().map(|dated| &dated.list).collect();
        let (Ok(builder), Some((leaf, above))) =
            (RevocationOptionsBuilder::new(&lists), path.certificates.split_first())
        else {
            return Ok(None);
        };
        let unknown =
            if self.policy.allow_unknown { UnknownStatusPolicy::Allow } else { UnknownStatusPolicy::Deny };
        let stale =
            if self.policy.allow_stale { ExpirationPolicy::Ignore } else { ExpirationPolicy::Enforce };
        let options = builder
            .with_depth(RevocationCheckDepth::Chain)
            .with_status_policy(unknown)
            .with_expiration_policy(stale)
            .build();
        let anchor = webpki::anchor_from_trusted_cert(&path.anchor.der).map_err(refusal)?;
        let leaf = CertificateDer::from(leaf.der());
        let above: Vec<_> = above.iter().map(|one| CertificateDer::from(one.der())).collect();
        EndEntityCert::try_from(&leaf)
            .and_then(|leaf| {
                let algorithms =
                    rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
                let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
                // The purpose was looked at before.
                leaf.verify_for_usage(
                    algorithms.all,
                    &[anchor],
                    &above,
                    time,
                    AnyPurpose,
                    Some(options),
                    None,
                )
                .map(|_| ())
            })
            .map_err(refusal)?;
        Ok(self.until())
    }
}

impl Dated {
    fn read(der: &CertificateRevocationListDer<'_>) -> Option<Self> {
        let list = OwnedCertRevocationList::from_der(der).ok()?.into();
        let (rest, dates) = CertificateRevocationList::from_der(der.as_ref()).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let next_update = dates.next_update()?.timestamp();
        Some(Self { list, this_update: dates.last_update().timestamp(), next_update })
    }

    fn same_scope(&self, other: &Self) -> bool {
        self.list.issuer() == other.list.issuer()
            && self.list.issuing_distribution_point() == other.list.issuing_distribution_point()
    }
}

struct AnyPurpose;

impl webpki::ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, _: webpki::KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

fn refusal(error: webpki::Error) -> PeerError {
    use webpki::Error;
    match error {
        Error::CertRevoked => PeerError::Revoked,
        Error::UnknownRevocationStatus => PeerError::RevocationUnknown,
        Error::CrlExpired { .. } => PeerError::RevocationListStale,
        Error::InvalidCrlSignatureForPublicKey
        | Error::IssuerNotCrlSigner
        | Error::UnsupportedCrlSignatureAlgorithmContext(_)
        | Error::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => PeerError::RevocationListInvalid,
        _ => PeerError::InvalidChain,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::Extensions;
    use proptest::prelude::*;
    use ztlib_testing::{Authority, Issued, a_day};

    use super::*;
    use crate::authenticate::peer::{PeerAuthenticator, PeerCertificates, Trust, TrustBuilder};

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
        assert_eq!(
            listing(domain(&root), [garbage()]).build().unwrap_err().code(),
            "malformed-revocation-list"
        );
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
}

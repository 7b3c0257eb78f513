//! From the extensions of a request to exactly one identity, or a named error.

use std::time::SystemTime;

use http::Extensions;

use super::{PeerCertificates, PeerError, PeerIdentity, Trust};
use crate::clock::unix_seconds;

/// Says who the peer of a request is. A pure function of the request's extensions, the roots and
/// the time.
///
/// It requires a certificate that our own acceptor has verified; each loosening is a verb. What it
/// costs a request on a known connection: comparing one generation and two dates.
///
/// ```
/// use ztlib::authenticate::peer::{PeerAuthenticator, PeerCertificates, Trust, TrustDomain};
///
/// # let now = ztlib_testing::a_day();
/// let authority = ztlib_testing::Authority::new("example root");
/// let payments = authority.leaf().spiffe("spiffe://example.org/payments").issue();
///
/// let domain = TrustDomain::parse("example.org")?;
/// let trust = Trust::builder().trust(domain, [authority.certificate()])?.build()?;
///
/// // Certificates from another acceptor are refused, until the author says that it checks what
/// // ztlib's acceptor checks.
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(PeerCertificates::foreign(payments.chain()));
///
/// let strict = PeerAuthenticator::new(trust);
/// assert_eq!(
///     strict.authenticate(request.extensions(), now).unwrap_err().code(),
///     "foreign-acceptor"
/// );
///
/// let peer = strict.trust_foreign_acceptor().authenticate(request.extensions(), now)?;
/// assert_eq!(peer.unwrap().spiffe_id().unwrap().as_str(), "spiffe://example.org/payments");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "it authenticates nobody by itself"]
pub struct PeerAuthenticator {
    trust: Trust,
    allow_unauthenticated: bool,
    trust_foreign_acceptor: bool,
}

impl PeerAuthenticator {
    /// Requires a peer for whom these roots vouch. Share the `Trust` with the acceptor.
    pub fn new(trust: Trust) -> Self {
        Self { trust, allow_unauthenticated: false, trust_foreign_acceptor: false }
    }

    /// Lets requests without a client certificate pass as nobody. A certificate that is there and
    /// is not valid is still refused.
    pub fn allow_unauthenticated(mut self) -> Self {
        self.allow_unauthenticated = true;
        self
    }

    /// Believes [`PeerCertificates::foreign`]: that the acceptor which filled them in has seen the
    /// peer sign with the leaf's key, **also on a resumed session**. The chain is verified here
    /// all the same.
    pub fn trust_foreign_acceptor(mut self) -> Self {
        self.trust_foreign_acceptor = true;
        self
    }

    /// Whether [`allow_unauthenticated`](Self::allow_unauthenticated) was said.
    #[cfg(feature = "server")]
    pub(crate) fn allows_unauthenticated(&self) -> bool {
        self.allow_unauthenticated
    }

    /// The roots that it asks.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The identity of the peer at `now`. `Ok(None)` only after
    /// [`allow_unauthenticated`](Self::allow_unauthenticated), and only where there is no
    /// certificate at all.
    ///
    /// # Errors
    /// Why this peer is not authenticated.
    pub fn authenticate(
        &self,
        extensions: &Extensions,
        now: SystemTime,
    ) -> Result<Option<PeerIdentity>, PeerError> {
        let Some(certificates) = extensions.get::<PeerCertificates>() else {
            return if self.allow_unauthenticated { Ok(None) } else { Err(PeerError::MissingCertificate) };
        };
        if !certificates.is_ours() && !self.trust_foreign_acceptor {
            return Err(PeerError::ForeignAcceptor);
        }
        certificates.identity(&self.trust.view(), unix_seconds(now)).map(Some)
    }

    /// The identity of a peer that was established before and holds now. None where it is for
    /// [`authenticate`](Self::authenticate) to say.
    pub(crate) fn known(
        &self,
        certificates: Option<&PeerCertificates>,
        now: SystemTime,
    ) -> Option<PeerIdentity> {
        let certificates = certificates.filter(|given| given.is_ours() || self.trust_foreign_acceptor)?;
        certificates.known(self.trust.generation(), unix_seconds(now))
    }

    /// Whether a peer that was established before, here or by another authenticator, would be
    /// established here and now: under our roots and revocation lists, and by an acceptor that
    /// we believe.
    pub(crate) fn recheck(&self, peer: &PeerIdentity, now: u64) -> Result<PeerIdentity, PeerError> {
        if !peer.is_ours() && !self.trust_foreign_acceptor {
            return Err(PeerError::ForeignAcceptor);
        }
        peer.recheck(&self.trust.view(), now)
    }
}

/// Every peer presents a certificate that these roots vouch for.
impl From<Trust> for PeerAuthenticator {
    fn from(trust: Trust) -> Self {
        Self::new(trust)
    }
}

/// The same of a handle that stays with its owner: what is replaced there holds here.
impl From<&Trust> for PeerAuthenticator {
    fn from(trust: &Trust) -> Self {
        Self::new(trust.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls_pki_types::CertificateDer;
    use ztlib_testing::{Authority, Issued, a_day};

    use super::*;

    fn trusting(domain: &str, authority: &Authority) -> Trust {
        Trust::builder().trust(domain.parse().unwrap(), [authority.certificate()]).unwrap().build().unwrap()
    }

    fn carrying(chain: impl IntoIterator<Item = CertificateDer<'static>>) -> Extensions {
        let mut extensions = Extensions::new();
        extensions.insert(PeerCertificates::presented(chain));
        extensions
    }

    fn judge(trust: &Trust, chain: impl IntoIterator<Item = CertificateDer<'static>>) -> String {
        answer(&PeerAuthenticator::new(trust.clone()), &carrying(chain), a_day())
    }

    fn answer(peers: &PeerAuthenticator, extensions: &Extensions, now: SystemTime) -> String {
        match peers.authenticate(extensions, now) {
            Ok(Some(identity)) => identity.to_string(),
            Ok(None) => "nobody".to_owned(),
            Err(error) => error.code().to_owned(),
        }
    }

    #[test]
    fn a_spiffe_peer_is_known_by_its_id() {
        let root = Authority::new("root");
        let issued = root.leaf().spiffe("spiffe://td/a").dns("a.example").serial(&[0x0b, 0xad]).issue();
        let extensions = carrying(issued.chain());
        let peers = PeerAuthenticator::new(trusting("td", &root));
        let identity = peers.authenticate(&extensions, a_day()).unwrap().unwrap();
        assert_eq!(identity.spiffe_id().unwrap().as_str(), "spiffe://td/a");
        assert_eq!(identity.authority(), None);
        assert!(identity.dns_names().is_empty(), "DNS names of a SPIFFE peer are nobody's concern");
        assert_eq!(identity.issuer(), "CN=root");
        assert_eq!(identity.serial(), "0bad");
        assert_eq!(identity.chain(), issued.chain());
        assert_eq!(identity.fingerprint_hex().len(), 64);
        assert!(identity.not_before() < a_day() && a_day() < identity.not_after());
        assert_eq!(
            format!("{identity:?}"),
            format!("PeerIdentity(spiffe://td/a, sha256:{})", identity.fingerprint_hex())
        );
    }

    #[test]
    fn a_peer_without_a_spiffe_id_is_known_by_its_names_and_authority() {
        let partners = Authority::new("partners root");
        let others = Authority::new("others root");
        let trust = Trust::builder()
            .authority("others", [others.certificate()])
            .unwrap()
            .authority("partners", [partners.certificate()])
            .unwrap()
            .build()
            .unwrap();
        let issued = partners.leaf().dns("b.example").dns("a.example").common_name("c.example").issue();
        let peers = PeerAuthenticator::new(trust);
        let identity = peers.authenticate(&carrying(issued.chain()), a_day()).unwrap().unwrap();
        assert_eq!(identity.authority(), Some("partners"));
        assert_eq!(identity.dns_names(), [Box::from("a.example"), Box::from("b.example")]);
        assert!(identity.spiffe_id().is_none());
        assert_eq!(identity.to_string(), "partners/a.example,b.example");
        let stranger = Authority::new("stranger").leaf().dns("a.example").issue();
        assert_eq!(answer(&peers, &carrying(stranger.chain()), a_day()), "untrusted-issuer");
    }

    #[test]
    fn a_request_without_a_certificate_is_nobody_only_by_a_verb() {
        let root = Authority::new("root");
        let strict = PeerAuthenticator::new(trusting("td", &root));
        let lax = strict.clone().allow_unauthenticated();
        assert_eq!(answer(&strict, &Extensions::new(), a_day()), "missing-certificate");
        assert_eq!(answer(&lax, &Extensions::new(), a_day()), "nobody");
        // A bad certificate never makes a nobody.
        let bad = carrying(Authority::new("stranger").issue_spiffe("spiffe://td/a").chain());
        assert_eq!(answer(&lax, &bad, a_day()), "untrusted-issuer");
        assert_eq!(answer(&lax, &carrying([]), a_day()), "missing-certificate");
        assert_eq!(
            answer(&lax, &carrying([CertificateDer::from(vec![0x30, 0])]), a_day()),
            "malformed-certificate"
        );
    }

    #[test]
    fn an_empty_chain_is_refused() {
        assert_eq!(judge(&trusting("td", &Authority::new("root")), []), "missing-certificate");
    }

    #[test]
    fn a_foreign_acceptors_certificates_are_believed_only_by_a_verb() {
        let root = Authority::new("root");
        let strict = PeerAuthenticator::new(trusting("td", &root));
        let trusting_it = strict.clone().trust_foreign_acceptor();
        let foreign = |issued: &Issued| {
            let mut extensions = Extensions::new();
            extensions.insert(PeerCertificates::foreign(issued.chain()));
            extensions
        };
        let good = foreign(&root.issue_spiffe("spiffe://td/a"));
        assert_eq!(answer(&strict, &good, a_day()), "foreign-acceptor");
        assert_eq!(answer(&strict.clone().allow_unauthenticated(), &good, a_day()), "foreign-acceptor");
        assert_eq!(answer(&trusting_it, &good, a_day()), "spiffe://td/a");
        // Its chain is verified here all the same.
        let bad = foreign(&Authority::new("stranger").issue_spiffe("spiffe://td/a"));
        assert_eq!(answer(&trusting_it, &bad, a_day()), "untrusted-issuer");
        let short = foreign(&root.leaf().spiffe("spiffe://td/a").rsa_1024().issue());
        assert_eq!(answer(&trusting_it, &short, a_day()), "key-size");
    }

    #[test]
    fn an_unknown_trust_domain_is_refused() {
        let root = Authority::new("root");
        let trust = trusting("td", &root);
        assert_eq!(judge(&trust, root.issue_spiffe("spiffe://td/a").chain()), "spiffe://td/a");
        for id in ["spiffe://td.evil/a", "spiffe://tda/a", "spiffe://t/a"] {
            assert_eq!(judge(&trust, root.issue_spiffe(id).chain()), "unknown-trust-domain");
        }
        assert_eq!(judge(&trust, root.leaf().dns("a.example").issue().chain()), "no-authorities");
    }

    fn two_domains(a: &Authority, b: &Authority) -> Trust {
        Trust::builder()
            .trust("a".parse().unwrap(), [a.certificate()])
            .unwrap()
            .trust("b".parse().unwrap(), [b.certificate()])
            .unwrap()
            .authority("partners", [Authority::new("partners").certificate()])
            .unwrap()
            .build()
            .unwrap()
    }

    #[test]
    fn one_domain_never_vouches_for_another() {
        let (a, b) = (Authority::new("root a"), Authority::new("root b"));
        let trust = two_domains(&a, &b);
        assert_eq!(judge(&trust, a.issue_spiffe("spiffe://a/x").chain()), "spiffe://a/x");
        assert_eq!(judge(&trust, b.issue_spiffe("spiffe://b/x").chain()), "spiffe://b/x");
        assert_eq!(judge(&trust, b.issue_spiffe("spiffe://a/x").chain()), "untrusted-issuer");
        assert_eq!(judge(&trust, a.issue_spiffe("spiffe://b/x").chain()), "untrusted-issuer");
        let below_b = b.intermediate("intermediate b");
        assert_eq!(judge(&trust, below_b.issue_spiffe("spiffe://b/x").chain()), "spiffe://b/x");
        assert_eq!(judge(&trust, below_b.issue_spiffe("spiffe://a/x").chain()), "untrusted-issuer");
        // Nor does a domain vouch for names of an authority.
        assert_eq!(judge(&trust, a.leaf().dns("x.example").issue().chain()), "untrusted-issuer");
    }

    #[test]
    fn one_domain_never_vouches_for_another_through_a_cross_signed_authority() {
        let (a, b) = (Authority::new("root a"), Authority::new("root b"));
        let trust = two_domains(&a, &b);
        // A signs B's root, for some reason of its own: B still speaks for B only.
        let crossed = a.cross_sign(&b);
        let leaf = |id| b.issue_spiffe(id).with_above([crossed.clone()]).chain();
        assert_eq!(judge(&trust, leaf("spiffe://a/x")), "foreign-authority");
        assert_eq!(judge(&trust, leaf("spiffe://b/x")), "spiffe://b/x");
        // The same where the leaf stands below an authority of B that A has signed.
        let below_b = b.intermediate("intermediate b");
        let leaf =
            |id| below_b.issue_spiffe(id).with_above([below_b.certificate(), a.cross_sign(&b)]).chain();
        assert_eq!(judge(&trust, leaf("spiffe://a/x")), "foreign-authority");
        assert_eq!(judge(&trust, leaf("spiffe://b/x")), "spiffe://b/x");
    }

    #[test]
    fn an_authority_with_a_spiffe_id_signs_within_its_own_domain_only() {
        let root = Authority::new("root");
        let trust = trusting("a", &root);
        let below =
            |uri| Authority::draft("below").spiffe(uri).below(&root).issue_spiffe("spiffe://a/x").chain();
        for uri in ["spiffe://a", "urn:example:a", "https://b/"] {
            assert_eq!(judge(&trust, below(uri)), "spiffe://a/x", "{uri}");
        }
        assert_eq!(judge(&trust, below("spiffe://b")), "foreign-authority");
        // X509-SVID section 3.2: no path. And what means to be an ID is one.
        for uri in
            ["spiffe://a/issuer", "spiffe://a/", "spiffe://b/x", "spiffe://A", "Spiffe://b", "spiffe:a"]
        {
            assert_eq!(judge(&trust, below(uri)), "issuer-spiffe-id", "{uri}");
        }
        let two = Authority::draft("two").spiffe("spiffe://a").spiffe("https://a/").below(&root);
        assert_eq!(judge(&trust, two.issue_spiffe("spiffe://a/x").chain()), "issuer-spiffe-id");
    }

    #[test]
    fn roots_must_be_there() {
        let root = Authority::new("root");
        let code = |error: super::super::TrustError| error.code();
        assert_eq!(Trust::builder().build().map_err(code).unwrap_err(), "nobody-trusted");
        assert_eq!(Trust::builder().trust("a".parse().unwrap(), []).map_err(code).unwrap_err(), "no-roots");
        assert_eq!(
            Trust::builder().trust_pem("a".parse().unwrap(), b"").map_err(code).unwrap_err(),
            "no-roots"
        );
        assert_eq!(Trust::builder().authority("p", []).map_err(code).unwrap_err(), "no-roots");
        for name in ["", "Partners", "a b", "a/b"] {
            let error = Trust::builder().authority(name, [root.certificate()]).map_err(code).unwrap_err();
            assert_eq!(error, "authority-name");
        }
        let pem = root.certificate_pem();
        let damaged = pem.replace("-----END", "!!!!\n-----END");
        let twice = Trust::builder().trust_pem("a".parse().unwrap(), pem.as_bytes()).unwrap();
        assert_eq!(
            twice.trust_pem("a".parse().unwrap(), pem.as_bytes()).map_err(code).unwrap_err(),
            "given-twice"
        );
        let error =
            Trust::builder().trust_pem("a".parse().unwrap(), damaged.as_bytes()).map_err(code).unwrap_err();
        assert_eq!(error, "roots-not-pem");
    }

    #[test]
    fn a_root_is_an_authority_of_one_domain() {
        let root = Authority::new("root");
        let build = |root: CertificateDer<'static>| {
            Trust::builder()
                .trust("a".parse().unwrap(), [root])
                .unwrap()
                .build()
                .map_err(|error| error.code())
        };
        assert!(build(root.certificate()).is_ok());
        assert_eq!(build(root.issue_spiffe("spiffe://a/x").certificate()).unwrap_err(), "root-is-not-ca");
        assert_eq!(
            build(Authority::draft("x").not_an_authority().root().certificate()).unwrap_err(),
            "root-is-not-ca"
        );
        assert_eq!(build(CertificateDer::from(vec![1, 2, 3])).unwrap_err(), "malformed-root");
        let with = |uri| build(Authority::draft("root").spiffe(uri).root().certificate());
        assert!(with("spiffe://a").is_ok() && with("https://b/").is_ok());
        assert_eq!(with("spiffe://b").unwrap_err(), "root-of-another-domain");
        assert_eq!(with("spiffe://a/x").unwrap_err(), "issuer-spiffe-id");
        let shared = Trust::builder()
            .trust("a".parse().unwrap(), [root.certificate()])
            .unwrap()
            .trust("b".parse().unwrap(), [Authority::new("b").certificate(), root.certificate()])
            .unwrap();
        assert_eq!(shared.build().unwrap_err().code(), "shared-root");
    }

    #[test]
    fn validity_is_checked_on_every_request() {
        let root = Authority::new("root");
        let (from, until) = (a_day(), a_day() + Duration::from_secs(60));
        let chain = root.leaf().spiffe("spiffe://td/a").valid_between(from, until).issue().chain();
        let extensions = carrying(chain);
        let peers = PeerAuthenticator::new(trusting("td", &root));
        let second = Duration::from_secs(1);
        for (now, expected) in [
            (from - second, "not-yet-valid"),
            (from, "spiffe://td/a"),
            // RFC 5280 section 4.1.2.5: the last second is inside.
            (until, "spiffe://td/a"),
            (until + second, "expired"),
            (until + second * 1000, "expired"),
            // A clock that steps back does not keep the refusal.
            (until, "spiffe://td/a"),
            (from - second, "not-yet-valid"),
        ] {
            assert_eq!(answer(&peers, &extensions, now), expected);
        }
        let expired = root.leaf().spiffe("spiffe://td/a").expired_at(a_day()).issue();
        assert_eq!(answer(&peers, &carrying(expired.chain()), a_day()), "expired");
        let early = root.leaf().spiffe("spiffe://td/a").not_yet_valid_at(a_day()).issue();
        assert_eq!(answer(&peers, &carrying(early.chain()), a_day()), "not-yet-valid");
    }

    #[test]
    fn an_identity_ends_with_the_authorities_above_it() {
        let second = Duration::from_secs(1);
        let until = a_day() + Duration::from_secs(60);
        let short = |draft: ztlib_testing::AuthorityDraft| draft.valid_between(a_day(), until);
        // An intermediate that ends first.
        let root = Authority::new("root");
        let middle = short(Authority::draft("middle")).below(&root);
        let extensions = carrying(middle.issue_spiffe("spiffe://td/a").chain());
        let peers = PeerAuthenticator::new(trusting("td", &root));
        assert_eq!(answer(&peers, &extensions, a_day() - second), "issuer-not-yet-valid");
        assert_eq!(answer(&peers, &extensions, until), "spiffe://td/a");
        assert_eq!(answer(&peers, &extensions, until + second), "issuer-expired");
        let identity = peers.authenticate(&extensions, until).unwrap().unwrap();
        assert_eq!(identity.valid_until(), until);
        // A root that ends first.
        let root = short(Authority::draft("root")).root();
        let extensions = carrying(root.issue_spiffe("spiffe://td/a").chain());
        let peers = PeerAuthenticator::new(trusting("td", &root));
        assert_eq!(answer(&peers, &extensions, a_day() - second), "issuer-not-yet-valid");
        assert_eq!(answer(&peers, &extensions, until), "spiffe://td/a");
        assert_eq!(answer(&peers, &extensions, until + second), "issuer-expired");
    }

    #[test]
    fn replaced_roots_judge_open_connections() {
        let (old, new) = (Authority::new("old"), Authority::new("new"));
        let trust = trusting("td", &old);
        let of_old = carrying(old.issue_spiffe("spiffe://td/a").chain());
        let of_new = carrying(new.issue_spiffe("spiffe://td/a").chain());
        let peers = PeerAuthenticator::from(&trust);
        assert_eq!(answer(&peers, &of_old, a_day()), "spiffe://td/a");
        assert_eq!(answer(&peers, &of_new, a_day()), "untrusted-issuer");
        let before = trust.generation();
        trust.replace(trusting("td", &new));
        assert!(trust.generation() > before);
        assert_eq!(answer(&peers, &of_old, a_day()), "untrusted-issuer");
        assert_eq!(answer(&peers, &of_new, a_day()), "spiffe://td/a");
        trust.replace(trusting("other", &old));
        assert_eq!(answer(&peers, &of_new, a_day()), "unknown-trust-domain");
    }

    #[test]
    fn one_domain_is_replaced_and_no_other_is_touched() {
        let [ours, theirs, next] = ["ours", "theirs", "next"].map(Authority::new);
        let (shop, partner) =
            ("shop".parse::<super::super::TrustDomain>().unwrap(), "partner".parse().unwrap());
        let revoked = ours.issue_spiffe("spiffe://shop/revoked");
        let hour = Duration::from_secs(3600);
        let list = ours.revocation_list(&[revoked.certificate()], a_day(), a_day() + hour);
        let trust = Trust::builder().trust(shop.clone(), [ours.certificate()]).unwrap();
        let trust = trust.trust_revocations(&shop, [list]).unwrap().build().unwrap();
        let peers = PeerAuthenticator::from(&trust);
        let of_us = carrying(ours.issue_spiffe("spiffe://shop/a").chain());
        let revoked = carrying(revoked.chain());
        let of_them = carrying(theirs.issue_spiffe("spiffe://partner/b").chain());
        let of_next = carrying(next.issue_spiffe("spiffe://partner/b").chain());
        let answers = || [&of_us, &revoked, &of_them, &of_next].map(|of| answer(&peers, of, a_day()));
        let unknown = "unknown-trust-domain";
        let us = ["spiffe://shop/a", "revoked"];
        assert_eq!(answers(), [us[0], us[1], unknown, unknown]);

        let before = trust.generation();
        let added = trust.update(trusting("partner", &theirs)).unwrap();
        assert!(added > before && added == trust.generation());
        assert_eq!(answers(), [us[0], us[1], "spiffe://partner/b", "untrusted-issuer"]);
        trust.update(trusting("partner", &next)).unwrap();
        assert_eq!(answers(), [us[0], us[1], "untrusted-issuer", "spiffe://partner/b"]);
        // The root that was theirs is nobody's now, and may be given to another.
        trust.update(trusting("third", &theirs)).unwrap();

        // What would let one domain vouch for another changes nothing, and neither does an end of
        // all trust.
        let generation = trust.generation();
        assert_eq!(trust.update(trusting("partner", &ours)).unwrap_err().code(), "shared-root");
        assert_eq!(generation, trust.generation());
        assert_eq!(answers(), [us[0], us[1], "untrusted-issuer", "spiffe://partner/b"]);
        trust.remove(&partner).unwrap();
        assert_eq!(answers(), [us[0], us[1], unknown, unknown]);
        trust.remove(&"third".parse().unwrap()).unwrap();
        assert_eq!(trust.remove(&shop).unwrap_err().code(), "nobody-trusted");
        assert_eq!(answers(), [us[0], us[1], unknown, unknown]);
    }

    #[test]
    fn what_cross_signs_another_domain_serves_it_only_until_it_is_a_root_of_its_own() {
        // The partner's root, cross-signed by ours, is an intermediate of ours as long as nobody
        // else has it for a root.
        let ours = Authority::new("ours");
        let theirs = Authority::new("theirs");
        let mut chain = theirs.issue_spiffe("spiffe://shop/a").chain();
        chain.truncate(1);
        chain.push(ours.cross_sign(&theirs));
        let of_crossed = carrying(chain);
        let trust = trusting("shop", &ours);
        let peers = PeerAuthenticator::from(&trust);
        assert_eq!(answer(&peers, &of_crossed, a_day()), "spiffe://shop/a");
        trust.update(trusting("partner", &theirs)).unwrap();
        assert_eq!(answer(&peers, &of_crossed, a_day()), "foreign-authority");
        trust.remove(&"partner".parse().unwrap()).unwrap();
        assert_eq!(answer(&peers, &of_crossed, a_day()), "spiffe://shop/a");
    }

    #[tokio::test]
    async fn who_waits_for_new_roots_is_told() {
        let trust = trusting("td", &Authority::new("old"));
        let since = trust.generation();
        let (now, ()) = tokio::join!(trust.changed(since), async {
            trust.update(trusting("other", &Authority::new("new"))).unwrap();
        });
        assert!(now > since);
    }

    #[test]
    fn what_one_trust_remembers_is_nothing_to_another() {
        let (a, b) = (Authority::new("a"), Authority::new("b"));
        let extensions = carrying(a.issue_spiffe("spiffe://td/x").chain());
        let (of_a, of_b) = (trusting("td", &a), trusting("td", &b));
        assert_ne!(of_a.generation(), of_b.generation());
        for _ in 0..2 {
            assert_eq!(answer(&PeerAuthenticator::new(of_a.clone()), &extensions, a_day()), "spiffe://td/x");
            assert_eq!(
                answer(&PeerAuthenticator::new(of_b.clone()), &extensions, a_day()),
                "untrusted-issuer"
            );
        }
    }

    #[test]
    fn a_known_connection_is_answered_from_memory() {
        let root = Authority::new("root");
        let extensions = carrying(root.issue_spiffe("spiffe://td/a").chain());
        let peers = PeerAuthenticator::new(trusting("td", &root));
        let first = peers.authenticate(&extensions, a_day()).unwrap().unwrap();
        let again = peers.authenticate(&extensions.clone(), a_day()).unwrap().unwrap();
        assert!(std::ptr::eq(first.fingerprint(), again.fingerprint()));
    }

    #[test]
    fn an_unknown_critical_extension_is_refused() {
        let root = Authority::new("root");
        let leaf = root.leaf().spiffe("spiffe://td/a").with_unknown_critical_extension().issue();
        assert_eq!(judge(&trusting("td", &root), leaf.chain()), "unknown-critical-extension");
        let harmless =
            root.leaf().spiffe("spiffe://td/a").with_extension(&[1, 3, 6, 1, 4, 1, 99999, 2], vec![5, 0]);
        assert_eq!(judge(&trusting("td", &root), harmless.issue().chain()), "spiffe://td/a");
    }

    #[test]
    fn chains_are_bounded_in_number_and_bytes() {
        let root = Authority::new("root");
        let trust = trusting("td", &root);
        let leaf = root.issue_spiffe("spiffe://td/a");
        let filler = Authority::new("filler").certificate();
        let with = |count: usize| leaf.clone().with_above(vec![filler.clone(); count]).chain();
        assert_eq!(judge(&trust, with(7)), "spiffe://td/a");
        assert_eq!(judge(&trust, with(8)), "chain-too-long");
        assert_eq!(judge(&trust, with(10_000)), "chain-too-long");
        let big = CertificateDer::from(vec![0; 32 * 1024]);
        assert_eq!(judge(&trust, [leaf.certificate(), big]), "chain-too-large");
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "it measures how long something takes")]
    fn cross_signed_chains_end_quickly() {
        // Authorities of one name and key that sign each other: every order of them is a path, none
        // leads to the root.
        let first = Authority::new("twin");
        let twins: Vec<_> =
            (0..100).map(|_| Authority::draft("twin").like(&first).below(&first).certificate()).collect();
        let trust = trusting("td", &Authority::new("root"));
        let leaf = first.issue_spiffe("spiffe://td/a");
        for count in [7, 100] {
            let chain = leaf.clone().with_above(twins.iter().take(count).cloned()).chain();
            let start = std::time::Instant::now();
            let code = judge(&trust, chain);
            let took = start.elapsed();
            assert!(
                ["untrusted-issuer", "chain-too-long", "chain-too-complex"].contains(&code.as_str()),
                "{code}"
            );
            // Milliseconds, or years: on any machine.
            assert!(took < Duration::from_secs(20), "{count} certificates took {took:?}");
        }
    }
}

//! Chains of certificates and revocation lists that are built, changed and then signed, so that the
//! rules behind a signature are reached. A model of the rules, which shares nothing with the
//! product, says what is right.
//!
//! It stands alone, so that the fuzz target and `ztlib/tests/corpora.rs` ask the same.

use std::time::{Duration, SystemTime};

use http::Extensions;
use rustls_pki_types::{CertificateDer, UnixTime};
use ztlib::authenticate::peer::{PeerAuthenticator, PeerCertificates, Trust, TrustDomain};
use ztlib_testing::{Authority, AuthorityDraft, a_day};

const EXTENDED_KEY_USAGE: [u64; 4] = [2, 5, 29, 37];
const CLIENTS: &[u8] = &[0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2];
const SERVERS: &[u8] = &[0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1];
const ANY: &[u8] = &[0x30, 6, 6, 4, 0x55, 0x1d, 0x25, 0];
const NAMES: [&str; 4] = ["a.example.org", "b.example.org", "example.com", "A.Example.ORG"];
const DNS: u8 = 0x82;

/// The input as a list of choices; where it ends, nothing is wrong any more.
struct Choices<'d>(&'d [u8]);

impl Choices<'_> {
    fn below(&mut self, count: u8) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first % count
    }

    /// True once in so many times.
    fn seldom(&mut self, times: u8) -> bool {
        self.below(times) == times - 1
    }
}

/// What is chosen for an authority.
struct Plan {
    draft: AuthorityDraft,
    faulty: bool,
    path_length: Option<u8>,
    self_issued: bool,
    /// The DNS names that it permits, and that it excludes.
    permits: Option<&'static str>,
    excludes: Option<&'static str>,
}

/// `svid`: whether X509-SVID's rules count beside those of RFC 5280. A root is not held to all of
/// them.
fn plan(choices: &mut Choices<'_>, name: &str, above: &str, is_root: bool, svid: bool) -> Plan {
    let self_issued = !is_root && choices.seldom(6);
    let mut draft = Authority::draft(if self_issued { above } else { name });
    let mut faulty = false;
    let mut not_authority = false;
    match choices.below(24) {
        20 if !is_root => {
            draft = draft.not_an_authority();
            (faulty, not_authority) = (true, true);
        }
        21 if !is_root => {
            draft = draft.may_not_sign_certificates();
            faulty = true;
        }
        22 => {
            draft = draft.without_key_usage();
            faulty = svid && !is_root;
        }
        23 if !is_root => {
            draft = draft.serial(&[0]);
            faulty = true;
        }
        _ => {}
    }
    match choices.below(24) {
        20 => draft = draft.with_extension(&EXTENDED_KEY_USAGE, false, CLIENTS.to_vec()),
        21 => draft = draft.with_extension(&EXTENDED_KEY_USAGE, true, ANY.to_vec()),
        22 => {
            draft = draft.with_extension(&EXTENDED_KEY_USAGE, false, SERVERS.to_vec());
            faulty = true;
        }
        23 => {
            draft = draft.with_extension(&[1, 3, 6, 1, 4, 1, 99999, 7], true, vec![5, 0]);
            faulty = true;
        }
        _ => {}
    }
    let second = Duration::from_secs(1);
    match choices.below(24) {
        // The last second, and the first, are inside.
        20 => draft = draft.valid_between(a_day() - second, a_day()),
        21 => draft = draft.valid_between(a_day(), a_day() + second),
        22 => {
            draft = draft.valid_between(a_day() - second * 2, a_day() - second);
            faulty = true;
        }
        23 => {
            draft = draft.valid_between(a_day() + second, a_day() + second * 2);
            faulty = true;
        }
        _ => {}
    }
    match choices.below(24) {
        20 => draft = draft.spiffe("spiffe://fuzz.test"),
        21 => draft = draft.spiffe("https://fuzz.test/"),
        22 if !is_root => {
            draft = draft.spiffe("spiffe://other.test");
            faulty |= svid;
        }
        23 if !is_root => {
            draft = draft.spiffe("spiffe://fuzz.test/ca");
            faulty |= svid;
        }
        _ => {}
    }
    let path_length = choices.seldom(4).then(|| choices.below(3));
    // Who is not an authority has no path length.
    let path_length = path_length.filter(|_| !not_authority);
    if let Some(length) = path_length {
        draft = draft.path_length(length);
    }
    let mut permits = None;
    let mut excludes = None;
    match choices.below(8) {
        6 => {
            permits = Some("example.org");
            draft = draft.constrained(&[(DNS, b"Example.org")], &[]);
        }
        7 => {
            excludes = Some("b.example.org");
            draft = draft.constrained(&[], &[(DNS, b"b.example.org")]);
        }
        _ => {}
    }
    Plan { draft, faulty, path_length, self_issued, permits, excludes }
}

/// What the model remembers of an authority.
struct Known {
    faulty: bool,
    path_length: Option<u8>,
    self_issued: bool,
    permits: Option<&'static str>,
    excludes: Option<&'static str>,
}

fn within(name: &str, base: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == base || name.ends_with(&format!(".{base}"))
}

/// RFC 5280 section 6.1 and X509-SVID, the root first. `names` are the leaf's.
fn model(authorities: &[Known], names: &[&str]) -> bool {
    let allowed = |authority: &Known| {
        names.iter().all(|name| {
            authority.permits.is_none_or(|base| within(name, base))
                && !authority.excludes.is_some_and(|base| within(name, base))
        })
    };
    let short_enough = |at: usize, authority: &Known| {
        let below = authorities.iter().skip(at + 1).filter(|below| !below.self_issued).count();
        authority.path_length.is_none_or(|length| below <= usize::from(length))
    };
    authorities
        .iter()
        .enumerate()
        .all(|(at, authority)| !authority.faulty && allowed(authority) && short_enough(at, authority))
}

/// Builds what the bytes say, asks the product, and compares.
pub fn play(data: &[u8]) {
    let mut choices = Choices(data);
    let choices = &mut choices;
    let svid = choices.below(2) == 0;
    let depth = choices.below(4);
    let mut known = Vec::new();
    let mut remember = |plan: Plan| {
        let Plan { draft, faulty, path_length, self_issued, permits, excludes } = plan;
        known.push(Known { faulty, path_length, self_issued, permits, excludes });
        draft
    };
    let first = plan(choices, "root", "", true, svid);
    let mut authorities = vec![remember(first).root()];
    let mut name = "root".to_owned();
    for at in 0..depth {
        let own = format!("ca {at}");
        let next = plan(choices, &own, &name, false, svid);
        if !next.self_issued {
            name = own;
        }
        let draft = remember(next);
        let issuer = authorities.last().expect("there is a root");
        authorities.push(draft.below(issuer));
    }
    let issuer = authorities.last().expect("there is a root");
    let mut leaf = issuer.leaf();
    let mut names = Vec::new();
    if svid {
        leaf = leaf.spiffe("spiffe://fuzz.test/a");
    }
    if !svid || choices.seldom(2) {
        names.push(NAMES[usize::from(choices.below(4))]);
        leaf = leaf.dns(names[0]);
    }
    let mut right = false;
    match choices.below(16) {
        12 => leaf = leaf.for_servers(),
        13 => leaf = leaf.as_authority(),
        14 => leaf = leaf.with_unknown_critical_extension(),
        15 => leaf = leaf.with_critical_names(false),
        _ => right = true,
    }
    let issued = leaf.issue();
    let mut chain = issued.chain();
    right &= model(&known, &names);
    // Lists of all authorities, where each may sign one and has a name of its own.
    let no_lists = known.iter().any(|authority| authority.self_issued || authority.faulty);
    let mut lists = Vec::new();
    if !no_lists && choices.seldom(3) {
        let revoked = usize::from(choices.below(12));
        right &= revoked >= chain.len();
        let revoked = chain.get(revoked).cloned();
        let day = Duration::from_secs(86_400);
        for authority in &authorities {
            lists.push(authority.revocation_list(revoked.as_slice(), a_day() - day, a_day() + day));
        }
    }
    let trust = trust(&authorities[0], svid, lists);
    assert_eq!(ask(&trust, &chain, a_day()), right, "svid: {svid}, depth: {depth}, data: {data:?}");
    // Another order above the leaf, and what nobody needs, change nothing.
    if chain.len() > 2 && chain.len() < 8 {
        let extra = authorities[0].certificate();
        chain.get_mut(1..).expect("it is longer").reverse();
        chain.push(extra);
        assert_eq!(ask(&trust, &chain, a_day()), right, "another order: {data:?}");
    }
    // The leaf changed, and signed again by who signed it: a second verifier must believe what we
    // believe.
    let at = usize::from(choices.below(255)) * 3;
    let bit = choices.below(8);
    let changed = issuer.sign_again(&issued.certificate(), |signed| {
        let at = at % signed.len();
        signed[at] ^= 1 << bit;
    });
    let mut chain = issued.chain();
    chain[0] = changed;
    if ask(&trust, &chain, a_day()) && second_verifier(&authorities[0], &issued.chain()) {
        assert!(second_verifier(&authorities[0], &chain), "only we believe a changed leaf: {data:?}");
    }
    // And not signed again, it is nobody's.
    let mut forged = issued.certificate().to_vec();
    let place = at % forged.len();
    forged[place] ^= 1 << bit;
    chain[0] = forged.into();
    assert!(!ask(&trust, &chain, a_day()), "a forged leaf is believed: {data:?}");
}

fn trust(
    root: &Authority,
    svid: bool,
    lists: Vec<rustls_pki_types::CertificateRevocationListDer<'static>>,
) -> Trust {
    let domain: TrustDomain = "fuzz.test".parse().expect("a trust domain");
    let builder = Trust::builder();
    let builder = if svid {
        builder.trust(domain.clone(), [root.certificate()])
    } else {
        builder.authority("corp", [root.certificate()])
    };
    let builder = builder.expect("a root");
    let builder = match (lists.is_empty(), svid) {
        (true, _) => builder,
        (false, true) => builder.trust_revocations(&domain, lists).expect("lists"),
        (false, false) => builder.authority_revocations("corp", lists).expect("lists"),
    };
    builder.build().expect("roots that can be read")
}

fn ask(trust: &Trust, chain: &[CertificateDer<'static>], now: SystemTime) -> bool {
    let mut extensions = Extensions::new();
    extensions.insert(PeerCertificates::foreign(chain.to_vec()));
    match PeerAuthenticator::new(trust.clone()).trust_foreign_acceptor().authenticate(&extensions, now) {
        Ok(peer) => peer.is_some(),
        Err(error) => {
            super::is_told_well(&error.to_string());
            false
        }
    }
}

/// Whether webpki, which knows fewer rules, believes the chain.
fn second_verifier(root: &Authority, chain: &[CertificateDer<'static>]) -> bool {
    let root = root.certificate();
    let anchor = webpki::anchor_from_trusted_cert(&root).expect("a root");
    let Some((leaf, above)) = chain.split_first() else { return false };
    let time = a_day().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    webpki::EndEntityCert::try_from(leaf).is_ok_and(|leaf| {
        let usage = webpki::KeyUsage::client_auth();
        let time = UnixTime::since_unix_epoch(time);
        leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &[anchor], above, time, usage, None, None)
            .is_ok()
    })
}

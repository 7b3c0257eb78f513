//! Every rule for a path, for every position in it: the good case beside the bad one, by the
//! reason's code.

use std::time::Duration;

use http::Extensions;
use rustls_pki_types::CertificateDer;
use ztlib_testing::{Authority, AuthorityDraft, LeafDraft, a_day};

use super::{ChainMember, PeerAuthenticator, PeerCertificates, PeerError, Position, Trust};

const DNS: u8 = 0x82;
const MAIL: u8 = 0x81;
const DIRECTORY: u8 = 0xa4;
const URI: u8 = 0x86;
const IP: u8 = 0x87;

/// `td` and the authority `corp` have the same root.
fn trusting(root: &Authority) -> Trust {
    Trust::builder()
        .trust("td".parse().unwrap(), [root.certificate()])
        .unwrap()
        .authority("corp", [root.certificate()])
        .unwrap()
        .build()
        .unwrap()
}

fn ask(
    root: &Authority,
    chain: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Result<String, PeerError> {
    let mut extensions = Extensions::new();
    extensions.insert(PeerCertificates::presented(chain));
    let peer = PeerAuthenticator::new(trusting(root)).authenticate(&extensions, a_day())?;
    Ok(peer.unwrap().to_string())
}

fn judge(root: &Authority, chain: impl IntoIterator<Item = CertificateDer<'static>>) -> String {
    ask(root, chain).unwrap_or_else(|error| error.code().to_owned())
}

/// What becomes of an SVID and of a peer with a DNS name below an intermediate.
fn below(root: &Authority, draft: AuthorityDraft) -> [String; 2] {
    let middle = draft.below(root);
    [
        judge(root, middle.issue_spiffe("spiffe://td/a").chain()),
        judge(root, middle.leaf().dns("a.example").issue().chain()),
    ]
}

const BOTH: [&str; 2] = ["spiffe://td/a", "corp/a.example"];

fn draft() -> AuthorityDraft {
    Authority::draft("middle")
}

#[test]
fn an_intermediate_must_be_an_authority_that_may_sign_certificates() {
    let root = Authority::new("root");
    assert_eq!(below(&root, draft()), BOTH);
    assert_eq!(below(&root, draft().not_an_authority()), ["issuer-is-not-ca"; 2]);
    assert_eq!(below(&root, draft().may_not_sign_certificates()), ["issuer-may-not-sign"; 2]);
    // X509-SVID asks for a critical key usage; RFC 5280 does not.
    assert_eq!(below(&root, draft().without_key_usage()), ["issuer-key-usage", "corp/a.example"]);
    let signs = vec![0x03, 0x02, 0x01, 0x06];
    let usage = draft().without_key_usage().with_extension(&[2, 5, 29, 15], false, signs);
    assert_eq!(below(&root, usage), ["issuer-key-usage", "corp/a.example"]);
    // The same for the second intermediate, under a good one and above a good one.
    for bad_first in [true, false] {
        let make = |bad: bool| if bad { draft().may_not_sign_certificates() } else { draft() };
        let first = make(bad_first).below(&root);
        let second = make(!bad_first).below(&first);
        assert_eq!(judge(&root, second.issue_spiffe("spiffe://td/a").chain()), "issuer-may-not-sign");
    }
}

#[test]
fn a_leaf_never_signs_another() {
    let root = Authority::new("root");
    let leaf = Authority::draft("leaf").spiffe("spiffe://td/a").not_an_authority().below(&root);
    assert_eq!(judge(&root, leaf.issue_spiffe("spiffe://td/admin").chain()), "issuer-is-not-ca");
}

#[test]
fn extended_key_usage_binds_intermediates_and_roots() {
    const SERVERS: [u8; 12] = [0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1];
    const CLIENTS: [u8; 12] = [0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2];
    const ANY: [u8; 8] = [0x30, 6, 6, 4, 0x55, 0x1d, 0x25, 0];
    let root = Authority::new("root");
    let with =
        |draft: AuthorityDraft, value: &[u8]| draft.with_extension(&[2, 5, 29, 37], false, value.to_vec());
    for (draft, fits) in [
        (draft().only_for_mail(), false),
        (with(draft(), &SERVERS), false),
        (with(draft(), &CLIENTS), true),
        (with(draft(), &ANY), true),
    ] {
        assert_eq!(below(&root, draft), if fits { BOTH } else { ["not-for-client-authentication"; 2] });
    }
    for (value, expected) in [
        (&SERVERS[..], "not-for-client-authentication"),
        (&CLIENTS, "spiffe://td/a"),
        (&ANY, "spiffe://td/a"),
    ] {
        let root = with(Authority::draft("root"), value).root();
        assert_eq!(judge(&root, root.issue_spiffe("spiffe://td/a").chain()), expected);
    }
}

#[test]
fn path_lengths_bind_and_self_issued_certificates_do_not_count() {
    let leaf = |authority: &Authority| authority.issue_spiffe("spiffe://td/a").chain();
    let deep = |length: u8| {
        let root = Authority::draft("root").path_length(length).root();
        let one = Authority::draft("one").below(&root);
        let two = Authority::draft("two").below(&one);
        [leaf(&root), leaf(&one), leaf(&two)].map(|chain| judge(&root, chain))
    };
    assert_eq!(deep(0), ["spiffe://td/a", "path-length", "path-length"]);
    assert_eq!(deep(1), ["spiffe://td/a", "spiffe://td/a", "path-length"]);
    assert_eq!(deep(2), ["spiffe://td/a"; 3]);
    // A lower one below counts, a higher one does not widen.
    let root = Authority::draft("root").path_length(1).root();
    let one = Authority::draft("one").path_length(9).below(&root);
    let two = Authority::draft("two").below(&one);
    assert_eq!(judge(&root, leaf(&two)), "path-length");
    // Self-issued: the same name, another key.
    let root = Authority::draft("root").path_length(0).root();
    let renewed = Authority::draft("root").path_length(0).below(&root);
    let again = Authority::draft("root").below(&renewed);
    assert_eq!(judge(&root, leaf(&again)), "spiffe://td/a");
    let other = Authority::draft("other").below(&again);
    assert_eq!(judge(&root, leaf(&other)), "path-length");
    let error = ask(&root, leaf(&other)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "intermediate 1 (`CN=other`) exceeds the path length that the root (`CN=root`) allows"
    );
}

#[test]
fn a_chain_of_eight_certificates_is_followed() {
    let root = Authority::new("root");
    let mut last = Authority::draft("ca 1").below(&root);
    for at in 2..=7 {
        last = Authority::draft(&format!("ca {at}")).below(&last);
    }
    let chain = last.issue_spiffe("spiffe://td/a").chain();
    assert_eq!(chain.len(), 8);
    assert_eq!(judge(&root, chain), "spiffe://td/a");
    let last = Authority::draft("ca 8").below(&last);
    assert_eq!(judge(&root, last.issue_spiffe("spiffe://td/a").chain()), "chain-too-long");
}

#[test]
fn an_unknown_critical_extension_is_refused_wherever_it_stands_with_its_oid() {
    let policies = |draft: AuthorityDraft, critical| {
        // certificatePolicies: anyPolicy.
        draft.with_extension(&[2, 5, 29, 32], critical, vec![0x30, 8, 0x30, 6, 6, 4, 0x55, 0x1d, 0x20, 0])
    };
    let root = Authority::new("root");
    assert_eq!(below(&root, policies(draft(), false)), BOTH);
    let middle = policies(draft(), true).below(&root);
    let error = ask(&root, middle.issue_spiffe("spiffe://td/a").chain()).unwrap_err();
    assert_eq!(error.code(), "unknown-critical-extension");
    assert_eq!(
        error.to_string(),
        "intermediate 1 (`CN=middle`) has the critical extension 2.5.29.32, which is not understood"
    );
    // policyConstraints and inhibitAnyPolicy.
    for oid in [36, 54] {
        let draft = draft().with_extension(&[2, 5, 29, oid], true, vec![0x30, 3, 0x80, 1, 0]);
        assert_eq!(below(&root, draft), ["unknown-critical-extension"; 2]);
    }
    // Nobody asks about one that is not on the way.
    let odd = policies(Authority::draft("odd"), true).below(&root).certificate();
    let leaf = root.issue_spiffe("spiffe://td/a");
    assert_eq!(judge(&root, leaf.with_above([odd]).chain()), "spiffe://td/a");
    // Name constraints mean nothing in a leaf.
    let leaf = root.leaf().spiffe("spiffe://td/a").common_name("a");
    let constrained = leaf.with_extension(&[2, 5, 29, 30], vec![0x30, 0]);
    assert_eq!(judge(&root, constrained.issue().chain()), "spiffe://td/a");
}

#[test]
fn duplicate_extensions_serials_and_empty_issuers_are_refused_above_the_leaf() {
    let root = Authority::new("root");
    let twice = draft().with_extension(&[1, 3, 6, 1, 4, 1, 99999, 2], false, vec![5, 0]).with_extension(
        &[1, 3, 6, 1, 4, 1, 99999, 2],
        false,
        vec![5, 0],
    );
    assert_eq!(below(&root, twice), ["duplicate-extension"; 2]);
    assert_eq!(below(&root, draft().serial(&[0])), ["serial-number"; 2]);
    assert_eq!(below(&root, draft().serial(&[1; 21])), ["serial-number"; 2]);
    assert_eq!(below(&root, draft().serial(&[1; 20])), BOTH);
    assert_eq!(below(&root, draft().without_subject()), ["no-issuer"; 2]);
}

#[test]
fn the_most_telling_reason_is_given_with_the_certificate() {
    let root = Authority::new("root");
    let twin = Authority::new("root");
    let middle = root.intermediate("issuing\nline");
    let leaf = middle.issue_spiffe("spiffe://td/a");
    let error = |chain: Vec<CertificateDer<'static>>| ask(&root, chain).unwrap_err();
    // Nobody of that name is there; somebody of that name with another key is there.
    assert_eq!(error(leaf.clone().with_above([]).chain()).code(), "untrusted-issuer");
    let forged = error(twin.issue_spiffe("spiffe://td/a").chain());
    assert_eq!(forged.to_string(), "the signature of the leaf does not verify with the key of its issuer");
    let forged =
        error(leaf.with_above([Authority::draft("issuing\nline").below(&root).certificate()]).chain());
    assert_eq!(forged.code(), "bad-signature");
    let until = a_day() - Duration::from_secs(1);
    let old = draft().valid_between(until - Duration::from_secs(9), until).below(&root);
    let error = error(old.issue_spiffe("spiffe://td/a").chain());
    assert_eq!(error.to_string(), "intermediate 1 (`CN=middle`) has expired");
    let PeerError::IssuerExpired { certificate } = error else { panic!("{error}") };
    assert_eq!((certificate.position(), certificate.subject()), (Position::Intermediate(1), "CN=middle"));
    let shown = |member: &ChainMember| member.to_string();
    assert!(shown(&certificate).is_ascii());
}

/// Below an authority with these constraints: what becomes of the leaf.
fn constrained(
    permitted: &[(u8, &[u8])],
    excluded: &[(u8, &[u8])],
    leaf: fn(&Authority) -> LeafDraft<'_>,
) -> String {
    let root = Authority::new("root");
    let middle = draft().constrained(permitted, excluded).below(&root);
    let of_intermediate = judge(&root, leaf(&middle).issue().chain());
    // The same in a root, where a constraint that cannot be read is a fault at build.
    if of_intermediate == "malformed-certificate" {
        return of_intermediate;
    }
    let root = Authority::draft("root").constrained(permitted, excluded).root();
    assert_eq!(judge(&root, leaf(&root).issue().chain()), of_intermediate);
    of_intermediate
}

#[test]
fn name_constraints_on_dns_names_bind() {
    let a: fn(&Authority) -> LeafDraft<'_> = |by| by.leaf().dns("a.example.org");
    let upper: fn(&Authority) -> LeafDraft<'_> = |by| by.leaf().dns("A.EXAMPLE.org");
    let apex: fn(&Authority) -> LeafDraft<'_> = |by| by.leaf().dns("example.org");
    let near: fn(&Authority) -> LeafDraft<'_> = |by| by.leaf().dns("a-example.org");
    let wild: fn(&Authority) -> LeafDraft<'_> = |by| by.leaf().dns("*.example.org").dns("b.example.org");
    let org: &[(u8, &[u8])] = &[(DNS, b"Example.ORG")];
    let below: &[(u8, &[u8])] = &[(DNS, b".example.org")];
    let secret: &[(u8, &[u8])] = &[(DNS, b"secret.example.org")];
    let refused = "name-constraint";
    for (permitted, excluded, leaf, expected) in [
        (org, &[][..], a, "corp/a.example.org"),
        (org, &[], upper, "corp/a.example.org"),
        (org, &[], apex, "corp/example.org"),
        (org, &[], near, refused),
        (below, &[], a, "corp/a.example.org"),
        (below, &[], apex, refused),
        (&[], org, a, refused),
        (&[], org, upper, refused),
        (&[], org, apex, refused),
        (&[], org, near, "corp/a-example.org"),
        (&[], below, apex, refused),
        (&[], below, a, refused),
        (org, secret, wild, refused),
        (org, secret, a, "corp/a.example.org"),
    ] {
        assert_eq!(constrained(permitted, excluded, leaf), expected, "{permitted:?} {excluded:?}");
    }
    // Malformed constraints refuse.
    let star: &[(u8, &[u8])] = &[(DNS, b"*.example.org")];
    let root = Authority::new("root");
    let of = |draft: AuthorityDraft| judge(&root, a(&draft.below(&root)).issue().chain());
    assert_eq!(of(draft().constrained(star, &[])), "malformed-certificate");
    for empty in [vec![0x30, 0], vec![0x30, 2, 0xa0, 0], vec![0x30, 4, 0xa0, 0, 0xa1, 0]] {
        assert_eq!(of(draft().with_extension(&[2, 5, 29, 30], true, empty)), "malformed-certificate");
    }
    // A SPIFFE peer's DNS names are names too.
    let svid = |by: &Authority| by.leaf().spiffe("spiffe://td/a").dns("a.example.com").issue().chain();
    assert_eq!(judge(&root, svid(&draft().constrained(org, &[]).below(&root))), refused);
}

#[test]
fn name_constraints_bind_every_kind_of_name() {
    let svid: fn(&Authority) -> LeafDraft<'_> = |by| by.leaf().spiffe("spiffe://td/a");
    let v4: fn(&Authority) -> LeafDraft<'_> = |by| by.leaf().dns("a.ex").ip([8, 8, 8, 8]);
    let text: fn(&Authority) -> LeafDraft<'_> = |by| by.leaf().dns("8.8.8.8");
    let mail: fn(&Authority) -> LeafDraft<'_> = |by| by.leaf().dns("a.ex").mail("Joe@Example.ORG");
    let named: fn(&Authority) -> LeafDraft<'_> = |by| by.leaf().dns("a.ex").common_name("Box  One");
    let other: fn(&Authority) -> LeafDraft<'_> = |by| by.leaf().dns("a.ex").other_name("u@ad");
    // CN=box one, as UTF8String; and CN=box, as PrintableString.
    let box_one = [&[0x30, 18, 0x31, 16, 0x30, 14, 6, 3, 0x55, 4, 3, 0x0c, 7][..], b"box one"].concat();
    let box_two = [&[0x30, 14, 0x31, 12, 0x30, 10, 6, 3, 0x55, 4, 3, 0x13, 3][..], b"box"].concat();
    let (peer, id, refused, bad) = ("corp/a.ex", "spiffe://td/a", "name-constraint", "malformed-certificate");
    let within = |base: (u8, &[u8]), leaf| constrained(&[base], &[], leaf);
    let without = |base: (u8, &[u8]), leaf| constrained(&[], &[base], leaf);
    for (base, leaf, permitted, excluded) in [
        ((URI, &b"td"[..]), svid, id, refused),
        ((URI, b".td"), svid, refused, id),
        ((URI, b"other"), svid, refused, id),
        ((IP, &[8, 8, 8, 0, 255, 255, 255, 0]), v4, peer, refused),
        ((IP, &[9, 8, 8, 0, 255, 255, 255, 0]), v4, refused, peer),
        ((IP, &[0; 32]), v4, refused, peer),
        ((IP, &[8, 8, 8, 0, 255, 0, 255, 0]), v4, bad, bad),
        ((IP, &[8, 8, 8, 0]), v4, bad, bad),
        ((MAIL, b"example.org"), mail, peer, refused),
        ((MAIL, b".example.org"), mail, refused, peer),
        ((MAIL, b"Joe@example.org"), mail, peer, refused),
        ((MAIL, b"joe@example.org"), mail, refused, peer),
        ((DIRECTORY, &box_one), named, peer, refused),
        ((DIRECTORY, &box_two), named, refused, peer),
        ((DIRECTORY, &[0x30, 0]), named, peer, refused),
        ((0xa0, &[6, 3, 0x2b, 6, 1, 0xa0, 2, 5, 0]), other, refused, refused),
        // What is of another kind is not touched.
        ((0xa0, &[6, 3, 0x2b, 6, 1, 0xa0, 2, 5, 0]), named, peer, peer),
        ((MAIL, b"example.org"), svid, id, id),
    ] {
        assert_eq!(within(base, leaf), permitted, "permitted {base:?}");
        assert_eq!(without(base, leaf), excluded, "excluded {base:?}");
    }
    // An address written as a DNS name passes no constraint on addresses: it is nobody.
    assert_eq!(without((IP, &[8, 8, 8, 8, 255, 255, 255, 255]), text), "dns-name");
}

#[test]
fn name_constraints_bind_what_is_further_below_and_not_self_issued_authorities() {
    let root = Authority::new("root");
    let org: &[(u8, &[u8])] = &[(DNS, b"example.org")];
    let outer = draft().constrained(org, &[]).below(&root);
    // A wider constraint below does not widen.
    let inner = Authority::draft("inner").constrained(&[(DNS, b"org")], &[]).below(&outer);
    let judge_dns = |by: &Authority, name: &str| judge(&root, by.leaf().dns(name).issue().chain());
    assert_eq!(judge_dns(&inner, "a.example.org"), "corp/a.example.org");
    assert_eq!(judge_dns(&inner, "a.other.org"), "name-constraint");
    // CN=middle, which the directory name of a self-issued authority is not held to, but its leaf's
    // is.
    let elsewhere = [&[0x30, 14, 0x31, 12, 0x30, 10, 6, 3, 0x55, 4, 3, 0x0c, 3][..], b"box"].concat();
    let outer = draft().constrained(&[(DIRECTORY, &elsewhere)], &[]).below(&root);
    let renewed = draft().below(&outer);
    let named = |name: &str| renewed.leaf().dns("a.ex").common_name(name).issue().chain();
    assert_eq!(judge(&root, named("Box")), "corp/a.ex");
    assert_eq!(judge(&root, named("middle")), "name-constraint");
    let error = ask(&root, named("middle")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the name constraints of intermediate 2 (`CN=middle`) do not allow `its subject` in the leaf (`CN=middle`)"
    );
}

#[test]
fn a_root_that_breaks_a_rule_condemns_what_is_below_it_and_nobody_else() {
    let odd = Authority::draft("odd").with_extension(&[1, 3, 6, 1, 4, 1, 99999, 1], true, vec![5, 0]).root();
    let old = Authority::draft("old").serial(&[0]).root();
    let good = Authority::new("good");
    let trust = Trust::builder()
        .trust("td".parse().unwrap(), [&odd, &old, &good].map(Authority::certificate))
        .unwrap()
        .build()
        .unwrap();
    let judge = |root: &Authority| {
        let mut extensions = Extensions::new();
        extensions.insert(PeerCertificates::presented(root.issue_spiffe("spiffe://td/a").chain()));
        let peer = PeerAuthenticator::new(trust.clone()).authenticate(&extensions, a_day());
        peer.map_or_else(|error| error.to_string(), |peer| peer.unwrap().to_string())
    };
    assert_eq!(judge(&good), "spiffe://td/a");
    // Nobody asks for a root's serial number.
    assert_eq!(judge(&old), "spiffe://td/a");
    assert_eq!(
        judge(&odd),
        "the root (`CN=odd`) has the critical extension 1.3.6.1.4.1.99999.1, which is not understood"
    );
}

#[test]
fn trust_domains_look_like_anything() {
    let root = Authority::new("root");
    for domain in ["a_b", "a..b", ".a", "a.", "_", "localhost", "999.999.999.999", "a.b.c.d.e", "1"] {
        let trust = Trust::builder().trust(domain.parse().unwrap(), [root.certificate()]).unwrap();
        let id = format!("spiffe://{domain}/x");
        // A constraint on URIs compares it as it stands.
        let middle = draft().constrained_to_uri_host(domain).below(&root);
        let peers = PeerAuthenticator::new(trust.build().unwrap());
        for by in [&root, &middle] {
            let mut extensions = Extensions::new();
            extensions.insert(PeerCertificates::presented(by.issue_spiffe(&id).chain()));
            let peer = peers.authenticate(&extensions, a_day());
            let said = peer.map_or_else(|error| error.code().to_owned(), |peer| peer.unwrap().to_string());
            // `..` and a point at the end are no host name, so no constraint can name them.
            let unnameable = by.certificate() == middle.certificate() && ["a..b", "a."].contains(&domain);
            if unnameable {
                assert_ne!(said, id);
            } else {
                assert_eq!(said, id);
            }
        }
    }
}

/// The issuer in the leaf is a `PrintableString` in upper case, the authority's subject a
/// `UTF8String`: one name by RFC 5280 section 7.1.
#[test]
fn names_that_differ_only_in_encoding_and_case_are_one() {
    use crate::authenticate::peer::distinguished_name::DistinguishedName;
    let name = |tag: u8, text: &[u8]| {
        let attribute = [&[6, 3, 0x55, 4, 3, tag, u8::try_from(text.len()).unwrap()], text].concat();
        let length = |inner: &[u8], tag| [&[tag, u8::try_from(inner.len()).unwrap()], inner].concat();
        let der = length(&length(&length(&attribute, 0x30), 0x31), 0x30);
        DistinguishedName::read(&der).unwrap()
    };
    let (utf8, printable, ia5, bmp, octets) = (0x0c, 0x13, 0x16, 0x1e, 0x04);
    let plain = name(utf8, b"corp ca");
    for (tag, text) in [(printable, &b"Corp CA"[..]), (utf8, b" corp   CA "), (ia5, b"CORP CA")] {
        assert_eq!(name(tag, text), plain);
    }
    assert_eq!(name(bmp, b"\0C\0o\0r\0p\0 \0C\0A"), plain);
    assert_eq!(name(utf8, "\u{c4}rzte".as_bytes()), name(utf8, "\u{e4}rzte".as_bytes()));
    for (tag, text) in
        [(utf8, &b"corpca"[..]), (octets, b"corp ca"), (utf8, b"corp cb"), (bmp, b"\0C\0o\0r\0p\0 \0C")]
    {
        assert_ne!(name(tag, text), plain);
    }
}

#[test]
fn every_block_of_pem_roots_is_read_or_named() {
    let [one, two] = ["one", "two"].map(Authority::new);
    let [first, second] = [&one, &two].map(Authority::certificate_pem);
    let said = |pem: String| {
        let read: [fn(&[u8]) -> _; 2] = [
            |pem| Trust::builder().trust_pem("td".parse().unwrap(), pem),
            |pem| Trust::builder().authority_pem("corp", pem),
        ];
        read.map(|read| match read(pem.as_bytes()).and_then(|builder| builder.build()) {
            Err(error) => format!("{}: {error}", error.code()),
            Ok(trust) => {
                let peers = PeerAuthenticator::new(trust);
                let known = |root: &Authority| {
                    let mut extensions = Extensions::new();
                    let issued = [root.issue_spiffe("spiffe://td/a"), root.leaf().dns("a.example").issue()];
                    issued.iter().any(|issued| {
                        extensions.insert(PeerCertificates::presented(issued.chain()));
                        peers.authenticate(&extensions, a_day()).is_ok()
                    })
                };
                format!("{} {}", known(&one), known(&two))
            }
        })
    };
    let indented: String = first.lines().map(|line| format!("    {line}\n")).collect();
    for good in [
        format!("{first}{second}"),
        format!("\u{feff}{first}{second}"),
        format!("{first}{second}").replace('\n', "\r\n"),
        format!("{indented}\n# two\n{second}"),
    ] {
        assert_eq!(said(good), ["true true"; 2]);
    }
    let trusted = first.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
    let key = one.issue_spiffe("spiffe://td/a").key_pem();
    for (bad, why) in [
        (
            format!("{trusted}{second}"),
            "line 1: a block `TRUSTED CERTIFICATE` is not a root: give `CERTIFICATE` only",
        ),
        (format!("{key}{second}"), "line 1: a block `PRIVATE KEY` is not a root: give `CERTIFICATE` only"),
        (
            first.replace("CERTIFICATE", "X509 CRL") + &second,
            "line 1: a block `X509 CRL` is not a root: give `CERTIFICATE` only",
        ),
        (
            first.replace("-----END CERTIFICATE-----\n", "") + &second,
            "line 1: the block `CERTIFICATE` that begins here does not end",
        ),
    ] {
        let [domain, authority] = said(bad);
        assert_eq!(domain, format!("roots-not-pem: the roots of `td` cannot be read from PEM: {why}"));
        assert_eq!(authority, format!("roots-not-pem: the roots of `corp` cannot be read from PEM: {why}"));
    }
    for empty in ["", "\n\n", "no block at all", "MIIB"] {
        assert!(said(empty.to_owned()).iter().all(|said| said.starts_with("no-roots: ")), "{empty}");
    }
}

#[test]
fn many_roots_of_one_name_are_told_apart_by_their_keys() {
    let roots: Vec<_> = (0..60).map(|_| Authority::new("root")).collect();
    let mut builder = Trust::builder();
    for (at, root) in roots.iter().enumerate() {
        builder = builder.authority(&format!("tenant-{at:02}"), [root.certificate()]).unwrap();
    }
    let all = roots.iter().map(Authority::certificate);
    let peers = PeerAuthenticator::new(builder.trust("td".parse().unwrap(), all).unwrap().build().unwrap());
    let said = |chain: Vec<CertificateDer<'static>>| {
        let mut extensions = Extensions::new();
        extensions.insert(PeerCertificates::presented(chain));
        peers
            .authenticate(&extensions, a_day())
            .map_or_else(|e| e.code().to_owned(), |peer| peer.unwrap().to_string())
    };
    let last = roots.last().unwrap();
    assert_eq!(said(last.leaf().dns("a.example").issue().chain()), "tenant-59/a.example");
    assert_eq!(said(last.issue_spiffe("spiffe://td/a").chain()), "spiffe://td/a");
    assert_eq!(said(Authority::new("root").issue_spiffe("spiffe://td/a").chain()), "bad-signature");
}

#[test]
fn an_intermediate_with_a_weak_key_is_refused() {
    let root = Authority::new("root");
    assert_eq!(below(&root, draft()), BOTH);
    assert_eq!(below(&root, draft().rsa_1024()), ["key-size"; 2]);
}

#[test]
fn a_certificate_that_names_two_signature_algorithms_is_refused() {
    let root = Authority::new("root");
    // The last byte of ecdsa-with-SHA256, and of ecdsa-with-SHA384.
    let name = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let change = |signed: &mut Vec<u8>| {
        let at = signed.windows(name.len()).position(|part| part == name).unwrap();
        signed[at + name.len() - 1] = 3;
    };
    let leaf = root.issue_spiffe("spiffe://td/a").certificate();
    assert_eq!(judge(&root, [root.sign_again(&leaf, |_| {})]), "spiffe://td/a");
    let error = ask(&root, [root.sign_again(&leaf, change)]).unwrap_err();
    assert_eq!(error.to_string(), "the leaf is malformed: it names two signature algorithms");
    let middle = draft().below(&root);
    let leaf = middle.issue_spiffe("spiffe://td/a").certificate();
    let above = |change: &dyn Fn(&mut Vec<u8>)| root.sign_again(&middle.certificate(), change);
    assert_eq!(judge(&root, [leaf.clone(), above(&|_| {})]), "spiffe://td/a");
    let error = ask(&root, [leaf, above(&change)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "intermediate 1 (`CN=middle`) is malformed: it names two signature algorithms"
    );
}

#[test]
fn a_certificate_has_a_hundred_extensions_at_most() {
    let root = Authority::new("root");
    let leaf = |more: u64| {
        let leaf = root.leaf().spiffe("spiffe://td/a");
        (0..more)
            .fold(leaf, |leaf, at| leaf.with_extension(&[1, 3, 6, 1, 4, 1, 99999, at], vec![5, 0]))
            .issue()
            .chain()
    };
    assert_eq!(judge(&root, leaf(60)), "spiffe://td/a");
    let error = ask(&root, leaf(101)).unwrap_err();
    assert_eq!(error.to_string(), "the leaf is malformed: more than 100 extensions");
}

#[test]
fn a_name_is_read_to_its_last_byte() {
    let root = Authority::new("root");
    let leaf = root.leaf().spiffe("spiffe://td/a").common_name("abcde").issue().certificate();
    // `CN=abcde`, and the same bytes with a tag that is not an attribute's.
    let name = [0x31, 14, 0x30, 12, 6, 3, 0x55, 4, 3, 0x0c, 5, b'a', b'b', b'c', b'd', b'e'];
    let change = |signed: &mut Vec<u8>| {
        let at = signed.windows(name.len()).position(|part| part == name).unwrap();
        signed[at] = 0x30;
    };
    assert_eq!(judge(&root, [root.sign_again(&leaf, |_| {})]), "spiffe://td/a");
    assert_eq!(judge(&root, [root.sign_again(&leaf, change)]), "malformed-certificate");
}

#[test]
fn a_key_is_known_again_in_whatever_lengths_it_is_written() {
    let (a, b) = (Authority::new("root a"), Authority::new("root b"));
    let trust = Trust::builder().trust("a".parse().unwrap(), [a.certificate()]).unwrap();
    let trust = trust.trust("b".parse().unwrap(), [b.certificate()]).unwrap().build().unwrap();
    let crossed = Authority::draft("b").like(&b).below(&a);
    // The length of the key's algorithm in two bytes, and of what is around it one more.
    let longer = |signed: &mut Vec<u8>| {
        let at = signed.windows(4).position(|part| part == [0x30, 0x59, 0x30, 0x13]).unwrap();
        signed[at + 1] += 1;
        signed.insert(at + 3, 0x81);
        assert_eq!(signed[1], 0x82);
        let length = u16::from_be_bytes([signed[2], signed[3]]) + 1;
        signed[2..4].copy_from_slice(&length.to_be_bytes());
    };
    let leaf = crossed.issue_spiffe("spiffe://a/x").certificate();
    let said = |above: CertificateDer<'static>| {
        let mut extensions = Extensions::new();
        extensions.insert(PeerCertificates::presented([leaf.clone(), above]));
        PeerAuthenticator::new(trust.clone()).authenticate(&extensions, a_day()).unwrap_err().to_string()
    };
    let told = said(a.sign_again(&crossed.certificate(), longer));
    assert_eq!(told, "intermediate 1 (`CN=root b`) is malformed: its key is not in DER");
}

#[test]
fn a_key_is_known_again_in_whatever_form_it_is_written() {
    type Form = fn(AuthorityDraft) -> AuthorityDraft;
    let forms: [(Form, &str); 3] = [
        (|draft| draft, "foreign-authority"),
        (|draft| draft.compressed_key(), "key-kind"),
        (|draft| draft.nested_key(), "key-kind"),
    ];
    let a = Authority::new("root a");
    for (b, forms) in [
        (Authority::new("root b"), &forms[..]),
        // There is no compressed form of it.
        (Authority::draft("root b").ed25519().root(), &[forms[0], forms[2]][..]),
    ] {
        let trust = Trust::builder().trust("a".parse().unwrap(), [a.certificate()]).unwrap();
        let trust = trust.trust("b".parse().unwrap(), [b.certificate()]).unwrap().build().unwrap();
        let said = |chain: Vec<CertificateDer<'static>>| {
            let mut extensions = Extensions::new();
            extensions.insert(PeerCertificates::presented(chain));
            let peer = PeerAuthenticator::new(trust.clone()).authenticate(&extensions, a_day());
            peer.map_or_else(|error| error.code().to_owned(), |peer| peer.unwrap().to_string())
        };
        assert_eq!(said(b.issue_spiffe("spiffe://b/x").chain()), "spiffe://b/x");
        // A signs B's root, as B has written its key.
        for (form, expected) in forms {
            let crossed = form(Authority::draft("b").like(&b)).below(&a);
            assert_eq!(said(crossed.issue_spiffe("spiffe://a/x").chain()), *expected);
        }
    }
}

#[test]
fn a_trust_domain_with_a_point_at_its_end_is_another_one() {
    let svid: fn(&Authority) -> LeafDraft<'_> = |by| by.leaf().spiffe("spiffe://td/a");
    let point: &[(u8, &[u8])] = &[(URI, b"td.")];
    assert_eq!(constrained(point, &[], svid), "malformed-certificate");
    assert_eq!(constrained(&[], point, svid), "malformed-certificate");
}

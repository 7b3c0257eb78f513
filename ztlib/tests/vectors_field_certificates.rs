//! Certificates, roots and revocation lists after public bug reports. The folder comes from
//! `ZTLIB_VECTORS`, the format from the README beside the cases; here stands what is expected of
//! each, by the first word of its name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test"
)]

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Extensions;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use serde_json::Value as Json;
use ztlib::authenticate::peer::{PeerAuthenticator, PeerCertificates, Trust, TrustError};

/// What is right for a case.
enum Expected {
    /// The peer is let in under this name.
    Peer(&'static str),
    /// The peer is let in under a name that begins so.
    PeerOf(&'static str),
    /// The peer is refused with this code, and its text says this.
    Refused(&'static str, &'static str),
    /// The roots or lists are refused with this code when they are given, and the text says this.
    NotLoaded(&'static str, &'static str),
}

use Expected::{NotLoaded, Peer, PeerOf, Refused};

const EXPECTED: [(&str, Expected); 14] = [
    (
        "P4",
        Refused(
            "revoked",
            "the leaf (serial number 0x37) was revoked by revocation list 1 (issuer `CN=Root`",
        ),
    ),
    (
        "P6",
        Refused(
            "revoked",
            "the leaf (serial number 0x37) was revoked by revocation list 1 (issuer `CN=Root`",
        ),
    ),
    (
        "P17",
        Refused(
            "revoked",
            "the leaf (serial number 0x37) was revoked by revocation list 0 (issuer `CN=Root`",
        ),
    ),
    ("R2a", Peer("spiffe://td/a")),
    (
        "R1a",
        NotLoaded(
            "revocation-list-version",
            "revocation list 0 (issuer `CN=Root`, without a number) of `td` cannot be used: it is of version 1",
        ),
    ),
    ("R4c", Peer("spiffe://td/a")),
    ("C3b", Peer("corp/win-7q2k.corp.example")),
    ("C3c", Peer("corp/host1.corp.example")),
    ("C3h", Peer("corp/host1,host1.corp.example")),
    ("C4a", PeerOf("spiffe://td/")),
    ("C8c", PeerOf("spiffe://td/")),
    ("C1c", Refused("unknown-critical-extension", "2.5.29.32")),
    ("BOM,", PeerOf("spiffe://td/")),
    ("TRUSTED", NotLoaded("roots-not-pem", "line 1")),
];

/// `None` where the variable is not set: the cases are not part of the repository.
fn cases() -> Option<Vec<Json>> {
    let Some(folder) = std::env::var_os("ZTLIB_VECTORS") else {
        eprintln!("SKIPPED: ZTLIB_VECTORS is not set");
        return None;
    };
    let path = PathBuf::from(folder).join("field/cases.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let Json::Array(cases) = serde_json::from_str(&text).unwrap() else { panic!("not a list of cases") };
    Some(cases.into_iter().filter(|case| case["kind"] == "cert").collect())
}

/// The DER of each item of a list of hexadecimal texts.
fn ders(list: &Json) -> Vec<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let der = |text: &Json| text.as_str().unwrap().as_bytes().chunks(2).map(byte).collect();
    list.as_array().map(|items| items.iter().map(der).collect()).unwrap_or_default()
}

fn certificates(list: &Json) -> Vec<CertificateDer<'static>> {
    ders(list).into_iter().map(CertificateDer::from).collect()
}

fn moment(seconds: &Json) -> Option<SystemTime> {
    seconds.as_u64().map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds))
}

/// The trust of a case, with the lists in the order given or in the other.
fn trust(case: &Json, backwards: bool) -> Result<Trust, TrustError> {
    let mut lists: Vec<_> = ders(&case["crls"]).into_iter().map(CertificateRevocationListDer::from).collect();
    if backwards {
        lists.reverse();
    }
    let roots = certificates(&case["roots"]);
    let pem = case["roots_pem"].as_str();
    let mut builder = Trust::builder();
    if let Some(domain) = case["domain"].as_str() {
        let domain: ztlib::authenticate::peer::TrustDomain = domain.parse().unwrap();
        builder = match pem {
            Some(pem) => builder.trust_pem(domain.clone(), pem.as_bytes())?,
            None => builder.trust(domain.clone(), roots)?,
        };
        if !lists.is_empty() {
            builder = builder.trust_revocations(&domain, lists)?;
        }
    } else {
        let name = case["authority"].as_str().expect("a domain or an authority");
        builder = match pem {
            Some(pem) => builder.authority_pem(name, pem.as_bytes())?,
            None => builder.authority(name, roots)?,
        };
        if !lists.is_empty() {
            builder = builder.authority_revocations(name, lists)?;
        }
    }
    builder.build()
}

/// The peer's name, or code and text of the refusal.
fn judge(trust: &Trust, case: &Json, now: SystemTime) -> Result<String, (String, String)> {
    let mut extensions = Extensions::new();
    extensions.insert(PeerCertificates::foreign(certificates(&case["chain"])));
    PeerAuthenticator::new(trust.clone())
        .trust_foreign_acceptor()
        .authenticate(&extensions, now)
        .map(|peer| peer.expect("a peer").to_string())
        .map_err(|error| (error.code().to_owned(), error.to_string()))
}

/// What is wrong with the case, if anything.
fn fault(case: &Json, expected: &Expected) -> Option<String> {
    for backwards in [false, true] {
        // A text names a list by its place.
        let says = |text: &str, told: &str| backwards || told.contains(text);
        let trust = match (trust(case, backwards), expected) {
            (Ok(trust), Peer(_) | PeerOf(_) | Refused(..)) => trust,
            (Err(error), NotLoaded(code, text))
                if error.code() == *code && says(text, &error.to_string()) =>
            {
                continue;
            }
            (Ok(_), _) => return Some("it was loaded".to_owned()),
            (Err(error), _) => return Some(format!("it was not loaded: {error}")),
        };
        let moments: Vec<_> = ["now", "later"].into_iter().filter_map(|at| moment(&case[at])).collect();
        if moments.is_empty() {
            return Some("it has no moment".to_owned());
        }
        for now in moments {
            let verdict = judge(&trust, case, now);
            let right = match (&verdict, expected) {
                (Ok(peer), Peer(name)) => peer == name,
                (Ok(peer), PeerOf(begins)) => peer.starts_with(begins),
                (Err((code, told)), Refused(expected, text)) => code == expected && says(text, told),
                _ => false,
            };
            if !right {
                return Some(format!("{verdict:?}"));
            }
        }
    }
    None
}

#[test]
fn certificates_after_bug_reports_are_judged_as_is_right() {
    let Some(cases) = cases() else { return };
    let mut faults = Vec::new();
    let mut met = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let word = name.split(' ').next().unwrap_or_default();
        let Some((word, expected)) = EXPECTED.iter().find(|(known, _)| *known == word) else {
            faults.push(format!("{name}: nothing is expected of it"));
            continue;
        };
        met.push(*word);
        if let Some(fault) = fault(case, expected) {
            faults.push(format!("{name} ({}): {fault}", case["expected"]));
        }
    }
    for (word, _) in &EXPECTED {
        if !met.contains(word) {
            faults.push(format!("{word}: there is no such case"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

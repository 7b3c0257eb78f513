//! Chains of certificates made by others: x509-limbo's, and one for each sentence of SPIFFE-ID and
//! X509-SVID. The folder comes from `ZTLIB_VECTORS`. We agree, or
//! `vectors_certificates_exceptions.toml` says why not; an exception on which we come to agree
//! fails as well.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Extensions;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use serde_json::Value;
use ztlib::authenticate::peer::{PeerAuthenticator, PeerCertificates, Trust};

/// `None` where the variable is not set: the vectors are not part of the repository.
fn cases(file: &str) -> Option<Vec<Value>> {
    let Some(folder) = std::env::var_os("ZTLIB_VECTORS") else {
        eprintln!("skipped: ZTLIB_VECTORS is not set");
        return None;
    };
    let path = PathBuf::from(folder).join("certificates").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_str(&text).unwrap())
}

fn ders(list: &Value) -> Vec<Vec<u8>> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|der| STANDARD.decode(der.as_str().unwrap()).unwrap()).collect()
}

/// The peer, or the code of the error: of the roots or of the chain.
fn judge(case: &Value) -> Result<String, String> {
    let roots: Vec<_> = ders(&case["roots"]).into_iter().map(CertificateDer::from).collect();
    let lists: Vec<_> = ders(&case["crls"]).into_iter().map(CertificateRevocationListDer::from).collect();
    let builder = Trust::builder();
    let trust = match (case["domain"].as_str(), case["authority"].as_str()) {
        (Some(domain), _) => {
            let domain = domain.parse().unwrap();
            let builder = builder.trust(domain, roots);
            builder.and_then(|builder| match lists.is_empty() {
                true => Ok(builder),
                false => builder.trust_revocations(&case["domain"].as_str().unwrap().parse().unwrap(), lists),
            })
        }
        (None, Some(name)) => builder.authority(name, roots).and_then(|builder| match lists.is_empty() {
            true => Ok(builder),
            false => builder.authority_revocations(name, lists),
        }),
        (None, None) => panic!("nobody is trusted: {case}"),
    };
    let trust =
        trust.and_then(|builder| builder.build()).map_err(|error| format!("{} ({error})", error.code()))?;
    let mut extensions = Extensions::new();
    let chain = ders(&case["chain"]).into_iter().map(CertificateDer::from);
    extensions.insert(PeerCertificates::foreign(chain));
    let now = UNIX_EPOCH + Duration::from_secs(case["now"].as_u64().unwrap());
    let peer = PeerAuthenticator::new(trust).trust_foreign_acceptor().authenticate(&extensions, now);
    match peer {
        Ok(peer) => Ok(peer.unwrap().to_string()),
        Err(error) => Err(format!("{} ({error})", error.code())),
    }
}

/// The names of one table of the exceptions with their reasons.
fn exceptions(table: &str) -> BTreeMap<String, String> {
    let text = include_str!("vectors_certificates_exceptions.toml");
    let all: toml::Table = text.parse().unwrap();
    let table = all[table].as_table().unwrap();
    table.iter().map(|(name, reason)| (name.clone(), reason.as_str().unwrap().to_owned())).collect()
}

fn check(file: &str, table: &str, least: usize) {
    let Some(cases) = cases(file) else { return };
    let mut exceptions = exceptions(table);
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let accept = match case["expected"].as_str().unwrap() {
            "SUCCESS" | "accept" => true,
            "FAILURE" | "refuse" => false,
            // The text leaves it open.
            "either" => continue,
            other => panic!("{name}: {other}"),
        };
        let said = judge(case);
        let excepted = exceptions.remove(name);
        if (said.is_ok() == accept) == excepted.is_some() {
            let theirs = if accept { "accept" } else { "refuse" };
            wrong.push(format!("{name}: {said:?} (theirs: {theirs}, excepted: {excepted:?})"));
        }
    }
    wrong.extend(exceptions.into_keys().map(|name| format!("{name}: excepted, and no such case")));
    assert!(cases.len() >= least, "{file} has {} cases only", cases.len());
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn chains_of_limbo_are_judged_as_its_generator_says() {
    check("limbo-for-clients.json", "limbo", 130);
}

#[test]
fn each_must_of_the_spiffe_standards_is_kept() {
    check("spiffe-musts.json", "spiffe", 75);
}

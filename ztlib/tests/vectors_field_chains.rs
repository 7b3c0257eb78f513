//! Certificates as public bug reports have them, each with what is right. The folder comes from `ZTLIB_VECTORS`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test"
)]

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use http::Extensions;
use rustls_pki_types::CertificateDer;
use serde_json::Value;
use ztlib::authenticate::peer::{PeerAuthenticator, PeerCertificates, Trust};

/// What the answer begins with; or the code and a part of the text of the error.
type Expected = Result<&'static str, (&'static str, &'static str)>;

/// The beginning of the case's name, and what is right.
const CASES: &[(&str, Expected)] = &[
    ("C3b", Ok("corp/win-7q2k.corp.example")),
    ("C3c", Ok("corp/host1.corp.example")),
    ("C3h", Ok("corp/host1,host1.corp.example")),
    ("C4a", Ok("spiffe://td/")),
    ("C8c", Ok("spiffe://td/")),
    ("C1c", Err(("unknown-critical-extension", "2.5.29.32"))),
    ("BOM", Ok("spiffe://td/")),
    ("TRUSTED", Err(("roots-not-pem", "line 1"))),
];

/// `None` where the variable is not set: the cases are not part of the repository.
fn cases() -> Option<Vec<Value>> {
    let Some(folder) = std::env::var_os("ZTLIB_VECTORS") else {
        eprintln!("skipped: ZTLIB_VECTORS is not set");
        return None;
    };
    let path = PathBuf::from(folder).join("field/cases.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_str(&text).unwrap())
}

fn ders(list: &Value) -> Vec<CertificateDer<'static>> {
    let byte = |text: &str, at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    let der = |text: &str| (0..text.len()).step_by(2).map(|at| byte(text, at)).collect::<Vec<u8>>();
    list.as_array().unwrap().iter().map(|one| der(one.as_str().unwrap()).into()).collect()
}

fn judge(case: &Value) -> Result<String, (String, String)> {
    let builder = Trust::builder();
    let trust = match (case["domain"].as_str(), case["authority"].as_str(), case["roots_pem"].as_str()) {
        (Some(domain), _, Some(pem)) => builder.trust_pem(domain.parse().unwrap(), pem.as_bytes()),
        (Some(domain), _, None) => builder.trust(domain.parse().unwrap(), ders(&case["roots"])),
        (None, name, _) => builder.authority(name.unwrap(), ders(&case["roots"])),
    };
    let trust = trust
        .and_then(|builder| builder.build())
        .map_err(|error| (error.code().to_owned(), error.to_string()))?;
    let mut extensions = Extensions::new();
    extensions.insert(PeerCertificates::foreign(ders(&case["chain"])));
    let now = UNIX_EPOCH + Duration::from_secs(case["now"].as_u64().unwrap());
    let peers = PeerAuthenticator::new(trust).trust_foreign_acceptor();
    match peers.authenticate(&extensions, now) {
        Ok(peer) => Ok(peer.unwrap().to_string()),
        Err(error) => Err((error.code().to_owned(), error.to_string())),
    }
}

#[test]
fn chains_of_the_field_are_judged_as_they_should() {
    let Some(cases) = cases() else { return };
    for (name, expected) in CASES {
        let case = cases
            .iter()
            .find(|case| case["kind"] == "cert" && case["name"].as_str().unwrap().starts_with(name));
        let case = case.unwrap_or_else(|| panic!("no case {name}"));
        let said = judge(case);
        let right = match (&said, expected) {
            (Ok(peer), Ok(begins)) => peer.starts_with(begins),
            (Err((code, text)), Err((expected, part))) => code == expected && text.contains(part),
            _ => false,
        };
        assert!(right, "{name}: {said:?} ({})", case["expected"]);
    }
}

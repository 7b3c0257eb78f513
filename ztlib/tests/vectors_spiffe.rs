//! go-spiffe's tables of SPIFFE IDs and trust domains, row by row. The folder comes from
//! `ZTLIB_VECTORS`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test"
)]

use std::path::PathBuf;

use serde_json::Value;
use ztlib::authenticate::peer::{SpiffeId, SpiffeIdError, TrustDomain};

/// Rows that we judge otherwise than go-spiffe, with the reason. A row that we come to agree on
/// fails the test as well.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// `None` where the variable is not set: the tables are not part of the repository.
fn tables() -> Option<Value> {
    let Some(folder) = std::env::var_os("ZTLIB_VECTORS") else {
        eprintln!("skipped: ZTLIB_VECTORS is not set");
        return None;
    };
    let path = PathBuf::from(folder).join("spiffe/spiffe-id-tables.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_str(&text).unwrap())
}

/// go-spiffe's message for the same rule.
fn message(error: &SpiffeIdError) -> &'static str {
    match error {
        SpiffeIdError::Scheme { .. } => "scheme is missing or invalid",
        SpiffeIdError::TrustDomainMissing => "trust domain is missing",
        SpiffeIdError::TrustDomainUpperCase { .. } | SpiffeIdError::TrustDomainCharacter { .. } => {
            "trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores"
        }
        SpiffeIdError::PathCharacter { .. } => {
            "path segment characters are limited to letters, numbers, dots, dashes, and underscores"
        }
        SpiffeIdError::EmptySegment => "path cannot contain empty segments",
        SpiffeIdError::DotSegment => "path cannot contain dot segments",
        SpiffeIdError::TrailingSlash => "path cannot have a trailing slash",
        _ => "no such rule there",
    }
}

/// Each row as one line: what it should give, and what we give.
fn check(rows: &Value, judge: impl Fn(&str) -> String, expect: impl Fn(&Value) -> String) {
    let rows = rows.as_array().unwrap();
    let mut wrong = Vec::new();
    for row in rows {
        let input = row["in"].as_str().unwrap();
        let agree = judge(input) == expect(row);
        let excepted = EXCEPTIONS.iter().any(|(row, _)| *row == input);
        if agree == excepted {
            wrong.push(format!(
                "{input:?}: {} (theirs: {}, excepted: {excepted})",
                judge(input),
                expect(row)
            ));
        }
    }
    assert!(rows.len() > 100, "the table has {} rows only", rows.len());
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn every_spiffe_id_of_the_table_is_judged_as_go_spiffe_does() {
    let Some(tables) = tables() else { return };
    check(
        &tables["spiffe_ids"],
        |input| match SpiffeId::parse(input) {
            Ok(id) => format!("{} {}", id.trust_domain(), id.path()),
            Err(error) => message(&error).to_owned(),
        },
        |row| match row["error"].as_str() {
            Some(error) => error.to_owned(),
            None => format!("{} {}", row["trust_domain"].as_str().unwrap(), row["path"].as_str().unwrap()),
        },
    );
}

#[test]
fn every_trust_domain_of_the_table_is_judged_as_go_spiffe_does() {
    let Some(tables) = tables() else { return };
    check(
        &tables["trust_domains"],
        |input| match TrustDomain::parse(input) {
            Ok(domain) => domain.to_string(),
            Err(error) => message(&error).to_owned(),
        },
        |row| row["error"].as_str().or(row["trust_domain"].as_str()).unwrap().to_owned(),
    );
}

#[test]
fn the_cases_of_svid_verification_are_known() {
    let Some(tables) = tables() else { return };
    let ours = [
        ("empty chain", "an_empty_chain_is_refused"),
        ("empty bundle", "roots_must_be_there"),
        ("nil bundle", "roots_must_be_there"),
        ("no roots", "roots_must_be_there"),
        ("no roots for leaf cert domain", "an_unknown_trust_domain_is_refused"),
        ("bad leaf cert id", "spiffe_id_rules_are_named_in_certificates"),
        ("verification fails", "one_domain_never_vouches_for_another"),
        ("no URI SAN", "only_uris_and_dns_names_become_an_identity"),
        ("more than one URI SAN", "two_uri_sans_are_refused_even_if_equal"),
        ("leaf is CA", "each_rule_for_leaves_has_its_own_error"),
        ("leaf has KeyUsageCertSign", "each_rule_for_leaves_has_its_own_error"),
        ("leaf has KeyUsageCRLSign", "each_rule_for_leaves_has_its_own_error"),
        ("with time", "validity_is_checked_on_every_request"),
        ("success", "a_spiffe_peer_is_known_by_its_id"),
    ];
    for case in tables["x509svid_verify_case_names"].as_array().unwrap() {
        let name = case.as_str().unwrap();
        assert!(ours.iter().any(|(theirs, _)| *theirs == name), "no test of ours for {name:?}");
    }
}

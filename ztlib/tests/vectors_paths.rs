//! Paths and forwarded-certificate headers of Istio and Envoy, row by row, through the guard. The
//! folder comes from `ZTLIB_VECTORS`.
//!
//! Istio and Envoy rewrite paths; ztlib does not. So each row must either pass **as it stands**,
//! the policy seeing the very bytes that were sent, or be a 400 whose code says why.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a test"
)]

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::{Extensions, Uri};
use serde_json::Value as Json;
use ztlib::authorize::{Answer, Read, Value};
use ztlib::enforce::{Guard, MatchedRoute};

use support::{FRONTEND, World, allow, deciding, text};

/// `None` where the variable is not set: the tables are not part of the repository.
fn table(name: &str) -> Option<Json> {
    let Some(folder) = std::env::var_os("ZTLIB_VECTORS") else {
        eprintln!("skipped: ZTLIB_VECTORS is not set");
        return None;
    };
    let path = PathBuf::from(folder).join("http").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_str(&text).unwrap())
}

/// Every path in the tables, whatever a row expects of it.
fn paths(table: &Json) -> Vec<String> {
    let mut found = Vec::new();
    let mut rows = vec![table];
    while let Some(row) = rows.pop() {
        match row {
            Json::String(text) => found.push(text.clone()),
            Json::Array(items) => rows.extend(items),
            Json::Object(members) => {
                let names = ["source", "name", "normalization", "policy", "allow"];
                rows.extend(
                    members
                        .iter()
                        .filter(|(name, _)| !names.contains(&name.as_str()))
                        .map(|(_, value)| value),
                );
            }
            _ => {}
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The rule said again, by other means than the code has: what of a path keeps it from standing as
/// it is.
fn fault_of(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        return Some("path-not-absolute");
    }
    if path.contains("//") {
        return Some("path-empty-segment");
    }
    let decoded: Vec<Vec<u8>> = path.split('/').skip(1).map(decode).collect::<Option<_>>()?;
    if decoded.iter().any(|segment| segment == b"." || segment == b"..") {
        return Some("path-dot-segment");
    }
    None
}

/// Whether what a code says of a path is so: of several faults any may be named.
fn is_true(code: &str, path: &str) -> bool {
    let escapes = || path.split('%').skip(1).map(|rest| rest.get(..2).unwrap_or(rest));
    let hexadecimal =
        |digits: &&str| digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let values = || escapes().filter(hexadecimal).map(|digits| u8::from_str_radix(digits, 16).unwrap());
    match code {
        "path-not-absolute" => !path.starts_with('/'),
        "path-empty-segment" => path.contains("//"),
        "path-dot-segment" => {
            path.split('/').filter_map(decode).any(|segment| segment == b"." || segment == b"..")
        }
        "path-encoded-slash" => path.contains("%2F"),
        "path-malformed-escape" => !escapes().all(|digits| hexadecimal(&digits)),
        "path-unsafe-escape" => {
            values().any(|byte| byte < 0x20 || byte == 0x7f || byte == b'\\' || byte >= 0x80)
        }
        "path-needless-escape" => {
            let lower_case = escapes().any(|digits| digits.bytes().any(|digit| digit.is_ascii_lowercase()));
            lower_case || values().any(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        }
        "path-illegal-character" => {
            path.bytes().any(|byte| !byte.is_ascii_alphanumeric() && !b"-._~!$&'()*+,;=:@/%".contains(&byte))
        }
        other => panic!("{path}: no such code is expected here: {other}"),
    }
}

/// A segment without its escapes; nothing where an escape is malformed.
fn decode(segment: &str) -> Option<Vec<u8>> {
    let mut pieces = segment.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(piece.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    Some(bytes)
}

/// Whether a path is already what RFC 3986 section 6.2.2 would make of it, by encoding what it
/// decodes to.
fn is_normal(path: &str) -> bool {
    let encode = |segment: Vec<u8>| {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(byte);
        segment
            .iter()
            .map(|byte| if plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
            .collect::<String>()
    };
    fault_of(path).is_none()
        && path.split('/').all(|segment| {
            // An escape of a reserved character means something else than the character, so it may
            // stand.
            let reserved = b"!$&'()*+,;=:@";
            let bare = reserved
                .iter()
                .fold(segment.to_owned(), |segment, byte| segment.replace(&format!("%{byte:02X}"), ""));
            decode(&bare).is_some_and(|decoded| {
                let safe = |byte: &u8| *byte >= 0x20 && *byte != 0x7f && *byte != b'\\' && *byte != b'/';
                decoded.iter().all(safe) && std::str::from_utf8(&decoded).is_ok() && encode(decoded) == bare
            })
        })
}

/// What the guard makes of a path: the path that the policy saw, or the refusal's code.
async fn judge(world: &World, guard: &Guard, peer: &Extensions, path: &str) -> Result<String, String> {
    let Ok(uri) = path.parse::<Uri>() else {
        // No server that uses the `http` crate makes a request of it: hyper answers 400 itself.
        return Err("not-http".to_owned());
    };
    let mut request = world.request_of(peer);
    *request.uri_mut() = uri;
    request.extensions_mut().insert(MatchedRoute::none());
    let before = world.handler.calls();
    let answer = world.send(guard, request).await;
    let event = world.events.one();
    match answer.status {
        200 => {
            assert_eq!(world.handler.calls(), before + 1);
            let seen = world.handler.seen();
            assert_eq!(event.log()[0].1, seen.uri.path(), "the policy and the handler see the same bytes");
            Ok(event.log()[0].1.to_string())
        }
        status => {
            assert_eq!((status, world.handler.calls()), (400, before), "{path}: {answer:?}");
            Err(answer.reason().to_owned())
        }
    }
}

#[tokio::test]
async fn every_path_of_istio_and_envoy_stands_as_it_is_or_is_a_400() {
    let Some(table) = table("path-normalization.json") else { return };
    let world = World::new();
    let peer = world.frontend().await;
    let guard = world.guard(deciding(|question, outcome| {
        outcome.log(&text(question, Read::Path)?.unwrap_or_default())?;
        Ok(Answer::Allow)
    }));
    let guard = guard.build();
    let mut counts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let paths = paths(&table);
    for sent in &paths {
        let judged = judge(&world, &guard, &peer, sent).await;
        // The request line ends a path at `?` or `#`; what is in front of it is what must stand.
        let path = sent.split(['?', '#']).next().unwrap();
        match &judged {
            Ok(seen) => {
                assert_eq!(seen, path, "{sent} was rewritten");
                assert!(is_normal(path), "{sent} passed though it is not in normal form");
            }
            Err(code) => {
                assert!(
                    !is_normal(path) || code == "not-http",
                    "{sent} was refused ({code}) though it is in normal form"
                );
                assert!(
                    code == "not-http" || is_true(code, path),
                    "{sent} is refused as {code}, which it is not"
                );
            }
        }
        counts
            .entry(judged.map_or_else(|code| code, |_| "stands as it is".to_owned()))
            .or_default()
            .push(sent.clone());
    }
    for (code, rows) in &counts {
        eprintln!(
            "{:>4} {code:<22} {}",
            rows.len(),
            rows.iter().take(4).map(|row| format!("{row:?}")).collect::<Vec<_>>().join(" ")
        );
    }
    eprintln!("{:>4} paths", paths.len());
    assert!(counts.len() > 5, "the table was not read: {counts:?}");
    let by = |code: &str| counts.get(code).map_or(0, Vec::len);
    for code in ["stands as it is", "path-empty-segment", "path-dot-segment", "path-needless-escape"] {
        assert!(by(code) > 0, "no row is {code}");
    }
}

#[tokio::test]
async fn istios_rule_on_public_paths_is_never_widened_by_how_a_path_is_written() {
    let Some(table) = table("path-normalization.json") else { return };
    let world = World::new();
    let peer = world.frontend().await;
    // Their policy: ALLOW GET paths [/public*].
    let guard = world.guard(deciding(|question, outcome| {
        let path = text(question, Read::Path)?.unwrap_or_default();
        outcome.log(&path)?;
        Ok(if path.starts_with("/public") { Answer::Allow } else { Answer::Deny })
    }));
    let guard = guard.build();
    let mut rows = 0;
    for row in table["istio_authz_path_normalization"]["cases"].as_array().unwrap() {
        let (path, allowed) = (row["path"].as_str().unwrap(), row["allow"].as_bool().unwrap());
        let mut request = world.request_of(&peer);
        *request.uri_mut() = path.parse().unwrap();
        let answer = world.send(&guard, request).await;
        // A 400 where they rewrite is stricter; an allow where they deny would be a hole.
        assert!(allowed || answer.status != 200, "{path}: {}", answer.reason());
        rows += 1;
    }
    assert!(rows > 0);
}

#[tokio::test]
async fn a_forwarded_certificate_header_makes_nobody_somebody() {
    let Some(table) = table("xfcc.json") else { return };
    let world = World::new();
    let frontend = world.frontend().await;
    let nobody = Extensions::new();
    let telling = || {
        deciding(|question, outcome| {
            let peer = text(question, Read::PeerSpiffeId)?.unwrap_or_default();
            outcome.log(&peer)?;
            Ok(if question.read(Read::PeerDnsNames)? == Value::List([].into()) {
                Answer::Allow
            } else {
                Answer::Deny
            })
        })
    };
    let strict = world.guard(allow()).build();
    let lenient = Guard::builder()
        .peers(world.peers().allow_unauthenticated())
        .tokens(world.tokens())
        .policies(telling());
    let lenient = lenient.clock(world.clock.clone()).audit(world.events.clone()).build();
    let cases = table["cases"].as_array().unwrap();
    for case in cases {
        let xfcc = case["xfcc"].as_str().unwrap();
        for name in ["x-forwarded-client-cert", "x_forwarded_client_cert"] {
            let with = |peer: &Extensions| {
                let mut request = world.request_of(peer);
                request
                    .headers_mut()
                    .insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), xfcc.parse().unwrap());
                request
            };
            assert_eq!(world.send(&strict, with(&nobody)).await.reason(), "missing-certificate", "{case}");
            assert!(world.events.one().principal().peer().is_none());
            assert_eq!(world.send(&lenient, with(&nobody)).await.reason(), "passed", "{case}");
            assert_eq!(world.events.one().log()[0].1, "", "an identity came of {case}");
            assert_eq!(world.send(&lenient, with(&frontend)).await.reason(), "passed", "{case}");
            assert_eq!(world.events.one().log()[0].1, FRONTEND, "{case}");
        }
    }
    assert!(cases.len() >= 8);
}

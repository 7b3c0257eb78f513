//! What the guard would take: what it would refuse before any policy is asked cannot be a case.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Version};
use serde_json::{Map, Value as Json};

use super::file::Written;
use crate::facts::{ClaimLimits, Claims, PeerFacts, SpiffeId, Target};
use crate::target;

pub(super) fn spiffe_peer(id: &str) -> Result<PeerFacts, String> {
    SpiffeId::parse(id).map(PeerFacts::spiffe).map_err(|error| error.to_string())
}

pub(super) fn claims(
    claims: Map<String, Json>,
    now: u64,
    is_home: bool,
) -> Result<Claims, (&'static str, String)> {
    Claims::described(claims, now, is_home, ClaimLimits::CASE)
        .map_err(|error| ("bad-claims", format!("no verified token has such claims: {error}")))
}

pub(super) fn is_method(method: &str) -> bool {
    Method::from_bytes(method.as_bytes()).is_ok()
}

pub(super) fn is_header(name: &str, values: &[String]) -> bool {
    name.parse::<HeaderName>().is_ok() && values.iter().all(|value| HeaderValue::from_str(value).is_ok())
}

/// The request as it would arrive, and what it names.
pub(super) fn target(request: &Written) -> Result<(Parts, Target), String> {
    // The host stands in the target alone, as in HTTP/2.
    let mut built = http::Request::builder().method(request.method.as_str()).uri(request.uri());
    built = built.version(Version::HTTP_2);
    for (name, values) in &request.headers {
        for value in values {
            built = built.header(name, value);
        }
    }
    let parts = built.body(()).map_err(|error| format!("this is not a request: {error}"))?.into_parts().0;
    let checked = target::check_strictly(&parts, &request.path)
        .map_err(|error| format!("no policy is asked about this request: {error} ({})", error.code()))?;
    let target = Target::new(&checked.host, &request.path);
    Ok((parts, target))
}

pub(super) fn check_parameter(value: &str) -> Result<(), String> {
    target::check_parameter(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::cases::file::read as parse;
    use crate::cases::{Case, Error, Subject};

    fn read(case: &str) -> Result<Vec<Case>, Error> {
        parse(Path::new("t.toml"), &format!("format = 1\n[[case]]\nname = 'c'\n{case}\n"), false)
    }

    /// The code and the line.
    fn error(case: &str) -> (&'static str, usize) {
        let error = read(case).err().unwrap_or_else(|| panic!("{case} is taken"));
        assert_eq!(error.file(), Path::new("t.toml"), "{error}");
        (error.code(), error.line().unwrap())
    }

    /// The mistakes that the format itself knows are in `ztlib_cases`; the SDK has these rows, too.
    #[test]
    fn what_the_guard_would_not_take_is_named_with_its_line() {
        let good = "path = '/'\nexpect = 'allow'";
        assert!(read(good).is_ok());
        for (case, code, line) in [
            ("path = '/'", "missing-key", 2),
            ("path = '/'\nexpect = 'allow'\nexpect = 'deny'", "malformed-file", 6),
            ("path = '/a/../b'\nexpect = 'allow'", "bad-request", 4),
            ("path = '/a/%2e%2E'\nexpect = 'allow'", "bad-request", 4),
            ("path = '/a//b'\nexpect = 'allow'", "bad-request", 4),
            ("path = '/a%5C'\nexpect = 'allow'", "bad-request", 4),
            ("path = '/a%41'\nexpect = 'allow'", "bad-request", 4),
            ("path = '/a%FF'\nexpect = 'allow'", "bad-request", 4),
            ("path = 'a'\nexpect = 'allow'", "bad-request", 4),
            ("path = '/'\nmethod = 'G T'\nexpect = 'allow'", "bad-request", 5),
            ("path = '/'\nmethod = 'CONNECT'\nexpect = 'allow'", "bad-request", 4),
            ("path = '/'\nhost = 'a b'\nexpect = 'allow'", "bad-request", 5),
            ("path = '/'\nhost = 'a.test?b='\nexpect = 'allow'", "bad-request", 5),
            ("path = '/'\nhost = 'a.test:99999'\nexpect = 'allow'", "bad-request", 4),
            ("path = '/'\nheaders = { content-type = ['a/b', 'c/d'] }\nexpect = 'allow'", "bad-request", 4),
            ("path = '/'\nheaders = { host = 'other.test' }\nexpect = 'allow'", "bad-request", 4),
            ("path = '/'\nheaders = { 'a b' = 'c' }\nexpect = 'allow'", "wrong-type", 5),
            ("path = '/a%2F..%2Fb'\nroute = '/{id}'\nexpect = 'allow'", "bad-request", 4),
            ("path = '/a%2Fb'\nexpect = 'allow'", "bad-request", 4),
            ("path = '/'\nparams = { id = '7' }\nexpect = 'allow'", "contradiction", 5),
            ("path = '/o/7'\nroute = '/o/{id}'\nparams = { id = 8 }\nexpect = 'allow'", "contradiction", 6),
            ("path = '/o/7'\nroute = '/p/{id}'\nexpect = 'allow'", "contradiction", 5),
            ("path = '/o/7'\nroute = 'o'\nexpect = 'allow'", "bad-route", 5),
            ("path = '/'\nheaders = { X-A = '1', x-a = '2' }\nexpect = 'allow'", "duplicate-name", 5),
            ("path = '/'\nheaders = { ztlib-peer = 'a' }\nexpect = 'allow'", "bad-request", 5),
            (
                "path = '/'\npeer = { authority = 'p', dns-names = ['127.1'] }\nexpect = 'allow'",
                "bad-peer",
                5,
            ),
            ("path = '/'\nclaims = { exp = 1 }\nexpect = 'allow'", "bad-claims", 5),
            ("path = '/'\npeer = 'http://a'\nexpect = 'allow'", "bad-peer", 5),
            ("path = '/'\npeer = 'spiffe://a.test/../x'\nexpect = 'allow'", "bad-peer", 5),
            ("path = '/'\npeer = 'spiffe://a.test'\nexpect = 'allow'", "bad-peer", 5),
            ("path = '/'\nclaims = { sub = 7 }\nexpect = 'allow'", "bad-claims", 5),
            ("path = '/'\nclaims = { aud = [] }\nexpect = 'allow'", "bad-claims", 5),
        ] {
            assert_eq!(error(case), (code, line), "{case}");
        }
    }

    #[test]
    fn what_stands_in_a_case_is_in_the_place_of_the_callers() {
        let text = "format = 1\n[caller.a]\npeer = 'spiffe://a.test/x'\nclaims = { sub = 'a' }\nremote-ip = '192.0.2.1'\n[[case]]\nname = 'c'\ncaller = 'a'\nclaims = { sub = 'b' }\npath = '/'\nexpect = 'allow'";
        let cases = parse(Path::new("t.toml"), text, false).unwrap();
        let caller = &cases[0].facts.caller;
        assert_eq!(caller.claims.as_ref().unwrap().subject(), Some("b"));
        assert_eq!(caller.peer.as_ref().unwrap().to_string(), "spiffe://a.test/x");
        assert_eq!(caller.remote_ip.unwrap().to_string(), "192.0.2.1");
    }

    #[test]
    fn a_query_is_what_the_policy_decodes_from_it() {
        let cases = read("path = '/'\nquery = { 'a b' = 'c&d=é', n = 7 }\nexpect = 'allow'").unwrap();
        let Subject::Request(request) = &cases[0].facts.subject else { panic!() };
        let mut pairs: Vec<&str> = request.parts.uri.query().unwrap().split('&').collect();
        pairs.sort_unstable();
        assert_eq!(pairs, ["a%20b=c%26d%3D%C3%A9", "n=7"]);
        assert_eq!(request.target.host(), "service.test");
    }
}

//! Files of cases mean natively what they mean in the sandbox, and are refused for the same
//! mistakes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;

use ztlib_policy::testing::Cases;
use ztlib_policy::{Answer, Policy, Question};

/// Does what the label `does` says.
struct Does;

impl Policy for Does {
    fn configure(_: &[u8]) -> Result<Self, String> {
        Ok(Self)
    }

    fn decide(&self, question: &Question<'_>) -> Answer {
        let yes = |yes: bool| if yes { Answer::Allow } else { Answer::Deny };
        match question.label("does").as_deref() {
            Some("signal") => match question.signal("risk").as_deref() {
                None => Answer::Abstain,
                Some(risk) => yes(risk == "3"),
            },
            Some("document") => yes(question.data_contains("roles", "/{subject}", "admin")),
            Some("secret") => yes(question.header("x-api-key").is_some()),
            Some("time") => yes(question.before(1_000)),
            Some("peer") => yes(question.peer_has_dns_name("a.example")),
            Some("request") => {
                let named = (question.method(), question.host(), question.path(), question.query("a b"));
                let known = ("GET".into(), "service.test".into(), "/".into(), Some("c&d".into()));
                yes(named == known && question.header_values("x-tag") == ["a", "b"])
            }
            Some("token") => yes(question.issuer().as_deref() == Some("https://issuer.test")
                && question.has_audience("service.test")
                && question.claim_int("/exp") == Some(1_795_392_300)),
            Some("copy") => {
                question.copy_to_request_header("x-tenant", "{claim:/tenant}");
                question.copy_to_request_header("x-id", "{request-id}");
                question.remove_request_header("x-old");
                Answer::Allow
            }
            Some("step-up") => {
                question.message("log in again");
                question.challenge_step_up(Some("strong"), Some(300));
                question.deny("stronger")
            }
            _ => question.deny("undeclared"),
        }
    }
}

fn cases(text: &str) -> Cases {
    let cases = Cases::parse(Path::new("t.toml"), text).unwrap();
    let cases = cases.about("does").reasons(&["stronger"]).signal("risk").secret_header("X-Api-Key");
    cases.document("roles", r#"{"alice": ["admin"]}"#)
}

/// The differences of one case.
fn differences(case: &str) -> Vec<String> {
    match cases(&format!("format = 1\n[[case]]\nname = 'c'\n{case}\n")).check(&Does) {
        Ok(()) => Vec::new(),
        Err(error) => error.problems().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_case_lays_down_all_that_a_policy_can_ask() {
    for case in [
        "labels = { does = 'signal' }\nsignals = { risk = 3 }\nexpect = 'allow'\nreads = ['label(\"does\")=\"signal\"', 'signal(\"risk\")=\"3\"']",
        "labels = { does = 'signal' }\nsignals = { risk = '4' }\nexpect = 'deny'\nreason = 'denied'",
        "labels = { does = 'signal' }\nsignals = { risk = false }\nexpect = 'abstain'",
        "labels = { does = 'signal' }\nexpect = 'fault'\nreason = 'read-signal-failed'\npolicy = 'does'",
        "labels = { does = 'document' }\nclaims = { sub = 'alice' }\nexpect = 'allow'",
        "labels = { does = 'document' }\nclaims = { sub = 'alice' }\ndocuments = { roles = { alice = 'guest' } }\nexpect = 'deny'\nreason = 'denied'",
        "labels = { does = 'secret' }\nheaders = { x-api-key = 'k' }\nexpect = 'fault'\nreason = 'read-secret'",
        "labels = { does = 'time' }\nnow = 999\nexpect = 'allow'",
        "labels = { does = 'time' }\nnow = 1970-01-01T00:16:40Z\nexpect = 'deny'\nreason = 'denied'",
        "labels = { does = 'peer' }\npeer = { authority = 'p', dns-names = ['A.example'] }\nexpect = 'allow'",
        "labels = { does = 'peer' }\nexpect = 'deny'\nreason = 'denied'",
        "labels = { does = 'request' }\nquery = { 'a b' = 'c&d' }\nheaders = { X-Tag = ['a', 'b'] }\nexpect = 'allow'",
        "labels = { does = 'token' }\nclaims = {}\nexpect = 'allow'",
        "labels = { does = 'token' }\nclaims = { iss = 'https://other.test' }\nexpect = 'deny'\nreason = 'denied'",
        "labels = { does = 'copy' }\nclaims = { tenant = 'acme' }\nexpect = 'allow'\nrequest-headers = { X-Tenant = 'acme', x-id = true, x-old = false }\nresponse-headers = {}",
        "labels = { does = 'copy' }\nexpect = 'bad-request'\nreason = 'obligation-source-absent'",
        "labels = { does = 'step-up' }\nexpect = 'deny'\nreason = 'stronger'\nmessage = 'log in again'\nstep-up = { acr = 'strong', max-age = 300 }\npolicy = 'does'",
        "expect = 'fault'\nreason = 'outcome-undeclared-reason'",
    ] {
        assert_eq!(differences(&format!("path = '/'\n{case}")), Vec::<String>::new(), "{case}");
    }
    let action = "action = 'a'\nlabels = { does = 'copy' }\nexpect = 'allow'\nrequest-headers = {}";
    assert_eq!(differences(action), Vec::<String>::new(), "an action has no header to change");
}

#[test]
fn each_difference_is_named_in_the_words_of_the_host() {
    for (case, difference) in [
        (
            "expect = 'allow'",
            "t.toml:5: case `c`: expected allow, got fault `outcome-undeclared-reason` by `does`: the manifest declares no reason `undeclared` for this policy",
        ),
        (
            "labels = { does = 'step-up' }\nexpect = 'deny'\nreason = 'weaker'",
            "t.toml:7: case `c`: expected the reason `weaker`, got `stronger`",
        ),
        (
            "labels = { does = 'step-up' }\nexpect = 'deny'\nreason = 'stronger'\nstep-up = { max-age = 300 }",
            "t.toml:8: case `c`: expected the step-up max-age 300, got acr `strong`, max-age 300",
        ),
        (
            "labels = { does = 'time' }\nnow = 1\nexpect = 'allow'\nreads = ['label(\"does\")=\"time\"', 'now=1']",
            "t.toml:8: case `c`: expected `now=1` as read 2, got `before(1000)=yes`",
        ),
        (
            "labels = { does = 'copy' }\nclaims = { tenant = 'acme' }\nexpect = 'allow'\nrequest-headers = { x-tenant = 'b', x-id = true, x-old = false }",
            "t.toml:8: case `c`: expected the request header `x-tenant` to be `b`, and it is `acme`",
        ),
        (
            "labels = { does = 'copy' }\nclaims = { tenant = 'acme' }\nexpect = 'allow'\nrequest-headers = { x-tenant = true, x-id = true }",
            "t.toml:8: case `c`: the request header `x-old` is changed, which is not expected",
        ),
    ] {
        assert_eq!(differences(&format!("path = '/'\n{case}")), [difference], "{case}");
    }
}

#[test]
fn what_cannot_be_asked_natively_is_an_error_and_not_a_pass() {
    for (case, says) in [
        ("expect = 'fault'\nreason = 'fuel-spent'", "t.toml:6: case `c`: `fuel-spent` comes of the sandbox"),
        ("expect = 'deny'\nreason = 'abstained'", "t.toml:6: case `c`: `abstained` comes of the sandbox"),
        ("expect = 'deny'\nreason = 'x'\npolicy = 'rbac'", "t.toml:7: case `c`: only `does` is asked here"),
        (
            "signals = { posture = 1 }\nexpect = 'allow'",
            "t.toml:3: case `c`: no signal `posture` is declared",
        ),
        (
            "documents = { users = {} }\nexpect = 'allow'",
            "t.toml:3: case `c`: no document `users` is declared",
        ),
    ] {
        let said = differences(&format!("path = '/'\n{case}"));
        assert!(said.len() == 1 && said[0].starts_with(says), "{case}: {said:?}");
    }
    let case = "format = 1\n[[case]]\nname = 'c'\npath = '/'\nexpect = 'fault'";
    let error = cases(case).document("roles", "{").check(&Does).unwrap_err();
    assert_eq!(error.to_string(), "t.toml: the document `roles` is not JSON (test-facts)");
    assert!(cases(case).check(&Does).is_ok(), "the same without the mistake");
    let error = Cases::parse(Path::new("t.toml"), &format!("{case}\npolicy = 'does'")).unwrap();
    let error = error.check(&Does).unwrap_err();
    assert!(error.to_string().contains("write `.about(\"does\")` (not-native)"), "{error}");
}

/// The code and the line.
fn mistake(case: &str) -> (&'static str, Option<usize>) {
    let text = format!("format = 1\n[[case]]\nname = 'c'\n{case}\n");
    let error = Cases::parse(Path::new("t.toml"), &text).err().unwrap_or_else(|| panic!("{case} is taken"));
    let problem = error.problems().next().unwrap();
    assert_eq!((problem.file(), error.problems().len()), ("t.toml", 1));
    (problem.code(), problem.line())
}

/// The rows of the host (`ztlib/src/policies/cases/file.rs`), and what the harness cannot compare.
/// What the format itself refuses is in `ztlib_contract::cases`.
#[test]
fn each_mistake_is_named_with_the_code_and_the_line_that_the_host_gives() {
    assert_eq!(differences("path = '/'\nexpect = 'fault'"), Vec::<String>::new());
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
        ("path = '/'\npeer = { authority = 'p', dns-names = ['127.1'] }\nexpect = 'allow'", "bad-peer", 5),
        ("path = '/'\nclaims = { exp = 1 }\nexpect = 'allow'", "bad-claims", 5),
        ("path = '/'\npeer = 'http://a'\nexpect = 'allow'", "bad-peer", 5),
        ("path = '/'\npeer = 'spiffe://a.test/../x'\nexpect = 'allow'", "bad-peer", 5),
        ("path = '/'\npeer = 'spiffe://a.test'\nexpect = 'allow'", "bad-peer", 5),
        ("path = '/'\nclaims = { sub = 7 }\nexpect = 'allow'", "bad-claims", 5),
        ("path = '/'\nclaims = { aud = [] }\nexpect = 'allow'", "bad-claims", 5),
    ] {
        assert_eq!(mistake(case), (code, Some(line)), "{case}");
    }
}

#[test]
fn a_file_says_which_format_it_is_and_can_be_read() {
    let error = Cases::parse(Path::new("t.toml"), "format = 2").unwrap_err();
    assert_eq!(error.to_string(), "t.toml:1: this ztlib reads cases of `format = 1` (unknown-format)");
    let error = Cases::parse(Path::new("t.toml"), &" ".repeat((256 << 10) + 1)).unwrap_err();
    assert_eq!(error.to_string(), "t.toml: the file is larger than 262144 bytes (file-too-large)");
    let error = Cases::read("tests/nowhere.toml").unwrap_err();
    assert_eq!(error.problems().next().unwrap().code(), "unreadable-file");
}

#[test]
fn what_stands_in_a_case_is_in_the_place_of_the_callers() {
    let text = "format = 1\n[caller.a]\nclaims = { sub = 'bob' }\n[[case]]\nname = 'c'\ncaller = 'a'\npath = '/'\nlabels = { does = 'document' }\nexpect = 'deny'\nreason = 'denied'";
    cases(text).check(&Does).unwrap();
    let own = text.replace("caller = 'a'", "caller = 'a'\nclaims = { sub = 'alice' }");
    let error = cases(&own).check(&Does).unwrap_err();
    assert_eq!(error.to_string(), "t.toml:10: case `c`: expected deny, got allow");
    let unknown = text.replace("caller = 'a'", "caller = 'ab'");
    let error = Cases::parse(Path::new("t.toml"), &unknown).unwrap_err();
    assert!(error.to_string().contains("t.toml:6: there is no caller `ab`: did you mean `a`?"), "{error}");
}

/// As in the sandbox: what no verified token could hold is not a case.
#[test]
fn a_caller_claims_no_more_than_a_token_has_room_for() {
    let parse = |members: usize| {
        let claims = "{a=1},".repeat(members);
        let text = format!(
            "format = 1\n[[case]]\nname = 'n'\naction = 'a'\nclaims = {{ x = [{claims}] }}\nexpect = 'allow'\n"
        );
        Cases::parse(Path::new("t"), &text)
    };
    assert!(parse(200).is_ok());
    for members in [1_000, 25_000] {
        let error = parse(members).unwrap_err();
        let problem = error.problems().next().unwrap();
        assert_eq!((problem.code(), problem.line()), ("bad-claims", Some(5)), "{error}");
    }
}

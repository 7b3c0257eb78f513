use std::path::Path;

use super::*;
use crate::authorize::NativePolicy;
use crate::authorize::{Answer, Fault, Outcome, Read, Reader, Value};
use crate::policies::PolicySetBuilder;

/// Does what the label `does` says.
struct Does;

impl NativePolicy for Does {
    fn decide(&self, question: &mut Reader, outcome: &mut Outcome) -> Result<Answer, Fault> {
        let Value::Text(does) = question.read(Read::Label("does".into()))? else {
            return Ok(Answer::Abstain);
        };
        match does.as_ref() {
            "signal" => match question.read(Read::Signal("risk".into()))? {
                Value::Absent => Ok(Answer::Abstain),
                Value::Text(risk) if risk.as_ref() == "3" => Ok(Answer::Allow),
                _ => Ok(Answer::Deny),
            },
            "document" => {
                let admin =
                    question.read(Read::DataContains("roles".into(), "/{subject}".into(), "admin".into()))?;
                Ok(if admin == Value::Bool(true) { Answer::Allow } else { Answer::Deny })
            }
            "time" => {
                let early = question.read(Read::Before(1_000))?;
                Ok(if early == Value::Bool(true) { Answer::Allow } else { Answer::Deny })
            }
            "peer" => {
                let known = question.read(Read::PeerHasDnsName("a.example".into()))?;
                Ok(if known == Value::Bool(true) { Answer::Allow } else { Answer::Deny })
            }
            "copy" => {
                outcome.copy_to_request_header("x-tenant", "{claim:/tenant}")?;
                outcome.copy_to_request_header("x-id", "{request-id}")?;
                outcome.remove_request_header("x-old")?;
                Ok(Answer::Allow)
            }
            "step-up" => {
                outcome.reason("stronger")?;
                outcome.message("log in again")?;
                outcome.challenge_step_up(Some("strong"), Some(300))?;
                Ok(Answer::Deny)
            }
            _ => Ok(Answer::Deny),
        }
    }
}

struct NoSignals;
impl crate::authorize::SignalSource for NoSignals {
    fn signal(
        &self,
        _: &str,
        _: &crate::authorize::Caller,
    ) -> Result<Option<String>, crate::authorize::SignalError> {
        Ok(Some("from the service".to_owned()))
    }
}

/// The differences of one case, for the policy alone or for the set.
fn differences(case: &str, alone: bool) -> Vec<String> {
    let policies = PolicySetBuilder::new()
        .native("does", Does)
        .reasons(["stronger"])
        .document("roles", serde_json::json!({"alice": ["admin"]}))
        .signal("risk")
        .signals(NoSignals)
        .load()
        .unwrap();
    let text = format!("format = 1\n[[case]]\nname = 'c'\npath = '/'\n{case}\n");
    let cases = Cases::parse(Path::new("t.toml"), &text).unwrap();
    let cases = if alone { cases.about("does") } else { cases };
    match policies.test(&cases) {
        Ok(report) => report.failures().map(ToString::to_string).collect(),
        Err(error) => vec![error.to_string()],
    }
}

#[test]
fn a_case_lays_down_all_that_a_policy_can_ask() {
    for (case, alone) in [
        (
            "labels = { does = 'signal' }\nsignals = { risk = 3 }\nexpect = 'allow'\nreads = ['label(\"does\")=\"signal\"', 'signal(\"risk\")=\"3\"']",
            false,
        ),
        ("labels = { does = 'signal' }\nsignals = { risk = '4' }\nexpect = 'deny'\nreason = 'denied'", false),
        ("labels = { does = 'signal' }\nsignals = { risk = false }\nexpect = 'abstain'", true),
        (
            "labels = { does = 'signal' }\nsignals = { risk = false }\nexpect = 'deny'\nreason = 'abstained'\npolicy = 'does'",
            false,
        ),
        (
            "labels = { does = 'signal' }\nexpect = 'fault'\nreason = 'read-signal-failed'\npolicy = 'does'",
            false,
        ),
        ("labels = { does = 'document' }\nclaims = { sub = 'alice' }\nexpect = 'allow'", false),
        (
            "labels = { does = 'document' }\nclaims = { sub = 'alice' }\ndocuments = { roles = { alice = 'guest' } }\nexpect = 'deny'\nreason = 'denied'",
            false,
        ),
        ("labels = { does = 'time' }\nnow = 999\nexpect = 'allow'", false),
        ("labels = { does = 'time' }\nnow = 1970-01-01T00:16:40Z\nexpect = 'deny'\nreason = 'denied'", false),
        (
            "labels = { does = 'peer' }\npeer = { authority = 'p', dns-names = ['A.example'] }\nexpect = 'allow'",
            false,
        ),
        ("labels = { does = 'peer' }\nexpect = 'deny'\nreason = 'denied'", false),
        (
            "labels = { does = 'copy' }\nclaims = { tenant = 'acme' }\nexpect = 'allow'\nrequest-headers = { X-Tenant = 'acme', x-id = true, x-old = false }",
            false,
        ),
        ("labels = { does = 'copy' }\nexpect = 'bad-request'\nreason = 'obligation-source-absent'", false),
        (
            "labels = { does = 'step-up' }\nexpect = 'deny'\nreason = 'stronger'\nmessage = 'log in again'\nstep-up = { acr = 'strong', max-age = 300 }",
            false,
        ),
    ] {
        assert_eq!(differences(case, alone), Vec::<String>::new(), "{case}");
    }
}

#[test]
fn each_difference_is_told_at_its_line() {
    for (case, expected) in [
        (
            "labels = { does = 'time' }\nexpect = 'allow'",
            "t.toml:6: case `c`: expected allow, got deny `denied` by `does`",
        ),
        (
            "labels = { does = 'step-up' }\nexpect = 'deny'\nreason = 'weaker'",
            "t.toml:7: case `c`: expected the reason `weaker`, got `stronger`",
        ),
        (
            "labels = { does = 'step-up' }\nexpect = 'deny'\nreason = 'stronger'\nmessage = 'no'",
            "t.toml:8: case `c`: expected the message `no`, got `log in again`",
        ),
        (
            "labels = { does = 'step-up' }\nexpect = 'deny'\nreason = 'stronger'\nstep-up = { max-age = 300 }",
            "t.toml:8: case `c`: expected the step-up max-age 300, got acr `strong`, max-age 300",
        ),
        (
            "labels = { does = 'copy' }\nclaims = { tenant = 'acme' }\nexpect = 'allow'\nrequest-headers = { x-tenant = 'other', x-id = true, x-old = false }",
            "t.toml:8: case `c`: expected the request header `x-tenant` to be `other`, and it is `acme`",
        ),
        (
            "labels = { does = 'copy' }\nclaims = { tenant = 'acme' }\nexpect = 'allow'\nrequest-headers = { x-tenant = 'acme', x-old = false }",
            "t.toml:8: case `c`: the request header `x-id` is changed, which is not expected",
        ),
        (
            "labels = { does = 'copy' }\nclaims = { tenant = 'acme' }\nexpect = 'allow'\nresponse-headers = { x-a = true }",
            "t.toml:8: case `c`: expected the response header `x-a` to be set, and it is left alone",
        ),
        (
            "labels = { does = 'peer' }\nexpect = 'deny'\nreason = 'denied'\nreads = ['label(\"does\")=\"peer\"']",
            "t.toml:8: case `c`: expected nothing more as read 2, got `peer-has-dns-name(\"a.example\")=no`",
        ),
        (
            "signals = { rsk = 1 }\nexpect = 'allow'",
            "t.toml:3: the set declares no signal `rsk`: did you mean `risk`? (unknown-name)",
        ),
        (
            "documents = { role = {} }\nexpect = 'allow'",
            "t.toml:3: the set declares no document `role`: did you mean `roles`? (unknown-name)",
        ),
        (
            "expect = 'deny'\nreason = 'x'\npolicy = 'do'",
            "t.toml:7: the set has no policy `do`: did you mean `does`? (unknown-name)",
        ),
        ("expect = 'abstain'", "t.toml:5: a set never abstains: expect `allow` or `deny` (unknown-name)"),
    ] {
        assert_eq!(differences(case, false), [expected], "{case}");
    }
}

#[test]
fn a_caller_claims_no_more_than_a_token_has_room_for() {
    let parse = |members: usize| {
        let claims = "{a=1},".repeat(members);
        let text = format!(
            "format = 1\n[caller.c]\nclaims = {{ x = [{claims}] }}\n[[case]]\nname = 'n'\ncaller = 'c'\naction = 'a'\nexpect = 'allow'\n"
        );
        Cases::parse(Path::new("t"), &text)
    };
    assert_eq!(parse(200).unwrap().len(), 1);
    // Each of the cases would copy them, a hundred times the size of the file.
    for members in [1_000, 25_000] {
        let error = parse(members).unwrap_err();
        assert_eq!((error.code(), error.line()), ("bad-claims", Some(6)), "{error}");
    }
}

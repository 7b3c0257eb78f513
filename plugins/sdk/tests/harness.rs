//! The harness answers, and fails, as the contract says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use ztlib_policy::testing::{Facts, Fault, HeaderChange, StepUp, ask, decide};
use ztlib_policy::{Answer, Policy, Question};

struct Do(fn(&Question<'_>) -> Answer);

impl Policy for Do {
    fn configure(_: &[u8]) -> Result<Self, String> {
        Ok(Self(|_| Answer::Abstain))
    }

    fn decide(&self, question: &Question<'_>) -> Answer {
        (self.0)(question)
    }
}

fn request() -> Facts {
    Facts::request("GET", "/orders/7").route("/orders/{id}").param("id", "7")
}

fn code<T: std::fmt::Debug>(facts: &Facts, part: impl FnOnce(&Question<'_>) -> T) -> &'static str {
    ask(facts, part).unwrap_err().code
}

#[test]
fn absence_is_none_and_false_and_is_read() {
    let verdict = decide(
        &Do(|q| {
            assert_eq!((q.param("nr"), q.header("x"), q.query("x"), q.label("x")), (None, None, None, None));
            assert_eq!(
                (q.peer_spiffe_id(), q.peer_authority(), q.subject(), q.remote_ip()),
                (None, None, None, None)
            );
            assert!(!q.has_peer() && !q.has_token() && !q.has_scope("a") && !q.claim_contains("/roles", "a"));
            assert!(
                !q.before_claim("/until") && !q.authenticated_within(60) && !q.remote_ip_in("10.0.0.0/8")
            );
            assert!(q.header_names().is_empty() && q.scopes().is_empty() && q.peer_dns_names().is_empty());
            Answer::Deny
        }),
        &request(),
    )
    .unwrap();
    assert_eq!(verdict.trace.len(), 18);
    assert_eq!(verdict.reads()[0], r#"param("nr")=absent"#);
    assert_eq!(verdict.reads()[9], "has-token=no");
}

#[test]
fn a_read_that_fails_is_a_fault_and_not_an_absence() {
    let facts = request()
        .header("x-a", "1")
        .header("X-A", "2")
        .query("q", "1")
        .query("q", "2")
        .secret_header("x-key");
    assert_eq!(code(&facts, |q| q.header("x-a")), "read-several-values");
    assert_eq!(code(&facts, |q| q.query("q")), "read-several-values");
    for header in ["authorization", "Cookie", "DPoP", "proxy-authorization", "X-Key"] {
        assert_eq!(code(&facts, |q| q.header(header)), "read-secret", "{header}");
        assert_eq!(code(&facts, |q| q.header_values(header)), "read-secret", "{header}");
    }
    assert_eq!(code(&facts, |q| q.header("x a")), "read-malformed-argument");
    assert_eq!(code(&facts, |q| q.path_matches("orders")), "read-malformed-argument");
    assert_eq!(code(&facts, |q| q.peer_matches("spiffe://*/a")), "read-malformed-argument");
    assert_eq!(code(&facts, |q| q.remote_ip_in("10.0.0.1/8")), "read-malformed-argument");
    assert_eq!(code(&facts, |q| q.in_window("noon")), "read-malformed-argument");
    assert_eq!(code(&facts, |q| q.claim_string("roles")), "read-malformed-argument", "without a token too");
    assert_eq!(code(&facts, |q| q.signal("risk")), "read-undeclared-signal");
    assert_eq!(code(&facts, |q| q.data_json("roles", "")), "read-undeclared-document");
    let facts = facts.token(r#"{"n": 1, "s": "x"}"#).failing_signal("risk").signal("mood", "fine");
    assert_eq!(code(&facts, |q| q.claim_string("/n")), "read-wrong-type");
    assert_eq!(code(&facts, |q| q.claim_int("/s")), "read-wrong-type");
    assert_eq!(code(&facts, |q| q.claim_contains("/n", "1")), "read-wrong-type");
    assert_eq!(code(&facts, |q| q.signal("risk")), "read-signal-failed");
    assert_eq!(code(&facts, |q| q.signal_at_least("mood", 1)), "read-wrong-type");
}

#[test]
fn a_question_of_the_application_has_no_request() {
    let facts = Facts::action("orders.cancel").label("owner", "alice");
    assert_eq!(
        ask(&facts, |q| (q.action(), q.route(), q.label("owner"))).unwrap(),
        (Some("orders.cancel".to_owned()), None, Some("alice".to_owned()))
    );
    assert_eq!(code(&facts, |q| q.method()), "read-no-request");
    assert_eq!(code(&facts, |q| q.host()), "read-no-request");
    assert_eq!(code(&facts, |q| q.path_matches("/**")), "read-no-request");
}

#[test]
fn time_is_what_the_test_says() {
    const MONDAY_NOON: u64 = 1_795_392_000 + 12 * 3600;
    let facts = request()
        .now(MONDAY_NOON)
        .token(&format!(r#"{{"auth_time": {}, "until": {MONDAY_NOON}}}"#, MONDAY_NOON - 300));
    ask(&facts, |q| {
        assert!(q.in_window("mon-fri 08:00-18:00") && !q.in_window("sat 00:00-24:00"));
        assert!(!q.before(MONDAY_NOON) && q.before(MONDAY_NOON + 1) && !q.before_claim("/until"));
        assert!(q.authenticated_within(300) && !q.authenticated_within(299));
        assert_eq!(q.now(), MONDAY_NOON);
    })
    .unwrap();
}

#[test]
fn documents_are_read_by_symbols_and_a_value_never_adds_a_segment() {
    let facts = request().token(r#"{"sub": "a/b", "tenant": "acme"}"#).document(
        "roles",
        r#"{"users": {"a/b": ["admin"]}, "a": {"b": "stolen"}, "acme": {"7": "x"}, "members": {"a/b": 1}}"#,
    );
    ask(&facts, |q| {
        assert!(q.data_contains("roles", "/users/{subject}", "admin"));
        assert!(!q.data_contains("roles", "/users/{subject}", "viewer"));
        assert!(q.data_contains("roles", "/members", "a/b"));
        assert!(!q.data_contains("roles", "/members", "{subject}"), "a value is not a template");
        assert!(!q.data_contains("roles", "/members", "a~1b"));
        assert_eq!(q.data_string("roles", "/{subject}"), None);
        assert_eq!(q.data_string("roles", "/{claim:/tenant}/{param:id}").as_deref(), Some("x"));
        assert_eq!(q.data_string("roles", "/users/{peer}"), None);
    })
    .unwrap();
    for pointer in ["users", "/{nobody}", "/{subject", "/subject}", "/~4"] {
        assert_eq!(code(&facts, |q| q.data_string("roles", pointer)), "read-malformed-argument", "{pointer}");
    }
    assert_eq!(code(&facts, |q| q.data_string("roles", "/users")), "read-wrong-type");
}

#[test]
fn what_goes_with_the_answer_is_recorded() {
    let verdict = decide(
        &Do(|q| {
            q.set_request_header("X-Tenant", "acme");
            q.set_request_header("x-tenant", "umbrella");
            q.remove_response_header("server");
            q.log("one");
            q.message("sorry");
            q.challenge_step_up(Some("gold"), None);
            q.deny("too-weak")
        }),
        &request().reasons(&["too-weak"]),
    )
    .unwrap();
    let change =
        |name: &str, value: Option<&str>| HeaderChange { name: name.into(), value: value.map(Into::into) };
    assert_eq!((verdict.answer, verdict.reason.as_deref()), (Answer::Deny, Some("too-weak")));
    assert_eq!(verdict.request_headers, [change("x-tenant", Some("umbrella"))]);
    assert_eq!(verdict.response_headers, [change("server", None)]);
    assert_eq!(
        (verdict.log.as_slice(), verdict.message.as_deref()),
        (&["one".to_owned()][..], Some("sorry"))
    );
    assert_eq!(verdict.step_up, Some(StepUp { acr: Some("gold".to_owned()), max_age: None }));
    assert!(verdict.trace.is_empty(), "nothing of it is a read");
}

#[test]
fn what_is_copied_is_taken_from_the_facts_and_is_no_read() {
    let policy = Do(|q| {
        q.set_request_header("x-tenant", "acme");
        q.copy_to_request_header("X_Tenant", "{claim:/tenant}");
        q.copy_to_request_header("x-order", "{param:id}");
        q.copy_to_request_header("x-owner", "{label:owner}");
        q.copy_to_request_header("x-was", "{header:X-Old}");
        q.copy_to_request_header("x-peer", "{peer}");
        q.copy_to_request_header("x-domain", "{trust-domain}");
        q.copy_to_request_header("x-ip", "{remote-ip}");
        q.copy_to_request_header_or_remove("x-user", "{subject}");
        q.copy_to_response_header("x-id", "{request-id}");
        q.copy_to_response_header_or_remove("x-issuer", "{issuer}");
        Answer::Allow
    });
    let facts = request()
        .label("owner", "alice")
        .header("x-old", "value")
        .peer("spiffe://example.org/a")
        .remote_ip("::ffff:10.0.0.1")
        .token(r#"{"tenant": "umbrella, inc", "iss": "https://id.test"}"#);
    let verdict = decide(&policy, &facts).unwrap();
    let headers = |changes: &[HeaderChange]| -> Vec<String> {
        let shown =
            |change: &HeaderChange| format!("{}={}", change.name, change.value.as_deref().unwrap_or("-"));
        changes.iter().map(shown).collect()
    };
    assert_eq!(
        headers(&verdict.request_headers),
        [
            "x_tenant=umbrella, inc",
            "x-order=7",
            "x-owner=alice",
            "x-was=value",
            "x-peer=spiffe://example.org/a",
            "x-domain=example.org",
            "x-ip=10.0.0.1",
            "x-user=-"
        ]
    );
    let id = format!("x-id={}", "0".repeat(32));
    assert_eq!(headers(&verdict.response_headers), [id.as_str(), "x-issuer=https://id.test"]);
    assert!(verdict.trace.is_empty());
    // Where nothing is carried out, nothing is copied.
    let asks = Facts::action("orders.cancel");
    assert!(decide(&policy, &asks).unwrap().response_headers.is_empty());
    let denies = Do(|q| {
        q.copy_to_request_header("x-tenant", "{claim:/tenant}");
        Answer::Deny
    });
    assert!(decide(&denies, &request()).unwrap().request_headers.is_empty());
}

#[test]
fn a_copy_that_cannot_be_made_is_a_fault() {
    let copy = Do(|q| {
        q.copy_to_request_header_or_remove("x-tenant", "{claim:/tenant}");
        q.copy_to_response_header_or_remove("x-was", "{header:x-old}");
        Answer::Allow
    });
    let code = |facts: &Facts| decide(&copy, facts).map_or_else(|fault| fault.code, |_| "none");
    let tenant = |tenant: &str| request().token(&format!(r#"{{"tenant": {tenant}}}"#));
    assert_eq!(code(&request()), "none");
    assert_eq!(code(&tenant("\"acme\"")), "none");
    assert_eq!(code(&tenant("7")), "read-wrong-type");
    assert_eq!(code(&tenant("null")), "read-wrong-type");
    for value in ["", " acme", "a\\u000ab: c", "é", &"x".repeat(1025)] {
        assert_eq!(code(&tenant(&format!("\"{value}\""))), "obligation-unusable-value", "{value}");
    }
    assert_eq!(code(&request().header("x-old", "1").header("x-old", "2")), "read-several-values");
    let absent = Do(|q| {
        q.copy_to_request_header("x-tenant", "{claim:/tenant}");
        Answer::Allow
    });
    let fault = decide(&absent, &request()).unwrap_err();
    assert_eq!(fault.code, "obligation-source-absent");
    assert_eq!(fault.text, "the header `x-tenant` is to be a copy of `{claim:/tenant}`: it is absent");
}

#[test]
fn a_source_is_one_symbol_and_never_a_secret() {
    let facts = request().secret_header("x-api-key");
    let copy = |source: &str| {
        ask(&facts, |q| q.copy_to_request_header("x-a", source)).map_or_else(|fault| fault.code, |()| "none")
    };
    for source in
        ["acme", "{subject}{peer}", "{nobody}", "{claim:tenant}", "{claim:}", "{param:}", "{header:a b}"]
    {
        assert_eq!(copy(source), "outcome-malformed-source", "{source}");
    }
    for name in ["Authorization", "cookie", "proxy_authorization", "X_Api_Key"] {
        assert_eq!(copy(&format!("{{header:{name}}}")), "outcome-secret-source", "{name}");
    }
    assert_eq!(copy("{header:x-tenant}"), "none");
    assert_eq!(code(&facts, |q| q.copy_to_response_header("host", "{subject}")), "outcome-reserved-header");
}

#[test]
fn what_cannot_be_used_is_a_fault() {
    let fault = |policy: fn(&Question<'_>)| -> &'static str { code(&request(), policy) };
    assert_eq!(fault(|q| q.reason("No role")), "outcome-malformed-reason");
    assert_eq!(fault(|q| q.message("a\u{1b}[31m")), "outcome-malformed-message");
    assert_eq!(fault(|q| q.message(&"x".repeat(513))), "outcome-budget");
    assert_eq!(fault(|q| q.challenge_step_up(None, None)), "outcome-malformed-step-up");
    assert_eq!(fault(|q| q.set_request_header("x", "a\r\nb: c")), "outcome-malformed-header");
    assert_eq!(fault(|q| q.set_request_header("x\r\n", "a")), "outcome-malformed-header");
    for name in ["Host", "connection", "ztlib-peer", "grpc-status", "Authorization"] {
        assert_eq!(code(&request(), |q| q.remove_response_header(name)), "outcome-reserved-header", "{name}");
    }
    assert_eq!(fault(|q| (0..300).for_each(|_| q.log(""))), "outcome-budget");
    assert_eq!(fault(|q| (0..300).for_each(|_| drop(q.method()))), "read-budget");
    let undeclared = decide(&Do(|q| q.deny("other")), &request().reasons(&["no-role"])).unwrap_err();
    assert_eq!(undeclared.code, "outcome-undeclared-reason");
}

#[test]
fn a_fault_says_what_was_asked_and_keeps_the_reads_before_it() {
    let Fault { code, text, trace, .. } =
        ask(&request(), |q| (q.route(), q.path_matches("a\n"))).unwrap_err();
    assert_eq!((code, trace.len()), ("read-malformed-argument", 1));
    assert_eq!(text, r#"path-matches("a\n"): malformed argument: a path pattern begins with `/`"#);
}

#[test]
fn a_panic_of_the_policy_is_a_trap() {
    let policy = Do(|q| if q.route().is_some() { panic!("a bug") } else { Answer::Allow });
    assert_eq!(decide(&policy, &request()).unwrap_err().code, "trap");
}

#[test]
fn facts_that_cannot_be_are_a_fault_of_the_test() {
    for facts in [
        request().token("[]"),
        request().peer("example.org/a"),
        request().remote_ip("10.0.0"),
        request().document("roles", "{"),
        Facts::action("a").route("/a"),
    ] {
        assert_eq!(decide(&Do(|_| Answer::Allow), &facts).unwrap_err().code, "test-facts");
    }
}

/// What the host cannot read of a token is a fault here, too, and the caller's doing; what it
/// takes, it takes here.
#[test]
fn claims_of_another_type_are_faults_as_in_the_host() {
    type Asks = fn(&ztlib_policy::Question<'_>) -> bool;
    let asked: [(&str, Asks); 4] = [
        ("scope", |question| question.has_scope("a")),
        ("auth_time", |question| question.authenticated_within(60)),
        ("amr", |question| question.uses_method("otp")),
        ("acr", |question| question.acr_is("gold")),
    ];
    let said = |name: &str, asks: Asks, json: &str| {
        let facts = Facts::action("a").now(1000).token(&format!(r#"{{"{name}": {json}}}"#));
        ask(&facts, asks)
    };
    for (name, asks) in asked {
        for odd in ["7.5e300", "true", "{}", "null", "[7]", r#"[""]"#] {
            let fault = said(name, asks, odd).unwrap_err();
            assert!(fault.code == "read-wrong-type" && fault.is_bad_request(), "{name} {odd}: {fault}");
        }
        assert_eq!(ask(&Facts::action("a").token("{}"), asks), Ok(false), "{name}");
    }
    for (name, asks, json, expected) in [
        ("scope", asked[0].1, r#""b a""#, true),
        ("scope", asked[0].1, r#"["b", "a"]"#, true),
        ("scope", asked[0].1, r#""""#, false),
        ("auth_time", asked[1].1, "940", true),
        ("auth_time", asked[1].1, "939.9", false),
        ("amr", asked[2].1, r#"["pwd", "otp"]"#, true),
        ("acr", asked[3].1, r#""gold""#, true),
        ("acr", asked[3].1, r#""""#, false),
    ] {
        assert_eq!(said(name, asks, json), Ok(expected), "{name} {json}");
    }
    assert!(said("scope", asked[0].1, r#""a \"b""#).is_err_and(|fault| fault.is_bad_request()));
}

/// Whose doing a fault is, as the host tells it.
#[test]
fn a_fault_says_whether_it_is_the_callers_doing() {
    let twice = request().query("a", "1").query("a", "2");
    let said = |asks: fn(&ztlib_policy::Question<'_>)| {
        ask(&twice, asks).map(|()| Answer::Allow).unwrap_err().is_bad_request()
    };
    assert!(said(|question| drop(question.query("a"))));
    assert!(!said(|question| drop(question.header("authorization"))));
    assert!(!said(|question| drop(question.data_string("none", "/a"))));
    assert!(!said(|question| drop(question.signal("none"))));
}

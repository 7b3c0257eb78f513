//! The policy, natively: tables of questions and what is said to them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use ztlib_conditions::{CONDITION_NOT_MET, Conditions};
use ztlib_policy::Answer;
use ztlib_policy::testing::{Cases, CasesError, Facts, Fault, Sealed, Verdict};

const SAMPLE: &str = include_str!("../sample.yaml");

/// 2026-11-23 is a Monday.
const MONDAY: u64 = 1_795_392_000;

fn decide(policy: &Sealed<Conditions>, facts: &Facts) -> Result<Verdict, Fault> {
    policy.decide(facts)
}

/// As the host does it: YAML is made into JSON, and JSON is what the policy gets.
fn configure(yaml: &str) -> Result<Sealed<Conditions>, String> {
    let value: serde_json::Value = serde_norway::from_str(yaml).unwrap();
    Sealed::<Conditions>::configure(&serde_json::to_vec(&value).unwrap())
}

/// A policy with one rule for the action `ask`.
fn requiring(conditions: &str) -> Sealed<Conditions> {
    configure(&format!("rules: [{{actions: [ask], require: [{conditions}]}}]")).unwrap()
}

/// Whether it allows; where it does not, it is for the one reason.
fn allows(policy: &Sealed<Conditions>, facts: &Facts) -> bool {
    let verdict = decide(policy, &facts.clone().reasons(&[CONDITION_NOT_MET])).unwrap();
    match verdict.answer {
        Answer::Allow => true,
        Answer::Deny => {
            assert_eq!(verdict.reason.as_deref(), Some(CONDITION_NOT_MET));
            assert_eq!((verdict.message, verdict.log.len()), (None, 1));
            false
        }
        Answer::Abstain => panic!("a rule covers it"),
    }
}

fn ask() -> Facts {
    Facts::action("ask")
}

#[test]
fn a_parameter_is_a_claim() {
    let policy = configure(
        "rules: [{methods: ['*'], routes: ['/tenants/{tenant}/**'], require: [{param: tenant, is: {claim: /tenant}}]}]",
    )
    .unwrap();
    let facts = |tenant: &str, claims: &str| {
        Facts::request("GET", "/any").route("/tenants/{tenant}/x").param("tenant", tenant).token(claims)
    };
    assert!(allows(&policy, &facts("acme", r#"{"tenant": "acme"}"#)));
    assert!(allows(&policy, &facts("a\"ü\\😀", r#"{"tenant": "a\"\u00fc\\\ud83d\ude00"}"#)));
    for (tenant, claims) in [
        ("umbrella", r#"{"tenant": "acme"}"#),
        ("Acme", r#"{"tenant": "acme"}"#),
        ("acme ", r#"{"tenant": "acme"}"#),
        ("acme", "{}"),
        ("acme", r#"{"tenant": null}"#),
        ("acme", r#"{"tenant": ["acme"]}"#),
        ("acme", r#"{"tenant": {"acme": "acme"}}"#),
        ("\"acme\"", r#"{"tenant": "acme"}"#),
        ("7", r#"{"tenant": 7}"#),
        ("true", r#"{"tenant": true}"#),
        ("null", r#"{"tenant": null}"#),
        ("", r#"{"tenant": ""}"#),
        ("{claim:/tenant}", r#"{"tenant": "acme"}"#),
    ] {
        assert!(!allows(&policy, &facts(tenant, claims)), "{tenant} {claims}");
    }
    let facts = Facts::request("GET", "/any").route("/tenants/{tenant}/x");
    assert!(!allows(&policy, &facts.clone().token(r#"{"tenant": "acme"}"#)), "no parameter");
    assert!(!allows(&policy, &facts.clone().param("tenant", "acme")), "no token");
    assert!(!allows(&policy, &facts), "neither of them is not the same");
}

#[test]
fn a_label_is_the_subject() {
    let policy = requiring("{label: owner, is: subject}");
    let facts = |owner: &str| ask().label("owner", owner).token(r#"{"sub": "alice"}"#);
    assert!(allows(&policy, &facts("alice")));
    assert!(
        !allows(&policy, &facts("bob"))
            && !allows(&policy, &facts(""))
            && !allows(&policy, &facts("subject"))
    );
    assert!(!allows(&policy, &ask().token(r#"{"sub": "alice"}"#)), "no label");
    assert!(!allows(&policy, &ask().label("owner", "alice")), "no token");
    assert!(!allows(&policy, &ask().label("owner", "alice").token("{}")), "no subject");
}

#[test]
fn a_number_is_within_bounds() {
    for (bounds, yes, no) in [
        ("below: 10", ["9", "9.99", "-10"], ["10", "10.0", "11"]),
        ("at-most: 10", ["10", "10.00", "-11"], ["10.01", "11", "100"]),
        ("at-least: -1", ["-1", "-0.99", "0"], ["-1.01", "-2", "-100"]),
        ("above: -1", ["-0.99", "0", "7"], ["-1", "-1.0", "-1.5"]),
        ("at-least: 1, at-most: 1", ["1", "1.0", "1.000"], ["0.9", "1.1", "2"]),
        ("above: 1, below: 2", ["1.1", "1.5", "1.99"], ["1", "2", "1.0"]),
    ] {
        let (label, claim) =
            (requiring(&format!("{{label: n, {bounds}}}")), requiring(&format!("{{claim: /n, {bounds}}}")));
        let signal = requiring(&format!("{{signal: n, {bounds}}}"));
        for (number, allowed) in
            yes.map(|number| (number, true)).into_iter().chain(no.map(|number| (number, false)))
        {
            let facts = ask().label("n", number).signal("n", number).token(&format!("{{\"n\": {number}}}"));
            for policy in [&label, &claim, &signal] {
                assert_eq!(allows(policy, &facts), allowed, "{bounds} {number}");
            }
        }
    }
}

#[test]
fn what_is_no_number_is_within_no_bounds() {
    let everything = "{label: n, at-least: -9223372036854775807}";
    let (high, low) = (requiring(everything), requiring("{label: n, at-most: 9223372036854775807}"));
    assert!(allows(&high, &ask().label("n", "0")) && allows(&low, &ask().label("n", "0")));
    for text in
        ["", " 1", "1 ", "+1", "1e3", "0x1", "1_000", "1,5", ".5", "5.", "NaN", "inf", "99999999999999999999"]
    {
        let facts = ask().label("n", text);
        assert!(!allows(&high, &facts) && !allows(&low, &facts), "{text}");
    }
    let (high, low) = (
        requiring("{claim: /n, at-least: -9223372036854775807}"),
        requiring("{claim: /n, at-most: 9223372036854775807}"),
    );
    for claims in
        [r#"{"n": "1"}"#, r#"{"n": [1]}"#, r#"{"n": true}"#, r#"{"n": null}"#, r#"{"n": 1e300}"#, "{}"]
    {
        let facts = ask().token(claims);
        assert!(!allows(&high, &facts) && !allows(&low, &facts), "{claims}");
    }
}

#[test]
fn a_signal_or_a_label_is_one_of_some_values() {
    let policy = requiring("{signal: risk, is: [low, none]}");
    assert!(allows(&policy, &ask().signal("risk", "low")) && allows(&policy, &ask().signal("risk", "none")));
    assert!(
        !allows(&policy, &ask().signal("risk", "high")) && !allows(&policy, &ask().absent_signal("risk"))
    );
    let fault = decide(&policy, &ask().failing_signal("risk")).unwrap_err();
    assert_eq!((fault.code, fault.is_bad_request()), ("read-signal-failed", false));
    let fault = decide(&policy, &ask()).unwrap_err();
    assert_eq!(fault.code, "read-undeclared-signal");

    let policy = requiring("{label: kind, is: {value: subject}}");
    let facts = |kind: &str| ask().label("kind", kind).token(r#"{"sub": "alice"}"#);
    assert!(allows(&policy, &facts("subject")) && !allows(&policy, &facts("alice")));
}

#[test]
fn a_claim_is_true_or_false_and_no_text_of_it() {
    let policy = requiring("{claim: /verified, is: true}");
    assert!(allows(&policy, &ask().token(r#"{"verified": true}"#)));
    for claims in [r#"{"verified": false}"#, r#"{"verified": "true"}"#, r#"{"verified": 1}"#, "{}"] {
        assert!(!allows(&policy, &ask().token(claims)), "{claims}");
    }
    let policy = requiring("{claim: /verified, is: 'true'}");
    assert!(allows(&policy, &ask().token(r#"{"verified": "true"}"#)));
    assert!(!allows(&policy, &ask().token(r#"{"verified": true}"#)));
    let policy = requiring("{claim: /suspended, is: false}");
    assert!(!allows(&policy, &ask().token("{}")), "absent is not false");
}

#[test]
fn a_claim_has_a_value() {
    let policy = requiring("{claim: /features, has: [export, all]}");
    for claims in [r#"{"features": "export"}"#, r#"{"features": ["x", "all"]}"#] {
        assert!(allows(&policy, &ask().token(claims)), "{claims}");
    }
    for claims in [r#"{"features": "exports"}"#, r#"{"features": []}"#, "{}"] {
        assert!(!allows(&policy, &ask().token(claims)), "{claims}");
    }
    let fault = decide(&policy, &ask().token(r#"{"features": 7}"#)).unwrap_err();
    assert!(fault.is_bad_request(), "{fault}");
}

/// Whose word it is: the tenant and the subject of another issuer are other ones.
#[test]
fn what_a_token_says_counts_for_the_issuers_that_a_rule_names_or_for_the_home_issuer() {
    let claims = r#"{"iss": "https://partner.example", "sub": "alice", "tenant": "acme", "n": 1, "f": "x"}"#;
    let facts = ask().label("owner", "alice").label("tenant", "acme").token(claims);
    for condition in [
        "{label: owner, is: subject}",
        "{label: tenant, is: {claim: /tenant}}",
        "{claim: /tenant, is: acme}",
        "{claim: /tenant, is: {label: tenant}}",
        "{claim: /f, has: x}",
        "{claim: /n, at-most: 1}",
    ] {
        let own = requiring(condition);
        assert!(allows(&own, &facts), "{condition}");
        let stranger = facts.clone().of_another_issuer();
        assert!(!allows(&own, &stranger), "{condition}");
        let verdict = decide(&own, &stranger).unwrap();
        let of_token = |read: &String| read.starts_with("claim-") || read.starts_with("subject");
        assert!(!verdict.reads().iter().any(of_token), "nothing that it says is read: {:?}", verdict.reads());
        let partner = configure(&format!(
            "rules: [{{actions: [ask], issuers: ['https://partner.example'], require: [{condition}]}}]"
        ));
        let partner = partner.unwrap();
        assert!(allows(&partner, &stranger), "{condition}");
        let third = stranger.token(&claims.replace("partner", "third")).of_another_issuer();
        assert!(!allows(&partner, &third), "{condition}");
    }
}

#[test]
fn every_rule_that_covers_the_question_must_be_met_and_where_none_does_it_abstains() {
    let policy = configure(
        "rules: [{actions: [a, b], require: [{label: x, is: '1'}]}, {actions: [b], require: [{label: y, is: '2'}, {label: z, is: '3'}]}]",
    )
    .unwrap();
    let verdict = |action: &str, labels: &[(&str, &str)]| {
        let facts =
            labels.iter().fold(Facts::action(action), |facts, (name, value)| facts.label(name, value));
        let verdict = decide(&policy, &facts).unwrap();
        (verdict.answer, verdict.log.first().cloned())
    };
    let not_met = |words: &str| (Answer::Deny, Some(format!("not met: {words}")));
    let all = [("x", "1"), ("y", "2"), ("z", "3")];
    assert_eq!(verdict("a", &all[..1]), (Answer::Allow, None));
    assert_eq!(verdict("b", &all), (Answer::Allow, None));
    assert_eq!(verdict("b", &all[..2]), not_met("rules[1].require[1], label z is 3"));
    assert_eq!(verdict("b", &all[..1]), not_met("rules[1].require[0], label y is 2"));
    assert_eq!(verdict("b", &all[1..]), not_met("rules[0].require[0], label x is 1"));
    assert_eq!(verdict("c", &[]), (Answer::Abstain, None));
    let facts = Facts::request("GET", "/a");
    assert_eq!(decide(&policy, &facts).unwrap().answer, Answer::Abstain, "no route matched");
}

/// What the audit event says of a refusal, and that nothing of the caller is in it.
#[test]
fn the_log_names_the_rule_and_the_condition() {
    let facts = ask().label("n", "CALLER").label("s", "CALLER").signal("risk", "CALLER");
    let facts = facts.token(r#"{"sub": "CALLER", "c": "CALLER"}"#).now(MONDAY);
    for (condition, words) in [
        ("{label: n, at-most: 1000}", "label n at-most 1000"),
        ("{label: n, at-least: 1, below: 5}", "label n at-least 1 below 5"),
        ("{label: x, is: subject}", "label x is subject"),
        ("{claim: /c, is: [a, {label: x}, true]}", "claim /c is a or label x or true"),
        ("{claim: /c, has: [a, b]}", "claim /c has a or b"),
        ("{signal: risk, is: low}", "signal risk is low"),
        ("{hours: 'tue 08:00-18:00', zone: Asia/Tokyo}", "hours tue 08:00-18:00 Asia/Tokyo"),
    ] {
        let verdict = decide(&requiring(condition), &facts).unwrap();
        assert_eq!(verdict.log, [format!("not met: rules[0].require[0], {words}")], "{condition}");
    }
    // However long a condition is, it does not spend the budget of the log.
    let many: Vec<String> = (0..200).map(|number| format!("{number:é>40}")).collect();
    let verdict = decide(&requiring(&format!("{{label: n, is: [{}]}}", many.join(", "))), &facts).unwrap();
    assert!(verdict.log[0].len() < 512, "{}", verdict.log[0].len());
}

#[test]
fn it_reads_no_more_than_it_needs_and_stops_where_a_condition_does_not_hold() {
    let policy = requiring(
        "{hours: 'mon 08:00-18:00', zone: UTC}, {label: amount, below: 10}, {label: owner, is: subject}, {claim: /tenant, is: {label: tenant}}",
    );
    let reads = |facts: &Facts| decide(&policy, facts).unwrap().reads().split_off(1);
    let facts = ask().now(MONDAY + 9 * 3600).label("amount", "5").label("owner", "alice");
    let facts = facts.label("tenant", "acme").token(r#"{"sub": "alice", "tenant": "acme"}"#);
    let all = [
        r#"in-window("mon 08:00-18:00")=yes"#,
        r#"label("amount")="5""#,
        r#"label("owner")="alice""#,
        "from-home-issuer=yes",
        r#"subject="alice""#,
        r#"claim-json("/tenant")="\"acme\"""#,
        r#"label("tenant")="acme""#,
    ];
    assert_eq!(reads(&facts), all);
    assert_eq!(reads(&facts.clone().label("owner", "bob"))[..], {
        let mut reads = all[..5].to_vec();
        reads[2] = r#"label("owner")="bob""#;
        reads
    });
    assert_eq!(reads(&facts.clone().label("amount", "10")), [all[0], r#"label("amount")="10""#]);
    assert_eq!(reads(&facts.now(MONDAY)), [r#"in-window("mon 08:00-18:00")=no"#]);
}

#[test]
fn a_configuration_that_could_be_misread_is_refused_by_name() {
    let rule = |members: &str| format!("rules: [{{methods: [GET], routes: ['/t/{{id}}'], {members}}}]");
    let require = |condition: &str| rule(&format!("require: [{condition}]"));
    let one = "rules[0]: require[0]: give one of `param`, `label`, `claim`, `signal` and `hours`";
    let compared = "rules[0]: require[0]: give one of `is`, `has`, and bounds of a number: `below`, `at-most`, `at-least`, `above`";
    for (yaml, wanted) in [
        ("{}".to_owned(), "the member `rules` is missing"),
        ("rules: []".to_owned(), "rules: the list is empty"),
        (rule(""), "rules[0]: the member `require` is missing"),
        (rule("require: []"), "rules[0].require: the list is empty"),
        (rule("requires: []"), "rules[0]: unknown member `requires`; known are: methods, routes, actions, require, issuers"),
        ("rules: [{require: [{label: a, is: b}]}]".to_owned(), "rules[0]: give `methods` and `routes`, or `actions`"),
        (
            "rules: [{routes: [/a], require: [{label: a, is: b}]}]".to_owned(),
            "rules[0]: `routes` needs `methods`; write `[\"*\"]` for any",
        ),
        (
            "rules: [{actions: [a], require: [{label: a, is: b}]}, {actions: [a], require: [{label: a, is: b}]}]".to_owned(),
            "rules[1]: the same rule stands there before",
        ),
        (
            rule("issuers: ['https://a.example'], require: [{label: a, is: b}]"),
            "rules[0]: no condition reads the token: leave out `issuers`",
        ),
        (require("{}"), one),
        (require("{is: a}"), one),
        (require("{label: a, claim: /a, is: a}"), one),
        (require("{label: a, hours: 'mon 08:00-09:00', zone: UTC}"), one),
        (require("{label: a}"), compared),
        (require("{label: a, is: a, below: 1}"), compared),
        (require("{claim: /a, is: a, has: a}"), compared),
        (
            require("{lable: a, is: a}"),
            "rules[0].require[0]: unknown member `lable`; known are: param, label, claim, signal, hours, zone, is, has, below, at-most, at-least, above",
        ),
        (require("{label: '', is: a}"), "rules[0].require[0].label: the string is empty"),
        (require("{claim: tenant, is: a}"), "rules[0].require[0].claim: `tenant` is not a JSON pointer, as in `/roles`"),
        (require("{label: a, is: []}"), "rules[0].require[0].is: the list is empty"),
        (require("{label: a, is: [b, b]}"), "rules[0].require[0].is: `b` is there twice"),
        (require("{label: a, is: ''}"), "rules[0].require[0].is: the string is empty"),
        (
            require("{label: a, is: 7}"),
            "rules[0].require[0].is: a text is expected (in quotes, where it is a number), `subject`, or an object as in `{ claim: /tenant }`; numbers are compared by `at-least` and `at-most`",
        ),
        (
            require("{label: a, is: Subject}"),
            "rules[0].require[0].is: write `subject` for the token's subject, or `{ value: Subject }` for this text",
        ),
        (
            require("{label: a, is: {header: x}}"),
            "rules[0].require[0].is: unknown member `header`; known are: param, label, claim, signal, value",
        ),
        (
            require("{label: a, is: {}}"),
            "rules[0].require[0].is: give one of `param`, `label`, `claim`, `signal` and `value`",
        ),
        (
            require("{label: a, is: {label: b, claim: /b}}"),
            "rules[0].require[0].is: give one of `param`, `label`, `claim`, `signal` and `value`",
        ),
        (require("{label: a, is: {label: a}}"), "rules[0]: require[0]: is: label a is always itself"),
        (
            require("{label: a, is: true}"),
            "rules[0]: require[0]: is: only a claim is `true` or `false`; in quotes it is a text",
        ),
        (require("{label: a, has: b}"), "rules[0]: require[0]: `has` is for claims: of anything else write `is`"),
        (require("{claim: /a, has: []}"), "rules[0].require[0].has: the list is empty"),
        (require("{label: a, below: 1.5}"), "rules[0].require[0].below: a whole number is expected"),
        (require("{label: a, below: '1'}"), "rules[0].require[0].below: a whole number is expected"),
        (
            require("{label: a, at-most: 9223372036854775808}"),
            "rules[0].require[0].at-most: the number is too large",
        ),
        (require("{label: a, below: 1, at-most: 1}"), "rules[0]: require[0]: give `below` or `at-most`, not both"),
        (require("{label: a, above: 1, at-least: 1}"), "rules[0]: require[0]: give `above` or `at-least`, not both"),
        (require("{label: a, at-least: 2, at-most: 1}"), "rules[0]: require[0]: no number is within these bounds"),
        (require("{label: a, above: 1, at-most: 1}"), "rules[0]: require[0]: no number is within these bounds"),
        (
            require("{hours: 'mon 08:00-18:00'}"),
            "rules[0]: require[0]: `hours` needs `zone`, as in `Europe/Berlin`, or `UTC`",
        ),
        (require("{label: a, is: b, zone: UTC}"), "rules[0]: require[0]: `zone` is for `hours`"),
        (
            require("{hours: 'mon 08:00-18:00', zone: UTC, is: b}"),
            "rules[0]: require[0]: `hours` are compared with nothing: leave out the rest",
        ),
        (
            require("{hours: 'mon 08:00-18:00', zone: Europe/Berlln}"),
            "rules[0]: require[0]: zone: `Europe/Berlln` is not a time zone: give a name of the IANA time zone database, as in `Europe/Berlin`, or an offset, as in `+01:00`",
        ),
        (
            require("{hours: 'mon 08:00-18:00', zone: '+14:30'}"),
            "rules[0]: require[0]: zone: `+14:30` is not an offset from UTC, as in `+01:00`: from `-12:00` to `+14:00`",
        ),
        (
            require("{hours: 'mon 08:00-18:00', zone: Asia/Gaza}"),
            "rules[0]: require[0]: zone: the clocks of `Asia/Gaza` follow no rule that repeats: give an offset, as in `+01:00`",
        ),
        (
            require("{hours: 'mon 18:00-08:00', zone: UTC}"),
            "rules[0].require[0].hours: `mon 18:00-08:00` a window ends after it begins, on the same day",
        ),
        (require("{param: tenant, is: a}"), "rules[0]: require[0]: the route `/t/{id}` has no parameter `tenant`"),
        (
            require("{label: a, is: {param: tenant}}"),
            "rules[0]: require[0]: the route `/t/{id}` has no parameter `tenant`",
        ),
        (
            rule("actions: [a], require: [{param: id, is: a}]"),
            "rules[0]: require[0]: an action has no parameters, and `id` would refuse everybody: give routes a rule of their own, or attach a label",
        ),
    ] {
        assert_eq!(configure(&yaml).unwrap_err(), wanted, "{yaml}");
    }
    for yaml in [
        require("{param: id, is: a}"),
        "rules: [{methods: ['*'], routes: ['/f/{*rest}', '/**', '/x/*'], require: [{param: rest, is: a}]}]"
            .to_owned(),
        require("{label: a, above: 1, below: 2}"),
        require("{claim: /a, is: {claim: /b}}"),
    ] {
        assert!(configure(&yaml).is_ok(), "{yaml}");
    }
}

/// The same file is a gate in the sandbox where a manifest names it.
#[test]
fn the_cases_of_the_sample_hold() -> Result<(), CasesError> {
    let cases = Cases::read("tests/sample.toml")?.about("conditions").reasons(&[CONDITION_NOT_MET]);
    cases.signal("risk").signal("load").check(&configure(SAMPLE).unwrap())
}

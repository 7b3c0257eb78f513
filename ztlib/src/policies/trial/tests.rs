//! What is recorded is what was asked, in memory and in a file.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::conclusion::Conclusion;
use super::record::{JudgedBy, Reads, Record, Recorded, Subject, Unreadable, value};
use super::{Recording, line, rebuild};
use crate::authorize::RevisionName;
use crate::authorize::View;
use crate::authorize::{Fault, Read, ReadFault, Value};
use crate::digest::Digest;
use crate::request_id::RequestId;
use ztlib_contract::{Attribute, Kind};

type Known = Vec<(Attribute, Recorded)>;

fn record(subject: Subject, has_token: bool, known: Known) -> Record {
    let (wanted, values): (Vec<_>, Vec<_>) =
        known.into_iter().map(|(name, value)| (name, Some(value))).unzip();
    Record {
        id: RequestId::next(),
        time: 1_767_225_600_123,
        subject,
        has_token,
        is_foreign: false,
        wanted: wanted.into(),
        values: values.into(),
        parent: Some(RequestId::next()),
        judged_by: JudgedBy {
            revision: RevisionName::parse("0123456789ab").unwrap(),
            policies: Digest::of(b"set"),
        },
        enforced: Conclusion::of(&Err(Fault::new("trap", ""))),
        reads: Reads::Printed(["method=\"GET\"".into()].into()),
    }
}

fn request(route: Option<&str>) -> Subject {
    Subject::Request { method: http::Method::GET, route: route.map(Into::into) }
}

fn text() -> impl Strategy<Value = Box<str>> {
    prop_oneof!["[ -~]{0,12}", "\\PC{0,6}", Just(String::new())].prop_map(Into::into)
}

/// The possible values of an optional text of a request.
fn optional() -> impl Strategy<Value = Recorded> {
    prop_oneof![Just(Recorded::Absent), text().prop_map(Recorded::Text)]
}

fn header() -> impl Strategy<Value = Recorded> {
    let one = prop::option::of("[!-~]{0,8}".prop_map(Box::<str>::from));
    prop::collection::vec(one, 0..3).prop_map(|values| Recorded::Values(values.into()))
}

fn query() -> impl Strategy<Value = Recorded> {
    use Unreadable::{Malformed, NotUtf8, Several};
    let unreadable = prop::sample::select(vec![Several, NotUtf8, Malformed]).prop_map(Recorded::Unreadable);
    prop_oneof![3 => optional(), 1 => unreadable]
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        text().prop_map(|text| Json::from(text.as_ref())),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            prop::collection::btree_map("[a-z/~]{0,3}", inner, 0..3)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

fn claim() -> impl Strategy<Value = Recorded> {
    prop_oneof![Just(Recorded::Absent), any_json().prop_map(Recorded::Claim)]
}

fn peer() -> impl Strategy<Value = Recorded> {
    prop_oneof![
        Just(Recorded::Absent),
        "spiffe://[a-z]{1,5}\\.test/[a-z]{1,5}".prop_map(|id| Recorded::Spiffe(id.into())),
        ("[a-z]{1,5}", prop::collection::btree_set("[a-z]{1,5}\\.test", 1..3)).prop_map(
            |(authority, names)| {
                Recorded::Named {
                    authority: authority.into(),
                    dns_names: names.into_iter().map(Into::into).collect(),
                }
            }
        ),
    ]
}

/// Records as a recorder makes them, each with some of these attributes.
fn records() -> impl Strategy<Value = Record> {
    let named = |kind, name: &'static str, value: BoxedStrategy<Recorded>| {
        let attribute = Attribute::named(kind, name);
        prop::option::weighted(0.7, value)
            .prop_map(move |value| value.map(|value| (attribute.clone(), value)))
    };
    let of_request = (
        named(Kind::Host, "", text().prop_map(Recorded::Text).boxed()),
        named(Kind::Path, "", text().prop_map(Recorded::Text).boxed()),
        named(Kind::Param, "id", optional().boxed()),
        named(Kind::Param, "sub id", optional().boxed()),
        named(Kind::Header, "x-a", header().boxed()),
        named(Kind::Header, "x-b", header().boxed()),
        named(Kind::Query, "q", query().boxed()),
        named(Kind::Query, "r&é", query().boxed()),
    );
    let of_caller = (
        named(Kind::Label, "owner", optional().boxed()),
        named(Kind::Peer, "", peer().boxed()),
        named(
            Kind::RemoteIp,
            "",
            prop_oneof![Just(Recorded::Absent), any::<std::net::IpAddr>().prop_map(Recorded::Address)]
                .boxed(),
        ),
        named(
            Kind::Signal,
            "risk",
            prop_oneof![2 => optional(), 1 => Just(Recorded::Unreadable(Unreadable::Failed))].boxed(),
        ),
    );
    let of_token = (
        named(Kind::Claim, "/sub", "[a-z]{1,5}".prop_map(|sub| Recorded::Claim(json!(sub))).boxed()),
        named(
            Kind::Claim,
            "/scope",
            "[a-z:]{0,5}( [a-z:]{0,5})?".prop_map(|scope| Recorded::Claim(json!(scope))).boxed(),
        ),
        named(Kind::Claim, "/aud", Just(Recorded::Claim(json!(["shop", "bank"]))).boxed()),
        named(Kind::Claim, "/org/id", claim().boxed()),
        named(Kind::Claim, "/org/a~1b/~0", claim().boxed()),
        named(Kind::Claim, "/groups", claim().boxed()),
        named(Kind::Claim, "/groups/0", claim().boxed()),
    );
    let names = prop::option::of(prop::collection::btree_set("x-[c-z]{1,3}", 0..3));
    let everything =
        (of_request, of_caller, prop::option::of(of_token), prop::option::of("/[a-z{}/]{0,8}"), names);
    everything.prop_map(|(request_side, caller_side, token_side, route, names)| {
        let (a, b, c, d, e, f, g, h) = request_side;
        let mut known: Known = [a, b, c, d, e, f, g, h].into_iter().flatten().collect();
        let (a, b, c, d) = caller_side;
        known.extend([a, b, c, d].into_iter().flatten());
        let has_token = token_side.is_some();
        if let Some((a, b, c, d, e, f, g)) = token_side {
            known.extend([a, b, c, d, e, f].into_iter().flatten());
            // A recorded claim contains everything below it, and the recorder does not want that
            // again.
            if !known.iter().any(|(attribute, _)| *attribute == Attribute::claim("/groups")) {
                known.extend(g);
            }
        }
        if let Some(names) = names {
            let mut names: std::collections::BTreeSet<Box<str>> = names.into_iter().map(Into::into).collect();
            for (attribute, value) in &known {
                if matches!(value, Recorded::Values(values) if !values.is_empty()) {
                    names.insert(attribute.name.clone());
                }
            }
            known.push((Attribute::header_names(), Recorded::Names(names)));
        }
        let is_foreign = has_token && known.len() % 2 == 1;
        Record { is_foreign, ..record(request(route.as_deref()), has_token, known) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever was recorded: a question rebuilt from a record makes the same record.
    #[test]
    fn a_record_put_together_again_is_recorded_as_itself(record in records()) {
        let record = Arc::new(record);
        let question = rebuild::question(&record, &Arc::default()).unwrap();
        for (attribute, recorded) in record.known() {
            let again = value(attribute, &question, &View::default());
            prop_assert_eq!(again.as_ref(), Some(recorded), "{}", attribute);
        }
        prop_assert_eq!(question.caller.claims.is_some(), record.has_token);
        let is_foreign = question.caller.claims.as_ref().is_some_and(|claims| !claims.is_home_issuer());
        prop_assert_eq!(is_foreign, record.is_foreign);
        prop_assert_eq!(question.now, UNIX_EPOCH + Duration::from_millis(record.time));
    }

    /// Files come from outside: whatever is wrong with one is an error, and whatever is accepted
    /// can be asked about.
    #[test]
    fn no_bent_recording_panics(
        records in prop::collection::vec(records(), 1..3),
        bends in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let recording = Recording { records: records.into_iter().map(Arc::new).collect(), hidden: [].into(), evicted: 0 };
        let mut file = Vec::new();
        recording.write(&mut file).unwrap();
        for (at, byte, how) in bends {
            let at = at.index(file.len());
            match how {
                0 => file[at] = byte,
                1 => file.insert(at, byte),
                _ => drop(file.remove(at)),
            }
        }
        if let Ok(again) = Recording::parse(Path::new("r"), &*file) {
            for record in &again.records {
                let mut question = rebuild::question(record, &again.hidden).unwrap();
                for read in [Read::Path, Read::Scopes, Read::Query("q".into()), Read::HeaderNames, Read::ClaimJson("".into())] {
                    let _ = question.answer(&read, &View::default());
                }
            }
        }
    }

    #[test]
    fn a_recording_survives_its_file(records in prop::collection::vec(records(), 0..4)) {
        let recording = Recording {
            records: records.into_iter().map(Arc::new).collect(),
            hidden: [Attribute::claim("/ssn"), Attribute::header("x-h")].into(),
            evicted: 0,
        };
        let mut file = Vec::new();
        recording.write(&mut file).unwrap();
        let again = Recording::parse(Path::new("r"), &*file).unwrap();
        let mut written = Vec::new();
        again.write(&mut written).unwrap();
        prop_assert_eq!(String::from_utf8(file).unwrap(), String::from_utf8(written).unwrap());
        prop_assert_eq!(again.hidden, recording.hidden);
    }
}

/// One record with everything that the next test changes.
fn sample() -> Record {
    record(
        request(Some("/orders/{id}")),
        true,
        vec![
            (Attribute::header("x-a"), Recorded::Values([Some("1".into())].into())),
            (Attribute::header("x-gone"), Recorded::Values([].into())),
            (Attribute::claim("/org"), Recorded::Claim(json!({"id": "acme", "n": 7}))),
            (Attribute::label("owner"), Recorded::Absent),
        ],
    )
}

#[test]
fn a_read_of_what_is_not_recorded_is_a_fault_and_absence_is_absence() {
    let hidden: Arc<[Attribute]> = [Attribute::claim("/ssn"), Attribute::header("x-h")].into();
    let ask = |read: Read| {
        let mut question = rebuild::question(&Arc::new(sample()), &hidden).unwrap();
        let answer = question.answer(&read, &View::default());
        (answer, question.missing().is_some())
    };
    let text = |text: &str| Ok(Value::Text(text.into()));
    for (read, expected) in [
        (Read::Method, text("GET")),
        (Read::Route, text("/orders/{id}")),
        (Read::Action, Ok(Value::Absent)),
        (Read::HasToken, Ok(Value::Bool(true))),
        (Read::FromHomeIssuer, Ok(Value::Bool(true))),
        (Read::Now, Ok(Value::Time(1_767_225_600))),
        (Read::Header("X-A".into()), text("1")),
        (Read::HeaderValues("x-a".into()), Ok(Value::List(["1".into()].into()))),
        (Read::Header("x-gone".into()), Ok(Value::Absent)),
        (Read::Label("owner".into()), Ok(Value::Absent)),
        (Read::ClaimString("/org/id".into()), text("acme")),
        (Read::ClaimInt("/org/n".into()), Ok(Value::Int(7))),
        (Read::ClaimString("/org/none".into()), Ok(Value::Absent)),
        (Read::ClaimString("/org/n".into()), Err(ReadFault::ClaimOfWrongType("a string"))),
        // As for every question, whatever was recorded.
        (Read::Header("authorization".into()), Err(ReadFault::Secret)),
        (Read::Signal("risk".into()), Err(ReadFault::UndeclaredSignal)),
        (Read::DataString("d".into(), "/x".into()), Err(ReadFault::UndeclaredDocument)),
    ] {
        assert_eq!(ask(read.clone()), (expected, false), "{read}");
    }
    for (read, fault) in [
        (Read::Host, ReadFault::NotRecorded),
        (Read::Header("x-b".into()), ReadFault::NotRecorded),
        (Read::HeaderNames, ReadFault::NotRecorded),
        (Read::Label("class".into()), ReadFault::NotRecorded),
        (Read::Subject, ReadFault::NotRecorded),
        (Read::HasScope("a".into()), ReadFault::NotRecorded),
        (Read::AuthenticatedWithin(5), ReadFault::NotRecorded),
        (Read::ClaimJson("".into()), ReadFault::Hidden),
        (Read::ClaimString("/ssn/last".into()), ReadFault::Hidden),
        (Read::Header("X-H".into()), ReadFault::Hidden),
        (Read::HasPeer, ReadFault::NotRecorded),
        (Read::RemoteIpIn("10.0.0.0/8".into()), ReadFault::NotRecorded),
        (Read::Query("q".into()), ReadFault::NotRecorded),
    ] {
        assert_eq!(ask(read.clone()), (Err(fault), true), "{read}");
    }
}

#[test]
fn what_a_caller_has_none_of_is_known_without_being_recorded() {
    let nobody = record(Subject::Action("a".into()), false, Vec::new());
    let nobody = Arc::new(nobody);
    let mut question = rebuild::question(&nobody, &Arc::default()).unwrap();
    let mut ask = |read: Read| question.answer(&read, &View::default());
    assert_eq!(ask(Read::Subject), Ok(Value::Absent), "without a token there are no claims");
    assert_eq!(ask(Read::ClaimContains("/groups".into(), "a".into())), Ok(Value::Bool(false)));
    assert_eq!(ask(Read::Path), Err(ReadFault::NoRequest), "a question of the application's own");
    assert_eq!(ask(Read::Param("id".into())), Ok(Value::Absent));
    assert_eq!(ask(Read::Label("owner".into())), Err(ReadFault::NotRecorded));
}

#[test]
fn every_bent_file_is_refused_with_its_line() {
    let head = line::head(&[]).to_string();
    let good = line::of(&sample());
    let parse = |text: String| Recording::parse(Path::new("r.jsonl"), text.as_bytes());
    assert_eq!(parse(format!("{head}\n{good}\n{good}")).unwrap().len(), 2);
    for (text, code, at) in [
        (String::new(), "not-a-recording", 1),
        ("{}\n".to_owned(), "not-a-recording", 1),
        ("[\n".to_owned(), "not-a-recording", 1),
        (head.replace("\"format\":1", "\"format\":2"), "not-a-recording", 1),
        (head.replace("\"hidden\":[]", "\"hidden\":[\"nonsense\"]"), "unknown-attribute", 1),
        (format!("{head}\n\n"), "bad-record", 2),
        (format!("{head}\n{good}\n{{\"id\":1}}"), "bad-record", 3),
        (format!("{head}\n{}", "[".repeat(1000)), "bad-record", 2),
        (format!("{head}\n{}", "x".repeat(300_000)), "bad-record", 2),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!((error.code(), error.line()), (code, Some(at)), "{error}");
        assert!(error.to_string().starts_with("r.jsonl:"));
    }
    let bend = |change: &dyn Fn(&mut Json)| {
        let mut bent = good.clone();
        change(&mut bent);
        parse(format!("{head}\n{bent}"))
    };
    assert!(bend(&|_| {}).is_ok());
    let bends: [&dyn Fn(&mut Json); 20] = [
        &|line| line["policies"] = json!("abc"),
        &|line| line["parent"] = json!("7"),
        &|line| line["id"] = json!("x"),
        &|line| line["id"] = json!("6".repeat(33)),
        &|line| line["time"] = json!(-1),
        &|line| line["time"] = json!(u64::MAX),
        &|line| line["method"] = json!("G T"),
        &|line| line["route"] = json!(7),
        &|line| line["token"] = Json::Null,
        &|line| line["more"] = json!(1),
        &|line| line["judged-by"] = json!("abc"),
        &|line| line["decision"]["verdict"] = json!("abstain"),
        &|line| line["decision"]["more"] = json!(1),
        &|line| line["reads"] = json!([1]),
        &|line| line["attributes"]["nonsense"] = json!("1"),
        &|line| line["attributes"]["peer"] = json!({"spiffe-id": "https://x"}),
        &|line| line["attributes"]["header:x-a"] = json!(["a\nb"]),
        &|line| line["attributes"]["claim:/sub"] = json!([7]),
        &|line| line["attributes"]["header:X-A"] = json!(["2"]),
        &|line| line["attributes"]["query:q"] = json!({"unreadable": "failed"}),
    ];
    for (index, change) in bends.iter().enumerate() {
        let error = bend(change).unwrap_err();
        assert_eq!((error.code(), error.line()), ("bad-record", Some(2)), "{index}: {error}");
    }
}

#[test]
fn more_headers_than_a_request_can_have_are_an_error_and_no_panic() {
    let many: Vec<String> = (0..40_000).map(|n| format!("{n:x}")).collect();
    let mut bent = line::of(&sample());
    bent["attributes"]["header-names"] = json!(many);
    assert!(bent.to_string().len() < 350_000);
    // Longer than a line may be, so the record itself is asked.
    let record = line::read(&bent.to_string()).unwrap();
    assert_eq!(
        rebuild::question(&Arc::new(record), &Arc::default()).unwrap_err(),
        "no request has so many headers"
    );
    bent["attributes"]["header-names"] = json!([]);
    bent["attributes"]["header:x-a"] = json!(vec!["a"; 40_000]);
    let record = line::read(&bent.to_string()).unwrap();
    let question = rebuild::question(&Arc::new(record), &Arc::default());
    assert!(question.is_ok() || question.is_err(), "neither way panics");
}

/// A question that waits for a candidate holds no credential, and reads like the request.
#[test]
fn a_copy_of_a_question_has_no_credentials_and_reads_the_same() {
    use crate::authorize::Caller;
    use crate::authorize::{Asked, Labels, Params, Question, RequestFacts, Target};
    let request =
        http::Request::get("/orders/7?q=1").header("authorization", "Bearer t").header("cookie", "a=b");
    let mut request = request.header("x-tag", "1").header("x-tag", "2").body(()).unwrap();
    request.extensions_mut().insert("of a layer");
    let mut params = Params::default();
    params.push("id", "7");
    let facts = RequestFacts {
        parts: Box::new(request.into_parts().0),
        target: Target::new("shop.test", "/orders/7"),
        route: Some("/orders/{id}".into()),
        params,
    };
    let labels = Labels::new().with("owner", "alice");
    let mut question = Question::new(Caller::default(), Asked::Request(facts), labels, UNIX_EPOCH);
    let mut copy = question.copy(&View::default());
    let parts = &copy.request().unwrap().parts;
    assert!(parts.extensions.is_empty());
    assert!(parts.headers["authorization"].is_empty() && parts.headers["cookie"].is_empty());
    for read in [
        Read::Method,
        Read::Host,
        Read::Path,
        Read::Route,
        Read::Param("id".into()),
        Read::HeaderNames,
        Read::HeaderValues("x-tag".into()),
        Read::Header("x-tag".into()),
        Read::Header("authorization".into()),
        Read::Query("q".into()),
        Read::Label("owner".into()),
    ] {
        let view = View::default();
        assert_eq!(copy.answer(&read, &view), question.answer(&read, &view), "{read}");
    }
}

#[test]
fn a_member_that_is_there_twice_is_refused() {
    let text =
        format!("{}\n{}", line::head(&[]), line::of(&sample())).replace("\"time\":", "\"time\":1,\"time\":");
    assert_eq!(Recording::parse(Path::new("r"), text.as_bytes()).unwrap_err().code(), "bad-record");
}

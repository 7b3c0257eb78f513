//! The policy beside a model of it: the same configurations and facts, and the same answers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value as Json, json};
use ztlib_conditions::Conditions;
use ztlib_policy::Answer;
use ztlib_policy::testing::{Facts, Sealed};

/// What labels, parameters, signals and claims hold, so that they are often the same.
const TEXTS: [&str; 10] = ["", "a", "b", "true", "7", "7.5", "-7", "07", "subject", "99999999999999999999"];

/// What is there to be asked about.
#[derive(Debug, Clone)]
struct World {
    params: BTreeMap<&'static str, &'static str>,
    labels: BTreeMap<&'static str, &'static str>,
    signals: BTreeMap<&'static str, Option<&'static str>>,
    claims: Option<Map<String, Json>>,
    is_home: bool,
}

fn claim() -> impl Strategy<Value = Json> {
    prop_oneof![
        4 => select(&TEXTS[..]).prop_map(Json::from),
        1 => any::<bool>().prop_map(Json::from),
        2 => select(&[-7_i64, 7, 8, i64::MAX][..]).prop_map(Json::from),
        1 => select(&[7.5, -0.5, 1e300][..]).prop_map(Json::from),
        1 => select(vec![json!(null), json!(["a"]), json!([]), json!({"a": 1})]),
    ]
}

fn world() -> impl Strategy<Value = World> {
    let texts = || proptest::collection::btree_map(select(&["x", "y"][..]), select(&TEXTS[..]), 0..=4);
    let subject = proptest::option::of(select(&["a", "b", "subject"][..]));
    let token = (subject, proptest::collection::btree_map(select(&["x", "y"][..]), claim(), 0..=4));
    let signal = || proptest::option::of(select(&TEXTS[..]));
    (
        texts(),
        texts(),
        signal(),
        signal(),
        proptest::option::weighted(0.8, token),
        proptest::bool::weighted(0.8),
    )
        .prop_map(|(params, labels, x, y, token, is_home)| World {
            params,
            labels,
            signals: BTreeMap::from([("x", x), ("y", y)]),
            claims: token.map(|(subject, claims)| {
                let mut all: Map<String, Json> =
                    claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                all.extend(subject.map(|subject| ("sub".to_owned(), subject.into())));
                all
            }),
            is_home,
        })
}

/// A source as a configuration has it: the member and its value.
fn source() -> impl Strategy<Value = (&'static str, &'static str)> {
    (select(&["param", "label", "claim", "signal"][..]), select(&["x", "y"][..]))
}

fn member((kind, name): (&'static str, &'static str)) -> Json {
    let name = if kind == "claim" { format!("/{name}") } else { name.to_owned() };
    json!({ kind: name })
}

/// Terms that a value can be compared with: `true` and `false` where it is a claim, and no value
/// with itself.
fn term(of: (&'static str, &'static str)) -> impl Strategy<Value = Json> {
    let texts = select(&["a", "7", "true"][..]).prop_map(Json::from);
    let others = source().prop_filter("itself", move |other| *other != of).prop_map(member);
    let whether = any::<bool>().prop_map(move |yes| if of.0 == "claim" { yes.into() } else { json!("b") });
    prop_oneof![
        3 => texts,
        2 => Just(Json::from("subject")),
        1 => Just(json!({ "value": "subject" })),
        3 => others,
        2 => whether,
    ]
}

fn condition() -> impl Strategy<Value = Json> {
    source().prop_flat_map(|source| {
        let limit = || select(&[-8_i64, -7, -1, 0, 7, 8][..]);
        let comparison = prop_oneof![
            3 => term(source).prop_map(|term| json!({ "is": term })),
            2 => proptest::collection::vec(term(source), 2..4).prop_map(|terms| json!({ "is": terms })),
            4 => (select(&["below", "at-most", "at-least", "above"][..]), limit())
                .prop_map(|(bound, limit)| json!({ bound: limit })),
            1 => (limit(), limit()).prop_map(|(low, high)| json!({ "at-least": low, "at-most": high })),
        ];
        comparison.prop_map(move |comparison| {
            let mut all = member(source);
            all.as_object_mut().unwrap().extend(comparison.as_object().unwrap().clone());
            all
        })
    })
}

fn rules() -> impl Strategy<Value = Vec<(bool, Vec<Json>)>> {
    let conditions = prop_oneof![4 => Just(1..2_usize), 1 => Just(1..4)];
    let require = conditions.prop_flat_map(|length| proptest::collection::vec(condition(), length));
    proptest::collection::vec((proptest::bool::weighted(0.8), require), 1..3)
}

/// The model: what is read is a value of JSON, and nothing is the same as nothing.
fn value(world: &World, of: &Json) -> Option<Json> {
    if of == "subject" {
        return world.claims.as_ref().filter(|_| world.is_home)?.get("sub").cloned();
    }
    let (kind, name) = of
        .as_object()?
        .iter()
        .find(|(kind, _)| !matches!(&***kind, "is" | "below" | "at-most" | "at-least" | "above"))?;
    let name = name.as_str()?;
    match &**kind {
        "param" => world.params.get(name).map(|text| json!(text)),
        "label" => world.labels.get(name).map(|text| json!(text)),
        "signal" => world.signals.get(name)?.map(|text| json!(text)),
        "claim" => {
            world.claims.as_ref().filter(|_| world.is_home)?.get(name.trim_start_matches('/')).cloned()
        }
        "value" => Some(json!(name)),
        _ => None,
    }
}

/// Tenths, which is as fine as these numbers are.
fn tenths(condition: &Json, value: &Json) -> Option<i128> {
    let text = match value {
        Json::String(text) if condition.get("claim").is_none() => text.clone(),
        Json::Number(number) => number.to_string(),
        _ => return None,
    };
    if !["7", "7.5", "-7", "-0.5", "8", "9223372036854775807"].contains(&&*text) {
        return None;
    }
    let (whole, tenth) = text.split_once('.').unwrap_or((&text, "0"));
    format!("{whole}{tenth}").parse().ok()
}

fn holds(world: &World, condition: &Json) -> bool {
    let Some(read) = value(world, condition) else { return false };
    let Some(terms) = condition.get("is") else {
        let Some(number) = tenths(condition, &read) else { return false };
        let bound = |name: &str| condition.get(name).map(|limit| i128::from(limit.as_i64().unwrap()) * 10);
        return bound("below").is_none_or(|limit| number < limit)
            && bound("at-most").is_none_or(|limit| number <= limit)
            && bound("at-least").is_none_or(|limit| number >= limit)
            && bound("above").is_none_or(|limit| number > limit);
    };
    let terms = terms.as_array().cloned().unwrap_or_else(|| vec![terms.clone()]);
    terms.iter().any(|term| match term {
        Json::Bool(_) => condition.get("claim").is_some() && read == *term,
        Json::String(text) if text != "subject" => !text.is_empty() && read == *term,
        other => value(world, other)
            .is_some_and(|other| other.as_str().is_some_and(|text| !text.is_empty()) && other == read),
    })
}

fn model(world: &World, rules: &[(bool, Vec<Json>)], asks_first: bool) -> Answer {
    let mut covering = rules.iter().filter(|(first, _)| *first == asks_first).peekable();
    if covering.peek().is_none() {
        return Answer::Abstain;
    }
    if covering.all(|(_, require)| require.iter().all(|condition| holds(world, condition))) {
        Answer::Allow
    } else {
        Answer::Deny
    }
}

fn facts(world: &World, asks_first: bool) -> Facts {
    let route = if asks_first { "/first/{x}/{y}" } else { "/second/{x}/{y}" };
    let mut facts = Facts::request("GET", "/any").route(route);
    for (name, value) in &world.params {
        facts = facts.param(name, value);
    }
    for (name, value) in &world.labels {
        facts = facts.label(name, value);
    }
    for (name, value) in &world.signals {
        facts = match value {
            Some(value) => facts.signal(name, value),
            None => facts.absent_signal(name),
        };
    }
    if let Some(claims) = &world.claims {
        facts = facts.token(&Json::Object(claims.clone()).to_string());
    }
    if world.is_home { facts } else { facts.of_another_issuer() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_says_what_the_model_says(world in world(), rules in rules(), asks_first in proptest::bool::weighted(0.8)) {
        let config = json!({ "rules": rules.iter().map(|(first, require)| json!({
            "methods": ["*"],
            "routes": [if *first { "/first/**" } else { "/second/**" }],
            "require": require,
        })).collect::<Vec<_>>() });
        // A configuration that says nothing is refused, and is no matter of this test.
        let Ok(policy) = Sealed::<Conditions>::configure(&serde_json::to_vec(&config).unwrap()) else {
            return Ok(());
        };
        let verdict = policy.decide(&facts(&world, asks_first)).unwrap();
        prop_assert_eq!(verdict.answer, model(&world, &rules, asks_first), "{} {:?}", config, verdict);
    }

    /// No text is a panic, and what is taken is asked without one.
    #[test]
    fn a_hostile_configuration_is_an_error_and_no_panic(text in "[\\[\\]{}\":,a-z0-9./ -]{0,80}", rule in condition()) {
        let broken = Sealed::<Conditions>::configure(text.as_bytes());
        prop_assert!(broken.is_err());
        let whole = json!({ "rules": [{ "actions": ["a"], "require": [rule] }] }).to_string();
        for end in 0..whole.len() {
            prop_assert!(Sealed::<Conditions>::configure(&whole.as_bytes()[..end]).is_err(), "cut at {}", end);
        }
    }
}

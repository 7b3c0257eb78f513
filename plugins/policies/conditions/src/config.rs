//! The configuration, as it is written and as it is used.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use ztlib_policy::config::{
    Error, FromConfig, Issuers, NonEmpty, OneOrMany, Pointer, Reader, Schedule, Text, from_json,
};
use ztlib_policy::config_struct;
use ztlib_policy::rules::{Covers, Rules};

use crate::Rule;
use crate::condition::{Bounds, Condition, Term};
use crate::hours::Hours;
use crate::source::Source;
use crate::zone::Zone;

config_struct! {
    struct Config<'a> {
        rules: NonEmpty<RuleText<'a>> = "rules",
    }
}

config_struct! {
    struct RuleText<'a> {
        methods: Option<NonEmpty<Text<'a>>> = "methods",
        routes: Option<NonEmpty<Text<'a>>> = "routes",
        actions: Option<NonEmpty<Text<'a>>> = "actions",
        require: NonEmpty<Requirement<'a>> = "require",
        issuers: Option<Issuers> = "issuers",
    }
}

config_struct! {
    struct Requirement<'a> {
        param: Option<Text<'a>> = "param",
        label: Option<Text<'a>> = "label",
        claim: Option<Pointer<'a>> = "claim",
        signal: Option<Text<'a>> = "signal",
        hours: Option<Schedule<'a>> = "hours",
        zone: Option<Text<'a>> = "zone",
        is: Option<OneOrMany<TermText>> = "is",
        has: Option<OneOrMany<Text<'a>>> = "has",
        below: Option<i64> = "below",
        at_most: Option<i64> = "at-most",
        at_least: Option<i64> = "at-least",
        above: Option<i64> = "above",
    }
}

/// One thing that a value is compared with: `subject`, another text, `true` or `false`, or an
/// object that names where it comes from.
struct TermText(Term);

config_struct! {
    struct Other<'a> {
        param: Option<Text<'a>> = "param",
        label: Option<Text<'a>> = "label",
        claim: Option<Pointer<'a>> = "claim",
        signal: Option<Text<'a>> = "signal",
        value: Option<Text<'a>> = "value",
    }
}

impl<'a> FromConfig<'a> for TermText {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let term = if reader.is_next(b'{') {
            let Other { param, label, claim, signal, value } = Other::read(reader)?;
            match (source(param, label, claim, signal), value) {
                (Ok(Some(source)), None) => Term::Source(source),
                (Ok(None), Some(value)) => Term::Text(value.as_str().into()),
                _ => return Err(Error::new("give one of `param`, `label`, `claim`, `signal` and `value`")),
            }
        } else if reader.is_next(b'"') {
            let text = Text::read(reader)?;
            match text.as_str() {
                "subject" => Term::Source(Source::Subject),
                // It reads as the subject and would be a text that nothing is.
                near if near.eq_ignore_ascii_case("subject") => {
                    return Err(Error::new(format!(
                        "write `subject` for the token's subject, or `{{ value: {near} }}` for this text"
                    )));
                }
                text => Term::Text(text.into()),
            }
        } else if reader.is_next(b't') || reader.is_next(b'f') {
            Term::Bool(reader.boolean()?)
        } else {
            return Err(Error::new(
                "a text is expected (in quotes, where it is a number), `subject`, or an object as in `{ claim: /tenant }`; numbers are compared by `at-least` and `at-most`",
            ));
        };
        Ok(Self(term))
    }

    fn key(&self) -> Option<&str> {
        if let Term::Text(text) = &self.0 { Some(text) } else { None }
    }
}

/// The rules of a configuration.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn read(config: &[u8]) -> Result<Rules<Rule>, String> {
    let (mut rules, mut unnumbered) = (Rules::new(), Rules::new());
    for (at, text) in from_json::<Config<'_>>(config)?.rules.into_iter().enumerate() {
        let place = |error: String| format!("rules[{at}]: {error}");
        let RuleText { methods, routes, actions, require: requirements, issuers } = text;
        let covers = Covers { methods, routes, actions };
        let mut require = Vec::new();
        for (at, requirement) in requirements.into_iter().enumerate() {
            let place = |error: String| place(format!("require[{at}]: {error}"));
            let condition = requirement.condition().map_err(place)?;
            condition.params().try_for_each(|name| check_param(&covers, name)).map_err(place)?;
            require.push(condition);
        }
        if issuers.is_some() && !require.iter().any(Condition::is_of_token) {
            return Err(place("no condition reads the token: leave out `issuers`".to_string()));
        }
        let mut rule = Rule { number: 0, issuers: issuers.unwrap_or_default(), require };
        // Only for the error where the same rule stands there before: with a number none is.
        unnumbered.add(&covers, &rule).map_err(place)?;
        rule.number = u32::try_from(at).map_err(|_| "these are too many rules".to_string())?;
        rules.add(&covers, &rule).map_err(place)?;
    }
    Ok(rules)
}

impl Requirement<'_> {
    fn condition(self) -> Result<Condition, String> {
        let Self { param, label, claim, signal, hours, zone, is, has, below, at_most, at_least, above } =
            self;
        const ONE: &str = "give one of `param`, `label`, `claim`, `signal` and `hours`";
        let source = source(param, label, claim, signal).map_err(|()| ONE.to_string())?;
        let has_bounds = below.or(at_most).or(at_least).or(above).is_some();
        let compared = u8::from(is.is_some()) + u8::from(has.is_some()) + u8::from(has_bounds);
        match (source, hours) {
            (None, Some(hours)) => {
                let zone = zone.ok_or("`hours` needs `zone`, as in `Europe/Berlin`, or `UTC`")?;
                if compared > 0 {
                    return Err("`hours` are compared with nothing: leave out the rest".to_string());
                }
                let zone_of = Zone::parse(zone.as_str()).map_err(|error| format!("zone: {error}"))?;
                let hours = Hours::new(hours.as_str(), zone.as_str(), &zone_of);
                hours.map(Condition::Hours).map_err(|error| format!("hours: {error}"))
            }
            (Some(source), None) => {
                if zone.is_some() {
                    return Err("`zone` is for `hours`".to_string());
                }
                if compared != 1 {
                    return Err("give one of `is`, `has`, and bounds of a number: `below`, `at-most`, `at-least`, `above`".to_string());
                }
                if let Some(is) = is {
                    return same(source, is.into_iter().map(|TermText(term)| term).collect());
                }
                if let Some(has) = has {
                    let Source::Claim(claim) = source else {
                        return Err("`has` is for claims: of anything else write `is`".to_string());
                    };
                    let texts: Vec<Box<str>> = has.into_iter().map(|text| text.as_str().into()).collect();
                    return Ok(Condition::Has(claim, texts));
                }
                let bounds = Bounds { below, at_most, at_least, above };
                bounds.check()?;
                Ok(Condition::Within(source, bounds))
            }
            (None, None) | (Some(_), Some(_)) => Err(ONE.to_string()),
        }
    }
}

/// The one source that is given, or none; an error where there are several.
fn source(
    param: Option<Text<'_>>,
    label: Option<Text<'_>>,
    claim: Option<Pointer<'_>>,
    signal: Option<Text<'_>>,
) -> Result<Option<Source>, ()> {
    let given = [
        param.map(|name| Source::Param(name.as_str().into())),
        label.map(|name| Source::Label(name.as_str().into())),
        claim.map(|pointer| Source::Claim(pointer.as_str().into())),
        signal.map(|name| Source::Signal(name.as_str().into())),
    ];
    let mut given = given.into_iter().flatten();
    let first = given.next();
    if given.next().is_some() { Err(()) } else { Ok(first) }
}

/// What could never hold, or always would, is another condition than was meant.
fn same(source: Source, terms: Vec<Term>) -> Result<Condition, String> {
    for term in &terms {
        match term {
            Term::Source(other) if *other == source => {
                return Err(format!("is: {} is always itself", source.words()));
            }
            Term::Bool(_) if !matches!(source, Source::Claim(_)) => {
                return Err("is: only a claim is `true` or `false`; in quotes it is a text".to_string());
            }
            _ => {}
        }
    }
    Ok(Condition::Is(source, terms))
}

impl Bounds {
    fn check(&self) -> Result<(), String> {
        if self.below.is_some() && self.at_most.is_some() {
            return Err("give `below` or `at-most`, not both".to_string());
        }
        if self.above.is_some() && self.at_least.is_some() {
            return Err("give `above` or `at-least`, not both".to_string());
        }
        let (lowest, highest) = (self.above.or(self.at_least), self.below.or(self.at_most));
        let touches = self.at_least.is_some() && self.at_most.is_some();
        match (lowest, highest) {
            (Some(lowest), Some(highest)) if lowest > highest || (lowest == highest && !touches) => {
                Err("no number is within these bounds".to_string())
            }
            _ => Ok(()),
        }
    }
}

/// A parameter that a route of the rule does not have is most likely misspelt: the rule would
/// refuse everybody there. Behind a wildcard it may be there.
fn check_param(covers: &Covers<'_>, name: &str) -> Result<(), String> {
    if covers.actions.is_some() {
        return Err(format!(
            "an action has no parameters, and `{name}` would refuse everybody: give routes a rule of their own, or attach a label"
        ));
    }
    for route in covers.routes.iter().flat_map(NonEmpty::as_slice) {
        let route = route.as_str();
        let has = route.contains(&format!("{{{name}}}")) || route.contains(&format!("{{*{name}}}"));
        if !has && !route.ends_with("/*") && !route.ends_with("/**") {
            return Err(format!("the route `{route}` has no parameter `{name}`"));
        }
    }
    Ok(())
}

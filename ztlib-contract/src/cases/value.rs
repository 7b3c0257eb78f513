//! Values that may be of several types, or be anything: each with the line that it stands in.

use serde_json::{Map, Number, Value as Json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::value::{Datetime, Offset};

use super::{Error, Table, shown};

/// How deep tables and lists may lie in each other.
const MAX_DEPTH: usize = 32;

pub(crate) type Member<'t> = (&'t str, &'t Spanned<DeValue<'t>>);

/// The members of a table whose keys are the author's to choose, in the order of the file.
pub(crate) fn members<'t>(table: &Table<'t>, key: &str) -> Result<Vec<Member<'t>>, Error> {
    match table.raw(key).map(Spanned::get_ref) {
        None => Ok(Vec::new()),
        Some(DeValue::Table(members)) => Ok(in_order(members)),
        Some(_) => {
            Err(table.error(key, "wrong-type", format!("`{key}` must be a table: write `{key} = {{ … }}`")))
        }
    }
}

fn in_order<'t>(table: &'t DeTable<'t>) -> Vec<Member<'t>> {
    let mut members: Vec<_> =
        table.iter().map(|(key, value)| (key.span().start, (key.get_ref().as_ref(), value))).collect();
    members.sort_unstable_by_key(|(at, _)| *at);
    members.into_iter().map(|(_, member)| member).collect()
}

/// A text; a number or a truth value counts as the text that it is written as.
pub(crate) fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.as_ref().to_owned()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string())
        }
        DeValue::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    }
}

/// Members that are texts.
pub(crate) fn texts_of(table: &Table<'_>, key: &str) -> Result<Vec<(String, String)>, Error> {
    let texts = members(table, key)?.into_iter().map(|(name, value)| match plain(value.get_ref()) {
        Some(text) => Ok((name.to_owned(), text)),
        None => Err(table.wrong(value, format!("`{}` in `{key}` must be a text", shown(name)))),
    });
    texts.collect()
}

/// What JSON has of it: neither dates nor numbers that are none.
pub(crate) fn json(table: &Table<'_>, value: &Spanned<DeValue<'_>>) -> Result<Json, Error> {
    json_at(table, value, MAX_DEPTH)
}

fn json_at(table: &Table<'_>, value: &Spanned<DeValue<'_>>, depth: usize) -> Result<Json, Error> {
    let Some(depth) = depth.checked_sub(1) else {
        let text = format!("tables and lists lie more than {MAX_DEPTH} deep in each other");
        return Err(table.wrong(value, text));
    };
    let no_number = || table.wrong(value, "JSON has no such number");
    Ok(match value.get_ref() {
        DeValue::String(text) => Json::String(text.as_ref().to_owned()),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            Json::Number(number.map_err(|_| no_number())?.into())
        }
        DeValue::Float(number) => {
            let number = number.as_str().parse::<f64>().ok().and_then(Number::from_f64);
            Json::Number(number.ok_or_else(no_number)?)
        }
        DeValue::Boolean(yes) => Json::Bool(*yes),
        DeValue::Datetime(_) => {
            return Err(table.wrong(value, "JSON has no dates: write a text, or seconds since 1970"));
        }
        DeValue::Array(items) => {
            Json::Array(items.iter().map(|item| json_at(table, item, depth)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(members) => {
            let members = in_order(members).into_iter();
            let members = members.map(|(name, value)| Ok((name.to_owned(), json_at(table, value, depth)?)));
            Json::Object(members.collect::<Result<Map<_, _>, Error>>()?)
        }
    })
}

/// A moment in seconds since 1970: a date with a time and an offset, or the number itself.
pub(crate) fn moment(table: &Table<'_>, key: &str) -> Result<Option<u64>, Error> {
    let Some(value) = table.raw(key) else { return Ok(None) };
    let seconds = match value.get_ref() {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
        DeValue::Datetime(moment) => unix_seconds(moment),
        _ => None,
    };
    // The year 9999 is the last that every platform can hold.
    seconds.filter(|seconds| *seconds < 253_402_300_800).map(Some).ok_or_else(|| {
        let text = format!("`{key}` is a moment from 1970 on: `2026-11-23T08:00:00Z`, or seconds since 1970");
        table.wrong(value, text)
    })
}

/// Whole seconds since 1970 of a date, a time and an offset; the fraction is dropped, as policies
/// see whole seconds.
fn unix_seconds(moment: &Datetime) -> Option<u64> {
    let (date, time, offset) = (moment.date?, moment.time?, moment.offset?);
    let offset = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let of_day =
        i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + i64::from(time.second.unwrap_or(0));
    let days = days_since_1970(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    u64::try_from(days * 86_400 + of_day - offset * 60).ok()
}

/// Days of the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms",
/// `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is their last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-23T00:00:00Z", Some(1_795_392_000)),
            ("2026-11-23T01:00:00+01:00", Some(1_795_392_000)),
            ("2024-02-29T23:59:59.9Z", Some(1_709_251_199)),
            ("2000-03-01T00:00:00Z", Some(951_868_800)),
            ("1969-12-31T23:59:59Z", None),
            ("2026-11-23T00:00:00", None),
            ("2026-11-23", None),
        ] {
            assert_eq!(unix_seconds(&text.parse().unwrap()), seconds, "{text}");
        }
    }
}

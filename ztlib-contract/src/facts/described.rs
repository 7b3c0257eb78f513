//! Claims as a test case or a record describes them.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::registered::{self, ClaimFault, date};
use super::{ClaimNames, Claims};

/// The issuer of a token of which nobody says who issued it.
const SOMEBODY: &str = "https://issuer.test";
/// Whom such a token is for.
const SOME_SERVICE: &str = "service.test";
/// How long such a token has to live, in seconds.
const LIFE: u64 = 300;

/// How much described claims may hold.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ClaimLimits {
    /// Bytes of their JSON text.
    pub bytes: usize,
    /// Levels of nesting; the outer object is the first.
    pub depth: usize,
    /// Members of all objects together.
    pub members: usize,
}

impl ClaimLimits {
    /// What the claims of a test case may hold. It is less than a token may: a file has many cases,
    /// and each has its own copy.
    pub const CASE: Self = Self { bytes: 8 * 1024, depth: 32, members: 512 };
    /// What any token can hold, and as many members again: what was recorded of one is put together
    /// from its parts, one at a time.
    pub const RECORD: Self = Self { bytes: 64 * 1024, depth: 66, members: 32 * 1024 };
}

/// Why no verified token has such claims.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescribedError {
    /// A claim that ztlib gives a meaning to is not of its form.
    #[error(transparent)]
    Claim(#[from] ClaimFault),
    /// There is more than fits.
    #[error("the claims hold more than {0}")]
    TooMuch(String),
    /// A name or a string holds U+0000.
    #[error("the claims hold a NUL character")]
    NulCharacter,
}

impl Claims {
    /// The claims of a token as somebody describes them. A verified token always has `iss`, `aud`
    /// and `exp`: where they are left out, they are put in. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`DescribedError`].
    ///
    /// ```
    /// use ztlib_contract::facts::{ClaimLimits, Claims};
    ///
    /// let described = |json: serde_json::Value| {
    ///     Claims::described(
    ///         json.as_object().cloned().unwrap_or_default(),
    ///         1_000,
    ///         true,
    ///         ClaimLimits::CASE,
    ///     )
    /// };
    /// let claims = described(serde_json::json!({"sub": "alice", "scope": "b a"}))?;
    /// assert_eq!((claims.subject(), claims.has_scope("a")), (Some("alice"), Ok(true)));
    /// assert!(described(serde_json::json!({"sub": 7})).is_err());
    /// # Ok::<(), ztlib_contract::facts::DescribedError>(())
    /// ```
    pub fn described(
        mut claims: Map<String, Value>,
        now: u64,
        is_home: bool,
        limits: ClaimLimits,
    ) -> Result<Self, DescribedError> {
        claims.entry("iss").or_insert_with(|| SOMEBODY.into());
        claims.entry("aud").or_insert_with(|| SOME_SERVICE.into());
        claims.entry("exp").or_insert_with(|| now.saturating_add(LIFE).into());
        let mut members = limits.members;
        for (name, value) in &claims {
            fits(name, value, limits, limits.depth.saturating_sub(1), &mut members)?;
        }
        // Many cases may have one caller: what a few letters stand for must not be multiplied.
        let bytes = serde_json::to_string(&claims).map_or(usize::MAX, |text| text.len());
        if bytes > limits.bytes {
            return Err(DescribedError::TooMuch(format!("{} bytes", limits.bytes)));
        }
        let missing = || ClaimFault::Missing { name: "iss".into() };
        let issuer: Arc<str> = registered::text(&claims, "iss")?.ok_or_else(missing)?.into();
        for (name, round) in [("exp", f64::floor as fn(f64) -> f64), ("nbf", f64::ceil), ("iat", f64::ceil)] {
            date(&claims, name, round)?;
        }
        Ok(Self::read(issuer, is_home, ClaimNames::default(), claims)?)
    }
}

fn fits(
    name: &str,
    value: &Value,
    limits: ClaimLimits,
    depth: usize,
    members: &mut usize,
) -> Result<(), DescribedError> {
    *members = members
        .checked_sub(1)
        .ok_or_else(|| DescribedError::TooMuch(format!("{} members", limits.members)))?;
    if name.contains('\0') {
        return Err(DescribedError::NulCharacter);
    }
    nested(value, limits, depth, members)
}

fn nested(
    value: &Value,
    limits: ClaimLimits,
    depth: usize,
    members: &mut usize,
) -> Result<(), DescribedError> {
    let deeper =
        || depth.checked_sub(1).ok_or_else(|| DescribedError::TooMuch(format!("{} levels", limits.depth)));
    match value {
        Value::String(text) if text.contains('\0') => Err(DescribedError::NulCharacter),
        Value::Array(items) => {
            let depth = deeper()?;
            items.iter().try_for_each(|item| nested(item, limits, depth, members))
        }
        Value::Object(object) => {
            let depth = deeper()?;
            object.iter().try_for_each(|(name, value)| fits(name, value, limits, depth, members))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn described(json: Value, limits: ClaimLimits) -> Result<Claims, DescribedError> {
        Claims::described(json.as_object().unwrap().clone(), 1_000, true, limits)
    }

    #[test]
    fn what_every_token_has_is_put_in() {
        let claims = described(json!({"sub": "alice", "scope": "b a"}), ClaimLimits::CASE).unwrap();
        assert_eq!((claims.subject(), claims.issuer()), (Some("alice"), "https://issuer.test"));
        assert_eq!(claims.claim_int("/exp"), Ok(Some(1_300)));
        assert!(claims.has_audience("service.test"));
    }

    #[test]
    fn claims_that_no_verified_token_has_are_refused() {
        for wrong in [
            json!({"sub": 7}),
            json!({"aud": []}),
            json!({"iss": ""}),
            json!({"exp": "never"}),
            json!({"nbf": -1}),
            json!({"a\u{0}": 1}),
            json!({"a": ["\u{0}"]}),
        ] {
            assert!(described(wrong.clone(), ClaimLimits::CASE).is_err(), "{wrong}");
        }
    }

    /// A directory puts hundreds of groups into a token; a case has no need of them.
    #[test]
    fn a_record_may_hold_more_than_a_case() {
        let groups: Vec<String> = (0..300).map(|n| format!("00000000-0000-4000-8000-{n:012}")).collect();
        let claims = json!({ "sub": "alice", "groups": groups });
        assert!(matches!(described(claims.clone(), ClaimLimits::CASE), Err(DescribedError::TooMuch(_))));
        let rebuilt = described(claims, ClaimLimits::RECORD).unwrap();
        assert_eq!(rebuilt.claim_contains("/groups", &groups[299]), Ok(true));
    }

    #[test]
    fn nesting_and_members_are_bounded() {
        let nest = |levels: usize| (1..levels).fold(json!(1), |inner, _| json!([inner]));
        let limits = ClaimLimits::CASE;
        assert!(described(json!({ "a": nest(limits.depth) }), limits).is_ok());
        assert!(described(json!({ "a": nest(limits.depth + 1) }), limits).is_err());
        let members = |count: usize| (0..count).map(|n| (format!("{n}"), json!(1))).collect::<Map<_, _>>();
        assert!(described(Value::Object(members(limits.members - 3)), limits).is_ok());
        assert!(described(Value::Object(members(limits.members - 2)), limits).is_err());
    }
}

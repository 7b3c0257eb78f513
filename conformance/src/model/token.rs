//! The token: what the request's `authorization` and the description of its signature make of the
//! caller (RFC 6750, 7515, 7519).

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserializer as _, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::scenario::{IssuerPlan, People, Proof, Signature};

type Claims = Map<String, Value>;

/// The claims that are believed; none only where a token is optional and there is none. `presented`
/// names the description of what is in the headers: who signed it.
///
/// # Errors
/// The code of the first error.
pub fn verify(
    people: &People,
    presented: &str,
    headers: &[(String, String)],
    now: u64,
    asked: Proof,
) -> Result<Option<Claims>, &'static str> {
    let values = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let values: Vec<&[u8]> = values.map(|(_, value)| value.as_bytes()).collect();
    let token = match check_credentials(&values)? {
        None if asked == Proof::Optional => return Ok(None),
        None => return Err("token-missing"),
        Some(token) => std::str::from_utf8(token).map_err(|_| "token-malformed-credentials")?,
    };
    let (header, claims) = parts(token)?;
    let issuer = match claims.get("iss") {
        None => return Err("token-missing-claim"),
        Some(Value::String(name)) if !name.is_empty() => {
            people.issuers.values().find(|issuer| !issuer.untrusted && issuer.name == *name)
        }
        Some(_) => return Err("token-claim-form"),
    };
    let issuer = issuer.ok_or("token-unknown-issuer")?;
    check_signature(people, presented, issuer, &header)?;
    check_claims(issuer, &header, &claims, now)?;
    Ok(Some(claims))
}

/// The one token among the values of `authorization`: `Bearer`, one space, and characters that a
/// token may have (RFC 6750 section 2.1).
///
/// # Errors
/// The code of the first error.
pub fn check_credentials<'v>(values: &[&'v [u8]]) -> Result<Option<&'v [u8]>, &'static str> {
    let credentials = match values {
        [] => return Ok(None),
        [one] => *one,
        _ => return Err("token-several-headers"),
    };
    let mut words = credentials.splitn(2, |byte| *byte == b' ');
    if !words.next().unwrap_or_default().eq_ignore_ascii_case(b"bearer") {
        return Err("token-not-bearer");
    }
    let token = words.next().ok_or("token-malformed-credentials")?;
    if token.len() > 16_384 {
        return Err("token-too-long");
    }
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    if token.is_empty() || !token.iter().all(plain) {
        Err("token-malformed-credentials")
    } else {
        Ok(Some(token))
    }
}

/// Three parts of strict base64url, of which the first two are objects that can be read in one way
/// only.
fn parts(token: &str) -> Result<(Claims, Claims), &'static str> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else {
        return Err(if parts.len() == 5 { "token-encrypted" } else { "token-malformed" });
    };
    if header.is_empty() || signature.is_empty() {
        return Err("token-malformed");
    }
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "token-base64");
    let header = object(&decode(header)?).ok_or("token-json")?;
    check_header(&header)?;
    let claims = decode(claims)?;
    decode(signature)?;
    Ok((header, object(&claims).ok_or("token-json")?))
}

fn check_header(header: &Claims) -> Result<(), &'static str> {
    if header.contains_key("crit") {
        return Err("token-critical-header");
    }
    if ["b64", "zip", "cty", "enc"].iter().any(|name| header.contains_key(*name)) {
        return Err("token-unsupported-header");
    }
    let text = |name: &str| match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(_) => Err("token-header-form"),
    };
    let known = [
        "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
        "EdDSA",
    ];
    if !known.contains(&text("alg")?.ok_or("token-header-form")?.as_str()) {
        return Err("token-algorithm");
    }
    if text("kid")?.is_some_and(|kid| kid.len() > 256) {
        return Err("token-key-id-too-long");
    }
    text("typ").map(|_| ())
}

/// The algorithm is the issuer's, the key is one of its keys, and it signed these very bytes.
fn check_signature(
    people: &People,
    presented: &str,
    issuer: &IssuerPlan,
    header: &Claims,
) -> Result<(), &'static str> {
    if header.get("alg").and_then(Value::as_str) != Some(issuer.algorithm.as_str()) {
        return Err("token-algorithm");
    }
    // Secrets have no id here, public keys have this one; a token may leave it out where there is
    // one key only.
    let own = (!issuer.algorithm.starts_with("HS")).then_some("test-key");
    match header.get("kid").and_then(Value::as_str) {
        Some(kid) if own != Some(kid) => return Err("token-unknown-key"),
        _ => {}
    }
    let plan = people.tokens.get(presented).filter(|plan| plan.signature == Signature::Right);
    let signer = plan.and_then(|plan| plan.issuer.as_ref()).and_then(|name| people.issuers.get(name));
    if signer.is_some_and(|signer| signer.name == issuer.name) { Ok(()) } else { Err("token-signature") }
}

/// What decides whether a token is believed and whose it is. Other claims refuse nothing, whatever
/// they hold.
fn check_claims(issuer: &IssuerPlan, header: &Claims, claims: &Claims, now: u64) -> Result<(), &'static str> {
    let typ = header.get("typ").and_then(Value::as_str).map(|typ| typ.to_ascii_lowercase());
    let short = |typ: &str| typ.to_ascii_lowercase().trim_start_matches("application/").to_owned();
    let accepted = match (&issuer.types, typ.as_deref().map(short)) {
        (None, typ) => typ.is_none_or(|typ| matches!(typ.as_str(), "jwt" | "at+jwt")),
        (Some(types), typ) => typ.is_some_and(|typ| types.iter().any(|accepted| short(accepted) == typ)),
    };
    if !accepted {
        return Err("token-type");
    }
    text(claims, "sub")?;
    let audiences = match claims.get("aud") {
        None => return Err("token-missing-claim"),
        Some(Value::String(one)) if !one.is_empty() => vec![one.clone()],
        Some(Value::Array(several)) if !several.is_empty() => texts(several)?,
        Some(_) => return Err("token-claim-form"),
    };
    let expires = date(claims, "exp", f64::floor)?.ok_or("token-missing-claim")?;
    let not_before = date(claims, "nbf", f64::ceil)?;
    let issued = date(claims, "iat", f64::ceil)?;
    if !audiences.iter().any(|audience| issuer.audiences.contains(audience)) {
        return Err("token-audience");
    }
    // In the second that `exp` names it is over. The issuer's clock may be 5 seconds ahead.
    if now >= expires + issuer.leeway.unwrap_or(0) {
        return Err("token-expired");
    }
    if not_before.is_some_and(|not_before| not_before > now + 5) {
        return Err("token-not-yet-valid");
    }
    if issued.is_some_and(|issued| issued > now + 5) {
        return Err("token-issued-in-future");
    }
    if expires.saturating_sub(issued.unwrap_or(now)) > issuer.max_lifetime.unwrap_or(24 * 60 * 60) {
        return Err("token-lifetime");
    }
    if let Some(age) = issuer.max_age {
        let issued = issued.ok_or("token-missing-claim")?;
        if now >= issued + age {
            return Err("token-too-old");
        }
    }
    let there = |name: &String| claims.get(name).is_some_and(|claim| !claim.is_null());
    if issuer.required.iter().all(there) { Ok(()) } else { Err("token-missing-claim") }
}

fn text(claims: &Claims, name: &str) -> Result<(), &'static str> {
    match claims.get(name) {
        None => Ok(()),
        Some(Value::String(text)) if !text.is_empty() => Ok(()),
        Some(_) => Err("token-claim-form"),
    }
}

fn texts(values: &[Value]) -> Result<Vec<String>, &'static str> {
    let text = |value: &Value| {
        value.as_str().filter(|text| !text.is_empty()).map(str::to_owned).ok_or("token-claim-form")
    };
    values.iter().map(text).collect()
}

/// From 1970 to the end of the year 9999; a fraction is rounded to the strict side.
fn date(claims: &Claims, name: &str, round: fn(f64) -> f64) -> Result<Option<u64>, &'static str> {
    let Some(claim) = claims.get(name) else { return Ok(None) };
    let seconds = match claim {
        Value::Number(number) => number.as_f64().ok_or("token-claim-form")?,
        _ => return Err("token-claim-form"),
    };
    if (0.0..=253_402_300_799.0).contains(&seconds) {
        Ok(Some(round(seconds) as u64))
    } else {
        Err("token-claim-form")
    }
}

/// An object in which no object has two members of one name, at most 32 levels deep, with at most
/// 1024 members and no NUL.
fn object(bytes: &[u8]) -> Option<Claims> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let mut members = 0;
    reader.deserialize_any(Once { depth: 32, members: &mut members }).ok()?;
    reader.end().ok()?;
    serde_json::from_slice(bytes).ok()
}

/// Walks through a value and keeps nothing of it.
struct Once<'m> {
    depth: usize,
    members: &'m mut usize,
}

impl<'m> Once<'m> {
    fn inner<E: Error>(&mut self) -> Result<Once<'_>, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("too deep"))?;
        Ok(Once { depth, members: self.members })
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for Once<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if text.contains('\0') { Err(E::custom("NUL")) } else { Ok(()) }
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self.inner()?)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            *self.members += 1;
            if *self.members > 1024 || name.contains('\0') || !names.insert(name) {
                return Err(A::Error::custom("too many members, a NUL, or two of one name"));
            }
            map.next_value_seed(self.inner()?)?;
        }
        Ok(())
    }
}

//! An issuer's terms, checked once, in the form in which each token meets them.

use std::sync::Arc;

use jsonwebtoken::AlgorithmFamily;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::config_error::TokenConfigError;
use super::error::TokenError;
use super::issuer::{Issuer, MAX_LEEWAY};
use super::keys::KeyStore;
use super::shown::{listed, shown};
use super::times::{Times, missing};
use ztlib_contract::facts::{ClaimNames, Claims};

/// The types that are accepted, besides none, where an issuer is told nothing about them.
const DEFAULT_TYPES: [&str; 2] = ["at+jwt", "JWT"];

/// The end of the year 9999 in Unix seconds: no date of a token is later.
pub(super) const LATEST_DATE: u64 = 253_402_300_799;

/// An [`Issuer`] that was checked.
pub(super) struct TrustedIssuer {
    pub(super) name: Arc<str>,
    /// Whether it is the first of its verifier.
    pub(super) is_home: bool,
    pub(super) audiences: Vec<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) keys: KeyStore,
    pub(super) types: Option<Vec<String>>,
    pub(super) missing_type: bool,
    pub(super) audience_from: Option<String>,
    pub(super) missing_audience: bool,
    pub(super) scopes_from: Vec<String>,
    pub(super) leeway: u64,
    pub(super) clock_skew: u64,
    pub(super) max_lifetime: u64,
    pub(super) max_age: Option<u64>,
    pub(super) required: Vec<String>,
}

impl TrustedIssuer {
    pub(super) fn check(issuer: Issuer, is_home: bool) -> Result<Self, TokenConfigError> {
        use TokenConfigError as Error;
        let Issuer { name, audiences, algorithms, .. } = issuer;
        if name.is_empty() {
            return Err(Error::EmptyIssuer);
        }
        let none = audiences.is_empty() && !issuer.missing_audience;
        if none || audiences.iter().any(String::is_empty) {
            return Err(Error::NoAudience(name));
        }
        let Some(family) = algorithms.first().map(|algorithm| algorithm.family()) else {
            return Err(Error::NoAlgorithm(name));
        };
        let hmac = algorithms.iter().any(|algorithm| algorithm.family() == AlgorithmFamily::Hmac);
        let several = algorithms.iter().any(|algorithm| algorithm.family() != family);
        if several && (hmac || !issuer.several_families) {
            return Err(Error::SeveralFamilies(name));
        }
        if let Some(len) = issuer.secret_len
            && let Some(&algorithm) =
                algorithms.iter().find(|algorithm| hmac && len < algorithm.least_secret())
        {
            return Err(Error::ShortSecret { issuer: name, algorithm, least: algorithm.least_secret() });
        }
        let Some(keys) = issuer.keys else { return Err(Error::NoKeys(name)) };
        let (set, _) = keys.now();
        if (issuer.secret_len.is_some() && !hmac) || (!set.is_empty() && set.has_secrets() != hmac) {
            return Err(Error::SecretsAndPublicKeys(name));
        }
        if !set.is_empty() && !set.has_key_for(&algorithms) {
            return Err(Error::NoKeyForAlgorithms(name));
        }
        if issuer.leeway > MAX_LEEWAY || issuer.clock_skew > MAX_LEEWAY {
            return Err(Error::LeewayTooLong(name));
        }
        if issuer.max_lifetime.as_secs() == 0 {
            return Err(Error::AcceptsNothing(name, "max_lifetime"));
        }
        if issuer.max_age.is_some_and(|age| age.as_secs() == 0) {
            return Err(Error::AcceptsNothing(name, "max_age"));
        }
        if issuer.types.as_ref().is_some_and(|types| types.is_empty() || types.iter().any(String::is_empty)) {
            return Err(Error::AcceptsNothing(name, "types"));
        }
        if issuer.audience_from.as_ref().is_some_and(String::is_empty) {
            return Err(Error::ClaimName(name, "audience_from"));
        }
        if issuer.scopes_from.iter().any(String::is_empty) {
            return Err(Error::ClaimName(name, "scopes_from"));
        }
        Ok(Self {
            name: name.into(),
            is_home,
            audiences,
            algorithms,
            keys,
            types: issuer.types,
            missing_type: issuer.missing_type,
            audience_from: issuer.audience_from,
            missing_audience: issuer.missing_audience,
            scopes_from: issuer.scopes_from,
            leeway: issuer.leeway.as_secs(),
            clock_skew: issuer.clock_skew.as_secs(),
            max_lifetime: issuer.max_lifetime.as_secs().min(LATEST_DATE),
            max_age: issuer.max_age.map(|age| age.as_secs().min(LATEST_DATE)),
            required: issuer.required,
        })
    }

    /// What claims say whose signature by this issuer is right: their type, audience and times are
    /// what they must be at `now`, and all that is required is there.
    pub(super) fn accept(
        &self,
        typ: Option<&str>,
        claims: Map<String, Value>,
        now: u64,
    ) -> Result<(Claims, Times), TokenError> {
        if !self.accepts_type(typ) {
            return Err(self.type_not_accepted(typ));
        }
        let names = ClaimNames::new(&self.scopes_from, self.audience_from.as_deref(), self.missing_audience);
        let times = Times::read(&claims);
        let claims = Claims::read(self.name.clone(), self.is_home, names, claims)?;
        let times = times?;
        // None at all is let through by the reader only where the terms say so.
        let audiences = claims.audiences();
        if !audiences.is_empty() && !audiences.iter().any(|audience| self.audiences.contains(audience)) {
            return Err(TokenError::Audience {
                issuer: shown(&self.name),
                had: listed(audiences.iter().map(String::as_str)),
                wanted: listed(self.audiences.iter().map(String::as_str)),
            });
        }
        times.check(self, now)?;
        let present = |name: &String| claims.members().get(name).is_some_and(|claim| *claim != Value::Null);
        match self.required.iter().find(|name| !present(name)) {
            Some(name) => Err(missing(name)),
            None => Ok((claims, times)),
        }
    }

    /// Whether a header with this `typ` may belong to an access token of the issuer.
    pub(super) fn accepts_type(&self, typ: Option<&str>) -> bool {
        match (&self.types, typ) {
            (None, None) => true,
            (None, Some(typ)) => DEFAULT_TYPES.iter().any(|accepted| same_type(accepted, typ)),
            (Some(_), None) => self.missing_type,
            (Some(types), Some(typ)) => types.iter().any(|accepted| same_type(accepted, typ)),
        }
    }

    fn type_not_accepted(&self, typ: Option<&str>) -> TokenError {
        let mut wanted = match &self.types {
            None => listed(DEFAULT_TYPES.into_iter()).into_string(),
            Some(types) => listed(types.iter().map(String::as_str)).into_string(),
        };
        if self.types.is_none() || self.missing_type {
            wanted.push_str(" or none");
        }
        let had = typ.map_or_else(|| "absent".into(), |typ| format!("`{}`", shown(typ)).into());
        TokenError::TypeNotAccepted { issuer: shown(&self.name), had, wanted: wanted.into() }
    }
}

fn same_type(one: &str, other: &str) -> bool {
    short_type(one).eq_ignore_ascii_case(short_type(other))
}

/// A media type without `application/`, as RFC 7515 section 4.1.9 lets it be written.
fn short_type(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
        _ => typ,
    }
}

//! What an allow obliges to: headers to set, to remove, or to copy from each request.
//!
//! A decision is remembered for everybody for whom a fresh evaluation would say the same (`cache`),
//! so it may hold nothing of one caller that was not read. An obligation that copies therefore
//! holds a symbol; its value is taken from each request, when the decision on it, fresh or
//! remembered, is carried out (T10).

use std::collections::HashSet;
use std::fmt;

use http::{HeaderName, HeaderValue};

use super::decision::{Fault, FaultOrigin, Obligations};
use super::outcome_fault::OutcomeFault;
use super::question::{Asked, Question};
use super::read::{Read, ReadFault};
use super::source::Source;
use super::view::View;

/// What is to become of one header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obligation {
    /// The header.
    pub name: HeaderName,
    to: To,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum To {
    Nothing,
    Value(HeaderValue),
    Copy(Box<Copied>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Copied {
    source: Source,
    if_absent: IfAbsent,
    /// How long the value may be, in bytes: the budget of the policy that asked for it.
    limit: usize,
}

impl Obligation {
    /// The read that would give what it copies.
    pub(crate) fn copied(&self) -> Option<&Read> {
        match &self.to {
            To::Copy(copied) => copied.source.read(),
            To::Nothing | To::Value(_) => None,
        }
    }
}

/// What is to become of the header where its source is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfAbsent {
    Fault,
    Remove,
}

/// A header to set, or (without a value) to remove: an obligation, settled for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderChange {
    /// The header.
    pub name: HeaderName,
    /// What it is set to; `None`: it is removed.
    pub value: Option<HeaderValue>,
}

/// What is to be done for one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Changes to the request.
    pub request: Vec<HeaderChange>,
    /// Changes to the response.
    pub response: Vec<HeaderChange>,
}

impl Obligations {
    /// What is to be done for this request. All sources are looked at before anything is changed,
    /// so that a header may be copied and removed at once. A question of the application's own
    /// has no request and no response to change.
    ///
    /// # Errors
    /// A source that is absent where that is not provided for, that cannot be had (a claim of
    /// another type, a header that is there twice), or whose value cannot stand in a header.
    /// None of the obligations is carried out then: the request is refused.
    pub fn settle(
        &self,
        question: &mut Question,
        view: &View,
        id: &dyn fmt::Display,
    ) -> Result<Settled, Fault> {
        if self.is_empty() || matches!(question.asked, Asked::Action(_)) {
            return Ok(Settled::default());
        }
        let mut settle = |obligations: &[Obligation]| -> Result<Vec<HeaderChange>, Fault> {
            obligations.iter().map(|obligation| obligation.settle(question, view, id)).collect()
        };
        Ok(Settled { request: settle(&self.request)?, response: settle(&self.response)? })
    }
}

impl Obligation {
    pub(crate) fn set(name: &str, value: &str, limit: usize) -> Result<Self, OutcomeFault> {
        let name = changeable(name)?;
        if value.len() > limit {
            return Err(OutcomeFault::Budget("a header value"));
        }
        let value = header_value(value).ok_or(OutcomeFault::MalformedHeader)?;
        Ok(Self { name, to: To::Value(value) })
    }

    pub(crate) fn remove(name: &str) -> Result<Self, OutcomeFault> {
        Ok(Self { name: changeable(name)?, to: To::Nothing })
    }

    pub(crate) fn copy(
        name: &str,
        source: &str,
        if_absent: IfAbsent,
        secret_headers: &HashSet<HeaderName>,
        limit: usize,
    ) -> Result<Self, OutcomeFault> {
        let name = changeable(name)?;
        let source = Source::parse(source, secret_headers)?;
        Ok(Self { name, to: To::Copy(Box::new(Copied { source, if_absent, limit })) })
    }

    /// Within one policy the last word on a header holds.
    pub(crate) fn put(obligations: &mut Vec<Self>, obligation: Self) {
        obligations.retain(|earlier| !earlier.is_about_the_same(&obligation));
        obligations.push(obligation);
    }

    /// Whether both are about one header, in whatever spelling.
    pub(crate) fn is_about_the_same(&self, other: &Self) -> bool {
        same_spelling(self.name.as_str(), other.name.as_str())
    }

    /// Takes in what another policy wants of the same header; false where it is something else. A
    /// copy and a value differ, also where they would come to the same for this caller: the
    /// decision is not about this caller alone. Of two limits on a value both hold.
    pub(crate) fn agree(&mut self, other: &Self) -> bool {
        if self.name != other.name {
            return false;
        }
        match (&mut self.to, &other.to) {
            (To::Copy(own), To::Copy(others)) => {
                own.limit = own.limit.min(others.limit);
                (&own.source, own.if_absent) == (&others.source, others.if_absent)
            }
            (own, others) => own == others,
        }
    }

    /// The bytes that it holds, for bounds.
    pub(crate) fn size(&self) -> usize {
        let held = match &self.to {
            To::Nothing => 0,
            To::Value(value) => value.len(),
            To::Copy(copy) => size_of::<Copied>() + copy.source.size(),
        };
        64 + self.name.as_str().len() + held
    }

    /// The change, where no request is needed to know it; `None` for a copy.
    pub fn fixed(&self) -> Option<HeaderChange> {
        let value = match &self.to {
            To::Nothing => None,
            To::Value(value) => Some(value.clone()),
            To::Copy(_) => return None,
        };
        Some(HeaderChange { name: self.name.clone(), value })
    }

    /// `x-tenant := {claim:/tenant}`, `x-old removed`. A value that a policy set is shown as the
    /// beginning of its digest in hexadecimal: the policy may have made it from what must not be
    /// shown.
    pub fn describe(&self, digest: impl FnOnce(&[u8]) -> String) -> String {
        match &self.to {
            To::Nothing => format!("{} removed", self.name),
            To::Value(value) => {
                let digest = digest(value.as_bytes());
                format!("{} = #{}", self.name, digest.get(..16).unwrap_or_default())
            }
            To::Copy(copy) => {
                let or_removed = if copy.if_absent == IfAbsent::Remove { " or removed" } else { "" };
                format!("{} := {}{or_removed}", self.name, copy.source)
            }
        }
    }

    fn settle(
        &self,
        question: &mut Question,
        view: &View,
        id: &dyn fmt::Display,
    ) -> Result<HeaderChange, Fault> {
        let value = match &self.to {
            To::Nothing => None,
            To::Value(value) => Some(value.clone()),
            To::Copy(copy) => copy.value(question, view, id).map_err(|unusable| {
                let (source, what) = (&copy.source, unusable.what);
                let detail = format!("the header `{}` is to be a copy of `{source}`: {what}", self.name);
                Fault::new(unusable.code, detail).of(unusable.origin)
            })?,
        };
        Ok(HeaderChange { name: self.name.clone(), value })
    }
}

/// Why a source returns no value for a header, and whose doing it is.
struct Unusable {
    code: &'static str,
    what: String,
    origin: FaultOrigin,
}

impl From<ReadFault> for Unusable {
    fn from(fault: ReadFault) -> Self {
        Self { code: fault.code(), what: fault.to_string(), origin: fault.origin() }
    }
}

impl Copied {
    /// The value for this request; none where it is absent and the header is to be removed.
    fn value(
        &self,
        question: &mut Question,
        view: &View,
        id: &dyn fmt::Display,
    ) -> Result<Option<HeaderValue>, Unusable> {
        let origin = self.source.origin();
        let found = self.source.value(question, view, id);
        let Some(text) = found? else {
            return match self.if_absent {
                IfAbsent::Remove => Ok(None),
                IfAbsent::Fault => Err(Unusable {
                    code: "obligation-source-absent",
                    what: "it is absent".to_owned(),
                    origin,
                }),
            };
        };
        let unusable = |what: String| Unusable { code: "obligation-unusable-value", what, origin };
        if text.len() > self.limit {
            return Err(unusable(format!("its value is longer than {} bytes", self.limit)));
        }
        // An empty header is "no tenant" to one reader and "any tenant" to another.
        let value = header_value(&text).filter(|value| !value.is_empty());
        value.map(Some).ok_or_else(|| unusable("its value cannot stand in a header".to_owned()))
    }
}

/// The name of a header that policies may change.
fn changeable(name: &str) -> Result<HeaderName, OutcomeFault> {
    if name.len() > 128 {
        return Err(OutcomeFault::MalformedHeader);
    }
    let name: HeaderName = name.parse().map_err(|_| OutcomeFault::MalformedHeader)?;
    if is_reserved(&name) { Err(OutcomeFault::ReservedHeader(name)) } else { Ok(name) }
}

/// A value that every reader of the message takes for the same: visible ASCII with spaces inside of
/// it (RFC 9110 section 5.5; text beyond ASCII has no agreed meaning in a header).
fn header_value(text: &str) -> Option<HeaderValue> {
    let visible = text.bytes().all(|b| (0x20..0x7f).contains(&b)) && text.trim() == text;
    if visible { HeaderValue::from_str(text).ok() } else { None }
}

/// Whether two names of headers are the same for somebody who takes `_` for `-`. `HeaderName` has
/// folded the case.
pub fn same_spelling(one: &str, other: &str) -> bool {
    let fold = |b: u8| if b == b'_' { b'-' } else { b };
    one.len() == other.len() && one.bytes().map(fold).eq(other.bytes().map(fold))
}

/// Headers that frame the message, belong to the connection, carry credentials, or are ztlib's own.
fn is_reserved(name: &HeaderName) -> bool {
    const RESERVED: [&str; 24] = [
        // hop by hop and framing: RFC 9110 section 7.6.1, RFC 9112 section 6
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "content-encoding",
        "content-type",
        "host",
        "expect",
        "http2-settings",
        "date",
        // credentials and challenges
        "authorization",
        "proxy-authorization",
        "proxy-authenticate",
        "www-authenticate",
        "cookie",
        "set-cookie",
        "dpop",
        // who a proxy says it speaks for
        "x-forwarded-client-cert",
        "client-cert",
        "client-cert-chain",
    ];
    // Applying a change strips all spellings, so each of them is as good as the header itself.
    let name = name.as_str().replace('_', "-");
    RESERVED.contains(&name.as_str()) || name.starts_with("grpc-") || name.starts_with("ztlib-")
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::facts::{Caller, Labels, Params, RequestFacts, Target};
    use crate::outcome::{Outcome, OutcomeLimits};

    type Attach = fn(&mut Outcome) -> Result<(), OutcomeFault>;

    /// What one policy attaches.
    fn outcome(attach: impl FnOnce(&mut Outcome) -> Result<(), OutcomeFault>) -> Outcome {
        let mut outcome = Outcome::new(OutcomeLimits::default());
        attach(&mut outcome).unwrap();
        outcome
    }

    fn both(mut one: Outcome, mut other: Outcome) -> Result<Obligations, OutcomeFault> {
        let mut all = Obligations::default();
        all.add(&mut one)?;
        all.add(&mut other).map(|()| all)
    }

    /// A request with these headers, and the label `owner`.
    fn question(headers: &[(&str, &str)], owner: Option<&str>) -> Question {
        let mut request = http::Request::get("/orders/7");
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        let facts = RequestFacts {
            parts: Box::new(request.body(()).unwrap().into_parts().0),
            target: Target::new("shop.test", "/orders/7"),
            route: None,
            params: Params::default(),
        };
        let labels = owner.map_or_else(Labels::new, |owner| Labels::new().with("owner", owner));
        Question::new(Caller::default(), Asked::Request(facts), labels, UNIX_EPOCH)
    }

    fn settle(obligations: &Obligations, question: &mut Question) -> Result<Settled, Fault> {
        obligations.settle(question, &View::default(), &"an id")
    }

    #[test]
    fn equal_symbols_agree_and_everything_else_about_one_header_is_a_conflict() {
        let tenant = || outcome(|o| o.copy_to_request_header("x-tenant", "{claim:/tenant}"));
        assert_eq!(both(tenant(), tenant()).unwrap().request.len(), 1);
        let others: [Attach; 6] = [
            |o| o.set_request_header("x-tenant", "acme"),
            |o| o.remove_request_header("x-tenant"),
            |o| o.copy_to_request_header("x-tenant", "{claim:/org}"),
            |o| o.copy_to_request_header("x-tenant", "{label:tenant}"),
            |o| o.copy_to_request_header_or_remove("x-tenant", "{claim:/tenant}"),
            |o| o.copy_to_request_header("x_tenant", "{claim:/tenant}"),
        ];
        for other in others {
            let conflict = |all| matches!(all, Err(OutcomeFault::ConflictingHeader(_)));
            assert!(conflict(both(tenant(), outcome(other))));
            assert!(conflict(both(outcome(other), tenant())));
        }
        let response = outcome(|o| o.copy_to_response_header("x-tenant", "{claim:/org}"));
        assert!(both(tenant(), response).is_ok(), "another message");
    }

    #[test]
    fn the_last_word_of_one_policy_holds_between_copies_and_values_too() {
        let mut said = outcome(|o| {
            o.copy_to_request_header("x-tenant", "{claim:/tenant}")?;
            o.set_request_header("X_Tenant", "acme")
        });
        let mut all = Obligations::default();
        all.add(&mut said).unwrap();
        let settled = settle(&all, &mut question(&[], None)).unwrap();
        assert_eq!(settled.request.len(), 1);
        assert_eq!(settled.request[0].value.as_ref().unwrap(), "acme");
    }

    #[test]
    fn of_two_budgets_for_one_value_the_smaller_holds() {
        let with = |bytes| {
            let mut outcome =
                Outcome::new(OutcomeLimits { header_value_bytes: bytes, ..OutcomeLimits::default() });
            outcome.copy_to_request_header("x-owner", "{label:owner}").unwrap();
            outcome
        };
        for (one, other) in [(5, 100), (100, 5)] {
            let all = both(with(one), with(other)).unwrap();
            assert!(settle(&all, &mut question(&[], Some("alice"))).is_ok());
            let fault = settle(&all, &mut question(&[], Some("malice"))).unwrap_err();
            assert_eq!(fault.code(), "obligation-unusable-value");
        }
    }

    #[test]
    fn a_value_that_cannot_stand_in_a_header_is_a_fault_and_is_never_changed_to_fit() {
        let mut said = outcome(|o| o.copy_to_request_header_or_remove("x-owner", "{label:owner}"));
        let mut all = Obligations::default();
        all.add(&mut said).unwrap();
        let longest = "x".repeat(1024);
        for good in ["alice", "a b", "a, b", "\"", longest.as_str()] {
            let settled = settle(&all, &mut question(&[], Some(good))).unwrap();
            assert_eq!(settled.request[0].value.as_ref().unwrap(), good);
        }
        let settled = settle(&all, &mut question(&[], None)).unwrap();
        assert_eq!(settled.request[0].value, None, "absent: removed");
        let too_long = "x".repeat(1025);
        for bad in [
            "",
            " ",
            " alice",
            "alice ",
            "a\r\nx-admin: 1",
            "a\tb",
            "a\0",
            "\u{7f}",
            "é",
            "\u{2028}",
            &too_long,
        ] {
            let fault = settle(&all, &mut question(&[], Some(bad))).unwrap_err();
            assert_eq!(fault.code(), "obligation-unusable-value", "{bad:?}");
            assert!(
                fault.detail().contains("`x-owner`") && fault.detail().contains("`{label:owner}`"),
                "{fault}"
            );
            assert!(bad.len() < 3 || !fault.detail().contains(bad), "the value is not for logs: {fault}");
        }
    }

    #[test]
    fn a_copied_header_is_the_one_value_that_the_caller_sent() {
        let mut said = outcome(|o| {
            o.copy_to_request_header("x-new", "{header:x-old}")?;
            o.remove_request_header("x-old")
        });
        let mut all = Obligations::default();
        all.add(&mut said).unwrap();
        let settled = settle(&all, &mut question(&[("X-Old", "1")], None)).unwrap();
        assert_eq!(settled.request[0].value.as_ref().unwrap(), "1", "it is looked at before it is removed");
        let code = |headers| settle(&all, &mut question(headers, None)).unwrap_err().code();
        assert_eq!(code(&[]), "obligation-source-absent");
        assert_eq!(code(&[("x_old", "1")]), "obligation-source-absent", "another name");
        assert_eq!(code(&[("x-old", "1"), ("x-old", "1")]), "read-several-values");
        assert_eq!(code(&[("x-old", "")]), "obligation-unusable-value");
    }

    /// The manifest's secrets are not known to an outcome that was made without them; the read is
    /// refused all the same.
    #[test]
    fn a_secret_is_not_copied_even_where_the_symbol_slipped_through() {
        let mut said = outcome(|o| o.copy_to_request_header_or_remove("x-new", "{header:x-api-key}"));
        let mut all = Obligations::default();
        all.add(&mut said).unwrap();
        let secret_headers = std::sync::Arc::new(HashSet::from([HeaderName::from_static("x-api-key")]));
        let view = View { secret_headers, ..View::default() };
        let asked = all.settle(&mut question(&[("x-api-key", "s")], None), &view, &"an id");
        assert_eq!(asked.unwrap_err().code(), "read-secret");
    }

    #[test]
    fn what_a_decision_holds_of_symbols_is_counted() {
        let size = |source: &str| {
            let mut said = outcome(|o| o.copy_to_request_header("x-tenant", source));
            let mut all = Obligations::default();
            all.add(&mut said).unwrap();
            crate::Decision::Allow(all).size()
        };
        let long = format!("{{claim:/{}}}", "x".repeat(1000));
        assert!(size(&long) > size("{claim:/x}") + 900);
    }
}

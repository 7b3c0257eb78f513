//! What one policy says, and what goes with it.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use http::HeaderName;

use super::obligation::{IfAbsent, Obligation};
use super::outcome_fault::OutcomeFault;
use super::read::Read;

/// The answer of one policy. These three for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the contract promises these three for ever")]
pub enum Answer {
    /// The request may pass, as far as this policy is concerned.
    Allow,
    /// The request is refused, whatever other policies say.
    Deny,
    /// The policy has nothing to say.
    Abstain,
}

/// What a policy attaches to its answer. Every method checks what it is given and refuses it by
/// name: a policy that attaches something that cannot be used is a fault, not an allow without the
/// attachment.
#[derive(Debug, Clone)]
pub struct Outcome {
    limits: OutcomeLimits,
    /// Headers that the service keeps from policies, besides those that are secret everywhere.
    secret_headers: Arc<HashSet<HeaderName>>,
    /// Why the policy denies.
    pub reason: Option<Reason>,
    /// A text for the caller.
    pub message: Option<Box<str>>,
    /// The login that would help.
    pub step_up: Option<StepUp>,
    /// Changes to the request.
    pub request_headers: Vec<Obligation>,
    /// Changes to the response.
    pub response_headers: Vec<Obligation>,
    /// Lines for the audit event.
    pub log: Vec<Box<str>>,
    log_bytes: usize,
}

/// Bounds on what a policy attaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutcomeLimits {
    /// Bytes of the message for the caller.
    pub message_bytes: usize,
    /// Header changes, requests and responses together.
    pub headers: usize,
    /// Bytes of one header value.
    pub header_value_bytes: usize,
    /// Bytes of all log lines together.
    pub log_bytes: usize,
}

impl Default for OutcomeLimits {
    /// 512 bytes of message, 16 headers of 1 KiB, 4 KiB of log.
    fn default() -> Self {
        Self { message_bytes: 512, headers: 16, header_value_bytes: 1024, log_bytes: 4096 }
    }
}

/// A denial's reason: a code of `[a-z0-9-]`, 1 to 64 long.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason(Box<str>);

impl Reason {
    /// Parses a code.
    ///
    /// # Errors
    /// [`OutcomeFault::MalformedReason`] where it is anything but 1 to 64 of `[a-z0-9-]`.
    pub fn parse(code: &str) -> Result<Self, OutcomeFault> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=64).contains(&code.len()) && code.bytes().all(good) {
            Ok(Self(code.into()))
        } else {
            Err(OutcomeFault::MalformedReason)
        }
    }

    /// For the codes that ztlib itself gives.
    pub fn known(code: &'static str) -> Self {
        Self(code.into())
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// With a denial: a stronger or fresher login would help (RFC 9470).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepUp {
    /// The authentication context class to ask for.
    pub acr: Option<Box<str>>,
    /// The greatest age of the login in seconds.
    pub max_age: Option<u32>,
}

impl StepUp {
    /// The authentication context class to ask for (`acr_values`).
    pub fn acr(&self) -> Option<&str> {
        self.acr.as_deref()
    }

    /// The greatest age of the login in seconds (`max_age`).
    pub fn max_age(&self) -> Option<u32> {
        self.max_age
    }
}

impl Outcome {
    /// Nothing attached yet.
    pub fn new(limits: OutcomeLimits) -> Self {
        Self {
            limits,
            secret_headers: Arc::default(),
            reason: None,
            message: None,
            step_up: None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            log: Vec::new(),
            log_bytes: 0,
        }
    }

    /// The same, for a service that keeps these headers from policies.
    pub fn keeping(self, secret_headers: &Arc<HashSet<HeaderName>>) -> Self {
        Self { secret_headers: secret_headers.clone(), ..self }
    }

    /// Why the policy denies.
    ///
    /// # Errors
    /// [`OutcomeFault::MalformedReason`]. Whether the manifest declares the code is checked when
    /// the policy has answered.
    pub fn reason(&mut self, code: &str) -> Result<(), OutcomeFault> {
        self.reason = Some(Reason::parse(code)?);
        Ok(())
    }

    /// A text for the caller, shown with a denial.
    ///
    /// # Errors
    /// [`OutcomeFault::Budget`] where it is too long, [`OutcomeFault::MalformedMessage`] for
    /// control characters and those that change the direction or the lines of a text.
    pub fn message(&mut self, text: &str) -> Result<(), OutcomeFault> {
        if text.len() > self.limits.message_bytes {
            return Err(OutcomeFault::Budget("the message"));
        }
        let unprintable = |c: char| {
            c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        if text.chars().any(unprintable) {
            return Err(OutcomeFault::MalformedMessage);
        }
        self.message = Some(text.into());
        Ok(())
    }

    /// With a denial: the caller may try again after a stronger or fresher login (RFC 9470).
    ///
    /// # Errors
    /// [`OutcomeFault::MalformedStepUp`] where both are absent, or the class is not 1 to 256 of
    /// visible ASCII without `"` and `\`.
    pub fn challenge_step_up(&mut self, acr: Option<&str>, max_age: Option<u32>) -> Result<(), OutcomeFault> {
        let fits = |acr: &str| {
            (1..=256).contains(&acr.len())
                && acr.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\')
        };
        if (acr.is_none() && max_age.is_none()) || !acr.is_none_or(fits) {
            return Err(OutcomeFault::MalformedStepUp);
        }
        self.step_up = Some(StepUp { acr: acr.map(Into::into), max_age });
        Ok(())
    }

    /// With an allow: sets a header of the request; what the caller sent under this name goes
    /// first.
    ///
    /// # Errors
    /// [`OutcomeFault::MalformedHeader`], [`OutcomeFault::ReservedHeader`],
    /// [`OutcomeFault::Budget`].
    pub fn set_request_header(&mut self, name: &str, value: &str) -> Result<(), OutcomeFault> {
        let header = Obligation::set(name, value, self.header_limit()?)?;
        Obligation::put(&mut self.request_headers, header);
        Ok(())
    }

    /// With an allow: removes a header from the request.
    ///
    /// # Errors
    /// As [`Outcome::set_request_header`].
    pub fn remove_request_header(&mut self, name: &str) -> Result<(), OutcomeFault> {
        self.header_limit()?;
        Obligation::put(&mut self.request_headers, Obligation::remove(name)?);
        Ok(())
    }

    /// With an allow: sets a header of the response.
    ///
    /// # Errors
    /// As [`Outcome::set_request_header`].
    pub fn set_response_header(&mut self, name: &str, value: &str) -> Result<(), OutcomeFault> {
        let header = Obligation::set(name, value, self.header_limit()?)?;
        Obligation::put(&mut self.response_headers, header);
        Ok(())
    }

    /// With an allow: removes a header from the response.
    ///
    /// # Errors
    /// As [`Outcome::set_request_header`].
    pub fn remove_response_header(&mut self, name: &str) -> Result<(), OutcomeFault> {
        self.header_limit()?;
        Obligation::put(&mut self.response_headers, Obligation::remove(name)?);
        Ok(())
    }

    /// With an allow: sets a header of the request to what a source (`{claim:/tenant}`; the
    /// contract lists them) stands for in each request. Copying is not reading: the decision
    /// stays one for all callers, and each gets a header of their own.
    ///
    /// Where the source is absent, or its value cannot stand in a header, the request is refused as
    /// a fault: nothing that a caller sent under this name ever takes its place.
    ///
    /// # Errors
    /// As [`Outcome::set_request_header`], and [`OutcomeFault::MalformedSource`],
    /// [`OutcomeFault::SecretSource`].
    pub fn copy_to_request_header(&mut self, name: &str, source: &str) -> Result<(), OutcomeFault> {
        let header = self.copy(name, source, IfAbsent::Fault)?;
        Obligation::put(&mut self.request_headers, header);
        Ok(())
    }

    /// The same, and where the source is absent the header is removed.
    ///
    /// # Errors
    /// As [`Outcome::copy_to_request_header`].
    pub fn copy_to_request_header_or_remove(&mut self, name: &str, source: &str) -> Result<(), OutcomeFault> {
        let header = self.copy(name, source, IfAbsent::Remove)?;
        Obligation::put(&mut self.request_headers, header);
        Ok(())
    }

    /// With an allow: sets a header of the response to what a source stands for in each request.
    ///
    /// # Errors
    /// As [`Outcome::copy_to_request_header`].
    pub fn copy_to_response_header(&mut self, name: &str, source: &str) -> Result<(), OutcomeFault> {
        let header = self.copy(name, source, IfAbsent::Fault)?;
        Obligation::put(&mut self.response_headers, header);
        Ok(())
    }

    /// The same, and where the source is absent the header is removed.
    ///
    /// # Errors
    /// As [`Outcome::copy_to_request_header`].
    pub fn copy_to_response_header_or_remove(
        &mut self,
        name: &str,
        source: &str,
    ) -> Result<(), OutcomeFault> {
        let header = self.copy(name, source, IfAbsent::Remove)?;
        Obligation::put(&mut self.response_headers, header);
        Ok(())
    }

    /// A line for the audit event of this evaluation.
    ///
    /// # Errors
    /// [`OutcomeFault::Budget`] where all lines together are too long.
    pub fn log(&mut self, text: &str) -> Result<(), OutcomeFault> {
        // An empty line costs too: else a loop of them would fill the memory.
        self.log_bytes = self.log_bytes.saturating_add(text.len()).saturating_add(16);
        if self.log_bytes > self.limits.log_bytes {
            return Err(OutcomeFault::Budget("the log"));
        }
        self.log.push(text.into());
        Ok(())
    }

    /// What the service is to be given copies of.
    pub fn copied_to_request(&self) -> impl Iterator<Item = &Read> {
        self.request_headers.iter().filter_map(Obligation::copied)
    }

    fn copy(&self, name: &str, source: &str, if_absent: IfAbsent) -> Result<Obligation, OutcomeFault> {
        let limit = self.header_limit()?;
        Obligation::copy(name, source, if_absent, &self.secret_headers, limit)
    }

    /// How long one more header may be, in bytes.
    fn header_limit(&self) -> Result<usize, OutcomeFault> {
        if self.request_headers.len() + self.response_headers.len() >= self.limits.headers {
            return Err(OutcomeFault::Budget("header changes"));
        }
        Ok(self.limits.header_value_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        Outcome::new(OutcomeLimits::default())
    }

    #[test]
    fn reasons_are_codes() {
        let mut outcome = outcome();
        assert_eq!(outcome.reason("no-role"), Ok(()));
        let long = "x".repeat(65);
        for code in ["", "No", "no role", "no_role", "né", long.as_str()] {
            assert_eq!(outcome.reason(code), Err(OutcomeFault::MalformedReason), "{code}");
        }
        assert_eq!(outcome.reason.unwrap().as_str(), "no-role");
    }

    #[test]
    fn a_header_with_cr_lf_or_a_reserved_name_is_a_fault() {
        let mut outcome = outcome();
        assert_eq!(outcome.set_request_header("x-tenant", "acme"), Ok(()));
        assert_eq!(outcome.set_request_header("x-a", "a\r\nx-admin: 1"), Err(OutcomeFault::MalformedHeader));
        assert_eq!(outcome.set_request_header("x a", "1"), Err(OutcomeFault::MalformedHeader));
        assert_eq!(outcome.set_request_header("x-a", " 1"), Err(OutcomeFault::MalformedHeader));
        for name in ["Transfer-Encoding", "host", "authorization", "grpc-status", "ztlib-id", "connection"] {
            assert!(
                matches!(outcome.set_request_header(name, "1"), Err(OutcomeFault::ReservedHeader(_))),
                "{name}"
            );
            assert!(
                matches!(outcome.remove_response_header(name), Err(OutcomeFault::ReservedHeader(_))),
                "{name}"
            );
        }
        assert_eq!(outcome.request_headers.len(), 1);
    }

    /// Setting or removing a header strips all its spellings: `content_length` would take
    /// `content-length` away.
    #[test]
    fn a_reserved_header_is_reserved_in_all_spellings() {
        let mut outcome = outcome();
        for name in [
            "content_length",
            "Transfer_Encoding",
            "set_cookie",
            "WWW_Authenticate",
            "proxy_authorization",
            "x_forwarded_client_cert",
            "x-forwarded_client-cert",
            "client-cert",
            "client_cert_chain",
            "grpc_status",
            "ztlib_id",
        ] {
            let reserved = |result| matches!(result, Err(OutcomeFault::ReservedHeader(_)));
            assert!(reserved(outcome.set_request_header(name, "1")), "{name}");
            assert!(reserved(outcome.remove_request_header(name)), "{name}");
            assert!(reserved(outcome.set_response_header(name, "1")), "{name}");
            assert!(reserved(outcome.remove_response_header(name)), "{name}");
        }
        assert_eq!(outcome.set_request_header("x_tenant", "acme"), Ok(()));
    }

    #[test]
    fn another_spelling_is_the_same_header_for_the_last_word_and_for_conflicts() {
        let (mut first, mut second) = (outcome(), outcome());
        first.set_request_header("x_tenant", "evil").unwrap();
        first.set_request_header("x-tenant", "acme").unwrap();
        assert_eq!(first.request_headers.len(), 1);
        second.remove_request_header("x_tenant").unwrap();
        let mut all = crate::Obligations::default();
        assert_eq!(all.add(&mut first), Ok(()));
        assert!(matches!(all.add(&mut second), Err(OutcomeFault::ConflictingHeader(_))));
    }

    #[test]
    fn the_last_word_on_a_header_holds() {
        let mut outcome = outcome();
        outcome.set_request_header("x-a", "1").unwrap();
        outcome.set_request_header("X-A", "2").unwrap();
        assert_eq!(outcome.request_headers.len(), 1);
        assert_eq!(outcome.request_headers, [Obligation::set("x-a", "2", 8).unwrap()]);
    }

    #[test]
    fn everything_attached_is_bounded() {
        let mut outcome = outcome();
        assert_eq!(outcome.message(&"x".repeat(513)), Err(OutcomeFault::Budget("the message")));
        assert_eq!(outcome.message("a\u{202e}b"), Err(OutcomeFault::MalformedMessage));
        assert_eq!(outcome.message("ask the owner"), Ok(()));
        while outcome.log("").is_ok() {}
        assert!(outcome.log.len() <= 256);
        let mut n = 0;
        while outcome.set_response_header(&format!("x-{n}"), "1").is_ok() {
            n += 1;
        }
        assert_eq!(n, 16);
    }

    #[test]
    fn a_step_up_challenge_asks_for_something_that_fits_a_header() {
        let mut outcome = outcome();
        assert_eq!(outcome.challenge_step_up(None, None), Err(OutcomeFault::MalformedStepUp));
        assert_eq!(outcome.challenge_step_up(Some("a\"b"), None), Err(OutcomeFault::MalformedStepUp));
        assert_eq!(outcome.challenge_step_up(Some("urn:mfa"), Some(300)), Ok(()));
    }
}

//! The question at hand: every function of the contract as a method.

use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;

use crate::Answer;
#[cfg(target_arch = "wasm32")]
use crate::guest::bindings::ztlib::policy as contract;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::Host;

/// The question that a policy answers, and the only way to learn anything about it.
///
/// Each method is the function of the same name in the contract (`wit/policy.wit`). In the sandbox it calls the host,
/// which writes the call and its answer into the *trace* of the decision; in a native test it asks the facts
/// that the test laid down ([`testing`](crate::testing)). **A read that fails is a fault**: the method does not return,
/// the evaluation is over, and the request is refused. `None` and `false` mean *known to be absent*.
///
/// Ask the narrowest question that will do: a decision that hangs on `has_scope("orders:write")` can be served again to
/// everyone whose answer is the same, one that read all scopes only to those who have the very same scopes.
pub struct Question<'a> {
    #[cfg(not(target_arch = "wasm32"))]
    host: &'a Host<'a>,
    lifetime: PhantomData<&'a ()>,
}

impl core::fmt::Debug for Question<'_> {
    /// Only its name: printing the facts would be reading them.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Question")
    }
}

impl<'a> Question<'a> {
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn new() -> Self {
        Self { lifetime: PhantomData }
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn new(host: &'a Host<'a>) -> Self {
        Self { host, lifetime: PhantomData }
    }

    /// Bytes that the policy put aside when it was loaded. Not a read: they are the same for every question.
    pub(crate) fn constant(&self, key: &str) -> Option<Vec<u8>> {
        #[cfg(target_arch = "wasm32")]
        return contract::constants::get(key);
        #[cfg(not(target_arch = "wasm32"))]
        return self.host.constant(key);
    }

    /// Deny for this reason: [`reason`](Self::reason) and the answer in one.
    #[must_use = "it is the answer of `decide`"]
    pub fn deny(&self, reason: &str) -> Answer {
        self.reason(reason);
        Answer::Deny
    }
}

/// The functions of one interface, each as a method: to the host in the sandbox, to the harness elsewhere.
macro_rules! functions {
    ($interface:ident {
        $($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*) $(-> $value:ty)?;)*
    }) => {
        impl Question<'_> {
            $(
                $(#[$doc])*
                pub fn $name(&self $(, $argument: $type)*) $(-> $value)? {
                    #[cfg(target_arch = "wasm32")]
                    let value = contract::$interface::$name($($argument),*);
                    #[cfg(not(target_arch = "wasm32"))]
                    let value = self.host.$name($($argument),*);
                    value
                }
            )*
        }
    };
}

functions!(request {
    /// The application's name for what is asked ("orders.cancel") where a handler asks; none for an incoming request.
    fn action() -> Option<String>;

    /// The method, exactly as sent; a gRPC call is a "POST". A fault where [`action`](Self::action) is given and there
    /// is no request: look at `action` first. The same holds for [`host`](Self::host) and [`path`](Self::path).
    fn method() -> String;

    /// The one host that the request names, in lower case, without the port and without a trailing dot.
    fn host() -> String;

    /// The path, exactly as the router sees it.
    fn path() -> String;

    /// The template of the route that the router matched ("/orders/{id}"); none where no route matched.
    fn route() -> Option<String>;

    /// A parameter of the route, decoded; none where the route has no parameter of this name.
    fn param(name: &str) -> Option<String>;

    /// Whether the path matches a pattern: `*` is one segment, `**` at the end is the rest. A malformed one is a fault.
    fn path_matches(pattern: &str) -> bool;

    /// The value of a header that occurs at most once; a fault where it occurs more often, is not UTF-8 or carries
    /// secrets.
    fn header(name: &str) -> Option<String>;

    /// All values of a header, in order.
    fn header_values(name: &str) -> Vec<String>;

    /// The names of all headers in lower case, sorted, each once.
    fn header_names() -> Vec<String>;

    /// The value of a query parameter that occurs at most once, decoded; a fault where it occurs more often.
    fn query(name: &str) -> Option<String>;

    /// What the application attached to the request or the question under this name.
    fn label(name: &str) -> Option<String>;
});

functions!(principal {
    /// Whether the connection presented a client certificate that was verified.
    fn has_peer() -> bool;

    /// The peer's SPIFFE ID; none where there is no peer or its identity is not a SPIFFE ID.
    fn peer_spiffe_id() -> Option<String>;

    /// The peer's SPIFFE trust domain.
    fn peer_trust_domain() -> Option<String>;

    /// The name under which the service trusts the authority of a peer that has no SPIFFE ID.
    fn peer_authority() -> Option<String>;

    /// The DNS names in the certificate of a peer that has no SPIFFE ID, sorted.
    fn peer_dns_names() -> Vec<String>;

    /// Whether the peer's SPIFFE ID matches a pattern ("spiffe://example.org/shop/*"). A malformed one is a fault.
    fn peer_matches(pattern: &str) -> bool;

    /// Whether the certificate of a peer without SPIFFE ID has this DNS name, without regard to ASCII case.
    fn peer_has_dns_name(name: &str) -> bool;

    /// Whether the request brought a bearer token that was verified.
    fn has_token() -> bool;

    /// Whether the token's issuer is the service's home issuer; false where there is no token.
    ///
    /// The subject `alice` of another issuer is another alice, and its role `admin` another role. A policy that allows by what a token
    /// says and asks neither this nor [`issuer`](Self::issuer) is a fault for a token of another issuer. Where a configuration can name
    /// the issuers whose word counts, [`Issuers`](crate::config::Issuers) reads and asks.
    fn from_home_issuer() -> bool;

    /// The token's issuer.
    fn issuer() -> Option<String>;

    /// The token's subject.
    fn subject() -> Option<String>;

    /// Whether the token's `scope` holds this scope.
    fn has_scope(scope: &str) -> bool;

    /// All scopes of the token, sorted, each once.
    fn scopes() -> Vec<String>;

    /// Whether the token names this audience.
    fn has_audience(audience: &str) -> bool;

    /// A claim by JSON pointer (RFC 6901) that is a string; a fault where it is of another type.
    fn claim_string(pointer: &str) -> Option<String>;

    /// A claim that is an integer; as [`claim_string`](Self::claim_string).
    fn claim_int(pointer: &str) -> Option<i64>;

    /// A claim that is a boolean; as [`claim_string`](Self::claim_string).
    fn claim_bool(pointer: &str) -> Option<bool>;

    /// A claim of any type, as JSON text with sorted members and no white space.
    fn claim_json(pointer: &str) -> Option<String>;

    /// Whether a claim is this string, or an array that holds it; false where there is no such claim.
    fn claim_contains(pointer: &str, value: &str) -> bool;

    /// Whether the user's last active login is at most this many seconds ago; false where the token does not say.
    fn authenticated_within(seconds: u32) -> bool;

    /// Whether the login used this method (`amr`, RFC 8176: "mfa", "otp", "hwk").
    fn uses_method(method: &str) -> bool;

    /// Whether the login's authentication context class (`acr`) is this one.
    fn acr_is(value: &str) -> bool;
});

functions!(context {
    /// The caller's IP address; none where the service does not know it.
    fn remote_ip() -> Option<String>;

    /// Whether the caller's IP address lies in a network ("10.0.0.0/8"); false where it is not known.
    fn remote_ip_in(cidr: &str) -> bool;

    /// Whether it is earlier than this moment (seconds since 1970-01-01T00:00:00Z).
    fn before(unix_seconds: u64) -> bool;

    /// Whether it is earlier than the moment in a claim; false where there is no such claim.
    fn before_claim(pointer: &str) -> bool;

    /// Whether it is now inside a weekly window in UTC: "mon-fri 08:00-18:00". The end is exclusive.
    fn in_window(schedule: &str) -> bool;

    /// The time in seconds since 1970. It keys the decision: prefer [`before`](Self::before).
    fn now() -> u64;

    /// A signal that the manifest declares; none where the service knows that there is none.
    fn signal(name: &str) -> Option<String>;

    /// Whether a signal that is a number is at least this one; false where there is none.
    fn signal_at_least(name: &str, number: i64) -> bool;

    /// A value in a document that the manifest declares, by JSON pointer, that is a string. `{issuer}`,
    /// `{subject}`, `{peer}`, `{param:id}` and `{claim:/tenant}` in the pointer stand for their
    /// values, one a segment; an absent one gives none.
    ///
    /// Text that was read never goes into a pointer as it is: [`DataPointer`](crate::pointer::DataPointer) puts it in as one segment.
    fn data_string(document: &str, pointer: &str) -> Option<String>;

    /// A value of any type in a document, as JSON text with sorted members and no white space.
    fn data_json(document: &str, pointer: &str) -> Option<String>;

    /// Whether a value in a document is this string, or an array that holds it, or an object that has it as a member. `value` is
    /// compared as it is: it may be text of a caller.
    fn data_contains(document: &str, pointer: &str, value: &str) -> bool;
});

functions!(outcome {
    /// Why the policy denies: a code of `[a-z0-9-]`, 1 to 64 long, that the manifest declares for this policy.
    fn reason(code: &str);

    /// A text for the caller, shown with a denial: no control characters, bounded.
    fn message(text: &str);

    /// With a denial: the caller may try again after a stronger or fresher login (RFC 9470). At least one of an
    /// authentication context class and a maximum age in seconds.
    fn challenge_step_up(acr: Option<&str>, max_age: Option<u32>);

    /// With an allow: set a header of the request before the service sees it.
    fn set_request_header(name: &str, value: &str);

    /// With an allow: remove a header from the request before the service sees it.
    fn remove_request_header(name: &str);

    /// With an allow: set a header of the response.
    fn set_response_header(name: &str, value: &str);

    /// With an allow: remove a header from the response.
    fn remove_response_header(name: &str);

    /// With an allow: set a header of the request to what `source` stands for in each request: `{subject}`, `{issuer}`,
    /// `{claim:/tenant}`, `{peer}`, `{trust-domain}`, `{remote-ip}`, `{param:id}`, `{header:x-tenant}`, `{label:owner}` or
    /// `{request-id}`, exactly one.
    ///
    /// **Copying is not reading**: the decision stays one for all callers, where `claim_string` and `set_request_header` would make it
    /// one for each tenant. Where the source is absent, or its value cannot stand in a header, the request is refused as a fault
    /// and nothing that the caller sent takes its place. Anything but one symbol, and a header that carries secrets, is a
    /// fault when it is said.
    ///
    /// ```
    /// use ztlib_policy::testing::{Facts, ask, decide};
    /// use ztlib_policy::{Answer, Policy, Question};
    ///
    /// struct Tenants;
    /// impl Policy for Tenants {
    ///     fn configure(_: &[u8]) -> Result<Self, String> { Ok(Tenants) }
    ///     fn decide(&self, question: &Question) -> Answer {
    ///         question.copy_to_request_header("x-tenant", "{claim:/tenant}");
    ///         Answer::Allow
    ///     }
    /// }
    ///
    /// let facts = Facts::request("GET", "/orders");
    /// let verdict = decide(&Tenants, &facts.clone().token(r#"{"tenant": "acme"}"#)).unwrap();
    /// assert_eq!(verdict.request_headers[0].value.as_deref(), Some("acme"));
    /// assert!(verdict.trace.is_empty());
    ///
    /// let fault = decide(&Tenants, &facts).unwrap_err();
    /// assert_eq!(fault.code, "obligation-source-absent");
    /// let fault = ask(&facts, |question| question.copy_to_request_header("x-key", "{header:cookie}")).unwrap_err();
    /// assert_eq!(fault.code, "outcome-secret-source");
    /// ```
    fn copy_to_request_header(name: &str, source: &str);

    /// The same; where the source is absent, the header is removed.
    fn copy_to_request_header_or_remove(name: &str, source: &str);

    /// With an allow: set a header of the response to what `source` stands for in the request; as
    /// [`copy_to_request_header`](Self::copy_to_request_header).
    fn copy_to_response_header(name: &str, source: &str);

    /// The same; where the source is absent, the header is removed from the response.
    fn copy_to_response_header_or_remove(name: &str, source: &str);

    /// A line for the audit event of this evaluation; bounded.
    fn log(text: &str);
});

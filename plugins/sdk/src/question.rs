//! The question at hand: every function of the contract as a method.

use alloc::vec::Vec;
use core::marker::PhantomData;

use crate::Answer;
#[cfg(target_arch = "wasm32")]
use crate::guest::bindings::ztlib::policy as contract;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::Host;

/// The question that a policy answers, and the only way to learn anything about it.
///
/// Each method is the function of the same name in the contract (`wit/policy.wit`). In the sandbox
/// it calls the host, which writes the call and its answer into the *trace* of the decision; in a
/// native test it asks the facts that the test laid down ([`testing`](crate::testing)). **A read
/// that fails is a fault**: the method does not return, the evaluation is over, and the request is
/// refused. `None` and `false` mean *known to be absent*.
///
/// Ask the narrowest question that will do: a decision that hangs on `has_scope("orders:write")`
/// can be served again to everyone whose answer is the same, one that read all scopes only to those
/// who have the very same scopes.
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

    /// Bytes that the policy put aside when it was loaded. Not a read: they are the same for every
    /// question.
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

/// The Rust type of an argument of a read.
macro_rules! argument {
    (text) => {
        &str
    };
    (seconds) => {
        u32
    };
    (moment) => {
        u64
    };
    (number) => {
        i64
    };
}

/// The Rust type of what a read gives.
macro_rules! value {
    (yes) => { bool };
    (text) => { alloc::string::String };
    (texts) => { alloc::vec::Vec<alloc::string::String> };
    (moment) => { u64 };
    (maybe_text) => { Option<alloc::string::String> };
    (maybe_number) => { Option<i64> };
    (maybe_yes) => { Option<bool> };
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use {argument, value};

/// The reads, each as a method: to the host in the sandbox, to the harness elsewhere.
macro_rules! reads {
    ($($interface:ident { $($(#[$doc:meta])* $variant:ident $method:ident $function:literal
        $(( $($argument:ident : $kind:ident),+ ))? -> $value:ident,
        of $whose:ident $($flag:ident)*, about $about:ident $($name:expr)?
        $(, rather $rather:literal)?;)* })*) => {
        impl Question<'_> {
            $($(
                $(#[$doc])*
                #[allow(clippy::wrong_self_convention, reason = "it is called so in the contract")]
                pub fn $method(&self $(, $($argument: argument!($kind)),+)?) -> value!($value) {
                    #[cfg(target_arch = "wasm32")]
                    let value = contract::$interface::$method($($($argument),+)?);
                    #[cfg(not(target_arch = "wasm32"))]
                    let value = self.host.$method($($($argument),+)?);
                    value
                }
            )*)*
        }
    };
}
ztlib_pattern::reads!(reads);

/// The functions of one interface, each as a method: to the host in the sandbox, to the harness
/// elsewhere.
macro_rules! functions {
    ($interface:ident {
        $($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*);)*
    }) => {
        impl Question<'_> {
            $(
                $(#[$doc])*
                pub fn $name(&self $(, $argument: $type)*) {
                    #[cfg(target_arch = "wasm32")]
                    contract::$interface::$name($($argument),*);
                    #[cfg(not(target_arch = "wasm32"))]
                    self.host.$name($($argument),*);
                }
            )*
        }
    };
}

functions!(outcome {
    /// Why the policy denies: a code of `[a-z0-9-]`, 1 to 64 long, that the manifest declares for
    /// this policy.
    fn reason(code: &str);

    /// A text for the caller, shown with a denial: no control characters, bounded.
    fn message(text: &str);

    /// With a denial: the caller may try again after a stronger or fresher login (RFC 9470). At
    /// least one of an authentication context class and a maximum age in seconds.
    fn challenge_step_up(acr: Option<&str>, max_age: Option<u32>);

    /// With an allow: set a header of the request before the service sees it.
    fn set_request_header(name: &str, value: &str);

    /// With an allow: remove a header from the request before the service sees it.
    fn remove_request_header(name: &str);

    /// With an allow: set a header of the response.
    fn set_response_header(name: &str, value: &str);

    /// With an allow: remove a header from the response.
    fn remove_response_header(name: &str);

    /// With an allow: set a header of the request to what `source` stands for in each request:
    /// `{subject}`, `{issuer}`, `{claim:/tenant}`, `{peer}`, `{trust-domain}`, `{remote-ip}`,
    /// `{param:id}`, `{header:x-tenant}`, `{label:owner}` or `{request-id}`, exactly one.
    ///
    /// **Copying is not reading**: the decision stays one for all callers, where `claim_string` and
    /// `set_request_header` would make it one for each tenant. Where the source is absent, or its
    /// value cannot stand in a header, the request is refused as a fault and nothing that the
    /// caller sent takes its place. Anything but one symbol, and a header that carries secrets, is
    /// a fault when it is said.
    ///
    /// ```
    /// use ztlib_policy::testing::{Facts, ask, decide};
    /// use ztlib_policy::{Answer, Policy, Question};
    ///
    /// struct Tenants;
    /// impl Policy for Tenants {
    ///     fn configure(_: &[u8]) -> Result<Self, String> {
    ///         Ok(Tenants)
    ///     }
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
    /// let fault =
    ///     ask(&facts, |question| question.copy_to_request_header("x-key", "{header:cookie}"))
    ///         .unwrap_err();
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

//! Which values of a trace an audit event may show.

use std::collections::BTreeSet;

use crate::authorize::{Read, Trace, Value};

/// Decides which values are kept out of audit events.
///
/// Yes and no are always shown: they are the policy's questions answered, and without them nobody
/// could tell *why*. The caller, the route, the method, the path and the time are shown too. Texts
/// and numbers that come from headers, the query, claims, documents, labels and signals are hidden
/// (shown as `(hidden)`) until [`Redaction::show`] names the read. The labels of a request or
/// question follow the same rule in its event: names are always shown, values only if the read is.
///
/// ```
/// use ztlib::observe::Redaction;
/// // This operator needs the tenant, and the owner of the object, in every event:
/// let redaction = Redaction::new().show(r#"claim-string("/tenant")"#).show(r#"label("owner")"#);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Redaction {
    shown: BTreeSet<String>,
}

impl Redaction {
    /// The default rule, as described above.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows the value of this read, written as in audit events: `claim-string("/tenant")`.
    #[must_use]
    pub fn show(mut self, read: impl Into<String>) -> Self {
        self.shown.insert(read.into());
        self
    }

    /// Whether the value of this label is shown.
    pub(super) fn shows_label(&self, name: &str) -> bool {
        let read = Read::Label(name.into());
        !read.is_private() || self.shown.contains(&read.to_string())
    }

    pub(crate) fn apply(&self, trace: &Trace) -> Vec<AuditedRead> {
        let one = |(read, value): (&Read, &Value)| {
            let name = read.to_string();
            let shown = !read.is_private()
                || matches!(value, Value::Bool(_) | Value::Absent)
                || self.shown.contains(&name);
            AuditedRead { value: shown.then(|| value.clone()), read: name }
        };
        trace.reads().map(one).collect()
    }
}

/// One read as an audit event shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedRead {
    /// The read as the contract spells it, such as `has-role("admin")`. Arguments are escaped.
    pub(crate) read: String,
    /// The value; `None` if [`Redaction`] hides it.
    pub(crate) value: Option<Value>,
}

impl AuditedRead {
    /// The read as the contract spells it, with its arguments escaped.
    pub fn read(&self) -> &str {
        &self.read
    }

    /// The value; `None` if [`Redaction`] hides it.
    pub fn value(&self) -> Option<&Value> {
        self.value.as_ref()
    }
}

impl std::fmt::Display for AuditedRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.read),
            None => write!(f, "{}=(hidden)", self.read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_headers_and_claims_are_hidden_until_shown_by_name() {
        let mut trace = Trace::default();
        trace.record(Read::Method, Value::Text("GET".into()));
        trace.record(Read::Header("x-card".into()), Value::Text("4111".into()));
        trace.record(Read::ClaimString("/tenant".into()), Value::Text("acme".into()));
        trace.record(Read::Scopes, Value::List(["orders:read".into()].into()));
        trace.record(Read::HeaderNames, Value::List(["x-card".into()].into()));
        trace.record(Read::ClaimContains("/groups".into(), "admin".into()), Value::Bool(false));
        trace.record(Read::Label("owner".into()), Value::Text("alice".into()));
        trace.record(Read::Label("tenant".into()), Value::Absent);
        let shown = |redaction: Redaction| {
            redaction.apply(&trace).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            shown(Redaction::new()),
            r#"method="GET" header("x-card")=(hidden) claim-string("/tenant")=(hidden) scopes=(hidden) header-names=(hidden) claim-contains("/groups", "admin")=no label("owner")=(hidden) label("tenant")=absent"#
        );
        assert!(shown(Redaction::new().show(r#"claim-string("/tenant")"#)).contains("acme"));
    }
}

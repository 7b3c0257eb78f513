//! Pointers that are put together of the policy's own text and of text that was read.

use alloc::string::String;

/// A JSON pointer into a document, segment by segment. Text that was read goes in as a
/// [`key`](Self::key): whatever it holds, it is one segment and no symbol.
///
/// ```
/// use ztlib_policy::pointer::DataPointer;
///
/// // What a caller sent, and meant well or not.
/// let team = "{subject}/admins";
/// let pointer = DataPointer::new().key("teams").key(team).symbol("subject");
/// assert_eq!(pointer.as_str(), "/teams/~2subject~3~1admins/{subject}");
/// // question.data_contains("roles", pointer.as_str(), "clerk")
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataPointer(String);

impl DataPointer {
    /// The whole document.
    pub const fn new() -> Self {
        Self(String::new())
    }

    /// One more segment: this text, and nothing in it is a symbol, a slash or an escape.
    #[must_use]
    pub fn key(mut self, text: &str) -> Self {
        self.0.push('/');
        escape(text, true, &mut self.0);
        self
    }

    /// One more segment: the value of a symbol, written without its braces: `issuer`, `subject`,
    /// `peer`, `param:id`, `claim:/tenant`. The name is the policy's own text. Braces in it are
    /// left out.
    #[must_use]
    pub fn symbol(mut self, name: &str) -> Self {
        self.0.push_str("/{");
        name.chars().filter(|c| !matches!(c, '{' | '}')).for_each(|c| self.0.push(c));
        self.0.push('}');
        self
    }

    /// As the contract takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A JSON pointer to a claim (RFC 6901), segment by segment. There are no symbols in it, and text
/// that was read goes in as a key.
///
/// ```
/// use ztlib_policy::pointer::ClaimPointer;
/// assert_eq!(
///     ClaimPointer::new().key("https://shop.example/roles").as_str(),
///     "/https:~1~1shop.example~1roles"
/// );
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimPointer(String);

impl ClaimPointer {
    /// All claims.
    pub const fn new() -> Self {
        Self(String::new())
    }

    /// One more segment.
    #[must_use]
    pub fn key(mut self, text: &str) -> Self {
        self.0.push('/');
        escape(text, false, &mut self.0);
        self
    }

    /// As the contract takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn escape(text: &str, braces: bool, into: &mut String) {
    for c in text.chars() {
        match c {
            '~' => into.push_str("~0"),
            '/' => into.push_str("~1"),
            '{' if braces => into.push_str("~2"),
            '}' if braces => into.push_str("~3"),
            c => into.push(c),
        }
    }
}

/// A text that was read, as one segment of a pattern of paths or SPIFFE IDs; none where it is no
/// such segment: where it is empty, or holds a `/` or a `*`, it would say more than itself.
///
/// ```
/// use ztlib_policy::pointer::pattern_segment;
/// let own = |tenant: &str| pattern_segment(tenant).map(|tenant| format!("/tenants/{tenant}/**"));
/// assert_eq!(own("acme").as_deref(), Some("/tenants/acme/**"));
/// assert_eq!(own("*"), None);
/// assert_eq!(own("acme/../umbrella"), None);
/// // own(&tenant).is_some_and(|pattern| question.path_matches(&pattern))
/// ```
pub fn pattern_segment(text: &str) -> Option<&str> {
    (!text.is_empty() && !text.contains(['/', '*'])).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Facts, ask};

    /// Findings E7: whatever a caller sends is one key, in the harness and (in the host's own
    /// tests) in the sandbox.
    #[test]
    fn text_that_was_read_is_one_key_and_no_symbol() {
        let document = r#"{"{subject}": "braces", "a/b": "slash", "a~1b": "tilde", "a": {"b": "nested"}, "alice": "alice", "": "empty"}"#;
        let facts = Facts::action("a").token(r#"{"sub": "alice"}"#).document("d", document);
        for (text, found) in [
            ("{subject}", Some("braces")),
            ("a/b", Some("slash")),
            ("a~1b", Some("tilde")),
            ("", Some("empty")),
            ("{peer}", None),
            ("}", None),
            ("~", None),
            ("~2subject~3", None),
        ] {
            let pointer = DataPointer::new().key(text);
            let got = ask(&facts, |question| question.data_string("d", pointer.as_str())).unwrap();
            assert_eq!(got.as_deref(), found, "{text}");
        }
        let pointer = DataPointer::new().symbol("subject");
        let got = ask(&facts, |question| question.data_string("d", pointer.as_str())).unwrap();
        assert_eq!(got.as_deref(), Some("alice"));
    }
}

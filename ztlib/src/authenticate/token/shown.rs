//! Text that a caller sent, as errors and logs may show it.

use std::fmt;

pub(super) use ztlib_contract::shown;

/// The first few of several texts, each [`shown`] in quotes.
pub(super) fn listed<'t>(texts: impl ExactSizeIterator<Item = &'t str>) -> Box<str> {
    const SHOWN: usize = 4;
    let more = texts.len().saturating_sub(SHOWN);
    let mut listed: Vec<String> = texts.take(SHOWN).map(|text| format!("`{}`", shown(text))).collect();
    match (listed.is_empty(), more) {
        (true, _) => "nobody".into(),
        (false, 0) => listed.join(", ").into(),
        (false, more) => {
            listed.push(format!("{more} more"));
            listed.join(", ").into()
        }
    }
}

/// The `kid` of a token, as errors show it.
pub(super) fn shown_key(id: Option<&str>) -> Box<str> {
    id.map_or_else(|| "no key id".into(), |id| format!("the key id `{}`", shown(id)).into())
}

/// [`shown`], for `Debug`.
pub(super) struct Shown<'t>(pub(super) &'t str);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", shown(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_caller_cannot_forge_a_log_line() {
        assert_eq!(&*shown("https://id.example"), "https://id.example");
        let hostile = shown("a\r\n\u{1b}[31m\u{2028}\u{202e}`");
        assert!(hostile.chars().all(|c| c.is_ascii_graphic()), "{hostile}");
        assert!(!hostile.contains('`'));
        assert_eq!(shown(&"x".repeat(10_000)).chars().count(), 65);
    }
}

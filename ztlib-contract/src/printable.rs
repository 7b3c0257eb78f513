//! Text that callers chose, made fit for a log line.

use std::fmt::Write as _;

/// Longer texts are cut.
const MAX_CHARACTERS: usize = 200;

/// The text in visible ASCII, everything else escaped, cut to 200 characters of input: nothing that
/// a certificate holds can end a line, move a cursor or hide in a terminal.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_CHARACTERS));
    let mut characters = text.chars();
    for c in characters.by_ref().take(MAX_CHARACTERS) {
        match c {
            '\\' | '`' => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "{}", c.escape_unicode());
            }
        }
    }
    if characters.next().is_some() {
        out.push_str("...");
    }
    out
}

/// Text of a caller as errors may show it: escaped, one line, at most 64 characters.
pub fn shown(text: &str) -> Box<str> {
    const LONGEST: usize = 64;
    let mut shown = String::new();
    for (at, character) in text.chars().enumerate() {
        if at == LONGEST {
            shown.push('…');
            break;
        }
        if character == '`' || !(character.is_ascii_graphic() || character == ' ') {
            shown.extend(character.escape_unicode());
        } else {
            shown.extend(character.escape_default());
        }
    }
    shown.into()
}

/// The most of a text that somebody else chose that an error shows, in bytes.
const MAX_SHOWN_BYTES: usize = 512;

/// A text that somebody else chose, fit for one line of a log: escaped, and cut to 512 bytes.
pub fn escaped(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        // A quote is harmless here and an escaped one is harder to read.
        if matches!(c, '"' | '\'') {
            shown.push(c);
        } else {
            shown.extend(c.escape_debug());
        }
        if shown.len() > MAX_SHOWN_BYTES {
            shown.truncate(shown.floor_char_boundary(MAX_SHOWN_BYTES));
            shown.push('…');
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_chose_is_escaped_and_cut() {
        assert_eq!(escaped("a \"b\"\r\n\u{1b}[31m\u{202e}"), "a \"b\"\\r\\n\\u{1b}[31m\\u{202e}");
        assert!(escaped(&"\u{1b}".repeat(10_000)).len() <= MAX_SHOWN_BYTES + 4);
    }

    #[test]
    fn control_bidi_and_terminal_characters_are_escaped() {
        assert_eq!(printable("a\nb\u{1b}[0m\u{202e}`\\é"), r"a\u{a}b\u{1b}[0m\u{202e}\`\\\u{e9}");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(printable(&"x".repeat(100_000)).len(), MAX_CHARACTERS + 3);
    }
}

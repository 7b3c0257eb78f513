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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bidi_and_terminal_characters_are_escaped() {
        assert_eq!(printable("a\nb\u{1b}[0m\u{202e}`\\é"), r"a\u{a}b\u{1b}[0m\u{202e}\`\\\u{e9}");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(printable(&"x".repeat(100_000)).len(), MAX_CHARACTERS + 3);
    }
}

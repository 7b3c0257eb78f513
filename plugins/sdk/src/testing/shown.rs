//! How the host prints the arguments and values of reads.

use std::fmt::Write as _;

/// Prints itself as the host does.
pub(super) trait Shown {
    fn show(&self, out: &mut String);
}

impl Shown for bool {
    fn show(&self, out: &mut String) {
        out.push_str(if *self { "yes" } else { "no" });
    }
}

impl Shown for &str {
    fn show(&self, out: &mut String) {
        // Writing to a String does not fail.
        let _ = write!(out, "\"{}\"", self.escape_debug());
    }
}

impl Shown for String {
    fn show(&self, out: &mut String) {
        self.as_str().show(out);
    }
}

impl Shown for u32 {
    fn show(&self, out: &mut String) {
        out.push_str(&self.to_string());
    }
}

impl Shown for u64 {
    fn show(&self, out: &mut String) {
        out.push_str(&self.to_string());
    }
}

impl Shown for i64 {
    fn show(&self, out: &mut String) {
        out.push_str(&self.to_string());
    }
}

impl<T: Shown> Shown for Option<T> {
    fn show(&self, out: &mut String) {
        match self {
            Some(value) => value.show(out),
            None => out.push_str("absent"),
        }
    }
}

impl<T: Shown> Shown for Vec<T> {
    fn show(&self, out: &mut String) {
        out.push('[');
        for (at, value) in self.iter().enumerate() {
            out.push_str(if at == 0 { "" } else { ", " });
            value.show(out);
        }
        out.push(']');
    }
}

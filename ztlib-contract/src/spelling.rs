//! Which spellings of a path pass beside the normal form, by a verb.

use std::collections::BTreeMap;

/// A spelling of a path that is not the normal form of RFC 3986 and that a verb lets pass, as it
/// stands: it is never rewritten, so policies, router and handlers see the bytes that were sent.
/// `docs/paths.md` describes all rules on paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathSpelling {
    /// Escapes with hexadecimal digits in lower case: `%c3%a9` beside `%C3%A9`.
    LowercaseEscapes,
    /// Escapes of what needs none: letters, digits, `-`, `.`, `_` and `~`, as in `%7Euser`. A
    /// segment that comes to `.` or `..` is refused all the same.
    NeedlessEscapes,
    /// `[`, `]` and `|` without escapes, as browsers send them.
    RawBracketsAndBars,
}

/// A set of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spellings {
    /// [`PathSpelling::LowercaseEscapes`].
    pub lowercase: bool,
    /// [`PathSpelling::NeedlessEscapes`].
    pub needless: bool,
    /// [`PathSpelling::RawBracketsAndBars`].
    pub raw: bool,
}

impl Spellings {
    fn allow(&mut self, spelling: PathSpelling) {
        match spelling {
            PathSpelling::LowercaseEscapes => self.lowercase = true,
            PathSpelling::NeedlessEscapes => self.needless = true,
            PathSpelling::RawBracketsAndBars => self.raw = true,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            lowercase: self.lowercase || other.lowercase,
            needless: self.needless || other.needless,
            raw: self.raw || other.raw,
        }
    }
}

/// What a guard lets pass: everywhere, and on single routes.
#[derive(Debug, Default)]
pub struct AllowedSpellings {
    everywhere: Spellings,
    on: BTreeMap<Box<str>, Spellings>,
}

impl AllowedSpellings {
    /// Lets a spelling pass everywhere.
    pub fn allow(&mut self, spelling: PathSpelling) {
        self.everywhere.allow(spelling);
    }

    /// Lets a spelling pass on one route.
    pub fn allow_on(&mut self, template: Box<str>, spelling: PathSpelling) {
        self.on.entry(template).or_default().allow(spelling);
    }

    /// What passes on a route. On no route, what passes everywhere.
    pub fn on(&self, template: Option<&str>) -> Spellings {
        let on_route = template.and_then(|template| self.on.get(template)).copied();
        self.everywhere.and(on_route.unwrap_or_default())
    }
}

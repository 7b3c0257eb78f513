//! Keys: the whole route, a prefix of it, or an action, told apart by their first letter; and which
//! of them there are.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::config::{NonEmpty, Text};
use crate::constants::{Constant, Packer, Unpacker};
use crate::forms::unmatchable;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The whole route.
    Exact,
    /// Everything but the last segment, which is any one.
    Segment,
    /// A prefix that ends at a segment's end.
    Rest,
    Action,
    /// Not a key but a value that is too long to stand in every link.
    Value,
}

impl Kind {
    /// The first letter of its keys.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Exact => "=",
            Self::Segment => "*",
            Self::Rest => ">",
            Self::Action => "@",
            Self::Value => "#",
        }
    }
}

/// Which keys there are at all: what no rule has is not looked up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) exact: bool,
    pub(super) action: bool,
    /// For each number of slashes in the prefix a bit; the highest stands for all that are longer.
    segments: u32,
    rests: u32,
}

impl Shape {
    /// There are keys of this kind with this text.
    pub(super) fn note(&mut self, kind: Kind, key: &str) {
        let slashes = key.bytes().filter(|byte| *byte == b'/').count() as u32;
        match kind {
            Kind::Exact => self.exact = true,
            Kind::Action => self.action = true,
            Kind::Segment => self.segments |= bit(slashes),
            Kind::Rest => self.rests |= bit(slashes),
            Kind::Value => {}
        }
    }

    /// Whether a wildcard may cover a route that has a prefix with so many slashes.
    pub(super) fn has_segment(self, slashes: u32) -> bool {
        self.segments & bit(slashes) != 0
    }

    pub(super) fn has_rest(self, slashes: u32) -> bool {
        self.rests & bit(slashes) != 0
    }

    pub(super) fn has_wildcards(self) -> bool {
        self.segments | self.rests != 0
    }
}

fn bit(slashes: u32) -> u32 {
    1 << slashes.min(31)
}

impl Constant<'_> for Shape {
    fn pack(&self, to: &mut Packer) {
        self.exact.pack(to);
        self.action.pack(to);
        self.segments.pack(to);
        self.rests.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let (exact, action) = (bool::unpack(from)?, bool::unpack(from)?);
        Some(Self { exact, action, segments: u32::unpack(from)?, rests: u32::unpack(from)? })
    }
}

/// The methods of a rule; none where it is for any.
pub(super) fn methods_of<'m>(methods: &'m NonEmpty<Text<'_>>) -> Result<Vec<&'m str>, String> {
    let mut named = Vec::new();
    for method in methods.as_slice() {
        let method = method.as_str();
        let upper = |byte: u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
        if method != "*" && !method.bytes().all(upper) {
            return Err(format!(
                "`{method}` is not a method: they are upper case, as in `GET`; `*` stands for any"
            ));
        }
        named.push(method);
    }
    if named.contains(&"*") {
        named.clear();
    }
    Ok(named)
}

/// What kind of key a route of a configuration is, and the key.
pub(super) fn route_key(route: &str) -> Result<(Kind, &str), String> {
    let literal = route.strip_suffix("/**").or_else(|| route.strip_suffix("/*"));
    if let Some(what) =
        unmatchable(literal.map_or(route, |prefix| if prefix.is_empty() { "/" } else { prefix }))
    {
        return Err(what);
    }
    let Some(star) = route.bytes().position(|byte| byte == b'*') else { return Ok((Kind::Exact, route)) };
    let prefix = route.get(..star).unwrap_or_default();
    match (prefix.strip_suffix('/'), route.get(star..)) {
        (Some(prefix), Some("*")) => Ok((Kind::Segment, prefix)),
        (Some(prefix), Some("**")) => Ok((Kind::Rest, prefix)),
        // A router marks a catch-all by a star inside of the braces, as its last segment:
        // "/files/{*rest}".
        (None, Some(rest)) if prefix.ends_with("/{") && is_catch_all(rest) => Ok((Kind::Exact, route)),
        _ => Err(format!("the route `{route}` has a wildcard elsewhere than as its whole last segment")),
    }
}

/// What follows the opening brace of a catch-all: a star, a name, the closing brace, nothing else.
fn is_catch_all(rest: &str) -> bool {
    let name = rest.strip_prefix('*').and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| {
        !name.is_empty() && !name.bytes().any(|byte| matches!(byte, b'*' | b'/' | b'{' | b'}'))
    })
}

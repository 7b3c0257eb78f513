//! Role-based access control without an index: every rule is looked at until one says yes. For benches, and an example of
//! [`Sequence`].
//!
//! Its configuration is that of `rbac`, with roles from claims only.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use ztlib_policy::config::{Members, NonEmpty, Pointer, Text, from_json};
use ztlib_policy::constants::Sequence;
use ztlib_policy::{Answer, Policy, Question, config_struct, constant_struct, export_policy};

constant_struct! {
    /// Who may do what, rule by rule.
    #[derive(Debug)]
    pub struct RbacLinear {
        /// JSON pointers of claims that hold names of roles.
        claims: Vec<Box<str>>,
        rules: Sequence,
    }
}

constant_struct! {
    /// One rule, borrowed from the policy.
    struct Rule<'a> {
        role: &'a str,
        methods: &'a [u8],
        routes: &'a [u8],
        actions: &'a [u8],
    }
}

impl Policy for RbacLinear {
    fn configure(config: &[u8]) -> Result<Self, String> {
        let Config { roles, permissions } = from_json(config)?;
        let mut rules = Sequence::new();
        for (role, list) in permissions.0 {
            for permission in list {
                let [methods, routes, actions] =
                    [permission.methods, permission.routes, permission.actions].map(lines);
                let (methods, routes, actions) = (methods.as_bytes(), routes.as_bytes(), actions.as_bytes());
                rules.push(&Rule { role: &role, methods, routes, actions });
            }
        }
        Ok(Self { claims: roles.claims.iter().map(|claim| claim.as_str().into()).collect(), rules })
    }

    fn decide(&self, question: &Question<'_>) -> Answer {
        let action = question.action();
        let asked = match &action {
            Some(_) => None,
            None => question.route().map(|route| (question.method(), route)),
        };
        let mut reason = "no-rule";
        for rule in self.rules.iter::<Rule<'_>>() {
            let covered = match (&action, &asked) {
                (Some(action), _) => any(rule.actions, |own| own == action.as_bytes()),
                (None, Some((method, route))) => {
                    any(rule.methods, |own| own == b"*" || own == method.as_bytes())
                        && any(rule.routes, |own| covers(own, route.as_bytes()))
                }
                (None, None) => false,
            };
            if covered {
                if self.claims.iter().any(|claim| question.claim_contains(claim, rule.role)) {
                    return Answer::Allow;
                }
                reason = "no-role";
            }
        }
        question.deny(reason)
    }
}

/// Texts, each with a line's end behind it.
fn lines(texts: Option<NonEmpty<Text<'_>>>) -> String {
    let mut all = String::new();
    for text in texts.iter().flat_map(NonEmpty::as_slice) {
        all.push_str(text.as_str());
        all.push('\n');
    }
    all
}

fn any(lines: &[u8], holds: impl Fn(&[u8]) -> bool) -> bool {
    let mut lines = lines;
    while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
        let (line, rest) = lines.split_at(end);
        if holds(line) {
            return true;
        }
        lines = rest.get(1..).unwrap_or_default();
    }
    false
}

/// Whether a route, or a pattern of routes, covers the one that matched.
fn covers(pattern: &[u8], route: &[u8]) -> bool {
    if pattern == route {
        return true;
    }
    if let Some(prefix) = pattern.strip_suffix(b"/**") {
        return route.strip_prefix(prefix).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'));
    }
    pattern
        .strip_suffix(b"*")
        .and_then(|prefix| route.strip_prefix(prefix))
        .is_some_and(|segment| !segment.is_empty() && !segment.contains(&b'/') && !segment.starts_with(b"{*"))
}

config_struct! {
    struct Config<'a> {
        roles: Roles<'a> = "roles",
        permissions: Members<'a, NonEmpty<Permission<'a>>> = "permissions",
    }
}

config_struct! {
    struct Roles<'a> {
        claims: Vec<Pointer<'a>> = "claims",
    }
}

config_struct! {
    struct Permission<'a> {
        methods: Option<NonEmpty<Text<'a>>> = "methods",
        routes: Option<NonEmpty<Text<'a>>> = "routes",
        actions: Option<NonEmpty<Text<'a>>> = "actions",
    }
}

export_policy!(RbacLinear, sealed, no_std);

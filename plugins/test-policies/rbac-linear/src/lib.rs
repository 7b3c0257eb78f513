//! Role-based access control without an index: every rule is looked at until one says yes. For
//! benches, and an example of [`Sequence`].
//!
//! Its configuration is that of `rbac`, with roles from claims only.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use ztlib_policy::config::{Members, NonEmpty, Pointer, Text, from_json};
use ztlib_policy::constants::{Constant, Packer, Sequence, Unpacker};
use ztlib_policy::{Answer, Policy, Question, config_struct, constant_struct, export_policy};

constant_struct! {
    /// Who may do what, rule by rule.
    #[derive(Debug)]
    pub struct RbacLinear {
        /// JSON pointers of claims that hold names of roles.
        claims: Vec<Box<str>>,
        /// One for each permission, method and route.
        routes: Sequence,
        /// One for each permission and action.
        actions: Sequence,
    }
}

constant_struct! {
    /// One rule, borrowed from the list: a route or an action. What follows is unpacked where that
    /// is the one.
    struct Rule<'a> {
        what: &'a [u8],
        rest: &'a [u8],
    }
}

constant_struct! {
    struct May<'a> {
        method: &'a str,
        role: &'a str,
    }
}

impl Policy for RbacLinear {
    fn configure(config: &[u8]) -> Result<Self, String> {
        let Config { roles, permissions } = from_json(config)?;
        let (mut routes, mut actions) = (Sequence::new(), Sequence::new());
        for (role, list) in permissions.0 {
            for permission in list {
                for route in permission.routes.iter().flat_map(NonEmpty::as_slice) {
                    for method in permission.methods.iter().flat_map(NonEmpty::as_slice) {
                        add(&mut routes, route.as_str(), &May { method: method.as_str(), role: &role });
                    }
                }
                for action in permission.actions.iter().flat_map(NonEmpty::as_slice) {
                    add(&mut actions, action.as_str(), &May { method: "*", role: &role });
                }
            }
        }
        let claims = roles.claims.iter().map(|claim| claim.as_str().into()).collect();
        Ok(Self { claims, routes, actions })
    }

    fn decide(&self, question: &Question<'_>) -> Answer {
        let (rules, what, method) = match question.action() {
            Some(action) => (&self.actions, action, String::new()),
            None => match question.route() {
                Some(route) => (&self.routes, route, question.method()),
                None => return question.deny("no-rule"),
            },
        };
        let mut reason = "no-rule";
        for rule in rules.open(question).iter::<Rule<'_>>() {
            if !covers(rule.what, what.as_bytes()) {
                continue;
            }
            let Some(may) = May::unpack(&mut Unpacker::new(rule.rest)) else { continue };
            if may.method == "*" || may.method == method {
                if question.from_home_issuer()
                    && self.claims.iter().any(|claim| question.claim_contains(claim, may.role))
                {
                    return Answer::Allow;
                }
                reason = "no-role";
            }
        }
        question.deny(reason)
    }
}

fn add(rules: &mut Sequence, what: &str, may: &May<'_>) {
    let mut rest = Packer::default();
    may.pack(&mut rest);
    rules.push(&Rule { what: what.as_bytes(), rest: &rest.into_bytes() });
}

/// Whether a route, or a pattern of routes, covers the one that matched.
fn covers(pattern: &[u8], route: &[u8]) -> bool {
    if pattern.last() != Some(&b'*') {
        return pattern == route;
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

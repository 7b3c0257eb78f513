#![doc = include_str!("../README.md")]
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod config;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use ztlib_policy::rules::Rules;
use ztlib_policy::{Answer, Policy, Question, constant_struct, export_policy};

/// No permission covers the method and route, or the action.
pub const NO_RULE: &str = "no-rule";

/// Permissions cover it, but the caller has none of their roles.
pub const NO_ROLE: &str = "no-role";

constant_struct! {
    /// Role-based access control.
    #[derive(Debug)]
    pub struct Rbac {
        /// JSON pointers of claims that hold names of roles.
        claims: Vec<Box<str>>,
        /// The JSON pointer of the claim that holds names of groups.
        group_claim: Box<str>,
        document: Option<Document>,
        /// Which role may do what.
        permissions: Rules<Role>,
    }
}

constant_struct! {
    /// A document that holds names of roles by caller.
    #[derive(Debug)]
    struct Document {
        name: Box<str>,
        pointer: Box<str>,
    }
}

constant_struct! {
    #[derive(Debug, Default)]
    struct Role {
        name: Box<str>,
        /// Groups whose members have this role.
        groups: Vec<Box<str>>,
        /// Patterns of SPIFFE IDs that have this role.
        peers: Vec<Box<str>>,
    }
}

impl Policy for Rbac {
    fn configure(config: &[u8]) -> Result<Self, String> {
        config::read(config)
    }

    fn decide(&self, question: &Question<'_>) -> Answer {
        let mut reason = NO_RULE;
        for role in self.permissions.find(question) {
            if self.has(question, &role) {
                return Answer::Allow;
            }
            reason = NO_ROLE;
        }
        question.deny(reason)
    }
}

impl Rbac {
    /// Whether the caller has a role. Each source is asked one narrow question, and only until one says yes.
    fn has(&self, question: &Question<'_>, role: &Role) -> bool {
        self.claims.iter().any(|pointer| question.claim_contains(pointer, &role.name))
            || role.groups.iter().any(|group| question.claim_contains(&self.group_claim, group))
            || role.peers.iter().any(|pattern| question.peer_matches(pattern))
            || self
                .document
                .as_ref()
                .is_some_and(|document| question.data_contains(&document.name, &document.pointer, &role.name))
    }
}

export_policy!(Rbac, sealed, no_std);

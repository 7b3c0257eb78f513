#![doc = include_str!("../README.md")]
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod config;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use ztlib_policy::rules::Rules;
use ztlib_policy::{Answer, Policy, Question, export_policy};

/// No permission covers the method and route, or the action.
pub const NO_RULE: &str = "no-rule";

/// Permissions cover it, but the caller has none of their roles.
pub const NO_ROLE: &str = "no-role";

/// Role-based access control.
#[derive(Debug)]
pub struct Rbac {
    /// JSON pointers of claims that hold names of roles.
    claims: Vec<Box<str>>,
    /// The JSON pointer of the claim that holds names of groups.
    group_claim: Box<str>,
    document: Option<Document>,
    roles: Vec<Role>,
    /// Which role, by number, may do what.
    permissions: Rules<u32>,
}

/// A document that holds names of roles by caller.
#[derive(Debug)]
struct Document {
    name: Box<str>,
    pointer: Box<str>,
}

#[derive(Debug, Default)]
struct Role {
    name: Box<str>,
    /// Groups whose members have this role.
    groups: Vec<Box<str>>,
    /// Patterns of SPIFFE IDs that have this role.
    peers: Vec<Box<str>>,
}

impl Policy for Rbac {
    fn configure(config: &[u8]) -> Result<Self, String> {
        config::read(config)
    }

    fn decide(&self, question: &Question<'_>) -> Answer {
        let mut asked: Vec<u32> = Vec::new();
        for &number in self.permissions.find(question) {
            if asked.contains(&number) {
                continue;
            }
            asked.push(number);
            if self.roles.get(number as usize).is_some_and(|role| self.has(question, role)) {
                return Answer::Allow;
            }
        }
        question.deny(if asked.is_empty() { NO_RULE } else { NO_ROLE })
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

// Two thousand permissions as JSON, what is parsed from them and the index take about 900 KB.
export_policy!(Rbac, arena = 1024 * 1024, no_std);

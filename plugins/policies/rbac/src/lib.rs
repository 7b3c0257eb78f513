#![doc = include_str!("../README.md")]
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod config;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use ztlib_policy::config::{Issuers, Vouchers};
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
        /// Claims that hold names of roles.
        claims: Vec<Claim>,
        /// Claims that hold names of groups.
        groups: Vec<Claim>,
        documents: Vec<Document>,
        /// Which role may do what.
        permissions: Rules<Role>,
    }
}

constant_struct! {
    /// A claim, and the issuers whose word counts.
    #[derive(Debug)]
    struct Claim {
        pointer: Box<str>,
        issuers: Issuers,
    }
}

constant_struct! {
    /// A document that holds names of roles by caller.
    #[derive(Debug)]
    struct Document {
        name: Box<str>,
        pointer: Box<str>,
        /// Whose subjects and claims are looked up; none where the pointer keeps them apart, or has
        /// none.
        issuers: Option<Issuers>,
    }
}

constant_struct! {
    #[derive(Debug)]
    struct Group {
        /// Which claim has it.
        by: u32,
        name: Box<str>,
    }
}

constant_struct! {
    #[derive(Debug, Default)]
    struct Role {
        name: Box<str>,
        /// Groups whose members have this role.
        groups: Vec<Group>,
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
        let vouchers = Vouchers::new(question);
        for role in self.permissions.find(question) {
            if self.has(question, &vouchers, &role) {
                return Answer::Allow;
            }
            reason = NO_ROLE;
        }
        question.deny(reason)
    }
}

impl Rbac {
    /// Whether the caller has a role. Each source is asked one narrow question, and only until one
    /// says yes; and a source that is an issuer's word only where that issuer's word counts.
    fn has(&self, question: &Question<'_>, vouchers: &Vouchers<'_>, role: &Role) -> bool {
        let holds = |claim: &Claim, name: &str| {
            vouchers.counts(&claim.issuers) && question.claim_contains(&claim.pointer, name)
        };
        let in_document = |document: &Document| {
            document.issuers.as_ref().is_none_or(|issuers| vouchers.counts(issuers))
                && question.data_contains(&document.name, &document.pointer, &role.name)
        };
        let in_group =
            |group: &Group| self.groups.get(group.by as usize).is_some_and(|claim| holds(claim, &group.name));
        self.claims.iter().any(|claim| holds(claim, &role.name))
            || role.groups.iter().any(in_group)
            || role.peers.iter().any(|pattern| question.peer_matches(pattern))
            || self.documents.iter().any(in_document)
    }
}

export_policy!(Rbac, sealed, no_std);

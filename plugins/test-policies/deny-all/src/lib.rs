//! Denies everything: for tests, and the floor of what an evaluation costs.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::string::String;

use ztlib_policy::{Answer, Policy, Question, constant_struct, export_policy};

constant_struct! {
    /// A policy that reads nothing and has no configuration.
    #[derive(Debug)]
    pub struct DenyAll {}
}

impl Policy for DenyAll {
    fn configure(config: &[u8]) -> Result<Self, String> {
        if config.is_empty() { Ok(Self {}) } else { Err(String::from("this policy takes no configuration")) }
    }

    fn decide(&self, _: &Question<'_>) -> Answer {
        Answer::Deny
    }
}

export_policy!(DenyAll, sealed, arena = 4 * 1024, no_std);

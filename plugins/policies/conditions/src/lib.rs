#![doc = include_str!("../README.md")]
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod condition;
mod config;
mod hours;
mod number;
mod source;
mod zone;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use ztlib_policy::config::{Issuers, Vouchers};
use ztlib_policy::rules::Rules;
use ztlib_policy::{Answer, Policy, Question, constant_struct, export_policy};

use condition::Condition;
use source::Asking;

/// A condition of a rule that covers the question does not hold, or what it asks about is absent or
/// of another kind. The log line of the audit event names the rule and the condition.
pub const CONDITION_NOT_MET: &str = "condition-not-met";

constant_struct! {
    /// Conditions on routes and actions.
    #[derive(Debug)]
    pub struct Conditions {
        rules: Rules<Rule>,
    }
}

constant_struct! {
    #[derive(Debug)]
    struct Rule {
        /// Its place in the configuration.
        number: u32,
        /// Whose claims and subjects count.
        issuers: Issuers,
        /// All of them must hold.
        require: Vec<Condition>,
    }
}

impl Policy for Conditions {
    fn configure(config: &[u8]) -> Result<Self, String> {
        config::read(config).map(|rules| Self { rules })
    }

    /// Every rule that covers the question must be met; where none does, others decide.
    fn decide(&self, question: &Question<'_>) -> Answer {
        let mut answer = Answer::Abstain;
        let vouchers = Vouchers::new(question);
        for rule in self.rules.find(question) {
            let asking = Asking { question, vouchers: &vouchers, issuers: &rule.issuers };
            // The first that does not hold is enough: nothing behind it is read.
            let failed = rule.require.iter().enumerate().find(|(_, condition)| !condition.holds(&asking));
            if let Some((at, condition)) = failed {
                let place = format!("not met: rules[{}].require[{at}], {}", rule.number, condition.words());
                question.log(&place);
                return question.deny(CONDITION_NOT_MET);
            }
            answer = Answer::Allow;
        }
        answer
    }
}

// With the table of zones, the default of 16 KiB would need a second page of memory.
export_policy!(Conditions, sealed, arena = 12 * 1024, no_std);

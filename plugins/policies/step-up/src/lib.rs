#![doc = include_str!("../README.md")]
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use ztlib_policy::config::{ContextClass, Issuers, NonEmpty, Text, Vouchers, from_json};
use ztlib_policy::rules::{Covers, Rules};
use ztlib_policy::{Answer, Policy, Question, config_struct, constant_struct, export_policy};

/// The login is too weak or too long ago. The refusal says what would do (RFC 9470).
pub const STEP_UP_REQUIRED: &str = "step-up-required";

constant_struct! {
    /// A stronger or fresher login for some routes.
    #[derive(Debug)]
    pub struct StepUp {
        rules: Rules<Login>,
    }
}

constant_struct! {
    /// What a login must be like: all that is given here.
    #[derive(Debug)]
    struct Login {
        /// Whose logins count.
        issuers: Issuers,
        /// One of these methods was used (`amr`).
        methods: Vec<Box<str>>,
        /// The authentication context class (`acr`) is one of these.
        classes: Vec<Box<str>>,
        /// It was at most this many seconds ago.
        max_age: Option<u32>,
        /// The class to ask for.
        challenge: Option<Box<str>>,
    }
}

impl Policy for StepUp {
    fn configure(config: &[u8]) -> Result<Self, String> {
        let mut rules = Rules::new();
        for (at, rule) in from_json::<Config<'_>>(config)?.rules.into_iter().enumerate() {
            let place = |error: String| format!("rules[{at}]: {error}");
            let (covers, login) = rule.split().map_err(place)?;
            rules.add(&covers, &login).map_err(place)?;
        }
        Ok(Self { rules })
    }

    /// Every rule that covers the question must be met; where none does, others decide.
    fn decide(&self, question: &Question<'_>) -> Answer {
        let mut answer = Answer::Abstain;
        let vouchers = Vouchers::new(question);
        for login in self.rules.find(question) {
            if !(vouchers.counts(&login.issuers) && login.is_met(question)) {
                question.challenge_step_up(login.challenge.as_deref(), login.max_age);
                return question.deny(STEP_UP_REQUIRED);
            }
            answer = Answer::Allow;
        }
        answer
    }
}

impl Login {
    fn is_met(&self, question: &Question<'_>) -> bool {
        let used = self.methods.is_empty() || self.methods.iter().any(|method| question.uses_method(method));
        used && (self.classes.is_empty() || self.classes.iter().any(|class| question.acr_is(class)))
            && self.max_age.is_none_or(|seconds| question.authenticated_within(seconds))
    }
}

config_struct! {
    struct Config<'a> {
        rules: NonEmpty<Rule<'a>> = "rules",
    }
}

config_struct! {
    struct Rule<'a> {
        methods: Option<NonEmpty<Text<'a>>> = "methods",
        routes: Option<NonEmpty<Text<'a>>> = "routes",
        actions: Option<NonEmpty<Text<'a>>> = "actions",
        amr: Option<NonEmpty<Text<'a>>> = "amr",
        acr: Option<NonEmpty<ContextClass<'a>>> = "acr",
        max_age: Option<u32> = "max-age",
        challenge: Option<ContextClass<'a>> = "challenge-acr",
        issuers: Issuers = "issuers",
    }
}

impl<'a> Rule<'a> {
    fn split(self) -> Result<(Covers<'a>, Login), String> {
        let Self { methods, routes, actions, amr, acr, max_age, challenge, issuers } = self;
        if amr.is_none() && acr.is_none() && max_age.is_none() {
            return Err("give at least one of `amr`, `acr` and `max-age`".to_string());
        }
        let classes: Vec<Box<str>> =
            acr.iter().flat_map(NonEmpty::as_slice).map(|class| class.as_str().into()).collect();
        // The caller cannot be asked for a method, only for a class or an age (RFC 9470 section 3).
        let challenge = challenge.map(|class| class.as_str().into()).or_else(|| classes.first().cloned());
        if challenge.is_none() && amr.is_some() {
            return Err("`amr` needs `challenge-acr` (or `acr`): the class to ask the caller for".to_string());
        }
        let login = Login { issuers, methods: boxed(amr.as_ref()), classes, max_age, challenge };
        Ok((Covers { methods, routes, actions }, login))
    }
}

fn boxed(texts: Option<&NonEmpty<Text<'_>>>) -> Vec<Box<str>> {
    texts.into_iter().flat_map(NonEmpty::as_slice).map(|text| text.as_str().into()).collect()
}

export_policy!(StepUp, sealed, no_std);

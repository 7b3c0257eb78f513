#![doc = include_str!("../README.md")]
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use ztlib_policy::config::{Issuers, NonEmpty, Scope, Text, Vouchers, from_json};
use ztlib_policy::rules::{Covers, Rules};
use ztlib_policy::{Answer, Policy, Question, config_struct, constant_struct, export_policy};

/// No rule covers the method and route, or the action.
pub const NO_RULE: &str = "no-rule";

/// The token lacks a scope that a rule requires, or there is no token.
pub const MISSING_SCOPE: &str = "missing-scope";

constant_struct! {
    /// Scopes of the bearer token that routes need.
    #[derive(Debug)]
    pub struct TokenScope {
        rules: Rules<Scopes>,
    }
}

constant_struct! {
    #[derive(Debug)]
    struct Scopes {
        /// Whose scopes they are.
        issuers: Issuers,
        all: Vec<Box<str>>,
        any: Vec<Box<str>>,
    }
}

impl Policy for TokenScope {
    fn configure(config: &[u8]) -> Result<Self, String> {
        let mut rules = Rules::new();
        for (at, rule) in from_json::<Config<'_>>(config)?.rules.into_iter().enumerate() {
            let place = |error: String| format!("rules[{at}]: {error}");
            let Rule { methods, routes, actions, all, any, none, issuers } = rule;
            if none.unwrap_or(false) == (all.is_some() || any.is_some()) {
                return Err(place(
                    "give `scopes`, `any-scope` or both; `without-scope: true` alone opens the route"
                        .to_string(),
                ));
            }
            if none == Some(true) && issuers.is_some() {
                return Err(place(
                    "`without-scope: true` asks for no token: leave out `issuers`".to_string(),
                ));
            }
            let issuers = issuers.unwrap_or_default();
            let scopes = Scopes { issuers, all: boxed(all.as_ref()), any: boxed(any.as_ref()) };
            rules.add(&Covers { methods, routes, actions }, &scopes).map_err(place)?;
        }
        Ok(Self { rules })
    }

    /// Every rule that covers the question must be met.
    fn decide(&self, question: &Question<'_>) -> Answer {
        let mut covered = false;
        let vouchers = Vouchers::new(question);
        for scopes in self.rules.find(question) {
            covered = true;
            if scopes.all.is_empty() && scopes.any.is_empty() {
                continue;
            }
            // A scope of another issuer is another scope, whatever it is called.
            let counts = vouchers.counts(&scopes.issuers);
            let has = |scope: &str| counts && question.has_scope(scope);
            if let Some(missing) = scopes.all.iter().find(|scope| !has(scope)) {
                question.message(&format!("the scope {missing} is needed"));
                return question.deny(MISSING_SCOPE);
            }
            if !scopes.any.is_empty() && !scopes.any.iter().any(|scope| has(scope)) {
                question.message(&format!("one of these scopes is needed: {}", scopes.any.join(" ")));
                return question.deny(MISSING_SCOPE);
            }
        }
        if covered { Answer::Allow } else { question.deny(NO_RULE) }
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
        all: Option<NonEmpty<Scope<'a>>> = "scopes",
        any: Option<NonEmpty<Scope<'a>>> = "any-scope",
        none: Option<bool> = "without-scope",
        issuers: Option<Issuers> = "issuers",
    }
}

fn boxed(scopes: Option<&NonEmpty<Scope<'_>>>) -> Vec<Box<str>> {
    scopes.into_iter().flat_map(NonEmpty::as_slice).map(|scope| scope.as_str().into()).collect()
}

export_policy!(TokenScope, sealed, no_std);

//! Roles for routes, in office hours, after a fresh login: the same policy as its twins in C,
//! JavaScript and Python, written with the SDK.
//!
//! What it is configured with, what it asks and what it says: `plugins/languages/README.md`.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};

use ztlib_policy::config::{HeaderName, Members, Schedule, Text, from_json};
use ztlib_policy::constants::Table;
use ztlib_policy::{Answer, Policy, Question, config_struct, constant_struct, export_policy};

config_struct! {
    struct Config<'a> {
        hours: Schedule<'a> = "hours",
        max_age: u32 = "max-age",
        tenant_header: HeaderName<'a> = "tenant-header",
        routes: Members<'a, Text<'a>> = "routes",
    }
}

constant_struct! {
    /// Roles for routes, in office hours, after a fresh login.
    #[derive(Debug)]
    pub struct OfficeHours {
        hours: String,
        /// Seconds.
        max_age: u32,
        tenant_header: String,
        /// The role that each route needs.
        roles: Table<String>,
    }
}

impl Policy for OfficeHours {
    fn configure(config: &[u8]) -> Result<Self, String> {
        let config: Config<'_> = from_json(config)?;
        let mut roles = Table::new();
        for (route, role) in config.routes.0 {
            roles.add(&route, &role.as_str().to_string())?;
        }
        let (hours, tenant_header) =
            (config.hours.as_str().to_string(), config.tenant_header.as_str().to_string());
        Ok(Self { hours, max_age: config.max_age, tenant_header, roles })
    }

    fn decide(&self, question: &Question<'_>) -> Answer {
        let Some(role) = question.route().and_then(|route| self.roles.get(question, &route)) else {
            return question.deny("no-rule");
        };
        // The roles of another issuer are other roles, whatever they are called.
        if !question.from_home_issuer() || !question.claim_contains("/roles", &role) {
            question.message(&format!("this needs the role `{role}`"));
            return question.deny("no-role");
        }
        if !question.in_window(&self.hours) {
            question.message(&format!("open {} (UTC)", self.hours));
            return question.deny("closed");
        }
        if !question.authenticated_within(self.max_age) {
            question.challenge_step_up(None, Some(self.max_age));
            return question.deny("login-too-old");
        }
        question.copy_to_request_header(&self.tenant_header, "{claim:/tenant}");
        Answer::Allow
    }
}

export_policy!(OfficeHours, sealed, no_std);

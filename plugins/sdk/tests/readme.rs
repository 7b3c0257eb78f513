//! The policy of the README, and its test.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "what a reader pastes into a crate of their own"
)]

// README: from here
use ztlib_policy::config::{Schedule, from_json};
use ztlib_policy::{Answer, Policy, Question, config_struct, constant_struct, export_policy};

config_struct! {
    struct Config<'a> { window: Schedule<'a> = "window" }
}

constant_struct! {
    pub struct OfficeHours { window: String }
}

impl Policy for OfficeHours {
    fn configure(config: &[u8]) -> Result<Self, String> {
        let config: Config<'_> = from_json(config)?;
        Ok(Self { window: config.window.as_str().to_owned() })
    }

    fn decide(&self, question: &Question<'_>) -> Answer {
        // The scopes of another issuer are other scopes, whatever they are called.
        let at_night = || question.from_home_issuer() && question.has_scope("orders:night");
        if question.in_window(&self.window) || at_night() { Answer::Allow } else { question.deny("closed") }
    }
}

export_policy!(OfficeHours, sealed);

#[cfg(test)]
mod tests {
    use super::*;
    use ztlib_policy::testing::{Facts, Sealed};

    const MONDAY: u64 = 1_795_392_000;

    #[test]
    fn it_is_open_at_noon_and_closed_at_night() -> Result<(), Box<dyn std::error::Error>> {
        let policy = Sealed::<OfficeHours>::configure(br#"{ "window": "mon-fri 08:00-18:00" }"#)?;
        let noon = Facts::request("GET", "/orders").route("/orders").now(MONDAY + 12 * 3600);
        assert_eq!(policy.decide(&noon)?.answer, Answer::Allow);

        let night = noon.now(MONDAY + 3 * 3600).token(r#"{"scope": "orders:read"}"#);
        let night = policy.decide(&night)?;
        assert_eq!((night.answer, night.reason.as_deref()), (Answer::Deny, Some("closed")));
        let reads = [
            r#"in-window("mon-fri 08:00-18:00")=no"#,
            "from-home-issuer=yes",
            r#"has-scope("orders:night")=no"#,
        ];
        assert_eq!(night.reads(), reads);
        Ok(())
    }
}
// README: to here

#[test]
fn the_readme_shows_the_policy_that_is_tested() {
    let here = include_str!("readme.rs");
    let tested =
        here.split("// README: from here\n").nth(1).unwrap().split("// README: to here").next().unwrap();
    let readme = include_str!("../README.md");
    let shown = readme.split("```rust,ignore\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(shown, tested);
}

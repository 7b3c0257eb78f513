//! A guard without credentials, whose policies read a label: for what does not depend on who asks.

use std::time::Duration;

use ztlib::authenticate::Principal;
use ztlib::authorize::{Answer, Labels, Read, Value};
use ztlib::enforce::Guard;
use ztlib::policies::trial::{Candidate, Shadow};
use ztlib::policies::{PolicySetBuilder, PolicyStore};
use ztlib_testing::ManualClock;

use crate::support::By;

/// Long enough for a machine that is busy with something else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Allows these values of the label `class`.
pub(crate) fn classes(allowed: &'static [&'static str]) -> PolicySetBuilder {
    let decide = move |question: &mut ztlib::authorize::Reader, outcome: &mut ztlib::authorize::Outcome| {
        match question.read(Read::Label("class".into()))? {
            Value::Text(class) if allowed.contains(&&*class) => Ok(Answer::Allow),
            _ => {
                outcome.reason("wrong-class")?;
                Ok(Answer::Deny)
            }
        }
    };
    // The type of a native policy is all that tells it from another: the configuration tells these
    // apart.
    PolicySetBuilder::new().native("classes", By(decide)).config(allowed).reasons(["wrong-class"])
}

pub(crate) struct Stage {
    pub(crate) policies: PolicyStore,
    pub(crate) guard: Guard,
    pub(crate) clock: ManualClock,
}

impl Stage {
    pub(crate) fn new(policies: PolicyStore) -> Self {
        let clock = ManualClock::default();
        let guard = Guard::builder().allow_unauthenticated_peers().allow_requests_without_token();
        let guard = guard.policies(policies.clone()).clock(clock.clone()).build();
        Self { policies, guard, clock }
    }

    /// Whether a question about this class is allowed.
    pub(crate) fn ask(&self, class: &str) -> bool {
        self.guard.ask(&Principal::anonymous(), "read", Labels::new().with("class", class)).is_ok()
    }

    pub(crate) fn shadow(&self, candidate: &Candidate) -> Shadow {
        self.policies.shadow(candidate, ztlib::policies::trial::Share::ALL).unwrap()
    }
}

/// Waits until the shadow has judged so many.
pub(crate) fn judged(shadow: &Shadow, number: u64) {
    assert!(shadow.wait_until(PATIENCE, |status| status.judged >= number), "{:?}", shadow.status());
}

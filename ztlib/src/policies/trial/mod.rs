//! Trying a policy set on real traffic before it is enforced.
//!
//! A [`Candidate`] is loaded beside the set in force: verified, compiled, and tested by its own
//! cases. There are two ways to learn what it would change, with the same [`Differences`] for the
//! same traffic:
//!
//! - **shadow** ([`PolicyStore::shadow`](super::PolicyStore::shadow)): judges a share of the live
//!   questions, on a thread of its own;
//! - **replay** ([`Candidate::replay`]): judges recorded questions
//!   ([`PolicyStore::record`](super::PolicyStore::record)), from memory or from a file, also
//!   without the service (`ztlib policy replay`).
//!
//! A [`PromotionRule`] states when that is enough ([`Candidate::check`]). A candidate never comes
//! into force by itself: replace the files of the set in force with its files, for every replica at
//! once. [`Shadow::status`] shows the progress of a shadow.
//!
//! ```
//! use std::time::Duration;
//! use ztlib::Clock as _;
//! use ztlib::authenticate::Principal;
//! use ztlib::authorize::NativePolicy;
//! use ztlib::authorize::{Answer, Fault, Labels, Outcome, Read, Reader, Value};
//! use ztlib::enforce::Guard;
//! use ztlib::policies::PolicySetBuilder;
//! use ztlib::policies::trial::{Attribute, PromotionRule, RecordingRules, Share};
//! use ztlib_testing::ManualClock;
//!
//! /// Allows objects of these classes.
//! struct Only(&'static [&'static str]);
//! impl NativePolicy for Only {
//!     fn decide(&self, question: &mut Reader, outcome: &mut Outcome) -> Result<Answer, Fault> {
//!         match question.read(Read::Label("class".into()))? {
//!             Value::Text(class) if self.0.contains(&&*class) => Ok(Answer::Allow),
//!             _ => {
//!                 outcome.reason("wrong-class")?;
//!                 Ok(Answer::Deny)
//!             }
//!         }
//!     }
//! }
//! let set =
//!     |classes| PolicySetBuilder::new().native("classes", Only(classes)).reasons(["wrong-class"]);
//!
//! let policies = set(&["public", "internal"]).load()?;
//! let guard = Guard::builder().allow_unauthenticated_peers().allow_requests_without_token();
//! let clock = ManualClock::default();
//! let guard = guard.policies(policies.clone()).clock(clock.clone()).build();
//! let ask = |class| {
//!     guard.ask(&Principal::anonymous(), "read", Labels::new().with("class", class)).is_ok()
//! };
//!
//! let recorder = policies.record(RecordingRules::new())?;
//! assert!(ask("public") && ask("internal") && !ask("secret"));
//!
//! // A stricter set, tried on the recorded questions:
//! let candidate = policies.candidate(set(&["public"]))?;
//! let found = candidate.replay(&recorder.recording());
//! assert_eq!(found.summary(), "1 of 3 would change: 1 allow → deny (classes: wrong-class)");
//! assert_eq!(&*found.groups()[0].example.reads[0], r#"label("class")=(hidden)"#);
//!
//! let rule = PromotionRule::new(3, Duration::ZERO);
//! assert_eq!(candidate.check(&rule, &found).unwrap_err().code(), "would-change");
//!
//! // Corrected, and good enough to be put in force:
//! let mended = || set(&["public", "internal", "draft"]);
//! let candidate = policies.candidate(mended())?;
//! candidate.check(&rule, &candidate.replay(&recorder.recording()))?;
//! assert!(ask("internal") && !ask("draft"), "nothing has changed yet");
//! policies.replace(mended())?;
//! assert!(ask("internal") && ask("draft"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Cost
//!
//! Nothing is kept or copied without being asked for: without a shadow and a recorder, a request
//! pays for one relaxed load. With them, the serving thread copies each sampled question, and
//! writes a record of each recorded one. ARCHITECTURE.md has the numbers.
//!
//! # Limits
//!
//! A candidate is judged as if its obligations could be carried out: they are compared as the
//! policies stated them. No record shows what callers would do after another answer. A candidate
//! with native policies that depend on more than the question may decide differently once it is
//! enforced.

mod candidate;
mod conclusion;
mod differences;
mod line;
mod promotion;
mod rebuild;
mod record;
mod recorder;
mod recording;
mod replay;
mod shadow;
mod status;
mod suggest;
mod summary;
mod trying;

use std::fmt::Display;

use crate::authorize::Seen;
use crate::authorize::Trace;
use crate::observe::Redaction;

pub use candidate::Candidate;
pub use conclusion::Conclusion;
pub use differences::{Change, Differences, Example, Group, Missing};
pub use promotion::{PromotionError, PromotionRule};
pub use recorder::{Recorder, RecordingRules};
pub use recording::Recording;
pub use shadow::{Shadow, Share};
pub use status::TrialStatus;
pub use suggest::{SuggestedPolicy, Suggestion, SuggestionRules};
pub use ztlib_contract::Attribute;

/// Reads in a form that may be shown: the default rule hides values, and arguments are escaped.
fn printed(trace: &Trace) -> Vec<Box<str>> {
    Redaction::new().apply(trace).iter().map(|read| read.to_string().into()).collect()
}

fn shown<S: serde::Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn all_shown<S: serde::Serializer>(values: &[impl Display], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(ToString::to_string))
}

#[cfg(test)]
mod tests;

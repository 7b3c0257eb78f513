//! The progress of a trial.

use std::time::SystemTime;

use crate::authorize::Revision;

/// The progress of a [`Shadow`](super::Shadow).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrialStatus {
    /// The candidate's revision when it was loaded.
    pub candidate: Revision,
    /// When the trial began.
    pub since: SystemTime,
    /// The number of questions it has judged since the policies in force last changed.
    pub judged: u64,
    /// How many of them it would answer differently.
    pub differing: u64,
    /// The number of questions that were skipped because it could not keep up.
    pub lost: u64,
    /// Whether the trial has ended.
    pub ended: bool,
}

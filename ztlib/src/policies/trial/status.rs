//! How a trial goes.

use std::time::SystemTime;

use crate::authorize::Revision;

/// How a [`Shadow`](super::Shadow) goes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrialStatus {
    /// The candidate's revision, as it was loaded.
    pub candidate: Revision,
    /// Since when it is tried.
    pub since: SystemTime,
    /// How many questions it has judged, since the policies in force are those that they are.
    pub judged: u64,
    /// How many of them it would answer in another way.
    pub differing: u64,
    /// How many questions were left out because it could not keep up.
    pub lost: u64,
    /// Whether the trial is over.
    pub ended: bool,
}

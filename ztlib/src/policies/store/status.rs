//! What is in force, and the metrics that say so.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::authorize::Revision;
use crate::authorize::RevisionName;
use crate::clock::unix_seconds;
use crate::load_error::LoadError;
use crate::policies::files::KeyId;

/// What is in force, since when, on whose word, and why nothing newer is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// The revision in force.
    pub revision: Revision,
    /// Since when.
    pub since: SystemTime,
    /// When it was last found to be what its source says: at the newest load that succeeded, or
    /// when the watched files were last found unchanged since.
    /// [`max_policy_age`](super::manifest_loader::ManifestOptions::max_policy_age) counts from here.
    pub confirmed: SystemTime,
    /// What its manifest calls itself.
    pub version: Option<u64>,
    /// The key that vouches for it; none where nobody does.
    pub signer: Option<KeyId>,
    /// The highest signed version that has been in force: lower ones are refused.
    pub highest_version: Option<u64>,
    /// Documents of a signed set that its signer left open (`allow-unsigned`).
    pub unsigned_documents: Vec<Box<str>>,
    /// How often a set was loaded without error, counting the first.
    pub loads: u64,
    /// How often a candidate was refused.
    pub failures: u64,
    /// Why the newest candidate is not in force, and since when; none where it is.
    pub last_error: Option<(LoadError, SystemTime)>,
    /// What was rolled back from, while that holds.
    pub rolled_back_from: Option<Revision>,
    /// The revisions that [`rollback`](super::reload::PolicyStore::rollback) can return to, the one that is
    /// next last.
    pub kept: Vec<Revision>,
    /// How the sandbox runs on this machine, in a word: `pool-with-scan` is the fastest way that it
    /// can have, `on-demand` the slowest.
    pub engine: Box<str>,
}

/// `ztlib_policy_loads_total{result, code}`: sets that were loaded, refused (and why), or rolled
/// back to.
pub(crate) fn count(result: &'static str, code: &'static str) {
    ::metrics::counter!("ztlib_policy_loads_total", "result" => result, "code" => code).increment(1);
}

/// `ztlib_policies_in_force_since_seconds`: since when the revision in force is, in seconds since
/// 1970.
pub(crate) fn in_force_since(since: SystemTime) {
    seconds("ztlib_policies_in_force_since_seconds", unix_seconds(since));
}

/// The most revisions that the metric names in a process's life: each is a series that a recorder
/// keeps, and a document that changes makes a revision, too.
const MAX_NAMED: usize = 256;

/// `ztlib_policy_revision_info{revision}`: 1 for the revision that is in force, by the name that
/// audit events have, 0 for one that was.
pub(crate) fn revision(in_force: Revision, previous: Option<Revision>) {
    if let Some(previous) = previous {
        ::metrics::gauge!("ztlib_policy_revision_info", "revision" => named(previous)).set(0.0);
    }
    ::metrics::gauge!("ztlib_policy_revision_info", "revision" => named(in_force)).set(1.0);
}

/// The label of a revision: its name, or `other` when this process has named as many as it may.
fn named(revision: Revision) -> String {
    static NAMED: Mutex<BTreeSet<RevisionName>> = Mutex::new(BTreeSet::new());
    label(&mut NAMED.lock().unwrap_or_else(PoisonError::into_inner), revision.name())
}

fn label(known: &mut BTreeSet<RevisionName>, name: RevisionName) -> String {
    if known.len() < MAX_NAMED {
        known.insert(name);
    }
    if known.contains(&name) { name.to_string() } else { "other".to_owned() }
}

/// `ztlib_policies_confirmed_seconds`: when what is in force was last found to be what its source
/// says, in seconds since 1970.
pub(crate) fn confirmed(at: SystemTime) {
    seconds("ztlib_policies_confirmed_seconds", unix_seconds(at));
}

/// `ztlib_policies_version`: the version that the manifest in force calls itself; 0 where it says
/// none.
pub(crate) fn version(version: Option<u64>) {
    seconds("ztlib_policies_version", version.unwrap_or(0));
}

fn seconds(name: &'static str, number: u64) {
    #[allow(
        clippy::cast_precision_loss,
        reason = "whole seconds are exact in a float for 285 million years, and nobody signs as often"
    )]
    ::metrics::gauge!(name).set(number as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_names_a_bounded_number_of_revisions() {
        let mut known = BTreeSet::new();
        let name = |n: usize| RevisionName::parse(&format!("{n:012x}")).unwrap();
        for n in 0..MAX_NAMED {
            assert_eq!(label(&mut known, name(n)), format!("{n:012x}"));
        }
        assert_eq!(label(&mut known, name(MAX_NAMED)), "other");
        assert_eq!(label(&mut known, name(7)), "000000000007", "what was named keeps its name");
        assert_eq!(known.len(), MAX_NAMED);
    }
}

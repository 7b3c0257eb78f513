//! The status of the set in force, and its metrics.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::authorize::Revision;
use crate::authorize::RevisionName;
use crate::clock::unix_seconds;
use crate::load_error::LoadError;
use crate::policies::files::KeyId;

/// What is in force, since when, who signed it, and why the newest candidate is not in force.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// The revision in force.
    pub revision: Revision,
    /// When it came into force.
    pub since: SystemTime,
    /// When it was last confirmed to match its source: at the last successful load, or when the
    /// watched files were last found unchanged.
    /// [`max_policy_age`](super::manifest_loader::ManifestOptions::max_policy_age) counts from
    /// here.
    pub confirmed: SystemTime,
    /// The `version` of its manifest.
    pub version: Option<u64>,
    /// The key that signed it; `None` if it is unsigned.
    pub signer: Option<KeyId>,
    /// The highest signed version that has been in force. Lower ones are refused.
    pub highest_version: Option<u64>,
    /// Documents of a signed set that the signature leaves open (`allow-unsigned`).
    pub unsigned_documents: Vec<Box<str>>,
    /// The number of successful loads, including the first.
    pub loads: u64,
    /// The number of refused candidates.
    pub failures: u64,
    /// Why the newest candidate is not in force, and since when. `None` if it is.
    pub last_error: Option<(LoadError, SystemTime)>,
    /// The revision that was rolled back from, while the rollback lasts.
    pub rolled_back_from: Option<Revision>,
    /// The revisions that [`rollback`](super::reload::PolicyStore::rollback) can return to. The
    /// next one is last.
    pub kept: Vec<Revision>,
    /// How the sandbox runs on this machine: from `pool-with-scan`, the fastest, to `on-demand`,
    /// the slowest.
    pub engine: Box<str>,
}

/// `ztlib_policy_loads_total{result, code}`: sets that were loaded, refused (and why), or rolled
/// back to.
pub(crate) fn count(result: &'static str, code: &'static str) {
    ::metrics::counter!("ztlib_policy_loads_total", "result" => result, "code" => code).increment(1);
}

/// `ztlib_policies_in_force_since_seconds`: when the current revision came into force, in seconds
/// since 1970.
pub(crate) fn in_force_since(since: SystemTime) {
    seconds("ztlib_policies_in_force_since_seconds", unix_seconds(since));
}

/// The most revisions that the metric names during a process's life. Each is a series that a
/// recorder keeps, and every change of a document makes a new revision.
const MAX_NAMED: usize = 256;

/// `ztlib_policy_revision_info{revision}`: 1 for the revision in force, by its name in audit
/// events; 0 for earlier ones.
pub(crate) fn revision(in_force: Revision, previous: Option<Revision>) {
    if let Some(previous) = previous {
        ::metrics::gauge!("ztlib_policy_revision_info", "revision" => named(previous)).set(0.0);
    }
    ::metrics::gauge!("ztlib_policy_revision_info", "revision" => named(in_force)).set(1.0);
}

/// The label of a revision: its name, or `other` once this process has named the maximum.
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

/// `ztlib_policies_confirmed_seconds`: when the set in force was last confirmed to match its
/// source, in seconds since 1970.
pub(crate) fn confirmed(at: SystemTime) {
    seconds("ztlib_policies_confirmed_seconds", unix_seconds(at));
}

/// `ztlib_policies_version`: the `version` of the manifest in force; 0 if it has none.
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
        assert_eq!(label(&mut known, name(7)), "000000000007", "a named revision keeps its name");
        assert_eq!(known.len(), MAX_NAMED);
    }
}

//! What a candidate would change: one type for shadow and replay, so that both can be held against
//! each other.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::conclusion::Conclusion;
use super::printed;
use super::record::Subject;
use crate::authorize::Revision;
use crate::authorize::Trace;
use crate::authorize::{Read, ReadFault};
use crate::digest::Digest;
use crate::policies::cases::CaseVerdict;
use crate::request_id::RequestId;
use ztlib_contract::{Attribute, behind};

/// The most groups, and the most kinds of reads that were missing, that are told apart.
const MAX_GROUPS: usize = 64;
/// The most reads of an example, and the longest of them, in bytes.
const MAX_READS: usize = 16;
const MAX_READ_BYTES: usize = 256;

/// What a candidate would change: how many questions it judged, how many it would answer as the
/// policies in force did, and what the others come to, in groups with an example each.
///
/// A change is another verdict; another reason, policy or step-up of a denial; other obligations,
/// compared as the policies said them, not as they are settled for a request. Another message alone
/// is none.
///
/// It prints as `12 of 40 312 would change: 11 allow → deny (rbac: no-role), 1 deny (rbac: no-role)
/// → allow`, then a line for each group, and can be serialized. Shadow and
/// [replay](super::Candidate::replay) of the same traffic give the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differences {
    pub(crate) candidate: Revision,
    /// The root of the sets that had decided; none before the first.
    pub(crate) against: Option<Digest>,
    /// Questions that still another set had decided.
    pub(crate) against_others: u64,
    pub(crate) judged: u64,
    changes: [u64; 5],
    pub(crate) faults: u64,
    /// Sorted by what they change.
    pub(crate) groups: Vec<Group>,
    pub(crate) ungrouped: u64,
    pub(crate) not_judged: u64,
    /// Sorted by the read.
    pub(crate) missing: Vec<Missing>,
    /// Milliseconds since 1970.
    first: Option<u64>,
    last: u64,
}

/// Questions that the candidate would answer in the same other way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Group {
    /// What was decided.
    pub from: Conclusion,
    /// What the candidate would decide.
    pub to: Conclusion,
    /// How many.
    pub count: u64,
    /// The earliest of them.
    pub example: Example,
}

/// One question of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Example {
    /// Its id, as in the audit event.
    #[serde(serialize_with = "super::shown")]
    pub id: RequestId,
    /// When it was asked, in milliseconds since 1970.
    pub time: u64,
    /// `GET /orders/{id}`, or the action.
    pub subject: String,
    /// What the candidate read and the policies in force did not, or with another value; where
    /// there is none, all that it read. Values are hidden by the
    /// rule of [`Redaction`](crate::observe::Redaction).
    pub reads: Vec<Box<str>>,
}

/// A read that a record did not have, so that the candidate did not judge it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Missing {
    /// The read.
    pub read: Box<str>,
    /// What to record for it; see [`RecordingRules::also`](super::RecordingRules::also).
    #[serde(serialize_with = "super::all_shown")]
    pub attributes: Vec<Attribute>,
    /// Whether it is missing because it is hidden by rule.
    pub hidden: bool,
    /// How often.
    pub count: u64,
}

/// What kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// What was allowed would be denied.
    Tightened,
    /// What was refused would be allowed.
    Loosened,
    /// What was refused would be denied for another reason, by another policy, or with another
    /// step-up.
    OtherDenial,
    /// What was allowed would be allowed with other obligations.
    OtherObligations,
    /// No decision would be reached.
    Fault,
}

impl Group {
    /// What kind of a change it is.
    pub fn change(&self) -> Change {
        change(&self.from, &self.to)
    }
}

fn change(from: &Conclusion, to: &Conclusion) -> Change {
    match (from.verdict(), to.verdict()) {
        (_, verdict) if verdict.is_no_decision() => Change::Fault,
        (CaseVerdict::Allow, CaseVerdict::Allow) => Change::OtherObligations,
        (_, CaseVerdict::Allow) => Change::Loosened,
        (CaseVerdict::Allow, _) => Change::Tightened,
        _ => Change::OtherDenial,
    }
}

/// One question that the candidate judged.
pub(crate) struct Compared<'c> {
    pub(crate) id: RequestId,
    pub(crate) time: u64,
    pub(crate) subject: &'c Subject,
    pub(crate) judged_by: Digest,
    pub(crate) from: Conclusion,
    pub(crate) to: Conclusion,
    pub(crate) trace: &'c Trace,
}

impl Differences {
    pub(crate) fn new(candidate: Revision, against: Option<Digest>) -> Self {
        Self {
            candidate,
            against,
            against_others: 0,
            judged: 0,
            changes: [0; 5],
            faults: 0,
            groups: Vec::new(),
            ungrouped: 0,
            not_judged: 0,
            missing: Vec::new(),
            first: None,
            last: 0,
        }
    }

    /// The candidate's revision.
    pub fn candidate(&self) -> Revision {
        self.candidate
    }

    /// How many questions the candidate judged.
    pub fn judged(&self) -> u64 {
        self.judged
    }

    /// How many of them it would answer in the same way.
    pub fn same(&self) -> u64 {
        self.judged.saturating_sub(self.differing())
    }

    /// How many of them it would answer in another way.
    pub fn differing(&self) -> u64 {
        self.changes.iter().sum()
    }

    /// How many changes of a kind.
    pub fn changes(&self, change: Change) -> u64 {
        self.changes.get(change as usize).copied().unwrap_or(0)
    }

    /// How often the candidate reached no decision, counting where the policies in force did not
    /// either.
    pub fn faults(&self) -> u64 {
        self.faults
    }

    /// The changes, the most frequent first. At most 64 are told apart.
    pub fn groups(&self) -> Vec<&Group> {
        let mut groups: Vec<&Group> = self.groups.iter().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        groups
    }

    /// How many changes are in none of the groups.
    pub fn ungrouped(&self) -> u64 {
        self.ungrouped
    }

    /// How many questions the candidate could not judge, since it read what was not recorded.
    pub fn not_judged(&self) -> u64 {
        self.not_judged
    }

    /// What was not recorded: of each question the first read that was missing. At most 64 are told
    /// apart.
    pub fn missing(&self) -> impl ExactSizeIterator<Item = &Missing> {
        self.missing.iter()
    }

    /// From when to when the questions were asked that were judged.
    pub fn period(&self) -> Option<(SystemTime, SystemTime)> {
        let at = |time: u64| UNIX_EPOCH.checked_add(Duration::from_millis(time));
        Some((at(self.first?)?, at(self.last)?))
    }

    /// How long that is.
    pub(crate) fn span(&self) -> Duration {
        Duration::from_millis(self.first.map_or(0, |first| self.last.saturating_sub(first)))
    }

    /// Adds a question that was judged; says whether it opens a group.
    pub(crate) fn judge(
        &mut self,
        one: Compared<'_>,
        enforced_reads: impl FnOnce() -> Vec<Box<str>>,
    ) -> bool {
        self.judged = self.judged.saturating_add(1);
        self.first = Some(self.first.map_or(one.time, |first| first.min(one.time)));
        self.last = self.last.max(one.time);
        if *self.against.get_or_insert(one.judged_by) != one.judged_by {
            self.against_others = self.against_others.saturating_add(1);
        }
        self.faults = self.faults.saturating_add(u64::from(one.to.verdict().is_no_decision()));
        if one.from == one.to {
            return false;
        }
        if let Some(count) = self.changes.get_mut(change(&one.from, &one.to) as usize) {
            *count = count.saturating_add(1);
        }
        let example = |reads: Vec<Box<str>>| Example {
            id: one.id,
            time: one.time,
            subject: subject(one.subject),
            reads: telling(one.trace, &reads),
        };
        match self.groups.binary_search_by(|group| (&group.from, &group.to).cmp(&(&one.from, &one.to))) {
            Ok(at) => {
                if let Some(group) = self.groups.get_mut(at) {
                    group.count = group.count.saturating_add(1);
                    if (one.time, one.id) < (group.example.time, group.example.id) {
                        group.example = example(enforced_reads());
                    }
                }
                false
            }
            Err(_) if self.groups.len() >= MAX_GROUPS => {
                self.ungrouped = self.ungrouped.saturating_add(1);
                false
            }
            Err(at) => {
                let example = example(enforced_reads());
                self.groups.insert(at, Group { from: one.from, to: one.to, count: 1, example });
                true
            }
        }
    }

    /// Adds a question that was not judged, since this read was missing.
    pub(crate) fn miss(&mut self, read: &Read, fault: &ReadFault) {
        self.not_judged = self.not_judged.saturating_add(1);
        let text: Box<str> = cut(&read.to_string()).into();
        match self.missing.binary_search_by(|missing| missing.read.cmp(&text)) {
            Ok(at) => {
                if let Some(missing) = self.missing.get_mut(at) {
                    missing.count = missing.count.saturating_add(1);
                }
            }
            Err(_) if self.missing.len() >= MAX_GROUPS => {}
            Err(at) => {
                let mut attributes = Vec::new();
                behind(read, |kind, name| {
                    if !kind.is_always_recorded() {
                        attributes.push(Attribute::named(kind, name));
                    }
                });
                let hidden = *fault == ReadFault::Hidden;
                self.missing.insert(at, Missing { read: text, attributes, hidden, count: 1 });
            }
        }
    }

    /// Adds a question that could not even be asked.
    pub(crate) fn miss_all(&mut self) {
        self.not_judged = self.not_judged.saturating_add(1);
    }
}

/// The reads that tell the candidate's answer from the other. Whether a document has changed does
/// not show where its values are hidden, so such a read may be the one.
fn telling(trace: &Trace, enforced: &[Box<str>]) -> Vec<Box<str>> {
    let all = printed(trace);
    let is_known = |read: &str| enforced.iter().any(|known| **known == *read);
    let may_differ =
        |read: &str| !is_known(read) || (read.starts_with("data-") && read.ends_with("=(hidden)"));
    let mut telling: Vec<Box<str>> = all.iter().filter(|read| may_differ(read)).cloned().collect();
    if telling.is_empty() {
        telling = all;
    }
    telling.truncate(MAX_READS);
    telling.into_iter().map(|read| cut(&read).into()).collect()
}

fn subject(subject: &Subject) -> String {
    cut(&match subject {
        Subject::Action(action) => format!("action {}", action.escape_debug()),
        Subject::Request { method, route } => match route {
            Some(route) => format!("{method} {}", route.escape_debug()),
            None => format!("{method} (no route)"),
        },
    })
    .to_owned()
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_READ_BYTES)).unwrap_or_default()
}

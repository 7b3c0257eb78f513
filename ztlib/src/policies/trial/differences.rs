//! What a candidate would change. One type for shadow and replay, so that their results can be
//! compared.

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

/// The maximum number of groups, and of missing reads, that are told apart.
const MAX_GROUPS: usize = 64;
/// The maximum number of reads in an example, and the longest of them in bytes.
const MAX_READS: usize = 16;
const MAX_READ_BYTES: usize = 256;

/// What a candidate would change: how many questions it judged, how many it would answer like the
/// policies in force, and the differences, in groups with an example each.
/// A change is another verdict; another reason, policy or step-up of a denial; or other
/// obligations. These are compared as the policies stated them, not as they are carried out for a
/// request. Another message alone is not a change.
///
/// It prints as `12 of 40 312 would change: 11 allow → deny (rbac: no-role), 1 deny (rbac: no-role)
/// → allow`, followed by a line for each group, and can be serialized. Shadow and
/// [replay](super::Candidate::replay) of the same traffic have the same result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differences {
    pub(crate) candidate: Revision,
    /// The root of the sets that decided; `None` before the first question.
    pub(crate) against: Option<Digest>,
    /// Questions that a different set decided.
    pub(crate) against_others: u64,
    pub(crate) judged: u64,
    changes: [u64; 5],
    pub(crate) faults: u64,
    /// Sorted by the change.
    pub(crate) groups: Vec<Group>,
    pub(crate) ungrouped: u64,
    pub(crate) not_judged: u64,
    /// Sorted by the read.
    pub(crate) missing: Vec<Missing>,
    /// Milliseconds since 1970.
    first: Option<u64>,
    last: u64,
}

/// Questions for which the candidate would make the same change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Group {
    /// The decision that was made.
    pub from: Conclusion,
    /// The decision that the candidate would make.
    pub to: Conclusion,
    /// The number of questions.
    pub count: u64,
    /// The earliest question.
    pub example: Example,
}

/// One question of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Example {
    /// The id of its audit event.
    #[serde(serialize_with = "super::shown")]
    pub id: RequestId,
    /// When it was asked, in milliseconds since 1970.
    pub time: u64,
    /// `GET /orders/{id}`, or the name of the action.
    pub subject: String,
    /// The reads that the candidate made and the policies in force did not, or that had another
    /// value. If there are none, all its reads. [`Redaction`](crate::observe::Redaction)'s default
    /// rule hides values.
    pub reads: Vec<Box<str>>,
}

/// A read that a record lacks, so that the candidate could not judge it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Missing {
    /// The read.
    pub read: Box<str>,
    /// What to record to have it; see [`RecordingRules::also`](super::RecordingRules::also).
    #[serde(serialize_with = "super::all_shown")]
    pub attributes: Vec<Attribute>,
    /// Whether it is missing because a rule hides it.
    pub hidden: bool,
    /// How often it was missing.
    pub count: u64,
}

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// An allow would become a denial.
    Tightened,
    /// A refusal would become an allow.
    Loosened,
    /// A refusal would become a denial for another reason, by another policy, or with another
    /// step-up.
    OtherDenial,
    /// An allow would have other obligations.
    OtherObligations,
    /// No decision would be reached.
    Fault,
}

impl Group {
    /// The kind of this change.
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

    /// How many of them it would answer the same.
    pub fn same(&self) -> u64 {
        self.judged.saturating_sub(self.differing())
    }

    /// How many of them it would answer differently.
    pub fn differing(&self) -> u64 {
        self.changes.iter().sum()
    }

    /// How many changes of this kind there are.
    pub fn changes(&self, change: Change) -> u64 {
        self.changes.get(change as usize).copied().unwrap_or(0)
    }

    /// How often the candidate reached no decision, even where the policies in force did not
    /// either.
    pub fn faults(&self) -> u64 {
        self.faults
    }

    /// The changes, most frequent first. At most 64 are told apart.
    pub fn groups(&self) -> Vec<&Group> {
        let mut groups: Vec<&Group> = self.groups.iter().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        groups
    }

    /// How many changes belong to no group.
    pub fn ungrouped(&self) -> u64 {
        self.ungrouped
    }

    /// How many questions the candidate could not judge, because it read something that was not
    /// recorded.
    pub fn not_judged(&self) -> u64 {
        self.not_judged
    }

    /// What was not recorded: for each question, the first missing read. At most 64 are told apart.
    pub fn missing(&self) -> impl ExactSizeIterator<Item = &Missing> {
        self.missing.iter()
    }

    /// When the first and the last of the judged questions were asked.
    pub fn period(&self) -> Option<(SystemTime, SystemTime)> {
        let at = |time: u64| UNIX_EPOCH.checked_add(Duration::from_millis(time));
        Some((at(self.first?)?, at(self.last)?))
    }

    /// The length of that period.
    pub(crate) fn span(&self) -> Duration {
        Duration::from_millis(self.first.map_or(0, |first| self.last.saturating_sub(first)))
    }

    /// Adds a question that was judged. Returns whether it opens a new group.
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

    /// Adds a question that was not judged because this read is missing.
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

/// The reads that distinguish the candidate's decision from the other. A hidden value does not show
/// whether a document has changed, so such a read may matter.
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

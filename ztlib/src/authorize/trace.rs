//! The trace: what one evaluation read, and what came back.

use std::sync::OnceLock;

use super::read::{Read, Value};
use crate::observe::{AuditedRead, Redaction};

/// The reads of one evaluation of a policy set with their values, in the order in which they were
/// first made, each once.
///
/// It is complete: a policy learns nothing in another way. It says why a decision is what it is.
#[derive(Debug, Default)]
pub struct Trace {
    reads: Vec<(Read, Value)>,
    /// As the audit events of its guard show it, once one has been written: a decision that is
    /// remembered brings the same trace along each time.
    shown: OnceLock<Box<[AuditedRead]>>,
}

impl Clone for Trace {
    /// What was shown stays behind: another guard may have another rule.
    fn clone(&self) -> Self {
        Self { reads: self.reads.clone(), shown: OnceLock::new() }
    }
}

impl PartialEq for Trace {
    fn eq(&self, other: &Self) -> bool {
        self.reads == other.reads
    }
}

impl Eq for Trace {}

impl Trace {
    /// The reads with their values.
    pub fn reads(&self) -> impl ExactSizeIterator<Item = (&Read, &Value)> {
        self.reads.iter().map(|(read, value)| (read, value))
    }

    pub(crate) fn value(&self, read: &Read) -> Option<&Value> {
        self.reads.iter().find(|(made, _)| made == read).map(|(_, value)| value)
    }

    /// Its bytes, for bounds.
    pub(crate) fn size(&self) -> usize {
        let one = |(read, value): &(Read, Value)| size_of::<(Read, Value)>() + read.size() + value.size();
        self.reads.iter().map(one).sum()
    }

    pub(crate) fn record(&mut self, read: Read, value: Value) {
        self.reads.push((read, value));
    }

    /// Its reads as the one guard that has it shows them.
    pub(crate) fn shown(&self, redaction: Option<&Redaction>) -> &[AuditedRead] {
        self.shown.get_or_init(|| match redaction {
            Some(redaction) => redaction.apply(self).into(),
            None => Redaction::new().apply(self).into(),
        })
    }
}

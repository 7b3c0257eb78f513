//! Differences, as people and programs read them.

use std::fmt;

use serde::Serialize;

use super::differences::{Differences, Group, Missing};

/// How many groups the first line of the summary names.
const MAX_NAMED: usize = 4;

impl Differences {
    /// The first line of the printed form.
    pub fn summary(&self) -> String {
        let mut text = format!("{} of {} would change", grouped(self.differing()), grouped(self.judged));
        let groups = self.groups();
        for (index, group) in groups.iter().take(MAX_NAMED).enumerate() {
            let before = if index == 0 { ": " } else { ", " };
            text.push_str(&format!("{before}{} {} → {}", grouped(group.count), group.from, group.to));
        }
        let named: u64 = groups.iter().take(MAX_NAMED).map(|group| group.count).sum();
        let more = self.differing().saturating_sub(named);
        if more > 0 {
            text.push_str(&format!(", and {} more", grouped(more)));
        }
        if self.not_judged > 0 {
            text.push_str(&format!("; {} were not judged", grouped(self.not_judged)));
        }
        text
    }
}

/// A number as `40 312`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())?;
        for group in self.groups() {
            let Group { from, to, count, example } = group;
            write!(f, "\n  {} × {from} → {to}, as {} ({})", grouped(*count), example.subject, example.id)?;
            for (index, read) in example.reads.iter().enumerate() {
                write!(f, "{}{read}", if index == 0 { ": " } else { " " })?;
            }
        }
        if self.ungrouped > 0 {
            write!(f, "\n  {} × other changes", grouped(self.ungrouped))?;
        }
        for Missing { read, hidden, count, .. } in &self.missing {
            let why = if *hidden { "is hidden" } else { "was not recorded" };
            write!(f, "\n  {} not judged: {read} {why}", grouped(*count))?;
        }
        Ok(())
    }
}

impl Serialize for Differences {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Form<'d> {
            candidate: String,
            judged: u64,
            same: u64,
            differing: u64,
            faults: u64,
            groups: Vec<&'d Group>,
            ungrouped: u64,
            #[serde(rename = "not-judged")]
            not_judged: u64,
            missing: &'d [Missing],
        }
        let form = Form {
            candidate: self.candidate.to_string(),
            judged: self.judged,
            same: self.same(),
            differing: self.differing(),
            faults: self.faults,
            groups: self.groups(),
            ungrouped: self.ungrouped,
            not_judged: self.not_judged,
            missing: &self.missing,
        };
        form.serialize(serializer)
    }
}

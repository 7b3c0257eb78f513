//! The one table.

use std::fmt;

use serde_json::{Value, json};

/// What a row has to reach.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// Ours is at most this.
    AtMost(f64),
    /// Ours is at most the peer's and this.
    AtMostOverPeer(f64),
    /// Ours divided by the peer's is at most this.
    RatioAtMost(f64),
    /// Ours divided by the peer's is at least this.
    RatioAtLeast(f64),
}

/// One row. Units stand in the name.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured, and in which unit.
    pub name: String,
    /// Ours; none where it cannot be measured.
    pub ours: Option<f64>,
    /// The peer's or the floor's, of the same run.
    pub peer: Option<f64>,
    /// What has to be reached.
    pub target: Target,
}

impl Row {
    /// A row.
    pub fn new(name: impl Into<String>, ours: Option<f64>, peer: Option<f64>, target: Target) -> Self {
        Self { name: name.into(), ours, peer, target }
    }

    /// Ours divided by the peer's.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.ours? / self.peer?).filter(|ratio| ratio.is_finite())
    }

    /// Whether the target is reached. What was not measured did not reach it.
    pub fn pass(&self) -> bool {
        let reached = match self.target {
            Target::AtMost(most) => self.ours.map(|ours| ours <= most),
            Target::AtMostOverPeer(more) => self.ours.zip(self.peer).map(|(ours, peer)| ours <= peer + more),
            Target::RatioAtMost(most) => self.ratio().map(|ratio| ratio <= most),
            Target::RatioAtLeast(least) => self.ratio().map(|ratio| ratio >= least),
        };
        reached.unwrap_or(false)
    }

    /// `name, ours, peer, ratio, target, pass`, and nothing else. `target` is the number of the
    /// row's [`Target`].
    pub fn to_json(&self) -> Value {
        let target = match self.target {
            Target::AtMost(n)
            | Target::AtMostOverPeer(n)
            | Target::RatioAtMost(n)
            | Target::RatioAtLeast(n) => n,
        };
        json!({
            "name": self.name,
            "ours": self.ours,
            "peer": self.peer,
            "ratio": self.ratio(),
            "target": target,
            "pass": self.pass(),
        })
    }
}

/// All rows, printed as they stand.
#[derive(Debug, Default)]
pub struct Table(Vec<Row>);

impl Table {
    /// Adds a row, and shows it on the error stream, since the whole takes minutes.
    pub fn push(&mut self, row: Row) {
        eprintln!("{} {}: {}", if row.pass() { "pass" } else { "----" }, row.name, number(row.ours));
        self.0.push(row);
    }

    /// The rows.
    pub fn rows(&self) -> &[Row] {
        &self.0
    }

    /// How many rows reached their target.
    pub fn passed(&self) -> usize {
        self.0.iter().filter(|row| row.pass()).count()
    }

    /// An array of [`Row::to_json`].
    pub fn to_json(&self) -> Value {
        self.0.iter().map(Row::to_json).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|row| row.name.chars().count()).max().unwrap_or(4);
        writeln!(
            f,
            "| {:width$} | {:>9} | {:>13} | {:>7} | {:>16} | pass |",
            "what", "ours", "peer or floor", "ratio", "target"
        )?;
        writeln!(f, "|-{:-<width$}-|-{:->9}:|-{:->13}:|-{:->7}:|-{:->16}:|------|", "", "", "", "", "")?;
        for row in &self.0 {
            let target = match row.target {
                Target::AtMost(n) => format!("<= {}", short(n)),
                Target::AtMostOverPeer(n) => format!("<= peer + {}", short(n)),
                Target::RatioAtMost(n) => format!("ratio <= {}", short(n)),
                Target::RatioAtLeast(n) => format!("ratio >= {}", short(n)),
            };
            let (ours, peer, ratio) = (number(row.ours), number(row.peer), number(row.ratio()));
            let pass = if row.pass() { "yes" } else { "NO" };
            writeln!(
                f,
                "| {:width$} | {ours:>9} | {peer:>13} | {ratio:>7} | {target:>16} | {pass:<4} |",
                row.name
            )?;
        }
        write!(f, "{} of {} rows reach their target", self.passed(), self.0.len())
    }
}

/// A number with as many digits as mean something.
fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(n) if n.abs() >= 100.0 => format!("{n:.0}"),
        Some(n) if n.abs() >= 10.0 => format!("{n:.1}"),
        Some(n) => format!("{n:.2}"),
    }
}

fn short(n: f64) -> String {
    let text = format!("{n:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

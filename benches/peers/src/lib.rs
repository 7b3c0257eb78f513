//! ztlib beside its peers: the same task, the same inputs, one run.
//!
//! The binaries are `scoreboard` (every promise of speed in one table, in a few minutes) and
//! `scale` (curves, as plots). Read in this order: [`measure`] is the timing loop, [`task`] the
//! question that everybody is asked, [`ours`] ztlib, [`engines`] the peers.

pub mod ballast;
pub mod crowd;
pub mod drop_in;
pub mod end_to_end;
pub mod engines;
pub mod inside;
pub mod measure;
pub mod memory;
pub mod ours;
pub mod plain;
pub mod plot;
pub mod table;
pub mod task;
pub mod threads;
pub mod tokens;
pub mod traffic;

/// What ends a run: a part that could not be set up, or an answer that differs.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

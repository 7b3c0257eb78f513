//! Who answers: policies and sets of them.

use super::decision::Fault;
use super::outcome::{Answer, Outcome};
use super::reader::Reader;

/// What one evaluation of one policy is given and gives back: the sandbox holds it for as long as the policy runs.
pub(crate) struct Call {
    pub(crate) reader: Reader,
    pub(crate) outcome: Outcome,
}

/// A policy written in Rust and run natively, without sandbox: the seam for what cannot be a component.
///
/// It shares the process, its clocks and its globals. What it learns other than through the [`Reader`] stands in no trace.
pub trait NativePolicy: Send + Sync + 'static {
    /// Decides on one question.
    ///
    /// # Errors
    /// Where no decision can be reached, above all where a read fails: the request is then refused as a fault.
    fn decide(&self, question: &mut Reader, outcome: &mut Outcome) -> Result<Answer, Fault>;
}

//! The sandbox: one policy, one question, one fresh instance.
//!
//! Order of reading: `budget` (what a policy may use) → `engine` (the one engine of the process) →
//! `contract` (what a policy may call) → `constants` (what it put aside when it was loaded) →
//! `weigh` (what a module would cost) → `load` (bytes → compiled) → `evaluate` (a question → an
//! answer) → `stop` (what can end it early).

mod budget;
mod constants;
mod contract;
mod engine;
mod evaluate;
mod inspect;
mod load;
#[cfg(test)]
mod returned_values;
mod stop;
mod weigh;

pub use budget::Budget;
pub use engine::Allocator;
pub use inspect::Module;

pub(crate) use engine::Engine;
pub(crate) use evaluate::{Evaluated, WasmPolicy};
pub(crate) use load::Compiled;

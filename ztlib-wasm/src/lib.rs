#![doc = include_str!("../README.md")]

// In the order of reading: the engine of the process, what a policy may call, what it put aside
// when it was loaded, what a module would cost, bytes → compiled, a question → an answer, what can
// end it early.
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

pub use engine::{Allocator, Engine};
pub use inspect::Module;

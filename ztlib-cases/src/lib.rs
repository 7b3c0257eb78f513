#![doc = include_str!("../README.md")]

mod case;
mod error;
mod expectation;
mod file;
mod possible;
mod query;
mod route;
mod said;
mod table;
mod value;

pub use case::{Asked, Case, Checks, Request};
pub use error::{Error, shown};
pub use expectation::{At, Expectation, StepUp, Verdict, verdict_named};
pub use file::{MAX_FILE_BYTES, home_issuer, read};
pub use query::encoded;
pub use route::Template;
pub use said::{HeaderChange, Said};
pub use table::{Table, Text, closest, line_of};

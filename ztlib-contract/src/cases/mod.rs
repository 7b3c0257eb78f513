//! Test cases of policies (`tests/*.toml`): what is asked, by whom, and what is expected.
//!
//! The guard's gate at load, the desk and the SDK's native tests read the same files by this
//! module, so a case means the same to all of them. What the guard would refuse before any policy
//! is asked cannot be a case.

mod case;
mod checks;
mod error;
mod expectation;
mod file;
mod possible;
mod query;
mod route;
mod said;
mod suite;
mod table;
mod value;

pub use crate::escaped as shown;
pub use case::{Case, Facts, Request, Subject};
pub use error::Error;
pub use expectation::{At, CaseVerdict, Expectation, StepUp, verdict_named};
pub use file::{MAX_FILE_BYTES, home_issuer};
pub use query::encoded;
pub use route::Template;
pub use said::{HeaderChange, Said};
pub use suite::Cases;
pub use table::{Parsed, Table, Text, closest, line_of};

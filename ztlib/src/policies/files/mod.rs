//! The parts of a set: its manifest, the files that it names, and its signature.

mod blueprint;
#[cfg(feature = "manifest")]
mod case_files;
#[cfg(feature = "manifest")]
mod config_file;
mod engine;
mod folder;
#[cfg(feature = "manifest")]
mod json;
pub(super) mod manifest;
#[cfg(feature = "manifest")]
pub(super) mod manifest_text;
mod named_file;
#[cfg(feature = "manifest")]
mod pin;
mod signature;
pub(super) mod whole_file;

pub use named_file::{FileRole, NamedFile};
#[cfg(feature = "manifest")]
pub use pin::{Pinned, pin};
#[cfg(feature = "manifest")]
pub use signature::SigningKey;
pub use signature::{KeyId, TrustedKey};

pub(crate) use blueprint::{Blueprint, PolicyPlan, PolicySource};
pub(crate) use engine::engine;
pub(crate) use folder::{Folder, LookedFor, Stamp};
#[cfg(feature = "trial")]
pub(crate) use json::Format;
pub(crate) use manifest::{Manifest, Signed};
pub(crate) use signature::{Trust, Versions};
#[cfg(feature = "trial")]
pub(crate) use whole_file::Access;

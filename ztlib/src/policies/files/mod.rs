//! What a set is made of: its manifest, what that names, and who vouches for it.

mod blueprint;
mod case_files;
mod config_file;
mod engine;
mod folder;
mod json;
pub(super) mod manifest;
mod named_file;
mod pin;
mod signature;
pub(super) mod whole_file;

pub use named_file::{FileRole, NamedFile};
pub use pin::{Pinned, pin};
pub use signature::{KeyId, SigningKey, TrustedKey};

pub(crate) use blueprint::{Blueprint, PolicyPlan, PolicySource};
pub(crate) use engine::engine;
pub(crate) use folder::{Folder, LookedFor, Stamp};
pub(crate) use json::Format;
pub(crate) use manifest::{Manifest, Signed};
pub(crate) use signature::{Trust, Versions};
pub(crate) use whole_file::Access;

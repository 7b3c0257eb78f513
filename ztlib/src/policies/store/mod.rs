//! The set in force: where it comes from, and how another takes its place.

mod builder;
mod in_force;
mod loader;
mod manifest_loader;
mod reload;
mod status;
mod watch;

pub use builder::PolicySetBuilder;
pub(crate) use in_force::{Shared, milliseconds};
pub(crate) use loader::{FromManifest, Loaded, Loader, Origin, Source};
pub use manifest_loader::{ManifestOptions, Verified};
pub use reload::PolicyStore;
pub use status::Status;

//! The set in force: its source, and how it is replaced.

mod builder;
mod in_force;
mod loader;
#[cfg(feature = "manifest")]
mod manifest_loader;
mod reload;
mod status;
#[cfg(feature = "manifest")]
mod watch;

pub use builder::PolicySetBuilder;
#[cfg(feature = "manifest")]
pub use manifest_loader::{ManifestOptions, Verified};
pub use reload::PolicyStore;
pub use status::Status;

#[cfg(feature = "trial")]
pub(crate) use in_force::{Shared, milliseconds};
#[cfg(feature = "trial")]
pub(crate) use loader::{FromManifest, Loaded, Loader, Origin, Source};

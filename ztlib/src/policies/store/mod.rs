//! The set in force: its source, and how it is replaced.

mod builder;
#[cfg(feature = "manifest")]
mod from_manifest;
mod in_force;
mod loader;
#[cfg(feature = "manifest")]
mod manifest_loader;
mod origin;
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
pub(crate) use loader::{Loaded, Loader, Source};
#[cfg(feature = "trial")]
pub(crate) use origin::Origin;

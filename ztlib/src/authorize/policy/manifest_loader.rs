//! A manifest that is about to be loaded: what it may, and what supplies it.

use std::path::PathBuf;
use std::sync::Arc;

use super::LoadError;
use super::reload::{Origin, Policies};
use crate::authorize::signals::SignalSource;
use crate::clock::{Clock, SharedClock};

/// A manifest that is about to be loaded.
#[must_use]
pub struct ManifestLoader {
    path: PathBuf,
    unsigned_allowed: bool,
    signal_source: Option<Arc<dyn SignalSource>>,
    clock: SharedClock,
}

impl ManifestLoader {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, unsigned_allowed: false, signal_source: None, clock: SharedClock::default() }
    }

    /// Takes the set although nobody signed it: whoever can write to its folder decides what the service allows.
    pub fn allow_unsigned(mut self) -> Self {
        self.unsigned_allowed = true;
        self
    }

    /// Where the signals that the manifest declares come from.
    pub fn signals(mut self, source: impl SignalSource) -> Self {
        self.signal_source = Some(Arc::new(source));
        self
    }

    /// The clock that tells since when a revision is in force.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = SharedClock::new(clock);
        self
    }

    /// Reads, checks, compiles and configures. It takes milliseconds to seconds and blocks meanwhile.
    ///
    /// # Errors
    /// [`LoadError`], naming the file, the line and what to do; `unsigned-set` without [`allow_unsigned`](Self::allow_unsigned).
    pub fn load(self) -> Result<Policies, LoadError> {
        if !self.unsigned_allowed {
            let text = "the set is not signed: say `allow_unsigned()` if you trust everybody who can write to its folder";
            return Err(LoadError::new("unsigned-set", text).at(&self.path, None));
        }
        Policies::load(Origin::Manifest(self.path), self.signal_source, self.clock)
    }
}

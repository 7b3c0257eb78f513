//! Options for loading a manifest.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::from_manifest::{FromManifest, Service};
use crate::authorize::SignalSource;
use crate::clock::{Clock, SharedClock};
use crate::load_error::LoadError;
use crate::policies::files::NamedFile;
use crate::policies::files::manifest_text;
use crate::policies::files::{KeyId, Trust, Versions};

/// A manifest to be loaded. By default it must be signed by a key that is trusted here. Mistakes
/// are reported by [`load`](Self::load). For how sets are signed, see the
/// [module](crate::policies#signed-sets).
///
/// ```
/// use std::time::Duration;
/// use ztlib::policies::{PolicyStore, SigningKey};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = format!("ztlib-manifest-loader-{}", std::process::id());
/// # let folder = std::env::temp_dir().join(name);
/// # std::fs::create_dir_all(&folder)?;
/// # let manifest = folder.join("policies.toml");
/// # std::fs::write(&manifest, "format = 1\nversion = 3\nfor = 'shop-production'\n")?;
/// let (signer, _private_key_pem) = SigningKey::generate()?;
/// let load = || {
///     PolicyStore::from_manifest(&manifest)
///         .trust_key(signer.public_key_pem())
///         .service("shop-production")
///         .keep_version_in(folder.join("highest-version"))
///         .max_policy_age(Duration::from_secs(3600))
/// };
/// assert_eq!(load().load().unwrap_err().code(), "unsigned-set");
/// signer.sign_manifest(&manifest)?;
/// let verified = load().verify()?;
/// assert_eq!((verified.version, verified.signer), (Some(3), Some(signer.id())));
/// std::fs::write(&manifest, "format = 1\nversion = 4\nfor = 'shop-production'\n")?;
/// assert_eq!(load().verify().unwrap_err().code(), "bad-signature");
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct ManifestOptions {
    path: PathBuf,
    trust: Trust,
    versions: Versions,
    service: Service,
    pub(crate) signal_source: Option<Arc<dyn SignalSource>>,
    pub(crate) clock: SharedClock,
    pub(crate) max_age: Option<Duration>,
    /// The first mistake made while building.
    mistake: Option<LoadError>,
}

/// The facts about a manifest whose signature and digests were verified.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verified {
    /// The key that signed the set; `None` if it is unsigned and that is allowed.
    pub signer: Option<KeyId>,
    /// The `version` of the manifest.
    pub version: Option<u64>,
    /// The services that the manifest is for.
    pub services: Vec<Box<str>>,
    /// Documents that the signature leaves open: anyone who can write to their files decides their
    /// content.
    pub unsigned_documents: Vec<Box<str>>,
    /// Every file that the manifest names, in order, with its digest and whether the manifest binds
    /// it.
    pub files: Vec<NamedFile>,
}

impl ManifestOptions {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            trust: Trust::default(),
            versions: Versions::default(),
            service: Service::default(),
            signal_source: None,
            clock: SharedClock::default(),
            max_age: None,
            mistake: None,
        }
    }

    /// Trusts a key (or all keys of a PEM text, at most 16 in total) to sign the set: public keys
    /// in PEM, Ed25519 or ECDSA on P-256. A set signed by any one of them is accepted. To rotate
    /// keys, trust the new one as well, sign with the new one, then trust only that.
    pub fn trust_key(mut self, pem: impl AsRef<[u8]>) -> Self {
        if let Err(error) = self.trust.add_pem(pem.as_ref()) {
            self.mistake.get_or_insert(error);
        }
        self
    }

    /// Loosens: accepts an unsigned set, so anyone who can write to its folder decides what the
    /// service allows. If keys are trusted as well, a signature that is present must still be
    /// valid.
    pub fn allow_unsigned(mut self) -> Self {
        self.trust.allow_unsigned();
        self
    }

    /// Names this service. A signed set is accepted only if its manifest names this service (`for =
    /// "shop-production"`, or a list). A signature tells who made a set, and this tells what for:
    /// otherwise a valid set of another service, or of a test environment, would be accepted. An
    /// unsigned set may name services too, and is then refused elsewhere.
    ///
    /// A name has 1 to 128 visible ASCII characters and is compared byte for byte. Without a name,
    /// signed sets are refused (`service-unnamed`).
    pub fn service(mut self, name: &str) -> Self {
        if manifest_text::is_service(name) {
            self.service = Service::Named(name.into());
        } else {
            let text = "the name of a service has 1 to 128 visible ASCII characters";
            self.mistake.get_or_insert(LoadError::new("bad-service", text));
        }
        self
    }

    /// Loosens: accepts signed sets for any service, so anyone who can put a file there can choose
    /// any set that the trusted keys have ever signed. For tools that inspect sets of all services,
    /// and for keys that sign for one service only.
    pub fn allow_any_service(mut self) -> Self {
        self.service = Service::Any;
        self
    }

    /// The minimum `version` of a signed set. It protects from the first start on, even where
    /// nothing can be written.
    pub fn least_version(mut self, version: u64) -> Self {
        self.versions.least = version;
        self
    }

    /// Records the highest version that was in force in this file, so that an older signed set is
    /// refused even after a restart. The file is created if it is missing, and belongs to one
    /// process at a time. Keep it where those who deliver policies cannot write: anyone who can
    /// remove it can bring back an old set.
    ///
    /// Within a process, the highest version is known without a file.
    pub fn keep_version_in(mut self, file: impl Into<PathBuf>) -> Self {
        self.versions.file = Some(file.into());
        self
    }

    /// Refuses whatever the policies would judge, with the fault `policy-too-old`, once
    /// this much time has passed since the set in force was last confirmed. It is confirmed when it
    /// is loaded, when [`PolicyStore::reload`](super::reload::PolicyStore::reload) succeeds, and,
    /// while [`PolicyStore::watch`](super::reload::PolicyStore::watch) is active, twice a second as
    /// long as the files are those that were loaded. A candidate that fails to load confirms
    /// nothing, so a service does not run forever with policies that were meant to be replaced.
    ///
    /// From a second to 3650 days. [`load`](Self::load) refuses other values
    /// (`policy-age-out-of-range`).
    pub fn max_policy_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// The source of the signals that the manifest declares.
    pub fn signals(mut self, source: impl SignalSource) -> Self {
        self.signal_source = Some(Arc::new(source));
        self
    }

    /// The clock that dates revisions and their confirmation. Use the guard's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = SharedClock::new(clock);
        self
    }

    /// Checks the signature, the service, the version and all digests, without compiling anything
    /// or recording the version.
    ///
    /// # Errors
    /// The errors of [`load`](Self::load).
    pub fn verify(self) -> Result<Verified, LoadError> {
        let (manifest, _) = self.finish()?.read_manifest();
        let manifest = manifest?;
        Ok(Verified {
            signer: manifest.signed.map(|signed| signed.signer),
            version: manifest.version,
            services: manifest.services,
            unsigned_documents: manifest.unsigned_documents,
            files: manifest.files,
        })
    }

    pub(crate) fn finish(self) -> Result<FromManifest, LoadError> {
        match self.mistake {
            Some(mistake) => Err(mistake),
            None => Ok(FromManifest {
                path: self.path,
                trust: self.trust,
                versions: self.versions,
                service: self.service,
            }),
        }
    }
}

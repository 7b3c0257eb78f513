//! The blueprint: all parts of a set, and how a set is built from them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use http::HeaderName;
use serde_json::Value as Json;
use ztlib_contract::escaped as shown;

#[cfg(feature = "manifest")]
use super::config_file::ConfigFile;
use crate::authorize::Documents;
use crate::authorize::Reason;
use crate::authorize::SignalSource;
use crate::authorize::View;
use crate::authorize::{Entry, PolicySet, SET_NAME};
use crate::digest::{Digest, Digester};
use crate::load_error::LoadError;
use ztlib_contract::Budget;
#[cfg(feature = "manifest")]
use ztlib_contract::cases::Cases;
use ztlib_contract::engine::{Engine, Policy, Source};

/// The maximum number of policies, of documents, of signals and of secret headers in a set, and of
/// reasons of one policy.
pub(crate) const MAX_PARTS: usize = 64;

/// All parts of a set.
#[derive(Clone, Default)]
pub(crate) struct Blueprint {
    pub(crate) policies: Vec<PolicyPlan>,
    pub(crate) documents: BTreeMap<Box<str>, Arc<Json>>,
    pub(crate) signals: BTreeSet<Box<str>>,
    /// In lower case.
    pub(crate) secret_headers: BTreeSet<Box<str>>,
    /// The cases to pass before the set comes into force. They decide nothing about a request, and
    /// are not part of the revision.
    #[cfg(feature = "manifest")]
    pub(crate) cases: Vec<Cases>,
}

/// One policy of a blueprint.
#[derive(Clone)]
pub(crate) struct PolicyPlan {
    pub(crate) name: Box<str>,
    pub(crate) source: PolicySource,
    pub(crate) may_abstain: bool,
    pub(crate) reasons: BTreeSet<Box<str>>,
    pub(crate) budget: Budget,
    /// The configuration as JSON; empty if there is none.
    pub(crate) config: Arc<[u8]>,
    /// The file that the configuration was read from.
    #[cfg(feature = "manifest")]
    pub(crate) config_file: Option<ConfigFile>,
    /// The place in the manifest that names the policy.
    pub(crate) place: Option<Place>,
}

/// A line of a file.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) file: Box<Path>,
    pub(crate) line: usize,
}

#[derive(Clone)]
pub(crate) enum PolicySource {
    Component(Arc<[u8]>),
    /// Identified by a name that is unique in this process, since nobody can tell whether two
    /// native policies decide alike.
    Native {
        policy: Arc<dyn Policy>,
        name: String,
    },
}

impl PolicyPlan {
    pub(crate) fn new(name: &str, source: PolicySource) -> Self {
        Self {
            name: name.into(),
            source,
            may_abstain: false,
            reasons: BTreeSet::new(),
            budget: Budget::default(),
            config: Arc::new([]),
            #[cfg(feature = "manifest")]
            config_file: None,
            place: None,
        }
    }
}

impl Blueprint {
    /// Compiles, links, starts and configures everything. If any part fails, there is no set.
    pub(crate) fn build(
        &self,
        engine: &dyn Engine,
        signal_source: Option<Arc<dyn SignalSource>>,
    ) -> Result<PolicySet, LoadError> {
        self.check()?;
        let mut root = Digester::new("ztlib policy set 1");
        root.part(&(self.policies.len() as u64).to_be_bytes());
        let mut entries = Vec::with_capacity(self.policies.len());
        for plan in &self.policies {
            let entry = plan.build(engine, &mut root);
            entries.push(entry.map_err(|error| plan.locate(error))?);
        }
        let secret_headers = self.secret_headers().collect::<Result<HashSet<_>, _>>()?;
        if signal_source.is_none() && !self.signals.is_empty() {
            return Err(LoadError::new(
                "no-signal-source",
                "signals are declared, but the service has no source for them: add one with `signals(…)`, or declare no signals",
            ));
        }
        root.list(self.signals.iter().map(|name| name.as_bytes()));
        root.list(self.secret_headers.iter().map(|name| name.as_bytes()));
        let view = View {
            documents: Arc::new(Documents(self.documents.clone())),
            declared_signals: Arc::new(self.signals.clone()),
            secret_headers: Arc::new(secret_headers),
            signal_source,
        };
        Ok(PolicySet::new(root.finish(), entries, view))
    }

    fn check(&self) -> Result<(), LoadError> {
        if self.policies.is_empty() {
            return Err(LoadError::new(
                "no-policies",
                "the set has no policies and would refuse everything: add one",
            ));
        }
        let reasons = self.policies.iter().map(|plan| plan.reasons.len()).max().unwrap_or(0);
        let parts = [
            self.policies.len(),
            reasons,
            self.documents.len(),
            self.signals.len(),
            self.secret_headers.len(),
        ];
        if parts.into_iter().any(|parts| parts > MAX_PARTS) {
            return Err(LoadError::new(
                "too-many-parts",
                format!(
                    "a set has at most {MAX_PARTS} policies, documents, signals and secret headers, and a policy at most {MAX_PARTS} reasons"
                ),
            ));
        }
        let mut names = BTreeSet::new();
        for plan in &self.policies {
            plan.check(&mut names).map_err(|error| plan.locate(error))?;
        }
        self.documents.keys().try_for_each(|name| check_name("document", name))?;
        self.signals.iter().try_for_each(|name| check_name("signal", name))
    }

    fn secret_headers(&self) -> impl Iterator<Item = Result<HeaderName, LoadError>> {
        self.secret_headers.iter().map(|name| {
            name.parse().map_err(|_| {
                LoadError::new("bad-name", format!("`{}` is not a valid header name", shown(name)))
            })
        })
    }
}

impl PolicyPlan {
    /// Adds the policy's name and manifest line to an error.
    fn locate(&self, error: LoadError) -> LoadError {
        #[cfg(feature = "manifest")]
        let error = match &self.config_file {
            Some(file) => file.locate(error, &self.config),
            None => error,
        };
        let error = error.in_policy(&shown(&self.name));
        match &self.place {
            Some(place) => error.at(&place.file, Some(place.line)),
            None => error,
        }
    }

    fn check<'p>(&'p self, names: &mut BTreeSet<&'p str>) -> Result<(), LoadError> {
        check_name("policy", &self.name)?;
        if self.name.as_ref() == SET_NAME {
            let text = "`policy-set` is the name under which the set itself denies: choose another";
            return Err(LoadError::new("bad-name", text));
        }
        if !names.insert(&self.name) {
            return Err(LoadError::new(
                "duplicate-name",
                "an earlier policy has the same name: choose another",
            ));
        }
        for reason in &self.reasons {
            Reason::parse(reason).map_err(|error| {
                LoadError::new("bad-reason", format!("`{}` is not a valid reason: {error}", shown(reason)))
            })?;
        }
        Ok(())
    }

    fn build(&self, engine: &dyn Engine, root: &mut Digester) -> Result<Entry, LoadError> {
        self.budget.check()?;
        // All fields of the budget, by name.
        let budget = format!("{:?}", self.budget);
        let (policy, identity) = match &self.source {
            PolicySource::Component(bytes) => {
                let digest = Digest::of(bytes);
                let mut made_of = Digester::new("ztlib sandbox 1");
                made_of.part(&self.config);
                made_of.part(budget.as_bytes());
                made_of.part(digest.as_bytes());
                let source = Source { name: digest.into(), bytes, made_of: made_of.finish().into() };
                (engine.load(source, self.config.clone(), &self.budget)?, digest.to_string())
            }
            PolicySource::Native { policy, name } => (policy.clone(), name.clone()),
        };
        root.part(self.name.as_bytes());
        root.part(identity.as_bytes());
        root.part(&self.config);
        root.part(if self.may_abstain { b"may-abstain" } else { b"required" });
        root.part(budget.as_bytes());
        root.list(self.reasons.iter().map(|reason| reason.as_bytes()));
        Ok(Entry {
            name: self.name.as_ref().into(),
            may_abstain: self.may_abstain,
            reasons: Arc::new(self.reasons.clone()),
            budget: Arc::new(self.budget.clone()),
            policy,
        })
    }
}

/// Names appear in logs, metrics and error texts, so only plain ones are allowed.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), LoadError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    Err(LoadError::new(
        "bad-name",
        format!("`{}` cannot be the name of a {what}: use 1 to 64 of `a-z`, `0-9`, `-` and `_`", shown(name)),
    ))
}

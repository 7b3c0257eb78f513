//! A policy set built in code, without files, for embedders and tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::authorize::SignalSource;
use crate::authorize::{Native, NativePolicy};
use crate::clock::{Clock, SharedClock};
use crate::load_error::LoadError;
use crate::policies::files::{Blueprint, PolicyPlan, PolicySource};
use ztlib_contract::Budget;

/// The number of native policies in this process so far.
static NATIVES: AtomicU64 = AtomicU64::new(1);

/// Builds a policy set in code. What the program itself contains needs no signature.
///
/// [`component`](Self::component) and [`native`](Self::native) begin a policy, and the following
/// methods apply to it. Mistakes are reported by [`load`](Self::load).
///
/// ```
/// use ztlib::policies::PolicySetBuilder;
///
/// // A core module is not a component, and the error says what to do.
/// let error = PolicySetBuilder::new()
///     .component("rbac", *b"\0asm\x01\0\0\0")
///     .reasons(["no-role"])
///     .document("roles", [("alice", ["admin"])])
///     .load()
///     .unwrap_err();
/// assert_eq!(error.code(), "not-a-component");
/// assert_eq!(error.policy(), Some("rbac"));
/// ```
#[must_use]
#[derive(Default)]
pub struct PolicySetBuilder {
    pub(crate) blueprint: Blueprint,
    pub(crate) signal_source: Option<Arc<dyn SignalSource>>,
    pub(crate) clock: SharedClock,
    pub(crate) max_age: Option<Duration>,
    /// The first mistake made while building.
    mistake: Option<LoadError>,
}

impl PolicySetBuilder {
    /// A set without policies. It cannot be loaded until it has one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a policy from the bytes of a WebAssembly component.
    pub fn component(mut self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let source = PolicySource::Component(bytes.as_ref().into());
        self.blueprint.policies.push(PolicyPlan::new(name, source));
        self
    }

    /// Begins a policy that runs natively, without a sandbox.
    pub fn native<P: NativePolicy>(mut self, name: &str, policy: P) -> Self {
        let source = PolicySource::Native {
            policy: Arc::new(Native(policy)),
            name: format!("{} {}", std::any::type_name::<P>(), NATIVES.fetch_add(1, Ordering::Relaxed)),
        };
        self.blueprint.policies.push(PolicyPlan::new(name, source));
        self
    }

    /// Allows the policy to abstain: it need not allow.
    pub fn may_abstain(self) -> Self {
        self.of_policy("may_abstain", |plan| {
            plan.may_abstain = true;
            Ok(())
        })
    }

    /// The reasons that the policy may deny with. Any other reason is a fault.
    pub fn reasons<R: AsRef<str>>(self, reasons: impl IntoIterator<Item = R>) -> Self {
        self.of_policy("reasons", |plan| {
            plan.reasons.extend(reasons.into_iter().map(|reason| reason.as_ref().into()));
            Ok(())
        })
    }

    /// The policy's configuration, passed to its `configure` as JSON.
    pub fn config(self, config: impl Serialize) -> Self {
        self.of_policy("config", |plan| {
            plan.config = json(&config)?.to_string().into_bytes().into();
            Ok(())
        })
    }

    /// The policy's budget.
    pub fn budget(self, budget: Budget) -> Self {
        self.of_policy("budget", |plan| {
            plan.budget = budget;
            Ok(())
        })
    }

    /// Declares a document: data for look-ups by policies.
    /// [`PolicyStore::set_document`](super::reload::PolicyStore::set_document) changes it.
    pub fn document(mut self, name: &str, document: impl Serialize) -> Self {
        match json(&document) {
            Ok(document) => drop(self.blueprint.documents.insert(name.into(), Arc::new(document))),
            Err(error) => drop(self.mistake.get_or_insert(error)),
        }
        self
    }

    /// Declares a signal. Policies can read only declared signals.
    pub fn signal(mut self, name: &str) -> Self {
        self.blueprint.signals.insert(name.into());
        self
    }

    /// The source of signals.
    pub fn signals(mut self, source: impl SignalSource) -> Self {
        self.signal_source = Some(Arc::new(source));
        self
    }

    /// A request header that no policy may read, in addition to those that are always secret.
    pub fn secret_header(mut self, name: &str) -> Self {
        self.blueprint.secret_headers.insert(name.to_ascii_lowercase().into());
        self
    }

    /// The clock that dates revisions.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = SharedClock::new(clock);
        self
    }

    /// Refuses whatever the policies would judge, with the fault `policy-too-old`, once
    /// this much time has passed since the set was last loaded, or confirmed by
    /// [`PolicyStore::reload`](super::reload::PolicyStore::reload) or
    /// [`PolicyStore::replace`](super::reload::PolicyStore::replace). `PolicyStore::replace`
    /// ignores the age of the new set: the age given when the handle was created applies.
    ///
    /// From a second to 3650 days. [`load`](Self::load) refuses other values
    /// (`policy-age-out-of-range`).
    pub fn max_policy_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    pub(crate) fn finish(self) -> Result<Blueprint, LoadError> {
        self.mistake.map_or(Ok(self.blueprint), Err)
    }

    fn of_policy(
        mut self,
        verb: &str,
        change: impl FnOnce(&mut PolicyPlan) -> Result<(), LoadError>,
    ) -> Self {
        let changed = match self.blueprint.policies.last_mut() {
            Some(plan) => change(plan).map_err(|error| error.in_policy(&plan.name)),
            None => Err(LoadError::new(
                "no-policies",
                format!("`{verb}` applies to a policy: begin one with `component` or `native` first"),
            )),
        };
        if let Err(error) = changed {
            self.mistake.get_or_insert(error);
        }
        self
    }
}

/// Converts any value to JSON. A string that looks like JSON is not parsed.
pub(crate) fn json(value: &impl Serialize) -> Result<serde_json::Value, LoadError> {
    serde_json::to_value(value).map_err(|error| {
        LoadError::new(
            "not-json",
            format!("the value cannot be written as JSON: {}", ztlib_contract::escaped(&error.to_string())),
        )
    })
}

//! Decides whether a caller may do something: a question in, a decision out.
//!
//! A [`Guard`](crate::enforce::Guard) asks for every request; a handler asks about an object that
//! it has loaded. There is no socket, runtime or clock in here.
//!
//! 1. A set of [policies](crate::policies) is asked in order. The first deny wins. The set allows
//!    where every required policy allows, at least one policy allows and none denies. Everything
//!    else is a deny.
//! 2. A policy learns a fact only by a [`Read`]. Each read and its value stand in the [`Trace`],
//!    which the audit event shows.
//! 3. A read that fails is a [`Fault`], and so is a trap or a spent budget. A fault refuses the
//!    request and is never mistaken for a denial.
//! 4. A decision is remembered under the reads that it made, and served again only where every
//!    read would give the same. Nothing has to be configured or flushed. Faults are not remembered.
//!
//! A denial has a [`Reason`]: a code of 1 to 64 of `a-z`, `0-9` and `-`, which the policy set
//! declares. The codes of faults are in the page of [`policies`](crate::policies#codes-of-faults).
//!
//! **Deployment.** Memory for decisions is bounded by [`CacheLimits`]. The decisions of a set with
//! a [`NativePolicy`] are not remembered, since such a policy can learn facts in other ways.
//!
//! ```
//! use std::time::SystemTime;
//! use ztlib::authenticate::Principal;
//! use ztlib::authorize::{Decision, Labels};
//! use ztlib::policies::PolicySetBuilder;
//!
//! let policies = PolicySetBuilder::new()
//!     .component("scopes", ztlib_policies::TOKEN_SCOPE)
//!     .reasons(ztlib_policies::TOKEN_SCOPE_REASONS)
//!     .config(serde_json::json!({
//!         "rules": [{ "actions": ["catalogue.read"], "without-scope": true }],
//!     }))
//!     .load()?;
//! let ask = |action| {
//!     policies.simulate(Principal::anonymous(), action, Labels::new(), SystemTime::UNIX_EPOCH)
//! };
//! assert!(matches!(ask("catalogue.read").result(), Ok(Decision::Allow(_))));
//!
//! let evaluation = ask("catalogue.write");
//! let Ok(Decision::Deny(denial)) = evaluation.result() else { panic!() };
//! assert_eq!((denial.policy(), denial.reason().as_str()), ("scopes", "no-rule"));
//! # Ok::<(), ztlib::policies::LoadError>(())
//! ```

mod cache;
mod native;
mod observer;
#[cfg(all(test, feature = "wasm"))]
mod sandbox_tests;
mod set;

pub use cache::{CacheLimits, CacheStatus};
pub use native::NativePolicy;
pub use set::{Evaluation, Revision};
pub use ztlib_contract::facts::{Caller, Claims, Labels, PeerFacts};
pub use ztlib_contract::{
    Answer, Decision, Denial, Fault, FaultOrigin, Obligations, Outcome, OutcomeFault, OutcomeLimits, Read,
    ReadFault, ReadLimits, Reader, Reason, SignalError, SignalSource, StepUp, Trace, Value,
};

#[cfg(feature = "bench")]
pub(crate) use cache::Entry as Remembered;
pub(crate) use cache::{Decided, DecisionCache};
pub(crate) use native::Native;
pub(crate) use observer::{Observer, Observers, Seen};
pub(crate) use set::{Entry, PolicySet, RevisionName, SET_NAME};
pub(crate) use ztlib_contract::facts::{Params, RequestFacts, Target, readable};
pub(crate) use ztlib_contract::{
    Asked, Documents, Has, HeaderChange, Obligation, Question, Settled, Signalled, View, next_change,
    same_spelling,
};

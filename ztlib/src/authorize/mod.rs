//! Decides whether a caller may do something: takes a question and returns a decision.
//!
//! A [`Guard`](crate::enforce::Guard) asks for every request; a handler asks about an object that
//! it has loaded. This module uses no socket, runtime or clock.
//!
//! 1. The [policies](crate::policies) of a set are asked in order. The first deny wins. The set
//!    allows if every required policy allows, at least one policy allows and none denies.
//!    Everything else is a deny.
//! 2. A policy learns facts only through a [`Read`]. The [`Trace`] records each read with its
//!    value, and the audit event shows them.
//! 3. A failed read is a [`Fault`], and so is a trap or an exhausted budget. A fault refuses the
//!    request and is never mistaken for a denial.
//! 4. A decision is cached under its reads, and served again only if every read would return the
//!    same. There is nothing to configure or flush. Faults are not cached.
//!
//! A denial has a [`Reason`]: a code of 1 to 64 characters from `a-z`, `0-9` and `-`, which the
//! policy set declares. For the codes of faults see [`policies`](crate::policies#codes-of-faults).
//!
//! **Deployment.** [`CacheLimits`] bounds the memory of the decision cache. The decisions of a set
//! with a [`NativePolicy`] are not cached, since such a policy can learn facts in other ways.
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

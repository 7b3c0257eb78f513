//! What `export_policy!` expands to: the side of the SDK that exists only inside the sandbox.
#![allow(unsafe_code, reason = "a static that is written once, by the only thread there is")]

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::UnsafeCell;

use crate::constants::{Constant, Packer, Unpacker};
use crate::{Answer, Policy, Question};

pub use crate::arena::{Arena, Room};
pub use bindings::exports::ztlib::policy::guard;
use bindings::ztlib::policy::constants;

/// The contract's types and functions, generated from `wit/policy.wit`.
#[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "policy",
        pub_export_macro: true,
        export_macro_name: "__export_guard",
        default_bindings_module: "ztlib_policy::guest::bindings",
        disable_run_ctors_once_workaround: true,
    });
}

/// Where a policy that is not sealed lies between `configure` and `decide` of the one evaluation
/// that an instance serves.
pub struct Slot<P>(UnsafeCell<Option<P>>);

// SAFETY: a guest has one thread.
unsafe impl<P> Sync for Slot<P> {}

impl<P: Policy> Slot<P> {
    /// An empty slot.
    #[allow(clippy::new_without_default, reason = "it is made once, as a static")]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(None))
    }

    /// The contract's `configure`.
    ///
    /// # Errors
    /// What the policy says is wrong with its configuration.
    pub fn configure(&self, config: &[u8]) -> Result<(), String> {
        let policy = P::configure(config)?;
        // SAFETY: one thread; no reference into the slot exists outside of `decide`, which does not
        // call this.
        unsafe { *self.0.get() = Some(policy) };
        Ok(())
    }

    /// The contract's `decide`. It traps where the host did not configure the policy first.
    pub fn decide(&self) -> guard::Answer {
        // SAFETY: as above.
        let Some(policy) = (unsafe { &*self.0.get() }) else { trap() };
        answer(policy)
    }
}

/// The contract's `configure` of a sealed policy: all of it is put aside.
///
/// # Errors
/// What the policy says is wrong with its configuration.
pub fn seal<P: Policy + for<'a> Constant<'a>>(config: &[u8]) -> Result<(), String> {
    let policy = P::configure(config)?;
    if !holds_nothing::<P>() {
        Packer::pack(&policy).iter().for_each(|(key, value)| constants::put(key, value));
    }
    constants::seal();
    Ok(())
}

/// A policy without contents needs no constant: what would put and get one is not even in the
/// component.
const fn holds_nothing<P>() -> bool {
    size_of::<P>() == 0
}

/// The contract's `decide` of a sealed policy. It traps where the constants are not this policy's.
pub fn decide_sealed<P: Policy + for<'a> Constant<'a>>() -> guard::Answer {
    let bytes = if holds_nothing::<P>() { Some(Vec::new()) } else { constants::get("") };
    let Some(policy) = bytes.and_then(|bytes| Unpacker::whole::<P>(&bytes)) else { trap() };
    answer(&policy)
}

fn answer(policy: &impl Policy) -> guard::Answer {
    match policy.decide(&Question::new()) {
        Answer::Allow => guard::Answer::Allow,
        Answer::Deny => guard::Answer::Deny,
        Answer::Abstain => guard::Answer::Abstain,
    }
}

/// End the evaluation. The host refuses the request as a fault.
pub fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

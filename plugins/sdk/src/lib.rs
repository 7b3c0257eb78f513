#![doc = include_str!("../README.md")]
#![cfg_attr(target_arch = "wasm32", no_std)]

#[doc(hidden)]
pub extern crate alloc;

#[cfg(target_arch = "wasm32")]
mod arena;
pub mod config;
pub mod constants;
mod forms;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
mod issuers;
mod json;
mod macros;
mod names;
pub mod pointer;
mod question;
pub mod rules;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

use alloc::string::String;

pub use question::Question;

/// What one policy says. These three for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The request may pass, as far as this policy is concerned.
    Allow,
    /// The request is refused, whatever other policies say.
    Deny,
    /// This policy has nothing to say. For a policy that the manifest does not allow to abstain,
    /// this refuses.
    Abstain,
}

/// A policy: made from its configuration, asked one question.
///
/// An instance is made afresh for every evaluation, so nothing that `decide` learns survives it.
/// Where the policy is exported as *sealed* ([`export_policy!`]), it is configured once, when it is
/// loaded; otherwise in each instance before `decide`.
pub trait Policy: Sized {
    /// Make the policy from the configuration that the manifest names, as JSON (the host turns YAML
    /// and TOML into JSON); empty where it names none.
    ///
    /// # Errors
    /// A text that says what is wrong with the configuration and where: the policy set is not
    /// loaded.
    fn configure(config: &[u8]) -> Result<Self, String>;

    /// Decide on the question at hand.
    fn decide(&self, question: &Question<'_>) -> Answer;
}

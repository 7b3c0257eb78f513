//! A sealed policy, as the host has it.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use super::facts::Facts;
use super::host::Host;
use super::run;
use super::verdict::{Fault, Verdict};
use crate::Policy;
use crate::constants::{Constant, Packer, Unpacker, broken};

pub(crate) type Constants = BTreeMap<String, Vec<u8>>;

/// The host's default budgets.
const MAX_CONSTANTS: usize = 16_384;
const MAX_BYTES: usize = 2 << 20;
const MAX_KEY_BYTES: usize = 1 << 10;

/// A policy that was configured once and put aside: each question is answered by a policy that is
/// unpacked afresh, as it is in the sandbox where the policy is exported as `sealed`.
///
/// ```
/// use ztlib_policy::testing::{Facts, Sealed};
/// use ztlib_policy::{Answer, Policy, Question, constant_struct};
///
/// constant_struct! {
///     struct Owner { label: String }
/// }
/// impl Policy for Owner {
///     fn configure(_: &[u8]) -> Result<Self, String> {
///         Ok(Owner { label: "owner".to_owned() })
///     }
///     fn decide(&self, question: &Question) -> Answer {
///         if question.label(&self.label).is_some() { Answer::Allow } else { Answer::Deny }
///     }
/// }
///
/// let policy = Sealed::<Owner>::configure(b"")?;
/// assert_eq!(
///     policy.decide(&Facts::action("read").label("owner", "alice")).unwrap().answer,
///     Answer::Allow
/// );
/// assert_eq!(policy.decide(&Facts::action("read")).unwrap().answer, Answer::Deny);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sealed<P> {
    constants: Constants,
    policy: PhantomData<fn() -> P>,
}

impl<P: Policy + for<'a> Constant<'a>> Sealed<P> {
    /// Configure the policy and put it aside.
    ///
    /// # Errors
    /// What the policy says of its configuration, or what the host would say of the constants.
    pub fn configure(config: &[u8]) -> Result<Self, String> {
        let mut constants = Constants::new();
        for (key, value) in Packer::pack(&P::configure(config)?) {
            if key.len() > MAX_KEY_BYTES {
                return Err(format!("the key of a constant is {} bytes: {key:.64}…", key.len()));
            }
            if let Some((key, _)) = constants.insert(key.clone(), value).map(|value| (key, value)) {
                return Err(format!("the constant `{key}` was put twice"));
            }
        }
        let sealed = Self { constants, policy: PhantomData };
        if sealed.len() > MAX_CONSTANTS || sealed.bytes() > MAX_BYTES {
            return Err(format!("{} constants of {} bytes", sealed.len(), sealed.bytes()));
        }
        Ok(sealed)
    }

    /// What the policy says where these are the facts.
    ///
    /// # Errors
    /// As [`decide`](super::decide).
    pub fn decide(&self, facts: &Facts) -> Result<Verdict, Fault> {
        let host = Host::with_constants(facts, &self.constants);
        let answer = run(&host, |question| {
            let bytes = question.constant("").unwrap_or_else(|| broken());
            Unpacker::whole::<P>(&bytes).unwrap_or_else(|| broken()).decide(question)
        });
        host.verdict(answer?)
    }

    /// How many constants there are: what the budget `constants` counts.
    #[allow(clippy::len_without_is_empty, reason = "there is always one: the policy itself")]
    pub fn len(&self) -> usize {
        self.constants.len()
    }

    /// The bytes of all constants and their keys: what the budget `constant-bytes` counts.
    pub fn bytes(&self) -> usize {
        self.constants.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

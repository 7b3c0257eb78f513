//! What a policy put aside when it was loaded: bytes under keys, the same for every evaluation of a
//! revision.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use ztlib_contract::escaped as shown;

use ztlib_contract::Budget;

/// The constants of a sealed policy. Nothing in here changes any more, so that all evaluations look
/// things up at once, without locks.
#[derive(Debug, Default)]
pub(crate) struct Constants(HashMap<Box<str>, Arc<[u8]>>);

impl Constants {
    /// Keys are compared in full.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<[u8]>> {
        self.0.get(key).cloned()
    }
}

/// Constants while `configure` puts them aside, counted against the budget.
#[derive(Debug)]
pub(crate) struct Gathering {
    constants: Constants,
    bytes: usize,
    sealed: bool,
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    constants: usize,
    bytes: usize,
    key_bytes: usize,
}

/// Why a constant cannot be put aside, or the policy not be loaded with those that were.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConstantError {
    #[error("`{0}` was called elsewhere than in the `configure` that runs when the policy is loaded")]
    NotLoading(&'static str),
    #[error("`put` was called after `seal`")]
    Sealed,
    #[error("the policy put constants aside and did not `seal` them")]
    NotSealed,
    #[error("the constant `{0}` was put twice")]
    Twice(String),
    #[error("the policy puts more constants aside than the budget's `{budget}` allows, which is {limit}")]
    Budget { budget: &'static str, limit: usize },
}

impl ConstantError {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NotLoading(_) => "constant-outside-configure",
            Self::Sealed => "constants-sealed",
            Self::NotSealed => "constants-not-sealed",
            Self::Twice(_) => "constant-put-twice",
            Self::Budget { .. } => "constant-budget",
        }
    }

    /// What the policy's author does about it.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::NotLoading(_) => "put all constants aside in `configure`",
            Self::Sealed => "call `seal` once everything is put aside",
            Self::NotSealed => {
                "call `seal` at the end of `configure`, and let `decide` take everything from the constants"
            }
            Self::Twice(_) => "give each constant a key of its own",
            Self::Budget { .. } => {
                "raise that budget in the manifest, or put less aside: long values once, under a key of their own"
            }
        }
    }
}

impl Gathering {
    pub(crate) fn new(budget: &Budget) -> Self {
        let limits = Limits {
            constants: budget.constants,
            bytes: budget.constant_bytes,
            key_bytes: budget.constant_key_bytes,
        };
        Self { constants: Constants::default(), bytes: 0, sealed: false, limits }
    }

    /// Whether there is room for one more, asked before its value is copied.
    pub(crate) fn admit(&self, key: &str, value_bytes: usize) -> Result<(), ConstantError> {
        if self.sealed {
            return Err(ConstantError::Sealed);
        }
        let limits = self.limits;
        let parts = [
            ("constants", self.constants.0.len().saturating_add(1), limits.constants),
            ("constant-bytes", self.bytes_with(key, value_bytes), limits.bytes),
            ("constant-key-bytes", key.len(), limits.key_bytes),
        ];
        match parts.into_iter().find(|(_, wanted, limit)| wanted > limit) {
            None => Ok(()),
            Some((budget, _, limit)) => Err(ConstantError::Budget { budget, limit }),
        }
    }

    pub(crate) fn put(&mut self, key: Box<str>, value: Arc<[u8]>) -> Result<(), ConstantError> {
        self.admit(&key, value.len())?;
        let bytes = self.bytes_with(&key, value.len());
        match self.constants.0.entry(key) {
            // A second value would silently stand for the first: a rule would be gone.
            Entry::Occupied(taken) => return Err(ConstantError::Twice(shown(taken.key()))),
            Entry::Vacant(place) => place.insert(value),
        };
        self.bytes = bytes;
        Ok(())
    }

    pub(crate) fn seal(&mut self) {
        self.sealed = true;
    }

    /// The constants, if the policy sealed them; none if it has none and is configured in every
    /// instance.
    pub(crate) fn finish(self) -> Result<Option<Arc<Constants>>, ConstantError> {
        match (self.sealed, self.constants.0.is_empty()) {
            (true, _) => Ok(Some(Arc::new(self.constants))),
            (false, true) => Ok(None),
            (false, false) => Err(ConstantError::NotSealed),
        }
    }

    fn bytes_with(&self, key: &str, value_bytes: usize) -> usize {
        self.bytes.saturating_add(key.len()).saturating_add(value_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathering() -> Gathering {
        let mut budget = Budget::default();
        (budget.constants, budget.constant_bytes, budget.constant_key_bytes) = (2, 10, 4);
        Gathering::new(&budget)
    }

    fn put(gathering: &mut Gathering, key: &str, value: &[u8]) -> Result<(), ConstantError> {
        gathering.put(key.into(), value.into())
    }

    #[test]
    fn a_constant_is_found_under_its_whole_key_and_no_other() {
        let mut gathering = gathering();
        put(&mut gathering, "ab", b"1").unwrap();
        put(&mut gathering, "", b"").unwrap();
        gathering.seal();
        let constants = gathering.finish().unwrap().unwrap();
        assert_eq!(constants.get("ab").as_deref(), Some(b"1".as_slice()));
        assert_eq!(constants.get("").as_deref(), Some(b"".as_slice()), "empty is not absent");
        for key in ["a", "abc", "AB", "ab\0", "b"] {
            assert_eq!(constants.get(key), None, "{key:?}");
        }
    }

    #[test]
    fn each_budget_for_constants_is_named_where_it_is_spent() {
        let budget = |of: fn(&mut Gathering) -> Result<(), ConstantError>| match of(&mut gathering()) {
            Err(ConstantError::Budget { budget, .. }) => budget,
            other => panic!("{other:?}"),
        };
        assert_eq!(budget(|to| (0..3).try_for_each(|n| put(to, &n.to_string(), b""))), "constants");
        assert_eq!(budget(|to| put(to, "abcd", b"1234567")), "constant-bytes");
        assert_eq!(budget(|to| put(to, "abcde", b"")), "constant-key-bytes");
        assert_eq!(put(&mut gathering(), "abcd", b"123456"), Ok(()), "up to the last byte");
    }

    #[test]
    fn a_key_is_put_once_and_nothing_after_the_seal() {
        let mut gathering = gathering();
        put(&mut gathering, "a", b"1").unwrap();
        assert_eq!(put(&mut gathering, "a", b"1"), Err(ConstantError::Twice("a".to_owned())));
        gathering.seal();
        assert_eq!(put(&mut gathering, "b", b"1"), Err(ConstantError::Sealed));
    }

    #[test]
    fn constants_without_a_seal_are_an_error_and_none_at_all_are_not() {
        let mut some = gathering();
        put(&mut some, "a", b"1").unwrap();
        assert_eq!(some.finish().unwrap_err(), ConstantError::NotSealed);
        assert!(gathering().finish().unwrap().is_none());
        let mut sealed = gathering();
        sealed.seal();
        assert!(sealed.finish().unwrap().is_some(), "a policy may need nothing at all");
    }
}

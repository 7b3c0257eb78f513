//! Links: under a key, the rules that have it.

use alloc::vec::Vec;

use crate::constants::{Packer, Unpacker};

/// One rule under one key, as it is packed: rule, methods (none is any), value.
pub(super) struct Link<'l> {
    pub(super) rule: u64,
    methods: Unpacker<'l>,
    method_count: u64,
    pub(super) value: u64,
    /// The value itself, where it is short.
    pub(super) inline: Option<&'l [u8]>,
}

/// The longest value that stands in every link; longer ones stand once, and are looked up when they
/// are needed.
pub(super) const INLINE_BYTES: usize = 64;

impl<'l> Link<'l> {
    /// The bytes of one; `inline` is the packed value where it is short.
    pub(super) fn packed(rule: u32, methods: &[&str], value: u64, inline: Option<&[u8]>) -> Vec<u8> {
        let mut link = Packer::default();
        link.number(rule.into());
        link.number(methods.len() as u64);
        methods.iter().for_each(|method| link.bytes(method.as_bytes()));
        link.number(value);
        // The length and one, so that none and an empty one differ.
        link.number(inline.map_or(0, |bytes| bytes.len() as u64 + 1));
        link.finish(inline.unwrap_or_default())
    }

    pub(super) fn unpack(from: &mut Unpacker<'l>) -> Option<Self> {
        let rule = from.number()?;
        let method_count = from.number()?;
        let methods = from.clone();
        for _ in 0..method_count {
            from.bytes()?;
        }
        let value = from.number()?;
        let inline = match from.number()?.checked_sub(1) {
            None => None,
            Some(length) => Some(from.take(usize::try_from(length).ok()?)?),
        };
        Some(Self { rule, methods, method_count, value, inline })
    }

    /// Whether it is for any method.
    pub(super) fn is_for_any(&self) -> bool {
        self.method_count == 0
    }

    /// Whether it names this method.
    pub(super) fn names(&self, method: &[u8]) -> bool {
        let mut methods = self.methods.clone();
        (0..self.method_count).any(|_| methods.bytes() == Some(method))
    }
}

/// Where a part of a list begins.
pub(super) fn offset(list: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - list.as_ptr() as usize
}

//! A numbered set of names: what both the index of rules and the check for members that occur twice stand on.

use alloc::string::String;
use alloc::vec::Vec;

/// Names, each with the number that it got when it was added first: 0, 1, 2…
///
/// ```
/// use ztlib_policy::config::Names;
/// let mut roles = Names::new();
/// assert_eq!(roles.add("reader"), (0, true));
/// assert_eq!(roles.add("admin"), (1, true));
/// assert_eq!(roles.add("reader"), (0, false));
/// assert_eq!(roles.find("admin"), Some(1));
/// assert_eq!(roles.find("Admin"), None);
/// assert_eq!(roles.name(1), Some("admin"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Every name, one after the other: entries point into it.
    text: String,
    entries: Vec<Entry>,
    /// Open addressing: 0 is free, otherwise the entry's number and one. A power of two long.
    table: Vec<u32>,
}

#[derive(Debug, Clone)]
struct Entry {
    hash: u32,
    start: u32,
    end: u32,
}

impl Names {
    /// No names.
    pub const fn new() -> Self {
        Self { text: String::new(), entries: Vec::new(), table: Vec::new() }
    }

    /// Add a name: its number, and whether it is new.
    pub fn add(&mut self, name: &str) -> (usize, bool) {
        self.add_hashed(hash(name), name)
    }

    /// The number of a name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.find_hashed(hash(name), name)
    }

    /// The name with a number.
    pub fn name(&self, number: usize) -> Option<&str> {
        let entry = self.entries.get(number)?;
        self.text.get(entry.start as usize..entry.end as usize)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// [`add`](Self::add) with any hash that is a function of the name and of what else tells two names apart: the
    /// same text under another hash is another name.
    pub(crate) fn add_hashed(&mut self, hash: u32, name: &str) -> (usize, bool) {
        if let Some(number) = self.find_hashed(hash, name) {
            return (number, false);
        }
        let number = self.entries.len();
        let start = self.text.len() as u32;
        self.text.push_str(name);
        self.entries.push(Entry { hash, start, end: self.text.len() as u32 });
        // At most half full, so that a search ends soon.
        if self.entries.len() * 2 > self.table.len() {
            self.table.clear();
            self.table.resize((self.entries.len() * 4).next_power_of_two().max(16), 0);
            (0..=number).for_each(|number| self.put(number));
        } else {
            self.put(number);
        }
        (number, true)
    }

    pub(crate) fn find_hashed(&self, hash: u32, name: &str) -> Option<usize> {
        let mask = self.table.len().checked_sub(1)?;
        let mut slot = place(hash) as usize & mask;
        // The table is never full: the search ends at a free place.
        loop {
            let number = self.table.get(slot)?.checked_sub(1)? as usize;
            if self.entries.get(number)?.hash == hash && self.name(number)? == name {
                return Some(number);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn put(&mut self, number: usize) {
        let (Some(entry), Some(mask)) = (self.entries.get(number), self.table.len().checked_sub(1)) else {
            return;
        };
        let mut slot = place(entry.hash) as usize & mask;
        while let Some(cell) = self.table.get_mut(slot) {
            if *cell == 0 {
                *cell = number as u32 + 1;
                return;
            }
            slot = (slot + 1) & mask;
        }
    }
}

/// FNV-1a, 32 bits: names come from the operator and the router, so nobody can choose them to collide.
pub(crate) const HASH_START: u32 = 0x811c_9dc5;

pub(crate) fn step(state: u32, byte: u8) -> u32 {
    (state ^ u32::from(byte)).wrapping_mul(0x0100_0193)
}

pub(crate) fn hash(name: &str) -> u32 {
    name.bytes().fold(HASH_START, step)
}

/// Where the search for a name begins. The high bits are folded in: FNV's low ones alone are weak.
fn place(hash: u32) -> u32 {
    let mixed = hash.wrapping_mul(0x85eb_ca6b);
    mixed ^ (mixed >> 15)
}

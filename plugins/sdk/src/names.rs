//! A numbered set of names: what the index of rules, tables and the check for members that occur
//! twice stand on.

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
    bytes: Vec<u8>,
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
        Self { bytes: Vec::new(), entries: Vec::new(), table: Vec::new() }
    }

    /// Add a name: its number, and whether it is new.
    pub fn add(&mut self, name: &str) -> (usize, bool) {
        self.add_bytes(name.as_bytes())
    }

    /// The number of a name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.find_hashed(hash(name.as_bytes()), name.as_bytes())
    }

    /// The name with a number.
    pub fn name(&self, number: usize) -> Option<&str> {
        core::str::from_utf8(self.bytes_of(self.entries.get(number)?)?).ok()
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// [`add`](Self::add) for a name that is not a text.
    pub(crate) fn add_bytes(&mut self, name: &[u8]) -> (usize, bool) {
        let hash = hash(name);
        if let Some(number) = self.find_hashed(hash, name) {
            return (number, false);
        }
        let number = self.entries.len();
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(name);
        self.entries.push(Entry { hash, start, end: self.bytes.len() as u32 });
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

    fn bytes_of(&self, entry: &Entry) -> Option<&[u8]> {
        self.bytes.get(entry.start as usize..entry.end as usize)
    }

    fn find_hashed(&self, hash: u32, name: &[u8]) -> Option<usize> {
        let mask = self.table.len().checked_sub(1)?;
        let mut slot = place(hash) as usize & mask;
        // The table is never full: the search ends at a free place.
        loop {
            let number = self.table.get(slot)?.checked_sub(1)? as usize;
            let entry = self.entries.get(number)?;
            if entry.hash == hash && self.bytes_of(entry)? == name {
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

/// FNV-1a, 32 bits: names come from the operator and the router, so nobody can choose them to
/// collide.
fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |state, byte| (state ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Where the search for a name begins. The high bits are folded in: FNV's low ones alone are weak.
fn place(hash: u32) -> u32 {
    let mixed = hash.wrapping_mul(0x85eb_ca6b);
    mixed ^ (mixed >> 15)
}

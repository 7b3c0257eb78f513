//! The memory of a guest: one static arena, handed out from its beginning to its end.
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;

/// A page of WebAssembly memory, in bytes.
const PAGE: usize = 64 * 1024;

/// Grown memory comes in steps of this many pages: each step costs system calls on the host.
const GROW_PAGES: usize = 4;

/// The room that an arena hands out: all zero, so that it is zero pages and not a part of the
/// module.
#[repr(C, align(16))]
pub struct Room<const BYTES: usize>(UnsafeCell<[u8; BYTES]>);

// SAFETY: a guest has one thread (the contract offers none, and the host does not enable them).
unsafe impl<const BYTES: usize> Sync for Room<BYTES> {}

impl<const BYTES: usize> Room<BYTES> {
    /// `BYTES` bytes.
    #[allow(clippy::new_without_default, reason = "it is made once, as a static")]
    pub const fn new() -> Self {
        Self(UnsafeCell::new([0; BYTES]))
    }
}

/// An allocator that hands out one static array and takes nothing back.
///
/// An instance lives for one evaluation, which ends long before its memory does: with nothing to
/// give back the compiler leaves out all code that would, a third of a policy. An instance that
/// never grows its memory is made in half the time. Where the arena is used up the memory grows all
/// the same, up to the host's budget.
///
/// `componentize` makes a second allocator, for what the host returns, that takes from the same
/// room: it knows that an arena is two addresses, and looks for where it lies under the name
/// `ztlib-arena`.
#[repr(transparent)]
pub struct Arena(UnsafeCell<State>);

/// Where free room begins and where it ends.
#[repr(C)]
struct State {
    next: *mut u8,
    end: *mut u8,
}

// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    /// An arena with nothing of its room in use. It is the only one of this room.
    pub const fn of<const BYTES: usize>(room: &'static Room<BYTES>) -> Self {
        let next = room.0.get().cast::<u8>();
        // SAFETY: the end of the room.
        let end = unsafe { next.add(BYTES) };
        Self(UnsafeCell::new(State { next, end }))
    }

    #[allow(clippy::mut_from_ref, reason = "one thread, and no caller keeps it across another call")]
    fn state(&self) -> &mut State {
        // SAFETY: one thread, and the reference does not outlive the allocator's call that asked
        // for it.
        unsafe { &mut *self.0.get() }
    }
}

impl State {
    /// Room for `layout`: its address, or 0 where the memory cannot grow.
    fn take(&mut self, layout: Layout) -> usize {
        match self.fit(layout) {
            0 if self.grow(layout) => self.fit(layout),
            start => start,
        }
    }

    fn fit(&mut self, layout: Layout) -> usize {
        let mask = layout.align().wrapping_sub(1);
        let Some(start) = self.next.addr().checked_add(mask).map(|start| start & !mask) else { return 0 };
        match start.checked_add(layout.size()) {
            Some(end) if end <= self.end.addr() => {
                self.next = end as *mut u8;
                start
            }
            _ => 0,
        }
    }

    /// Add pages for `layout`. What was left of the room before is given up, unless the new pages
    /// lie right behind it.
    fn grow(&mut self, layout: Layout) -> bool {
        let Some(bytes) = layout.size().checked_add(layout.align()) else { return false };
        let pages = bytes.div_ceil(PAGE).max(GROW_PAGES);
        let before = core::arch::wasm32::memory_grow(0, pages);
        if before == usize::MAX {
            return false;
        }
        let start = before.wrapping_mul(PAGE);
        if start != self.end.addr() {
            self.next = start as *mut u8;
        }
        // The very last byte of the address space stays unused, so that the end is a number.
        self.end = start.checked_add(pages.wrapping_mul(PAGE)).unwrap_or(usize::MAX) as *mut u8;
        true
    }
}

// SAFETY: what `take` returns is aligned, lies inside the arena or inside pages that this allocator
// added, and is not handed out again: `next` moves back only where the piece that was handed out
// last shrinks.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.state().take(layout) as *mut u8
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let state = self.state();
        let start = pointer as usize;
        if start.wrapping_add(layout.size()) == state.next.addr() {
            match start.checked_add(new_size) {
                Some(end) if end <= state.end.addr() => {
                    state.next = end as *mut u8;
                    return pointer;
                }
                _ => {}
            }
        } else if new_size <= layout.size() {
            return pointer;
        }
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else {
            return ptr::null_mut();
        };
        let new = state.take(new_layout) as *mut u8;
        if !new.is_null() {
            // SAFETY: both pieces are at least this long, and the new one was not in use.
            unsafe { ptr::copy_nonoverlapping(pointer, new, layout.size().min(new_size)) };
        }
        new
    }
}

//! Where the texts and lists go that the host returns: into the arena of the policy's SDK, by an
//! allocator in a module of its own (`plugins/componentize/src/allocator.wat`).

use wasmtime::wasmparser::{Operator, Parser, Payload};
use wasmtime::{Instance, Memory, Module, Store, TypedFunc};

use super::Engine;

const RBAC: &[u8] = include_bytes!("../../plugins/artifacts/rbac.wasm");

const PAGE: u32 = 64 << 10;
/// Pages that the allocator may take in these tests.
const MOST_PAGES: u32 = 40;

/// The allocator of `rbac` with nothing else of it.
struct Allocator {
    store: Store<wasmtime::StoreLimits>,
    memory: Memory,
    realloc: TypedFunc<(u32, u32, u32, u32), u32>,
    /// Where the state of the arena lies.
    state: usize,
}

impl Allocator {
    /// With free room from `next` to `end`.
    fn new(next: u32, end: u32) -> Self {
        let (mut modules, mut globals, mut state) = (Vec::new(), Vec::new(), None);
        for payload in Parser::new(0).parse_all(RBAC) {
            match payload.unwrap() {
                Payload::ModuleSection { unchecked_range: range, .. } => modules.push(&RBAC[range]),
                Payload::GlobalSection(section) => globals = section.into_iter().collect(),
                Payload::ExportSection(exports) => {
                    let exports = exports.into_iter().map(Result::unwrap);
                    let arena = exports.filter(|export| export.name == "ztlib-arena").last();
                    state = state.or(arena.map(|export| globals[export.index as usize].clone().unwrap()));
                }
                _ => {}
            }
        }
        assert_eq!(modules.len(), 2, "the policy, and its memory");
        let state = state.unwrap().init_expr.get_operators_reader().read().unwrap();
        let Operator::I32Const { value: state } = state else { panic!("{state:?}") };

        let engine = Engine::shared().unwrap();
        let limits = wasmtime::StoreLimitsBuilder::new().memory_size((MOST_PAGES * PAGE) as usize).build();
        let mut store = Store::new(&engine.0.engine, limits);
        store.limiter(|limits| limits);
        store.set_fuel(100_000_000).unwrap();
        store.set_epoch_deadline(1_000_000);
        let module = Module::from_binary(&engine.0.engine, modules[1]).unwrap();
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let memory = instance.get_memory(&mut store, "$memory").unwrap();
        let realloc = instance.get_typed_func(&mut store, "0").unwrap();
        let mut allocator = Self { store, memory, realloc, state: usize::try_from(state).unwrap() };
        let state = [next.to_le_bytes(), end.to_le_bytes()].concat();
        allocator.memory.write(&mut allocator.store, allocator.state, &state).unwrap();
        allocator
    }

    fn take(&mut self, align: u32, size: u32) -> Option<u32> {
        self.realloc.call(&mut self.store, (0, 0, align, size)).ok()
    }

    fn bytes(&self) -> usize {
        self.memory.data_size(&self.store)
    }
}

#[test]
fn values_are_aligned_lie_one_behind_the_other_and_in_the_arena_first() {
    let mut arena = Allocator::new(40_001, 56_000);
    assert_eq!(arena.take(1, 10), Some(40_001));
    assert_eq!(arena.take(4, 8), Some(40_012));
    assert_eq!(arena.take(8, 0), Some(40_024));
    assert_eq!(arena.take(1, 56_000 - 40_024), Some(40_024), "to the last byte");
    assert_eq!(arena.bytes(), PAGE as usize, "nothing grew");
    // The next byte is no longer the arena's: what lies behind it is not handed out.
    assert_eq!(arena.take(1, 1), Some(PAGE));
}

#[test]
fn pages_right_behind_the_room_are_one_with_it() {
    let mut arena = Allocator::new(PAGE - 8, PAGE);
    assert_eq!(arena.take(4, 100), Some(PAGE - 8));
    assert_eq!(arena.take(4, 4), Some(PAGE + 92));
}

#[test]
fn what_was_there_is_kept() {
    let mut arena = Allocator::new(40_000, 56_000);
    let old = arena.take(1, 4).unwrap();
    arena.memory.write(&mut arena.store, old as usize, b"kept").unwrap();
    for (size, kept) in [(8, b"kept\0\0\0\0".as_slice()), (2, b"ke\0\0")] {
        let new = arena.realloc.call(&mut arena.store, (old, 4, 1, size)).unwrap();
        assert!(new >= old + 4);
        assert_eq!(&arena.memory.data(&arena.store)[new as usize..][..kept.len()], kept);
    }
}

#[test]
fn values_never_overlap_nor_leave_the_memory_and_where_it_cannot_grow_they_trap() {
    for seed in 1..=20_u32 {
        let mut arena = Allocator::new(40_000 + seed, 56_000);
        let (mut random, mut free) = (seed, 40_000 + seed);
        let mut taken = 0_u32;
        loop {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (align, size) = (1 << (random >> 30), random >> 8 & 0x1_ffff);
            let Some(start) = arena.take(align, size) else { break };
            assert_eq!(start % align, 0);
            assert!(start >= free, "{start} lies in what ends at {free}");
            free = start + size;
            assert!(free as usize <= arena.bytes());
            taken += 1;
        }
        assert!(taken > 10, "{taken}");
        assert!(arena.bytes() <= (MOST_PAGES * PAGE) as usize);
        // A trap is the end of an evaluation; but the state would be sound.
        assert_eq!(arena.take(1, u32::MAX), None);
        assert_eq!(arena.take(8, u32::MAX - 3), None);
    }
}

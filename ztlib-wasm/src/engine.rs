//! The one engine of the process: how policies are compiled, where their memory comes from, and the
//! clock that stops them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime::wasmparser::WasmFeatures;
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, OperatorCost, OptLevel, PoolingAllocationConfig, Strategy,
};
use ztlib_contract::escaped as shown;

use super::contract;
use super::evaluate::{State, WasmPolicy};
use super::load::Compiled;
use ztlib_contract::Budget;
use ztlib_contract::engine::{EngineError, Policy, Source};

/// The stack of a policy in bytes: one for the whole process, since it is a property of the engine.
pub(crate) const STACK_BYTES: usize = 512 * 1024;

/// How often the clock behind [`Budget::wall_clock`] ticks.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// How many evaluations may run at once: each occupies a thread for microseconds.
const PLACES: u32 = 512;
/// What one policy's component may be made of. A Rust policy is one to four core instances, one
/// memory, one or two tables; one in Python, whose interpreter is linked when it starts, 38 core
/// instances. Nothing is set aside for core instances, only counted.
pub(crate) const CORE_INSTANCES_EACH: u32 = 64;
const TABLES_EACH: u32 = 4;
const MEMORIES_EACH: u32 = 4;

/// Where the memory of instances comes from: the best that the machine has, found once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allocator {
    /// A pool whose pages are found and wiped by Linux's PAGEMAP_SCAN (6.7 or newer): a fresh
    /// instance costs a few microseconds.
    PoolWithScan,
    /// A pool that wipes what an instance can have written: slower where a policy's memory is
    /// larger than 64 KiB.
    Pool,
    /// A pool in little address space (a limit on it, or a machine without much): policies check
    /// their bounds in code.
    SmallPool,
    /// No pool: every instance maps its memory anew, which costs tens of microseconds and does not
    /// scale over threads.
    OnDemand,
}

impl fmt::Display for Allocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PoolWithScan => "pool-with-scan",
            Self::Pool => "pool",
            Self::SmallPool => "small-pool",
            Self::OnDemand => "on-demand",
        })
    }
}

/// The engine with everything that policies are linked to. There is one a process: compiled code of
/// one engine means nothing to another. Cloning returns another handle on it.
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Sandbox>);

pub(crate) struct Sandbox {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) linker: Linker<State>,
    allocator: Allocator,
    /// What is loaded somewhere: a reload compiles and configures only what has changed.
    loaded: Mutex<Loaded>,
}

/// By the digests of what it is made of, for as long as somebody has it.
#[derive(Default)]
struct Loaded {
    compiled: HashMap<[u8; 32], Weak<Compiled>>,
    policies: HashMap<[u8; 32], Weak<WasmPolicy>>,
}

impl Engine {
    /// The process's engine. It is made when first asked for; where that fails it is tried again
    /// the next time.
    ///
    /// # Errors
    /// `engine-unavailable` where the machine cannot run the sandbox.
    pub fn shared() -> Result<Self, EngineError> {
        static SHARED: Mutex<Option<Engine>> = Mutex::new(None);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = &*shared {
            return Ok(engine.clone());
        }
        let engine = Self(Arc::new(Sandbox::new().map_err(|error| {
            EngineError::new(
                "engine-unavailable",
                format!("the sandbox cannot run here: {}", shown(&format!("{error:#}"))),
            )
        })?));
        *shared = Some(engine.clone());
        Ok(engine)
    }

    /// Where the memory of instances comes from on this machine.
    pub fn allocator(&self) -> Allocator {
        self.0.allocator
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compiled(&self, source: Source<'_>, budget: &Budget) -> Result<Arc<Compiled>, EngineError> {
        let known = self.loaded().compiled.get(&source.name).and_then(Weak::upgrade);
        if let Some(compiled) = known {
            return Ok(compiled);
        }
        let compiled = Arc::new(Compiled::new(self.0.clone(), source.bytes, budget)?);
        let mut loaded = self.loaded();
        loaded.compiled.retain(|_, compiled| compiled.strong_count() > 0);
        loaded.compiled.insert(source.name, Arc::downgrade(&compiled));
        Ok(compiled)
    }
}

impl ztlib_contract::engine::Engine for Engine {
    fn load(
        &self,
        source: Source<'_>,
        config: Arc<[u8]>,
        budget: &Budget,
    ) -> Result<Arc<dyn Policy>, EngineError> {
        let known = self.loaded().policies.get(&source.made_of).and_then(Weak::upgrade);
        if let Some(policy) = known {
            return Ok(policy);
        }
        let compiled = self.compiled(source, budget)?;
        let policy = Arc::new(WasmPolicy::new(compiled, config, Arc::new(budget.clone()))?);
        let mut loaded = self.loaded();
        loaded.policies.retain(|_, policy| policy.strong_count() > 0);
        loaded.policies.insert(source.made_of, Arc::downgrade(&policy));
        Ok(policy)
    }

    fn describe(&self) -> String {
        self.0.allocator.to_string()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("allocator", &self.0.allocator).finish_non_exhaustive()
    }
}

impl Sandbox {
    fn new() -> wasmtime::Result<Self> {
        let (engine, allocator) = best_engine()?;
        match allocator {
            Allocator::PoolWithScan => tracing::debug!(%allocator, "policies run from a pool"),
            _ => tracing::warn!(
                %allocator,
                "policies run slower than they could: this machine lacks PAGEMAP_SCAN or address space"
            ),
        }
        Self::of(engine, allocator)
    }

    fn of(engine: wasmtime::Engine, allocator: Allocator) -> wasmtime::Result<Self> {
        tick(&engine)?;
        let mut linker = Linker::new(&engine);
        contract::link(&mut linker)?;
        Ok(Self { engine, linker, allocator, loaded: Mutex::default() })
    }
}

fn best_engine() -> wasmtime::Result<(wasmtime::Engine, Allocator)> {
    for allocator in [Allocator::PoolWithScan, Allocator::Pool, Allocator::SmallPool] {
        match wasmtime::Engine::new(&config(allocator)) {
            Ok(engine) => return Ok((engine, allocator)),
            Err(error) => tracing::debug!(%allocator, error = format!("{error:#}"), "not here"),
        }
    }
    Ok((wasmtime::Engine::new(&config(Allocator::OnDemand))?, Allocator::OnDemand))
}

fn config(allocator: Allocator) -> Config {
    let mut config = Config::new();
    config
        // Cranelift only: its sibling has had escapes of its own (docs/threats.md, row 83).
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        // Determinism: the same question has the same answer and the same cost on every machine.
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .operator_cost(operator_cost())
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        // What WebAssembly can do is listed, not assumed: another crate of the build may switch on
        // features of wasmtime.
        .wasm_features(!WasmFeatures::empty(), false)
        .wasm_features(features(), true)
        // Guests are synchronous; without it a call costs less than half (measured).
        .concurrency_support(false);
    if matches!(allocator, Allocator::SmallPool | Allocator::OnDemand) {
        small(&mut config);
    }
    match allocator {
        Allocator::PoolWithScan => config.allocation_strategy(pool(true)),
        Allocator::Pool => config.allocation_strategy(pool(false)),
        Allocator::SmallPool => {
            config.allocation_strategy(pool(PoolingAllocationConfig::is_pagemap_scan_available()))
        }
        Allocator::OnDemand => config.allocation_strategy(InstanceAllocationStrategy::OnDemand),
    };
    config
}

/// WebAssembly 2.0 and the two additions that compilers use by default: no threads, no relaxed
/// SIMD, nothing that a machine could do in its own way.
fn features() -> WasmFeatures {
    WasmFeatures::WASM2.difference(WasmFeatures::GC_TYPES)
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::COMPONENT_MODEL
}

/// Reserves no more address space than a policy may ever use, instead of all that 32 bits could
/// reach.
fn small(config: &mut Config) {
    config
        .memory_reservation(Budget::maximum().memory_bytes as u64)
        .memory_guard_size(64 << 10)
        .memory_reservation_for_growth(0)
        .memory_may_move(false);
}

/// Keeping pages spares system calls. With the scan only those that were written are wiped; without
/// it all that are kept. What is kept bounds the memory of a pool that is idle: 1 MiB a place that
/// was ever in use (more saved nothing, measured).
fn pool(scan: bool) -> InstanceAllocationStrategy {
    let keep_resident = if scan { 1 << 20 } else { 64 << 10 };
    let most = Budget::maximum();
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(PLACES)
        .total_core_instances(PLACES.saturating_mul(CORE_INSTANCES_EACH))
        .max_core_instances_per_component(CORE_INSTANCES_EACH)
        .total_memories(PLACES)
        .max_memories_per_component(MEMORIES_EACH)
        .max_memories_per_module(1)
        .max_memory_size(most.memory_bytes)
        .total_tables(PLACES.saturating_mul(TABLES_EACH))
        .max_tables_per_component(TABLES_EACH)
        .max_tables_per_module(TABLES_EACH)
        .table_elements(most.table_elements)
        .linear_memory_keep_resident(keep_resident)
        .table_keep_resident(64 << 10)
        .pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });
    InstanceAllocationStrategy::Pooling(pool)
}

fn operator_cost() -> OperatorCost {
    let mut cost = OperatorCost::new();
    // A page that was asked for has to be wiped afterwards.
    cost.variable.memory_grow_per_page = u8::MAX;
    cost
}

/// Ticks for as long as the engine lives.
fn tick(engine: &wasmtime::Engine) -> wasmtime::Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new().name("ztlib-tick".to_owned()).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ztlib_contract::Answer;
    use ztlib_contract::engine::{Call, Engine as _};

    use super::*;

    const ALLOW_ALL: &[u8] = include_bytes!("../../plugins/artifacts/allow-all.wasm");

    #[test]
    fn there_is_one_engine_a_process() {
        let (one, other) = (Engine::shared().unwrap(), Engine::shared().unwrap());
        assert!(Arc::ptr_eq(&one.0, &other.0));
    }

    #[test]
    fn policies_run_on_every_allocator_that_we_fall_back_to() {
        let bytes = include_bytes!("../../plugins/artifacts/keeps-state.wasm");
        for allocator in [Allocator::Pool, Allocator::SmallPool, Allocator::OnDemand] {
            let engine = wasmtime::Engine::new(&config(allocator)).unwrap();
            let engine = Engine(Arc::new(Sandbox::of(engine, allocator).unwrap()));
            let source = Source { name: [1; 32], bytes, made_of: [2; 32] };
            let policy = engine.load(source, Arc::new([]), &Budget::default()).unwrap();
            for _ in 0..3 {
                let evaluated = policy.evaluate(Box::new(Call::without_question()));
                assert_eq!(evaluated.result, Ok(Answer::Deny), "{allocator}");
            }
        }
    }

    #[test]
    fn what_is_loaded_somewhere_is_not_made_again_and_what_nobody_has_is_forgotten() {
        let engine = wasmtime::Engine::new(&config(Allocator::OnDemand)).unwrap();
        let engine = Engine(Arc::new(Sandbox::of(engine, Allocator::OnDemand).unwrap()));
        let budget = Budget::default();
        let load = |made_of: u8| {
            let source = Source { name: [0; 32], bytes: ALLOW_ALL, made_of: [made_of; 32] };
            engine.load(source, Arc::new([]), &budget).unwrap()
        };
        let held = || {
            let loaded = engine.loaded();
            let alive = |count: usize| count > 0;
            (
                loaded.compiled.values().filter(|weak| alive(weak.strong_count())).count(),
                loaded.policies.values().filter(|weak| alive(weak.strong_count())).count(),
            )
        };
        let (one, same, other) = (load(1), load(1), load(2));
        assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
        assert_eq!(held(), (1, 2));
        drop((one, same, other));
        assert_eq!(held(), (0, 0));
    }
}

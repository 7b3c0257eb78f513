//! What a module would cost to compile and to start, worked out before anything compiles, validates
//! or inlines it.
//!
//! A few bytes can stand for much: an instruction for a thousand values, a nested component for two
//! of the one before, a type for twice the last. Here each of these is counted, in one pass over
//! the bytes, and what comes to too much is refused by name. Order of reading: `limits` (the
//! bounds) → `component` (parts, nested and multiplied) → `types` → `module` → `function`.

mod component;
mod function;
mod limits;
mod module;
mod types;

use wasmtime::wasmparser::{BinaryReaderError, Encoding, Parser, Payload};
use ztlib_contract::escaped as shown;

use component::Components;
use limits::check_defined;
use module::CoreModule;
use ztlib_contract::Budget;
use ztlib_contract::engine::EngineError;

/// What a module weighs: what its budget limits, and what each start of it costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    bytes: usize,
    functions: u32,
    largest_function: usize,
    /// Bytes of the memories that its instances begin with.
    memory: u64,
    /// Elements of the tables that they begin with.
    table: u64,
    /// Fuel that making its instances takes, before any of its own code runs.
    start: u64,
}

impl Weight {
    /// Weighs a component.
    pub(crate) fn of(bytes: &[u8], budget: &Budget) -> Result<Self, EngineError> {
        let mut weight = Self { bytes: bytes.len(), ..Self::default() };
        // Before anything of it is looked at.
        weight.fits(budget)?;
        let mut components = Components::default();
        let mut module: Option<CoreModule> = None;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(|error| malformed(&error))?;
            if let Payload::CodeSectionStart { count, .. } = payload {
                weight.functions = weight.functions.saturating_add(count);
            }
            if let Payload::CodeSectionEntry(body) = &payload {
                weight.largest_function = weight.largest_function.max(body.range().len());
            }
            weight.fits(budget)?;
            match (&mut module, payload) {
                (None, Payload::Version { encoding: Encoding::Module, .. }) => {
                    if components.is_outside() {
                        return Err(EngineError::new(
                            "not-a-component",
                            "the module is a core module: make it a component (`ztlib policy build`, or `wasm-tools component new`)",
                        ));
                    }
                    module = Some(CoreModule::default());
                }
                (None, payload) => components.look(payload, bytes)?,
                (Some(_), Payload::End(_)) => {
                    if let Some(module) = module.take() {
                        components.add_module(module, budget)?;
                    }
                }
                (Some(module), payload) => module.look(payload, components.totals(), budget)?,
            }
        }
        let started = components.started();
        (weight.memory, weight.table, weight.start) = (started.memory, started.table, started.fuel);
        weight.fits(budget)?;
        Ok(weight)
    }

    /// Fuel that each start of it costs.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Whether it is within a budget.
    pub(crate) fn fits(&self, budget: &Budget) -> Result<(), EngineError> {
        let raise = |code, has: String, key, limit: u64| {
            let text = format!(
                "the module {has}, the budget's `{key}` is {limit}: raise it if the policy needs more"
            );
            Err(EngineError::new(code, text))
        };
        if self.bytes > budget.module_bytes {
            let has = format!("is {} bytes", self.bytes);
            return raise("module-too-large", has, "module-bytes", wide(budget.module_bytes));
        }
        if self.functions > budget.functions {
            let has = format!("has {} functions", self.functions);
            return raise("too-many-functions", has, "functions", budget.functions.into());
        }
        if self.largest_function > budget.function_bytes {
            let has = format!("has a function of {} bytes", self.largest_function);
            return raise("function-too-large", has, "function-bytes", wide(budget.function_bytes));
        }
        check_defined("memory-limit", "memory-bytes", self.memory, budget.memory_bytes)?;
        check_defined("table-limit", "table-elements", self.table, budget.table_elements)?;
        if self.start > budget.fuel {
            let has = format!("takes {} units of fuel to be started", self.start);
            return raise("fuel-spent", has, "fuel", budget.fuel);
        }
        Ok(())
    }
}

fn malformed(error: &BinaryReaderError) -> EngineError {
    EngineError::new(
        "not-a-component",
        format!(
            "the module is not a WebAssembly component: {}: is the file whole?",
            shown(&error.to_string())
        ),
    )
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

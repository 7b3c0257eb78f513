//! A core module: its definitions, its functions, and what an instance of it costs to be made.

use wasmtime::wasmparser::{
    CompositeInnerType, DataKind, ElementItems, ElementKind, Payload, TableInit, TypeRef,
};

use super::limits::{FREE_VALUES, LOCALS, VALUES, check_defined, check_definitions};
use super::{malformed, wide};
use ztlib_contract::Budget;
use ztlib_contract::engine::EngineError;

/// Fuel for an instance, before anything is put into it; it is about what making one costs, as
/// instructions.
const INSTANCE_FUEL: u64 = 200;
/// Fuel for a segment, before its bytes or elements.
const SEGMENT_FUEL: u64 = 50;
/// Bytes of active data that cost one unit of fuel.
const BYTES_A_FUEL: u64 = 8;

/// What all modules of a component have together.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) values: u64,
    pub(crate) locals: u64,
    pub(crate) flow: u64,
    definitions: u64,
    memory: u64,
    table: u64,
}

/// What instances cost to be made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Started {
    pub(crate) fuel: u64,
    pub(crate) memory: u64,
    pub(crate) table: u64,
}

impl Started {
    pub(crate) fn add(&mut self, other: Self) {
        self.fuel = self.fuel.saturating_add(other.fuel);
        self.memory = self.memory.saturating_add(other.memory);
        self.table = self.table.saturating_add(other.table);
    }
}

/// Parameters and results.
pub(crate) type Arity = (u64, u64);

#[derive(Default)]
pub(crate) struct CoreModule {
    types: Vec<Arity>,
    /// The type of each function, imported ones first.
    functions: Vec<u32>,
    imported: usize,
    /// How many bodies were looked at.
    bodies: usize,
    pub(crate) started: Started,
}

impl CoreModule {
    pub(crate) fn type_at(&self, index: u32) -> Arity {
        self.types.get(index as usize).copied().unwrap_or_default()
    }

    pub(crate) fn function(&self, index: u32) -> Arity {
        self.functions.get(index as usize).map(|ty| self.type_at(*ty)).unwrap_or_default()
    }

    fn add_function(&mut self, ty: u32, totals: &mut Totals) -> Result<(), EngineError> {
        self.functions.push(ty);
        let (parameters, results) = self.type_at(ty);
        let values = parameters.saturating_add(results).saturating_sub(FREE_VALUES);
        totals.values = totals.values.saturating_add(values);
        VALUES.check(totals.values)
    }

    pub(crate) fn look(
        &mut self,
        payload: Payload<'_>,
        totals: &mut Totals,
        budget: &Budget,
    ) -> Result<(), EngineError> {
        let definitions = match &payload {
            Payload::TypeSection(section) => section.count(),
            Payload::ImportSection(section) => section.count(),
            Payload::FunctionSection(section) => section.count(),
            Payload::TableSection(section) => section.count(),
            Payload::MemorySection(section) => section.count(),
            Payload::GlobalSection(section) => section.count(),
            Payload::ExportSection(section) => section.count(),
            Payload::ElementSection(section) => section.count(),
            Payload::DataSection(section) => section.count(),
            Payload::TagSection(section) => section.count(),
            _ => 0,
        };
        totals.definitions = totals.definitions.saturating_add(definitions.into());
        check_definitions(totals.definitions, budget.functions)?;
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    for ty in group.map_err(|error| malformed(&error))?.types() {
                        self.types.push(match &ty.composite_type.inner {
                            CompositeInnerType::Func(ty) => {
                                (wide(ty.params().len()), wide(ty.results().len()))
                            }
                            _ => (0, 0),
                        });
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if let TypeRef::Func(ty) | TypeRef::FuncExact(ty) =
                        import.map_err(|error| malformed(&error))?.ty
                    {
                        self.add_function(ty, totals)?;
                    }
                    self.started.fuel = self.started.fuel.saturating_add(1);
                }
                self.imported = self.functions.len();
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    self.add_function(ty.map_err(|error| malformed(&error))?, totals)?;
                }
            }
            Payload::CodeSectionEntry(body) => {
                let index = self.imported.saturating_add(self.bodies);
                self.bodies = self.bodies.saturating_add(1);
                self.weigh_body(u32::try_from(index).unwrap_or(u32::MAX), &body, totals)?;
                LOCALS.check(totals.locals)?;
                VALUES.check(totals.values)?;
            }
            payload => self.look_at_start(payload)?,
        }
        Ok(())
    }

    /// What is put into each instance.
    fn look_at_start(&mut self, payload: Payload<'_>) -> Result<(), EngineError> {
        let started = &mut self.started;
        let mut fuel = 0_u64;
        match payload {
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory.map_err(|error| malformed(&error))?;
                    let page = 1_u64 << memory.page_size_log2.unwrap_or(16).min(16);
                    started.memory = started.memory.saturating_add(memory.initial.saturating_mul(page));
                }
            }
            Payload::TableSection(section) => {
                // Expressions may be long, and are worked out for each instance.
                fuel = wide(section.range().len());
                for table in section {
                    let table = table.map_err(|error| malformed(&error))?;
                    started.table = started.table.saturating_add(table.ty.initial);
                    let each = if let TableInit::Expr(_) = table.init { 4 } else { 1 };
                    fuel = fuel.saturating_add(table.ty.initial.saturating_mul(each));
                }
            }
            Payload::GlobalSection(section) => fuel = wide(section.range().len()),
            Payload::ElementSection(section) => {
                fuel = wide(section.range().len());
                for element in section {
                    let element = element.map_err(|error| malformed(&error))?;
                    let count = match &element.items {
                        ElementItems::Functions(items) => items.count(),
                        ElementItems::Expressions(_, items) => items.count(),
                    };
                    let count = if let ElementKind::Active { .. } = element.kind { count } else { 0 };
                    fuel =
                        fuel.saturating_add(SEGMENT_FUEL).saturating_add(u64::from(count).saturating_mul(4));
                }
            }
            Payload::DataSection(section) => {
                for data in section {
                    let data = data.map_err(|error| malformed(&error))?;
                    if let DataKind::Active { .. } = data.kind {
                        let expression = wide(data.range.len().saturating_sub(data.data.len()));
                        let bytes = (wide(data.data.len()) / BYTES_A_FUEL).saturating_add(expression);
                        fuel = fuel.saturating_add(SEGMENT_FUEL).saturating_add(bytes);
                    }
                }
            }
            _ => {}
        }
        started.fuel = started.fuel.saturating_add(fuel);
        Ok(())
    }

    /// What an instance of it costs. An image of its memory is made when it is compiled, whether
    /// there will be an instance or not.
    pub(crate) fn finish(mut self, totals: &mut Totals, budget: &Budget) -> Result<Started, EngineError> {
        totals.memory = totals.memory.saturating_add(self.started.memory);
        totals.table = totals.table.saturating_add(self.started.table);
        check_defined("memory-limit", "memory-bytes", totals.memory, budget.memory_bytes)?;
        check_defined("table-limit", "table-elements", totals.table, budget.table_elements)?;
        self.started.fuel = self.started.fuel.saturating_add(INSTANCE_FUEL);
        Ok(self.started)
    }
}

//! Components: what they are made of, each nested one as often as it is instantiated.

use wasmtime::wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, Instance, Payload,
};
use ztlib_contract::escaped as shown;

use super::limits::{COMPONENT_DEPTH, CORE_INSTANCES, MODULES, PARTS};
use super::module::{CoreModule, Started, Totals};
use super::types::{self, Types};
use super::{malformed, wide};
use crate::contract;
use crate::contract::IMPORTS;
use ztlib_contract::Budget;
use ztlib_contract::engine::EngineError;

/// What an adapter between two parts of a component takes for each part of a type that goes through
/// it.
const ADAPTED: u64 = 8;

/// A whole component, while it is gone through.
#[derive(Default)]
pub(crate) struct Components {
    /// Those that are open, the innermost last.
    open: Vec<Component>,
    types: Types,
    totals: Totals,
    modules: u64,
    /// Everything that was parsed, multiplied by nothing.
    parsed: u64,
    started: Started,
    /// Stands in where no component is open, which does not happen.
    nowhere: Component,
}

/// One component: its index spaces, each entry by what using it costs.
#[derive(Default)]
struct Component {
    modules: Vec<Started>,
    components: Vec<Nested>,
    instances: Vec<u64>,
    functions: Vec<u64>,
    whole: Nested,
}

/// What each instance of a component costs.
#[derive(Debug, Clone, Copy, Default)]
struct Nested {
    parts: u64,
    exports: u64,
    core_instances: u64,
    started: Started,
}

impl Components {
    /// Whether no component has begun.
    pub(crate) fn is_outside(&self) -> bool {
        self.open.is_empty()
    }

    pub(crate) fn totals(&mut self) -> &mut Totals {
        &mut self.totals
    }

    /// What the instances of the outermost one cost to be made.
    pub(crate) fn started(&self) -> Started {
        self.started
    }

    pub(crate) fn add_module(&mut self, module: CoreModule, budget: &Budget) -> Result<(), EngineError> {
        self.modules = self.modules.saturating_add(1);
        MODULES.check(self.modules)?;
        let started = module.finish(&mut self.totals, budget)?;
        self.here().modules.push(started);
        self.take(1)
    }

    fn here(&mut self) -> &mut Component {
        self.open.last_mut().unwrap_or(&mut self.nowhere)
    }

    fn take(&mut self, parts: u64) -> Result<(), EngineError> {
        self.parsed = self.parsed.saturating_add(parts);
        // One that nothing instantiates is parsed and validated all the same.
        PARTS.check(self.parsed)?;
        let whole = &mut self.here().whole;
        whole.parts = whole.parts.saturating_add(parts);
        PARTS.check(whole.parts)
    }

    /// `bytes` is the whole file.
    pub(crate) fn look(&mut self, payload: Payload<'_>, bytes: &[u8]) -> Result<(), EngineError> {
        match payload {
            Payload::Version { .. } => {
                self.open.push(Component::default());
                self.types.open();
                COMPONENT_DEPTH.check(wide(self.open.len()))
            }
            Payload::End(_) => {
                self.types.close();
                let Some(component) = self.open.pop() else { return Ok(()) };
                if self.open.is_empty() {
                    self.started = component.whole.started;
                } else {
                    self.here().components.push(component.whole);
                }
                Ok(())
            }
            Payload::ComponentTypeSection(section) => {
                types::check_depth(bytes.get(section.range()).unwrap_or(bytes))?;
                for ty in section {
                    let size = self.types.size(&ty.map_err(|error| malformed(&error))?);
                    self.types.push(size);
                    self.take(size)?;
                }
                Ok(())
            }
            Payload::CoreTypeSection(section) => {
                for ty in section {
                    self.take(types::core(&ty.map_err(|error| malformed(&error))?))?;
                }
                Ok(())
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    self.add_core_instance(&instance.map_err(|error| malformed(&error))?)?;
                }
                Ok(())
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    self.add_instance(&instance.map_err(|error| malformed(&error))?)?;
                }
                Ok(())
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    self.add_alias(&alias.map_err(|error| malformed(&error))?)?;
                }
                Ok(())
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section {
                    self.add_function(&function.map_err(|error| malformed(&error))?)?;
                }
                Ok(())
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import.map_err(|error| malformed(&error))?;
                    if self.open.len() == 1 {
                        check_import(import.name.name)?;
                    }
                    self.add_import(&import.ty)?;
                }
                Ok(())
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export.map_err(|error| malformed(&error))?;
                    let size = self.item(export.kind, export.index);
                    let ascribed = export.ty.map_or(0, |ty| self.types.reference(&ty));
                    self.here().whole.exports = self.here().whole.exports.saturating_add(size);
                    self.push(export.kind, export.index, size);
                    self.take(size.saturating_add(ascribed).saturating_add(1))?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What an item costs where it is named.
    fn item(&mut self, kind: ComponentExternalKind, index: u32) -> u64 {
        let index_here = index as usize;
        let here = self.open.last_mut().unwrap_or(&mut self.nowhere);
        let size = match kind {
            ComponentExternalKind::Instance => here.instances.get(index_here).copied(),
            ComponentExternalKind::Func => here.functions.get(index_here).copied(),
            ComponentExternalKind::Type => return self.types.at(index),
            ComponentExternalKind::Component => here.components.get(index_here).map(|nested| nested.parts),
            ComponentExternalKind::Module | ComponentExternalKind::Value => None,
        };
        size.unwrap_or(1).max(1)
    }

    /// An item that has a further index from here on.
    fn push(&mut self, kind: ComponentExternalKind, index: u32, size: u64) {
        let index = index as usize;
        let here = self.open.last_mut().unwrap_or(&mut self.nowhere);
        match kind {
            ComponentExternalKind::Instance => here.instances.push(size),
            ComponentExternalKind::Func => here.functions.push(size),
            ComponentExternalKind::Type => self.types.push(size),
            ComponentExternalKind::Component => {
                here.components.push(here.components.get(index).copied().unwrap_or_default());
            }
            ComponentExternalKind::Module => {
                here.modules.push(here.modules.get(index).copied().unwrap_or_default());
            }
            ComponentExternalKind::Value => {}
        }
    }

    fn add_core_instance(&mut self, instance: &Instance<'_>) -> Result<(), EngineError> {
        match instance {
            Instance::FromExports(exports) => self.take(wide(exports.len()).saturating_add(1)),
            Instance::Instantiate { module_index, args } => {
                let here = self.here();
                let started = here.modules.get(*module_index as usize).copied().unwrap_or_default();
                here.whole.started.add(started);
                here.whole.core_instances = here.whole.core_instances.saturating_add(1);
                CORE_INSTANCES.check(here.whole.core_instances)?;
                self.take(wide(args.len()).saturating_add(1))
            }
        }
    }

    fn add_instance(&mut self, instance: &ComponentInstance<'_>) -> Result<(), EngineError> {
        match instance {
            ComponentInstance::FromExports(exports) => {
                let mut size = 1_u64;
                for export in exports {
                    size = size.saturating_add(self.item(export.kind, export.index));
                }
                self.here().instances.push(size);
                self.take(size)
            }
            ComponentInstance::Instantiate { component_index, args } => {
                let mut given = 1_u64;
                for arg in args {
                    given = given.saturating_add(self.item(arg.kind, arg.index));
                }
                let here = self.here();
                let nested = here.components.get(*component_index as usize).copied().unwrap_or_default();
                here.instances.push(nested.exports.saturating_add(1));
                here.whole.started.add(nested.started);
                here.whole.core_instances = here.whole.core_instances.saturating_add(nested.core_instances);
                CORE_INSTANCES.check(here.whole.core_instances)?;
                self.take(given.saturating_add(nested.parts).saturating_add(nested.exports))
            }
        }
    }

    fn add_alias(&mut self, alias: &ComponentAlias<'_>) -> Result<(), EngineError> {
        if self.types.alias(alias) {
            return self.take(1);
        }
        match alias {
            ComponentAlias::InstanceExport { kind, instance_index, .. } => match kind {
                // Of the whole instance none of its exports is larger.
                ComponentExternalKind::Instance => {
                    let size = self.item(*kind, *instance_index);
                    self.push(*kind, 0, size);
                    self.take(size)
                }
                // Which it is of all that the instance has is not known here.
                ComponentExternalKind::Func => {
                    let size = self.types.largest_function();
                    self.push(*kind, 0, size);
                    self.take(1)
                }
                ComponentExternalKind::Component | ComponentExternalKind::Module => Err(passed_on()),
                ComponentExternalKind::Type | ComponentExternalKind::Value => self.take(1),
            },
            ComponentAlias::CoreInstanceExport { .. } => self.take(1),
            ComponentAlias::Outer { kind, count, index } => {
                let outer = self.open.iter().rev().nth(*count as usize);
                match kind {
                    ComponentOuterAliasKind::CoreModule => {
                        let module = outer.and_then(|outer| outer.modules.get(*index as usize)).copied();
                        self.here().modules.push(module.unwrap_or_default());
                    }
                    ComponentOuterAliasKind::Component => {
                        let nested = outer.and_then(|outer| outer.components.get(*index as usize)).copied();
                        self.here().components.push(nested.unwrap_or_default());
                    }
                    ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => {}
                }
                self.take(1)
            }
        }
    }

    fn add_function(&mut self, function: &CanonicalFunction) -> Result<(), EngineError> {
        match function {
            CanonicalFunction::Lift { type_index, .. } => {
                let size = self.types.at(*type_index);
                self.here().functions.push(size);
                self.take(size.saturating_add(1))
            }
            CanonicalFunction::Lower { func_index, .. } => {
                let size = self.item(ComponentExternalKind::Func, *func_index);
                self.take(size.saturating_mul(ADAPTED).saturating_add(1))
            }
            _ => self.take(ADAPTED),
        }
    }

    fn add_import(&mut self, ty: &ComponentTypeRef) -> Result<(), EngineError> {
        let size = self.types.named(ty);
        match ty {
            ComponentTypeRef::Func(_) => self.here().functions.push(size),
            // What a nested component is given may have more in it than it asks for, and would be
            // counted wrong.
            ComponentTypeRef::Instance(_) if self.open.len() > 1 => return Err(passed_on()),
            ComponentTypeRef::Instance(_) => self.here().instances.push(size),
            ComponentTypeRef::Component(_) | ComponentTypeRef::Module(_) => return Err(passed_on()),
            ComponentTypeRef::Value(_) | ComponentTypeRef::Type(_) => {}
        }
        self.take(size)
    }
}

/// A part whose size is not known where it is used.
fn passed_on() -> EngineError {
    EngineError::new(
        "component-too-complex",
        "the module is composed of components that hand components, modules or instances on to each other: compose it into one before, or build it as one",
    )
}

fn check_import(name: &str) -> Result<(), EngineError> {
    if IMPORTS.iter().any(|interface| contract::is_spoken(name, interface)) {
        return Ok(());
    }
    if IMPORTS.iter().any(|interface| name.strip_prefix(interface).is_some_and(|rest| rest.starts_with('@')))
    {
        return Err(EngineError::new(
            "wrong-contract",
            format!(
                "the module imports `{}`, and this host speaks 0.1: build it against this host's `wit/policy.wit`",
                shown(name)
            ),
        ));
    }
    let advice = if name.starts_with("wasi:") {
        "build it without WASI (Rust: for the target `wasm32-unknown-unknown`)"
    } else {
        "a policy imports nothing but `ztlib:policy`"
    };
    Err(EngineError::new("forbidden-import", format!("the module imports `{}`: {advice}", shown(name))))
}

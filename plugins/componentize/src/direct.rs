//! A component whose imports are lowered directly: two core instances instead of three.
//!
//! To lower an import that hands over texts takes a memory, and one that returns them an allocator
//! as well. Where both are the policy's own they exist only after it was made, and it can only be
//! made with its imports: `wit-component` unties that with a table of functions that it fills in
//! later, which makes three instances and a table of each evaluation. Here the memory and what
//! allocates returned values are a small module of their own, [`home`], which is made first; the
//! policy imports the memory. Both allocate from the SDK's arena, whose state lies at an address
//! that the policy exports.

use std::ops::Range;

use wasm_encoder::reencode::{Reencode as _, RoundtripReencoder};
use wasm_encoder::{ComponentSectionId, Encode as _, EntityType, ImportSection, RawSection, Section as _};
use wasmparser::{
    ExternalKind, Instance, InstanceSectionReader, MemoryType, Operator, Parser, Payload, Validator,
    WasmFeatures,
};
use wit_component::ComponentEncoder;

use super::Result;

/// The global by which the SDK exports the address of its arena's state: where free room begins,
/// and where it ends.
const ARENA: &str = "ztlib-arena";

/// What `wit-component` calls the memory that it defines for a module which imports it.
const MEMORY: &str = "$memory";

/// Whether `wit-component` needed more than the policy's own module.
pub(crate) fn pays(component: &[u8]) -> Result<bool> {
    let mut modules = 0;
    for payload in Parser::new(0).parse_all(component) {
        modules += u32::from(matches!(payload?, Payload::ModuleSection { .. }));
    }
    Ok(modules > 1)
}

/// The component of a module that the SDK's arena is in; of any other module there is none.
pub(crate) fn component(module: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some((policy, memory, arena)) = with_imported_memory(module)? else { return Ok(None) };
    let component =
        ComponentEncoder::default().debug_names(false).validate(true).module(&policy)?.encode()?;
    let component = without_fixup(&component, memory, arena)?;
    Validator::new_with_features(WasmFeatures::default()).validate_all(&component)?;
    Ok(Some(component))
}

/// The module with its memory imported, that memory, and the address of the arena's state.
fn with_imported_memory(module: &[u8]) -> Result<Option<(Vec<u8>, MemoryType, u32)>> {
    let (mut globals, mut memory, mut arena) = (Vec::new(), None, None);
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::MemorySection(memories) => memory = memories.into_iter().next().transpose()?,
            Payload::GlobalSection(section) => {
                for global in section {
                    let value = match global?.init_expr.get_operators_reader().read()? {
                        Operator::I32Const { value } => Some(value.cast_unsigned()),
                        _ => None,
                    };
                    globals.push(value);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    if export.name == ARENA && export.kind == ExternalKind::Global {
                        arena = globals.get(usize::try_from(export.index)?).copied().flatten();
                    }
                }
            }
            _ => {}
        }
    }
    let (Some(memory), Some(arena)) = (memory, arena) else { return Ok(None) };
    let mut policy = wasm_encoder::Module::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(imports) => {
                let mut section = ImportSection::new();
                for import in imports.into_imports() {
                    let import = import?;
                    section.import(import.module, import.name, RoundtripReencoder.entity_type(import.ty)?);
                }
                let memory = RoundtripReencoder.memory_type(memory)?;
                section.import("env", "memory", EntityType::Memory(memory));
                policy.section(&section);
            }
            Payload::MemorySection(_) => {}
            Payload::CustomSection(section) => {
                policy.section(&wasm_encoder::CustomSection {
                    name: section.name().into(),
                    data: section.data().into(),
                });
            }
            other => {
                if let Some((id, range)) = other.as_section() {
                    policy.section(&RawSection { id, data: bytes(module, &range)? });
                }
            }
        }
    }
    Ok(Some((policy.finish(), memory, arena)))
}

/// What `wit-component` made, with [`home`] in the place of its second module and without its
/// third, which only fills in a table.
fn without_fixup(component: &[u8], memory: MemoryType, arena: u32) -> Result<Vec<u8>> {
    const SHIM: u32 = 1;
    const FIXUP: u32 = 2;
    let mut out = wasm_encoder::Component::HEADER.to_vec();
    let (mut depth, mut modules) = (0, 0);
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload?;
        match &payload {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ if depth > 1 => {}
            Payload::ModuleSection { unchecked_range, .. } => {
                let module = bytes(component, unchecked_range)?;
                let module = match modules {
                    SHIM => home(memory, arena, allocator(module)?)?,
                    _ => module.to_vec(),
                };
                if modules != FIXUP {
                    out.push(ComponentSectionId::CoreModule.into());
                    module.encode(&mut out);
                }
                modules += 1;
            }
            // The last instances are the one that fills in the table and what was gathered for it.
            Payload::InstanceSection(section) if made_of(section, FIXUP)? => {
                if section.count() != 2 || modules != FIXUP + 1 {
                    return Err("other instances beside the one that fills in the table".into());
                }
            }
            other => {
                if let Some((id, range)) = other.as_section() {
                    RawSection { id, data: bytes(component, &range)? }.append_to(&mut out);
                }
            }
        }
    }
    if modules == FIXUP + 1 {
        Ok(out)
    } else {
        Err(format!("{modules} core modules instead of three").into())
    }
}

/// Whether one of these instances is made of that module.
fn made_of(instances: &InstanceSectionReader<'_>, module: u32) -> Result<bool> {
    for instance in instances.clone() {
        if matches!(instance?, Instance::Instantiate { module_index, .. } if module_index == module) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The name under which `wit-component`'s module offers what allocates returned values, the one
/// function that it may have left.
fn allocator(shim: &[u8]) -> Result<Option<String>> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(shim) {
        if let Payload::ExportSection(exports) = payload? {
            for export in exports {
                let export = export?;
                if export.kind == ExternalKind::Func {
                    names.push(export.name.to_owned());
                }
            }
        }
    }
    if names.len() > 1 {
        return Err(format!("{} functions need the table, not one", names.len()).into());
    }
    Ok(names.pop())
}

/// The module that is made first: the memory, and what allocates the texts and lists that the host
/// returns.
///
/// It takes from the SDK's arena as the SDK does: from where free room begins, at `arena`, to where
/// it ends, in the four bytes behind. Where that is not enough the memory grows, up to the host's
/// budget, or it traps.
fn home(memory: MemoryType, arena: u32, allocator: Option<String>) -> Result<Vec<u8>> {
    let pages = match memory.maximum {
        Some(maximum) => format!("{} {maximum}", memory.initial),
        None => memory.initial.to_string(),
    };
    let allocator = match allocator {
        Some(name) => {
            include_str!("allocator.wat").replace("$NAME", &name).replace("$ARENA", &arena.to_string())
        }
        None => String::new(),
    };
    Ok(wat::parse_str(format!("(module (memory (export \"{MEMORY}\") {pages})\n{allocator})"))?)
}

fn bytes<'a>(of: &'a [u8], range: &Range<u64>) -> Result<&'a [u8]> {
    let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
    Ok(of.get(range).ok_or("a section lies outside of the file")?)
}

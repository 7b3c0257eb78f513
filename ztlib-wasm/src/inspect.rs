//! What a module is made of, without compiling it.

use std::ops::ControlFlow;

use wasmtime::wasmparser::{Encoding, Parser, Payload};
use ztlib_contract::escaped as shown;

use super::weigh::Weight;
use ztlib_contract::Budget;
use ztlib_contract::engine::EngineError;

/// What a module is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Module {
    /// Its bytes.
    pub bytes: usize,
    /// What it imports, by name. A policy imports nothing but `ztlib:policy/…`.
    pub imports: Vec<String>,
    /// What it exports, by name.
    pub exports: Vec<String>,
    /// Its functions.
    pub functions: u32,
    /// The bytes of the largest.
    pub largest_function: usize,
    /// The memory that an instance begins with, in bytes.
    pub memory_bytes: u64,
}

/// The most names that are listed.
const MAX_NAMES: usize = 256;

impl Module {
    /// Looks at a component's bytes. Nothing is compiled or run, and nothing is said about whether
    /// it is a policy: loading says that.
    ///
    /// # Errors
    /// `not-a-component` where the bytes are none.
    pub fn inspect(bytes: &[u8]) -> Result<Self, EngineError> {
        let mut module = Self { bytes: bytes.len(), ..Self::default() };
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(|error| not_a_component(&error.to_string()))?;
            if module.look(payload, &mut depth).is_break() {
                return Err(not_a_component("it is a core module"));
            }
        }
        Ok(module)
    }

    /// Says what loading says about a component before anything is compiled: whether it is one,
    /// what it imports, and what compiling and starting it would cost. It takes time and memory
    /// in proportion to the bytes, whatever they say; tools ask it before they hand a file to a
    /// compiler.
    ///
    /// ```
    /// use ztlib_contract::Budget;
    /// use ztlib_wasm::Module;
    ///
    /// let error = Module::check(b"\0asm\x01\0\0\0", &Budget::default()).unwrap_err();
    /// assert_eq!(error.code(), "not-a-component");
    /// ```
    ///
    /// # Errors
    /// [`EngineError`] as loading returns it: `forbidden-import`, `module-too-large`,
    /// `too-many-values` and the others that `docs/operations.md` lists.
    pub fn check(bytes: &[u8], budget: &Budget) -> Result<(), EngineError> {
        Weight::of(bytes, budget).map(drop)
    }

    fn look(&mut self, payload: Payload<'_>, depth: &mut u32) -> ControlFlow<()> {
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } if *depth == 0 => {
                return ControlFlow::Break(());
            }
            Payload::Version { .. } => *depth = depth.saturating_add(1),
            Payload::End(_) => *depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if *depth == 1 => {
                let names = imports.into_iter().flatten().map(|import| shown(import.name.name));
                self.imports.extend(names.take(MAX_NAMES));
            }
            Payload::ComponentExportSection(exports) if *depth == 1 => {
                let names = exports.into_iter().flatten().map(|export| shown(export.name.name));
                self.exports.extend(names.take(MAX_NAMES));
            }
            Payload::MemorySection(memories) => {
                for memory in memories.into_iter().flatten() {
                    let page = 1_u64 << memory.page_size_log2.unwrap_or(16).min(16);
                    self.memory_bytes = self.memory_bytes.saturating_add(memory.initial.saturating_mul(page));
                }
            }
            Payload::CodeSectionStart { count, .. } => self.functions = self.functions.saturating_add(count),
            Payload::CodeSectionEntry(body) => {
                self.largest_function = self.largest_function.max(body.range().len());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn not_a_component(why: &str) -> EngineError {
    EngineError::new("not-a-component", format!("the file is not a WebAssembly component: {}", shown(why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_taken_apart_and_a_core_module_is_named() {
        let module = Module::inspect(include_bytes!("../../plugins/artifacts/rbac.wasm")).unwrap();
        assert!(module.imports.iter().all(|name| name.starts_with("ztlib:policy/")), "{:?}", module.imports);
        assert!(module.exports.iter().any(|name| name.starts_with("ztlib:policy/guard")));
        assert!(module.functions > 1 && module.largest_function > 100 && module.memory_bytes >= 65_536);
        for wrong in [&b"\0asm\x01\0\0\0"[..], b"", b"PK"] {
            assert_eq!(Module::inspect(wrong).unwrap_err().code(), "not-a-component");
        }
    }
}

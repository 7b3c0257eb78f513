//! Bytes → checked component → compiled code that is linked to the contract and nothing else.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, Instance, InstancePre, TypedFunc};
use wasmtime::wasmparser::{BinaryReaderError, Encoding, FunctionBody, Operator, Parser, Payload};
use ztlib_cases::shown;

use super::budget::Budget;
use super::contract::{self, EXPORT, IMPORTS};
use super::engine::Engine;
use super::evaluate::{State, WitAnswer};
use crate::authorize::policy::LoadError;
use crate::authorize::policy::digest::Digest;

/// A module, compiled and linked once.
pub(crate) struct Compiled {
    digest: Digest,
    size: Size,
    /// Keeps the engine's settings beside the code that was made with them.
    engine: Arc<Engine>,
    pre: InstancePre<State>,
    configure: ComponentExportIndex,
    decide: ComponentExportIndex,
}

/// `configure: func(config: list<u8>) -> result<_, string>`
pub(super) type Configure = TypedFunc<(Arc<[u8]>,), (Result<(), String>,)>;
/// `decide: func() -> answer`
pub(super) type Decide = TypedFunc<(), (WitAnswer,)>;

/// What compiling a module costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Size {
    bytes: usize,
    functions: u32,
    largest_function: usize,
}

impl Compiled {
    /// Checks, compiles and links. It takes milliseconds to seconds: never on the path of a request.
    pub(crate) fn new(engine: Arc<Engine>, bytes: &[u8], budget: &Budget) -> Result<Self, LoadError> {
        let size = check(bytes, budget)?;
        let component = Component::from_binary(&engine.engine, bytes).map_err(|error| {
            LoadError::new("not-compilable", format!("the module does not compile: {}", chain(&error)))
        })?;
        let pre = engine.linker.instantiate_pre(&component).map_err(|error| {
            LoadError::new(
                "wrong-contract",
                format!(
                    "the module imports the contract in a form that this host does not have: {}: build it against this host's `wit/policy.wit`",
                    chain(&error)
                ),
            )
        })?;
        let (configure, decide) = exports(&engine, &component)?;
        Ok(Self { digest: Digest::of(bytes), size, engine, pre, configure, decide })
    }

    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether compiling it was within this budget: compiled code is shared by policies with budgets of their own.
    pub(crate) fn fits(&self, budget: &Budget) -> Result<(), LoadError> {
        self.size.fits(budget)
    }

    pub(super) fn engine(&self) -> &wasmtime::Engine {
        &self.engine.engine
    }

    pub(super) fn instance(&self, store: &mut Store<State>) -> wasmtime::Result<Instance> {
        self.pre.instantiate(store)
    }

    pub(super) fn configure(
        &self,
        instance: &Instance,
        store: &mut Store<State>,
    ) -> wasmtime::Result<Configure> {
        instance.get_typed_func(store, self.configure)
    }

    pub(super) fn decide(&self, instance: &Instance, store: &mut Store<State>) -> wasmtime::Result<Decide> {
        instance.get_typed_func(store, self.decide)
    }
}

impl Size {
    fn fits(&self, budget: &Budget) -> Result<(), LoadError> {
        if self.bytes > budget.module_bytes {
            return Err(LoadError::new(
                "module-too-large",
                format!(
                    "the module is {} bytes, the budget's `module-bytes` is {}: raise it if the policy needs more",
                    self.bytes, budget.module_bytes
                ),
            ));
        }
        if self.functions > budget.functions {
            return Err(LoadError::new(
                "too-many-functions",
                format!(
                    "the module has {} functions, the budget's `functions` is {}: raise it if the policy needs more",
                    self.functions, budget.functions
                ),
            ));
        }
        if self.largest_function > budget.function_bytes {
            return Err(LoadError::new(
                "function-too-large",
                format!(
                    "the module has a function of {} bytes, the budget's `function-bytes` is {}: raise it if the policy needs more",
                    self.largest_function, budget.function_bytes
                ),
            ));
        }
        Ok(())
    }
}

/// Everything that can be said before a compiler has seen the module: what it is, how much it is, what it wants.
fn check(bytes: &[u8], budget: &Budget) -> Result<Size, LoadError> {
    let mut size = Size { bytes: bytes.len(), ..Size::default() };
    size.fits(budget)?;
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| malformed(&error))? {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding == Encoding::Module {
                    return Err(LoadError::new(
                        "not-a-component",
                        "the module is a core module: make it a component (`ztlib policy build`, or `wasm-tools component new`)",
                    ));
                }
                depth = depth.saturating_add(1);
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 1 => {
                for import in imports {
                    check_import(import.map_err(|error| malformed(&error))?.name.name)?;
                }
            }
            Payload::CodeSectionStart { count, .. } => {
                size.functions = size.functions.saturating_add(count);
                size.fits(budget)?;
            }
            Payload::CodeSectionEntry(body) => {
                size.largest_function = size.largest_function.max(body.range().len());
                size.fits(budget)?;
                check_loops(&body)?;
            }
            _ => {}
        }
    }
    Ok(size)
}

/// A local that is used within nested loops is a parameter of each of them once it is compiled: what that costs grows with depth times
/// locals, whatever the function's size. Interpreters of whole languages stay below a tenth of this.
const MAX_LOOPED_LOCALS: u64 = 1 << 17;

fn check_loops(body: &FunctionBody<'_>) -> Result<(), LoadError> {
    let mut locals = 0_u64;
    for group in body.get_locals_reader().map_err(|error| malformed(&error))? {
        let (count, _) = group.map_err(|error| malformed(&error))?;
        locals = locals.saturating_add(count.into());
    }
    // What is within what: whether it is a loop.
    let mut within = Vec::new();
    let (mut loops, mut deepest) = (0_u64, 0_u64);
    for operator in body.get_operators_reader().map_err(|error| malformed(&error))? {
        match operator.map_err(|error| malformed(&error))? {
            Operator::Loop { .. } => {
                within.push(true);
                loops = loops.saturating_add(1);
                deepest = deepest.max(loops);
            }
            Operator::Block { .. } | Operator::If { .. } | Operator::TryTable { .. } => within.push(false),
            Operator::End => {
                loops = loops.saturating_sub(u64::from(within.pop().unwrap_or_default()));
            }
            _ => {}
        }
    }
    if deepest.saturating_mul(locals) > MAX_LOOPED_LOCALS {
        return Err(LoadError::new(
            "function-too-deep",
            format!(
                "the module has a function with {locals} locals and {deepest} nested loops, and they may come to {MAX_LOOPED_LOCALS} multiplied: compiling it would take too long; split the function"
            ),
        ));
    }
    Ok(())
}

fn malformed(error: &BinaryReaderError) -> LoadError {
    LoadError::new(
        "not-a-component",
        format!(
            "the module is not a WebAssembly component: {}: is the file whole?",
            shown(&error.to_string())
        ),
    )
}

fn check_import(name: &str) -> Result<(), LoadError> {
    if IMPORTS.iter().any(|interface| contract::is_spoken(name, interface)) {
        return Ok(());
    }
    if IMPORTS.iter().any(|interface| name.strip_prefix(interface).is_some_and(|rest| rest.starts_with('@')))
    {
        return Err(LoadError::new(
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
    Err(LoadError::new("forbidden-import", format!("the module imports `{}`: {advice}", shown(name))))
}

fn exports(
    engine: &Engine,
    component: &Component,
) -> Result<(ComponentExportIndex, ComponentExportIndex), LoadError> {
    let ty = component.component_type();
    let missing = |what: &str| {
        LoadError::new(
            "missing-export",
            format!(
                "the module does not export {what}: a policy is a component of the world `ztlib:policy/policy`"
            ),
        )
    };
    let name = ty
        .exports(&engine.engine)
        .map(|(name, _)| name)
        .find(|name| contract::is_spoken(name, EXPORT))
        .ok_or_else(|| missing("`ztlib:policy/guard@0.1`"))?;
    let guard = component.get_export_index(None, name).ok_or_else(|| missing("`ztlib:policy/guard@0.1`"))?;
    let function = |function: &str| {
        component.get_export_index(Some(&guard), function).ok_or_else(|| missing(&format!("`{function}`")))
    };
    Ok((function("configure")?, function("decide")?))
}

/// An error of the engine with its causes, in one line.
fn chain(error: &wasmtime::Error) -> String {
    shown(&error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

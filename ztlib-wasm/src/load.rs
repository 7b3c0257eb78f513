//! Bytes → checked component → compiled code that is linked to the contract and nothing else.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, Instance, InstancePre, TypedFunc};
use ztlib_contract::escaped as shown;

use super::contract::{self, EXPORT};
use super::engine::Sandbox;
use super::evaluate::{State, WitAnswer};
use super::weigh::Weight;
use ztlib_contract::Budget;
use ztlib_contract::engine::EngineError;

/// A module, compiled and linked once.
pub(crate) struct Compiled {
    weight: Weight,
    /// Keeps the engine's settings beside the code that was made with them.
    engine: Arc<Sandbox>,
    pre: InstancePre<State>,
    configure: ComponentExportIndex,
    decide: ComponentExportIndex,
}

/// `configure: func(config: list<u8>) -> result<_, string>`
pub(crate) type Configure = TypedFunc<(Arc<[u8]>,), (Result<(), String>,)>;
/// `decide: func() -> answer`
pub(crate) type Decide = TypedFunc<(), (WitAnswer,)>;

impl Compiled {
    /// Checks, compiles and links. It takes milliseconds to seconds: never on the path of a
    /// request.
    pub(crate) fn new(engine: Arc<Sandbox>, bytes: &[u8], budget: &Budget) -> Result<Self, EngineError> {
        // Everything that can be said before a compiler has seen the module: what it is, how much
        // it is, what it wants.
        let weight = Weight::of(bytes, budget)?;
        let component = Component::from_binary(&engine.engine, bytes).map_err(|error| {
            EngineError::new("not-compilable", format!("the module does not compile: {}", chain(&error)))
        })?;
        let pre = engine.linker.instantiate_pre(&component).map_err(|error| {
            EngineError::new(
                "wrong-contract",
                format!(
                    "the module imports the contract in a form that this host does not have: {}: build it against this host's `wit/policy.wit`",
                    chain(&error)
                ),
            )
        })?;
        let (configure, decide) = exports(&engine, &component)?;
        Ok(Self { weight, engine, pre, configure, decide })
    }

    /// Whether compiling it was within this budget: compiled code is shared by policies with
    /// budgets of their own.
    pub(crate) fn fits(&self, budget: &Budget) -> Result<(), EngineError> {
        self.weight.fits(budget)
    }

    /// Fuel that each start of it costs, besides what its own code takes.
    pub(crate) fn start_fuel(&self) -> u64 {
        self.weight.start()
    }

    pub(crate) fn engine(&self) -> &wasmtime::Engine {
        &self.engine.engine
    }

    pub(crate) fn instance(&self, store: &mut Store<State>) -> wasmtime::Result<Instance> {
        self.pre.instantiate(store)
    }

    pub(crate) fn configure(
        &self,
        instance: &Instance,
        store: &mut Store<State>,
    ) -> wasmtime::Result<Configure> {
        instance.get_typed_func(store, self.configure)
    }

    pub(crate) fn decide(&self, instance: &Instance, store: &mut Store<State>) -> wasmtime::Result<Decide> {
        instance.get_typed_func(store, self.decide)
    }
}

fn exports(
    engine: &Sandbox,
    component: &Component,
) -> Result<(ComponentExportIndex, ComponentExportIndex), EngineError> {
    let ty = component.component_type();
    let missing = |what: &str| {
        EngineError::new(
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

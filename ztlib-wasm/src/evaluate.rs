//! One fresh store, one question, one answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use wasmtime::component::{ComponentType, Instance, Lift};
use wasmtime::{ResourceLimiter, Store};

use super::constants::{ConstantError, Constants, Gathering};
use super::engine::{CORE_INSTANCES_EACH, STACK_BYTES, TICK};
use super::load::Compiled;
use super::stop::{self, Stop};
use ztlib_contract::Budget;
use ztlib_contract::engine::EngineError;
use ztlib_contract::engine::{Call, Evaluated, Policy};
use ztlib_contract::{Answer, Fault};

/// A policy that can be asked: compiled code, its configuration, its budget.
#[derive(Clone)]
pub(crate) struct WasmPolicy {
    compiled: Arc<Compiled>,
    budget: Arc<Budget>,
    configured: Configured,
}

/// When `configure` is called.
#[derive(Clone)]
enum Configured {
    /// It was, when the policy was loaded, and left these behind.
    Once(Arc<Constants>),
    /// In every instance, with this configuration.
    EachTime(Arc<[u8]>),
}

impl WasmPolicy {
    /// A policy that was started and configured once, to see that it can be.
    pub(crate) fn new(
        compiled: Arc<Compiled>,
        config: Arc<[u8]>,
        budget: Arc<Budget>,
    ) -> Result<Self, EngineError> {
        compiled.fits(&budget)?;
        if config.len() > budget.config_bytes {
            let (bytes, limit) = (config.len(), budget.config_bytes);
            return Err(EngineError::new(
                "config-too-large",
                format!(
                    "the configuration is {bytes} bytes as JSON, and the budget's `config-bytes` is {limit}"
                ),
            ));
        }
        let mut policy = Self { compiled, budget, configured: Configured::EachTime(config.clone()) };
        if let Some(constants) = policy.configure_once(config).map_err(|error| stop::load_error(&error))? {
            policy.configured = Configured::Once(constants);
        }
        Ok(policy)
    }

    /// Starts and configures the policy; the constants that it sealed.
    fn configure_once(&self, config: Arc<[u8]>) -> wasmtime::Result<Option<Arc<Constants>>> {
        let mut store = self.store(Box::new(Call::without_question()));
        // A constant may be as long as all of them together. What is a little longer is refused in
        // words of its own.
        let constant_bytes = self.budget.constant_bytes.saturating_mul(2);
        store.set_hostcall_fuel(self.budget.argument_bytes.saturating_add(constant_bytes));
        on_enough_stack(|| {
            let instance = self.start(&mut store)?;
            store.set_fuel(self.budget.config_fuel)?;
            store.data_mut().phase = Phase::Loading(Box::new(Gathering::new(&self.budget)));
            self.configure(&instance, &mut store, config)?;
            self.compiled.decide(&instance, &mut store)
        })?;
        match store.into_data().phase {
            Phase::Loading(gathering) => Ok(gathering.finish().map_err(Stop::Constant)?),
            Phase::Starting | Phase::Deciding => Ok(None),
        }
    }

    /// Evaluates in an instance of its own, which is thrown away. Fuel is what was used, start and
    /// `configure` included; where it trapped, what was used up to the last call out of it.
    fn ask(&self, call: Box<Call>) -> Evaluated {
        let mut store = self.store(call);
        let mut given = self.budget.fuel;
        // A panic can only come from the application's own code behind a read (a source of
        // signals): it refuses this request and harms no other.
        let ran = catch_unwind(AssertUnwindSafe(|| on_enough_stack(|| self.run(&mut store, &mut given))));
        let result = match ran {
            Ok(ran) => ran.map_err(|error| stop::fault(&error)),
            Err(_) => Err(Fault::new("panicked", "the application's code behind a read panicked")),
        };
        let fuel = given.saturating_sub(store.get_fuel().unwrap_or(0));
        Evaluated { call: store.into_data().call, result, fuel }
    }

    /// `given` is the fuel that the policy was given so far, less what it gave back.
    fn run(&self, store: &mut Store<State>, given: &mut u64) -> wasmtime::Result<Answer> {
        let instance = self.start(store)?;
        if let Configured::EachTime(config) = &self.configured {
            let left = store.get_fuel()?;
            store.set_fuel(self.budget.config_fuel)?;
            *given = given.saturating_sub(left).saturating_add(self.budget.config_fuel);
            self.configure(&instance, store, config.clone())?;
            *given = given.saturating_sub(store.get_fuel()?).saturating_add(left);
            store.set_fuel(left)?;
        }
        let decide = self.compiled.decide(&instance, store)?;
        store.data_mut().phase = Phase::Deciding;
        let (answer,) = decide.call(&mut *store, ())?;
        Ok(answer.into())
    }

    /// A fresh instance. It is paid for before it is made: neither its data nor its tables are code
    /// that could be metered.
    fn start(&self, store: &mut Store<State>) -> wasmtime::Result<Instance> {
        let left = self.budget.fuel.checked_sub(self.compiled.start_fuel()).ok_or(Stop::FuelSpent)?;
        store.set_fuel(left)?;
        let ticks = self.budget.wall_clock.as_nanos().div_ceil(TICK.as_nanos());
        // One more: the tick that is running has begun already.
        store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX / 2).saturating_add(1));
        self.compiled.instance(store)
    }

    fn configure(
        &self,
        instance: &Instance,
        store: &mut Store<State>,
        config: Arc<[u8]>,
    ) -> wasmtime::Result<()> {
        let configure = self.compiled.configure(instance, store)?;
        match configure.call(&mut *store, (config,))? {
            (Ok(()),) => Ok(()),
            (Err(text),) => Err(Stop::Refused(text).into()),
        }
    }

    fn store(&self, call: Box<Call>) -> Store<State> {
        let limits = Limits::new(&self.budget);
        let constants = match &self.configured {
            Configured::Once(constants) => Some(constants.clone()),
            Configured::EachTime(_) => None,
        };
        let state = State { call, phase: Phase::Starting, constants, limits };
        let mut store = Store::new(self.compiled.engine(), state);
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(self.budget.argument_bytes);
        store.set_max_component_handles(Limits::HANDLES);
        store
    }
}

impl Policy for WasmPolicy {
    fn evaluate(&self, call: Box<Call>) -> Evaluated {
        self.ask(call)
    }

    /// A component has no other way to learn anything (T1, T2, T3).
    fn is_tracked(&self) -> bool {
        true
    }
}

/// Runs a policy on this thread's own stack, or on one made for it where too little is left: what
/// the engine may give a policy must be there, or its check for overflow comes after the end of the
/// thread's stack, which ends the process.
fn on_enough_stack<T>(run: impl FnOnce() -> T) -> T {
    /// Beside the policy's own: for the host's code that it calls, an application's source of
    /// signals included.
    const FOR_THE_HOST: usize = 256 << 10;
    const NEEDED: usize = STACK_BYTES + FOR_THE_HOST;
    // A made stack is mapped for one evaluation, and larger, so that what is called on it finds as
    // much as on this thread's own.
    stacker::maybe_grow(NEEDED, 2 * NEEDED, run)
}

/// What a store holds for its policy.
pub(crate) struct State {
    call: Box<Call>,
    phase: Phase,
    /// What a sealed policy put aside.
    constants: Option<Arc<Constants>>,
    limits: Limits,
}

/// What a policy may do.
enum Phase {
    /// Put constants aside: `configure` runs when the policy is loaded.
    Loading(Box<Gathering>),
    /// Nothing: an instance is made, or configured once more.
    Starting,
    /// Ask, say, and get constants: `decide` runs.
    Deciding,
}

impl State {
    pub(crate) fn deciding(&mut self, function: &'static str) -> Result<&mut Call, Stop> {
        if matches!(self.phase, Phase::Deciding) {
            Ok(&mut self.call)
        } else {
            Err(Stop::OutsideDecide(function))
        }
    }

    /// Where constants are put aside.
    pub(crate) fn loading(&mut self, function: &'static str) -> Result<&mut Gathering, Stop> {
        match &mut self.phase {
            Phase::Loading(gathering) => Ok(gathering),
            Phase::Starting | Phase::Deciding => Err(ConstantError::NotLoading(function).into()),
        }
    }

    pub(crate) fn constant(&self, function: &'static str, key: &str) -> Result<Option<Arc<[u8]>>, Stop> {
        match self.phase {
            Phase::Deciding => Ok(self.constants.as_ref().and_then(|constants| constants.get(key))),
            Phase::Loading(_) | Phase::Starting => Err(Stop::OutsideDecide(function)),
        }
    }
}

/// The answer as the contract spells it.
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "only the engine makes them, out of what a policy returns")]
pub(crate) enum WitAnswer {
    #[component(name = "allow")]
    Allow,
    #[component(name = "deny")]
    Deny,
    #[component(name = "abstain")]
    Abstain,
}

impl From<WitAnswer> for Answer {
    fn from(answer: WitAnswer) -> Self {
        match answer {
            WitAnswer::Allow => Self::Allow,
            WitAnswer::Deny => Self::Deny,
            WitAnswer::Abstain => Self::Abstain,
        }
    }
}

/// Memory and tables of one instance. Whatever cannot be had is a trap: a −1 would tell the policy
/// something about the host that stands in no trace.
struct Limits {
    memory: Limit,
    table: Limit,
}

/// All memories, or all tables, together.
struct Limit {
    limit: usize,
    used: usize,
}

impl Limit {
    /// The new total, if it fits.
    fn grow(&mut self, current: usize, desired: usize) -> Result<(), usize> {
        let wanted = self.used.saturating_add(desired.saturating_sub(current));
        if wanted > self.limit {
            return Err(wanted);
        }
        self.used = wanted;
        Ok(())
    }
}

impl Limits {
    /// Components are made of few memories and tables; what is over this is a bomb.
    const PARTS: usize = 16;
    /// The contract has no resources; a component may use some between its own parts.
    const HANDLES: usize = 64;

    fn new(budget: &Budget) -> Self {
        Self {
            memory: Limit { limit: budget.memory_bytes, used: 0 },
            table: Limit { limit: budget.table_elements, used: 0 },
        }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let limit = maximum.map_or(self.memory.limit, |maximum| maximum.min(self.memory.limit));
        if desired > limit {
            return Err(Stop::Memory { wanted: desired, limit }.into());
        }
        self.memory.grow(current, desired).map_err(|wanted| Stop::Memory { wanted, limit })?;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Stop::NotGrown(error.to_string()).into())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let limit = maximum.map_or(self.table.limit, |maximum| maximum.min(self.table.limit));
        if desired > limit {
            return Err(Stop::Table { wanted: desired, limit }.into());
        }
        self.table.grow(current, desired).map_err(|wanted| Stop::Table { wanted, limit })?;
        Ok(true)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Stop::NotGrown(error.to_string()).into())
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_EACH as usize
    }

    fn tables(&self) -> usize {
        Self::PARTS
    }

    fn memories(&self) -> usize {
        Self::PARTS
    }
}

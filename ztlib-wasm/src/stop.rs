//! What stops a policy, and the fault or load error that it becomes.

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use ztlib_contract::escaped as shown;

use super::constants::ConstantError;
use ztlib_contract::engine::EngineError;
use ztlib_contract::{Fault, OutcomeFault, ReadFault};

/// Raised by the host's side of a call: it travels through the guest as a trap and comes out whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error(transparent)]
    Read(#[from] ReadFault),
    #[error(transparent)]
    Outcome(#[from] OutcomeFault),
    #[error(transparent)]
    Constant(#[from] ConstantError),
    #[error("the policy's fuel is spent")]
    FuelSpent,
    #[error("the policy's memory may not grow to {wanted} bytes: the limit is {limit}")]
    Memory { wanted: usize, limit: usize },
    #[error("the policy's tables may not grow to {wanted} elements: the limit is {limit}")]
    Table { wanted: usize, limit: usize },
    #[error("the policy's memory or table could not grow: {0}")]
    NotGrown(String),
    #[error("`{0}` was called outside of `decide`")]
    OutsideDecide(&'static str),
    #[error("a text that the policy handed over is not UTF-8")]
    NotUtf8,
    #[error("`{0}` gave a value of another type than the contract says")]
    Mismatch(&'static str),
    #[error("`configure` refused the configuration: {0}")]
    Refused(String),
}

impl Stop {
    fn code(&self) -> &'static str {
        match self {
            Self::Read(fault) => fault.code(),
            Self::Outcome(fault) => fault.code(),
            Self::Constant(error) => error.code(),
            Self::FuelSpent => "fuel-spent",
            Self::Memory { .. } => "memory-limit",
            Self::Table { .. } => "table-limit",
            Self::NotGrown(_) => "memory-limit",
            Self::OutsideDecide(_) => "read-outside-decide",
            Self::NotUtf8 => "bad-argument",
            Self::Mismatch(_) => "internal",
            Self::Refused(_) => "configure-refused",
        }
    }
}

/// The fault that ended an evaluation.
pub(crate) fn fault(error: &wasmtime::Error) -> Fault {
    let (code, detail) = explain(error);
    let fault = Fault::new(code, detail);
    match error.downcast_ref::<Stop>() {
        Some(Stop::Read(read)) => fault.of(read.origin()),
        _ => fault,
    }
}

/// Why a policy cannot start: the same, at load.
pub(crate) fn load_error(error: &wasmtime::Error) -> EngineError {
    let (code, detail) = explain(error);
    if let Some(Stop::Constant(error)) = error.downcast_ref::<Stop>() {
        return EngineError::new(code, format!("{detail}: {}", error.advice()));
    }
    match code {
        "configure-refused" => {
            EngineError::new(code, format!("{detail}: correct the policy's configuration"))
        }
        "read-outside-decide" => EngineError::new(
            code,
            format!(
                "{detail}, while the policy was started or configured: only `decide` may ask or say anything"
            ),
        ),
        _ => {
            let error =
                EngineError::new(code, format!("the policy cannot be started and configured: {detail}"));
            match budget_key(code) {
                Some(key) => error.advising(&format!("if it needs more, raise `{key}` in its `budget`")),
                None => error,
            }
        }
    }
}

/// What of a policy's budget was spent when it was started and configured.
fn budget_key(code: &str) -> Option<&'static str> {
    match code {
        "fuel-spent" => Some("config-fuel` or, where its start took it, `fuel"),
        "memory-limit" => Some("memory-bytes"),
        "table-limit" => Some("table-elements"),
        "deadline-passed" => Some("wall-clock-ms"),
        _ => None,
    }
}

fn explain(error: &wasmtime::Error) -> (&'static str, String) {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return (stop.code(), shown(&stop.to_string()));
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        let code = match trap {
            Trap::OutOfFuel => "fuel-spent",
            Trap::Interrupt => "deadline-passed",
            Trap::StackOverflow => "stack-overflow",
            _ => "trap",
        };
        return (code, format!("{}{}", shown(&trap.to_string()), functions(error)));
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return ("pool-exhausted", "more evaluations run at once than there are places for".to_owned());
    }
    // What remains are values that do not fit the contract's types: given to the host by a call out
    // of the guest (then the guest is on the stack), or by its answer.
    let code = if error.is::<WasmBacktrace>() { "bad-argument" } else { "bad-answer" };
    (code, format!("{}{}", shown(&error.root_cause().to_string()), functions(error)))
}

/// The innermost functions of the guest, where its module has names.
fn functions(error: &wasmtime::Error) -> String {
    let names: Vec<String> = error
        .downcast_ref::<WasmBacktrace>()
        .into_iter()
        .flat_map(WasmBacktrace::frames)
        .filter_map(|frame| frame.func_name().map(|name| format!("`{}`", shown(name))))
        .take(3)
        .collect();
    if names.is_empty() { String::new() } else { format!(", in {}", names.join(" called by ")) }
}

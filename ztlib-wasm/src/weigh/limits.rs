//! The bounds, and the words in which they refuse. All of them together bound what the load of any
//! file can take (`docs/operations.md`); what compilers make of a policy, or of the interpreter of
//! a whole language, stays far below each.

use super::wide;
use ztlib_contract::engine::EngineError;

/// Parameters and results of one instruction beyond these are counted: they cost as much as
/// instructions of their own.
pub(crate) const FREE_VALUES: u64 = 4;
/// Values beyond the free ones, in one function and in all functions together.
pub(crate) const FUNCTION_VALUES: Bound =
    Bound("too-many-values", "parameters and results of instructions in one function", 1 << 16);
pub(crate) const VALUES: Bound =
    Bound("too-many-values", "parameters and results of instructions and functions", 1 << 19);

/// Locals of all functions together. They are written as a count, so that 50 000 take five bytes.
pub(crate) const LOCALS: Bound = Bound("too-many-locals", "locals in all its functions", 1 << 20);

/// A local that is used within nested loops is a parameter of each of them once it is compiled:
/// what that costs grows with depth times locals, whatever the function's size.
pub(crate) const LOOPED_LOCALS: Bound =
    Bound("function-too-deep", "nested loops times locals in one function", 1 << 17);

/// What lives (locals, and values that wait on the stack) where the control flow of one function
/// parts or joins, summed over these places: each may carry all of it on.
pub(crate) const FUNCTION_FLOW: Bound =
    Bound("function-too-deep", "branches times what lives across them, in one function", 1 << 24);
pub(crate) const FLOW: Bound = Bound("function-too-deep", "branches times what lives across them", 1 << 26);

/// Types, imports, functions, globals, exports and segments of all core modules, besides four times
/// the budget's `functions`.
pub(crate) const DEFINITIONS: u64 = 1 << 17;

/// Core modules that are defined.
pub(crate) const MODULES: Bound = Bound("too-many-instances", "core modules", 256);
/// Instances of core modules, once nested components stand in the places where they are
/// instantiated.
pub(crate) const CORE_INSTANCES: Bound = Bound("too-many-instances", "instances of core modules", 64);

/// Everything that a component names, nested components as often as they are instantiated, types
/// with all that is in them.
pub(crate) const PARTS: Bound = Bound("component-too-complex", "parts, its nested ones multiplied", 1 << 17);
/// How deep components may lie in each other.
pub(crate) const COMPONENT_DEPTH: Bound = Bound("nested-too-deep", "components in each other", 4);
/// How deep types may lie in each other: the parser calls itself for each, so that it is asked
/// before the parser is.
pub(crate) const TYPE_DEPTH: Bound = Bound("nested-too-deep", "types in each other", 100);

/// A limit: its code, what it counts, and how many there may be.
#[derive(Clone, Copy)]
pub(crate) struct Bound(&'static str, &'static str, u64);

impl Bound {
    /// Refuses what is over the limit.
    pub(crate) fn check(self, has: u64) -> Result<(), EngineError> {
        let Self(code, what, limit) = self;
        if has <= limit {
            return Ok(());
        }
        Err(EngineError::new(
            code,
            format!(
                "the module comes to {has} {what}, and {limit} is the most: compiling it would take too much time or memory; divide it, or build it with another compiler"
            ),
        ))
    }
}

/// Refuses too many definitions.
pub(crate) fn check_definitions(has: u64, functions: u32) -> Result<(), EngineError> {
    let limit = DEFINITIONS.saturating_add(u64::from(functions).saturating_mul(4));
    Bound("too-many-definitions", "types, imports, exports, globals and segments", limit).check(has)
}

/// Where the memories or tables of modules are larger than a policy's may be.
pub(crate) fn check_defined(
    code: &'static str,
    key: &str,
    has: u64,
    limit: usize,
) -> Result<(), EngineError> {
    if has <= wide(limit) {
        return Ok(());
    }
    Err(EngineError::new(
        code,
        format!(
            "the modules in it begin with {has}, and the budget allows {limit}: raise `{key}` if the policy needs more"
        ),
    ))
}

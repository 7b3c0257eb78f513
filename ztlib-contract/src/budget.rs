//! What one policy may use. There is no policy without a budget, and no budget without a limit in
//! it.

use std::time::Duration;

use super::engine::EngineError;
use super::outcome::OutcomeLimits;
use super::reader::ReadLimits;

/// Everything that one policy may use in one evaluation, and what its module may cost to compile.
///
/// Whatever runs out ends the evaluation with a fault (never with a denial): the request is refused
/// and nothing of the evaluation is kept. The stack is 512 KiB for every policy, of the thread that
/// judges (tokio's have 2 MiB). On a thread that has less than 768 KiB left, each evaluation gets a
/// stack of its own, which takes some microseconds more.
///
/// ```
/// use ztlib_contract::Budget;
///
/// let mut budget = Budget::default();
/// budget.fuel = 1_000_000;
/// assert!(budget.check().is_ok());
/// // No policy has more than the engine can give.
/// budget.memory_bytes = 1 << 40;
/// assert_eq!(budget.check().unwrap_err().code(), "budget-too-large");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// Fuel for starting an instance and for `decide`: about one unit an instruction and one a byte
    /// that is copied; a host call costs 200 and one a byte of its arguments and of what comes
    /// back, an instance 200, each of its active segments 50, and each of their elements 4 and
    /// eight of their bytes 1. It is deterministic: the same question costs the same fuel each
    /// time.
    pub fuel: u64,
    /// Fuel for `configure`. A policy that seals its constants is configured once, when it is
    /// loaded; any other in every evaluation.
    pub config_fuel: u64,
    /// Bytes of all linear memories together. Growing further is a trap, not a −1 that the policy
    /// could look at.
    pub memory_bytes: usize,
    /// Elements of all tables together.
    pub table_elements: usize,
    /// The last resort against what fuel does not see. It is coarse (5 ms) and depends on how busy
    /// the machine is: set it so high that fuel runs out first.
    pub wall_clock: Duration,
    /// Bytes that one host call may hand over.
    pub argument_bytes: usize,
    /// Reads.
    pub reads: ReadLimits,
    /// What goes with the answer.
    pub outcome: OutcomeLimits,
    /// Bytes of the module.
    pub module_bytes: usize,
    /// Functions in the module: compiling costs time and memory for each.
    pub functions: u32,
    /// Bytes of the largest function: compiling grows faster than its size.
    pub function_bytes: usize,
    /// Bytes of the configuration, as JSON.
    pub config_bytes: usize,
    /// Constants that the policy may put aside when it is loaded. They live as long as the
    /// revision.
    pub constants: usize,
    /// Bytes of all constants together, their keys included.
    pub constant_bytes: usize,
    /// Bytes of the key of one constant.
    pub constant_key_bytes: usize,
}

impl Default for Budget {
    /// 10 million units of fuel, 50 million for `configure`, 8 MiB of memory, 10 000 table
    /// elements, 100 ms, 16 KiB a host call; a module of 4 MiB with 20 000 functions of at most
    /// 512 KiB, 256 KiB of configuration; 16 384 constants of together 2 MiB with keys of at most 1
    /// KiB; reads and outcome as [`ReadLimits`] and [`OutcomeLimits`] say.
    fn default() -> Self {
        Self {
            fuel: 10_000_000,
            config_fuel: 50_000_000,
            memory_bytes: 8 << 20,
            table_elements: 10_000,
            wall_clock: Duration::from_millis(100),
            argument_bytes: 16 << 10,
            reads: ReadLimits::default(),
            outcome: OutcomeLimits::default(),
            module_bytes: 4 << 20,
            functions: 20_000,
            function_bytes: 512 << 10,
            config_bytes: 256 << 10,
            constants: 16_384,
            constant_bytes: 2 << 20,
            constant_key_bytes: 1 << 10,
        }
    }
}

impl Budget {
    /// The most that a policy can be given.
    pub fn maximum() -> Self {
        Self {
            fuel: 10_000_000_000,
            config_fuel: 10_000_000_000,
            memory_bytes: 64 << 20,
            table_elements: 20_000,
            wall_clock: Duration::from_secs(10),
            argument_bytes: 1 << 20,
            reads: ReadLimits { calls: 65_536, bytes: 16 << 20 },
            outcome: OutcomeLimits {
                message_bytes: 4096,
                headers: 64,
                header_value_bytes: 8192,
                log_bytes: 64 << 10,
            },
            module_bytes: 32 << 20,
            functions: 200_000,
            function_bytes: 4 << 20,
            config_bytes: 4 << 20,
            constants: 262_144,
            constant_bytes: 32 << 20,
            constant_key_bytes: 16 << 10,
        }
    }

    /// Whether the engine can give as much.
    ///
    /// # Errors
    /// `budget-too-large`, naming the first part that is over [`Budget::maximum`].
    pub fn check(&self) -> Result<(), EngineError> {
        let most = Self::maximum();
        let parts = [
            ("fuel", self.fuel <= most.fuel),
            ("config-fuel", self.config_fuel <= most.config_fuel),
            ("memory-bytes", self.memory_bytes <= most.memory_bytes),
            ("table-elements", self.table_elements <= most.table_elements),
            ("wall-clock-ms", self.wall_clock <= most.wall_clock),
            ("argument-bytes", self.argument_bytes <= most.argument_bytes),
            ("reads", self.reads.calls <= most.reads.calls),
            ("read-bytes", self.reads.bytes <= most.reads.bytes),
            ("message-bytes", self.outcome.message_bytes <= most.outcome.message_bytes),
            ("headers", self.outcome.headers <= most.outcome.headers),
            ("header-value-bytes", self.outcome.header_value_bytes <= most.outcome.header_value_bytes),
            ("log-bytes", self.outcome.log_bytes <= most.outcome.log_bytes),
            ("module-bytes", self.module_bytes <= most.module_bytes),
            ("functions", self.functions <= most.functions),
            ("function-bytes", self.function_bytes <= most.function_bytes),
            ("config-bytes", self.config_bytes <= most.config_bytes),
            ("constants", self.constants <= most.constants),
            ("constant-bytes", self.constant_bytes <= most.constant_bytes),
            ("constant-key-bytes", self.constant_key_bytes <= most.constant_key_bytes),
        ];
        match parts.into_iter().find(|(_, fits)| !fits) {
            None => Ok(()),
            Some((part, _)) => Err(EngineError::new(
                "budget-too-large",
                format!(
                    "the budget's `{part}` is more than the engine gives to any policy: lower it (see `Budget::maximum`)"
                ),
            )),
        }
    }
}

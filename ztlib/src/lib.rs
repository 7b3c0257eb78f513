#![doc = include_str!("../README.md")]
#![cfg_attr(
    not(all(
        feature = "peers",
        feature = "tokens",
        feature = "server",
        feature = "wasm",
        feature = "manifest",
        feature = "trial"
    )),
    allow(
        dead_code,
        unused_imports,
        unused_variables,
        unreachable_code,
        reason = "used only by features that are off"
    )
)]

// The four stages, in the order in which a request meets them.

// 1. Who is calling? Establishes facts; decides nothing.
pub mod authenticate;

// 2. May they? Pure: takes a question and returns a decision.
pub mod authorize;

// 3. Lets the request through or refuses it. Only this stage may say yes.
pub mod enforce;

// 4. Records what was decided.
pub mod observe;

// Where policy sets come from. Not on the path of a request.
pub mod policies;

// What the stages build on.

// The acceptor that both adapters use.
#[cfg(feature = "server")]
pub mod tls;

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;

mod clock;
mod counters;
mod digest;
mod held;
mod hex;
#[cfg(any(feature = "peers", feature = "tokens"))]
mod live;
mod load_error;
mod origin;
mod pem;
mod remote_addr;
mod request_id;
pub use clock::{Clock, SystemClock};
pub use remote_addr::RemoteAddr;

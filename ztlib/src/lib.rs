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
        reason = "only a part left out uses it"
    )
)]

// The four stages, in the order in which a request meets them.

// 1. Who is calling? Produces facts and judges nothing.
pub mod authenticate;

// 2. May they? Pure: a question in, a decision out.
pub mod authorize;

// 3. Let through or refuse. The only place that may say yes.
pub mod enforce;

// 4. What is left behind.
pub mod observe;

// Where policy sets come from: on the path of no request.
pub mod policies;

// What the stages stand on.

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

#![doc = include_str!("../README.md")]

// The four stages, in the order in which a request meets them.

// 1. Who is calling? Produces facts and judges nothing.
pub mod authenticate;

// 2. May they? Pure: a question in, a decision out.
pub mod authorize;

// 3. Let through or refuse. The only place that may say yes.
pub mod enforce;

// 4. What is left behind.
pub mod observe;

// What the stages stand on.

// The acceptor that both adapters use.
pub mod tls;

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;

mod clock;
mod held;
mod hex;
mod pem;
pub use clock::{Clock, SystemClock};

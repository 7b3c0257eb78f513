//! `export_policy!`.

/// Export a type that implements [`Policy`](crate::Policy) as the policy of this crate, which is a `cdylib`.
///
/// ```
/// # use ztlib_policy::{export_policy, Answer, Policy, Question};
/// struct Closed;
/// impl Policy for Closed {
///     fn configure(_: &[u8]) -> Result<Self, String> { Ok(Closed) }
///     fn decide(&self, _: &Question) -> Answer { Answer::Deny }
/// }
/// export_policy!(Closed, arena = 64 * 1024);
/// # fn main() {}
/// ```
///
/// | argument | meaning |
/// |---|---|
/// | `arena = BYTES` | Memory that the policy has from the start, for its configuration and everything made from it; 16 KiB where it is not given. A policy that needs more grows its memory, which makes each evaluation several microseconds dearer; the host's budget is the end. |
/// | `no_std` | The crate says `#![cfg_attr(target_arch = "wasm32", no_std)]`. It comes out a little smaller, and the macro adds the panic handler, which traps. |
///
/// Outside of WebAssembly it expands to nothing but a check that the type is a policy, so that `cargo test` works.
#[macro_export]
macro_rules! export_policy {
    ($policy:ty) => {
        $crate::export_policy!($policy, arena = 16 * 1024);
    };
    ($policy:ty, no_std) => {
        $crate::export_policy!($policy, arena = 16 * 1024, no_std);
    };
    ($policy:ty, arena = $bytes:expr, no_std) => {
        $crate::export_policy!($policy, arena = $bytes);

        #[cfg(target_arch = "wasm32")]
        #[panic_handler]
        fn __ztlib_policy_panic(_: &::core::panic::PanicInfo<'_>) -> ! {
            $crate::guest::trap()
        }
    };
    ($policy:ty, arena = $bytes:expr) => {
        #[cfg(target_arch = "wasm32")]
        #[doc(hidden)]
        #[allow(unsafe_code, reason = "the exports of a component are unsafe symbols")]
        mod __ztlib_policy {
            use super::*;

            #[global_allocator]
            static ARENA: $crate::guest::Arena<{ $bytes }> = $crate::guest::Arena::new();

            static POLICY: $crate::guest::Slot<$policy> = $crate::guest::Slot::new();

            struct Guard;

            impl $crate::guest::guard::Guest for Guard {
                fn configure(
                    config: $crate::alloc::vec::Vec<u8>,
                ) -> ::core::result::Result<(), $crate::alloc::string::String> {
                    POLICY.configure(&config)
                }

                fn decide() -> $crate::guest::guard::Answer {
                    POLICY.decide()
                }
            }

            $crate::guest::bindings::__export_guard!(Guard with_types_in $crate::guest::bindings);
        }

        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn is_a_policy<P: $crate::Policy>() {}
            is_a_policy::<$policy>();
        };
    };
}

//! `export_policy!`.

/// Export a type that implements [`Policy`](crate::Policy) as the policy of this crate, which is a
/// `cdylib`.
///
/// ```
/// # use ztlib_policy::{export_policy, Answer, Policy, Question};
/// struct Closed;
/// impl Policy for Closed {
///     fn configure(_: &[u8]) -> Result<Self, String> { Ok(Closed) }
///     fn decide(&self, _: &Question) -> Answer { Answer::Deny }
/// }
/// export_policy!(Closed, arena = 8 * 1024);
/// # fn main() {}
/// ```
///
/// - `sealed`: The type also implements [`Constant`](crate::constants::Constant): it is configured
///   once, when it is loaded, put aside, and unpacked in each evaluation. Without it `configure`
///   runs in every evaluation.
/// - `arena = BYTES`: Memory that the policy has from the start; 16 KiB where it is not given. It
///   has to hold what one evaluation needs and, for a policy that is not sealed, its configuration
///   and everything made from it. A policy that needs more grows its memory, which makes each such
///   evaluation several microseconds dearer; the host's budget is the end.
/// - `no_std`: The crate says `#![cfg_attr(target_arch = "wasm32", no_std)]`. It comes out a little
///   smaller, and the macro adds the panic handler, which traps.
///
/// They are given in this order. Outside of WebAssembly it expands to nothing but a check of the
/// type, so that `cargo test` works.
#[macro_export]
macro_rules! export_policy {
    ($policy:ty) => {
        $crate::export_policy!(@each $policy, 16 * 1024);
    };
    ($policy:ty, no_std) => {
        $crate::export_policy!(@each $policy, 16 * 1024);
        $crate::export_policy!(@panic);
    };
    ($policy:ty, arena = $bytes:expr, no_std) => {
        $crate::export_policy!(@each $policy, $bytes);
        $crate::export_policy!(@panic);
    };
    ($policy:ty, arena = $bytes:expr) => {
        $crate::export_policy!(@each $policy, $bytes);
    };
    ($policy:ty, sealed) => {
        $crate::export_policy!(@sealed $policy, 16 * 1024);
    };
    ($policy:ty, sealed, no_std) => {
        $crate::export_policy!(@sealed $policy, 16 * 1024);
        $crate::export_policy!(@panic);
    };
    ($policy:ty, sealed, arena = $bytes:expr, no_std) => {
        $crate::export_policy!(@sealed $policy, $bytes);
        $crate::export_policy!(@panic);
    };
    ($policy:ty, sealed, arena = $bytes:expr) => {
        $crate::export_policy!(@sealed $policy, $bytes);
    };
    (@panic) => {
        #[cfg(target_arch = "wasm32")]
        #[panic_handler]
        fn __ztlib_policy_panic(_: &::core::panic::PanicInfo<'_>) -> ! {
            $crate::guest::trap()
        }
    };
    (@each $policy:ty, $bytes:expr) => {
        $crate::export_policy!(@guard $bytes, {
            static POLICY: $crate::guest::Slot<$policy> = $crate::guest::Slot::new();
        }, config, POLICY.configure(&config), POLICY.decide());

        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn is_a_policy<P: $crate::Policy>() {}
            is_a_policy::<$policy>();
        };
    };
    (@sealed $policy:ty, $bytes:expr) => {
        $crate::export_policy!(
            @guard $bytes, {}, config,
            $crate::guest::seal::<$policy>(&config),
            $crate::guest::decide_sealed::<$policy>()
        );

        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn can_be_sealed<P: $crate::Policy + for<'a> $crate::constants::Constant<'a>>() {}
            can_be_sealed::<$policy>();
        };
    };
    (@guard $bytes:expr, { $($item:item)* }, $config:ident, $configure:expr, $decide:expr) => {
        #[cfg(target_arch = "wasm32")]
        #[doc(hidden)]
        #[allow(unsafe_code, reason = "the exports of a component are unsafe symbols")]
        mod __ztlib_policy {
            use super::*;

            static ROOM: $crate::guest::Room<{ $bytes }> = $crate::guest::Room::new();

            #[global_allocator]
            #[unsafe(export_name = "ztlib-arena")]
            static ARENA: $crate::guest::Arena = $crate::guest::Arena::of(&ROOM);

            $($item)*

            struct Guard;

            impl $crate::guest::guard::Guest for Guard {
                fn configure(
                    $config: $crate::alloc::vec::Vec<u8>,
                ) -> ::core::result::Result<(), $crate::alloc::string::String> {
                    $configure
                }

                fn decide() -> $crate::guest::guard::Answer {
                    $decide
                }
            }

            $crate::guest::bindings::__export_guard!(Guard with_types_in $crate::guest::bindings);
        }
    };
}

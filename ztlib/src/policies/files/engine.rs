//! The engine that turns components into policies.

use std::sync::Arc;

use ztlib_contract::engine::Engine;

use crate::load_error::LoadError;

/// The sandbox of this process.
#[cfg(feature = "wasm")]
pub(crate) fn engine() -> Result<Arc<dyn Engine>, LoadError> {
    Ok(Arc::new(ztlib_wasm::Engine::shared()?))
}

/// Without a sandbox, only native policies can run.
#[cfg(not(feature = "wasm"))]
pub(crate) fn engine() -> Result<Arc<dyn Engine>, LoadError> {
    Ok(Arc::new(without::NoSandbox))
}

#[cfg(not(feature = "wasm"))]
mod without {
    use std::sync::Arc;

    use ztlib_contract::Budget;
    use ztlib_contract::engine::{Engine, EngineError, Policy, Source};

    pub(super) struct NoSandbox;

    impl Engine for NoSandbox {
        fn load(&self, _: Source<'_>, _: Arc<[u8]>, _: &Budget) -> Result<Arc<dyn Policy>, EngineError> {
            Err(EngineError::new(
                "no-sandbox",
                "this build cannot run components: enable the feature `wasm` of ztlib",
            ))
        }

        fn describe(&self) -> String {
            "none".to_owned()
        }
    }
}

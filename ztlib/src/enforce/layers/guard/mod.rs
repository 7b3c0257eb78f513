//! The layer that puts a guard around a service.

mod layer;
mod service;

pub use layer::GuardLayer;
pub use service::Guarded;

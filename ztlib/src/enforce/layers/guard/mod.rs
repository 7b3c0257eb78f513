//! The layer that puts a guard around a service.

mod layer;
mod service;

pub use layer::ZeroTrustLayer;
pub use service::ZeroTrust;

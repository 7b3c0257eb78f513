//! The layer that authenticates the bearer token, alone.

mod layer;
mod service;

pub use layer::AuthenticateTokenLayer;
pub use service::AuthenticateToken;

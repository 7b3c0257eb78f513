//! The layer that authenticates the mTLS peer, alone.

mod layer;
mod service;

pub use layer::AuthenticatePeerLayer;
pub use service::AuthenticatePeer;

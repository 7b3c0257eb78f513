//! Who is calling?
pub mod peer;
pub mod token;

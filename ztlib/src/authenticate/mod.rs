//! Who is calling? Two proofs, each verified in a folder of its own and each usable alone: the
//! certificate of the mTLS [`peer`] and the bearer [`token`]. Together they are the [`Principal`].

pub mod peer;
pub mod token;

mod principal;
pub use principal::Principal;

//! Who is calling? Two proofs, each verified in a folder of its own and each usable alone: the
//! certificate of the mTLS [`peer`] and the bearer [`token`]. Together they are the [`Principal`].

#[cfg(feature = "peers")]
pub mod peer;
#[cfg(feature = "tokens")]
pub mod token;

// What stands there where a service takes no such proof: types of which there is no value.
#[cfg(not(feature = "peers"))]
#[path = "no_peer.rs"]
#[allow(unreachable_pub, reason = "the same names as where there are peers")]
pub(crate) mod peer;
#[cfg(not(feature = "tokens"))]
#[path = "no_token.rs"]
#[allow(unreachable_pub, reason = "the same names as where there are tokens")]
pub(crate) mod token;

mod principal;
pub use principal::Principal;

#![doc = include_str!("../README.md")]

mod ca;
mod client;
mod clock;
mod connection;
mod events;
mod test_guard;
mod tokens;

pub use ca::{Authority, AuthorityDraft, Issued, LeafDraft, RevocationListDraft, a_day};
pub use client::{ClientResult, HttpsClient};
pub use clock::ManualClock;
pub use connection::{Handshake, TlsClient, peer_extensions};
pub use events::{Events, Log};
pub use test_guard::{TestCaller, TestGuard};
pub use tokens::{TokenDraft, TokenIssuer};

//! ztlib-testing

mod clock;
mod tokens;

pub use clock::ManualClock;
pub use tokens::{TokenDraft, TokenIssuer};

//! ztlib-testing

mod ca;

pub use ca::{Authority, AuthorityDraft, Issued, LeafDraft, a_day};

//! What tests ztlib itself: the cases of this folder, the stacks that they are asked of, the
//! reference model beside them, and load. It is not published.

mod load;

pub mod model;
pub mod scenario;
pub mod stack;

pub use load::{Load, LoadReport};

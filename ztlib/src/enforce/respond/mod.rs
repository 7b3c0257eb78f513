//! What the caller receives: the response of a refusal, and the future that the layers return.

mod body;
mod caller;
mod form;
mod future;
mod grpc_status;
mod refusal;

pub use body::ResponseBody;
pub use caller::Protocol;
pub use form::{RefusalForm, Told};
pub use future::ResponseFuture;
pub use refusal::{Cause, Refusal};

pub(crate) use caller::ReplyTo;
pub(crate) use refusal::Challenge;

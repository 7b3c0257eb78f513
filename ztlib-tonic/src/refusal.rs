//! A refusal as a method's error.

use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use ztlib::enforce::{Protocol, Refusal};

/// A [`Refusal`] as the status that a method returns: `guard.ask(…).map_err(ztlib_tonic::status)?`.
/// It has the same code, message and details as a call that the guard itself refuses.
pub fn status(refusal: Refusal) -> Status {
    let code = Code::from_i32(refusal.grpc_code().into());
    let response = refusal.into_response::<axum::body::Body>(Protocol::Grpc);
    match Status::from_header_map(response.headers()) {
        Some(status) => status,
        None => Status::with_metadata(code, "", MetadataMap::new()),
    }
}

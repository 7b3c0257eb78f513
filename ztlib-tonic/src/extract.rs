//! What methods ask their request for: the proof that the guard let the call through, and who is
//! calling.

use serde::de::DeserializeOwned;
use tonic::{Request, Status};
use ztlib::authenticate::Principal;
use ztlib::authenticate::peer::PeerIdentity;
use ztlib::enforce::Permit;

/// What the guard established, on a [`tonic::Request`].
///
/// Where it did not establish what is asked for (the method runs outside of a guard, is public, or
/// the caller came without certificate or token), the answer is INTERNAL and is logged.
// A status is what every tonic method returns.
#[allow(clippy::result_large_err, reason = "tonic::Status is the error of every tonic method")]
pub trait GuardedRequest {
    /// The permit of this call. A method that asks for it cannot run without the guard.
    ///
    /// # Errors
    /// INTERNAL where there is none.
    fn permit(&self) -> Result<&Permit, Status>;

    /// Who is calling.
    ///
    /// # Errors
    /// INTERNAL where no guard ran.
    fn principal(&self) -> Result<&Principal, Status> {
        self.permit().map(Permit::principal)
    }

    /// The mTLS peer.
    ///
    /// # Errors
    /// INTERNAL where no peer was established.
    fn peer_identity(&self) -> Result<&PeerIdentity, Status> {
        self.principal()?.peer().ok_or_else(|| not_guarded("a peer identity"))
    }

    /// The claims of the verified token in a shape of the application's own.
    ///
    /// # Errors
    /// INTERNAL where there is no token or its claims have another shape.
    fn claims<T: DeserializeOwned>(&self) -> Result<T, Status> {
        let claims = self.principal()?.claims().ok_or_else(|| not_guarded("claims"))?;
        claims.deserialize().map_err(|_| not_guarded("claims of a shape that the token does not have"))
    }
}

impl<M> GuardedRequest for Request<M> {
    fn permit(&self) -> Result<&Permit, Status> {
        self.extensions().get().ok_or_else(|| not_guarded("a permit"))
    }
}

fn not_guarded(what: &str) -> Status {
    tracing::error!(target: "ztlib::guard", "a method asked for {what}, which the guard did not establish");
    Status::internal("internal error")
}

//! Who is at the other end of the connection: from the TLS certificates to exactly one [`PeerIdentity`].
//!
//! ```text
//! PeerCertificates (left by the acceptor) → Leaf (parsed) → a path to a root → PeerIdentity | PeerError
//! ```
//!
//! - A peer is a **SPIFFE ID** (SPIFFE-ID and X509-SVID standards): exactly one URI among the leaf's names, vouched for
//!   by the roots of that very trust domain. Or it is a set of **DNS names**, vouched for by an authority to which the
//!   service author has given a name. The subject, its common name, e-mail and IP addresses are never an identity.
//! - Names are compared byte for byte, and are visible ASCII: a NUL, a line break, a direction mark is refused.
//! - The leaf is parsed once a connection. Each request compares the generation of the roots and the dates; where the
//!   roots were replaced, the chain is verified again under the new ones.
//!
//! | loosening | verb |
//! |---|---|
//! | requests without a certificate pass as nobody | [`PeerAuthenticator::allow_unauthenticated`] |
//! | certificates that another acceptor has checked | [`PeerAuthenticator::trust_foreign_acceptor`] |
//! | peers without a SPIFFE ID | [`TrustBuilder::authority`] |
//! | certificates about which no revocation list speaks | [`TrustBuilder::allow_unknown_revocation_status`] |
//! | revocation lists past their next update | [`TrustBuilder::allow_stale_revocation_lists`] |
//!
//! Limits: 8 certificates and 32 KiB a chain, 64 names a leaf, SPIFFE IDs of 2048 bytes, RSA keys of 2048 to 8192 bits.
//! URI name constraints are refused, since they are not evaluated. Revocation lists are
//! given, not fetched: at most 1024 of 64 MiB for each trust domain or authority.

mod authenticator;
mod certificates;
mod error;
mod identity;
mod layer;
mod leaf;
mod printable;
mod rehearsed;
mod revocation;
mod roots;
mod service;
mod spiffe_id;
mod trust;

pub use authenticator::PeerAuthenticator;
pub use certificates::PeerCertificates;
pub use error::PeerError;
pub use identity::PeerIdentity;
pub use layer::PeerIdentityLayer;
pub use revocation::RevocationListFault;
pub use service::PeerIdentityService;
pub use spiffe_id::{SpiffeId, SpiffeIdError, TrustDomain};
pub use trust::{Trust, TrustBuilder, TrustError};

pub(crate) use identity::PeerMark;

//! Who is at the other end of the connection: from the TLS certificates to exactly one
//! [`PeerIdentity`].
//!
//! ```text
//! PeerCertificates (left by the acceptor) → Leaf (parsed) → a path to a root
//!     → PeerIdentity | PeerError
//! ```
//!
//! - A peer is a **SPIFFE ID** (SPIFFE-ID and X509-SVID standards): exactly one URI among the
//!   leaf's names, vouched for by the roots of that very trust domain. Or it is a set of **DNS
//!   names**, vouched for by an authority to which the service author has given a name. The
//!   subject, its common name, e-mail and IP addresses are never an identity.
//! - SPIFFE IDs are compared byte for byte, and are visible ASCII: a NUL, a line break, a direction
//!   mark is refused. DNS names are folded to lower case (RFC 4343). One that cannot be an identity
//!   is none and harms no other: a wildcard, an address in any notation, a name with a point at the
//!   end, an empty or over-long label, or other characters than `a-z 0-9 - _`.
//! - A path to a root is found here, and every rule of RFC 5280 section 6.1 and of X509-SVID is
//!   asked of every certificate on it, the root too; rustls checks the signatures. Certificate
//!   policies are not processed: a critical extension about them refuses. `docs/standards/` says
//!   rule by rule which test shows it.
//! - The leaf is parsed once a connection. Each request compares the generation of the roots and
//!   the dates; where the roots were replaced, the chain is verified again under the new ones.
//!
//! - requests without a certificate pass as nobody: [`PeerAuthenticator::allow_unauthenticated`]
//! - certificates that another acceptor has checked: [`PeerAuthenticator::trust_foreign_acceptor`]
//! - peers without a SPIFFE ID: [`TrustBuilder::authority`]
//! - certificates about which no revocation list speaks:
//!   [`TrustBuilder::allow_unknown_revocation_status`]
//! - revocation lists past their next update: [`TrustBuilder::allow_stale_revocation_lists`]
//!
//! Limits: 8 certificates and 32 KiB a chain, 100 extensions a certificate, 1000 DNS names a peer,
//! SPIFFE IDs of 2048 bytes, RSA keys of 2048 to 8192 bits, 48 signatures and 100 000 comparisons
//! of names with name constraints for each time that a chain is judged. Revocation lists are given,
//! not fetched: at most 1024 of 64 MiB for each trust domain or authority.

mod anchor;
mod authenticator;
mod certificate;
mod certificates;
mod chain_member;
mod constraints;
mod distinguished_name;
mod error;
mod host;
mod identity;
mod leaf;
mod path;
mod revocation;
mod roots;
mod rules;
#[cfg(test)]
mod rules_tests;
mod signature;
mod trust;
mod trust_builder;
mod trust_error;

pub use authenticator::PeerAuthenticator;
pub use certificates::PeerCertificates;
pub use chain_member::{ChainMember, Position};
pub use error::PeerError;
pub use identity::PeerIdentity;
pub use revocation::RevocationListFault;
pub use trust::Trust;
pub use trust_builder::TrustBuilder;
pub use trust_error::TrustError;
pub use ztlib_contract::facts::{SpiffeId, SpiffeIdError, TrustDomain};

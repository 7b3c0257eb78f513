//! The acceptor that belongs in front of a guard.

use super::guard::{Guard, Stage};
use crate::tls::{Acceptor, AcceptorBuilder, ServerIdentity, WantsNothing};

impl Guard {
    /// Begins the acceptor that belongs in front of this guard. It takes its roots, its clock and
    /// whether to ask for a certificate from the guard, so the two cannot disagree about who may
    /// connect.
    ///
    /// - A guard with `peers(…)` gets an acceptor that requires a certificate, unless the
    ///   authenticator [makes it
    ///   optional](crate::authenticate::peer::PeerAuthenticator::allow_unauthenticated).
    /// - A guard with `allow_unauthenticated_peers()` gets an acceptor that asks for no
    ///   certificate. So does a guard with `peers_from_layer()`: only the layer knows its roots, so
    ///   give them to [`Acceptor::builder`].
    ///
    /// ```
    /// use ztlib::authenticate::peer::Trust;
    /// use ztlib::enforce::Guard;
    /// use ztlib::tls::ServerIdentity;
    /// # use ztlib::{authorize::*, policies::PolicySetBuilder};
    /// # use ztlib_testing::Authority;
    /// # struct Nobody;
    /// # impl NativePolicy for Nobody {
    /// #     fn decide(&self, _: &mut Reader, _: &mut Outcome) -> Result<Answer, Fault> {
    /// #         Ok(Answer::Deny)
    /// #     }
    /// # }
    /// # let policies = PolicySetBuilder::new().native("nobody", Nobody).load()?;
    /// # let (workloads, servers) = (Authority::new("workloads"), Authority::new("servers"));
    /// # let server = servers.leaf().dns("localhost").for_servers().issue();
    /// # let (chain, key) = (server.chain_pem().into_bytes(), server.key_pem().into_bytes());
    /// let trust =
    ///     Trust::builder().trust("shop.example".parse()?, [workloads.certificate()])?.build()?;
    /// let guard = Guard::builder().peers(&trust).allow_requests_without_token();
    /// let guard = guard.policies(policies).build();
    ///
    /// let acceptor = guard.acceptor(&ServerIdentity::from_pem(&chain, &key)?).build()?;
    ///
    /// // A key that does not match the certificate is refused here, not at the first connection.
    /// let other = servers.leaf().dns("localhost").for_servers().issue();
    /// let error = ServerIdentity::from_pem(&chain, other.key_pem().as_bytes()).unwrap_err();
    /// assert_eq!(error.code(), "key-mismatch");
    /// # let _ = acceptor;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn acceptor(&self, identity: &ServerIdentity) -> AcceptorBuilder<WantsNothing> {
        let settings = &self.0;
        let builder = Acceptor::builder().server_identity(identity);
        let builder = match &settings.peers {
            Stage::Verify(peers) if peers.allows_unauthenticated() => {
                builder.allow_unauthenticated_peers(peers.trust())
            }
            Stage::Verify(peers) => builder.peers(peers.trust()),
            Stage::FromLayer | Stage::Absent => builder.allow_anonymous_peers_only(),
        };
        builder.shared_clock(settings.clock.clone())
    }
}

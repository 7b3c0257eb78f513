//! Verifies client certificates for rustls. One verifier serves one handshake.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::authenticate::peer::{PeerCertificates, PeerError, Trust};

/// Verifies the chain under the current roots, and keeps the result. The identity of the connection
/// has no other source.
pub(super) struct PeerVerifier {
    trust: Trust,
    mandatory: bool,
    algorithms: WebPkiSupportedAlgorithms,
    verdict: Arc<Verdict>,
}

/// What one handshake found out about its peer; empty if the peer presented no certificate.
#[derive(Default)]
pub(super) struct Verdict(OnceLock<Result<PeerCertificates, PeerError>>);

impl Verdict {
    pub(super) fn get(&self) -> Option<&Result<PeerCertificates, PeerError>> {
        self.0.get()
    }
}

impl PeerVerifier {
    pub(super) fn new(trust: Trust, mandatory: bool, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { trust, mandatory, algorithms, verdict: Arc::default() }
    }

    pub(super) fn verdict(&self) -> Arc<Verdict> {
        Arc::clone(&self.verdict)
    }
}

impl fmt::Debug for PeerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerVerifier").field("mandatory", &self.mandatory).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// Empty: an unknown peer need not know whom we trust, and a long list would not fit into the
    /// message.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        let certificates = PeerCertificates::presented(chain.map(|der| der.clone().into_owned()));
        let verdict = match certificates.identity(&self.trust.view(), now.as_secs()) {
            Ok(_) => Ok(certificates),
            Err(error) => Err(error),
        };
        let answer = match &verdict {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(error) => Err(alert(error)),
        };
        // rustls calls this once per handshake; a second call would be for a different chain.
        self.verdict
            .0
            .set(verdict)
            .map_err(|_| Error::General("the verifier was called twice in one handshake".to_owned()))?;
        answer
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The TLS alert for the peer (RFC 8446 section 6.2).
fn alert(error: &PeerError) -> Error {
    Error::InvalidCertificate(match error {
        PeerError::Expired | PeerError::IssuerExpired { .. } => CertificateError::Expired,
        PeerError::NotYetValid | PeerError::IssuerNotYetValid { .. } => CertificateError::NotValidYet,
        PeerError::UntrustedIssuer | PeerError::UnknownTrustDomain { .. } | PeerError::NoAuthorities => {
            CertificateError::UnknownIssuer
        }
        PeerError::BadSignature { .. } => CertificateError::BadSignature,
        PeerError::Malformed { .. } => CertificateError::BadEncoding,
        _ => CertificateError::ApplicationVerificationFailure,
    })
}

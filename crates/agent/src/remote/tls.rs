//! TLS with the server: trust in the cluster's CA alone, by certificate or, before there is one, by
//! the digest that a token carries; and failures in words that say what to do.

use std::sync::Arc;

use evenkeel_model::Digest;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::{Identity, RemoteError};

/// HTTP/2 alone: the agents' service speaks nothing else.
const ALPN: &[u8] = b"h2";

fn keys(error: &impl std::fmt::Display) -> RemoteError {
    RemoteError::Keys(error.to_string())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// With this node's certificate, trusting its CAs.
pub(super) fn of_node(identity: &Identity) -> Result<ClientConfig, RemoteError> {
    let mut roots = RootCertStore::empty();
    for ca in identity.trusted()? {
        roots.add(ca).map_err(|e| keys(&e))?;
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| keys(&e))?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![identity.certificate()?], identity.key()?)
        .map_err(|e| keys(&e))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// Without a certificate: the server must show a CA of this digest, and be of it.
pub(super) fn pinned(pin: Digest) -> Result<ClientConfig, RemoteError> {
    let provider = provider();
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| keys(&e))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { pin, provider }))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// Finds the pinned CA among what the server shows, and then verifies as ever.
#[derive(Debug)]
struct Pinned {
    pin: Digest,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let ca = intermediates.iter().find(|c| key_digest(c) == Some(self.pin));
        let ca = ca.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(roots.into(), self.provider.clone())
            .build()
            .map_err(|e| Error::General(e.to_string()))?
            .verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// SHA-256 of a certificate's public key (its SubjectPublicKeyInfo, RFC 7469).
fn key_digest(certificate: &CertificateDer<'_>) -> Option<Digest> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(Digest::of(certificate.public_key().raw))
}

/// A failed handshake in words.
pub(super) fn explain(error: &std::io::Error) -> String {
    let Some(tls) = error.get_ref().and_then(|e| e.downcast_ref::<Error>()) else { return error.to_string() };
    let clock = || crate::driver::clock().rfc3339();
    match tls {
        Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            format!(
                "the server's certificate is not valid yet by this machine's clock, which says {}: set the clocks (NTP)",
                clock()
            )
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => format!(
            "the server's certificate is over by this machine's clock, which says {}: set the clocks (NTP), or start \
             the server again if it has run for two years",
            clock()
        ),
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the server's CA is not the one that this node trusts: it is another cluster's server, or its CA was \
             replaced; a node joins another cluster with a token of it and an empty data directory"
                .into()
        }
        Error::AlertReceived(rustls::AlertDescription::CertificateExpired) => format!(
            "the server says that this node's certificate has expired (this machine's clock says {}): start the agent \
             with --token to join again, or set the clocks",
            clock()
        ),
        Error::AlertReceived(rustls::AlertDescription::UnknownCA | rustls::AlertDescription::BadCertificate) => {
            "the server does not know the CA of this node's certificate: start the agent with --token to join again"
                .into()
        }
        Error::InvalidMessage(_) => {
            format!("it does not speak TLS ({tls}): is this the address of an Evenkeel server?")
        }
        other => other.to_string(),
    }
}

//! The way out over TLS, to what the server asks by itself: an issuer of ID tokens, an ACME directory.
//!
//! Deliberately not here: bounds in time and bytes, which are each caller's.

use std::path::Path;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// Connections that trust the authorities of a file (PEM), or, without one, those that the machine does.
pub(crate) fn connector(ca: Option<&Path>) -> Result<HttpsConnector<HttpConnector>, String> {
    let builder = HttpsConnectorBuilder::new();
    let builder = match ca {
        Some(path) => builder.with_tls_config(trusting(path).map_err(|why| format!("{}: {why}", path.display()))?),
        None => builder
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(|e| format!("this machine's certificate authorities: {e}"))?,
    };
    Ok(builder.https_only().enable_http1().build())
}

fn trusting(path: &Path) -> Result<ClientConfig, String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| e.to_string())?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    let mut roots = RootCertStore::empty();
    // What is no authority is passed over, as long as one is.
    let (taken, _) = roots.add_parsable_certificates(certificates);
    if taken == 0 {
        return Err("it has no certificate".into());
    }
    let provider = rustls::crypto::ring::default_provider().into();
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config.map_err(|e| e.to_string())?.with_root_certificates(roots).with_no_client_auth())
}

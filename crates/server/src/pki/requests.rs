//! Certificates that clients of the API ask for with a request of their own (PKCS #10).
//!
//! Called by `api::signing`. What is signed is the request's key and subject, as they stand, and nothing else
//! of it. Deliberately not here: who may have one (`api::signing`), and nodes' certificates (`join`).

use std::time::{Duration, SystemTime};

use rcgen::{CertificateSigningRequestParams, ExtendedKeyUsagePurpose, SigningKey as _};
use rustls_pki_types::{CertificateSigningRequestDer, pem::PemObject as _};
use thiserror::Error;
use x509_parser::{
    asn1_rs::Any, certificate::X509Certificate, certification_request::X509CertificationRequest, prelude::FromDer as _,
};

use super::{
    Pki, PkiError,
    ca::{ADMIN_LIFE, leaf},
    rotate::PemCertificate,
};

/// Clients whose clock is behind by this much take a new certificate: as in Kubernetes.
const BEHIND: Duration = Duration::from_mins(5);
/// Longest life of such a certificate.
pub const CLIENT_LIFE: Duration = ADMIN_LIFE;
/// Stands in a certificate until its subject does.
const PLACEHOLDER: &str = "evenkeel:subject-of-a-request";
/// Tags of DER.
const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// What is wrong with a request.
#[derive(Debug, Error)]
pub enum RequestError {
    /// It is no PEM.
    #[error("PEM block type must be CERTIFICATE REQUEST")]
    Pem,
    /// It is no PKCS #10, its signature is wrong, or it asks for what is not known.
    #[error("{0}")]
    Request(#[source] rcgen::Error),
    /// Nobody would be known by its certificate.
    #[error("its subject must have one common name")]
    Name,
}

/// A request that was read and whose signature is right.
pub struct ClientRequest {
    key: CertificateSigningRequestParams,
    /// The subject, DER.
    subject: Vec<u8>,
    /// Its organizations.
    pub groups: Vec<String>,
}

impl ClientRequest {
    /// Reads one, PEM.
    pub fn read(pem: &[u8]) -> Result<Self, RequestError> {
        let der = CertificateSigningRequestDer::from_pem_slice(pem).map_err(|_| RequestError::Pem)?;
        let key = CertificateSigningRequestParams::from_der(&der).map_err(RequestError::Request)?;
        let unread = |_| RequestError::Request(rcgen::Error::CouldNotParseCertificationRequest);
        let (_, request) = X509CertificationRequest::from_der(&der).map_err(unread)?;
        let name = &request.certification_request_info.subject;
        let named: Vec<&str> = name.iter_common_name().filter_map(|n| n.as_str().ok()).collect();
        if !matches!(named[..], [one] if !one.is_empty()) {
            return Err(RequestError::Name);
        }
        let groups = name.iter_organization().filter_map(|o| o.as_str().ok()).map(Into::into).collect();
        Ok(Self { key, subject: name.as_raw().to_vec(), groups })
    }
}

impl Pki {
    /// A client's certificate for the key and subject of a request, PEM.
    pub fn client_of(&self, request: &ClientRequest, life: Duration) -> Result<String, PkiError> {
        let fail = |source| PkiError::Certificate { what: "a client", source };
        let mut params = leaf(PLACEHOLDER, None, ExtendedKeyUsagePurpose::ClientAuth, life.min(CLIENT_LIFE));
        params.not_before = (SystemTime::now() - BEHIND).into();
        let made = params.signed_by(&request.key.public_key, &self.issuer).map_err(fail)?;
        let sign = |bytes: &[u8]| self.issuer.key().sign(bytes).map_err(fail);
        let der = with_subject(made.der(), &request.subject, sign)?;
        Ok(PemCertificate(&der.into()).to_string())
    }
}

/// A certificate with another subject, signed anew: rcgen keeps one value of each sort in a name, and groups
/// are several.
fn with_subject(
    certificate: &[u8],
    subject: &[u8],
    sign: impl Fn(&[u8]) -> Result<Vec<u8>, PkiError>,
) -> Result<Vec<u8>, PkiError> {
    let unread = || PkiError::Tls("a certificate that was just made cannot be read".into());
    let (_, read) = X509Certificate::from_der(certificate).map_err(|_| unread())?;
    let (tbs, old) = (read.tbs_certificate.as_ref(), read.tbs_certificate.subject.as_raw());
    let (_, fields) = Any::from_der(tbs).map_err(|_| unread())?;
    let at = fields.data.windows(old.len()).position(|w| w == old).ok_or_else(unread)?;
    let (before, after) = (&fields.data[..at], &fields.data[at + old.len()..]);
    let tbs_new = der(SEQUENCE, &[before, subject, after]);
    let (_, whole) = Any::from_der(certificate).map_err(|_| unread())?;
    let rest = whole.data.get(tbs.len()..).ok_or_else(unread)?;
    let (signature, _) = Any::from_der(rest).map_err(|_| unread())?;
    let algorithm = &rest[..rest.len() - signature.len()];
    // No unused bits.
    let signature = der(BIT_STRING, &[&[0], &sign(&tbs_new)?]);
    Ok(der(SEQUENCE, &[&tbs_new, algorithm, &signature]))
}

/// One value of DER.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|b| **b == 0).count()..];
    let mut out = vec![tag];
    match length {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        // At most eight bytes.
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            out.extend(long);
        }
    }
    out.extend(content);
    out
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};
    use rustls_pki_types::CertificateDer;

    use super::*;
    use crate::api::Identity;

    fn request(groups: &[&str], name: &str) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if !name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        // The second one by its number, for rcgen keeps one of each sort.
        for (group, sort) in groups.iter().zip([DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])]) {
            params.distinguished_name.push(sort, *group);
        }
        params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
    }

    #[test]
    fn a_certificate_has_the_subject_of_its_request_and_is_the_cas() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path()).unwrap();
        let long = "g".repeat(60);
        for groups in [&["dev", "ops"][..], &["dev"], &[], &[&long, &long]] {
            let read = ClientRequest::read(request(groups, "an").as_bytes()).unwrap();
            assert_eq!(read.groups, groups);
            let pem = pki.client_of(&read, Duration::from_hours(1)).unwrap();
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            let identity = Identity::of_certificate(&der).unwrap();
            assert_eq!(identity.user, "an");
            assert_eq!(identity.groups, groups);
            let (_, certificate) = X509Certificate::from_der(&der).unwrap();
            let (_, ca) = X509Certificate::from_der(&pki.trusted[0]).unwrap();
            certificate.verify_signature(Some(ca.public_key())).unwrap();
            let validity = certificate.validity();
            assert_eq!((validity.not_after.timestamp() - validity.not_before.timestamp()) / 60, 65);
            assert!(certificate.extended_key_usage().unwrap().unwrap().value.client_auth);
        }
    }

    #[test]
    fn requests_that_are_none_are_told_so() {
        let whole = request(&[], "an");
        for (text, why) in [
            ("", "PEM block type"),
            ("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "parse"),
            (request(&["dev"], "").as_str(), "one common name"),
            (whole.replace("CERTIFICATE REQUEST", "CERTIFICATE").as_str(), "PEM block type"),
        ] {
            let Err(error) = ClientRequest::read(text.as_bytes()) else { panic!("{text}") };
            assert!(error.to_string().contains(why), "{text}: {error}");
        }
        // Signed by somebody else's key.
        let der = CertificateSigningRequestDer::from_pem_slice(whole.as_bytes()).unwrap();
        let mut bytes = der.to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let text = PemCertificate(&bytes.into()).to_string().replace("CERTIFICATE", "CERTIFICATE REQUEST");
        assert!(matches!(ClientRequest::read(text.as_bytes()), Err(RequestError::Request(_))));
    }
}

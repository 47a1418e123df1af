//! Another CA in place of the last one, without a moment in which somebody is not believed.
//!
//! A rotation makes a new CA beside the old ones: it signs from then on, all are trusted, and the
//! old one vouches for it by a cross certificate, so that an agent that knows only the old one still
//! believes the server. Agents learn of the new one with their next session and renew their
//! certificates; when all have, [`retire`] lets the old ones go. Both work on files, without a
//! server. `ca.key` holds every key and `ca.crt` every certificate, the one that signs first, and
//! `ca.crt` is written after what it needs and before what it no longer does: a crash in between
//! leaves the CA as it was.

use std::path::Path;

use evenkeel_model::Time;
use rcgen::{CertificateParams, Issuer, KeyPair, PublicKeyData as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::{
    Pki, PkiError,
    ca::{SKEW, ca_params},
    files, random,
};

/// Every CA's certificate, the one that signs first.
pub(super) const CERTIFICATES: &str = "ca.crt";
/// Every CA's key.
pub(super) const KEYS: &str = "ca.key";
/// The newest CA's key, certified by the one before it.
pub(super) const CROSS: &str = "cross.crt";
/// CAs at one time: a rotation is a matter of years, and a second one of a leaked key.
const MOST: usize = 4;

/// One CA, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub since: Time,
    /// Its end.
    pub until: Time,
    /// Whether it signs.
    pub signs: bool,
}

/// What is in `ca/`, as far as certificates and keys go.
pub(super) struct Loaded {
    /// Certificates, the one that signs first.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// Their text.
    pub(super) pem: String,
    /// The key of the first.
    pub(super) key: KeyPair,
    /// The cross certificate, if it is of the first.
    pub(super) cross: Option<CertificateDer<'static>>,
}

fn damaged(path: &Path, reason: &dyn std::fmt::Display) -> PkiError {
    PkiError::Damaged { path: path.to_owned(), reason: reason.to_string() }
}

fn public_key(path: &Path, der: &CertificateDer<'_>) -> Result<Vec<u8>, PkiError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|e| damaged(path, &e))?;
    Ok(certificate.public_key().raw.to_vec())
}

/// Reads them.
pub(super) fn load(dir: &Path) -> Result<Loaded, PkiError> {
    let path = dir.join(CERTIFICATES);
    let pem = files::text(&path)?;
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|e| damaged(&path, &e))?;
    let first = certificates.first().ok_or_else(|| damaged(&path, &"it holds no certificate"))?;
    let wanted = public_key(&path, first)?;
    let keys = dir.join(KEYS);
    let key = read_keys(&keys)?.into_iter().find(|k| k.subject_public_key_info() == wanted);
    let key = key.ok_or_else(|| damaged(&keys, &"it holds no key of the first certificate in ca.crt"))?;
    let cross = match files::read(&dir.join(CROSS))? {
        Some(bytes) => CertificateDer::from_pem_slice(&bytes).ok(),
        None => None,
    };
    // One of a rotation that was cut off vouches for a CA that there is not.
    let cross = cross.filter(|c| public_key(&path, c).is_ok_and(|k| k == wanted));
    Ok(Loaded { certificates, pem, key, cross })
}

fn read_keys(path: &Path) -> Result<Vec<KeyPair>, PkiError> {
    let text = files::text(path)?;
    PrivateKeyDer::pem_slice_iter(text.as_bytes())
        .map(|der| {
            let der = der.map_err(|e| damaged(path, &e))?;
            KeyPair::try_from(&der).map_err(|e| damaged(path, &e))
        })
        .collect()
}

/// Makes another CA the one that signs. The server must not run.
pub fn rotate(data_dir: &Path) -> Result<(), PkiError> {
    let dir = data_dir.join("ca");
    let old = load(&dir)?;
    if old.certificates.len() >= MOST {
        return Err(PkiError::Rotation(format!("there are {MOST} CAs already; retire the old ones first")));
    }
    let fail = |source| PkiError::Certificate { what: "the CA", source };
    let key = KeyPair::generate().map_err(fail)?;
    // A name of its own, so that a chain is found by names.
    let name = format!("evenkeel-ca-{:08x}", u32::from_be_bytes(random()?));
    let params = ca_params(&name, 1);
    let certificate = params.self_signed(&key).map_err(fail)?;
    let first = &old.certificates[0];
    let issuer = Issuer::from_ca_cert_der(first, old.key).map_err(fail)?;
    let cross = cross_params(&name).signed_by(&key, &issuer).map_err(fail)?;
    let keys = files::text(&dir.join(KEYS))?;
    files::write(&dir.join(CROSS), cross.pem().as_bytes(), files::PUBLIC)?;
    files::write(&dir.join(KEYS), format!("{}{keys}", key.serialize_pem()).as_bytes(), files::PRIVATE)?;
    files::write(&dir.join(CERTIFICATES), format!("{}{}", certificate.pem(), old.pem).as_bytes(), files::PUBLIC)
}

fn cross_params(name: &str) -> CertificateParams {
    ca_params(name, 0)
}

/// Lets go of every CA but the one that signs. The server must not run. Gives the nodes that still
/// have a certificate of an older one where there are any and `force` is false: nothing is done then.
pub fn retire(data_dir: &Path, force: bool, now: Time) -> Result<Vec<String>, PkiError> {
    let dir = data_dir.join("ca");
    let all = load(&dir)?;
    if all.certificates.len() == 1 {
        return Ok(Vec::new());
    }
    let behind = Pki::open(data_dir)?.behind(now)?;
    if !behind.is_empty() && !force {
        return Ok(behind);
    }
    let first = PemCertificate(&all.certificates[0]).to_string();
    files::write(&dir.join(CERTIFICATES), first.as_bytes(), files::PUBLIC)?;
    files::write(&dir.join(KEYS), all.key.serialize_pem().as_bytes(), files::PRIVATE)?;
    files::remove(&dir.join(CROSS))?;
    Ok(Vec::new())
}

/// A certificate as text.
pub(super) struct PemCertificate<'a>(pub(super) &'a CertificateDer<'a>);

impl std::fmt::Display for PemCertificate<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(self.0);
        f.write_str("-----BEGIN CERTIFICATE-----\n")?;
        // RFC 7468: lines of 64 characters. Base64 is ASCII.
        for line in text.as_bytes().chunks(64) {
            writeln!(f, "{}", String::from_utf8_lossy(line))?;
        }
        f.write_str("-----END CERTIFICATE-----\n")
    }
}

impl Pki {
    /// Every CA, the one that signs first.
    pub fn authorities(&self) -> Vec<Authority> {
        let read = |(i, der): (usize, &CertificateDer<'_>)| {
            let (_, certificate) = X509Certificate::from_der(der).ok()?;
            let name = certificate.subject().iter_common_name().next()?.as_str().ok()?.to_owned();
            let validity = certificate.validity();
            let since = Time::from_secs(validity.not_before.timestamp()) + SKEW;
            Some(Authority { name, since, until: Time::from_secs(validity.not_after.timestamp()), signs: i == 0 })
        };
        self.trusted.iter().enumerate().filter_map(read).collect()
    }

    /// Nodes whose newest certificate is of a CA before the one that signs.
    pub fn behind(&self, now: Time) -> Result<Vec<String>, PkiError> {
        let pin = self.pin()?;
        let old = |node: &String| self.member(node).is_some_and(|m| m.alive(now).is_some_and(|c| c.issuer != pin));
        Ok(self.nodes().into_iter().filter(old).collect())
    }
}

#[cfg(test)]
mod tests {
    use rustls::{
        RootCertStore,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    };
    use rustls_pki_types::{ServerName, UnixTime};

    use super::*;
    use crate::pki::{JoinAsk, NewToken};

    fn wall() -> Time {
        crate::host::wall()
    }

    /// Whether who trusts these believes a server of this CA.
    fn believed(trusted: &[CertificateDer<'static>], pki: &Pki) -> bool {
        let mut roots = RootCertStore::empty();
        for ca in trusted {
            roots.add(ca.clone()).unwrap();
        }
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        let chain = pki.server_chain(&[]).unwrap().0;
        let name = ServerName::try_from(evenkeel_wire::SERVER_NAME).unwrap();
        verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], UnixTime::now()).is_ok()
    }

    fn join(pki: &Pki, node: &str) -> Vec<u8> {
        let (_, text) = pki.create_token(NewToken::default(), wall()).unwrap();
        let parts: Vec<&str> = text.split('.').collect();
        let token = format!("{}.{}", parts[1], parts[2]);
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
        let ask = JoinAsk { token: &token, node, request: &request, machine_id: "m", address: "10.0.0.1" };
        let joined = pki.join(&ask, wall()).unwrap();
        CertificateDer::from_pem_slice(joined.certificate_pem.as_bytes()).unwrap().to_vec()
    }

    #[test]
    fn after_a_rotation_everybody_is_believed_and_after_a_retirement_the_new_ones_alone() {
        let dir = tempfile::tempdir().unwrap();
        let first = Pki::open(dir.path()).unwrap();
        let (id, digest_key, old_trust) = (first.cluster_id().to_owned(), first.digest_key(), first.trusted.clone());
        let node = join(&first, "n1");
        rotate(dir.path()).unwrap();
        let second = Pki::open(dir.path()).unwrap();
        assert_eq!((second.cluster_id(), second.digest_key()), (id.as_str(), digest_key), "it is the same cluster");
        assert_eq!(second.authorities().iter().map(|a| a.signs).collect::<Vec<_>>(), [true, false]);
        assert!(believed(&old_trust, &second), "who knows the old CA alone believes the server");
        assert!(believed(&second.trusted, &second));
        assert!(!believed(&second.trusted[..1], &first), "the new one does not vouch for the old one");
        second.authorize("n1", &node, None).unwrap();
        assert_eq!(retire(dir.path(), false, wall()).unwrap(), ["n1"]);
        retire(dir.path(), true, wall()).unwrap();
        let third = Pki::open(dir.path()).unwrap();
        assert_eq!(third.authorities().len(), 1);
        assert!(believed(&second.trusted, &third));
        assert!(!believed(&old_trust, &third), "the old CA is gone, and with it who knows it alone");
    }

    #[test]
    fn a_rotation_that_was_cut_off_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let before = Pki::open(dir.path()).unwrap();
        let certificates = std::fs::read(dir.path().join("ca").join(CERTIFICATES)).unwrap();
        rotate(dir.path()).unwrap();
        // As if the last write had not happened.
        std::fs::write(dir.path().join("ca").join(CERTIFICATES), certificates).unwrap();
        let again = Pki::open(dir.path()).unwrap();
        assert_eq!(again.trusted, before.trusted);
        assert!(believed(&before.trusted, &again));
        assert!(!before.issuer.key().der_bytes().is_empty());
    }
}

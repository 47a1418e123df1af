//! Which certificate a client is shown: by the name that it asks for (SNI), from the Secrets that
//! Ingresses name.
//!
//! An exact name goes before a wildcard, and that before a certificate that is for all hosts (an entry
//! without hosts). Who asks for a name that has none, or for no name, is refused in the handshake: a
//! certificate for another name would only be refused by the client. Nothing of a key is ever
//! written anywhere.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::Arc,
};

use evenkeel_model::ingress::{CertificateNet, IngressId, IngressNet, SecretId};
use rustls::{InconsistentKeys, crypto::ring::sign::any_supported_type, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use thiserror::Error;

use crate::routes::{above, by_age};

/// A Secret holds no certificate that can be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum CertError {
    /// No chain.
    #[error("tls.crt holds no certificate in PEM")]
    Chain,
    /// No key.
    #[error("tls.key holds no private key in PEM")]
    Key,
    /// A key of another kind.
    #[error(
        "tls.key is of a kind that is not supported: RSA of 2048 bits and more, ECDSA P-256, P-384 and Ed25519 are"
    )]
    Kind,
    /// The two are not of one piece.
    #[error("tls.key is not the key of tls.crt")]
    Pair,
}

/// Reads a Secret's certificate.
pub(crate) fn read(net: &CertificateNet) -> Result<Arc<CertifiedKey>, CertError> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(net.chain.as_bytes()).collect::<Result<_, _>>().map_err(|_| CertError::Chain)?;
    if chain.is_empty() {
        return Err(CertError::Chain);
    }
    let key = PrivateKeyDer::from_pem_slice(net.key.as_bytes()).map_err(|_| CertError::Key)?;
    let key = any_supported_type(&key).map_err(|_| CertError::Kind)?;
    let made = CertifiedKey::new(chain, key);
    match made.keys_match() {
        // A kind of key that does not tell its public half: the handshake will say.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(made)),
        Err(rustls::Error::InconsistentKeys(_)) => Err(CertError::Pair),
        Err(_) => Err(CertError::Chain),
    }
}

/// What an Ingress names and cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The Ingress.
    pub(crate) ingress: IngressId,
    /// The Secret.
    pub(crate) secret: SecretId,
    /// What is wrong with it.
    pub(crate) why: String,
}

/// All that are shown, by name.
#[derive(Debug, Default)]
pub(crate) struct Certs {
    exact: HashMap<String, Arc<CertifiedKey>>,
    wildcards: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

/// Certificates as they were read, by Secret.
pub(crate) type Readings = BTreeMap<SecretId, Result<Arc<CertifiedKey>, CertError>>;

impl Certs {
    /// Of all Ingresses, and what of them is missing. Of two for one name the older Ingress's is shown.
    pub(crate) fn of<'a>(
        ingresses: impl IntoIterator<Item = &'a Arc<IngressNet>>,
        read: &Readings,
    ) -> (Self, Vec<Missing>) {
        let (mut certs, mut missing) = (Self::default(), Vec::new());
        for ingress in by_age(ingresses) {
            for tls in &ingress.tls {
                let Some(name) = &tls.secret else { continue };
                let secret = SecretId { namespace: ingress.id.namespace.clone(), name: name.clone() };
                let why = match read.get(&secret) {
                    Some(Ok(key)) => {
                        certs.add(&tls.hosts, key);
                        continue;
                    }
                    Some(Err(error)) => error.to_string(),
                    None => "there is no Secret of this name with tls.crt and tls.key".to_owned(),
                };
                missing.push(Missing { ingress: ingress.id.clone(), secret, why });
            }
        }
        (certs, missing)
    }

    fn add(&mut self, hosts: &[String], key: &Arc<CertifiedKey>) {
        if hosts.is_empty() && self.default.is_none() {
            self.default = Some(key.clone());
        }
        for host in hosts.iter().map(|h| h.to_ascii_lowercase()) {
            let slot = match host.strip_prefix("*.") {
                Some(rest) => self.wildcards.entry(rest.to_owned()),
                None => self.exact.entry(host),
            };
            if let Entry::Vacant(slot) = slot {
                slot.insert(key.clone());
            }
        }
    }

    /// The one for a name.
    pub(crate) fn find(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        // rustls gives names in lower case.
        let exact = name.and_then(|n| self.exact.get(n));
        let wild = || name.and_then(above).and_then(|rest| self.wildcards.get(rest));
        exact.or_else(wild).or(self.default.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_model::ingress::IngressTls;

    use super::*;
    use crate::testkit::ingress;

    fn secret(name: &str) -> SecretId {
        SecretId { namespace: "shop".into(), name: name.into() }
    }

    fn made(name: &str) -> CertificateNet {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        CertificateNet { id: secret(name), chain: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    #[test]
    fn what_is_no_certificate_is_said_and_never_shown() {
        let good = made("a");
        assert!(read(&good).is_ok());
        let other = made("b");
        let with =
            |chain: &str, key: &str| read(&CertificateNet { id: secret("a"), chain: chain.into(), key: key.into() });
        assert_eq!(with("", &good.key).unwrap_err(), CertError::Chain);
        assert_eq!(with("no PEM", &good.key).unwrap_err(), CertError::Chain);
        assert_eq!(with(&good.chain, "").unwrap_err(), CertError::Key);
        assert_eq!(with(&good.chain, &good.chain).unwrap_err(), CertError::Key);
        assert_eq!(with(&good.chain, &other.key).unwrap_err(), CertError::Pair);
        let shown = format!("{good:?}");
        assert!(!shown.contains("BEGIN"), "{shown}");
    }

    #[test]
    fn names_find_their_certificate() {
        let mut readings = Readings::new();
        for name in ["exact", "wild", "all", "late"] {
            readings.insert(secret(name), read(&made(name)));
        }
        let tls = |hosts: &[&str], secret: &str| IngressTls {
            hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
            secret: Some(secret.into()),
        };
        let mut old = ingress("old", 1, &[]);
        old.tls = vec![tls(&["A.example.com"], "exact"), tls(&["*.example.com"], "wild"), tls(&["x"], "gone")];
        let mut young = ingress("young", 2, &[]);
        young.tls = vec![tls(&["a.example.com", "late.org"], "late"), tls(&[], "all")];
        let (certs, missing) = Certs::of(&[Arc::new(young), Arc::new(old)], &readings);
        let is = |name: Option<&str>, who: &str| {
            let wanted = readings[&secret(who)].as_ref().unwrap();
            assert!(certs.find(name).is_some_and(|found| Arc::ptr_eq(found, wanted)), "{name:?} is not {who}'s");
        };
        is(Some("a.example.com"), "exact");
        is(Some("b.example.com"), "wild");
        is(Some("late.org"), "late");
        is(Some("b.a.example.com"), "all");
        is(None, "all");
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].secret, secret("gone"));
        let (none, _) = Certs::of(&[], &readings);
        assert!(none.find(Some("a.example.com")).is_none());
    }
}

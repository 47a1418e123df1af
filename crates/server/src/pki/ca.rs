//! The CA: made at the first start, kept in files beside the database.
//!
//! `ca/` holds `ca.key`, `cluster-id`, `digest.key` and, written last, `ca.crt`: as long as that is
//! absent the CA is new, so a crash in between costs nothing. `accounts.key` signs tokens (`accounts`). The id and the digest key stay when
//! the CA is rotated and when the database is lost. `nodes/` has a file for each node of the cluster
//! (`members`), `tokens/` one for each token (`tokens`).

use std::{
    net::IpAddr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use evenkeel_model::Digest;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::{
    PkiError,
    accounts::Accounts,
    files,
    members::Members,
    rotate::{self, Loaded},
    server_config,
    tokens::Tokens,
};

use evenkeel_wire::SERVER_NAME;

const DAY: Duration = Duration::from_hours(24);
/// Days of a year, near enough for a certificate.
const YEAR: u32 = 365;
/// The CA outlives everything that it signs by far.
const CA_LIFE: Duration = DAY.saturating_mul(10 * YEAR);
/// The server's certificate is made at each start and lives in memory.
const SERVER_LIFE: Duration = DAY.saturating_mul(2 * YEAR);
/// The administrator's, renewed at start when a third of it is left.
pub(super) const ADMIN_LIFE: Duration = DAY.saturating_mul(YEAR);
/// Clocks of clients may be behind by this much.
pub(super) const SKEW: Duration = DAY;
/// Hexadecimal digits of the cluster's id: 128 bits of the first CA's fingerprint.
const ID_DIGITS: usize = 32;

/// What a data directory holds only after a first start, whose CA is made before everything else.
const OLDER: [&str; 2] = ["evenkeel.db", "agent/agent.json"];
/// Beside the latter: the agent is of another cluster's, in a process of its own.
const JOINED: &str = "agent/identity.json";

/// The cluster's CA.
#[derive(Debug)]
pub struct Pki {
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) members: Members,
    pub(super) tokens: Tokens,
    accounts: Accounts,
    pub(super) ca_pem: String,
    /// Every CA, the one that signs first; never empty.
    pub(super) trusted: Vec<CertificateDer<'static>>,
    /// The newest CA, certified by the one before it.
    cross: Option<CertificateDer<'static>>,
    cluster_id: String,
    digest_key: [u8; 32],
    new: bool,
}

/// A certificate, followed by those of its CAs, and its key.
type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A certificate with its key.
pub(super) struct Pair {
    pub(super) certificate: Certificate,
    pub(super) key: KeyPair,
}

impl Pki {
    /// Opens the CA of a data directory, and makes it at the first start.
    pub fn open(data_dir: &Path) -> Result<Self, PkiError> {
        let dir = data_dir.join("ca");
        // Before the first look at anything: a restore that was cut off counts.
        evenkeel_store::restore::settle(data_dir).map_err(PkiError::Restore)?;
        files::folder(&dir)?;
        let new = files::read(&dir.join("ca.crt"))?.is_none();
        if new {
            if let Some(beside) = OLDER.iter().map(|f| data_dir.join(f)).find(|f| f.exists())
                && (data_dir.join(OLDER[0]).exists() || !data_dir.join(JOINED).exists())
            {
                return Err(PkiError::Lost { missing: dir.join("ca.crt"), beside });
            }
            create(&dir)?;
        }
        let damaged = |file: &str, reason: &dyn std::fmt::Display| PkiError::Damaged {
            path: dir.join(file),
            reason: reason.to_string(),
        };
        let Loaded { certificates: trusted, pem: ca_pem, key, cross } = rotate::load(&dir)?;
        let issuer = Issuer::from_ca_cert_der(&trusted[0], key).map_err(|e| damaged("ca.crt", &e))?;
        let cluster_id = files::text(&dir.join("cluster-id"))?.trim().to_owned();
        if cluster_id.len() != ID_DIGITS || !cluster_id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(damaged("cluster-id", &"it is no id"));
        }
        let digest_key: Digest =
            files::text(&dir.join("digest.key"))?.trim().parse().map_err(|_| damaged("digest.key", &"it is no key"))?;
        let members = Members::open(dir.join("nodes"))?;
        let tokens = Tokens::open(dir.join("tokens"))?;
        let accounts = Accounts::open(&dir)?;
        Ok(Self {
            issuer,
            members,
            tokens,
            accounts,
            ca_pem,
            trusted,
            cross,
            cluster_id,
            digest_key: digest_key.0,
            new,
        })
    }

    /// The cluster's id: the fingerprint of its first CA.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The key of all digests that stand for secret values.
    pub fn digest_key(&self) -> [u8; 32] {
        self.digest_key
    }

    /// Whether the CA was made just now: a new installation.
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// Every CA to be trusted, PEM.
    pub fn trust_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Tokens of ServiceAccounts.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// What a token pins: SHA-256 of the CA's public key (its SubjectPublicKeyInfo, as in RFC 7469).
    pub(super) fn pin(&self) -> Result<Digest, PkiError> {
        let (_, ca) = X509Certificate::from_der(&self.trusted[0]).map_err(|e| PkiError::Tls(e.to_string()))?;
        Ok(Digest::of(ca.public_key().raw))
    }

    /// Nodes that belong to the cluster: a recovering server waits for them.
    pub fn nodes(&self) -> Vec<String> {
        self.members.names()
    }

    /// Notes that a node without a certificate belongs to the cluster: the server's own.
    pub fn add_node(&self, name: &str) -> Result<(), PkiError> {
        self.members.add_local(name)
    }

    /// Forgets a node and revokes its certificates; false if there was none.
    pub fn remove_node(&self, name: &str) -> Result<bool, PkiError> {
        self.members.remove(name)
    }

    /// TLS of the listener, with a fresh certificate for these names and addresses, [`SERVER_NAME`],
    /// `localhost` and the loopback addresses.
    pub fn server_config(&self, hosts: &[String]) -> Result<Arc<ServerConfig>, PkiError> {
        let (chain, key) = self.server_chain(hosts)?;
        server_config(&self.trusted, chain, key)
    }

    /// A fresh certificate with what vouches for it, and its key.
    pub(super) fn server_chain(&self, hosts: &[String]) -> Result<Chain, PkiError> {
        let mut params = leaf(SERVER_NAME, None, ExtendedKeyUsagePurpose::ServerAuth, SERVER_LIFE);
        for host in hosts.iter().map(String::as_str).chain([SERVER_NAME, "localhost", "127.0.0.1", "::1"]) {
            let name = match host.parse::<IpAddr>() {
                // Nobody connects to "any address".
                Ok(ip) if ip.is_unspecified() => continue,
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName(
                    host.try_into().map_err(|source| PkiError::Certificate { what: "the server", source })?,
                ),
            };
            if !params.subject_alt_names.contains(&name) {
                params.subject_alt_names.push(name);
            }
        }
        let pair = self.sign(&params, "the server")?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.key.serialize_der()));
        // The CAs, too: a token's pin is looked for among them.
        let chain = std::iter::once(pair.certificate.der()).chain(&self.cross).chain(&self.trusted);
        Ok((chain.cloned().collect(), key))
    }

    /// A certificate for a client of the API.
    pub(super) fn client(&self, user: &str, group: &str, life: Duration) -> Result<Pair, PkiError> {
        self.sign(&leaf(user, Some(group), ExtendedKeyUsagePurpose::ClientAuth, life), "a client")
    }

    fn sign(&self, params: &CertificateParams, what: &'static str) -> Result<Pair, PkiError> {
        let fail = |source| PkiError::Certificate { what, source };
        let key = KeyPair::generate().map_err(fail)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(fail)?;
        Ok(Pair { certificate, key })
    }
}

fn valid_for(params: &mut CertificateParams, life: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - SKEW).into();
    params.not_after = (now + life).into();
}

pub(super) fn leaf(
    name: &str,
    group: Option<&str>,
    usage: ExtendedKeyUsagePurpose,
    life: Duration,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    valid_for(&mut params, life);
    params
}

/// A CA's certificate; at most so many further CAs below it.
pub(super) fn ca_params(name: &str, below: u8) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    valid_for(&mut params, CA_LIFE);
    params
}

fn create(dir: &Path) -> Result<(), PkiError> {
    let fail = |source| PkiError::Certificate { what: "the CA", source };
    let key = KeyPair::generate().map_err(fail)?;
    let params = ca_params("evenkeel-ca", 1);
    let certificate = params.self_signed(&key).map_err(fail)?;
    let id = Digest::of(certificate.der()).short(ID_DIGITS);
    let digest_key = Digest::of_parts([&b"evenkeel digest key"[..], &key.serialize_der()]);
    files::write(&dir.join("ca.key"), key.serialize_pem().as_bytes(), files::PRIVATE)?;
    files::write(&dir.join("cluster-id"), format!("{id}\n").as_bytes(), files::PUBLIC)?;
    files::write(&dir.join("digest.key"), format!("{digest_key}\n").as_bytes(), files::PRIVATE)?;
    files::write(&dir.join("ca.crt"), certificate.pem().as_bytes(), files::PUBLIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_ca_is_never_replaced_beside_what_it_vouched_for() {
        for older in OLDER {
            let dir = tempfile::tempdir().unwrap();
            let first = Pki::open(dir.path()).unwrap();
            assert!(first.is_new());
            std::fs::create_dir_all(dir.path().join("agent")).unwrap();
            std::fs::write(dir.path().join(older), "x").unwrap();
            let again = Pki::open(dir.path()).unwrap();
            assert_eq!((again.is_new(), again.cluster_id()), (false, first.cluster_id()));
            std::fs::remove_dir_all(dir.path().join("ca")).unwrap();
            let error = Pki::open(dir.path()).unwrap_err().to_string();
            assert!(error.contains("ca.crt") && error.contains(older), "{error}");
            assert!(Pki::open(dir.path()).is_err(), "nor at the next start");
        }
    }
}

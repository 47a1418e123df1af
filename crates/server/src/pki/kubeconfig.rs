//! `admin.kubeconfig`: how the administrator of this machine reaches the API.
//!
//! Written at each start that finds it absent, of another CA, of another address or near its end.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use x509_parser::{certificate::X509Certificate, pem::parse_x509_pem, prelude::FromDer};

use super::{
    PkiError,
    ca::{ADMIN_LIFE, Pki},
    files,
};
use crate::api::ADMINS;

/// Its name in the data directory.
pub const KUBECONFIG: &str = "admin.kubeconfig";
/// The user in it.
const ADMIN: &str = "admin";

#[derive(Deserialize)]
struct Config {
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedCluster {
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority_data: String,
}

#[derive(Deserialize)]
struct NamedUser {
    user: User,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate_data: String,
}

impl Pki {
    /// Makes sure that the data directory's kubeconfig reaches the server at this address, as
    /// `https://127.0.0.1:7443`. Gives its path.
    pub fn admin_kubeconfig(&self, data_dir: &Path, server: &str) -> Result<PathBuf, PkiError> {
        let path = data_dir.join(KUBECONFIG);
        let current = files::read(&path)?;
        if !current.is_some_and(|c| self.fits(&c, server)) {
            let text = self.kubeconfig(server)?;
            files::write(&path, text.as_bytes(), files::PRIVATE)?;
        }
        Ok(path)
    }

    /// Makes the data directory's kubeconfig anew, for the address that it has, if its certificate is
    /// near its end or of a CA that was replaced. One that cannot be read is left to the server's start.
    pub fn renew_kubeconfig(&self, data_dir: &Path) -> Result<(), PkiError> {
        let current = files::read(&data_dir.join(KUBECONFIG))?.unwrap_or_default();
        let config = serde_yaml::from_slice::<Config>(&current).ok();
        match config.as_ref().and_then(|c| c.clusters.first()) {
            Some(named) => self.admin_kubeconfig(data_dir, &named.cluster.server).map(|_| ()),
            None => Ok(()),
        }
    }

    fn kubeconfig(&self, server: &str) -> Result<String, PkiError> {
        let pair = self.client(ADMIN, ADMINS, ADMIN_LIFE)?;
        let ca = STANDARD.encode(&self.ca_pem);
        let certificate = STANDARD.encode(pair.certificate.pem());
        let key = STANDARD.encode(pair.key.serialize_pem());
        let mut out = String::from("apiVersion: v1\nkind: Config\n");
        // Writing to a String does not fail.
        let _ = write!(
            out,
            "clusters:\n- name: evenkeel\n  cluster:\n    server: {server}\n    certificate-authority-data: {ca}\n\
             users:\n- name: {ADMIN}\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n\
             contexts:\n- name: evenkeel\n  context:\n    cluster: evenkeel\n    user: {ADMIN}\n\
             current-context: evenkeel\n"
        );
        Ok(out)
    }

    /// Whether a kubeconfig is for this CA and address, and has more than a third of its life left.
    fn fits(&self, bytes: &[u8], server: &str) -> bool {
        let Ok(config) = serde_yaml::from_slice::<Config>(bytes) else { return false };
        let ([cluster], [user]) = (config.clusters.as_slice(), config.users.as_slice()) else { return false };
        let decode = |text: &str| STANDARD.decode(text).unwrap_or_default();
        cluster.cluster.server == server
            && decode(&cluster.cluster.certificate_authority_data) == self.ca_pem.as_bytes()
            && ends(&decode(&user.user.client_certificate_data))
                .is_some_and(|end| end > SystemTime::now() + ADMIN_LIFE / 3)
    }
}

fn ends(pem: &[u8]) -> Option<SystemTime> {
    let (_, pem) = parse_x509_pem(pem).ok()?;
    let (_, certificate) = X509Certificate::from_der(&pem.contents).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn the_ca_is_made_once_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let first = Pki::open(dir.path()).unwrap();
        assert!(first.is_new());
        let again = Pki::open(dir.path()).unwrap();
        assert!(!again.is_new());
        assert_eq!((first.cluster_id(), first.digest_key()), (again.cluster_id(), again.digest_key()));
        let mode = |f: &str| fs::metadata(dir.path().join(f)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("ca/ca.key"), mode("ca/digest.key"), mode("ca")), (0o600, 0o600, 0o700));
        again.add_node("n1").unwrap();
        again.add_node("n1").unwrap();
        assert_eq!(again.nodes(), ["n1"]);
        again.remove_node("n1").unwrap();
        assert!(again.nodes().is_empty());
        again.server_config(&["0.0.0.0".into(), "host.example".into(), "10.0.0.1".into()]).unwrap();
    }

    #[test]
    fn a_crash_before_the_certificate_starts_over() {
        let dir = tempfile::tempdir().unwrap();
        let id = Pki::open(dir.path()).unwrap().cluster_id().to_owned();
        fs::remove_file(dir.path().join("ca/ca.crt")).unwrap();
        let again = Pki::open(dir.path()).unwrap();
        assert!(again.is_new());
        assert_ne!(again.cluster_id(), id);
    }

    #[test]
    fn a_lost_key_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        Pki::open(dir.path()).unwrap();
        fs::remove_file(dir.path().join("ca/ca.key")).unwrap();
        let error = Pki::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("ca.key"), "{error}");
    }

    #[test]
    fn the_kubeconfig_is_written_when_it_must_be() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path()).unwrap();
        let path = pki.admin_kubeconfig(dir.path(), "https://127.0.0.1:7443").unwrap();
        let first = fs::read(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        pki.admin_kubeconfig(dir.path(), "https://127.0.0.1:7443").unwrap();
        assert_eq!(fs::read(&path).unwrap(), first);
        pki.admin_kubeconfig(dir.path(), "https://127.0.0.1:7444").unwrap();
        assert_ne!(fs::read(&path).unwrap(), first);
    }
}

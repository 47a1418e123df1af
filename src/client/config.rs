//! Where the server is and who asks: the kubeconfig, and how it is found.
//!
//! `--kubeconfig`, else a `--data-dir` given on the command line, else `KUBECONFIG`, else the data
//! directory's `admin.kubeconfig`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use evenkeel_server::pki::KUBECONFIG;
use serde::Deserialize;

use super::ClientError;

/// What the command line says about the server's place.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Where {
    /// Kubeconfig of the server [env: KUBECONFIG]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Data directory; its admin.kubeconfig is used
    /// [env: EVENKEEL_DATA_DIR] [default: /var/lib/evenkeel as root, else $XDG_DATA_HOME/evenkeel]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Server")]
    pub(crate) data_dir: Option<PathBuf>,
}

impl Where {
    /// The data directory: given, or of the environment, or the default.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(default_data_dir)
    }

    /// The kubeconfig's path.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        if let Some(file) = &self.kubeconfig {
            return file.clone();
        }
        if self.data_dir.is_none()
            && let Some(list) = env::var_os("KUBECONFIG").filter(|l| !l.is_empty())
        {
            let files: Vec<PathBuf> = env::split_paths(&list).filter(|p| !p.as_os_str().is_empty()).collect();
            if let Some(file) = files.iter().find(|f| f.exists()).or(files.first()) {
                return file.clone();
            }
        }
        self.data_dir().join(KUBECONFIG)
    }
}

/// The data directory where none is given.
fn default_data_dir() -> PathBuf {
    if let Some(dir) = env::var_os("EVENKEEL_DATA_DIR").filter(|d| !d.is_empty()) {
        return dir.into();
    }
    if rustix::process::geteuid().is_root() {
        return "/var/lib/evenkeel".into();
    }
    let home = || env::home_dir().unwrap_or_default().join(".local/share");
    let base = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|d| d.is_absolute()).unwrap_or_else(home);
    base.join("evenkeel")
}

/// A kubeconfig's current context.
#[derive(Debug)]
pub(super) struct Config {
    /// The file.
    pub(super) path: PathBuf,
    /// Host name or address.
    pub(super) host: String,
    /// Port.
    pub(super) port: u16,
    /// PEM.
    pub(super) ca: Vec<u8>,
    /// Certificate and key, PEM.
    pub(super) identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Bearer token.
    pub(super) token: Option<String>,
    /// The context's namespace.
    pub(super) namespace: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    current_context: String,
    #[serde(default)]
    clusters: Vec<Named<Cluster>>,
    #[serde(default)]
    users: Vec<Named<User>>,
    #[serde(default)]
    contexts: Vec<Named<Context>>,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "cluster", alias = "user", alias = "context")]
    of: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: String,
    namespace: Option<String>,
}

impl Config {
    /// Finds and reads the kubeconfig.
    pub(super) fn find(place: &Where) -> Result<Self, ClientError> {
        let path = place.kubeconfig();
        match fs::read(&path) {
            Ok(bytes) => Self::parse(&path, &bytes).map_err(|reason| ClientError::BadConfig { path, reason }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(ClientError::NoConfig { path }),
            Err(e) => Err(ClientError::BadConfig { path, reason: e.to_string() }),
        }
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, String> {
        let file: File = serde_yaml::from_slice(bytes).map_err(|e| e.to_string())?;
        let context = named(file.contexts, "context", &file.current_context)?;
        let cluster = named(file.clusters, "cluster", &context.cluster)?;
        let user = named(file.users, "user", &context.user)?;
        if cluster.insecure_skip_tls_verify {
            return Err("insecure-skip-tls-verify is not supported".to_owned());
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let data = |inline: Option<String>, file: Option<PathBuf>| -> Result<Option<Vec<u8>>, String> {
            match (inline, file) {
                (Some(text), _) => STANDARD.decode(text.trim()).map(Some).map_err(|e| format!("base64: {e}")),
                (None, Some(file)) => {
                    let file = folder.join(file);
                    fs::read(&file).map(Some).map_err(|e| format!("{}: {e}", file.display()))
                }
                (None, None) => Ok(None),
            }
        };
        let (host, port) = address(&cluster.server)?;
        let ca = data(cluster.certificate_authority_data, cluster.certificate_authority)?
            .ok_or("the cluster has no certificate-authority-data")?;
        let certificate = data(user.client_certificate_data, user.client_certificate)?;
        let key = data(user.client_key_data, user.client_key)?;
        let identity = certificate.zip(key);
        // As kubectl: a file counts before what stands beside it.
        let token = match data(None, user.token_file)? {
            Some(bytes) => {
                Some(String::from_utf8(bytes).map_err(|_| "the token's file is no text".to_owned())?.trim().to_owned())
            }
            None => user.token,
        };
        let path = path.to_owned();
        Ok(Self { path, host, port, ca, identity, token, namespace: context.namespace })
    }

    /// `host:port`.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// `https://host:port`.
    pub(super) fn server(&self) -> String {
        format!("https://{}", self.authority())
    }
}

fn named<T>(list: Vec<Named<T>>, what: &str, name: &str) -> Result<T, String> {
    list.into_iter().find(|n| n.name == name).map(|n| n.of).ok_or_else(|| format!("it has no {what} `{name}`"))
}

fn address(server: &str) -> Result<(String, u16), String> {
    let rest =
        server.strip_prefix("https://").ok_or_else(|| format!("server `{server}` does not begin with https://"))?;
    let authority = rest.split('/').next().unwrap_or(rest);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, port.parse().map_err(|_| format!("server `{server}` has no valid port"))?)
        }
        _ => (authority, 443),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() { Err(format!("server `{server}` has no host")) } else { Ok((host.to_owned(), port)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(address("https://127.0.0.1:7443"), Ok(("127.0.0.1".into(), 7443)));
        assert_eq!(address("https://[::1]:7443/"), Ok(("::1".into(), 7443)));
        assert_eq!(address("https://[::1]"), Ok(("::1".into(), 443)));
        assert_eq!(address("https://host"), Ok(("host".into(), 443)));
        assert!(address("http://host").is_err());
        assert!(address("https://host:x").is_err());
    }

    #[test]
    fn a_kubeconfig_names_its_parts() {
        let text = "
            current-context: a
            contexts: [{name: a, context: {cluster: c, user: u, namespace: shop}}]
            clusters: [{name: c, cluster: {server: 'https://h:1', certificate-authority-data: YQ==}}]
            users: [{name: u, user: {client-certificate-data: Yg==, client-key-data: Yw==}}]";
        let config = Config::parse(Path::new("x"), text.as_bytes()).unwrap();
        assert_eq!((config.server().as_str(), config.ca.as_slice()), ("https://h:1", b"a".as_slice()));
        assert_eq!(config.identity, Some((b"b".to_vec(), b"c".to_vec())));
        assert_eq!(config.namespace.as_deref(), Some("shop"));
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("t"), "abc\n").unwrap();
        let with = |user: &str| {
            let text = text.replace("client-certificate-data: Yg==, client-key-data: Yw==", user);
            Config::parse(&dir.path().join("config"), text.as_bytes()).map(|c| c.token)
        };
        assert_eq!(with("token: x"), Ok(Some("x".into())));
        assert_eq!(with("token: x, tokenFile: t"), Ok(Some("abc".into())));
        assert!(with("tokenFile: none").is_err());
        let error = Config::parse(Path::new("x"), text.replace("user: u", "user: v").as_bytes()).unwrap_err();
        assert_eq!(error, "it has no user `v`");
    }
}

//! Where the server is and who asks: the kubeconfig, and how it is found.
//!
//! `--kubeconfig`, else a `--data-dir` given on the command line, else `KUBECONFIG`, else the data
//! directory's `admin.kubeconfig`; where that is not there either and this is a pod, what a pod is given,
//! as `kubectl` does it.

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

    /// Whether nothing says where the server is.
    fn is_default(&self) -> bool {
        let set = |name: &str| env::var_os(name).is_some_and(|v| !v.is_empty());
        self.kubeconfig.is_none() && self.data_dir.is_none() && !set("KUBECONFIG") && !set("EVENKEEL_DATA_DIR")
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
    token: Option<Token>,
    /// The context's namespace.
    pub(super) namespace: Option<String>,
}

/// A bearer token, or where it stands: one of a pod is renewed.
#[derive(Debug, PartialEq)]
enum Token {
    Text(String),
    File(PathBuf),
}

/// Where a pod finds its token, its namespace and the CA.
const POD: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

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
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let pod =
                    if place.is_default() { Self::of_pod(Path::new(POD), |name| env::var(name).ok()) } else { None };
                pod.ok_or(ClientError::NoConfig { path })
            }
            Err(e) => Err(ClientError::BadConfig { path, reason: e.to_string() }),
        }
    }

    /// Of a pod that has a token; `None` where this is none.
    fn of_pod(dir: &Path, variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let host = variable("KUBERNETES_SERVICE_HOST").filter(|h| !h.is_empty())?;
        let port = variable("KUBERNETES_SERVICE_PORT")?.parse().ok()?;
        let token = dir.join("token");
        let ca = fs::read(dir.join("ca.crt")).ok()?;
        fs::metadata(&token).ok()?;
        let namespace = fs::read_to_string(dir.join("namespace")).ok().map(|n| n.trim().to_owned());
        let path = dir.to_owned();
        Some(Self { path, host, port, ca, identity: None, token: Some(Token::File(token)), namespace })
    }

    /// The bearer token, if there is one, as it is now.
    pub(super) fn token(&self) -> std::io::Result<Option<String>> {
        match &self.token {
            None => Ok(None),
            Some(Token::Text(text)) => Ok(Some(text.clone())),
            Some(Token::File(path)) => fs::read_to_string(path).map(|text| Some(text.trim().to_owned())),
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
        let token = match user.token_file {
            Some(file) => {
                let file = folder.join(file);
                fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
                Some(Token::File(file))
            }
            None => user.token.map(Token::Text),
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
            Config::parse(&dir.path().join("config"), text.as_bytes()).map(|c| c.token().unwrap())
        };
        assert_eq!(with("token: x"), Ok(Some("x".into())));
        assert_eq!(with("token: x, tokenFile: t"), Ok(Some("abc".into())));
        assert!(with("tokenFile: none").is_err());
        let error = Config::parse(Path::new("x"), text.replace("user: u", "user: v").as_bytes()).unwrap_err();
        assert_eq!(error, "it has no user `v`");
    }
    #[test]
    fn a_pod_has_what_it_needs() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let variable = |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some("10.43.0.1".to_owned()),
            "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
            _ => None,
        };
        assert!(Config::of_pod(dir, variable).is_none());
        for (name, text) in [("token", "one\n"), ("ca.crt", "CA"), ("namespace", "shop")] {
            fs::write(dir.join(name), text).unwrap();
        }
        assert!(Config::of_pod(dir, |_| None).is_none());
        let config = Config::of_pod(dir, variable).unwrap();
        assert_eq!((config.server().as_str(), config.ca.as_slice()), ("https://10.43.0.1:443", b"CA".as_slice()));
        assert_eq!((config.token().unwrap().as_deref(), config.namespace.as_deref()), (Some("one"), Some("shop")));
        // It is renewed.
        fs::write(dir.join("token"), "two").unwrap();
        assert_eq!(config.token().unwrap().as_deref(), Some("two"));
    }
}

//! Why a request of the client failed, and what to do about it.

use std::path::PathBuf;

use serde_json::Value;
use thiserror::Error;

/// How the server's text begins where an object of a namespace was not found.
const NAMESPACED: [&str; 6] = ["pods", "deployments", "replicasets", "configmaps", "secrets", "events"];

/// A request that did not succeed.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// There is no kubeconfig.
    #[error("no server is known: {} does not exist", .path.display())]
    NoConfig {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The kubeconfig cannot be used.
    #[error("{} cannot be used: {reason}", .path.display())]
    BadConfig {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Nobody answers there.
    #[error("cannot connect to {server}")]
    Connect {
        /// `https://host:port`.
        server: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The conversation broke.
    #[error("{server}: {reason}")]
    Http {
        /// `https://host:port`.
        server: String,
        /// What happened.
        reason: String,
    },
    /// A stream broke.
    #[error("the stream broke: {0}")]
    Stream(String),
    /// The server said no.
    #[error("{message}")]
    Status {
        /// HTTP code.
        code: u16,
        /// `Status.reason`.
        reason: String,
        /// For people.
        message: String,
        /// The first of `Status.details.causes`, as a disruption budget's.
        cause: Option<String>,
    },
}

impl ClientError {
    /// From an answer that is no success.
    pub(crate) fn of_status(code: u16, body: &[u8]) -> Self {
        let status: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |field: &str| status.get(field).and_then(Value::as_str).map(str::to_owned);
        let message = text("message").unwrap_or_else(|| {
            let body = String::from_utf8_lossy(body);
            format!("the server answered {code}: {}", body.trim().chars().take(200).collect::<String>())
        });
        let cause = status.pointer("/details/causes/0/message").and_then(Value::as_str).map(str::to_owned);
        Self::Status { code, reason: text("reason").unwrap_or_default(), message, cause }
    }

    /// What the user may do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NoConfig { .. } => Some(
                "start one with `evenkeel up DIR`, or name its kubeconfig by --kubeconfig, KUBECONFIG or --data-dir"
                    .to_owned(),
            ),
            Self::Connect { .. } => Some("is the server running? `evenkeel up` starts it".to_owned()),
            Self::Status { code: 401, .. } => {
                Some("the kubeconfig's certificate is not of this server's CA, or has ended".to_owned())
            }
            // Kubernetes' texts do not say where was looked.
            Self::Status { code: 404, message, .. } if NAMESPACED.iter().any(|kind| message.starts_with(kind)) => {
                Some("-n NAMESPACE looks in another namespace; `evenkeel get KIND -A` lists those of all".to_owned())
            }
            Self::Status { code: 404, message, .. } if message.starts_with("sources") => {
                Some("`evenkeel source list` shows those there are".to_owned())
            }
            Self::Status { code: 404, message, .. } if message.starts_with("drifts") => {
                Some("`evenkeel drift --all` shows those there are".to_owned())
            }
            Self::Status { code: 507, .. } => Some("make room on the disk of the server's data directory".to_owned()),
            _ => None,
        }
    }
}

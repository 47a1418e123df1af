//! The first meeting with a server: a token in, an identity out.

use std::{path::Path, str::FromStr};

use evenkeel_model::{Digest, Time};
use evenkeel_wire::{
    proto::JoinRequest,
    version::{self, Side},
};
use rcgen::{CertificateParams, KeyPair};
use thiserror::Error;

use super::{
    Identity, IdentityStore, RemoteError, ServerAddress,
    connect::{client, connect, refusal},
    tls,
};
use crate::driver::JournalError;

/// The file that names the machine (systemd's `machine-id(5)`).
const MACHINE_ID: &str = "/etc/machine-id";

/// A token as a person carries it: `ek1.ID.SECRET.PIN`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// `ID.SECRET`.
    secret: String,
    /// Digest of the CA's public key.
    pin: Digest,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The text is a secret: an error does not repeat it.
        let bad = || "this is no token; `evenkeel token create` on the server prints one".to_owned();
        let rest = text.trim().strip_prefix("ek1.").ok_or_else(bad)?;
        let (secret, pin) = rest.rsplit_once('.').ok_or_else(bad)?;
        let pin = pin.parse().map_err(|_| bad())?;
        if secret.split('.').count() != 2 || secret.split('.').any(str::is_empty) {
            return Err(bad());
        }
        Ok(Self { secret: secret.to_owned(), pin })
    }
}

/// What a join needs.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// The server.
    pub server: ServerAddress,
    /// The token.
    pub token: Token,
    /// The node's name.
    pub node: String,
}

/// Why there is no identity.
#[derive(Debug, Error)]
pub enum JoinFailure {
    /// It may work later: the server cannot be reached.
    #[error(transparent)]
    Away(RemoteError),
    /// The server said no, or its CA is another one: trying again changes nothing.
    #[error(transparent)]
    Refused(RemoteError),
    /// The disk.
    #[error("this node's identity cannot be kept")]
    Disk(#[from] JournalError),
    /// Keys could not be made.
    #[error("a signing request cannot be made: {0}")]
    Request(String),
}

impl From<RemoteError> for JoinFailure {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Unreachable { .. } | RemoteError::Slow { .. } | RemoteError::Http { .. } => Self::Away(error),
            RemoteError::Tls { .. } | RemoteError::Keys(_) | RemoteError::Refused(_) => Self::Refused(error),
        }
    }
}

/// Asks once. What was got is on disk when this returns.
pub async fn join(options: &JoinOptions, store: &IdentityStore) -> Result<Identity, JoinFailure> {
    let key_pem = store.joining()?;
    let signing_request = signing_request(&key_pem)?;
    let channel = connect(&options.server, tls::pinned(options.token.pin)?).await?;
    let request = JoinRequest {
        speaks: Some(version::speaks()),
        token: options.token.secret.clone(),
        node: options.node.clone(),
        signing_request: signing_request.into(),
        machine_id: machine_id(),
        clock_ms: clock().0,
    };
    let reply = client(channel).join(request).await.map_err(|status| match status.code() {
        // Sixteen machines at once: the next moment it is another sixteen.
        tonic::Code::ResourceExhausted | tonic::Code::Unavailable => {
            JoinFailure::Away(refusal(&options.server, &status))
        }
        _ => refusal(&options.server, &status).into(),
    })?;
    let reply = reply.into_inner();
    version::agree(reply.speaks.as_ref(), Side::Server).map_err(RemoteError::Refused)?;
    let identity = Identity {
        node: options.node.clone(),
        cluster: reply.cluster_id,
        key_pem,
        certificate_pem: reply.certificate_pem,
        trust_pem: reply.trust_pem,
        labels: reply.labels,
    };
    store.keep(&identity)?;
    store.joined()?;
    Ok(identity)
}

/// A PKCS#10 request for a key, DER. What it asks for besides does not count: the server decides.
pub(super) fn signing_request(key_pem: &str) -> Result<Vec<u8>, JoinFailure> {
    let fail = |e: rcgen::Error| JoinFailure::Request(e.to_string());
    let key = KeyPair::from_pem(key_pem).map_err(fail)?;
    let request = CertificateParams::default().serialize_request(&key).map_err(fail)?;
    Ok(request.der().to_vec())
}

/// What names this machine; empty where it has no such file.
pub(super) fn machine_id() -> String {
    read_machine_id(Path::new(MACHINE_ID))
}

fn read_machine_id(path: &Path) -> String {
    std::fs::read_to_string(path).map(|t| t.trim().chars().take(64).collect()).unwrap_or_default()
}

/// The machine's clock.
pub(super) fn clock() -> Time {
    crate::driver::clock()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_and_never_shown() {
        let pin = Digest([7; 32]);
        let token: Token = format!(" ek1.0a1b.secret.{pin}\n").parse().unwrap();
        assert_eq!((token.secret.as_str(), token.pin), ("0a1b.secret", pin));
        assert!(!format!("{token:?}").contains("secret"));
        for text in
            ["", "ek1", "ek1.a.b.c", &format!("ek1..b.{pin}"), &format!("ek2.a.b.{pin}"), &format!("ek1.a.{pin}")]
        {
            let error = text.parse::<Token>().unwrap_err();
            assert!(error.contains("token create") && !error.contains("ek1"), "{error}");
        }
    }
}

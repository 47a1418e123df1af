//! Tokens of the ServiceAccounts of pods, for the nodes that run them.
//!
//! A node names a pod and a place in its specification; for whom a token is and how long it lives the pod
//! says, not the node. So a node, or whoever has its certificate, gets what pods on it ask for, and nothing
//! else. A token ends with its pod. Called by the agents' service, and by `evenkeel up` in its own process.
//! Deliberately not here: when an agent asks (`evenkeel_agent::tokens`).

use std::time::Duration;

use evenkeel_core::{controllers::admission::account_of, rbac::account_user};
use evenkeel_model::{Key, Kind, Uid};
use evenkeel_wire::proto::{TokenReply, TokenRequest};
use serde_json::Value;
use thiserror::Error;

use super::Agents;
use crate::{
    host::wall,
    pki::{Bound, ISSUER, TOKEN_LIFE, TOKEN_LIFE_LEAST, TOKEN_LIFE_MOST, Whose},
};

/// Why a node gets no token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenRefused {
    /// The server does not know such a pod on this node.
    #[error("there is no such pod on node {0}")]
    NoPod(String),
    /// The pod asks for none there.
    #[error("the pod asks for no token there")]
    NotAsked,
    /// Its account is not there.
    #[error("serviceaccount \"{0}\" not found")]
    NoAccount(String),
    /// The server failed.
    #[error("the server cannot make a token; its log says why")]
    Failed,
}

impl TokenRefused {
    /// Whether the cause lies with the server, and not with what a person wrote.
    pub fn is_outside(&self) -> bool {
        matches!(self, Self::NoPod(_) | Self::Failed)
    }
}

impl Agents {
    /// A token that a pod on a node asks for.
    pub fn token_of(&self, node: &str, ask: &TokenRequest) -> Result<TokenReply, TokenRefused> {
        let host = &self.inner.host;
        let no_pod = || TokenRefused::NoPod(node.into());
        let uid: Uid = ask.pod.parse().map_err(|_| no_pod())?;
        let key = Key::new(Kind::Pod, ask.namespace.as_str(), ask.name.as_str());
        let there = |pod: &std::sync::Arc<evenkeel_model::Object>| pod.uid == uid && pod.node.as_deref() == Some(node);
        let pod = host.get(&key).filter(there).ok_or_else(no_pod)?;
        let spec = pod.body_map().remove("spec").unwrap_or_default();
        let wanted = asked(&spec, &ask.volume, ask.source).ok_or(TokenRefused::NotAsked)?;
        let name = account_of(&spec);
        let account = host
            .get(&key.sibling(Kind::ServiceAccount, name))
            .filter(|a| !a.deleting())
            .ok_or_else(|| TokenRefused::NoAccount(name.into()))?;
        let whose = Whose {
            namespace: ask.namespace.clone(),
            account: Bound { name: name.into(), uid: account.uid },
            pod: Some(Bound { name: ask.name.clone(), uid }),
        };
        let user = account_user(&ask.namespace, name);
        let seconds = wanted.seconds.clamp(TOKEN_LIFE_LEAST, TOKEN_LIFE_MOST);
        let lasts = Duration::from_secs(seconds);
        let made = self.inner.pki.accounts().sign(&user, whose, vec![wanted.audience], wall(), lasts);
        let token = made.map_err(|error| {
            tracing::error!(%error, pod = %key, "a token cannot be made");
            TokenRefused::Failed
        })?;
        tracing::debug!(node, pod = %key, account = name, seconds, "a pod's token was made");
        Ok(TokenReply { token, lasts_seconds: seconds })
    }
}

/// What a pod asks for in one source of a volume.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    audience: String,
    seconds: u64,
}

fn asked(spec: &Value, volume: &str, source: u32) -> Option<Wanted> {
    let volume = spec["volumes"].as_array()?.iter().find(|v| v["name"] == volume)?;
    let source = usize::try_from(source).ok()?;
    let token = volume["projected"]["sources"].get(source)?.get("serviceAccountToken").filter(|t| t.is_object())?;
    let audience = token["audience"].as_str().filter(|a| !a.is_empty()).unwrap_or(ISSUER).to_owned();
    Some(Wanted { audience, seconds: token["expirationSeconds"].as_u64().unwrap_or(TOKEN_LIFE) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_says_for_whom_and_how_long() {
        let spec = json!({"volumes": [{"name": "a", "emptyDir": {}}, {"name": "t", "projected": {"sources": [
            {"configMap": {"name": "x"}}, {"serviceAccountToken": {"path": "t"}},
            {"serviceAccountToken": {"path": "v", "audience": "vault", "expirationSeconds": 7200}}]}}]});
        let wanted = |audience: &str, seconds| Some(Wanted { audience: audience.into(), seconds });
        assert_eq!(asked(&spec, "t", 1), wanted(ISSUER, 3600));
        assert_eq!(asked(&spec, "t", 2), wanted("vault", 7200));
        for (volume, source) in [("t", 0), ("t", 3), ("a", 0), ("b", 0)] {
            assert_eq!(asked(&spec, volume, source), None);
        }
    }
}

//! The issuer's documents: what it says of itself, and its keys.
//!
//! Called by [`super::Oidc`]. Two requests over TLS; redirects are not followed, and no proxy is asked.
//! Deliberately not here: when to ask (`super`), what keys are worth (`keys`).

use std::{path::Path, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;

use super::keys::PublicKey;
use crate::https;

/// An issuer that takes longer for one document counts as away.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of one document at most: those of large issuers have some ten thousand.
const LIMIT: usize = 1 << 20;

/// What an issuer says of itself, as far as it matters here.
#[derive(Deserialize)]
struct Provider {
    issuer: String,
    jwks_uri: String,
}

/// A way to an issuer.
#[derive(Debug)]
pub(super) struct Fetch(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl Fetch {
    /// Trusts the authorities of a file, or else the machine's.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, String> {
        let https = https::connector(ca)?;
        Ok(Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(https)))
    }

    /// The keys of an issuer.
    pub(super) async fn keys(&self, issuer: &str) -> Result<Vec<PublicKey>, String> {
        let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let provider: Provider =
            serde_json::from_slice(&self.get(&place).await?).map_err(|e| format!("{place} cannot be read: {e}"))?;
        if provider.issuer != issuer {
            return Err(format!("{place} is of the issuer {:?}", provider.issuer));
        }
        PublicKey::of_set(&self.get(&provider.jwks_uri).await?)
    }

    async fn get(&self, place: &str) -> Result<Bytes, String> {
        let answer = async {
            let uri: Uri = place.parse().map_err(|e| format!("it is no URL: {e}"))?;
            let response = self.0.get(uri).await.map_err(|e| with_causes(&e))?;
            if !response.status().is_success() {
                return Err(format!("it answers {}", response.status()));
            }
            let body = Limited::new(response.into_body(), LIMIT).collect().await.map_err(|e| e.to_string())?;
            Ok(body.to_bytes())
        };
        let answer = tokio::time::timeout(TIMEOUT, answer).await;
        answer.unwrap_or_else(|_| Err("no answer in time".into())).map_err(|why| format!("{place}: {why}"))
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |e| e.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

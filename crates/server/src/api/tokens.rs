//! `/evenkeel/tokens`: tokens by which machines join. Not an object of Kubernetes: tokens lie beside
//! the CA, not in the database.
//!
//! `POST {ttl, uses, labels}` makes one and alone shows its text, `GET` lists what is known of them,
//! `DELETE /evenkeel/tokens/ID` takes one back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Method, request::Parts},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Api, body,
    status::{Failure, json_response},
};
use crate::pki::{CreateError, NewToken, Pki, Token};

/// Where they are.
pub(crate) const PATH: &str = "/evenkeel/tokens";
/// How long a token lives if nothing else is said: long enough to walk to a machine.
const TTL: Duration = Duration::from_hours(24);
/// Longest life of a token that has an end: longer is for ever, and to be said so.
const TTL_MOST: Duration = Duration::from_hours(24 * 365);
/// Labels that agents and the server set by themselves.
const RESERVED: [&str; 3] = ["kubernetes.io/", "k8s.io/", "evenkeel.dev/"];

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Asked {
    /// As `24h`; `0` is for ever.
    ttl: Option<String>,
    uses: Option<u32>,
    labels: BTreeMap<String, String>,
}

/// Answers a request for a path that begins with [`PATH`].
pub(crate) async fn handle(api: &Api, parts: &Parts, body: Body) -> Result<Response, Failure> {
    let pki = api.pki.as_ref().ok_or_else(Failure::no_path)?;
    let rest = parts.uri.path().strip_prefix(PATH).unwrap_or_default();
    let id = match rest.strip_prefix('/') {
        None if rest.is_empty() => None,
        Some("") => None,
        Some(id) if !id.contains('/') => Some(id),
        _ => return Err(Failure::no_path()),
    };
    match (&parts.method, id) {
        (&Method::GET, None) => Ok(json_response(200, &json!({"items": items(&pki.tokens())}))),
        (&Method::POST, None) => create(api, pki, parts, body).await,
        (&Method::DELETE, Some(id)) => revoke(pki, id).await,
        (method, _) => Err(Failure::not_allowed(format!("tokens do not take {method}"))),
    }
}

fn items(tokens: &[Token]) -> Vec<Value> {
    tokens.iter().map(shown).collect()
}

fn shown(token: &Token) -> Value {
    json!({
        "id": token.id, "created": token.created.rfc3339(), "expires": token.expires.map(evenkeel_model::Time::rfc3339),
        "uses": token.uses, "used": token.used, "labels": token.labels, "nodes": token.nodes,
    })
}

async fn create(api: &Api, pki: &Arc<Pki>, parts: &Parts, body: Body) -> Result<Response, Failure> {
    let bytes = body::read(body, body::LIMIT).await?;
    let asked: Asked = body::fields(&parts.headers, &bytes)?;
    let ttl = ttl(asked.ttl.as_deref())?;
    if asked.uses == Some(0) {
        return Err(Failure::bad_request("uses: 0 lets nobody in; leave it out for any number"));
    }
    check_labels(&asked.labels)?;
    let new = NewToken { ttl, uses: asked.uses, labels: asked.labels };
    let (pki, now) = (pki.clone(), (api.now)());
    let made = tokio::task::spawn_blocking(move || pki.create_token(new, now)).await;
    let (token, text) = made.map_err(|_| failed())?.map_err(|e| match e {
        CreateError::TooMany => Failure::new(409, "Conflict", e.to_string()),
        CreateError::Pki(e) => {
            tracing::error!(error = %e, "a token could not be made");
            failed()
        }
    })?;
    let mut answer = shown(&token);
    answer["token"] = text.into();
    Ok(json_response(201, &answer))
}

async fn revoke(pki: &Arc<Pki>, id: &str) -> Result<Response, Failure> {
    let (pki, name) = (pki.clone(), id.to_owned());
    let there = tokio::task::spawn_blocking(move || pki.revoke_token(&name)).await.map_err(|_| failed())?;
    match there {
        Ok(true) => Ok(json_response(200, &json!({"id": id, "revoked": true}))),
        Ok(false) => Err(Failure::new(404, "NotFound", format!("there is no token {id}"))),
        Err(e) => {
            tracing::error!(error = %e, "a token could not be revoked");
            Err(failed())
        }
    }
}

fn failed() -> Failure {
    Failure::new(500, "InternalError", "the server could not write the token's file; its log has the reason")
}

fn ttl(text: Option<&str>) -> Result<Option<Duration>, Failure> {
    let Some(text) = text else { return Ok(Some(TTL)) };
    if text == "0" {
        return Ok(None);
    }
    let ttl = evenkeel_core::release::duration::parse(text)
        .ok_or_else(|| Failure::bad_request(format!("ttl: `{text}` is no duration; write it as 24h, or 0 for ever")))?;
    if ttl.is_zero() || ttl > TTL_MOST {
        let message = format!("ttl: `{text}` is not between a moment and 365 days; 0 is for ever");
        return Err(Failure::bad_request(message));
    }
    Ok(Some(ttl))
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Failure> {
    for (key, value) in labels {
        if let Some(wrong) = evenkeel_schema::validate::label(key, value) {
            return Err(Failure::bad_request(format!("labels: {key}={value}: {wrong}")));
        }
        let prefix = key.split_once('/').map_or("", |(p, _)| p);
        if RESERVED.iter().any(|r| format!("{prefix}/").ends_with(r)) {
            let message = format!("labels: {key} is of Kubernetes or Evenkeel itself; a token does not set it");
            return Err(Failure::bad_request(message));
        }
    }
    Ok(())
}

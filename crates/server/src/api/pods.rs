//! Writes about single Pods: their deletion, and their eviction (`policy/v1` Eviction).
//!
//! Called by `write`. Deliberately not here: whether a budget allows it, which core decides.

use axum::{body::Bytes, http::HeaderMap, response::Response};
use evenkeel_core::{
    Ask,
    ask::{DeleteOptions, Propagation},
};
use evenkeel_model::{Key, Uid, Version};
use serde::Deserialize;
use serde_json::json;

use super::{
    body, protobuf,
    query::Pairs,
    status::{Failure, json_response},
    write::Write,
};

/// Kubernetes' `DeleteOptions`, as they stand in a body.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Options {
    #[serde(rename = "apiVersion")]
    _api_version: Option<String>,
    #[serde(rename = "kind")]
    _kind: Option<String>,
    grace_period_seconds: Option<i64>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    preconditions: Option<Preconditions>,
    dry_run: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

/// `policy/v1` Eviction.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Eviction {
    api_version: Option<String>,
    kind: Option<String>,
    metadata: EvictionMeta,
    delete_options: Option<Options>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct EvictionMeta {
    name: String,
    namespace: Option<String>,
}

/// `DELETE …/pods/NAME`. Without a body the options may stand in the query, as in Kubernetes.
pub(super) async fn delete(write: &Write<'_>, pod: Key, pairs: &Pairs, bytes: &Bytes) -> Result<Response, Failure> {
    let options = delete_options(&write.parts.headers, pairs, bytes)?;
    write.ask_for(Ask::DeletePod { pod: pod.clone(), options }, &pod, 200).await
}

/// The options of a DELETE, of its body or its query.
pub(super) fn delete_options(headers: &HeaderMap, pairs: &Pairs, bytes: &Bytes) -> Result<DeleteOptions, Failure> {
    let mut given: Options = if body::media_type(headers) == protobuf::MEDIA && !bytes.is_empty() {
        let tree = protobuf::delete_options(bytes)
            .ok_or_else(|| Failure::bad_request("the body is no DeleteOptions of meta/v1"))?;
        serde_json::from_value(tree).map_err(|e| Failure::bad_request(format!("the body cannot be read: {e}")))?
    } else {
        body::fields(headers, bytes)?
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        given.grace_period_seconds = pairs
            .get("gracePeriodSeconds")
            .map(|v| v.parse().map_err(|_| Failure::bad_request(format!("gracePeriodSeconds: `{v}` is not a number"))))
            .transpose()?;
        given.propagation_policy = pairs.get("propagationPolicy").map(str::to_owned);
    }
    options(given, pairs)
}

/// `POST …/pods/NAME/eviction`. As in Kubernetes the answer is a Status, not the Pod.
pub(super) async fn evict(write: &Write<'_>, pod: Key, pairs: &Pairs, bytes: &Bytes) -> Result<Response, Failure> {
    let given: Eviction = body::fields(&write.parts.headers, bytes)?;
    let is = |field: &Option<String>, wanted: &str| field.as_deref().is_none_or(|v| v == wanted);
    if !is(&given.api_version, "policy/v1") || !is(&given.kind, "Eviction") {
        return Err(Failure::bad_request("the body is no Eviction of policy/v1"));
    }
    if *given.metadata.name != *pod.name {
        return Err(Failure::bad_request("name in URL does not match name in Eviction object"));
    }
    if given.metadata.namespace.is_some_and(|n| !n.is_empty() && *n != *pod.namespace) {
        return Err(Failure::bad_request("namespace in URL does not match namespace in Eviction object"));
    }
    let options = options(given.delete_options.unwrap_or_default(), pairs)?;
    let ask = Ask::Evict { pod: pod.clone(), options };
    write.ask(ask).await.map_err(|e| Failure::of_ask(&e, &pod))?;
    let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(json_response(201, &done))
}

fn options(given: Options, pairs: &Pairs) -> Result<DeleteOptions, Failure> {
    if given.orphan_dependents.is_some() {
        return Err(Failure::bad_request("orphanDependents is not supported: use propagationPolicy"));
    }
    if let Some(n) = given.grace_period_seconds.filter(|n| *n < 0) {
        return Err(Failure::bad_request(format!("gracePeriodSeconds: {n} is less than 0")));
    }
    let propagation = match given.propagation_policy.as_deref() {
        None | Some("" | "Background") => Propagation::Background,
        Some("Foreground") => Propagation::Foreground,
        Some("Orphan") => Propagation::Orphan,
        Some(other) => {
            let message = format!("propagationPolicy: `{other}` is none of Background, Foreground, Orphan");
            return Err(Failure::bad_request(message));
        }
    };
    let conditions = given.preconditions.unwrap_or_default();
    let wrong = |field: &str, text: &str| Failure::bad_request(format!("preconditions.{field}: `{text}` is none"));
    Ok(DeleteOptions {
        grace_seconds: given.grace_period_seconds,
        if_uid: conditions.uid.map(|t| t.parse::<Uid>().map_err(|_| wrong("uid", &t))).transpose()?,
        if_version: conditions
            .resource_version
            .map(|t| t.parse().map(Version).map_err(|_| wrong("resourceVersion", &t)))
            .transpose()?,
        propagation,
        dry_run: dry_run(given.dry_run.as_deref().unwrap_or_default(), pairs)?,
    })
}

/// Whether `dryRun=All` stands in the body or the query. Any other value is an error.
pub(super) fn dry_run(body: &[String], pairs: &Pairs) -> Result<bool, Failure> {
    let all: Vec<&str> = body.iter().map(String::as_str).chain(pairs.get("dryRun")).collect();
    match all.iter().find(|v| **v != "All") {
        Some(other) => Err(Failure::bad_request(format!("dryRun: `{other}` is not supported, only All"))),
        None => Ok(!all.is_empty()),
    }
}

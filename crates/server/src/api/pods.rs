//! Writes about single Pods: their deletion, and their eviction (`policy/v1` Eviction).
//!
//! Called by `write`. Deliberately not here: whether a budget allows it, which core decides.

use axum::{body::Bytes, http::HeaderMap, response::Response};
use evenkeel_core::{
    Ask,
    ask::{DeleteOptions, Propagation},
};
use evenkeel_model::Key;
use evenkeel_schema::validate::Cause;
use serde::Deserialize;
use serde_json::json;

use super::{
    body, given, options, protobuf,
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
    kind: Option<String>,
    grace_period_seconds: Option<i64>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    preconditions: Option<Preconditions>,
    dry_run: Option<Vec<String>>,
    /// Of a store that lies broken; this one is then not served.
    #[serde(rename = "ignoreStoreReadErrorWithClusterBreakingPotential")]
    _ignore_broken: Option<bool>,
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

/// Its message and its kind.
const EVICTION: (&str, &str) = ("policy.v1.Eviction", "Eviction");
/// Versions that it may have. Kubernetes still takes the old one, which is gone otherwise: `kubectl drain` sent it
/// until 1.21. They say the same.
const EVICTION_VERSIONS: [&str; 2] = ["policy/v1", "policy/v1beta1"];

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
        given.orphan_dependents = pairs.maybe_flag("orphanDependents");
    }
    options(given, pairs)
}

/// `POST …/pods/NAME/eviction`. As in Kubernetes the answer is a Status, not the Pod.
pub(super) async fn evict(write: &Write<'_>, pod: Key, pairs: &Pairs, bytes: &Bytes) -> Result<Response, Failure> {
    let headers = &write.parts.headers;
    let given: Eviction = if body::media_type(headers) == protobuf::MEDIA {
        let of = |version| given::question((EVICTION.0, version, EVICTION.1), headers, bytes);
        let [now, before] = EVICTION_VERSIONS;
        body::of_tree(of(now).or_else(|why| of(before).map_err(|_| why))?)?
    } else {
        body::fields(headers, bytes)?
    };
    let is = |field: &Option<String>, known: &[&str]| field.as_deref().is_none_or(|v| known.contains(&v));
    if !is(&given.api_version, &EVICTION_VERSIONS) || !is(&given.kind, &[EVICTION.1]) {
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
    if let Some(kind) = given.kind.filter(|k| !k.is_empty() && k != "DeleteOptions") {
        return Err(Failure::bad_request(format!("the body is a {kind}, and this path takes DeleteOptions")));
    }
    let dry: Vec<&str> = given.dry_run.iter().flatten().map(String::as_str).chain(pairs.get("dryRun")).collect();
    let mut wrong: Vec<Cause> = options::dry_run(dry.iter().copied()).into_iter().collect();
    let policy = given.propagation_policy.as_deref().filter(|p| !p.is_empty());
    let propagation = match (policy, given.orphan_dependents) {
        (Some(policy), Some(_)) => {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            wrong.push(Cause::invalid("propagationPolicy", format!("{policy:?}"), why));
            Propagation::Background
        }
        (None | Some("Background"), None | Some(false)) => Propagation::Background,
        (Some("Foreground"), None) => Propagation::Foreground,
        (Some("Orphan"), None) | (None, Some(true)) => Propagation::Orphan,
        (Some(other), None) => {
            wrong.push(Cause::unsupported("propagationPolicy", other, &["Foreground", "Background", "Orphan", "nil"]));
            Propagation::Background
        }
    };
    options::judged("DeleteOptions", &wrong)?;
    let conditions = given.preconditions.unwrap_or_default();
    Ok(DeleteOptions {
        // As in Kubernetes, less than nothing is one second.
        grace_seconds: given.grace_period_seconds.map(|n| if n < 0 { 1 } else { n }),
        if_uid: conditions.uid.map(|t| given::meant(&t)),
        if_version: conditions.resource_version.map(|t| given::version("preconditions", &t)).transpose()?,
        propagation,
        dry_run: !dry.is_empty(),
    })
}

/// Whether the query asks for nothing to be written; its values were looked at before.
pub(super) fn dry_run(pairs: &Pairs) -> bool {
    pairs.get("dryRun").is_some()
}

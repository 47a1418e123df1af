//! `pods/NAME/log`: a container's output as plain text.
//!
//! Called by `rest`. Finds the container as Kubernetes does; the backend asks the node.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use evenkeel_model::{Key, Object, Time};
use evenkeel_schema::validate::Cause;
use evenkeel_wire::stream::StreamError;
use futures_util::{StreamExt, future, stream};
use serde::Deserialize;

use super::{Api, Streaming, backend::LogRequest, options, query::Pairs, status::Failure};

/// Annotation that names the container meant when none is named.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Names {
    containers: Vec<Named>,
    init_containers: Vec<Named>,
    ephemeral_containers: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// Answers with the output.
pub(crate) async fn get(api: &Arc<Api>, key: &Key, pairs: &Pairs) -> Result<Response, Failure> {
    let Bounds { tail, limit_bytes, since } = bounds(key, pairs, (api.now)())?;
    let pod = api.backend.live().view().get(key).cloned().ok_or_else(|| Failure::not_found(key))?;
    let container = container(&pod, pairs.get("container"))?;
    if pod.node.is_none() {
        let message = format!(
            "container \"{container}\" in pod \"{}\" is waiting to start: the pod is not bound to a node",
            key.name
        );
        return Err(Failure::bad_request(message));
    }
    let request = LogRequest {
        container,
        follow: pairs.flag("follow"),
        previous: pairs.flag("previous"),
        timestamps: pairs.flag("timestamps"),
        tail,
        since,
        limit_bytes,
        pod,
    };
    let limit = request.limit_bytes;
    let stream = api.backend.logs(request).await.map_err(|e| Failure::of_stream(&e))?;
    // A log that a stopping server cuts off must not look as if it had ended.
    let (stop, stopped) = (api.stop.clone(), api.stop.clone());
    let cut = stream::once(async move { stopped.is_cancelled().then(|| Err(StreamError::stopping())) });
    let stream = stream.take_until(async move { stop.cancelled().await }).chain(cut.filter_map(future::ready));
    let mut left = limit.unwrap_or(u64::MAX);
    let bounded = stream.map(move |chunk| {
        chunk.map(|bytes| {
            let take = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            left -= take as u64;
            bytes.slice(..take)
        })
    });
    let mut response = Response::new(Body::from_stream(bounded));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response.extensions_mut().insert(Streaming);
    Ok(response)
}

/// What of a log is wanted.
struct Bounds {
    /// Its last lines.
    tail: Option<u64>,
    limit_bytes: Option<u64>,
    since: Option<Time>,
}

/// Reads and checks them.
fn bounds(key: &Key, pairs: &Pairs, now: Time) -> Result<Bounds, Failure> {
    let (tail, bytes) = (pairs.number("tailLines")?, pairs.number("limitBytes")?);
    let seconds = pairs.number("sinceSeconds")?;
    let time = pairs.get("sinceTime").map(|text| {
        let wrong = || Failure::bad_request(format!("sinceTime: `{text}` is not an RFC 3339 time"));
        Time::parse_rfc3339(text).ok_or_else(wrong)
    });
    let time = time.transpose()?;
    let mut wrong = Vec::new();
    for (field, found, least) in [("tailLines", tail, 0), ("limitBytes", bytes, 1), ("sinceSeconds", seconds, 1)] {
        if let Some(n) = found.filter(|n| *n < least) {
            let why = if least == 0 { "must be greater than or equal to 0" } else { "must be greater than 0" };
            wrong.push(Cause::invalid(field, n, why));
        }
    }
    if seconds.is_some() && time.is_some() {
        wrong.push(Cause::forbidden("sinceSeconds", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
    }
    options::judged_of("PodLogOptions", &key.name, &wrong)?;
    let unsigned = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
    let ago = seconds.map(|s| Time(now.0.saturating_sub(s.saturating_mul(1000))));
    Ok(Bounds { tail: unsigned(tail), limit_bytes: unsigned(bytes), since: time.or(ago) })
}

/// The container that is meant, as in Kubernetes.
pub(crate) fn container(pod: &Object, asked: Option<&str>) -> Result<String, Failure> {
    let names: Names =
        pod.spec().map_err(|_| Failure::new(500, "InternalError", "the pod's specification cannot be read"))?;
    let pod_name = &pod.key.name;
    let all = || names.init_containers.iter().chain(&names.containers).chain(&names.ephemeral_containers);
    if let Some(name) = asked.or_else(|| pod.meta.annotation(DEFAULT_CONTAINER)) {
        return all()
            .find(|c| c.name == name)
            .map(|c| c.name.clone())
            .ok_or_else(|| Failure::bad_request(format!("container {name} is not valid for pod {pod_name}")));
    }
    if let [only] = names.containers.as_slice() {
        return Ok(only.name.clone());
    }
    let list = |l: &[Named]| l.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(" ");
    let init = if names.init_containers.is_empty() {
        String::new()
    } else {
        format!(" or one of the init containers: [{}]", list(&names.init_containers))
    };
    let main = list(&names.containers);
    let message = format!("a container name must be specified for pod {pod_name}, choose one of: [{main}]{init}");
    Err(Failure::bad_request(message))
}

//! What is not Kubernetes': the metrics page, the auditor, git hooks.
//!
//! Called by `rest` and the router. `GET /evenkeel/audit` runs the auditor; its answer is said at
//! [`Backend::audit`](super::Backend::audit).

use std::{path::PathBuf, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use evenkeel_model::{Key, Kind, own::SourceSpec};
use serde_json::json;

use super::{
    Api, body,
    status::{Failure, json_response},
};

/// Bytes of a hook's body: forges send at most 25 MB, and nothing of it is used but its signature.
const HOOK_LIMIT: usize = 25 << 20;
/// Bytes of a secret file that are looked at.
const SECRET_LIMIT: u64 = 4096;

/// `/metrics`, in Prometheus' text form.
pub(crate) fn metrics(api: &Api) -> Result<Response, Failure> {
    let handle = api.metrics.as_ref().ok_or_else(Failure::no_path)?;
    let mut response = Response::new(Body::from(handle.render()));
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    Ok(response)
}

/// `/evenkeel/audit`.
pub(crate) async fn audit(api: &Api) -> Result<Response, Failure> {
    let cluster = Key::cluster(Kind::Namespace, "");
    let report = api.backend.audit().await.map_err(|e| Failure::of_ask(&e, &cluster).plain())?;
    Ok(json_response(200, &report))
}

/// `POST /hooks/git/SOURCE`: its signature is its authentication.
pub(crate) async fn hook(
    State(api): State<Arc<Api>>,
    Path(source): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    believed(&api, &source, &headers, body).await.unwrap_or_else(IntoResponse::into_response)
}

async fn believed(api: &Api, source: &str, headers: &HeaderMap, body: Body) -> Result<Response, Failure> {
    let key = Key::cluster(Kind::Source, source);
    // One answer for a source that is unknown and for one without a secret: names are not told.
    let file = {
        let view = api.backend.live().view();
        let spec = view.get(&key).and_then(|o| o.spec::<SourceSpec>().ok());
        spec.and_then(|s| s.webhook_secret_file).ok_or_else(Failure::no_path)?
    };
    let bytes = body::read(body, HOOK_LIMIT).await?;
    let secret = tokio::task::spawn_blocking(move || read_secret(file.into()))
        .await
        .map_err(|_| Failure::new(500, "InternalError", "the hook's secret could not be read"))?
        .map_err(|e| {
            tracing::warn!(source, error = %e, "a git hook came, and its secret file cannot be read");
            Failure::new(500, "InternalError", "the hook's secret cannot be read; the server's log says why")
        })?;
    let header = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    evenkeel_source::hook::verify(&secret, header, &bytes).map_err(|e| {
        metrics::counter!("evenkeel_hooks_refused_total").increment(1);
        Failure::new(401, "Unauthorized", e.to_string())
    })?;
    api.backend.nudge(&key.name);
    Ok(json_response(202, &json!({"source": source, "looking": true})))
}

fn read_secret(file: PathBuf) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(SECRET_LIMIT).read_to_end(&mut bytes)?;
    let end = bytes.trim_ascii_end().len();
    bytes.truncate(end);
    Ok(bytes)
}

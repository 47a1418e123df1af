//! What is about the server itself: its conditions, and a backup of everything that it is.
//!
//! Called by `rest`, for administrators. `GET /evenkeel/server` is read by `evenkeel status`;
//! `GET /evenkeel/backup` streams a file in its plain form, with keys in it: whoever asks seals it.

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use serde_json::json;

use super::{
    Api, Streaming,
    backend::{BackupError, Download},
    status::{Failure, json_response},
};

/// Seconds after which a second backup is worth asking for.
const RETRY_AFTER: u32 = 5;

/// `GET /evenkeel/server`.
pub(super) fn conditions(api: &Api) -> Response {
    let list: Vec<_> = api
        .backend
        .conditions()
        .into_iter()
        .map(|c| {
            let status = if c.status { "True" } else { "False" };
            json!({"type": c.kind, "status": status, "reason": c.reason, "message": c.message})
        })
        .collect();
    json_response(200, &json!({"version": env!("CARGO_PKG_VERSION"), "conditions": list}))
}

/// `GET /evenkeel/backup`.
pub(super) async fn backup(api: &Api) -> Result<Response, Failure> {
    let Download { length, name, body } = api.backend.backup().await.map_err(|e| failure(&e))?;
    let pieces = futures_util::stream::unfold(body, async |mut body| body.recv().await.map(|piece| (piece, body)));
    let mut response = Response::new(Body::from_stream(pieces));
    response.extensions_mut().insert(Streaming);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    // A copy that was cut off is known as such.
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

fn failure(error: &BackupError) -> Failure {
    let text = error.to_string();
    match error {
        BackupError::Busy => {
            let busy = Failure::new(429, "TooManyRequests", text);
            Failure { retry_after: Some(RETRY_AFTER), ..busy }
        }
        BackupError::DiskFull(_) => Failure::new(507, "InsufficientStorage", text),
        BackupError::Failed(_) => Failure::new(500, "InternalError", text),
    }
}

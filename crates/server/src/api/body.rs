//! Request bodies: bounds and formats.
//!
//! Called by `write`, `given` and `extras`. Protobuf bodies are refused with 415 but where they are
//! objects, or options of a deletion.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::status::Failure;

/// Bytes of a request's body: the design's bound, and Kubernetes'.
pub(crate) const LIMIT: usize = 3 << 20;
/// Bytes of the documents of a diff: a whole source, as large as the largest file it may hold.
pub(crate) const DIFF_LIMIT: usize = 64 << 20;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a body, at most `limit` bytes.
pub(crate) async fn read(body: Body, limit: usize) -> Result<Bytes, Failure> {
    match tokio::time::timeout(PATIENCE, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(e)) => {
            let too_long = std::error::Error::source(&e).is_some_and(|s| s.to_string().contains("length limit"));
            Err(if too_long {
                Failure::new(413, "RequestEntityTooLarge", format!("limit is {limit} bytes"))
            } else {
                Failure::bad_request(format!("the body cannot be read: {e}"))
            })
        }
        Err(_) => Err(Failure::new(408, "Timeout", "the body did not arrive in time")),
    }
}

/// A body's media type, in lower case, without parameters; JSON where there is none.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let bare = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if bare.is_empty() { "application/json".into() } else { bare }
}

/// A body as a tree: JSON or YAML, by its type.
pub(crate) fn tree(headers: &HeaderMap, bytes: &[u8]) -> Result<Value, Failure> {
    match media_type(headers).as_str() {
        "application/json" => {
            serde_json::from_slice(bytes).map_err(|e| Failure::bad_request(format!("the body is no JSON: {e}")))
        }
        "application/yaml" | "application/x-yaml" | "text/yaml" => {
            serde_yaml::from_slice(bytes).map_err(|e| Failure::bad_request(format!("the body is no YAML: {e}")))
        }
        other => Err(Failure::media_type(other, &["application/json", "application/yaml"])),
    }
}

/// The body of a subresource: fields of its own, none if it is empty.
pub(crate) fn fields<T: DeserializeOwned + Default>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Failure> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    of_tree(tree(headers, bytes)?)
}

/// Fields of their own from a body that was read.
pub(crate) fn of_tree<T: DeserializeOwned>(tree: Value) -> Result<T, Failure> {
    // A list would be read as fields by their order.
    if !tree.is_object() {
        return Err(Failure::bad_request("the body is no object"));
    }
    serde_json::from_value(tree).map_err(|e| Failure::bad_request(format!("the body cannot be read: {e}")))
}

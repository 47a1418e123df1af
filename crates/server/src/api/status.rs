//! Failures in Kubernetes' form: an HTTP code and a `Status` body, as kubectl expects them.
//!
//! Every handler returns one of these. Deliberately not here: which failure fits when.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use evenkeel_core::{Refusal, ask::More};
use evenkeel_model::{Key, Kind};
use evenkeel_schema::validate::{Cause, in_one_line};
use evenkeel_wire::stream::{FailureKind, StreamError};
use serde_json::{Map, Value, json};

use super::backend::{AskError, SnapshotError};

/// Seconds that a client waits before it asks a busy server again.
const RETRY_AFTER: u32 = 1;

/// A request that failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// HTTP status.
    pub(crate) code: u16,
    /// `Status.reason`.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) message: String,
    /// `Status.details`.
    pub(crate) details: Map<String, Value>,
    /// `Status.metadata.continue`: how to go on after 410 in the middle of a list.
    pub(crate) go_on: Option<String>,
    /// Seconds for `Retry-After`.
    pub(crate) retry_after: Option<u32>,
}

impl Failure {
    /// A failure without details.
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Map::new(), go_on: None, retry_after: None }
    }

    /// 401.
    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 404 for a path.
    pub(crate) fn no_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// 404 for an object.
    pub(crate) fn not_found(key: &Key) -> Self {
        let message = format!("{} \"{}\" not found", key.kind.resource(), key.name);
        Self::new(404, "NotFound", message).about(key)
    }

    /// 400.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 405 with what to do instead.
    pub(crate) fn not_allowed(message: impl Into<String>) -> Self {
        Self::new(405, "MethodNotAllowed", message)
    }

    /// 410: the client lists again.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 415 with the types that are accepted.
    pub(crate) fn media_type(found: &str, accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format ({found}) - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 422 for fields of an object.
    pub(crate) fn invalid(key: &Key, causes: &[Cause]) -> Self {
        let text = in_one_line(causes);
        let info = key.kind.info();
        let kind = if info.group.is_empty() { info.kind.into() } else { format!("{}.{}", info.kind, info.group) };
        let mut failure = Self::new(422, "Invalid", format!("{kind} \"{}\" is invalid: {text}", key.name)).about(key);
        failure.details.insert("kind".into(), info.kind.into());
        failure.fields(causes);
        failure
    }

    /// About no object.
    pub(crate) fn plain(mut self) -> Self {
        for field in ["name", "group", "kind"] {
            self.details.remove(field);
        }
        self
    }

    /// Names the object in the details.
    pub(crate) fn about(mut self, key: &Key) -> Self {
        let info = key.kind.info();
        self.details.insert("name".into(), json!(key.name));
        if !info.group.is_empty() {
            self.details.insert("group".into(), info.group.into());
        }
        self.details.insert("kind".into(), info.plural.into());
        self
    }

    /// The `Status` object.
    pub(crate) fn status(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(token) = &self.go_on {
            metadata.insert("continue".into(), token.as_str().into());
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": metadata,
            "status": "Failure", "message": self.message, "reason": self.reason, "code": self.code,
        });
        let mut details = self.details.clone();
        if let Some(seconds) = self.retry_after {
            details.insert("retryAfterSeconds".into(), seconds.into());
        }
        if !details.is_empty() {
            status["details"] = details.into();
        }
        status
    }

    fn with(mut self, more: &More) -> Self {
        match more {
            More::Nothing => {}
            More::DisruptionBudget(why) => {
                let causes = json!([{"reason": "DisruptionBudget", "message": why}]);
                self.details.insert("causes".into(), causes);
            }
            More::RetryAfter(seconds) => self.retry_after = Some(*seconds),
            More::Ending(namespace) => {
                let message = format!("namespace {namespace} is being terminated");
                self.causes([("metadata.namespace", "NamespaceTerminating", message.as_str())]);
            }
            More::Fields(fields) => self.fields(fields),
            More::FieldConflicts(fields) => {
                self.causes(fields.iter().map(|(f, m)| (f.as_str(), "FieldManagerConflict", m.as_str())));
            }
        }
        self
    }

    /// Says which fields are wrong in the details.
    pub(super) fn fields(&mut self, causes: &[Cause]) {
        self.causes(causes.iter().map(|c| (c.field.as_str(), c.reason.name(), c.message.as_str())));
    }

    /// Causes by field, reason and message.
    fn causes<'a>(&mut self, causes: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) {
        let cause = |(field, reason, message)| json!({"reason": reason, "message": message, "field": field});
        let causes: Vec<Value> = causes.into_iter().map(cause).collect();
        self.details.insert("causes".into(), causes.into());
    }

    /// From what became of a question about an object.
    pub(crate) fn of_ask(error: &AskError, key: &Key) -> Self {
        let message = error.to_string();
        match error {
            AskError::Refused(Refusal { code, reason, more, .. }) => {
                let mut failure = Self::new(*code, reason, message).about(key).with(more);
                if *code == 422 {
                    // Of an object that is wrong, Kubernetes names the kind.
                    failure.details.insert("kind".into(), key.kind.info().kind.into());
                }
                failure
            }
            AskError::Busy => Self { retry_after: Some(RETRY_AFTER), ..Self::new(429, "TooManyRequests", message) },
            AskError::DiskFull => Self::new(507, "InsufficientStorage", message),
            AskError::Stopped => {
                Self { retry_after: Some(RETRY_AFTER), ..Self::new(503, "ServiceUnavailable", message) }
            }
            AskError::Panicked => Self::new(500, "InternalError", message),
        }
    }

    /// From what stands against a stream from a node.
    pub(crate) fn of_stream(error: &StreamError) -> Self {
        let (code, reason) = match error.kind {
            FailureKind::NotFound | FailureKind::NotRunning | FailureKind::Invalid => (400, "BadRequest"),
            FailureKind::Busy => (429, "TooManyRequests"),
            FailureKind::NodeAway | FailureKind::Refused => (503, "ServiceUnavailable"),
            FailureKind::Engine => (500, "InternalError"),
            FailureKind::Unsupported => (501, "NotImplemented"),
        };
        Self::new(code, reason, error.to_string())
    }

    /// From a revision that could not be read.
    pub(crate) fn of_snapshot(error: &SnapshotError, source: &str) -> Self {
        let key = Key::cluster(Kind::Source, source);
        match error {
            SnapshotError::NotFound(m) => Self::new(404, "NotFound", m.clone()).about(&key),
            SnapshotError::Invalid(_) => Self::new(422, "Invalid", error.to_string()).about(&key),
            SnapshotError::Away(_) => Self::new(503, "ServiceUnavailable", error.to_string()).about(&key),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = json_response(self.code, &self.status());
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// A JSON answer.
pub(crate) fn json_response(code: u16, value: &Value) -> Response {
    bytes_response(code, serde_json::to_vec(value).unwrap_or_default())
}

/// An answer of JSON bytes.
pub(crate) fn bytes_response(code: u16, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_names_its_sort() {
        let key = Key::new(Kind::ConfigMap, "shop", "c");
        let reasons = |failure: Failure| -> Vec<String> {
            let causes = failure.details["causes"].as_array().unwrap();
            causes
                .iter()
                .map(|c| format!("{} {}", c["field"].as_str().unwrap(), c["reason"].as_str().unwrap()))
                .collect()
        };
        let fields = [
            Cause::required("a", "no"),
            Cause::forbidden("b", "no"),
            Cause::invalid("c", 1, "no"),
            // Its words begin as those of another sort.
            Cause::wrong("d", "Forbidden colours are odd"),
        ];
        let expected = ["a FieldValueRequired", "b FieldValueForbidden", "c FieldValueInvalid", "d FieldValueInvalid"];
        assert_eq!(reasons(Failure::invalid(&key, &fields)), expected);
        let asked = |refusal: Refusal| Failure::of_ask(&AskError::Refused(refusal), &key);
        assert_eq!(reasons(asked(Refusal::fields(&key, fields))), expected);
        let ending = asked(Refusal::new(403, "Forbidden", "no").with(More::Ending("shop".into())));
        assert_eq!(ending.details["causes"][0]["message"], "namespace shop is being terminated");
        assert_eq!(reasons(ending), ["metadata.namespace NamespaceTerminating"]);
    }
}
